package media

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/sdp"
)

// The load comes from a process of its own, so that the CPU of this one is the relay's: the test binary, started with
// this variable, is a thousand phones that all have the same two addresses.
const loadVariable = "PARLEY_MEDIA_LOAD"

const (
	loadStep = 50 * time.Microsecond // how often the load sends, so that packets come one by one as from many phones
	loadTick = time.Millisecond      // how often it looks for what came back
)

// BenchmarkRelays carries G.711 calls, 50 packets a second each way, and tells what the process takes for it. An
// iteration is one packet relayed. A core is busy when packets/s times cpu-ns/packet is 1e9.
func BenchmarkRelays(b *testing.B) {
	for _, calls := range []int{100, 1000} {
		for name, open := range drivers() {
			b.Run(fmt.Sprintf("calls=%d/%s", calls, name), func(b *testing.B) { benchmarkRelays(b, calls, open) })
		}
	}
}

func benchmarkRelays(b *testing.B, calls int, open func(Config) (driver, error)) {
	cfg := testConfig()
	cfg.FirstPort, cfg.LastPort = 10000, 19999
	p := startPlane(b, cfg, open)
	load := startLoad(b)
	var legs []*Leg
	for range calls {
		pair := [2]*Leg{openLeg(b, p, Hooks{}), openLeg(b, p, Hooks{})}
		for s, l := range pair {
			agree(b, l, Agreement{Remote: Remote{RTP: load.addrs[s]}, Direction: sdp.SendRecv, Send: audioFormats, Receive: audioFormats})
		}
		Join(pair[0], pair[1])
		legs = append(legs, pair[:]...)
	}
	rate := calls * 2 * 50
	b.ResetTimer()
	before, start := cpu(b), time.Now()
	load.run(b, legs, rate, b.N)
	total, _ := p.totals()
	for deadline := time.Now().Add(patience); total.sent < uint64(b.N) && time.Now().Before(deadline); total, _ = p.totals() {
		<-time.After(loadTick) // what is sent is still in the sockets' buffers
	}
	took, used := time.Since(start), cpu(b)-before
	b.StopTimer()
	b.ReportMetric(float64(used.Nanoseconds())/float64(total.sent), "cpu-ns/packet")
	b.ReportMetric(float64(total.sent)/took.Seconds(), "packets/s")
	b.ReportMetric(100*used.Seconds()/took.Seconds(), "%core")
	b.ReportMetric(float64(b.N)-float64(total.sent), "lost")
}

// cpu is what the process has taken, user and system.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load is the other process.
type load struct {
	in    io.Writer
	out   *bufio.Reader
	addrs [2]netip.AddrPort
}

func startLoad(b *testing.B) *load {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), loadVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	l := &load{in: in, out: bufio.NewReader(out)}
	for s := range l.addrs {
		l.addrs[s] = netip.MustParseAddrPort(l.line(b))
	}
	return l
}

func (l *load) line(b *testing.B) string {
	b.Helper()
	s, err := l.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(s)
}

// run sends n packets to the legs at a rate a second, and waits until they are sent.
func (l *load) run(b *testing.B, legs []*Leg, rate, n int) {
	b.Helper()
	var order strings.Builder
	fmt.Fprintf(&order, "%d %d", rate, n)
	for _, l := range legs {
		port, _ := l.Ports()
		fmt.Fprintf(&order, " %d", port)
	}
	if _, err := fmt.Fprintln(l.in, order.String()); err != nil {
		b.Fatal(err)
	}
	if done := l.line(b); done != "done" {
		b.Fatal(done)
	}
}

// runLoad is the other process: it tells its two addresses, and for each line it reads it sends packets.
func runLoad() error {
	var conns [2]*net.UDPConn
	for i := range conns {
		var err error
		if conns[i], err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			return err
		}
		fmt.Println(conns[i].LocalAddr())
		go discardAll(conns[i])
	}
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var numbers []int
		for _, f := range strings.Fields(line) {
			n, err := strconv.Atoi(f)
			if err != nil {
				return err
			}
			numbers = append(numbers, n)
		}
		if err := sendLoad(conns, numbers[0], numbers[1], numbers[2:]); err != nil {
			return err
		}
		fmt.Println("done")
	}
}

// discardAll throws away what comes back. It looks once in a while rather than wait for each packet, since with a wait
// the sender of a packet, the relay, would be billed for waking this process up.
func discardAll(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		panic(err)
	}
	b := make([]byte, maxDatagram)
	for range time.Tick(loadTick) {
		for got := true; got; {
			err := raw.Control(func(fd uintptr) {
				_, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_DONTWAIT)
				got = err == nil
			})
			if err != nil {
				return
			}
		}
	}
}

// sendLoad sends n packets to the ports in turn, even places from the first address and odd ones from the second.
func sendLoad(conns [2]*net.UDPConn, rate, n int, ports []int) error {
	packet, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 7}, Payload: make([]byte, 160)}).Marshal()
	if err != nil {
		return err
	}
	start := time.Now()
	for i := range n {
		if due := time.Duration(float64(i) / float64(rate) * float64(time.Second)); time.Since(start) < due {
			if err := syscall.Nanosleep(&syscall.Timespec{Nsec: int64(loadStep)}, nil); err != nil && err != syscall.EINTR {
				return err
			}
		}
		round := i / len(ports)
		binary.BigEndian.PutUint16(packet[2:], uint16(round))
		binary.BigEndian.PutUint32(packet[4:], uint32(round*160))
		to := netip.AddrPortFrom(loopback, uint16(ports[i%len(ports)]))
		if _, err := conns[i%2].WriteToUDPAddrPort(packet, to); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkForward is our own work for a packet from leg to leg, without the system's.
func BenchmarkForward(b *testing.B) {
	benchmarkForward(b, [2]Guard{}, func(dst, packet []byte) []byte { return append(dst, packet...) })
}

// benchmarkForward passes packets on between legs with those guards. seal does what the sender does, and is measured too.
func benchmarkForward(b *testing.B, guards [2]Guard, seal func(dst, packet []byte) []byte) {
	cfg := testConfig()
	cfg.MaxPacketRate = 1 << 40
	p := startPlane(b, cfg, func(Config) (driver, error) { return &netDriver{}, nil })
	in, out := openLeg(b, p, Hooks{}), openLeg(b, p, Hooks{})
	from := netip.MustParseAddrPort("127.0.0.1:4000")
	for i, l := range []*Leg{in, out} {
		agree(b, l, Agreement{Remote: Remote{RTP: from}, Direction: sdp.SendRecv, Send: audioFormats, Receive: audioFormats, Guard: guards[i]})
		l.rtp.io.close()
		l.rtp.io = nowhere{}
	}
	Join(in, out)
	packet, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 7}, Payload: make([]byte, 160)}).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	datagram, seq := make([]byte, 0, maxDatagram), uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		binary.BigEndian.PutUint16(packet[2:], seq)
		binary.BigEndian.PutUint32(packet[4:], uint32(seq)*160)
		seq++
		datagram = seal(datagram[:0], packet)
		in.mu.Lock()
		in.arrived(in.rtp, datagram, from, p.now())
	}
	if in, out := in.Stats(), out.Stats(); out.Sent == 0 || in.Dropped > 0 {
		b.Fatalf("%d sent and %d dropped, want all sent", out.Sent, in.Dropped)
	}
}

// nowhere is a socket that takes everything.
type nowhere struct{}

func (nowhere) send([]byte, netip.AddrPort) error { return nil }
func (nowhere) close()                            {}

// BenchmarkOpenClose is what a party of a call pays for its ports, and what it takes while it stands. The last does not
// count what the system keeps for its two sockets.
func BenchmarkOpenClose(b *testing.B) {
	for name, open := range drivers() {
		b.Run(name, func(b *testing.B) {
			p := startPlane(b, testConfig(), open)
			cycle := func() *Leg {
				l, err := p.Open(Hooks{})
				if err != nil {
					b.Fatal(err)
				}
				return l
			}
			b.ReportAllocs()
			for b.Loop() {
				cycle().Close()
			}
			const standing = 400
			before := memory()
			var legs []*Leg
			for range standing {
				legs = append(legs, cycle())
			}
			b.ReportMetric(float64(memory()-before)/standing, "B/standing")
			for _, l := range legs {
				l.Close()
			}
		})
	}
}

// memory is what the heap and the stacks take.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
