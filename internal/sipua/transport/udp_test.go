package transport

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestUDPAnswersWhereItCameFrom(t *testing.T) {
	for _, listen := range []string{"udp://127.0.0.1:0", "udp://0.0.0.0:0", "udp://:0", "udp://[::1]:0"} {
		t.Run(listen, func(t *testing.T) {
			flows := make(chan Flow, 1)
			o := echoOptions(listen)
			echo := o.Handler
			o.Handler = func(m Message) { flows <- m.Flow; echo(m) }
			s := start(t, o)
			host := netip.MustParseAddr("127.0.0.1")
			switch {
			case strings.Contains(listen, "::1"):
				host = netip.IPv6Loopback()
			case !strings.Contains(listen, "127"):
				host = netip.MustParseAddr("127.0.0.7") // not the address the routes would choose to answer from
			}
			port := at(t, s, UDP).Port()
			c := dialUDP(t, netip.AddrPortFrom(host, port)) // connected: an answer from elsewhere never arrives
			want := request(1, 100)
			roundTripUDP(t, c, want)
			f := <-flows
			if f.Transport() != UDP || f.ID() != "" || !f.Valid() {
				t.Errorf("flow: transport %q id %q valid %t", f.Transport(), f.ID(), f.Valid())
			}
			if f.Remote() != addrPort(c.LocalAddr()) || f.Local() != netip.AddrPortFrom(host, port) {
				t.Errorf("flow %s -> %s, want %s -> %s:%d", f.Local(), f.Remote(), c.LocalAddr(), host, port)
			}
		})
	}
}

func roundTripUDP(t testing.TB, c *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, udpBuffer)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf[:n], b) {
		t.Fatalf("echo = %q, want %q", buf[:n], b)
	}
}

func TestUDPLargeMessages(t *testing.T) {
	s := start(t, echoOptions("udp://127.0.0.1:0"))
	c := dialUDP(t, at(t, s, UDP))
	roundTripUDP(t, c, request(1, 1700)) // sipgo refuses this one
	roundTripUDP(t, c, request(2, 60000))
}

func TestUDPTurnsAwayWhatIsNoSIP(t *testing.T) {
	o := echoOptions("udp://127.0.0.1:0")
	o.Limits.MaxMessage, o.Limits.MaxHeaders = 4000, 4000
	s := start(t, o)
	c := dialUDP(t, at(t, s, UDP))
	for _, keep := range []string{"", "\r\n", "\r\n\r\n", "\x00\x00\x00\x00", "\x00"} {
		c.Write([]byte(keep))
	}
	garbage := []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "hello", strings.Repeat("A", 3000), "SIP/2.0 abc\r\n\r\n"}
	for _, g := range garbage {
		c.Write([]byte(g))
	}
	c.Write([]byte("OPTIONS sip:a SIP/2.0\r\nVia: \x00\r\n\r\n"))
	c.Write(request(1, 5000))
	expectDropped(t, s, UDP, dropStartLine, len(garbage))
	expectDropped(t, s, UDP, dropNUL, 1)
	expectDropped(t, s, UDP, dropOversize, 1)
	roundTripUDP(t, c, request(2, 10)) // and the listener lives
	if n := s.stats[0].keepAlives.Load(); n != 5 {
		t.Errorf("keep-alives = %d, want 5", n)
	}
	if n := s.stats[0].receivedMessages.Load(); n != 1 {
		t.Errorf("messages = %d, want 1", n)
	}
}

func TestUDPHandlerPanicLosesOneMessage(t *testing.T) {
	o := echoOptions("udp://127.0.0.1:0")
	echo := o.Handler
	o.Handler = func(m Message) {
		if bytes.Contains(m.Data, []byte("CSeq: 1 ")) {
			panic("parser defect")
		}
		echo(m)
	}
	s := start(t, o)
	c := dialUDP(t, at(t, s, UDP))
	c.Write(request(1, 0))
	roundTripUDP(t, c, request(2, 0))
	expectDropped(t, s, UDP, dropPanic, 1)
}

func TestUDPBannedSourcesAreNotServed(t *testing.T) {
	bad := netip.MustParseAddr("127.0.0.66")
	o := echoOptions("udp://127.0.0.1:0")
	o.Banned = func(a netip.Addr) bool { return a == bad }
	s := start(t, o)
	from(t, bad, at(t, s, UDP)).Write(request(1, 0))
	expectDropped(t, s, UDP, dropBanned, 1)
	roundTripUDP(t, dialUDP(t, at(t, s, UDP)), request(2, 0))
}

// from is a phone with an address of its own.
func from(t testing.TB, addr netip.Addr, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)), net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(wait))
	return c
}

func TestUDPFlowsToAnAddress(t *testing.T) {
	s := start(t, echoOptions("udp://127.0.0.1:0", "udp://0.0.0.0:0", "udp://[::1]:0"))
	phone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
	if err != nil {
		t.Fatal(err)
	}
	defer phone.Close()
	phone.SetDeadline(time.Now().Add(wait))
	to := addrPort(phone.LocalAddr())
	wild := s.udp[1].bound
	for _, tc := range []struct {
		name      string
		from, got netip.AddrPort
	}{
		{"first that reaches", netip.AddrPort{}, s.udp[0].bound},
		{"by wildcard", wild, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), wild.Port())},
		{"by an address of the wildcard", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), wild.Port()),
			netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), wild.Port())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := s.UDP(tc.from, to)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Send(request(1, 0)); err != nil {
				t.Fatal(err)
			}
			_, source, err := phone.ReadFromUDPAddrPort(make([]byte, 1000))
			if err != nil {
				t.Fatal(err)
			}
			if source != tc.got || tc.name != "by wildcard" && f.Local() != tc.got {
				t.Errorf("came from %s, flow says %s, want %s", source, f.Local(), tc.got)
			}
		})
	}
	if f, err := s.UDP(netip.AddrPortFrom(to.Addr(), 1), to); err == nil {
		t.Errorf("UDP from a port nobody listens on = %s, want an error", f.Local())
	}
	if err := (Flow{}).Send(request(1, 0)); err == nil {
		t.Error("the zero flow sent something")
	}
}

func TestUDPSeveralSocketsShareAPort(t *testing.T) {
	o := echoOptions("udp://127.0.0.1:0")
	o.Sockets = 3
	s := start(t, o)
	if n := len(s.udp[0].sockets); n != 3 {
		t.Fatalf("%d sockets, want 3", n)
	}
	for i := range 20 {
		roundTripUDP(t, dialUDP(t, at(t, s, UDP)), request(i, 10))
	}
	o.Listen = []string{fmt.Sprintf("udp://%s", at(t, s, UDP))}
	o.Registerer = nil
	second, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Open(); err == nil {
		second.Close()
		t.Error("a second program could share the port unnoticed")
	}
}
