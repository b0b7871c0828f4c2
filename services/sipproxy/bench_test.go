package sipproxy

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/internal/contract"
)

// BenchmarkRegister is a digest REGISTER over UDP loopback, two requests and two answers, with a registrar that answers at
// once: what the front door itself costs, kernel included. cpu-µs/op is user and system time of the process, the
// clients in it included; the difference to BenchmarkEcho is ours.
func BenchmarkRegister(b *testing.B) {
	h := start(b, func(o *Options) { o.Config.Limits.StrangerRate, o.Config.Limits.StrangersRate = -1, -1 })
	h.answers(func(r *contract.RegisterRequest) (*contract.RegisterResponse, error) {
		if len(r.Authorization) == 0 {
			return &contract.RegisterResponse{Status: 401, Reason: "Unauthorized", Headers: []contract.Header{
				{Name: "WWW-Authenticate", Value: `Digest realm="demo.local", nonce="4f1c0a7be2d94f55a1b2c3d4e5f60718", algorithm=MD5, qop="auth"`},
				{Name: "Date", Value: "Sat, 21 Nov 2026 12:00:00 GMT"}}}, nil
		}
		return grant(r)
	})
	h.mu.Lock()
	h.keep = false
	h.mu.Unlock()
	clients(b, h.address("udp"), func(p net.Conn, i int, buf []byte) error {
		for _, auth := range []string{"", `Authorization: Digest username="1001", realm="demo.local", nonce="4f1c0a7be2d94f55a1b2c3d4e5f60718", uri="sip:demo.local", response="6629fae49393a05397450978507c4ef1", algorithm=MD5, qop=auth, nc=00000001, cnonce="0a4f113b"`} {
			if err := exchange(p, registerText(p.LocalAddr().String(), i, auth), buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkEcho is the same traffic against a socket that sends it back: what clients and kernel cost.
func BenchmarkEcho(b *testing.B) {
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if _, err := server.WriteToUDPAddrPort(buf[:n], from); err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	defer server.Close()
	clients(b, server.LocalAddr().String(), func(p net.Conn, i int, buf []byte) error {
		for range 2 {
			if err := exchange(p, registerText(p.LocalAddr().String(), i, ""), buf); err != nil {
				return err
			}
		}
		return nil
	})
}

func exchange(p net.Conn, text, buf []byte) error {
	if _, err := p.Write(text); err != nil {
		return err
	}
	if err := p.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err := p.Read(buf)
	return err
}

// clients spreads b.N operations over a few sockets and reports processor time.
func clients(b *testing.B, address string, op func(p net.Conn, i int, buf []byte) error) {
	const n = 16
	before := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range n {
		conn, err := net.Dial("udp", address)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer conn.Close()
			buf := make([]byte, 65536)
			for i := c; i < b.N; i += n {
				if err := op(conn, i, buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func registerText(addr string, i int, auth string) []byte {
	lines := []string{
		"REGISTER sip:demo.local SIP/2.0", fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-%d-%d;rport", addr, i, len(auth)), "Max-Forwards: 70",
		"From: <sip:1001@demo.local>;tag=987asjd8", "To: <sip:1001@demo.local>", "Call-ID: 8f7a3f2e-" + addr, fmt.Sprintf("CSeq: %d REGISTER", i+1),
		"Contact: <sip:1001@" + addr + ">;expires=3600", "User-Agent: bench", "Expires: 3600",
	}
	if auth != "" {
		lines = append(lines, auth)
	}
	return []byte(strings.Join(append(lines, "Content-Length: 0"), "\r\n") + "\r\n\r\n")
}
