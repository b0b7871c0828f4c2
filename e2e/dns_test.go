package e2e

import (
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// nameServer answers from a zone file on loopback, for as long as the test runs.
func nameServer(t *testing.T, zone string) (address string) {
	t.Helper()
	var records []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(zone), "", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		records = append(records, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		res := new(dns.Msg)
		res.SetReply(m)
		for _, rr := range records {
			if strings.EqualFold(rr.Header().Name, m.Question[0].Name) && rr.Header().Rrtype == m.Question[0].Qtype {
				res.Answer = append(res.Answer, rr)
			}
		}
		_ = w.WriteMsg(res) // who asks will ask again
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}
