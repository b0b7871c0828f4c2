package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

// roots trusts the certificate in a file.
func roots(t *testing.T, certFile string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", certFile)
	}
	return &tls.Config{RootCAs: pool}
}

func TestDialReusesConnections(t *testing.T) {
	certs, certFile, _ := certificate(t)
	far := echoOptions("tcp://127.0.0.1:0", "tls://127.0.0.1:0")
	far.Certificates = certs
	server := start(t, far)
	for _, tc := range []struct {
		tr   Transport
		name string
	}{{TCP, ""}, {TLS, "localhost"}, {TLS, ""}} {
		t.Run(string(tc.tr)+tc.name, func(t *testing.T) {
			answers := make(chan Message, 100)
			var closed closings
			near := start(t, Options{
				Listen:    []string{"tcp://127.0.0.1:0"},
				ClientTLS: roots(t, certFile),
				Closed:    closed.note,
				Handler:   func(m Message) { m.Data = bytes.Clone(m.Data); answers <- m },
			})
			to := at(t, server, tc.tr)
			var flows [20]Flow
			var wg sync.WaitGroup
			for i := range flows {
				wg.Go(func() {
					var err error
					if flows[i], err = near.Dial(t.Context(), tc.tr, to, tc.name); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, f := range flows {
				if f != flows[0] {
					t.Errorf("callers got %s and %s, want one connection", f.ID(), flows[0].ID())
				}
			}
			want := request(1, 10)
			if err := flows[0].Send(want); err != nil {
				t.Fatal(err)
			}
			m := <-answers
			if !bytes.Equal(m.Data, want) || m.Flow != flows[0] {
				t.Errorf("answer %q by %s", m.Data, m.Flow.ID())
			}
			flows[0].Close()
			closed.expect(t, ClosedByUs)
			again, err := near.Dial(t.Context(), tc.tr, to, tc.name)
			if err != nil || again == flows[0] {
				t.Errorf("after the close: %s, %v, want a new connection", again.ID(), err)
			}
		})
	}
}

func TestDialReusesWhatThePeerOpened(t *testing.T) {
	got := make(chan Flow, 1)
	s := start(t, Options{Listen: []string{"tcp://127.0.0.1:0"}, Handler: func(m Message) { got <- m.Flow }})
	c := dialTCP(t, at(t, s, TCP))
	c.Write(request(1, 0))
	accepted := <-got
	f, err := s.Dial(t.Context(), TCP, addrPort(c.LocalAddr()), "")
	if err != nil || f != accepted {
		t.Errorf("Dial = %s, %v, want the accepted connection %s (RFC 3261 §18.1.1)", f.ID(), err, accepted.ID())
	}
}

func TestDialFails(t *testing.T) {
	certs, certFile, _ := certificate(t)
	far := echoOptions("tls://127.0.0.1:0")
	far.Certificates = certs
	server := start(t, far)
	s := start(t, Options{
		Listen: []string{"udp://127.0.0.1:0"}, Handler: func(Message) {}, ClientTLS: roots(t, certFile),
		Closed: func(Flow, CloseReason) { t.Error("Closed was told of a connection that never was") },
		Limits: Limits{HandshakeTimeout: 300 * time.Millisecond},
	})
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, tc := range []struct {
		name string
		tr   Transport
		to   netip.AddrPort
		host string
	}{
		{"nobody there", TCP, addrPort(gone.Addr()), ""},
		{"another name in the certificate", TLS, at(t, server, TLS), "other.example"},
		{"no handshake", TLS, addrPort(silent.Addr()), "localhost"},
		{"a transport that is not dialled", WS, addrPort(silent.Addr()), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if f, err := s.Dial(t.Context(), tc.tr, tc.to, tc.host); err == nil {
				t.Errorf("Dial = %s", f.ID())
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Dial(ctx, TLS, addrPort(silent.Addr()), "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial with a short deadline = %v", err)
	}
	if n := len(s.conns.all(nil)); n > 1 {
		t.Errorf("%d connections stay in the table", n)
	}
}
