package registrar

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"parley/internal/contract"
)

// FuzzRegister gives a registrar everything that a REGISTER brings from outside, from a phone that knows its password.
func FuzzRegister(f *testing.F) {
	f.Add("100000", "call", uint32(1), "<sip:a@b>;q=0.5\x00sip:c@d", "60", "<sip:edge;lr>", "path", "", "agent", "127.0.0.1:5060")
	f.Add("100000", "call", uint32(2), "*", "0", "", "", "", "", "[::1]:5060")
	f.Add("999999", "", uint32(0), "", "", "", "", "foo", "baresip v1.0", "")
	s := bareService(f, newCrowd(1), func(o *Options) { o.Config.Bans.Failures = 0 })
	f.Fuzz(func(t *testing.T, user, callID string, cseq uint32, contacts, expires, path, supported, require, agent, source string) {
		split := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, "\x00")
		}
		from, err := netip.ParseAddrPort(source)
		if err != nil {
			from = netip.AddrPort{}
		}
		r := &contract.RegisterRequest{
			RequestURI: "sip:" + realm, Host: realm, ToUser: user, ToHost: realm, CallID: callID, CSeq: cseq,
			Contacts: split(contacts), Expires: expires, Path: split(path), Supported: split(supported), Require: split(require),
			UserAgent: agent, Transport: "udp", Source: from, Node: "n1",
		}
		for _, signed := range []bool{false, true} {
			if signed {
				sign(s, r, "100000")
			}
			resp, err := s.Register(t.Context(), r)
			if err != nil || !slices.Contains(statuses[:], resp.Status) {
				t.Fatalf("Register = %+v, %v", resp, err)
			}
			if resp.Status == 200 && (!signed || user != "100000") {
				t.Fatalf("let in: %+v", r)
			}
			for _, h := range resp.Headers {
				if !printable(h.Value) {
					t.Errorf("header %s: %q", h.Name, h.Value)
				}
			}
		}
		if b, err := s.Bindings(t.Context(), contract.BindingsRequest{Tenant: "demo", DN: "100000"}); err != nil || len(b.Bindings) > s.cfg.Contacts.Max {
			t.Errorf("Bindings = %+v, %v", b, err)
		}
	})
}
