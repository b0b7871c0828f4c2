package trunk

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua/locate"
	"parley/internal/voice"
)

// Whose INVITE is the carrier's without a password.
func TestFrom(t *testing.T) {
	r := newRig(t)
	for dn, o := range map[string]map[string]string{
		"strict":    {"contact": "sip:192.0.2.1:5062"},
		"open":      {"contact": "sip:192.0.2.2:5062", "trusted-source": "address"},
		"nobody":    {"contact": "sip:192.0.2.3:5062", "trusted-source": "none"},
		"proving":   {"contact": "sip:192.0.2.4:5062", "authenticate-requests": "invite", "trusted-source": "address"},
		"provider":  {"contact": "sip:192.0.2.5", "register": "sip:192.0.2.5"},
		"first":     {"contact": "sip:192.0.2.6:5062", "trusted-source": "address"},
		"stream":    {"contact": "sip:192.0.2.7:5062;transport=tcp"},
		"datagrams": {"contact": "sip:192.0.2.7:5062"},
		"second":    {"contact": "sip:192.0.2.6:5064", "trusted-source": "address"},
	} {
		r.put(dn, voice.DNTrunk, o)
	}
	r.table.Read()
	r.attach(nil)
	contact := r.table.contactUser(r.table.Find("demo", "provider"))
	if len(contact) < 20 {
		t.Errorf("the registered contact %q can be guessed", contact)
	}
	for _, c := range []struct{ what, from, user, want string }{
		{"its very port", "192.0.2.1:5062", "1001", "strict"},
		{"in IPv6 clothes", "[::ffff:192.0.2.1]:5062", "1001", "strict"},
		{"a phone behind the same address", "192.0.2.1:40000", "1001", ""},
		{"any port where the trunk says so", "192.0.2.2:40000", "1001", "open"},
		{"one who trusts nobody", "192.0.2.3:5062", "1001", ""},
		{"one who must prove it", "192.0.2.4:5062", "1001", ""},
		{"a stranger", "198.51.100.1:5062", "1001", ""},
		{"whoever calls the contact we registered", "198.51.100.1:5060", contact, "provider"},
		{"the one with that port", "192.0.2.6:5064", "1001", "second"},
		{"the one with that transport", "192.0.2.7:5062", "1001", "datagrams"},
	} {
		got := ""
		if tr := r.table.From("udp", netip.MustParseAddrPort(c.from), c.user); tr != nil {
			got = tr.DN
		}
		if got != c.want {
			t.Errorf("%s: From(%s) = %q, want %q", c.what, c.from, got, c.want)
		}
	}
	if !r.table.Registered(r.table.Find("demo", "provider"), contact) || r.table.Registered(r.table.Find("demo", "open"), contact) {
		t.Error("whose the registered contact is, is not known")
	}
}

// A trunk writes numbers as its carrier wants them, and reads them as the house wants them.
func TestNumbersOfACall(t *testing.T) {
	r := newRig(t)
	r.attach(nil)
	r.put("1001", voice.DNExtension, map[string]string{"cpn": "030555101"})
	r.put("1002", voice.DNExtension, map[string]string{"contact": "*"})
	tr := r.trunk("gw1", map[string]string{"contact": "sip:192.0.2.10", "country-code": "49", "national-prefix": "0", "international-prefix": "00",
		"number-format-out": "e164", "cpn-format-out": "e164", "number-format-in": "national", "cpn-format-in": "national",
		"cpn": "+4930555000", "override-from": "account7", "override-domain": "carrier.example"})
	for _, c := range []struct{ from, caller, called, wantCaller, wantCalled string }{
		{"1001", "1001", "089123456", "+4930555101", "+4989123456"},
		{"1002", "1002", "0044201234567", "+4930555000", "+44201234567"},
		{"", "+4940987654", "110", "+4940987654", "110"}, // forwarded: the caller outside keeps his number
	} {
		e, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: c.called, From: c.from, Caller: c.caller, Domain: "demo.local"})
		if err != nil {
			t.Fatal(err)
		}
		if e.Caller != c.wantCaller || e.Number != c.wantCalled || e.Domain != "carrier.example" || e.From != "account7" {
			t.Errorf("%s calls %s: %s at %s calls %s", c.caller, c.called, e.Caller, e.Domain, e.Number)
		}
	}
	if got := tr.Called("+4930555101"); got != "030555101" {
		t.Errorf("called %s", got)
	}
	if got := tr.Calling("+44201234567"); got != "0044201234567" {
		t.Errorf("calling %s", got)
	}
}

// A call that comes takes a place as one that leaves does.
func TestCapacityBothWays(t *testing.T) {
	r := newRig(t)
	r.attach(nil)
	tr := r.trunk("gw1", map[string]string{"contact": "sip:192.0.2.10", "capacity": "2"})
	leave, ok := tr.Enter()
	if !ok {
		t.Fatal("no place for the first call")
	}
	e, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tr.Enter(); ok {
		t.Error("a third call came in")
	}
	if _, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: "1"}); !errors.Is(err, ErrFull) {
		t.Errorf("a third call left: %v", err)
	}
	e.Release()
	leave()
	leave()
	if s := r.only(); s.Calls != 0 || s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

// Names are looked up again when their records end, and an address that changed is known at once, both ways.
func TestNamesAreKeptFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.attach(nil)
		named := func(ip string, ttl time.Duration) {
			answer, err := r.Locate(t.Context(), locate.URI{Host: ip})
			if err != nil {
				t.Fatal(err)
			}
			answer.Until = time.Now().Add(ttl)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.answers = map[string]locate.Answer{"carrier.test": answer}
		}
		r.put("gw1", voice.DNTrunk, map[string]string{"contact": "sip:carrier.test"})
		r.table.Read()
		if s := r.only(); s.State != contract.TrunkUnwatched || s.Reason == "" || s.OutOfServ != 0 {
			t.Errorf("before its name was looked up: %+v", s)
		}
		if _, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: "1"}); !errors.Is(err, ErrOut) {
			t.Errorf("a call before its name was looked up: %v", err)
		}
		named("192.0.2.10", 30*time.Second)
		defer r.run()()
		synctest.Wait()
		if tr := r.table.From("udp", netip.MustParseAddrPort("192.0.2.10:5060"), "1"); tr == nil {
			t.Error("the address of its name is not known")
		}
		named("192.0.2.11", 30*time.Second)
		time.Sleep(31 * time.Second)
		if r.table.From("udp", netip.MustParseAddrPort("192.0.2.10:5060"), "1") != nil || r.table.From("udp", netip.MustParseAddrPort("192.0.2.11:5060"), "1") == nil {
			t.Error("the new address is not known, or the old one still is")
		}
		r.mu.Lock()
		clear(r.answers)
		r.mu.Unlock()
		time.Sleep(31 * time.Second)
		if s := r.only(); s.State != contract.TrunkOutOfService || s.OutOfServ != 1 || len(s.Targets) != 0 {
			t.Errorf("when its name leads nowhere: %+v", s)
		}
		named("192.0.2.11", time.Minute)
		time.Sleep(6 * time.Second)
		if s := r.only(); len(s.Targets) != 1 || s.Targets[0].Address != "192.0.2.11:5060" {
			t.Errorf("targets %+v", s.Targets)
		}
	})
}

func BenchmarkLeave(b *testing.B) {
	r := newRig(b)
	r.attach(nil)
	r.trunk("gw1", map[string]string{"contact": "sip:192.0.2.10", "contact-backup": "sip:192.0.2.11", "country-code": "49", "national-prefix": "0", "number-format-out": "e164"})
	l := Leaving{Tenant: "demo", DN: "gw1", Number: "089123456", Caller: "1001", Domain: "demo.local"}
	b.ReportAllocs()
	for b.Loop() {
		e, err := r.table.Leave(l)
		if err != nil {
			b.Fatal(err)
		}
		e.Release()
	}
}
