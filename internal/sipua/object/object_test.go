package object

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua/wire"
)

const invite = "INVITE sip:1002@pbx.test SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP node.test:5060;branch=z9hG4bK77\r\n" +
	"v: SIP/2.0/UDP 192.0.2.4:5070;branch=z9hG4bK78;received=192.0.2.5\r\n" +
	"Record-Route: <sip:a@192.0.2.1;lr>, <sip:b@192.0.2.2;lr>\r\n" +
	"Max-Forwards: 69\r\n" +
	"From: \"Alice: A\" <sip:1001@pbx.test>;tag=ft\r\n" +
	"t: sip:1002@pbx.test\r\n" +
	"Call-ID: c1@192.0.2.4\r\n" +
	"CSeq: 7 INVITE\r\n" +
	"m: <sip:1001@192.0.2.4:5070>\r\n" +
	"Allow: INVITE, ACK,\r\n  BYE\r\n" +
	"X-Own:no blank\r\n" +
	"X-Empty:\r\n" +
	"Content-Type: application/sdp\r\n" +
	"Content-Length: 5\r\n\r\nv=0\r\n"

func scan(t testing.TB, s string) *wire.Message {
	t.Helper()
	var m wire.Message
	if err := wire.Scan(&m, []byte(s)); err != nil {
		t.Fatalf("scan: %v\n%s", err, s)
	}
	return &m
}

// TestRequestIsWhatSipgoReads compares field by field with sipgo's own parser.
func TestRequestIsWhatSipgoReads(t *testing.T) {
	m := scan(t, invite)
	got, err := Request(m)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := sip.ParseMessage(m.Canonical(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := parsed.(*sip.Request)
	agree(t, got, want)
	if got.Recipient.String() != want.Recipient.String() || got.Method != want.Method {
		t.Errorf("request line %s %s, want %s %s", got.Method, got.Recipient.String(), want.Method, want.Recipient.String())
	}
	if c := got.Contact(); c == nil || c.Address.Host != "192.0.2.4" || c.Address.Port != 5070 {
		t.Errorf("Contact %v", c)
	}
	if h := got.MaxForwards(); h == nil || h.Val() != 69 {
		t.Errorf("Max-Forwards %v", h)
	}
}

func agree(t *testing.T, got, want sip.Message) {
	t.Helper()
	for _, f := range []struct{ name, got, want string }{
		{"From", got.From().Value(), want.From().Value()},
		{"To", got.To().Value(), want.To().Value()},
		{"Call-ID", got.CallID().Value(), want.CallID().Value()},
		{"CSeq", got.CSeq().Value(), want.CSeq().Value()},
		{"Via", got.Via().Value(), want.Via().Value()},
		{"body", string(got.Body()), string(want.Body())},
		{"length", got.ContentLength().Value(), want.ContentLength().Value()},
	} {
		if f.got != f.want {
			t.Errorf("%s: %q, want %q", f.name, f.got, f.want)
		}
	}
	for _, name := range []string{"Via", "Record-Route", "Route", "Allow", "X-Own", "X-Empty", "Content-Type"} {
		value := func(h sip.Header) string { return h.Value() }
		if g, w := values(got.GetHeaders(name), value), values(want.GetHeaders(name), value); !slices.Equal(g, w) {
			t.Errorf("%s: %q, want %q", name, g, w)
		}
	}
}

func values(hs []sip.Header, of func(sip.Header) string) (out []string) {
	for _, h := range hs {
		out = append(out, of(h))
	}
	return out
}

// TestTorture: whatever of RFC 4475 the scanner takes, object and sipgo's parser agree on, or both refuse it.
func TestTorture(t *testing.T) {
	files, err := filepath.Glob("../wire/testdata/torture/*.dat")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m wire.Message
		if wire.Scan(&m, data) != nil {
			continue
		}
		want, err := sip.ParseMessage(m.Canonical(nil))
		if err != nil {
			continue // sipgo reads every field, we read those we need
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			var got sip.Message
			if m.IsRequest() {
				got, err = Request(&m)
			} else {
				got, err = Response(&m)
			}
			if err != nil {
				t.Fatal(err)
			}
			agree(t, got, want)
		})
	}
}

func TestUnreadableIsRefused(t *testing.T) {
	m := scan(t, strings.Replace(invite, "sip:1002@pbx.test SIP/2.0", "tel:+49301234 SIP/2.0", 1))
	if req, err := Request(m); err != nil || req.Recipient.Scheme != "tel" {
		t.Errorf("a tel URI: %v, %v", req, err)
	}
}

// TestAppendIsWhatSipgoWrites: Append and String differ in nothing.
func TestAppendIsWhatSipgoWrites(t *testing.T) {
	req, err := Request(scan(t, invite))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(Append(nil, req)); got != req.String() {
		t.Errorf("request\n%q, want\n%q", got, req.String())
	}
	res := sip.NewResponseFromRequest(req, 200, "OK", []byte("v=0\r\n"))
	if got := string(Append([]byte("x"), res)); got != "x"+res.String() {
		t.Errorf("response\n%q, want\n%q", got, res.String())
	}
	again, err := Response(scan(t, res.String()))
	if err != nil {
		t.Fatal(err)
	}
	agree(t, again, res)
	if again.StatusCode != 200 || again.Reason != "OK" {
		t.Errorf("status %d %q", again.StatusCode, again.Reason)
	}
}

// TestAnswer compares with sipgo's own responses.
func TestAnswer(t *testing.T) {
	tagged := strings.Replace(invite, "t: sip:1002@pbx.test", "To: <sip:1002@pbx.test>;tag=mine", 1)
	for _, text := range []string{invite, tagged} {
		for _, status := range []int{100, 180, 183, 200, 202, 302, 407, 486, 503} {
			req, err := Request(scan(t, text))
			if err != nil {
				t.Fatal(err)
			}
			want := sip.NewResponseFromRequest(req, status, "Reason", nil)
			if to := want.To(); status > 100 {
				to.Params.Remove("tag")
				to.Params.Add("tag", "mine")
			}
			got := Answer(req, status, "Reason", "mine")
			agree(t, got, scanned(t, want.String()))
			agree(t, scanned(t, string(Append(nil, got))), scanned(t, want.String()))
		}
	}
}

func scanned(t *testing.T, text string) *sip.Response {
	t.Helper()
	res, err := Response(scan(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func BenchmarkRequest(b *testing.B) {
	m := scan(b, invite)
	b.Run("object", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Request(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sipgo", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := sip.ParseMessage(m.Canonical(nil)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	req, err := Request(scan(b, invite))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("object", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Append(make([]byte, 0, 1024), Answer(req, 200, "OK", "mine"))
		}
	})
	b.Run("sipgo", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = []byte(sip.NewResponseFromRequest(req, 200, "OK", nil).String())
		}
	})
}
