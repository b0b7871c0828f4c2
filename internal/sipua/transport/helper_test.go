package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if peer := os.Getenv(idleClientEnv); peer != "" {
		idleClient(peer) // this process is the other side of BenchmarkIdleConnections
		return
	}
	goleak.VerifyTestMain(m)
}

// wait is how long a test waits for what must happen.
const wait = 10 * time.Second

// options serves the listeners with an echo that answers each request with 200 and its body.
func echoOptions(listen ...string) Options {
	return Options{Listen: listen, Registerer: prometheus.NewRegistry(), Handler: func(m Message) {
		if err := m.Flow.Send(m.Data); err != nil {
			panic(err)
		}
	}}
}

// start opens and runs a set until the end of the test.
func start(t testing.TB, o Options) *Set {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		case <-time.After(wait):
			t.Error("Run did not end")
		}
	})
	return s
}

// at is the first address of a transport.
func at(t testing.TB, s *Set, tr Transport) netip.AddrPort {
	t.Helper()
	a, ok := s.Address(tr)
	if !ok {
		t.Fatalf("no listener for %s in %v", tr, s.Addresses())
	}
	return a
}

// request is a small SIP request with a body of n bytes.
func request(seq, n int) []byte {
	return fmt.Appendf(nil, "OPTIONS sip:test@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK%d\r\n"+
		"CSeq: %d OPTIONS\r\nContent-Length: %d\r\n\r\n%s", seq, seq, n, strings.Repeat("x", n))
}

// dialUDP is a phone.
func dialUDP(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(wait))
	return c
}

// dialTCP is a phone.
func dialTCP(t testing.TB, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(wait))
	return c
}

// roundTrip writes b and reads as many bytes back.
func roundTrip(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if got := readMessage(t, bufio.NewReader(c)); got != string(b) {
		t.Fatalf("echo = %q, want %q", got, b)
	}
}

// readMessage reads one SIP message off a stream the simple way.
func readMessage(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", head.String(), err)
		}
		head.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(head.String()[strings.Index(head.String(), "\n")+1:]))).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(h.Get("Content-Length"))
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, n)
	for got := 0; got < n; {
		k, err := r.Read(body[got:])
		if err != nil {
			t.Fatal(err)
		}
		got += k
	}
	return head.String() + string(body)
}

// eventually polls until ok, and fails with what say tells then.
func eventually(t testing.TB, ok func() bool, say func() string) {
	t.Helper()
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal(say())
		}
		<-tick.C
	}
}

// dropped is how often something was turned away.
func (s *Set) dropped(tr Transport, why dropReason) int {
	return int(s.stats[tr.index()].dropped[why].Load())
}

// expectDropped waits for a count of things turned away.
func expectDropped(t testing.TB, s *Set, tr Transport, why dropReason, n int) {
	t.Helper()
	eventually(t, func() bool { return s.dropped(tr, why) >= n }, func() string {
		return fmt.Sprintf("%s dropped for %s: %d, want %d", tr, dropNames[why], s.dropped(tr, why), n)
	})
}

// closings records what Closed is told.
type closings struct {
	mu   sync.Mutex
	seen map[string][]CloseReason
}

func (c *closings) note(f Flow, why CloseReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[string][]CloseReason)
	}
	c.seen[f.ID()] = append(c.seen[f.ID()], why)
}

func (c *closings) all() (reasons []CloseReason, twice bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.seen {
		reasons = append(reasons, r...)
		twice = twice || len(r) > 1
	}
	return reasons, twice
}

// expect waits until exactly one connection was closed, for a reason.
func (c *closings) expect(t testing.TB, want CloseReason) {
	t.Helper()
	eventually(t, func() bool { r, _ := c.all(); return len(r) > 0 }, func() string { return "Closed was never called" })
	if r, twice := c.all(); len(r) != 1 || twice || r[0] != want {
		t.Errorf("Closed was told %v, want one %q", r, want)
	}
}

// certificate writes a fresh self-signed one.
func certificate(t testing.TB) (*Certificates, string, string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "sip.crt"), filepath.Join(dir, "sip.key")
	if err := WriteSelfSigned(certFile, keyFile, []string{"localhost", "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	c, err := LoadCertificates(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return c, certFile, keyFile
}

// insecure is a client that takes any certificate.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// lint fails on metrics promtool would not like, apart from names the catalogue prescribes.
func lint(t *testing.T, g prometheus.Gatherer) {
	t.Helper()
	problems, err := testutil.GatherAndLint(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("metric %s: %s", p.Metric, p.Text)
	}
}
