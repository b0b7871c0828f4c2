package wire

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// crlf makes a message of lines written one under the other; body follows the empty line.
func crlf(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n") }

func register(extra ...string) []byte {
	return crlf(append([]string{
		"REGISTER sip:demo.local SIP/2.0",
		"Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKabc;rport",
		"Max-Forwards: 70",
		`From: "Alice, A." <sip:1001@demo.local>;tag=f1`,
		"To: <sip:1001@demo.local>",
		"Call-ID: c1@192.0.2.7",
		"CSeq: 7 REGISTER",
	}, extra...)...)
}

var source = netip.MustParseAddrPort("198.51.100.9:40000")

// torture is what RFC 4475 wants for each of its messages, as far as the border is concerned: 0 is accepted, -1 is
// silence, else the status of the answer. What a registrar or a SIP node has to judge is accepted here.
var torture = map[string]int{
	"wsinv": 0, "intmeth": 0, "esc01": 0, "escnull": 0, "esc02": 0, "lwsdisp": 0, "longreq": 0, "dblreq": 0,
	"semiuri": 0, "transports": 0, "mpart01": 0, "unreason": 0, "noreason": 0, // §3.1.1, valid
	"badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "scalarlg": -1, "quotbal": 400, "ltgtruri": 400,
	"lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400, "baddate": 0, "regbadct": 0, "badaspec": 400,
	"baddn": 400, "badvers": 505, "mismatch01": 400, "mismatch02": 501, "bigcode": -1, // §3.1.2, invalid
	"badbranch": 0,                                                                                       // §3.2.1, transaction layer
	"insuf":     400, "unkscm": 416, "novelsc": 416, "unksm2": 0, "bext01": 0, "invut": 0, "regaut01": 0, // §3.3, application layer
	"multi01": 400, "mcl01": 400, "bcast": 0, "zeromf": 0, "cparam01": 0, "cparam02": 0, "regescrt": 0, "sdp01": 0,
	"inv2543": 0, // §3.4
}

func TestTortureMessages(t *testing.T) {
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) != len(torture) {
		t.Fatalf("%d torture messages, %v; want %d", len(files), err, len(torture))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".dat")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var m Message
			got := 0
			if e := Scan(&m, data); e != nil {
				if got = e.Status; got == 0 {
					got = -1
				}
				if m.Status() != 0 {
					got = -1
				}
			}
			if got != torture[name] {
				t.Fatalf("Scan = %d, want %d", got, torture[name])
			}
			if got != 0 {
				return
			}
			if _, err := sip.ParseMessage(m.Canonical(nil)); err != nil {
				t.Errorf("sipgo refuses the canonical form: %v\n%s", err, m.Canonical(nil))
			}
		})
	}
}

func TestScanFindsWhatIsThere(t *testing.T) {
	data, err := os.ReadFile("testdata/torture/wsinv.dat")
	if err != nil {
		t.Fatal(err)
	}
	var m Message
	if err := Scan(&m, data); err != nil {
		t.Fatal(err)
	}
	var to Address
	if !ParseAddress(m.Get(To), &to) || string(to.URI) != "sip:vivekg@chair-dnrc.example.com" {
		t.Errorf("To = %+v", to)
	}
	n, method := m.CSeq()
	var vias []string
	for v := range m.Values(Via) {
		var via ViaValue
		if !ParseVia(v, &via) {
			t.Fatalf("Via %q", v)
		}
		vias = append(vias, fmt.Sprintf("%s %s %s", via.Transport, via.Host, via.Branch))
	}
	got := fmt.Sprint(string(m.Tag(To)), string(m.Tag(From)), n, string(method), m.Hops(), vias)
	want := fmt.Sprint("1918181833n", "98asjd8", 9, "INVITE", 68, []string{
		"UDP 192.0.2.2 390skdjuw", "TCP spindle.example.com z9hG4bK9ikj8", "UDP 192.168.255.111 z9hG4bK30239"})
	if got != want {
		t.Errorf("read  %s\nwanted %s", got, want)
	}
	if m.Lookup("newfangledheader") == nil || string(m.Lookup("NewFangledHeader")) != "newfangled value continued newfangled value" {
		t.Errorf("folded header = %q", m.Lookup("NewFangledHeader"))
	}
}

func TestScanRefuses(t *testing.T) {
	good := string(register("Content-Length: 0"))
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, c := range map[string]struct {
		data   string
		status int // 0: silence
	}{
		"nothing":                 {"", 0},
		"keep-alive":              {"\r\n\r\n", 0},
		"HTTP":                    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
		"a bare LF in a header":   {replace("Max-Forwards: 70", "Max-Forwards: 70\nX: y"), 400},
		"a bare CR in a header":   {replace("Max-Forwards: 70", "Subject: a\rb"), 400},
		"no end":                  {strings.TrimSuffix(good, "\r\n"), 400},
		"a name with a blank":     {replace("Max-Forwards:", "Max Forwards:"), 400},
		"two To":                  {replace("To: ", "To: <sip:x@y>\r\nt: "), 400},
		"two Content-Length":      {replace("Content-Length: 0", "Content-Length: 0\r\nl: 5"), 400},
		"a short body":            {replace("Content-Length: 0", "Content-Length: 10"), 400},
		"another method in CSeq":  {replace("7 REGISTER", "7 INVITE"), 400},
		"a CSeq beyond its range": {replace("7 REGISTER", "2147483648 REGISTER"), 400},
		"a Via of no transport":   {replace("SIP/2.0/UDP ", "SIP/2.0 "), 400},
		"a port beyond its range": {replace("192.0.2.7:5062", "192.0.2.7:65536"), 400},
		"two @":                   {replace("REGISTER sip:demo.local", "REGISTER sip:a@b@demo.local"), 400},
		"hops beyond their range": {replace("Max-Forwards: 70", "Max-Forwards: 256"), 400},
	} {
		var m Message
		err := Scan(&m, []byte(c.data))
		if err == nil || err.Status != c.status {
			t.Errorf("%s: Scan = %v, want status %d", name, err, c.status)
		}
	}
	var m Message
	if err := Scan(&m, append(register("Content-Length: 0"), "trailing bytes"...)); err != nil || len(m.Body()) != 0 {
		t.Errorf("bytes behind the body: %v, body %q", err, m.Body())
	}
}

func TestAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		via  string
		want string
	}{
		{"rport asked for", "SIP/2.0/UDP 192.0.2.7:5062;rport;branch=z9hG4bKa", "SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKa;received=198.51.100.9;rport=40000"},
		{"behind NAT", "SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKa", "SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKa;received=198.51.100.9"},
		{"nothing to tell", "SIP/2.0/UDP 198.51.100.9:5062;branch=z9hG4bKa", "SIP/2.0/UDP 198.51.100.9:5062;branch=z9hG4bKa"},
		{"a name", "SIP/2.0/TCP phone.example.com;branch=z9hG4bKa", "SIP/2.0/TCP phone.example.com;branch=z9hG4bKa;received=198.51.100.9"},
		{"a lie", "SIP/2.0/UDP 198.51.100.9:5062;received=203.0.113.1;rport=9;branch=z9hG4bKa", "SIP/2.0/UDP 198.51.100.9:5062;branch=z9hG4bKa;received=198.51.100.9;rport=40000"},
		{"two in one line", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa , SIP/2.0/UDP 10.0.0.1;received=10.0.0.2", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa;received=198.51.100.9, SIP/2.0/UDP 10.0.0.1;received=10.0.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Message
			data := strings.Replace(string(register("Via: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKlow")),
				"SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKabc;rport", c.via, 1)
			if err := Scan(&m, []byte(data)); err != nil {
				t.Fatal(err)
			}
			got := AppendAnswer(nil, &m, 423, "", source, []byte("totag"))
			got = AppendEnd(AppendHeader(got, "Min-Expires", "60\r\nEvil: yes"))
			want := strings.Join([]string{"SIP/2.0 423 Interval Too Brief", "Via: " + c.want, "Via: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKlow",
				`From: "Alice, A." <sip:1001@demo.local>;tag=f1`, "To: <sip:1001@demo.local>;tag=totag", "Call-ID: c1@192.0.2.7",
				"CSeq: 7 REGISTER", "Min-Expires: 60  Evil: yes", "Content-Length: 0", "", ""}, "\r\n")
			if string(got) != want {
				t.Errorf("answer\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestReplyPort(t *testing.T) {
	for via, want := range map[string]uint16{
		"SIP/2.0/UDP 198.51.100.9:5062":       5062,  // as it says (RFC 3261 §18.2.2)
		"SIP/2.0/UDP 198.51.100.9":            5060,  // the default
		"SIP/2.0/UDP 198.51.100.9:5062;rport": 40000, // as it asks (RFC 3581)
		"SIP/2.0/UDP 10.0.0.3:5062":           40000, // a NAT shows
		"SIP/2.0/UDP phone.local":             40000,
	} {
		var v ViaValue
		if !ParseVia([]byte(via), &v) || v.ReplyPort(source) != want {
			t.Errorf("ReplyPort of %q = %d, want %d", via, v.ReplyPort(source), want)
		}
	}
}

func TestForward(t *testing.T) {
	var m Message
	data := crlf("INVITE sip:1002@demo.local SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKabc;rport",
		"Route: <sip:tok@proxy:5060;lr>, <sip:proxy;lr>", "Route: <sip:next;lr>", "X-Parley-Tenant: forged", "max-forwards: 30",
		"From: <sip:a@b>;tag=1", "To: <sip:c@d>", "Call-ID: x", "CSeq: 1 INVITE", "X-Unknown: kept\r\n  as it was") // no Content-Length
	if err := Scan(&m, append(data, "body"...)); err != nil {
		t.Fatal(err)
	}
	got := AppendForward(nil, &m, &Forward{URI: []byte("sip:1002@10.0.0.5"), Head: []byte("Via: ours\r\n"), Tail: []byte("X-Parley-Tenant: demo\r\n"),
		Source: source, DropRoutes: 2, Hops: 29})
	want := strings.Join([]string{"INVITE sip:1002@10.0.0.5 SIP/2.0", "Via: ours",
		"Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bKabc;received=198.51.100.9;rport=40000", "Route: <sip:next;lr>",
		"From: <sip:a@b>;tag=1", "To: <sip:c@d>", "Call-ID: x", "CSeq: 1 INVITE", "X-Unknown: kept\r\n  as it was",
		"Max-Forwards: 29", "X-Parley-Tenant: demo", "Content-Length: 4", "", "body"}, "\r\n")
	if string(got) != want {
		t.Errorf("forwarded\n%s\nwant\n%s", got, want)
	}
	var sent Message
	if err := Scan(&sent, slices.Replace(got, 0, 0)); err == nil { // our stand-in Via is no Via
		t.Error("a message with a broken top Via was accepted")
	}
}

func TestUpstreamAckAndCancel(t *testing.T) {
	invite := crlf("INVITE sip:b@c SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKp, SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKq",
		"Route: <sip:n;lr>", "From: <sip:a@b>;tag=1", "To: <sip:b@c>", "Call-ID: x", "CSeq: 5 INVITE", "Content-Length: 0")
	var m, res Message
	if err := Scan(&m, invite); err != nil {
		t.Fatal(err)
	}
	if err := Scan(&res, AppendEnd(AppendAnswer(nil, &m, 486, "", netip.AddrPort{}, []byte("t2")))); err != nil {
		t.Fatal(err)
	}
	up := string(AppendUpstream(nil, &res))
	if strings.Contains(up, "z9hG4bKp") || !strings.Contains(up, "Via: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKq\r\n") {
		t.Errorf("upstream:\n%s", up)
	}
	for method, got := range map[string][]byte{"ACK": AppendAck(nil, &m, res.Get(To)), "CANCEL": AppendCancel(nil, &m, "")} {
		var a Message
		if err := Scan(&a, got); err != nil {
			t.Fatalf("%s: %v\n%s", method, err, got)
		}
		n, cm := a.CSeq()
		if string(a.Method()) != method || string(cm) != method || n != 5 || string(a.Get(Route)) != "<sip:n;lr>" ||
			(string(a.Tag(To)) == "t2") != (method == "ACK") || strings.Count(string(got), "Via:") != 1 {
			t.Errorf("%s:\n%s", method, got)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{"1001": "1001", "%75se%72": "user", "a%0": "a%0", "%zz": "%zz", "n%00l": "n\x00l"} {
		if got := Unescape([]byte(in)); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
}
