package web

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"parley/internal/passwd"
	"parley/internal/voice"
)

var passwordLine = regexp.MustCompile(`Password: +(\S+)`)

// shown returns the password on an account page.
func shown(t *testing.T, a answer) string {
	t.Helper()
	m := passwordLine.FindStringSubmatch(a.body)
	if a.status != 200 || m == nil {
		t.Fatalf("no account is shown: %d\n%s", a.status, a.body)
	}
	return m[1]
}

func TestExtensionFromBirthToDeath(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("anna.admin")
	a := v.post("/t/demo/extensions/new", "/t/demo/extensions", "number", "1011", "name", `Käthe "K" <Kurz>`, "password_mode", "generate", "options", "TServer.contact = *")
	first := shown(t, a)
	for _, want := range []string{"1011", "demo.local", "sip:127.0.0.1:5060;transport=udp", "wss://127.0.0.1:5063/", "<svg viewBox", "only this computer knows"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the account page lacks %q", want)
		}
	}
	dn, _ := get[voice.DN](h.config, "demo", voice.KindDN, "1011")
	if len(first) != generatedLen || dn.Auth == nil || !passwd.VerifySIP(*dn.Auth, first) || dn.Options["TServer"]["contact"] != "*" {
		t.Errorf("the stored account %+v does not take the password that was shown, %q", dn, first)
	}
	detail := v.get("/t/demo/extensions/1011").body
	if strings.Contains(detail, first) || !strings.Contains(detail, "K&amp;") && !strings.Contains(detail, "Käthe &#34;K&#34; &lt;Kurz&gt;") {
		t.Errorf("the page shows the password or does not escape the name:\n%s", detail)
	}
	if a := v.post("/t/demo/extensions/1011/edit", "/t/demo/extensions/1011/edit", "version", "1", "name", "Kurz", "options", "TServer.contact = *\nApp.colour = green"); a.location != "/t/demo/extensions/1011?done=saved" {
		t.Errorf("edit = %d to %q\n%s", a.status, a.location, a.body)
	}
	edited, _ := get[voice.DN](h.config, "demo", voice.KindDN, "1011")
	if edited.Name != "Kurz" || edited.Options["App"]["colour"] != "green" || edited.Auth == nil || !passwd.VerifySIP(*edited.Auth, first) {
		t.Errorf("after the edit: %+v, want the new name and option and the old password", edited)
	}
	second := shown(t, v.post("/t/demo/extensions/1011/password", "/t/demo/extensions/1011/password", "version", "2"))
	reset, _ := get[voice.DN](h.config, "demo", voice.KindDN, "1011")
	if second == first || !passwd.VerifySIP(*reset.Auth, second) {
		t.Errorf("the new password %q is not the one that counts", second)
	}
	if a := v.post("/t/demo/extensions/1011/delete", "/t/demo/extensions/1011/delete", "version", "3"); a.location != "/t/demo/extensions?done=deleted" {
		t.Errorf("delete = %d to %q", a.status, a.location)
	}
	if a := v.get("/t/demo/extensions/1011"); a.status != 404 {
		t.Errorf("a deleted extension = %d, want 404", a.status)
	}
	history := v.get("/t/demo/history?kind=dns&key=1011").body
	for _, want := range []string{"Created", "Changed", "Deleted", "anna.admin", "options.App.colour", "<ins>Kurz</ins>"} {
		if !strings.Contains(history, want) {
			t.Errorf("the history lacks %q", want)
		}
	}
	if strings.Contains(history, first) || strings.Contains(history, second) {
		t.Error("the history shows a password")
	}
}

func TestFormsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("root")
	change(h.config, "demo", voice.KindDN, "1005", func(d *voice.DN) { d.Name = "Eva Ende" }) // version 2 now
	for name, c := range map[string]struct {
		page, path string
		fields     []string
		status     int
		want       string
	}{
		"number taken":    {"/t/demo/extensions/new", "/t/demo/extensions", []string{"number", "1001"}, 422, "Exists already"},
		"number missing":  {"/t/demo/extensions/new", "/t/demo/extensions", []string{"number", " "}, 422, "Is missing"},
		"number strange":  {"/t/demo/extensions/new", "/t/demo/extensions", []string{"number", "a b/c"}, 422, `aria-invalid="true"`},
		"short password":  {"/t/demo/extensions/new", "/t/demo/extensions", []string{"number", "1020", "password_mode", "type", "password", "short"}, 422, "Is too short"},
		"option strange":  {"/t/demo/extensions/new", "/t/demo/extensions", []string{"number", "1020", "options", "contact = x"}, 422, "Line 1 is not"},
		"option bad":      {"/t/demo/extensions/new", "/t/demo/extensions", []string{"number", "1020", "options", "TServer.no-answer-timeout = soon"}, 422, "is not a number of seconds"},
		"changed by else": {"/t/demo/extensions/1005/edit", "/t/demo/extensions/1005/edit", []string{"version", "1", "name", "x"}, 422, "Somebody else changed this"},
		"still in use":    {"/t/demo/extensions/1001/delete", "/t/demo/extensions/1001/delete", []string{"version", "1"}, 409, "desk-1"},
		"old version":     {"/t/demo/extensions/1005/delete", "/t/demo/extensions/1005/delete", []string{"version", "1"}, 409, "Somebody else changed this"},
		"no version":      {"/t/demo/extensions/1005/delete", "/t/demo/extensions/1005/delete", nil, 403, "too old"},
		"not an address":  {"/bans", "/bans", []string{"source", "house", "reason", "x", "for", "1h"}, 422, "Is not an IP address"},
		"own address":     {"/bans", "/bans", []string{"source", "127.0.0.1", "reason", "x", "for", "1h"}, 422, "Is your own address"},
		"no reason":       {"/bans", "/bans", []string{"source", "192.0.2.1", "for", "1h"}, 422, "Is missing"},
		"tenant in use":   {"/tenants/acme/delete", "/tenants/acme/delete", []string{"version", "1"}, 409, "still in use"},
		"domain taken":    {"/tenants/new", "/tenants", []string{"name", "third", "domains", "demo.local"}, 422, "demo.local"},
		"tenant taken":    {"/tenants/new", "/tenants", []string{"name", "acme", "domains", "x.example"}, 422, "Exists already"},
		"person taken":    {"/t/demo/people/new", "/t/demo/people", []string{"username", "alice", "password", testPassword}, 422, "Exists already"},
		"weak password":   {"/t/demo/people/new", "/t/demo/people", []string{"username", "zoe", "password", "short"}, 422, `aria-invalid="true"`},
		"no such place":   {"/t/demo/people/new", "/t/demo/people", []string{"username", "zoe", "password", testPassword, "place", "nowhere"}, 422, "nowhere"},
		"own role":        {"/t/demo/people/root/edit", "/t/demo/people/root/edit", []string{"version", "1", "roles", "admin"}, 422, "You cannot take your own rights"},
		"oneself":         {"/t/demo/people/root/delete", "/t/demo/people/root/delete", []string{"version", "1"}, 409, "you cannot delete yourself"},
	} {
		if a := v.post(c.page, c.path, c.fields...); a.status != c.status || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d, want %d with %q\n%s", name, a.status, c.status, c.want, a.body)
		}
	}
	if _, made := get[voice.DN](h.config, "demo", voice.KindDN, "1020"); made {
		t.Error("a refused form made 1020")
	}
}

func TestPeopleAndTheirPasswords(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	anna := h.signIn("anna.admin")
	if a := anna.post("/t/demo/people/new", "/t/demo/people", "username", "zoe", "first_name", "Zoe", "password", testPassword, "roles", "agent", "roles", "supervisor"); a.location != "/t/demo/people?done=created" {
		t.Fatalf("create = %d\n%s", a.status, a.body)
	}
	zoe := h.signIn("zoe")
	if a := zoe.get("/t/demo/people"); a.status != 200 {
		t.Errorf("a supervisor reads people = %d, want 200", a.status)
	}
	if a := anna.post("/t/demo/people/zoe/edit", "/t/demo/people/zoe/edit", "version", "1", "roles", "system"); a.status != 403 {
		t.Errorf("an administrator gives the system role away = %d, want 403", a.status)
	}
	if a := anna.post("/me", "/t/demo/people/root/edit", "version", "1", "password", "taken-over-now"); a.status != 403 {
		t.Errorf("an administrator changes the password of the system role = %d, want 403", a.status)
	}
	alice, _ := get[voice.Person](h.config, "demo", voice.KindPerson, "alice")
	if a := anna.post("/t/demo/people/alice/edit", "/t/demo/people/alice/edit", "version", "1", "first_name", "Alicia", "last_name", "Archer", "roles", "agent", "place", "desk-1", "agent_id", "7001"); a.location == "" {
		t.Errorf("edit = %d\n%s", a.status, a.body)
	}
	after, _ := get[voice.Person](h.config, "demo", voice.KindPerson, "alice")
	if after.FirstName != "Alicia" || after.Skills["english"] != 8 || after.PasswordHash != alice.PasswordHash {
		t.Errorf("after the edit: %+v, want skills and password kept", after)
	}
	for name, c := range map[string]struct{ current, next, again, want string }{
		"wrong present one": {"wrong", "another good one", "another good one", "Is wrong"},
		"not the same":      {testPassword, "another good one", "another god one", "Is not the same"},
		"too weak":          {testPassword, "weak", "weak", `aria-invalid="true"`},
		"missing":           {testPassword, "", "", "Is missing"},
	} {
		if a := zoe.post("/me", "/me/password", "current", c.current, "new", c.next, "again", c.again); a.status != 422 || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d without %q", name, a.status, c.want)
		}
	}
	elsewhere := h.signIn("zoe")
	if a := zoe.post("/me", "/me/password", "current", testPassword, "new", "another good one", "again", "another good one"); a.location != "/me?done=password" {
		t.Fatalf("change = %d\n%s", a.status, a.body)
	}
	if a := zoe.get("/me?done=password"); a.status != 200 || !strings.Contains(a.body, "Your password is changed") {
		t.Errorf("after the change the own session = %d, want it to go on", a.status)
	}
	until(t, "the other session has ended", func() bool { return elsewhere.get("/me").status == 303 })
	if a := anna.post("/t/demo/people/zoe/delete", "/t/demo/people/zoe/delete", "version", "2"); a.location != "/t/demo/people?done=deleted" {
		t.Errorf("delete = %d to %q\n%s", a.status, a.location, a.body)
	}
	until(t, "a deleted person is signed out", func() bool { return zoe.get("/me").status == 303 })
}

func TestTenantsAndBans(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("root")
	if a := v.post("/tenants/new", "/tenants", "name", "third", "domains", "third.example, two.third.example"); a.location != "/tenants?done=created" {
		t.Fatalf("create = %d\n%s", a.status, a.body)
	}
	third, _ := get[voice.Tenant](h.config, voice.SystemTenant, voice.KindTenant, "third")
	if len(third.Domains) != 2 {
		t.Errorf("domains = %q", third.Domains)
	}
	if a := v.get("/switch?tenant=third"); a.location != "/t/third/extensions" {
		t.Errorf("switch leads to %q", a.location)
	}
	if a := v.get("/"); !strings.Contains(a.body, `href="/t/third/extensions"`) {
		t.Error("the navigation does not stay with the tenant that was switched to")
	}
	if a := v.get("/switch?tenant=nobody"); a.status != 404 {
		t.Errorf("switch to a tenant that is not there = %d, want 404", a.status)
	}
	if a := v.post("/tenants/third/edit", "/tenants/third/edit", "version", "1", "domains", "third.example"); a.location != "/tenants?done=saved" {
		t.Errorf("edit = %d\n%s", a.status, a.body)
	}
	if a := v.post("/tenants/third/delete", "/tenants/third/delete", "version", "2"); a.location != "/tenants?done=deleted" {
		t.Errorf("delete = %d\n%s", a.status, a.body)
	}
	if a := v.get("/t/_system/history"); !strings.Contains(a.body, "Deleted") || !strings.Contains(a.body, "third") {
		t.Errorf("the history of tenants lacks the change: %d", a.status)
	}
	if a := v.post("/bans", "/bans", "source", "::ffff:192.0.2.7", "reason", "scans", "for", "24h"); a.location != "/bans?done=banned" {
		t.Fatalf("ban = %d\n%s", a.status, a.body)
	}
	bans := h.phones.banned()
	if len(bans) != 1 || bans[0].Source.String() != "192.0.2.7" || bans[0].By != "root" || bans[0].Until.Sub(bans[0].Since).Hours() != 24 {
		t.Errorf("bans = %+v", bans)
	}
	if a := v.post("/bans", "/bans/lift", "source", "192.0.2.7"); a.location != "/bans?done=lifted" || len(h.phones.banned()) != 0 {
		t.Errorf("lift = %d, %d bans left", a.status, len(h.phones.banned()))
	}
}

func TestAgentSeesTheOwnDevice(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.phones.register("demo", "1001", "sip:1001@198.51.100.20", "Phone of Alice/1")
	a := h.signIn("alice").get("/me")
	for _, want := range []string{"Alice Archer", "desk-1", "1001", "Registered", "Phone of Alice/1"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(a.body, `href="/t/demo`) {
		t.Error("an agent's page links to pages an agent may not see")
	}
}

func TestRemoveBinding(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.phones.register("demo", "1001", "sip:a@198.51.100.20", "A")
	h.phones.register("demo", "1001", "sip:b@198.51.100.20", "B")
	v := h.signIn("anna.admin")
	const page = "/t/demo/extensions/1001"
	if a := v.post(page, page+"/bindings/remove", "contact", ""); a.status != 403 {
		t.Errorf("removing no contact = %d, want 403: the door would take it as all", a.status)
	}
	if a := v.post(page, page+"/bindings/remove", "contact", "sip:a@198.51.100.20"); a.location != page+"?done=removed" {
		t.Errorf("remove = %d", a.status)
	}
	if body := v.get(page).body; strings.Contains(body, "sip:a@") || !strings.Contains(body, "sip:b@") {
		t.Error("not exactly the one contact was removed")
	}
}

func TestListsPageAndSearch(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	for i := range 120 {
		n := fmt.Sprint(5000 + i)
		h.config.put("demo", voice.KindDN, n, voice.DN{Number: n, Type: voice.DNExtension, Name: "Bulk " + n})
	}
	v := h.signIn("sven")
	nextPage := regexp.MustCompile(`rel="next" href="([^"]+)"`)
	path, seen, pages := "/t/demo/extensions?q=bulk", 0, 0
	for path != "" {
		a := v.get(path)
		seen += strings.Count(a.body, "data-dn=")
		pages++
		path = ""
		if m := nextPage.FindStringSubmatch(a.body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if seen != 120 || pages != 3 {
		t.Errorf("%d extensions on %d pages, want 120 on 3", seen, pages)
	}
	if a := v.get("/t/demo/extensions?q=" + url.QueryEscape("costa")); strings.Count(a.body, "data-dn=") != 1 || !strings.Contains(a.body, "Carla Costa") {
		t.Error("the search by name does not find Carla Costa, and only her")
	}
	h.phones.register("demo", "1003", "sip:1003@198.51.100.40", "P")
	if a := v.get("/t/demo/extensions?state=registered"); strings.Count(a.body, "data-dn=") != 1 || !strings.Contains(a.body, "Carla Costa") {
		t.Error("the list of registered extensions is not that of the one registered")
	}
}

func TestProvisioningDocumentIsGivenOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{config: func(c *Config) { c.PublicURL = "http://voice.example.com:8080" }})
	v := h.signIn("root")
	a := v.post("/t/demo/extensions/1002/password", "/t/demo/extensions/1002/password", "version", "1")
	password := shown(t, a)
	if !strings.Contains(a.body, "For Linphone") {
		t.Fatalf("no code for Linphone:\n%s", a.body)
	}
	h.web.handouts.mu.Lock()
	var key string
	for key = range h.web.handouts.byKey {
	}
	h.web.handouts.mu.Unlock()
	if a := h.visitor().do("HEAD", "/provision/"+key, nil, nil); a.status != 405 {
		t.Errorf("HEAD = %d, want 405 without taking the document", a.status)
	}
	doc := h.visitor().get("/provision/" + key)
	var got lpConfig
	if err := xml.Unmarshal([]byte(doc.body), &got); err != nil || doc.header.Get("Content-Type") != "application/xml; charset=utf-8" {
		t.Fatalf("document: %v\n%s", err, doc.body)
	}
	entries := map[string]string{}
	for _, s := range got.Sections {
		for _, e := range s.Entries {
			entries[s.Name+"."+e.Name] = e.Value
		}
	}
	for name, want := range map[string]string{
		"auth_info_0.username": "1002", "auth_info_0.passwd": password, "auth_info_0.realm": "demo.local", "proxy_0.reg_identity": "sip:1002@demo.local",
		"proxy_0.reg_proxy": "<sip:127.0.0.1:5060;transport=udp>", "misc.transient_provisioning": "1",
	} {
		if entries[name] != want {
			t.Errorf("%s = %q, want %q", name, entries[name], want)
		}
	}
	if again := h.visitor().get("/provision/" + key); again.status != 404 {
		t.Errorf("the document a second time = %d, want 404", again.status)
	}
}
