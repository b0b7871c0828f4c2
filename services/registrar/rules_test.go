package registrar

import (
	"crypto/md5"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"parley/internal/contract"
	"parley/internal/sipua/digest"
)

func plainHash(alg digest.Algorithm, s string) []byte {
	if alg == digest.SHA256 {
		sum := sha256.Sum256([]byte(s))
		return sum[:]
	}
	sum := md5.Sum([]byte(s))
	return sum[:]
}

const (
	a1 = "sip:1001@127.0.0.1:5070"
	a2 = "sip:1001@127.0.0.1:5072"
	a3 = "sip:1001@127.0.0.1:5074"
)

// step is one REGISTER and what must come of it.
type step struct {
	name     string
	expires  string
	contacts []string
	change   func(*contract.RegisterRequest)
	at       uint32 // CSeq of the answered request, if not the next; the first one of a case has 102
	status   int
	after    []string // contacts in force, best first; nil = none
}

// TestRules goes through RFC 3261 §10.3 and what later RFCs add, each case with a number of its own.
func TestRules(t *testing.T) {
	other := func(r *contract.RegisterRequest) { r.CallID = "another" }
	path := func(supported ...string) func(*contract.RegisterRequest) {
		return func(r *contract.RegisterRequest) {
			r.Path, r.Supported = []string{"<sip:edge.example;lr>", "<sip:inner.example;lr>"}, supported
		}
	}
	phone := func(uri, reg string) string {
		return "<" + uri + `>;+sip.instance="<urn:uuid:0000-1>";reg-id=` + reg
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"one contact, refreshed, ended", []step{
			{"new", "3600", []string{"<" + a1 + ">"}, nil, 0, 200, []string{a1}},
			{"refresh", "3600", []string{"<" + a1 + ">"}, nil, 0, 200, []string{a1}},
			{"end", "0", []string{"<" + a1 + ">"}, nil, 0, 200, nil},
			{"end again", "0", []string{"<" + a1 + ">"}, nil, 0, 200, nil},
		}},
		{"several contacts, best q first", []step{
			{"two", "3600", []string{"<" + a1 + ">;q=0.5", "<" + a2 + ">;q=0.9"}, nil, 0, 200, []string{a2, a1}},
			{"a third without q", "3600", []string{a3}, nil, 0, 200, []string{a3, a2, a1}},
			{"one ended by its own expires", "3600", []string{"<" + a2 + ">;expires=0"}, nil, 0, 200, []string{a3, a1}},
		}},
		{"query", []step{
			{"nothing there", "", nil, nil, 0, 200, nil},
			{"new", "", []string{a1}, nil, 0, 200, []string{a1}},
			{"query", "", nil, nil, 0, 200, []string{a1}},
			{"query with Expires: 0 ends nothing", "0", nil, nil, 0, 200, []string{a1}},
		}},
		{"star", []step{
			{"new", "3600", []string{a1, a2}, nil, 0, 200, []string{a1, a2}},
			{"star without Expires", "", []string{"*"}, nil, 0, 400, []string{a1, a2}},
			{"star with Expires of 60", "60", []string{"*"}, nil, 0, 400, []string{a1, a2}},
			{"star with a contact", "0", []string{"*", a1}, nil, 0, 400, []string{a1, a2}},
			{"late star", "0", []string{"*"}, nil, 101, 500, []string{a1, a2}},
			{"star with the CSeq of the contacts", "0", []string{"*"}, nil, 102, 500, []string{a1, a2}},
			{"star", "0", []string{"*"}, nil, 0, 200, nil},
			{"star again", "0", []string{"*"}, nil, 0, 200, nil},
		}},
		{"star from another Call-ID", []step{
			{"new", "3600", []string{a1}, nil, 0, 200, []string{a1}},
			{"star", "0", []string{"*"}, func(r *contract.RegisterRequest) { r.CallID, r.CSeq = "another", 1 }, 0, 200, nil},
		}},
		{"order of CSeq", []step{
			{"new", "3600", []string{a1}, nil, 0, 200, []string{a1}},
			{"late refresh", "3600", []string{a1}, nil, 101, 500, []string{a1}},
			{"late end", "0", []string{a1}, nil, 101, 500, []string{a1}},
			{"low CSeq of another Call-ID", "3600", []string{a1}, func(r *contract.RegisterRequest) { r.CallID, r.CSeq = "another", 1 }, 0, 200, []string{a1}},
		}},
		{"all or nothing", []step{
			{"new", "3600", []string{a1}, nil, 0, 200, []string{a1}},
			{"second contact unreadable", "3600", []string{a2, "<sip:>"}, nil, 0, 400, []string{a1}},
			{"second contact too brief", "3600", []string{a2, "<" + a3 + ">;expires=5"}, nil, 0, 423, []string{a1}},
			{"second contact late", "3600", []string{a2, a1}, nil, 101, 500, []string{a1}},
		}},
		{"leases", []step{
			{"too brief", "59", []string{a1}, nil, 0, 423, nil},
			{"shortest", "60", []string{a1}, nil, 0, 200, []string{a1}},
			{"unreadable Expires is the default", "soon", []string{a1}, nil, 0, 200, []string{a1}},
			{"longer than 32 bits", "99999999999999999999", []string{a1}, nil, 0, 200, []string{a1}},
		}},
		{"comparing contacts", []step{
			{"new", "3600", []string{"<sip:1001@HOST.example;transport=tcp>"}, nil, 0, 200, []string{"sip:1001@HOST.example;transport=tcp"}},
			{"same URI, spelt otherwise", "3600", []string{"<SIP:%31001@host.example;transport=TCP;x=1>"}, nil, 0, 200, []string{"SIP:%31001@host.example;transport=TCP;x=1"}},
			{"no transport is another", "3600", []string{"<sip:1001@host.example>;q=0.1"}, nil, 0, 200, []string{"SIP:%31001@host.example;transport=TCP;x=1", "sip:1001@host.example"}},
		}},
		{"instance and reg-id (RFC 5626)", []step{
			{"new", "3600", []string{phone(a1, "1")}, nil, 0, 200, []string{a1}},
			{"same phone from another port", "3600", []string{phone(a2, "1")}, other, 0, 200, []string{a2}},
			{"second flow", "3600", []string{phone(a3, "2") + ";q=0.2"}, other, 0, 200, []string{a2, a3}},
			{"first flow at the second's address", "3600", []string{phone(a3, "1")}, other, 0, 200, []string{a3}},
		}},
		{"too many contacts", []step{
			{"in one request", "3600", []string{a1, a2, a3, "sip:x@127.0.0.1"}, nil, 0, 403, nil},
			{"full", "3600", []string{a1, "<" + a2 + ">;expires=120", a3}, nil, 0, 200, []string{a1, a2, a3}},
			{"one more takes the place of the first to end", "3600", []string{"<sip:y@127.0.0.1>;q=0.1"}, nil, 0, 200, []string{a1, a3, "sip:y@127.0.0.1"}},
		}},
		{"Path (RFC 3327)", []step{
			{"supported", "3600", []string{a1}, path("path"), 0, 200, []string{a1}},
			{"not supported", "3600", []string{a1}, path(), 0, 200, []string{a1}},
			{"line break in it", "3600", []string{a1}, func(r *contract.RegisterRequest) { r.Path = []string{"<sip:x>\r\nEvil: 1"} }, 0, 400, []string{a1}},
		}},
		{"options", []step{
			{"unknown in Require", "3600", []string{a1}, func(r *contract.RegisterRequest) { r.Require = []string{"path", "gruu", "foo"} }, 0, 420, nil},
			{"known in Require", "3600", []string{a1}, func(r *contract.RegisterRequest) { r.Require = []string{"path"} }, 0, 200, []string{a1}},
		}},
		{"other schemes", []step{
			{"tel", "3600", []string{"<tel:+4930123>"}, nil, 0, 400, nil},
			{"sips", "3600", []string{"<sips:1001@host.example>"}, nil, 0, 200, []string{"sips:1001@host.example"}},
		}},
	}
	n, _ := newNode(t, func(c *Config) { c.Contacts.Max = 3 })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := n.remove(t.Context(), aorKey{n.index.tenant("demo"), "1001"}, func(*binding) bool { return true }, reasonRemoved); err != nil {
				t.Fatal(err)
			}
			p := n.phone("1001")
			p.t, p.cseq = t, 100
			for _, s := range tt.steps {
				was := p.cseq
				p.change = s.change
				if s.at > 0 {
					p.cseq = s.at - 2
				}
				resp := p.register(s.expires, s.contacts...)
				p.cseq = max(p.cseq, was)
				if resp.Status != s.status {
					t.Fatalf("%s: status %d %s, want %d", s.name, resp.Status, resp.Reason, s.status)
				}
				var got []string
				for _, b := range n.bindings("demo", "1001") {
					got = append(got, b.Contact)
				}
				if !slices.Equal(sorted(got, s.after), s.after) {
					t.Errorf("%s: in force are %q, want %q", s.name, got, s.after)
				}
				if s.status == 200 && !slices.Equal(contactsOf(resp), got) {
					t.Errorf("%s: the answer has %q, in force are %q", s.name, contactsOf(resp), got)
				}
			}
		})
	}
}

// sorted returns got, in the order of want if they are the same set and their order cannot matter: equal q.
func sorted(got, want []string) []string {
	x, y := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(x, y) && !slices.ContainsFunc(want, func(s string) bool { return strings.Contains(s, "q=") }) {
		return want
	}
	return got
}

func TestAnswers(t *testing.T) {
	n, p := newNode(t, func(c *Config) { c.Path = PathRefuse })
	ph := n.phone("1002")

	resp := ph.register("30", "<sip:1002@127.0.0.1>")
	if got := headers(resp, "Min-Expires"); resp.Status != 423 || !slices.Equal(got, []string{"60"}) {
		t.Errorf("too brief: %d, Min-Expires %q; want 423 and 60", resp.Status, got)
	}
	resp = ph.register("", `"Q" <sip:1002@127.0.0.1>;q=0.25;expires=90000;+sip.instance="<urn:uuid:1>";reg-id=4`)
	want := `<sip:1002@127.0.0.1>;expires=7200;q=0.250;+sip.instance="<urn:uuid:1>";reg-id=4`
	if got := headers(resp, "Contact"); resp.Status != 200 || !slices.Equal(got, []string{want}) {
		t.Errorf("long lease: %d %q, want %q", resp.Status, got, want)
	}
	if len(headers(resp, "Date")) != 1 || !strings.HasSuffix(headers(resp, "Date")[0], " GMT") {
		t.Errorf("Date: %q", headers(resp, "Date"))
	}
	p.clock.Add(1200e9)
	resp = ph.register("")
	if got := headers(resp, "Contact"); len(got) != 1 || !strings.Contains(got[0], ";expires=6000;") {
		t.Errorf("after 1200 s: %q, want 6000 s left", got)
	}
	ph.change = func(r *contract.RegisterRequest) { r.Path = []string{"<sip:edge;lr>"} }
	resp = ph.register("", "<sip:1002@127.0.0.1>")
	if got := headers(resp, "Unsupported"); resp.Status != 420 || !slices.Equal(got, []string{"path"}) {
		t.Errorf("Path without Supported: %d, Unsupported %q; want 420 and path", resp.Status, got)
	}
	ph.change = func(r *contract.RegisterRequest) { r.Path, r.Supported = []string{"<sip:edge;lr>"}, []string{"path"} }
	resp = ph.register("", "<sip:1002@127.0.0.1>")
	if got := headers(resp, "Path"); resp.Status != 200 || !slices.Equal(got, []string{"<sip:edge;lr>"}) {
		t.Errorf("Path: %d %q", resp.Status, got)
	}
	if b := n.bindings("demo", "1002"); len(b) != 1 || !slices.Equal(b[0].Path, []string{"<sip:edge;lr>"}) || b[0].Received != local || b[0].Instance != "" {
		t.Errorf("binding: %+v", b)
	}
	ph.change = func(r *contract.RegisterRequest) { r.Require = []string{"foo", "bar"} }
	resp = ph.send(ph.request(""))
	if got := headers(resp, "Unsupported"); resp.Status != 420 || !slices.Equal(got, []string{"foo, bar"}) {
		t.Errorf("Require: %d %q", resp.Status, got)
	}
}

// TestRetransmission sends the very same request twice: one binding, one answer.
func TestRetransmission(t *testing.T) {
	n, p := newNode(t, nil)
	ev := p.events()
	ph := n.phone("1003")
	r := ph.request("600", "<sip:1003@127.0.0.1>")
	r = ph.answer(r, ph.send(r))
	first, second := ph.send(r), ph.send(r)
	if first.Status != 200 || second.Status != 200 || !slices.Equal(headers(first, "Contact"), headers(second, "Contact")) {
		t.Errorf("answers differ:\n%+v\n%+v", first, second)
	}
	if b := n.bindings("demo", "1003"); len(b) != 1 {
		t.Errorf("bindings: %+v", b)
	}
	// The same credentials in another request are a replay, and the binding stays.
	replay := *r
	replay.CSeq++
	replay.Contacts = []string{"<sip:thief@127.0.0.9>"}
	if resp := ph.send(&replay); resp.Status != 401 || !strings.Contains(headers(resp, "WWW-Authenticate")[0], "stale=true") {
		t.Errorf("replay: %+v, want 401 with stale=true", resp)
	}
	if resp := ph.register("0", "<sip:1003@127.0.0.1>"); resp.Status != 200 {
		t.Errorf("end: %d", resp.Status)
	}
	ev.expect(t, "1003", "BackInService/registered", "OutOfService/unregistered")
}

// TestNonceReuse is a phone that keeps its nonce and counts up.
func TestNonceReuse(t *testing.T) {
	n, _ := newNode(t, nil)
	ph := n.phone("1004")
	r := ph.request("600", "<sip:1004@127.0.0.1>")
	challenge := ph.send(r)
	for nc := 1; nc <= 3; nc++ {
		next := *r
		ph.cseq++
		next.CSeq = ph.cseq
		next.Authorization = []string{ph.credentials(challenge, r.RequestURI, nc)}
		if resp := ph.send(&next); resp.Status != 200 {
			t.Errorf("nonce-count %d: status %d, want 200", nc, resp.Status)
		}
	}
}
