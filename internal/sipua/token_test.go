package sipua

import (
	"errors"
	"net/netip"
	"testing"

	"parley/internal/sipua/transport"
)

var flows = []Flow{
	{},
	{Door: "node-1", Transport: transport.UDP, Remote: netip.MustParseAddrPort("192.0.2.1:5060"), Local: netip.MustParseAddrPort("[2001:db8::1]:5060"), Node: "node-2"},
	{Door: "n", Transport: transport.TLS, Remote: netip.MustParseAddrPort("192.0.2.1:5061"), Name: "sip.example.com", Unverified: true},
	{Door: "n", Transport: transport.WSS, ID: "1a2b3c-77", Remote: netip.MustParseAddrPort("[2001:db8::7]:40000")},
}

func TestTokensRoundTrip(t *testing.T) {
	tok := NewTokens([]byte("0123456789abcdef0123456789abcdef"))
	for _, f := range flows {
		if f.Transport == "" {
			f.Transport = transport.UDP
		}
		s := tok.Encode(f)
		got, err := tok.Decode([]byte(s))
		if err != nil || got != f {
			t.Errorf("Decode(Encode(%+v)) = %+v, %v", f, got, err)
		}
	}
}

func TestTokensRefuseForgeries(t *testing.T) {
	tok, other := NewTokens([]byte("key one")), NewTokens([]byte("key two"))
	good := []byte(tok.Encode(flows[1]))
	if _, err := other.Decode(good); !errors.Is(err, ErrToken) {
		t.Errorf("a token of another cluster: %v", err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		if bad[i]++; bad[i] == good[i] {
			continue
		}
		if f, err := tok.Decode(bad); err == nil {
			t.Fatalf("byte %d changed: %+v", i, f)
		}
	}
	for i := range good {
		if _, err := tok.Decode(good[:i]); err == nil {
			t.Fatalf("cut to %d bytes: accepted", i)
		}
	}
}

func TestPassesRoundTripAndRefuseForgeries(t *testing.T) {
	tok, id := NewTokens([]byte("key one")), []byte("call-1")
	passes := []Pass{
		{From: "a", To: "b", Transport: transport.UDP},
		{From: "node-1", To: "node-2", Transport: transport.WSS, Source: netip.MustParseAddrPort("[2001:db8::7]:40000")},
	}
	for _, p := range passes {
		s := []byte(tok.EncodePass(p, id))
		if got, err := tok.DecodePass(s, id); err != nil || got != p {
			t.Errorf("DecodePass(EncodePass(%+v)) = %+v, %v", p, got, err)
		}
		if _, err := tok.DecodePass(s, []byte("call-2")); !errors.Is(err, ErrToken) {
			t.Errorf("a pass of another call: %v", err)
		}
		if _, err := NewTokens([]byte("key two")).DecodePass(s, id); !errors.Is(err, ErrToken) {
			t.Errorf("a pass of another cluster: %v", err)
		}
		if f, err := tok.Decode(s); !errors.Is(err, ErrToken) {
			t.Errorf("a pass is read as a flow: %+v", f)
		}
		for i := range s {
			bad := append([]byte(nil), s...)
			if bad[i]++; bad[i] == s[i] {
				continue
			}
			if got, err := tok.DecodePass(bad, id); err == nil {
				t.Fatalf("byte %d changed: %+v", i, got)
			}
		}
	}
	if p, err := tok.DecodePass([]byte(tok.Encode(flows[1])), nil); !errors.Is(err, ErrToken) {
		t.Errorf("a flow, which phones see, is read as a pass: %+v", p)
	}
}

// FuzzTokens: what was not signed is refused, whatever it is, and nothing panics.
func FuzzTokens(f *testing.F) {
	tok := NewTokens([]byte("key"))
	for _, flow := range flows {
		f.Add([]byte(tok.Encode(flow)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		flow, err := tok.Decode(data)
		if err == nil && tok.Encode(flow) != string(data) {
			t.Errorf("%q reads as %+v, which is written %q", data, flow, tok.Encode(flow))
		}
	})
}

// FuzzPasses: what was not signed for the call is refused, whatever it is, and nothing panics.
func FuzzPasses(f *testing.F) {
	tok, id := NewTokens([]byte("key")), []byte("call-1")
	f.Add([]byte(tok.EncodePass(Pass{From: "a", To: "b", Transport: transport.TCP, Source: netip.MustParseAddrPort("192.0.2.1:5060")}, id)))
	f.Add([]byte(tok.EncodePass(Pass{From: "a", To: "b", Transport: transport.UDP}, id)))
	f.Add([]byte(tok.Encode(flows[1])))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := tok.DecodePass(data, id)
		if err == nil && tok.EncodePass(p, id) != string(data) {
			t.Errorf("%q reads as %+v, which is written %q", data, p, tok.EncodePass(p, id))
		}
	})
}

func BenchmarkTokens(b *testing.B) {
	tok := NewTokens([]byte("0123456789abcdef0123456789abcdef"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tok.Decode([]byte(tok.Encode(flows[1]))); err != nil {
			b.Fatal(err)
		}
	}
}
