package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/voice"
	"parley/services/tenant"
)

// TestWhoMayDoWhat asks for every kind of page as everybody.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.keepCalls()
	const ok, no, in = http.StatusOK, http.StatusForbidden, http.StatusSeeOther
	people := map[string]*visitor{"": h.visitor()}
	for _, name := range []string{"alice", "sven", "anna.admin", "root"} {
		people[name] = h.signIn(name)
	}
	for _, c := range []struct {
		path                             string
		nobody, agent, super, admin, sys int
	}{
		{"/me", in, ok, ok, ok, ok},
		{"/", in, in, ok, ok, ok}, // an agent is led to /me
		{"/t/demo/extensions", in, no, ok, ok, ok},
		{"/t/demo/extensions/1001", in, no, ok, ok, ok},
		{"/t/demo/extensions/new", in, no, no, ok, ok},
		{"/t/demo/extensions/1001/edit", in, no, no, ok, ok},
		{"/t/demo/people", in, no, ok, ok, ok},
		{"/t/demo/people/alice/edit", in, no, no, ok, ok},
		{"/t/demo/people/root/edit", in, no, no, no, ok}, // an administrator must not take over the system role
		{"/t/demo/history", in, no, ok, ok, ok},
		{"/t/demo/cdrs", in, no, ok, ok, ok},
		{"/t/acme/cdrs", in, no, no, no, ok},
		{"/t/acme/cdrs.csv", in, no, no, no, ok},
		{"/t/acme/cdrs/x", in, no, no, no, http.StatusNotFound},
		{"/t/acme/extensions", in, no, no, no, ok},
		{"/t/acme/extensions/2001", in, no, no, no, ok},
		{"/t/_system/history", in, no, no, no, ok},
		{"/tenants", in, no, no, no, ok},
		{"/tenants/demo/edit", in, no, no, no, ok},
		{"/bans", in, no, no, ok, ok},
		{"/switch?tenant=acme", in, no, no, no, in},
		{"/live?topic=device&tenant=demo&dn=1001", http.StatusUnauthorized, no, 0, 0, 0},
		{"/live?topic=overview", http.StatusUnauthorized, no, 0, 0, 0},
		{"/live?topic=devices&tenant=acme", http.StatusUnauthorized, no, no, no, 0},
		{"/nothing", http.StatusNotFound, http.StatusNotFound, http.StatusNotFound, http.StatusNotFound, http.StatusNotFound},
	} {
		for name, want := range map[string]int{"": c.nobody, "alice": c.agent, "sven": c.super, "anna.admin": c.admin, "root": c.sys} {
			if want == 0 {
				continue // a stream that opens: see stream_test.go
			}
			if a := people[name].get(c.path); a.status != want {
				t.Errorf("GET %s as %q = %d, want %d", c.path, name, a.status, want)
			}
		}
	}
	for path, fields := range map[string][]string{
		"/t/demo/extensions":                      {"number", "1999"},
		"/t/demo/extensions/1001/delete":          {"version", "1"},
		"/t/demo/extensions/1001/password":        {"version", "1"},
		"/t/demo/extensions/1001/bindings/remove": {"contact", "sip:x"},
		"/t/demo/people/sven/edit":                {"version", "1", "roles", "admin"},
		"/tenants":                                {"name", "new"},
		"/bans":                                   {"source", "192.0.2.1", "reason", "x", "for", "1h"},
		"/bans/lift":                              {"source", "192.0.2.1"},
	} {
		for _, name := range []string{"alice", "sven"} {
			if a := people[name].post("/me", path, fields...); a.status != no {
				t.Errorf("POST %s as %s = %d, want %d", path, name, a.status, no)
			}
		}
	}
}

func TestSignInAndOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.visitor()
	if a := v.get("/t/demo/extensions?q=10"); a.location != "/signin?next="+url.QueryEscape("/t/demo/extensions?q=10") {
		t.Errorf("a page without a session leads to %q", a.location)
	}
	wrong := v.post("/signin", "/signin", "user", "root", "password", "wrong")
	unknown := v.post("/signin", "/signin", "user", "ghost", "password", "wrong")
	if wrong.status != 401 || unknown.status != 401 || strings.ReplaceAll(wrong.body, `value="root"`, "") != strings.ReplaceAll(unknown.body, `value="ghost"`, "") {
		t.Errorf("wrong password (%d) and unknown name (%d) get different answers", wrong.status, unknown.status)
	}
	if strings.Contains(wrong.body, "wrong</") || !strings.Contains(wrong.body, "The name or the password is wrong.") {
		t.Errorf("the answer is not the sentence:\n%s", wrong.body)
	}
	a := v.post("/signin", "/signin", "user", "root", "password", testPassword, "next", "/bans")
	if a.status != 303 || a.location != "/bans" {
		t.Errorf("sign-in = %d to %q, want 303 to /bans", a.status, a.location)
	}
	cookie := ""
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == cookieSession {
			cookie = c.Value
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure || c.Path != "/" {
				t.Errorf("session cookie over HTTP: %+v, want HttpOnly, Lax, not Secure", c)
			}
		}
	}
	if cookie == "" {
		t.Fatal("no session cookie")
	}
	if a := v.post("/", "/signout"); a.status != 303 || !strings.HasPrefix(a.location, "/signin") {
		t.Errorf("sign-out = %d to %q", a.status, a.location)
	}
	if a := v.get("/"); a.status != 303 {
		t.Errorf("a page after the sign-out = %d, want 303", a.status)
	}
	if a := h.visitor().do("GET", "/", nil, map[string]string{"Cookie": cookieSession + "=" + cookie}); a.status != 303 {
		t.Errorf("the old cookie still opens pages after the sign-out: %d", a.status)
	}
}

func TestSignInLocksOutPolitely(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{tenant: func(c *tenant.Config) { c.Lockout.NameFailures = 3 }})
	v := h.visitor()
	for range 3 {
		if a := v.post("/signin", "/signin", "user", "root", "password", "wrong"); a.status != 401 {
			t.Fatalf("sign-in = %d, want 401", a.status)
		}
	}
	a := v.post("/signin", "/signin", "user", "root", "password", testPassword)
	if a.status != 429 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "wait a few minutes") {
		t.Errorf("sign-in of a locked name = %d %q\n%s", a.status, a.header, a.body)
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{config: func(c *Config) { c.SessionIdle = 10 * time.Minute }})
	v := h.signIn("root")
	keys := h.web.keys.Load()
	site := &url.URL{Scheme: "http", Host: h.addr}
	token := func() sealed {
		for _, c := range v.client.Jar.Cookies(site) {
			if c.Name == cookieSession {
				s, ok := keys.unseal(c.Value)
				if !ok {
					t.Fatalf("cookie %q does not open", c.Value)
				}
				return s
			}
		}
		t.Fatal("no session cookie")
		return sealed{}
	}
	age := func(by time.Duration) {
		v.client.Jar.SetCookies(site, []*http.Cookie{{Name: cookieSession, Path: "/", Value: keys.seal(sealed{token().token, time.Now().Add(-by)})}})
	}
	age(9 * time.Minute)
	if a := v.get("/me"); a.status != 200 {
		t.Errorf("a session used 9 minutes ago = %d, want 200", a.status)
	}
	if since := time.Since(token().seen); since > time.Minute {
		t.Errorf("use did not renew the session: seen %v ago", since)
	}
	age(11 * time.Minute)
	if a := v.get("/me"); a.status != 303 {
		t.Errorf("a session idle for 11 minutes = %d, want 303", a.status)
	}
}

func TestSessionEndsWithThePersonsRights(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	sven, anna := h.signIn("sven"), h.signIn("anna.admin")
	change(h.config, "demo", voice.KindPerson, "sven", func(p *voice.Person) { p.Disabled = true })
	until(t, "a disabled person is signed out", func() bool { return sven.get("/me").status == 303 })
	change(h.config, "demo", voice.KindPerson, "anna.admin", func(p *voice.Person) { p.Roles = []voice.Role{voice.RoleSupervisor} })
	until(t, "a right that is taken away is gone", func() bool { return anna.get("/t/demo/extensions/new").status == 403 })
	if a := anna.get("/t/demo/extensions"); a.status != 200 {
		t.Errorf("the right that is left = %d, want 200", a.status)
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v, other := h.signIn("root"), h.signIn("root")
	good := v.csrf("/t/demo/extensions/new")
	create := func(number, csrf string, header map[string]string) int {
		return v.do("POST", "/t/demo/extensions", url.Values{"number": {number}, "csrf": {csrf}}, header).status
	}
	for name, status := range map[string]int{
		"no token":              create("3001", "", nil),
		"token of another":      create("3002", other.csrf("/t/demo/extensions/new"), nil),
		"another origin":        create("3003", good, map[string]string{"Origin": "http://evil.example"}),
		"an opaque origin":      create("3004", good, map[string]string{"Origin": "null"}),
		"said to be cross-site": create("3005", good, map[string]string{"Sec-Fetch-Site": "cross-site"}),
		"said to be same-site":  create("3006", good, map[string]string{"Sec-Fetch-Site": "same-site"}),
		"token in the address":  v.do("POST", "/t/demo/extensions?csrf="+good, url.Values{"number": {"3007"}}, nil).status,
	} {
		if status != 403 {
			t.Errorf("%s: %d, want 403", name, status)
		}
	}
	for i := range 7 {
		if _, made := get[voice.DN](h.config, "demo", voice.KindDN, fmt.Sprint(3001+i)); made {
			t.Errorf("a refused form made %d", 3001+i)
		}
	}
	if got := testutil.ToFloat64(h.web.metrics.csrf); got != 7 {
		t.Errorf("parley_web_forms_refused_total = %v, want 7", got)
	}
	if status := create("3010", good, map[string]string{"Origin": h.url, "Sec-Fetch-Site": "same-origin"}); status != 200 {
		t.Errorf("the own form = %d, want 200", status)
	}
	if a := h.visitor().do("POST", "/signin", url.Values{"user": {"root"}, "password": {testPassword}}, nil); a.status != 403 {
		t.Errorf("a sign-in without the form's token = %d, want 403", a.status)
	}
}

func TestHeadersProtectPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	for path, v := range map[string]*visitor{"/signin": h.visitor(), "/": h.signIn("root"), "/nothing": h.visitor()} {
		a := v.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "script-src 'self'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8",
		} {
			if !strings.Contains(a.header.Get(name), want) {
				t.Errorf("GET %s: %s = %q, want %q in it", path, name, a.header.Get(name), want)
			}
		}
		if strings.Contains(a.header.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("GET %s: the policy allows something unsafe", path)
		}
	}
}

func TestAssetsAreKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	page := h.visitor().get("/signin").body
	for _, kind := range []string{`href="/static/app.`, `src="/static/app.`, `href="/static/logo.`} {
		at := strings.Index(page, kind)
		if at < 0 {
			t.Fatalf("the page has no %s", kind)
		}
		path := page[at+strings.Index(kind, "/"):]
		path = path[:strings.IndexByte(path, '"')]
		a := h.visitor().get(path)
		if a.status != 200 || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.body == "" {
			t.Errorf("GET %s = %d %q", path, a.status, a.header.Get("Cache-Control"))
		}
	}
	if a := h.visitor().get("/static/app.css"); a.status != 404 {
		t.Errorf("an asset without its hash = %d, want 404", a.status)
	}
}

func TestOpenEndpoints(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.visitor()
	v.get("/signin")
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": `"ready":true`, "/metrics": `parley_web_requests_total{code="200",method="GET"}`} {
		if a := v.get(path); a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("GET %s = %d without %q:\n%s", path, a.status, want, a.body)
		}
	}
}

// TestMetricsKeepTheirLabels mixes methods on one connection: a label taken from Fiber without a copy would change
// with the next request.
func TestMetricsKeepTheirLabels(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.visitor()
	for range 3 {
		v.post("/signin", "/signin", "user", "root", "password", "wrong")
		v.do("DELETE", "/signin", nil, nil)
		v.get("/signin")
	}
	for _, line := range strings.Split(v.get("/metrics").body, "\n") {
		_, method, found := strings.Cut(line, `method="`)
		if !found || !strings.HasPrefix(line, "parley_web_requests_total") {
			continue
		}
		method, _, _ = strings.Cut(method, `"`)
		if method != "GET" && method != "POST" && method != "other" {
			t.Errorf("a metric has the method %q: %s", method, line)
		}
	}
	if got := testutil.ToFloat64(h.web.metrics.requests.WithLabelValues("POST", "401")); got != 3 {
		t.Errorf("POST 401 counted %v times, want 3", got)
	}
}

func TestPagesSayWhenTheRegistrarIsAway(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("root")
	h.phones.setDown(true)
	for path, want := range map[string]string{
		"/t/demo/extensions": "Unknown", "/t/demo/extensions/1001": "The registrar does not answer", "/bans": "The registrar does not answer", "/": "–",
	} {
		if a := v.get(path); a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("GET %s without a registrar = %d, want 200 with %q", path, a.status, want)
		}
	}
	if a := v.get("/t/demo/extensions?state=registered"); a.status != 503 {
		t.Errorf("the list of registered extensions without a registrar = %d, want 503", a.status)
	}
}
