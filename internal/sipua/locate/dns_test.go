package locate

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// zone is a name server on loopback that says what a test wants. It counts what it is asked.
type zone struct {
	address string

	mu      sync.Mutex // guards what follows
	records []dns.RR
	soa     dns.RR
	rcode   int
	big     bool // over UDP say that the answer is too long
	asked   map[string]int
}

func newZone(t *testing.T, text string) *zone {
	t.Helper()
	z := &zone{asked: map[string]int{}}
	z.set(t, text)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z.address = conn.LocalAddr().String()
	ln, err := net.Listen("tcp", z.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: conn, Handler: z}, {Listener: ln, Handler: z}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
	return z
}

func (z *zone) set(t *testing.T, text string) {
	t.Helper()
	var rrs []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(text), "test.", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		rrs = append(rrs, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	soa, err := dns.NewRR("test. 60 IN SOA ns.test. me.test. 1 1 1 1 20")
	if err != nil {
		t.Fatal(err)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.soa = rrs, soa
}

// ServeDNS implements dns.Handler.
func (z *zone) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	q := m.Question[0]
	z.asked[dns.TypeToString[q.Qtype]+" "+q.Name]++
	res := new(dns.Msg)
	res.SetReply(m)
	res.Rcode = z.rcode
	name := q.Name
	for range 3 {
		for _, rr := range z.records {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok {
				res.Answer = append(res.Answer, rr)
				name = c.Target
			} else if rr.Header().Rrtype == q.Qtype {
				res.Answer = append(res.Answer, rr)
			}
		}
		if name == q.Name {
			break
		}
	}
	if len(res.Answer) == 0 {
		res.Ns = []dns.RR{z.soa}
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && z.big {
		res.Answer, res.Truncated = nil, true
	}
	_ = w.WriteMsg(res) // the resolver's timeout tells
}

func (z *zone) count(question string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[question]
}

func (z *zone) say(rcode int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.rcode = rcode
}

// truncate lets answers over UDP say that they are too long.
func (z *zone) truncate() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.big = true
}
