package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley/internal/media/sdp"
)

func TestMain(m *testing.M) {
	if os.Getenv(loadVariable) != "" { // the other process of a benchmark
		if err := runLoad(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 5 * time.Second

var loopback = netip.MustParseAddr("127.0.0.1")

// testConfig is a range below the ports that the system gives away by itself.
func testConfig() Config {
	c := DefaultConfig()
	c.Bind, c.FirstPort, c.LastPort, c.Quarantine = loopback, 12000, 13999, 0
	return c
}

// drivers are all the ways of moving packets there are here.
func drivers() map[string]func(Config) (driver, error) {
	return map[string]func(Config) (driver, error){
		"default":  newDriver,
		"standard": func(Config) (driver, error) { return &netDriver{}, nil },
	}
}

// eachDriver runs a test over every driver.
func eachDriver(t *testing.T, test func(t *testing.T, p *Plane)) {
	for name, open := range drivers() {
		t.Run(name, func(t *testing.T) { test(t, startPlane(t, testConfig(), open)) })
	}
}

// startPlane runs a plane until the test ends.
func startPlane(t testing.TB, cfg Config, open func(Config) (driver, error)) *Plane {
	t.Helper()
	pool, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlane(pool, d, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := start(func() error { return p.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return p
}

func start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// phone is a peer with an RTP and an RTCP socket.
type phone struct {
	t         testing.TB
	rtp, rtcp *net.UDPConn
	header    rtp.Header // of the next packet
}

func newPhone(t testing.TB, ssrc uint32) *phone {
	t.Helper()
	p := &phone{t: t, header: rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: 65530, Timestamp: 4294967000}}
	p.rtp, p.rtcp = listen(t), listen(t)
	return p
}

func listen(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: loopback.AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

var audioFormats = []sdp.Format{{Type: 0, Encoding: "PCMU", Clock: 8000}, {Type: 8, Encoding: "PCMA", Clock: 8000},
	{Type: 101, Encoding: telephoneEvent, Clock: 8000}}

// remote is what the phone's SDP says of where it is.
func (p *phone) remote() Remote { return Remote{RTP: addrOf(p.rtp), RTCP: addrOf(p.rtcp)} }

// agrees is what is agreed with the phone when nothing is said about anything.
func (p *phone) agrees() Agreement {
	return Agreement{Remote: p.remote(), Direction: sdp.SendRecv, Send: audioFormats, Receive: audioFormats}
}

// audio sends a packet of 20 ms to one of our ports and returns its bytes.
func (p *phone) audio(port uint16) []byte {
	p.t.Helper()
	b := p.next(0, []byte("twenty ms of speech"))
	p.send(p.rtp, port, b)
	return b
}

// next makes the next packet.
func (p *phone) next(payload uint8, data []byte) []byte {
	p.t.Helper()
	p.header.PayloadType = payload
	b, err := (&rtp.Packet{Header: p.header, Payload: data}).Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	p.header.SequenceNumber++
	p.header.Timestamp += 160
	return b
}

func (p *phone) send(from *net.UDPConn, port uint16, b []byte) {
	p.t.Helper()
	if _, err := from.WriteToUDPAddrPort(b, netip.AddrPortFrom(loopback, port)); err != nil {
		p.t.Fatal(err)
	}
}

// hears waits for the audio of a packet as the next thing to come, from our port, and returns the packet it came in.
func (p *phone) hears(conn *net.UDPConn, sent []byte, port uint16) *rtp.Packet {
	p.t.Helper()
	var want, got rtp.Packet
	if err := errors.Join(want.Unmarshal(sent), got.Unmarshal(p.datagram(conn, port))); err != nil {
		p.t.Fatal(err)
	}
	if string(got.Payload) != string(want.Payload) || got.PayloadType != want.PayloadType || len(got.CSRC) > 0 || got.Extension {
		p.t.Fatalf("heard %v, want the audio of %v", got, want)
	}
	return &got
}

// datagram waits for one datagram from our port.
func (p *phone) datagram(conn *net.UDPConn, port uint16) []byte {
	p.t.Helper()
	b := make([]byte, 4096)
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	n, from, err := conn.ReadFromUDPAddrPort(b)
	if err != nil {
		p.t.Fatalf("waiting for a datagram: %v", err)
	}
	if from.Port() != port {
		p.t.Errorf("heard it from port %d, want %d", from.Port(), port)
	}
	return b[:n]
}

// silence checks that nothing is waiting; whoever calls it made sure that all was handled.
func (p *phone) silence(conn *net.UDPConn) {
	p.t.Helper()
	b := make([]byte, 4096)
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		p.t.Fatal(err)
	}
	var timeout net.Error
	if n, err := conn.Read(b); !errors.As(err, &timeout) || !timeout.Timeout() {
		p.t.Fatalf("heard %x (%v), want nothing", b[:n], err)
	}
}

// call is two legs that are joined, with a phone on each.
type call struct {
	a, b         *phone
	legA, legB   *Leg
	portA, portB uint16 // RTP
}

func newCall(t testing.TB, p *Plane, hooks Hooks) *call {
	t.Helper()
	c := &call{a: newPhone(t, 0xA), b: newPhone(t, 0xB), legA: openLeg(t, p, hooks), legB: openLeg(t, p, hooks)}
	c.portA, _ = c.legA.Ports()
	c.portB, _ = c.legB.Ports()
	agree(t, c.legA, c.a.agrees())
	agree(t, c.legB, c.b.agrees())
	Join(c.legA, c.legB)
	return c
}

func openLeg(t testing.TB, p *Plane, hooks Hooks) *Leg {
	t.Helper()
	l, err := p.Open(hooks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func agree(t testing.TB, l *Leg, a Agreement) {
	t.Helper()
	if err := l.Agree(a); err != nil {
		t.Fatal(err)
	}
}

func (c *call) close() {
	c.legA.Close()
	c.legB.Close()
}

// talk sends a packet each way and waits for both.
func (c *call) talk() {
	c.a.t.Helper()
	c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)
	c.a.hears(c.a.rtp, c.b.audio(c.portB), c.portA)
}

// directed is an agreement with another direction.
func directed(a Agreement, d sdp.Direction) Agreement {
	a.Direction = d
	return a
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited for %v: %s", patience, what)
		case <-tick.C:
		}
	}
}
