package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

// window is how many requests a load generator has in flight.
const window = 32

// benchRequest is a REGISTER-sized message of 500 bytes.
func benchRequest() []byte {
	head := request(1, 0)
	return request(1, 500-len(head)-2)
}

// BenchmarkUDPEcho is receive, guards, handler and send of 500 bytes, with the client in the same process; the
// figure to look at is allocs/op, which has to be 0.
func BenchmarkUDPEcho(b *testing.B) {
	for _, listen := range []string{"udp://127.0.0.1:0", "udp://0.0.0.0:0"} {
		b.Run(listen, func(b *testing.B) {
			o := echoOptions(listen)
			o.Limits.StrangerRate, o.Limits.StrangersRate = -1, -1
			s := start(b, o)
			c := dialUDP(b, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at(b, s, UDP).Port()))
			msg, buf := benchRequest(), make([]byte, 2000)
			for range window {
				c.Write(msg)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Read(buf); err != nil {
					b.Fatal(err)
				}
				c.Write(msg)
				c.SetDeadline(time.Now().Add(wait))
			}
		})
	}
}

// BenchmarkGuards is what a datagram costs between the socket and the handler.
func BenchmarkGuards(b *testing.B) {
	for _, tc := range []struct {
		name   string
		data   []byte
		source func(i uint32) netip.Addr
		vouch  bool
	}{
		{"known", benchRequest(), func(uint32) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, 1}) }, true},
		{"stranger", benchRequest(), func(uint32) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, 1}) }, false},
		{"flood", benchRequest(), spoofed, false},
		{"garbage", []byte("\x00\x01\x02\x03 this is no SIP at all, says the guard"), spoofed, false},
	} {
		b.Run(tc.name, func(b *testing.B) {
			s, err := New(Options{Listen: []string{"udp://127.0.0.1:0"}, Handler: func(Message) {}, Limits: Limits{StrangerRate: -1}})
			if err != nil {
				b.Fatal(err)
			}
			u := &udpSocket{set: s, listener: &udpListener{}}
			now := time.Now()
			if tc.vouch {
				Flow{udp: u, remote: netip.AddrPortFrom(tc.source(0), 5060)}.Vouch(now.Add(time.Hour))
			}
			var i uint32
			b.ReportAllocs()
			for b.Loop() {
				i++
				now = now.Add(10 * time.Microsecond)
				u.datagram(packet{data: tc.data, from: netip.AddrPortFrom(tc.source(i), 5060)}, now)
			}
		})
	}
}

// spoofed is the i-th of very many sources.
func spoofed(i uint32) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], i*2654435761) // spread over the whole space
	return netip.AddrFrom4(a)
}

// BenchmarkTCPEcho is the same over one TCP connection.
func BenchmarkTCPEcho(b *testing.B) {
	o := echoOptions("tcp://127.0.0.1:0")
	o.Limits.StreamRate = -1
	s := start(b, o)
	benchStream(b, dialTCP(b, at(b, s, TCP)))
}

func benchStream(b *testing.B, c net.Conn) {
	msg := benchRequest()
	buf := make([]byte, len(msg)*window)
	for range window {
		c.Write(msg)
	}
	b.ReportAllocs()
	done := 0
	for b.Loop() {
		for done <= 0 {
			n, err := c.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			done += n
			c.SetDeadline(time.Now().Add(wait))
		}
		done -= len(msg)
		c.Write(msg)
	}
}
