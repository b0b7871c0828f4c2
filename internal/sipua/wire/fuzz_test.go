package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func seed(f *testing.F) {
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(register("Contact: <sip:1001@192.0.2.7>;expires=60, *", "Content-Length: 0"))
}

// FuzzScan: a message is refused, or what is written from it is again a message that says the same.
func FuzzScan(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m, again Message
		if err := Scan(&m, bytes.Clone(data)); err != nil {
			if m.Answerable() {
				AppendEnd(AppendAnswer(nil, &m, 400, "", source, []byte("tag")))
			}
			return
		}
		var out []byte
		if m.IsRequest() {
			out = AppendForward(nil, &m, &Forward{Source: source, Hops: m.Hops()})
		} else {
			out = AppendUpstream(nil, &m)
			if strings.Count(string(out), "\r\nVia:") == 0 {
				return // it had one Via: ours
			}
		}
		if err := Scan(&again, out); err != nil {
			t.Fatalf("refuses what it wrote: %v\n%q\nfrom\n%q", err, out, data)
		}
		if !bytes.Equal(m.Body(), again.Body()) || !bytes.Equal(m.Get(CallID), again.Get(CallID)) {
			t.Fatalf("changed on the way:\n%q\nfrom\n%q", out, data)
		}
		if m.Answerable() {
			answer := AppendEnd(AppendAnswer(nil, &m, 200, "", source, []byte("tag")))
			if err := Scan(&again, answer); err != nil || again.Tag(To) == nil {
				t.Fatalf("bad answer: %v\n%q", err, answer)
			}
		}
	})
}

// FuzzAgree: where the scanner and sipgo both accept a message, they read the same in it; and whatever the scanner
// accepts never makes sipgo panic.
func FuzzAgree(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		if Scan(&m, data) != nil {
			return
		}
		canonical := m.Canonical(nil)
		theirs, err := sip.ParseMessage(canonical)
		if err != nil {
			return
		}
		n, method := m.CSeq()
		if c := theirs.CSeq(); c == nil || c.SeqNo != n || string(c.MethodName) != string(method) {
			t.Errorf("CSeq: %d %s, sipgo %v\n%q", n, method, c, canonical)
		}
		if c := theirs.CallID(); c == nil || c.Value() != string(m.Get(CallID)) {
			t.Errorf("Call-ID: %q, sipgo %v", m.Get(CallID), c)
		}
		if !bytes.Equal(theirs.Body(), m.Body()) {
			t.Errorf("body: %q, sipgo %q", m.Body(), theirs.Body())
		}
		var via ViaValue
		if v := theirs.Via(); m.TopVia(&via) && (v == nil || !equalFold(via.Transport, v.Transport) || v.Port != via.Port) {
			t.Errorf("Via: %s %d, sipgo %v\n%q", via.Transport, via.Port, v, canonical)
		}
		if req, ok := theirs.(*sip.Request); ok != m.IsRequest() || ok && !strings.EqualFold(string(req.Method), string(m.Method())) {
			t.Errorf("method: %s, sipgo %v", m.Method(), theirs)
		}
	})
}

// FuzzValues: the value parsers return, and what they return lies in what they were given.
func FuzzValues(f *testing.F) {
	for _, s := range []string{`"A \" B" <sip:a@b;x=y?h=v>;tag=1;q="a;b"`, "sip:[2001:db8::1]:5060;lr", "SIP/2.0/UDP h:1;branch=z;rport", "a, <b,c>, \"d,e\"", "%41%"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var (
			a Address
			u URI
			v ViaValue
		)
		if ParseAddress(data, &a) && len(a.URI) == 0 {
			t.Error("an address without URI")
		}
		if ParseURI(data, &u) && u.SIP() && len(u.Host) == 0 {
			t.Error("a SIP URI without host")
		}
		if ParseVia(data, &v) && (len(v.Host) == 0 || len(v.Transport) == 0) {
			t.Error("a Via without host or transport")
		}
		n := 0
		for rest, more := data, true; more; n++ {
			_, rest, more = Next(rest)
		}
		if n > len(data)+1 {
			t.Errorf("%d values in %d bytes", n, len(data))
		}
		Param(data, "tag")
		if len(Unescape(data)) > len(data) {
			t.Error("unescaping made it longer")
		}
	})
}
