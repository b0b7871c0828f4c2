package media

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

func TestMetrics(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	c.talk()
	c.SetDirection(B, sdp.Inactive)
	c.a.audio(c.portA)
	eventually(t, "a packet to be held back", func() bool { return c.Stats(A).Held == 1 })
	check := func(when, want string) {
		t.Helper()
		if err := testutil.CollectAndCompare(collector{p}, strings.NewReader(want),
			"parley_media_relays", "parley_media_port_pairs", "parley_media_received_packets_total", "parley_media_sent_packets_total"); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	counts := `
# HELP parley_media_received_packets_total RTP packets received from peers.
# TYPE parley_media_received_packets_total counter
parley_media_received_packets_total 3
# HELP parley_media_sent_packets_total RTP packets sent to peers.
# TYPE parley_media_sent_packets_total counter
parley_media_sent_packets_total 2
# HELP parley_media_port_pairs Pairs of an RTP and an RTCP port: in_use, free, or resting before they may be used again.
# TYPE parley_media_port_pairs gauge
`
	relays := `
# HELP parley_media_relays Calls whose media goes through this node now.
# TYPE parley_media_relays gauge
`
	check("during the call", counts+`parley_media_port_pairs{state="free"} 998
parley_media_port_pairs{state="in_use"} 2
parley_media_port_pairs{state="resting"} 0
`+relays+"parley_media_relays 1\n")
	c.Close()
	check("after the call", counts+`parley_media_port_pairs{state="free"} 1000
parley_media_port_pairs{state="in_use"} 0
parley_media_port_pairs{state="resting"} 0
`+relays+"parley_media_relays 0\n")
	if problems, err := testutil.CollectAndLint(collector{p}); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if n := testutil.CollectAndCount(collector{p}, "parley_media_dropped_packets_total"); n != int(dropReasons) {
		t.Errorf("%d reasons to drop are shown, want %d", n, dropReasons)
	}
}

func TestHostFor(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("::1")
	external := netip.MustParseAddr("203.0.113.1")
	for name, c := range map[string]struct {
		bind, external, peer, want netip.Addr
	}{
		"the external one":               {netip.IPv4Unspecified(), external, v4, external},
		"the external one for anybody":   {netip.IPv4Unspecified(), external, netip.Addr{}, external},
		"not for the other IP version":   {netip.IPv6Unspecified(), external, v6, v6},
		"the one that is bound":          {loopback, netip.Addr{}, v4, loopback},
		"the one the system would take":  {netip.IPv4Unspecified(), netip.Addr{}, v4, loopback},
		"none without anything to go by": {bind: netip.IPv4Unspecified()},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Bind, cfg.External = c.bind, c.external
			pool, err := NewPool(cfg)
			if err != nil {
				t.Fatal(err)
			}
			p, err := newPlane(pool, &netDriver{}, prometheus.NewRegistry(), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.HostFor(c.peer)
			if got != c.want || (err != nil) != !c.want.IsValid() {
				t.Errorf("HostFor(%v) = %v, %v, want %v", c.peer, got, err, c.want)
			}
		})
	}
}

func TestBindErrors(t *testing.T) {
	for _, c := range []struct{ err, want error }{
		{syscall.EADDRINUSE, errOccupied}, {syscall.EMFILE, voice.ErrOverloaded}, {syscall.ENFILE, voice.ErrOverloaded}, {syscall.EACCES, syscall.EACCES},
	} {
		if got := bindError(os.NewSyscallError("bind", c.err)); !errors.Is(got, c.want) || !errors.Is(got, c.err) {
			t.Errorf("bindError(%v) = %v, want it to be %v, too", c.err, got, c.want)
		}
	}
}

// IPv4 and IPv6 phones meet on sockets bound to all addresses.
func TestBothVersionsOfIP(t *testing.T) {
	for name, open := range drivers() {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Bind, cfg.FirstPort, cfg.LastPort = netip.IPv6Unspecified(), 14100, 14199
			c := newCall(t, startPlane(t, cfg, open), Hooks{})
			six, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = six.Close() }()
			c.remote(B, Remote{RTP: addrOf(six), RTCP: addrOf(six), Formats: audioFormats})
			c.b.hears(six, c.a.audio(c.portA), c.portB)
			b := c.b.next(0, []byte("from afar"))
			if _, err := six.WriteToUDPAddrPort(b, netip.AddrPortFrom(netip.IPv6Loopback(), c.portB)); err != nil {
				t.Fatal(err)
			}
			c.a.hears(c.a.rtp, b, c.portA)
		})
	}
}

// What is no RTP, or too long for any audio, goes nowhere and does no harm.
func TestNonsenseIsDropped(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		for _, b := range [][]byte{nil, {0x80}, []byte("OPTIONS sip:x SIP/2.0"), {0x80, 0, 0, 1, 0, 0, 0, 0}, {0x9F, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 10},
			{0x80, 200, 0, 200, 0, 0, 0, 1}, make([]byte, maxDatagram+1)} {
			c.a.send(c.a.rtp, c.portA, b)
			c.a.send(c.a.rtcp, c.portA+1, b)
		}
		c.a.send(c.a.rtcp, c.portA+1, c.a.next(0, []byte("audio on the RTCP port")))
		report := receiverReport(t, 0xA, rtcp.ReceptionReport{SSRC: 0xB})
		c.a.send(c.a.rtcp, c.portA+1, report)
		c.b.hears(c.b.rtcp, report, c.portB+1)
		c.a.header.SequenceNumber--
		c.talk()
		if s := c.Stats(A); s.Packets != 2 || s.RTCP != 1 || s.Dropped != 13 || s.Lost != 0 {
			t.Errorf("%+v, want 2 RTP and 1 RTCP taken, 13 dropped (those too long are not read)", s)
		}
	})
}

// Of encrypted media only the headers of RTP are read; everything passes.
func TestEncryptedPasses(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{Digit: func(_ Side, d Digit) { t.Errorf("read %+v from encrypted media", d) }})
	secret := c.a.remote()
	secret.Encrypted = true
	c.remote(A, secret)
	b := c.a.next(101, []byte{5, 0x8A, 3, 32})
	c.a.send(c.a.rtp, c.portA, b)
	c.b.hears(c.b.rtp, b, c.portB)
	report := []byte{0x81, 201, 0, 7, 0, 0, 0, 0xA, 1, 2, 3, 4, 5}
	c.a.send(c.a.rtcp, c.portA+1, report)
	c.b.hears(c.b.rtcp, report, c.portB+1)
	if s := c.Stats(A); s.Packets != 1 || s.RTCP != 1 || !s.Report.At.IsZero() {
		t.Errorf("%+v", s)
	}
}

// A digit whose last packets were lost is told all the same, by the plane's own looking around.
func TestDigitWithoutItsEnd(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	pressed := make(chan Digit, 1)
	c := newCall(t, p, Hooks{Digit: func(_ Side, d Digit) { pressed <- d }})
	c.a.send(c.a.rtp, c.portA, c.a.next(101, []byte{9, 10, 1, 64}))
	select {
	case d := <-pressed:
		if d.Key != '9' || d.Duration != 40*time.Millisecond {
			t.Errorf("pressed %+v, want 9 for 40 ms", d)
		}
	case <-time.After(patience):
		t.Error("not told of the digit")
	}
}

// Relays are opened and closed while packets come, and none gets another's packets.
func TestCallsComeAndGo(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		var wg sync.WaitGroup
		for worker := range uint32(4) {
			phone, peer := newPhone(t, 100+worker), listen(t)
			wg.Go(func() {
				for range 100 {
					r, err := p.Open(Hooks{})
					if err != nil {
						t.Error(err)
						return
					}
					port, _ := r.Ports(A)
					if err := errors.Join(r.SetRemote(A, phone.remote()), r.SetRemote(B, Remote{RTP: addrOf(peer), Formats: audioFormats})); err != nil {
						t.Error(err)
					}
					for range 3 {
						phone.audio(port)
					}
					r.Relearn(A)
					r.Stats(B)
					r.Close()
					if s := r.Stats(A); s.Packets > 0 && s.SSRC != 100+worker {
						t.Errorf("heard SSRC %d, want %d", s.SSRC, 100+worker)
					}
				}
			})
		}
		wg.Wait()
		if s := p.pool.Stats(); s.InUse != 0 {
			t.Errorf("%+v after all calls, want none in use", s)
		}
	})
}

// Bytes from anybody never harm a relay, and what is passed on is what came.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3}, false)
	f.Add([]byte{0x90, 0x65, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 0xBE, 0xDE, 0, 1, 0x10, 1, 0, 0, 5, 0x8A, 3, 32}, false)
	f.Add(receiverReport(f, 0xA, rtcp.ReceptionReport{SSRC: 0xB, LastSenderReport: 1}), true)
	f.Add(marshal(f, &rtcp.SenderReport{SSRC: 0xA, NTPTime: 1 << 40}), true)
	pool, err := NewPool(testConfig())
	if err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddrPort("192.0.2.1:4000")
	f.Fuzz(func(t *testing.T, b []byte, control bool) {
		var sent wire
		r := &Relay{plane: &Plane{cfg: pool.cfg}}
		for s := range r.legs {
			l := &r.legs[s]
			l.direction = sdp.SendRecv
			l.rtp, l.rtcp = &socket{relay: r, side: Side(s), io: &sent}, &socket{relay: r, side: Side(s), control: true, io: &sent}
			l.remote = Remote{RTP: from, RTCP: from}
			l.latch.announced = from
			l.formats = audioFormats
		}
		on := r.legs[A].rtp
		if control {
			on = r.legs[A].rtcp
		}
		r.handleLocked(on, b, from, time.Unix(1000, 0))
		r.legs[A].digits.silent(time.Unix(2000, 0), nil)
		c := r.legs[A].count
		var dropped uint64
		for _, n := range c.dropped {
			dropped += n
		}
		if len(sent) > 1 || len(sent) == 1 && string(sent[0]) != string(b) || uint64(len(sent))+dropped != 1 {
			t.Errorf("%d datagrams sent and %d dropped of one", len(sent), dropped)
		}
	})
}

// wire keeps what is sent.
type wire [][]byte

func (w *wire) send(b []byte, _ netip.AddrPort) error {
	*w = append(*w, b)
	return nil
}

func (w *wire) close() {}
