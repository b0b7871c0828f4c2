package web

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parley/internal/contract"
	"parley/internal/voice"
)

// fakeTrunks stands in for what a SIP node sees of trunks.
type fakeTrunks struct {
	mu   sync.Mutex
	list []contract.TrunkStatus
}

func (h *house) trunkStates(list ...contract.TrunkStatus) *fakeTrunks {
	f := &fakeTrunks{list: list}
	handle(h.t, h.t.Context(), h.f, contract.Trunks, func(_ context.Context, req contract.TrunksRequest) (contract.TrunksResponse, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		out := contract.TrunksResponse{Trunks: []contract.TrunkStatus{}}
		for _, st := range f.list {
			if (req.Tenant == "" || req.Tenant == st.Tenant) && (req.DN == "" || req.DN == st.DN) {
				st.Node = h.f.Node()
				out.Trunks = append(out.Trunks, st)
			}
		}
		return out, nil
	})
	return f
}

func (f *fakeTrunks) set(fn func(list []contract.TrunkStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f.list)
}

// someTrunks configures three trunks and tells how they are.
func (h *house) someTrunks() *fakeTrunks {
	h.config.put("demo", voice.KindDN, "gw1", voice.DN{Number: "gw1", Type: voice.DNTrunk, Name: "City Carrier", Options: map[string]map[string]string{
		"TServer": {"contact": "sip:sip.carrier.example;transport=tls", "contact-backup": "sip:192.0.2.77:5060", "prefix": "0", "replace-prefix": "", "capacity": "30", "oos-check": "30"}, "Notes": {"contract": "C-4711"}}})
	h.config.put("demo", voice.KindDN, "gw2", voice.DN{Number: "gw2", Type: voice.DNTrunk, Options: map[string]map[string]string{
		"TServer": {"contact": "sip:[2001:db8:1234:5678:9abc:def0:1234:5678]:5060;transport=tcp", "prefix": "00", "oos-check": "10"}}})
	h.config.put("demo", voice.KindDN, "pbx", voice.DN{Number: "pbx", Type: voice.DNSoftswitch, Name: "The old telephone system in the cellar", Options: map[string]map[string]string{"TServer": {"contact": "sip:10.0.0.4"}}})
	since := time.Now().Add(-3 * time.Hour).UTC()
	return h.trunkStates(
		contract.TrunkStatus{Tenant: "demo", DN: "gw1", Type: "trunk", State: contract.TrunkInService, Since: since, Prefix: "0", Capacity: 30, Calls: 26, Created: 18234, Received: 9120, Answers4: 812, Answers5: 3,
			Targets: []contract.TrunkTarget{
				{Contact: "sip:sip.carrier.example;transport=tls", Address: "192.0.2.9:5061", Transport: "tls", State: contract.TrunkInService, Checked: since, RTTMillis: 23},
				{Contact: "sip:192.0.2.77:5060", Address: "192.0.2.77:5060", Transport: "udp", State: contract.TrunkOutOfService, Reason: "no answer for 5 s", Checked: since},
			}, Registration: &contract.TrunkRegistration{Registrar: "sip:sip.carrier.example", User: "4930123", State: "registered", Expires: since.Add(4 * time.Hour)}},
		contract.TrunkStatus{Tenant: "demo", DN: "gw2", Type: "trunk", State: contract.TrunkOutOfService, Reason: "no target takes calls: no answer for 5 s", Since: since, Prefix: "00", OutOfServ: 2, Answers5: 17,
			Targets: []contract.TrunkTarget{{Contact: "sip:[2001:db8:1234:5678:9abc:def0:1234:5678]:5060;transport=tcp", Address: "[2001:db8:1234:5678:9abc:def0:1234:5678]:5060", Transport: "tcp", State: contract.TrunkOutOfService, Reason: "no answer for 5 s", Checked: since}}},
		contract.TrunkStatus{Tenant: "demo", DN: "pbx", Type: "softswitch", State: contract.TrunkUnwatched, Since: since, Targets: []contract.TrunkTarget{{Contact: "sip:10.0.0.4", Address: "10.0.0.4:5060", Transport: "udp", State: contract.TrunkUnwatched}}},
	)
}

func TestTrunkPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	sven, anna := h.signIn("sven"), h.signIn("anna.admin")
	if a := sven.get("/t/demo/trunks"); !strings.Contains(a.body, "No trunks yet") || strings.Contains(a.body, "New trunk") {
		t.Errorf("without trunks:\n%s", a.body)
	}
	h.config.put("demo", voice.KindDN, "gw9", voice.DN{Number: "gw9", Type: voice.DNTrunk, Options: map[string]map[string]string{"TServer": {"contact": "sip:192.0.2.1"}}})
	if a := sven.get("/t/demo/trunks"); a.status != 200 || !strings.Contains(a.body, "No SIP node tells") || !strings.Contains(a.body, "Unknown") {
		t.Errorf("without SIP nodes: %d\n%s", a.status, a.body)
	}
	if a := sven.get("/t/demo/trunks/gw9"); a.status != 200 || !strings.Contains(a.body, "No SIP node tells") {
		t.Errorf("a trunk without SIP nodes: %d\n%s", a.status, a.body)
	}
	h.someTrunks()
	a := sven.get("/t/demo/trunks")
	for _, want := range []string{"City Carrier", "In service", "Out of service", "Not watched", "18,234", "1 of 2 targets", "registered", `class="fill high"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the list lacks %q:\n%s", want, a.body)
		}
	}
	a = sven.get("/t/demo/trunks/gw1")
	for _, want := range []string{"192.0.2.9:5061", "no answer for 5 s", "23 ms", "4930123", "/t/demo/cdrs?trunk=gw1", "/t/demo/calls?q=gw1"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the trunk lacks %q:\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "/edit") {
		t.Error("a supervisor is offered to edit")
	}
	for _, c := range []struct {
		v    *visitor
		path string
		want int
	}{{sven, "/t/demo/trunks/1001", 404}, {sven, "/t/demo/trunks/gw1/edit", 403}, {anna, "/t/demo/trunks/gw1/edit", 200}, {anna, "/t/acme/trunks", 403}, {h.signIn("alice"), "/t/demo/trunks", 403}} {
		if a := c.v.get(c.path); a.status != c.want {
			t.Errorf("%s: %d, want %d", c.path, a.status, c.want)
		}
	}
}

func TestTrunkForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	anna := h.signIn("anna.admin")
	const list, form = "/t/demo/trunks", "/t/demo/trunks/new"
	options := func(name string) map[string]string {
		t.Helper()
		dn, ok := get[voice.DN](h.config, "demo", voice.KindDN, name)
		if !ok {
			t.Fatalf("no trunk %s", name)
		}
		return dn.Options["TServer"]
	}
	a := anna.post(form, list, "number", "gw1", "type", "trunk", "contact", "not a URI")
	if a.status != 422 || !strings.Contains(a.body, `id="contact" name="contact" value="not a URI"`) || strings.Count(a.body, `aria-invalid="true"`) != 1 {
		t.Errorf("a bad contact: %d\n%s", a.status, a.body)
	}
	a = anna.post(form, list, "number", "gw1", "type", "trunk", "name", "Carrier", "contact", "sip:192.0.2.9", "prefix", "0", "strip", "yes", "capacity", "30", "more", "Notes.contract = C-1\nTServer.cpn = 4930")
	if a.location != "/t/demo/trunks/gw1?done=created" {
		t.Fatalf("create: %d %s\n%s", a.status, a.location, a.body)
	}
	got := options("gw1")
	if v, given := got["replace-prefix"]; got["contact"] != "sip:192.0.2.9" || got["prefix"] != "0" || got["capacity"] != "30" || got["cpn"] != "4930" || !given || v != "" || len(got) != 5 {
		t.Errorf("options %v", got)
	}
	edit := anna.get("/t/demo/trunks/gw1/edit")
	for _, want := range []string{`name="strip" value="yes" checked`, `value="sip:192.0.2.9"`, "Notes.contract = C-1", "TServer.cpn = 4930"} {
		if !strings.Contains(edit.body, want) {
			t.Errorf("the form lacks %q:\n%s", want, edit.body)
		}
	}
	if strings.Contains(edit.body, "TServer.contact") {
		t.Error("what has a field of its own stands in the text, too")
	}
	save := func(version string, more ...string) answer {
		t.Helper()
		return anna.post("/t/demo/trunks/gw1/edit", "/t/demo/trunks/gw1/edit", append([]string{"version", version, "contact", "sip:192.0.2.9"}, more...)...)
	}
	if a := save("1", "prefix", "00", "replace-prefix", "9"); a.location != "/t/demo/trunks/gw1?done=saved" || options("gw1")["replace-prefix"] != "9" {
		t.Errorf("save: %d %s, %v", a.status, a.location, options("gw1"))
	}
	if a := save("1", "prefix", "1"); a.status != 422 || !strings.Contains(a.body, "Somebody else changed this") {
		t.Errorf("an old version: %d\n%s", a.status, a.body)
	}
	if a := save("2", "more", "TServer.contact = sip:x"); a.status != 422 || !strings.Contains(a.body, "Stands in the text of other options, too.") {
		t.Errorf("an option twice: %d\n%s", a.status, a.body)
	}
	if a := save("2", "more", "no option"); a.status != 422 || !strings.Contains(a.body, "Line 1 is not section.option = value.") {
		t.Errorf("a text that is none: %d\n%s", a.status, a.body)
	}
	if a := anna.post("/t/demo/trunks/gw1/delete", "/t/demo/trunks/gw1/delete", "version", "2"); a.location != "/t/demo/trunks?done=deleted" {
		t.Errorf("delete: %d %s\n%s", a.status, a.location, a.body)
	}
}

func TestTrunkSeenByTwoNodes(t *testing.T) {
	dn := &voice.DN{Number: "gw1", Type: voice.DNTrunk}
	one := contract.TrunkStatus{Node: "a", State: contract.TrunkInService, Capacity: 10, Calls: 4, Created: 1}
	two := contract.TrunkStatus{Node: "b", State: contract.TrunkOutOfService, Reason: "no answer", Capacity: 10, Calls: 5, Created: 2}
	row := trunkRowOf("demo", dn, []contract.TrunkStatus{one, two})
	if row.State.Word != "Partly out" || row.Reason != "out of service on b: no answer" || row.Calls != 9 || row.Capacity != 20 || row.Fill != 45 || row.Created != 3 {
		t.Errorf("together %+v", row)
	}
	if row := trunkRowOf("demo", dn, []contract.TrunkStatus{two, two}); row.State.Word != "Out of service" || row.Reason != "no answer" {
		t.Errorf("both out: %+v", row)
	}
	if row := trunkRowOf("demo", dn, nil); row.State.Word != "Unknown" || row.Capacity != 0 {
		t.Errorf("nobody tells: %+v", row)
	}
}

// browseTrunks sees a trunk fail without reload, and edits it.
func browseTrunks(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	states := h.someTrunks()
	b := newBrowser(t, chromium, h)
	b.do(prefer("light"), desktop())
	b.signIn("anna.admin")
	b.do(chromedp.Click(`nav a[href$="/trunks"]`))
	b.at("/t/demo/trunks")
	b.see("[data-live-state]", "Live")
	b.see(".trunks tbody tr", "In service")
	eval[bool](b, `window.stayed = true`)
	states.set(func(list []contract.TrunkStatus) {
		list[0].State, list[0].Reason, list[0].Calls = contract.TrunkOutOfService, "503 Service Unavailable", 0
	})
	b.see(".trunks tbody tr", "503 Service Unavailable")
	if !eval[bool](b, `window.stayed === true`) {
		t.Error("the page was loaded again")
	}
	b.do(chromedp.Click(`a.key[href$="/gw1"]`))
	b.see(".trunk-node", "503 Service Unavailable")
	states.set(func(list []contract.TrunkStatus) {
		list[0].State, list[0].Reason = contract.TrunkInService, ""
	})
	b.see(".trunk-head", "In service")
	b.do(chromedp.Click(`a[href$="/edit"]`))
	b.at("/t/demo/trunks/gw1/edit")
	b.do(chromedp.SetValue("#capacity", "many"), chromedp.Click("button.primary"))
	b.see(".field-error", "many")
	b.shoot("trunk-refused")
	b.do(chromedp.SetValue("#capacity", "40"), chromedp.Click("button.primary"))
	b.see("[role=status]", "saved")
}
