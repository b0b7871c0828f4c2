package locate

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzAnswer: whatever a name server says, what is taken of it is bounded, in order, and holds for a bounded time.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{"x.test. 60 IN A 192.0.2.1", "x.test. 60 IN AAAA 2001:db8::1", "x.test. 0 IN SRV 1 2 3 .",
		`x.test. 4294967295 IN NAPTR 1 2 "s" "SIP+D2U" "" _sip._udp.x.test.`, "x.test. 60 IN CNAME x.test."} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m := new(dns.Msg)
		m.SetQuestion("x.test.", rr.Header().Rrtype)
		m.Answer = []dns.RR{rr}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	now := time.Now()
	r, err := New(Options{Servers: []string{"127.0.0.1:1"}, Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := new(dns.Msg)
		if m.Unpack(data) != nil {
			return
		}
		for _, kind := range []uint16{typeA, typeAAAA, typeSRV, typeNAPTR} {
			rs := r.understand(key{"x.test", kind}, m)
			if n := len(rs.addrs) + len(rs.srvs) + len(rs.naptrs); n > maxRecords+maxAliases {
				t.Errorf("%d records were taken", n)
			}
			if d := rs.until.Sub(now); d < minTTL || d > maxTTL {
				t.Errorf("remembered for %v", d)
			}
			for i := 1; i < len(rs.naptrs); i++ {
				if rs.naptrs[i].order < rs.naptrs[i-1].order {
					t.Error("NAPTR records out of order")
				}
			}
		}
	})
}
