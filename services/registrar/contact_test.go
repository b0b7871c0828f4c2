package registrar

import (
	"strings"
	"testing"
)

func TestParseContact(t *testing.T) {
	const uri = "sip:1001@host"
	tests := []struct {
		name, value string
		want        contact
	}{
		{"addr-spec", uri, contact{uri: uri, q: 1000, expires: -1}},
		{"brackets", "<" + uri + ">", contact{uri: uri, q: 1000, expires: -1}},
		{"display name", "Al Ice <" + uri + ">", contact{uri: uri, q: 1000, expires: -1}},
		{"quoted name with bracket, comma and escape", `"A <l>, \"ice\"" <` + uri + `>;q=0`, contact{uri: uri, q: 0, expires: -1}},
		{"parameters inside and outside", "<" + uri + ";transport=tcp;expires=9>;expires=60", contact{uri: uri + ";transport=tcp;expires=9", q: 1000, expires: 60}},
		{"addr-spec: parameters are the header's", uri + ";expires=60;q=0.5", contact{uri: uri, q: 500, expires: 60}},
		{"blanks", " <" + uri + "> ; q = 0.25 ; expires = 7", contact{uri: uri, q: 250, expires: 7}},
		{"instance", "<" + uri + `>;+sip.instance="<urn:uuid:1;2>";reg-id=3`, contact{uri: uri, q: 1000, expires: -1, instance: "<urn:uuid:1;2>", regID: 3}},
		{"unknown parameters", "<" + uri + `>;audio;methods="INVITE, ACK";x=y`, contact{uri: uri, q: 1000, expires: -1}},
		{"expires as a date", "<" + uri + `>;expires="Sat, 01 Jan 2000 00:00:00 GMT"`, contact{uri: uri, q: 1000, expires: -1}},
		{"expires beyond 32 bits", "<" + uri + ">;expires=4294967296", contact{uri: uri, q: 1000, expires: 1<<32 - 1}},
		{"IPv6", "<sip:1001@[::1]:5060>", contact{uri: "sip:1001@[::1]:5060", q: 1000, expires: -1}},
		{"greater-than in a parameter", uri + `;x="<a>"`, contact{uri: uri, q: 1000, expires: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseContact(tt.value)
			if err != nil || got != tt.want {
				t.Errorf("parseContact(%q) = %+v, %v; want %+v", tt.value, got, err, tt.want)
			}
		})
	}
}

func TestParseContactRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"nothing":            "",
		"star":               "*",
		"no scheme":          "<1001@host>",
		"other scheme":       "<mailto:a@b>",
		"no host":            "<sip:>",
		"empty user":         "<sip:@host>",
		"open bracket":       "<sip:1001@host",
		"open quote":         `"Alice <sip:1001@host>`,
		"quote without end":  `<sip:1001@host>;x="a`,
		"q above one":        "<sip:1001@host>;q=1.001",
		"q with four places": "<sip:1001@host>;q=0.1234",
		"q empty":            "<sip:1001@host>;q=",
		"reg-id zero":        "<sip:1001@host>;reg-id=0",
		"reg-id word":        "<sip:1001@host>;reg-id=x",
		"line break":         "<sip:1001@host>;x=\r\nEvil: 1",
		"blank in URI":       "<sip:1001@ho st>",
		"port too long":      "<sip:1001@host:506000>",
		"port word":          "<sip:1001@host:sip>",
		"junk behind":        "<sip:1001@host> x",
		"quote in instance":  `<sip:1001@host>;+sip.instance="a\"b"`,
		"long":               "<sip:" + strings.Repeat("1", maxContact) + "@host>",
		"long URI":           "<sip:" + strings.Repeat("1", maxURI) + "@host>",
		"many parameters":    "<sip:1001@host>" + strings.Repeat(";a", maxContactParam+1),
	} {
		if c, err := parseContact(value); err == nil {
			t.Errorf("%s: parseContact(%q) = %+v, want an error", name, value, c)
		}
	}
}

func TestSameURI(t *testing.T) {
	tests := []struct {
		a, b string
		same bool
	}{
		// RFC 3261 §19.1.4
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		// beyond the RFC's examples
		{"sip:a@h", "sips:a@h", false},
		{"sip:a@h;ttl=1", "sip:a@h;ttl=2", false},
		{"sip:a@h;user=phone", "sip:a@h", false},
		{"sip:a@h;maddr=1.2.3.4", "sip:a@h", false},
		{"sip:a@h;maDdr=1.2.3.4", "sip:a@h;MADDR=1.2.3.4", true},
		{"sip:a@[::1]", "sip:a@[::1]", true},
		{"sip:a@h", "tel:1", false},
	}
	for _, tt := range tests {
		for _, p := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := sameURI(p[0], p[1]); got != tt.same {
				t.Errorf("sameURI(%q, %q) = %v, want %v", p[0], p[1], got, tt.same)
			}
		}
	}
}

func FuzzContact(f *testing.F) {
	f.Add(`"A \"b\"" <sip:1001@[::1]:5060;transport=tcp?x=y>;q=0.5;expires=60;+sip.instance="<urn:uuid:1>";reg-id=1`)
	f.Add("sip:a@b;x;y=z")
	f.Add("<sip:a@b>;=;;=\"")
	f.Fuzz(func(t *testing.T, value string) {
		c, err := parseContact(value)
		if err != nil {
			return
		}
		if len(c.uri) > maxURI || c.uri == "" || c.q > 1000 || c.expires > 1<<32-1 || !printable(c.uri) || !printable(c.instance) {
			t.Errorf("parseContact(%q) accepted %+v", value, c)
		}
		if !sameURI(c.uri, c.uri) {
			t.Errorf("%q is not the same as itself", c.uri)
		}
		// What is written into a 200 must be read as the same contact again.
		b := binding{contact: c.uri, q: c.q, instance: c.instance, regID: c.regID, expires: 60_000}
		var r reply
		r.contact(&b, 0)
		again, err := parseContact(string(r.buf))
		want := c
		want.expires = 60
		if len(r.buf) <= maxContact && (err != nil || again != want) {
			t.Errorf("%q was written as %q and read as %+v, %v; want %+v", value, r.buf, again, err, want)
		}
	})
}

func FuzzSameURI(f *testing.F) {
	f.Add("sip:%61@h;transport=tcp?a=b&c=d", "SIP:a@H;Transport=TCP?c=d&a=b")
	f.Add("sip:a@h;x=%", "sip:a@h;x=%2")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > maxURI || len(b) > maxURI {
			return
		}
		if sameURI(a, b) != sameURI(b, a) {
			t.Errorf("sameURI(%q, %q) depends on the order", a, b)
		}
	})
}
