package locate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const testZone = `
full.test.  60 IN NAPTR 10 5 "s" "SIP+D2T" "" _sip._tcp.full.test.
full.test.  60 IN NAPTR 10 9 "s" "SIP+D2U" "" _sip._udp.full.test.
full.test.  60 IN NAPTR 20 5 "s" "SIPS+D2T" "" _sips._tcp.full.test.
full.test.  60 IN NAPTR 5 5 "s" "XMPP+X" "" _xmpp._tcp.full.test.
_sip._tcp.full.test.  60 IN SRV 20 0 5070 b.test.
_sip._tcp.full.test.  60 IN SRV 10 0 5060 a.test.
_sip._udp.full.test.  60 IN SRV 10 0 5060 a.test.
_sips._tcp.full.test. 60 IN SRV 10 0 5061 a.test.
srv.test.   60 IN A 192.0.2.99
_sip._udp.srv.test. 30 IN SRV 1 0 5080 b.test.
plain.test. 60 IN A 192.0.2.3
plain.test. 60 IN AAAA 2001:db8::3
alias.test. 60 IN CNAME plain.test.
none.test.  60 IN A 192.0.2.4
_sip._udp.none.test. 60 IN SRV 0 0 0 .
_sip._tcp.none.test. 60 IN SRV 0 0 0 .
_sips._tcp.none.test. 60 IN SRV 0 0 0 .
a.test.     60 IN A 192.0.2.1
b.test.     60 IN A 192.0.2.2
loop.test.  60 IN CNAME loop2.test.
loop2.test. 60 IN CNAME loop.test.
`

func resolver(t *testing.T, o Options) *Resolver {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// RFC 3263 §4.1 and §4.2, one row a paragraph.
func TestLocate(t *testing.T) {
	z := newZone(t, testZone)
	r := resolver(t, Options{Servers: []string{z.address}})
	for _, c := range []struct{ name, uri, want string }{
		{"an address", "sip:192.0.2.9", "udp:192.0.2.9:5060"},
		{"an address with port and transport", "sip:192.0.2.9:5070;transport=tcp", "tcp:192.0.2.9:5070"},
		{"IPv6", "sip:[2001:db8::1]:5070", "udp:[2001:db8::1]:5070"},
		{"sips at an address", "sips:192.0.2.9", "tls:192.0.2.9:5061"},
		{"transport=tls", "sip:192.0.2.9;transport=tls", "tls:192.0.2.9:5061"},
		{"sips over tcp is tls", "sips:192.0.2.9;transport=tcp", "tls:192.0.2.9:5061"},
		{"a name with a port has no SRV", "sip:full.test:5099", ""},
		{"a name with a port", "sip:plain.test:5099", "udp:192.0.2.3:5099 udp:[2001:db8::3]:5099"},
		{"NAPTR by order and preference, SRV by priority", "sip:full.test",
			"tcp:192.0.2.1:5060 tcp:192.0.2.2:5070 udp:192.0.2.1:5060 tls:192.0.2.1:5061"},
		{"sips takes what is secure", "sips:full.test", "tls:192.0.2.1:5061"},
		{"a transport named goes to its SRV", "sip:full.test;transport=udp", "udp:192.0.2.1:5060"},
		{"no NAPTR: SRV", "sip:srv.test", "udp:192.0.2.2:5080"},
		{"neither NAPTR nor SRV: addresses over UDP", "sip:plain.test", "udp:192.0.2.3:5060 udp:[2001:db8::3]:5060"},
		{"the same for sips over TLS", "sips:plain.test", "tls:192.0.2.3:5061 tls:[2001:db8::3]:5061"},
		{"transport without SRV", "sip:plain.test;transport=tcp", "tcp:192.0.2.3:5060 tcp:[2001:db8::3]:5060"},
		{"an alias", "sip:alias.test", "udp:192.0.2.3:5060 udp:[2001:db8::3]:5060"},
		{"decidedly no service", "sip:none.test", ""},
		{"unknown", "sip:nowhere.test", ""},
		{"aliases in circles", "sip:loop.test", ""},
		{"a transport nobody can call by", "sip:192.0.2.9;transport=sctp", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := ParseURI(c.uri)
			if err != nil {
				t.Fatal(err)
			}
			a, err := r.Locate(t.Context(), u)
			var got []string
			for _, target := range a.Targets() {
				got = append(got, target.String())
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("Locate(%s) = %s, want %s", c.uri, s, c.want)
			}
			if (c.want == "") != errors.Is(err, ErrNoTarget) {
				t.Errorf("Locate(%s): %v", c.uri, err)
			}
		})
	}
}

func TestCertificateNameIsTheHostOfTheURI(t *testing.T) {
	z := newZone(t, testZone)
	u, _ := ParseURI("sips:full.test")
	a, err := resolver(t, Options{Servers: []string{z.address}}).Locate(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Targets()[0].Name; got != "full.test" { // RFC 5922 §7.1: not the name the SRV record gave
		t.Errorf("Name = %q", got)
	}
}

// Weights decide how often a target comes first, priorities are never mixed (RFC 2782).
func TestWeights(t *testing.T) {
	z := newZone(t, `
_sip._udp.w.test. 60 IN SRV 1 90 5060 a.test.
_sip._udp.w.test. 60 IN SRV 1 10 5060 b.test.
_sip._udp.w.test. 60 IN SRV 2 99 5060 c.test.
a.test. 60 IN A 192.0.2.1
b.test. 60 IN A 192.0.2.2
c.test. 60 IN A 192.0.2.3
`)
	u, _ := ParseURI("sip:w.test;transport=udp")
	a, err := resolver(t, Options{Servers: []string{z.address}}).Locate(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]int{}
	const rounds = 2000
	for range rounds {
		targets := a.Targets()
		if len(targets) != 3 || targets[2].Addr.String() != "192.0.2.3:5060" {
			t.Fatalf("targets %v", targets)
		}
		first[targets[0].Addr.Addr().String()]++
	}
	if n := first["192.0.2.1"]; n < rounds*80/100 || n > rounds*98/100 {
		t.Errorf("weight 90 of 100 came first %d times of %d", n, rounds)
	}
	for range 20 {
		if listed := a.Listed(); listed[0].Addr.Addr().String() != "192.0.2.1" || listed[2].Addr.Addr().String() != "192.0.2.3" {
			t.Fatalf("listed as %v", listed)
		}
	}
	if first["192.0.2.2"] == 0 {
		t.Error("weight 10 of 100 never came first")
	}
}

// What was said holds for its time, no longer; what does not exist is remembered as the zone says.
func TestCache(t *testing.T) {
	z := newZone(t, testZone)
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := resolver(t, Options{Servers: []string{z.address}, Now: clock})
	locate := func(uri string) Answer {
		t.Helper()
		u, err := ParseURI(uri)
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Locate(t.Context(), u)
		if err != nil && !errors.Is(err, ErrNoTarget) {
			t.Fatal(err)
		}
		return a
	}
	later := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }

	if a := locate("sip:srv.test;transport=udp"); !a.Until.Equal(now.Add(20 * time.Second)) {
		t.Errorf("holds for %v, want the 20 s of the missing AAAA record, the shortest", a.Until.Sub(now))
	}
	locate("sip:srv.test;transport=udp")
	if n := z.count("SRV _sip._udp.srv.test."); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	later(31 * time.Second)
	locate("sip:srv.test;transport=udp")
	if n := z.count("SRV _sip._udp.srv.test."); n != 2 {
		t.Errorf("asked %d times after its end, want twice", n)
	}
	locate("sip:nowhere.test:5060")
	later(19 * time.Second)
	locate("sip:nowhere.test:5060")
	if n := z.count("A nowhere.test."); n != 1 {
		t.Errorf("asked %d times for what is not there, want once", n)
	}
	later(2 * time.Second)
	locate("sip:nowhere.test:5060")
	if n := z.count("A nowhere.test."); n != 2 {
		t.Errorf("asked %d times after the time of the zone, want twice", n)
	}
}

// A server that fails is no answer: the next one is asked, and the error is not "there is nothing".
func TestServersFail(t *testing.T) {
	bad, good := newZone(t, ""), newZone(t, testZone)
	bad.say(dns.RcodeServerFailure)
	u, _ := ParseURI("sip:plain.test:5060")
	a, err := resolver(t, Options{Servers: []string{bad.address, good.address}}).Locate(t.Context(), u)
	if err != nil || len(a.Targets()) != 2 {
		t.Errorf("the second server was not asked: %v, %v", a.Targets(), err)
	}
	_, err = resolver(t, Options{Servers: []string{bad.address}}).Locate(t.Context(), u)
	if err == nil || errors.Is(err, ErrNoTarget) || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("err = %v, want that the server failed", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = resolver(t, Options{Servers: []string{good.address}}).Locate(ctx, u); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want the caller's end", err)
	}
}

func TestTruncatedAnswersComeOverTCP(t *testing.T) {
	z := newZone(t, testZone)
	z.truncate()
	u, _ := ParseURI("sip:plain.test:5060")
	a, err := resolver(t, Options{Servers: []string{z.address}}).Locate(t.Context(), u)
	if err != nil || len(a.Targets()) != 2 {
		t.Errorf("targets %v, %v", a.Targets(), err)
	}
}

// Somebody's long list of records costs a bounded number of questions and targets.
func TestLimits(t *testing.T) {
	var text strings.Builder
	for i := range 60 {
		fmt.Fprintf(&text, "_sip._udp.long.test. 60 IN SRV 1 1 5060 h%d.test.\nh%d.test. 60 IN A 192.0.2.%d\n", i, i, i+1)
	}
	z := newZone(t, text.String())
	z.truncate() // so many do not fit into a datagram
	u, _ := ParseURI("sip:long.test;transport=udp")
	a, err := resolver(t, Options{Servers: []string{z.address}}).Locate(t.Context(), u)
	if err != nil || len(a.Targets()) > maxTargets {
		t.Errorf("%d targets, %v", len(a.Targets()), err)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if n := len(z.asked); n > 2*maxServers+2 {
		t.Errorf("%d questions for one URI", n)
	}
}

func TestServerAddressesAreChecked(t *testing.T) {
	if _, err := New(Options{Servers: []string{"ns.example.com"}}); err == nil {
		t.Error("a name was taken for the address of a name server")
	}
}

// FuzzParseURI: a URI is read or refused, and what is read has a host.
func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"sip:a@b", "sips:[::1]:5061;transport=tls", "sip:x;transport=", "tel:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := ParseURI(s); err == nil && u.Host == "" {
			t.Errorf("%q has no host", s)
		}
	})
}
