package media

import (
	"bufio"
	"encoding/binary"
	"errors"
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
	"parley/internal/media/secure"
)

// The load comes from a process of its own, so that the CPU of this one is the relay's: the test binary, started with
// this variable, is a thousand phones that all have the same two addresses.
const loadVariable = "PARLEY_MEDIA_LOAD"

const (
	loadStep = 50 * time.Microsecond // how often the load sends, so that packets come one by one as from many phones
	loadTick = time.Millisecond      // how often it looks for what came back
)

// BenchmarkRelays carries G.711 calls, 50 packets a second each way, and tells what the process takes for it, and so how
// many such calls a core carries. An iteration is one packet relayed.
func BenchmarkRelays(b *testing.B) {
	for _, calls := range []int{100, 1000} {
		for name, open := range drivers() {
			b.Run(fmt.Sprintf("calls=%d/%s", calls, name), func(b *testing.B) { benchmarkRelays(b, calls, open, nil) })
		}
		for _, suite := range secure.Suites() {
			b.Run(fmt.Sprintf("calls=%d/%v", calls, suite), func(b *testing.B) { benchmarkRelays(b, calls, newDriver, &suite) })
		}
	}
}

// benchmarkRelays relays for calls that are encrypted on both sides, or with nil on none.
func benchmarkRelays(b *testing.B, calls int, open func(Config) (driver, error), suite *secure.Suite) {
	cfg := testConfig()
	cfg.FirstPort, cfg.LastPort = 10000, 19999
	p := startPlane(b, cfg, open)
	load := startLoad(b)
	var ours, theirs [2]secure.Crypto
	if suite != nil {
		for side := range ours {
			ours[side], theirs[side] = secure.NewCrypto(1, *suite), secure.NewCrypto(1, *suite)
			load.keys = append(load.keys, ours[side].Attribute(), theirs[side].Attribute())
		}
	}
	var legs []*Leg
	for range calls {
		pair := [2]*Leg{openLeg(b, p, Hooks{}), openLeg(b, p, Hooks{})}
		for s, l := range pair {
			a := Agreement{Remote: Remote{RTP: load.addrs[s]}, Direction: sdp.SendRecv, Send: audioFormats, Receive: audioFormats}
			if suite != nil {
				guard, err := secure.NewSDES(ours[s], theirs[s])
				if err != nil {
					b.Fatal(err)
				}
				a.Guard = guard
			}
			agree(b, l, a)
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
	each := float64(used.Nanoseconds()) / float64(total.sent)
	b.ReportMetric(each, "cpu-ns/packet")
	b.ReportMetric(float64(time.Second)/each/100, "calls/core")
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
	keys  []string // for each address our line and the phones' (RFC 4568), when the audio is encrypted
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
	fmt.Fprintf(&order, "%s;%d %d", strings.Join(l.keys, ","), rate, n)
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
		keys, order, _ := strings.Cut(line, ";")
		var numbers []int
		for _, f := range strings.Fields(order) {
			n, err := strconv.Atoi(f)
			if err != nil {
				return err
			}
			numbers = append(numbers, n)
		}
		guards, err := loadGuards(keys)
		if err != nil {
			return err
		}
		if err := sendLoad(conns, guards, numbers[0], numbers[1], numbers[2:]); err != nil {
			return err
		}
		fmt.Println("done")
	}
}

// loadGuards are those of the phones, nil without keys.
func loadGuards(keys string) (guards [2]*secure.SDES, err error) {
	if keys == "" {
		return guards, nil
	}
	lines := strings.Split(keys, ",")
	for side := range guards {
		ours, errOurs := secure.ParseCrypto(lines[2*side])
		theirs, errTheirs := secure.ParseCrypto(lines[2*side+1])
		if err := errors.Join(errOurs, errTheirs); err != nil {
			return guards, err
		}
		if guards[side], err = secure.NewSDES(theirs, ours); err != nil {
			return guards, err
		}
	}
	return guards, nil
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

// sendLoad sends n packets to the ports in turn, even places from the first address and odd ones from the second. All phones
// of a side say the same under the same key, so that encrypting costs the load nothing.
func sendLoad(conns [2]*net.UDPConn, guards [2]*secure.SDES, rate, n int, ports []int) error {
	packet, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 7}, Payload: make([]byte, 160)}).Marshal()
	if err != nil {
		return err
	}
	said := [2][]byte{packet, packet}
	start := time.Now()
	for i := range n {
		if due := time.Duration(float64(i) / float64(rate) * float64(time.Second)); time.Since(start) < due {
			if err := syscall.Nanosleep(&syscall.Timespec{Nsec: int64(loadStep)}, nil); err != nil && err != syscall.EINTR {
				return err
			}
		}
		if round := i / len(ports); i%len(ports) == 0 {
			binary.BigEndian.PutUint16(packet[2:], uint16(round))
			binary.BigEndian.PutUint32(packet[4:], uint32(round*160))
			for side, g := range guards {
				if g == nil {
					continue
				}
				if said[side], err = g.Protect(nil, packet, false); err != nil {
					return err
				}
			}
		}
		to := netip.AddrPortFrom(loopback, uint16(ports[i%len(ports)]))
		if _, err := conns[i%2].WriteToUDPAddrPort(said[i%2], to); err != nil {
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
	before := cpu(b)
	for b.Loop() {
		binary.BigEndian.PutUint16(packet[2:], seq)
		binary.BigEndian.PutUint32(packet[4:], uint32(seq)*160)
		seq++
		datagram = seal(datagram[:0], packet)
		in.mu.Lock()
		in.arrived(in.rtp, datagram, from, p.now())
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
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
