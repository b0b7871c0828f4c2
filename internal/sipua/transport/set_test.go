package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNewReportsEverythingWrong(t *testing.T) {
	_, err := New(Options{
		Listen:  []string{"sctp://127.0.0.1:5060", "udp://somewhere:5060", "tcp://127.0.0.1", "tls://127.0.0.1:0", "udp://127.0.0.1:0/x"},
		Limits:  Limits{MaxMessage: -1, IdleTimeout: -1},
		Origins: []string{"["},
		Sockets: 1000,
	})
	if err == nil {
		t.Fatal("New took it")
	}
	for _, want := range []string{"sctp", "somewhere", "port is missing", "Certificates", "a path", "limits.max_message", "limits.idle_timeout", "origin", "Handler", "sockets"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error misses %q: %v", want, err)
		}
	}
}

func TestOpenSaysWhatIsInTheWay(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, tc := range []struct {
		listen string
		cause  error
		cure   string
	}{
		{"tcp://" + tcp.Addr().String(), syscall.EADDRINUSE, "another port"},
		{"udp://" + udp.LocalAddr().String(), syscall.EADDRINUSE, "another port"},
		{"udp://192.0.2.1:5060", syscall.EADDRNOTAVAIL, "no such address"},
	} {
		t.Run(tc.listen, func(t *testing.T) {
			s, err := New(Options{Listen: []string{"udp://127.0.0.1:0", tc.listen}, Handler: func(Message) {}})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Open()
			var le *ListenError
			if !errors.As(err, &le) || le.URL != tc.listen || !errors.Is(err, tc.cause) || !strings.Contains(err.Error(), tc.cure) {
				t.Errorf("Open = %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	certs, _, _ := certificate(t)
	o := echoOptions("udp://127.0.0.1:0", "ws://localhost:0/sip", "tls://[::1]:0", "tcp://:0")
	o.Certificates = certs
	s := start(t, o)
	got := s.Addresses()
	for i, want := range []string{"udp://127.0.0.1:", "ws://127.0.0.1:", "tls://[::1]:", "tcp://[::]:"} {
		if !strings.HasPrefix(got[i], want) || strings.Contains(got[i], ":0") {
			t.Errorf("address %d is %s, want %s and a port", i, got[i], want)
		}
	}
	if !strings.HasSuffix(got[1], "/sip") {
		t.Errorf("address %s has lost its path", got[1])
	}
	if _, ok := s.Address(WSS); ok {
		t.Error("an address for a transport without a listener")
	}
}

// Two sets in one process share nothing, and each frees what it took.
func TestTwoSetsAndTheirEnd(t *testing.T) {
	certs, _, _ := certificate(t)
	listen := []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0"}
	var again []string
	for round := range 2 {
		var sets [2]*Set
		var ends [2]func() error
		for i := range sets {
			o := echoOptions(listen...)
			if round == 1 && i == 0 {
				o.Listen = again // the ports of the first round are free again
			}
			o.Certificates = certs
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
			sets[i], ends[i] = s, func() error { cancel(); return <-done }
		}
		again = sets[0].Addresses()
		for _, s := range sets {
			roundTripUDP(t, dialUDP(t, at(t, s, UDP)), request(1, 0))
			roundTrip(t, dialTCP(t, at(t, s, TCP)), request(1, 0))
		}
		for _, end := range ends {
			began := time.Now()
			if err := end(); err != nil {
				t.Errorf("Run = %v", err)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("the end took %s", took)
			}
		}
		if err := sets[0].Close(); err != nil {
			t.Errorf("Close after Run = %v", err)
		}
	}
}

func TestStopTellsPhonesAndWaitsForTheHandler(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var closed closings
	o := Options{Listen: []string{"tcp://127.0.0.1:0"}, Closed: closed.note, Handler: func(m Message) {
		close(entered)
		<-leave
		m.Flow.Send(m.Data)
	}}
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
	c := dialTCP(t, at(t, s, TCP))
	c.Write(request(1, 0))
	<-entered
	cancel()
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the phone was not told")
	}
	select {
	case <-done:
		t.Error("Run ended before the handler")
	default:
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if r, _ := closed.all(); len(r) != 1 || r[0] != ClosedShutdown {
		t.Errorf("Closed was told %v", r)
	}
	if _, err := s.Dial(context.Background(), TCP, at(t, s, TCP), ""); !errors.Is(err, ErrClosed) {
		t.Errorf("Dial after the end = %v, want ErrClosed", err)
	}
}

func TestMetrics(t *testing.T) {
	certs, _, _ := certificate(t)
	reg := prometheus.NewPedanticRegistry()
	o := echoOptions("udp://127.0.0.1:0", "tcp://127.0.0.1:0", "wss://127.0.0.1:0")
	o.Certificates, o.Registerer = certs, reg
	s := start(t, o)
	u := dialUDP(t, at(t, s, UDP))
	roundTripUDP(t, u, request(1, 100))
	u.Write([]byte("garbage"))
	u.Write([]byte("\r\n\r\n"))
	expectDropped(t, s, UDP, dropStartLine, 1)
	c := dialTCP(t, at(t, s, TCP))
	roundTrip(t, c, request(1, 100))
	eventually(t, func() bool { return s.stats[0].keepAlives.Load() == 1 }, func() string { return "no keep-alive" })

	size := len(request(1, 100))
	want := fmt.Sprintf(`
# HELP parley_sip_connections Connections open at present.
# TYPE parley_sip_connections gauge
parley_sip_connections{transport="tcp"} 1
parley_sip_connections{transport="tls"} 0
parley_sip_connections{transport="ws"} 0
parley_sip_connections{transport="wss"} 0
# HELP parley_sip_dropped_total Datagrams, messages and connections turned away, by reason.
# TYPE parley_sip_dropped_total counter
parley_sip_dropped_total{reason="start_line",transport="udp"} 1
# HELP sip_received_bytes_total Volume of SIP traffic received, keep-alives and what was turned away included.
# TYPE sip_received_bytes_total counter
sip_received_bytes_total{transport="tcp"} %d
sip_received_bytes_total{transport="tls"} 0
sip_received_bytes_total{transport="udp"} %d
sip_received_bytes_total{transport="ws"} 0
sip_received_bytes_total{transport="wss"} 0
# HELP sip_sent_bytes_total Volume of SIP messages sent.
# TYPE sip_sent_bytes_total counter
sip_sent_bytes_total{transport="tcp"} %d
sip_sent_bytes_total{transport="tls"} 0
sip_sent_bytes_total{transport="udp"} %d
sip_sent_bytes_total{transport="ws"} 0
sip_sent_bytes_total{transport="wss"} 0
# HELP sip_transport_errors_total Faults of sockets and connections, by our own address.
# TYPE sip_transport_errors_total counter
sip_transport_errors_total{address="%s",transport="tcp"} 0
sip_transport_errors_total{address="%s",transport="udp"} 0
sip_transport_errors_total{address="%s",transport="wss"} 0
sip_transport_errors_total{address="dialled",transport="tcp"} 0
sip_transport_errors_total{address="dialled",transport="tls"} 0
# HELP sip_stream_transport_flood_total Times a connection sent faster than its limit and was read more slowly.
# TYPE sip_stream_transport_flood_total counter
sip_stream_transport_flood_total 0
# HELP sip_stream_transport_wait_drain_total Times a send on a stream transport had to wait for the buffer to drain.
# TYPE sip_stream_transport_wait_drain_total counter
sip_stream_transport_wait_drain_total 0
`, size, size+len("garbage")+4, size, size, at(t, s, TCP), at(t, s, UDP), at(t, s, WSS))
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "sip_received_bytes_total", "sip_sent_bytes_total",
		"sip_transport_errors_total", "sip_stream_transport_flood_total", "sip_stream_transport_wait_drain_total",
		"parley_sip_connections", "parley_sip_dropped_total"); err != nil {
		t.Error(err)
	}
	c.Close()
	eventually(t, func() bool {
		n, err := testutil.GatherAndCount(reg, "parley_sip_connections_closed_total")
		return err == nil && n == 1
	}, func() string { return "the end of the connection was not counted" })
	lint(t, reg)
}
