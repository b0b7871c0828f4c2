package transport

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// eachStream runs a test on tcp and tls; connect gives a phone.
func eachStream(t *testing.T, test func(t *testing.T, tr Transport, o Options, connect func(*testing.T, *Set) net.Conn)) {
	certs, _, _ := certificate(t)
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(string(tr), func(t *testing.T) {
			o := echoOptions(string(tr) + "://127.0.0.1:0")
			o.Certificates = certs
			test(t, tr, o, func(t *testing.T, s *Set) net.Conn {
				c := dialTCP(t, at(t, s, tr))
				if tr == TLS {
					c = tls.Client(c, insecure())
				}
				return c
			})
		})
	}
}

func TestStreamEchoAndKeepAlive(t *testing.T) {
	eachStream(t, func(t *testing.T, tr Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
		seen := make(chan string, 10)
		echo := o.Handler
		o.Handler = func(m Message) { seen <- m.Flow.ID(); echo(m) }
		s := start(t, o)
		c := connect(t, s)
		roundTrip(t, c, request(1, 0))
		roundTrip(t, c, request(2, 60000))
		c.Write([]byte("\r\n\r\n"))
		pong := make([]byte, 2)
		if _, err := io.ReadFull(c, pong); err != nil || string(pong) != "\r\n" {
			t.Errorf("pong = %q, %v, want one CRLF (RFC 5626 §3.5.1)", pong, err)
		}
		roundTrip(t, c, request(3, 10))
		id := <-seen
		if other := <-seen; id == "" || other != id {
			t.Errorf("flow ids of one connection: %q, %q", id, other)
		}
		f, ok := s.Flow(id)
		if !ok || f.Transport() != tr || f.Remote() != addrPort(c.LocalAddr()) || f.Local() != addrPort(c.RemoteAddr()) {
			t.Errorf("Flow(%q) = %s %s -> %s, %t", id, f.Transport(), f.Local(), f.Remote(), ok)
		}
		if _, ok := s.Flow("0123456789-1"); ok {
			t.Error("an id of another process names a connection")
		}
	})
}

func TestStreamSendsLater(t *testing.T) {
	eachStream(t, func(t *testing.T, _ Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
		flows := make(chan Flow, 1)
		o.Handler = func(m Message) { flows <- m.Flow }
		s := start(t, o)
		c := connect(t, s)
		c.Write(request(1, 0))
		f, _ := s.Flow((<-flows).ID())
		for i := range 100 { // many senders at once: messages must not mix
			go f.Send(request(i, 3000))
		}
		r := bufio.NewReader(c)
		for range 100 {
			if m := readMessage(t, r); len(m) < 3000 {
				t.Fatalf("message %q", m)
			}
		}
	})
}

func TestStreamGarbageEndsTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes string
		why   dropReason
	}{
		"another protocol":  {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", dropStartLine},
		"binary":            {"\x16\x03\x01\x00\xff", dropStartLine},
		"no content length": {"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n", dropNoContentLength},
		"too much header":   {"OPTIONS sip:a SIP/2.0\r\nX: " + strings.Repeat("x", 20000), dropHeaderSize},
		"too much body":     {"OPTIONS sip:a SIP/2.0\r\nContent-Length: 70000\r\n\r\n", dropOversize},
	} {
		t.Run(name, func(t *testing.T) {
			eachStream(t, func(t *testing.T, tr Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
				var closed closings
				reports := make(chan abuseReport, 10)
				o.Closed = closed.note
				o.Abuse = func(a netip.Addr, reason string, weight int) { reports <- abuseReport{a, reason, weight} }
				s := start(t, o)
				c := connect(t, s)
				roundTrip(t, c, request(1, 0))
				c.Write([]byte(tc.bytes))
				if n, err := c.Read(make([]byte, 10)); err == nil {
					t.Errorf("read %d bytes, want the end", n)
				}
				expectDropped(t, s, tr, tc.why, 1)
				closed.expect(t, ClosedBadMessage)
				if r := <-reports; r.reason != dropNames[tc.why] {
					t.Errorf("report %+v", r)
				}
			})
		})
	}
}

func TestStreamTimeouts(t *testing.T) {
	for name, tc := range map[string]struct {
		limit func(*Limits)
		do    func(t *testing.T, c net.Conn)
		want  CloseReason
	}{
		"a message that does not end": {
			func(l *Limits) { l.PartialTimeout = 50 * time.Millisecond },
			func(t *testing.T, c net.Conn) { c.Write(request(1, 0)); c.Write(request(2, 100)[:60]) },
			ClosedSlow,
		},
		"idle": {
			func(l *Limits) { l.IdleTimeout = 300 * time.Millisecond },
			func(t *testing.T, c net.Conn) { c.Write(request(1, 0)) },
			ClosedIdle,
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachStream(t, func(t *testing.T, _ Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
				var closed closings
				o.Closed = closed.note
				tc.limit(&o.Limits)
				s := start(t, o)
				c := connect(t, s)
				tc.do(t, c)
				closed.expect(t, tc.want)
				_, err := io.Copy(io.Discard, c)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the phone does not see the end")
				}
			})
		})
	}
}

func TestStreamSlowLorisTricklesInVain(t *testing.T) {
	o := echoOptions("tcp://127.0.0.1:0")
	o.Limits.PartialTimeout = 100 * time.Millisecond
	var closed closings
	o.Closed = closed.note
	s := start(t, o)
	c := dialTCP(t, at(t, s, TCP))
	roundTrip(t, c, request(1, 0))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, b := range bytes.Repeat(request(2, 0)[:len(request(2, 0))-1], 100) { // a byte at a time resets nothing
		if _, err := c.Write([]byte{b}); err != nil {
			break
		}
		<-tick.C
		if r, _ := closed.all(); len(r) > 0 {
			break
		}
	}
	closed.expect(t, ClosedSlow)
}

func TestStreamWithoutAMessageIsClosed(t *testing.T) {
	eachStream(t, func(t *testing.T, tr Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
		o.Limits.FirstMessageTimeout = 30 * time.Millisecond
		o.Limits.HandshakeTimeout = 30 * time.Millisecond
		o.Closed = func(Flow, CloseReason) { t.Error("Closed was told of a connection nobody saw") }
		s := start(t, o)
		raw := dialTCP(t, at(t, s, tr)) // says nothing, not even a ClientHello
		if n, err := raw.Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d", n)
		}
		eventually(t, func() bool { return len(s.conns.all(nil)) == 0 }, func() string { return "the connection stays in the table" })
	})
}

func TestStreamVouchedConnectionIsNotIdle(t *testing.T) {
	o := echoOptions("tcp://127.0.0.1:0")
	o.Limits.IdleTimeout = 200 * time.Millisecond
	o.Limits.VouchedIdleTimeout = 20 * time.Millisecond
	var closed closings
	o.Closed = closed.note
	echo := o.Handler
	o.Handler = func(m Message) { m.Flow.Vouch(time.Now().Add(600 * time.Millisecond)); echo(m) }
	s := start(t, o)
	c := dialTCP(t, at(t, s, TCP))
	began := time.Now()
	roundTrip(t, c, request(1, 0))
	closed.expect(t, ClosedIdle)
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("closed after %s, vouched for 600ms", took)
	}
}

// refused fails if another connection is served.
func TestClosedIsToldOnceForEachConnection(t *testing.T) {
	eachStream(t, func(t *testing.T, _ Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
		var closed closings
		o.Closed = closed.note
		echo := o.Handler
		o.Handler = func(m Message) {
			echo(m)
			if bytes.Contains(m.Data, []byte("CSeq: 7 ")) {
				m.Flow.Close()
				m.Flow.Close()
			}
		}
		s := start(t, o)
		const phones = 30
		for i := range phones {
			c := connect(t, s)
			roundTrip(t, c, request(i%10, 0))
			if i%3 == 0 {
				c.Close()
			}
		}
		s.stop() // the rest is ended by the stop, which the end of the test repeats
		for _, c := range s.conns.all(nil) {
			c.closeGently(ClosedShutdown)
		}
		eventually(t, func() bool { r, _ := closed.all(); return len(r) >= phones }, func() string {
			r, _ := closed.all()
			return fmt.Sprintf("told of %d of %d", len(r), phones)
		})
		if r, twice := closed.all(); twice || len(r) != phones {
			t.Errorf("told %d times of %d connections, twice for one: %t", len(r), phones, twice)
		}
	})
}
