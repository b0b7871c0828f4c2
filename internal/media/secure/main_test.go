package secure

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what takes milliseconds.
const patience = 20 * time.Second

// unhex reads bytes as RFCs print them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// node is the leg that a guard stands before: a socket whose datagrams go to the guard by their first byte.
type node struct {
	conn   *net.UDPConn
	guard  *DTLS
	handle func([]byte, netip.AddrPort, func([]byte, netip.AddrPort))
	heard  chan []byte // packets that the guard opened
	wg     sync.WaitGroup
}

// serve opens a socket for a guard; every packet that it opens is kept in heard.
func serve(t testing.TB, d *DTLS) *node {
	t.Helper()
	return serveTo(t, d, d.Handle)
}

// serveControl is serve for the port of RTCP.
func serveControl(t testing.TB, d *DTLS) *node {
	t.Helper()
	return serveTo(t, d, d.HandleControl)
}

func serveTo(t testing.TB, d *DTLS, handle func([]byte, netip.AddrPort, func([]byte, netip.AddrPort))) *node {
	t.Helper()
	n := &node{conn: listen(t), guard: d, handle: handle, heard: make(chan []byte, 100)}
	n.wg.Go(n.read)
	t.Cleanup(func() {
		d.Close()
		_ = n.conn.Close()
		n.wg.Wait()
		d.running.Wait()
	})
	return n
}

func (n *node) read() {
	b := make([]byte, 2048)
	for {
		size, from, err := n.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if size == 0 || b[0]>>6 != 2 {
			n.handle(b[:size], from, n.send)
		} else if opened, err := n.guard.Unprotect(nil, b[:size], false); err == nil {
			select {
			case n.heard <- opened:
			default:
			}
		}
	}
}

func (n *node) send(b []byte, to netip.AddrPort) { _, _ = n.conn.WriteToUDPAddrPort(b, to) }

func (n *node) addr() netip.AddrPort { return n.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// listen opens a socket on loopback.
func listen(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %v: %s", patience, what)
		}
	}
}

// receive waits for one value.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("not reached")
	}
}

// lossy is a socket that loses of what it sends and receives what its plan says.
type lossy struct {
	net.PacketConn
	mu   sync.Mutex
	n    int
	lose func(n int) bool // of the n-th datagram, both directions counted together
}

func (l *lossy) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return l.lose(l.n - 1)
}

func (l *lossy) WriteTo(b []byte, to net.Addr) (int, error) {
	if l.lost() {
		return len(b), nil
	}
	return l.PacketConn.WriteTo(b, to)
}

func (l *lossy) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := l.PacketConn.ReadFrom(b)
		if err != nil || !l.lost() {
			return n, from, err
		}
	}
}

func (l *lossy) String() string { return fmt.Sprint("a socket that lost some of ", l.n) }
