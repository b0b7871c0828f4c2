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
	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

func TestMetrics(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	c.talk()
	agree(t, c.legB, directed(c.b.agrees(), sdp.Inactive))
	c.a.audio(c.portA)
	eventually(t, "a packet to be held back", func() bool { return c.legA.Stats().Held == 1 })
	check := func(when, want string) {
		t.Helper()
		if err := testutil.CollectAndCompare(collector{p}, strings.NewReader(want),
			"parley_media_legs", "parley_media_port_pairs", "parley_media_received_packets_total", "parley_media_sent_packets_total"); err != nil {
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
	legs := `
# HELP parley_media_legs Parties of calls whose media goes through this node now.
# TYPE parley_media_legs gauge
`
	check("during the call", counts+`parley_media_port_pairs{state="free"} 998
parley_media_port_pairs{state="in_use"} 2
parley_media_port_pairs{state="resting"} 0
`+legs+"parley_media_legs 2\n")
	c.close()
	check("after the call", counts+`parley_media_port_pairs{state="free"} 1000
parley_media_port_pairs{state="in_use"} 0
parley_media_port_pairs{state="resting"} 0
`+legs+"parley_media_legs 0\n")
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
			there := c.b.agrees()
			there.Remote = Remote{RTP: addrOf(six), RTCP: addrOf(six)}
			agree(t, c.legB, there)
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
			{0x80, 200, 0, 200, 0, 0, 0, 1}, {0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, {22, 254, 253, 0, 0, 0, 0, 0}, make([]byte, maxDatagram+1)} {
			c.a.send(c.a.rtp, c.portA, b)
			c.a.send(c.a.rtcp, c.portA+1, b)
		}
		c.a.send(c.a.rtcp, c.portA+1, c.a.next(0, []byte("audio on the RTCP port")))
		c.a.send(c.a.rtcp, c.portA+1, receiverReport(t, 0xA))
		eventually(t, "the report to be read", func() bool { return c.legA.Stats().RTCP == 1 })
		c.a.header.SequenceNumber--
		c.talk()
		s, f := c.legA.Stats(), c.legA.Figures()
		if s.Packets != 2 || s.RTCP != 1 || s.Dropped != 17 || f.Received.Lost != 0 {
			t.Errorf("%+v, %d lost; want 2 RTP and 1 RTCP taken, 17 dropped (those too long are not read)", s, f.Received.Lost)
		}
	})
}

// A digit whose last packets were lost is told all the same, by the plane's own looking around.
func TestDigitWithoutItsEnd(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	pressed := make(chan Digit, 1)
	c := newCall(t, p, Hooks{Digit: func(d Digit) { pressed <- d }})
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

// Legs are opened, joined and closed while packets come, and none gets another's packets.
func TestCallsComeAndGo(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		var wg sync.WaitGroup
		for worker := range uint32(4) {
			phone, peer := newPhone(t, 100+worker), listen(t)
			wg.Go(func() {
				for range 100 {
					in, errIn := p.Open(Hooks{})
					out, errOut := p.Open(Hooks{})
					if err := errors.Join(errIn, errOut); err != nil {
						t.Error(err)
						return
					}
					there := phone.agrees()
					there.Remote = Remote{RTP: addrOf(peer)}
					if err := errors.Join(in.Agree(phone.agrees()), out.Agree(there)); err != nil {
						t.Error(err)
					}
					Join(in, out)
					port, _ := in.Ports()
					for range 3 {
						phone.audio(port)
					}
					out.Stats()
					in.Close()
					out.Close()
					if s := in.Stats(); s.Packets > 0 && s.Source != addrOf(phone.rtp) {
						t.Errorf("heard %v, want %v", s.Source, addrOf(phone.rtp))
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

// Bytes from anybody never harm a leg, and what is passed on is audio of ours.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3}, false)
	f.Add([]byte{0x90, 0x65, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 0xBE, 0xDE, 0, 1, 0x10, 1, 0, 0, 5, 0x8A, 3, 32}, false)
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, false)
	f.Add([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false)
	f.Add(receiverReport(f, 0xA, rtcp.ReceptionReport{SSRC: 0xB, LastSenderReport: 1}), true)
	f.Add(marshal(f, &rtcp.SenderReport{SSRC: 0xA, NTPTime: 1 << 40}), true)
	pool, err := NewPool(testConfig())
	if err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddrPort("192.0.2.1:4000")
	f.Fuzz(func(t *testing.T, b []byte, control bool) {
		var sent wire
		var legs [2]*Leg
		for s := range legs {
			l := &Leg{plane: &Plane{cfg: pool.cfg, now: time.Now}, port: 2, out: newNumbering(uint32(s + 1))}
			l.rtp, l.rtcp = &socket{leg: l, io: &sent}, &socket{leg: l, control: true, io: &sent}
			agree(t, l, Agreement{Remote: Remote{RTP: from, RTCP: from}, Direction: sdp.SendRecv, Send: audioFormats, Receive: audioFormats})
			legs[s] = l
		}
		Join(legs[0], legs[1])
		in := legs[0]
		on := in.rtp
		if control {
			on = in.rtcp
		}
		came := append([]byte(nil), b...)
		in.mu.Lock()
		in.arrived(on, b, from, time.Unix(1000, 0))
		in.digits.Silence(time.Unix(2000, 0), nil)
		s := in.Stats()
		if uint64(len(sent))+s.RTCP+s.Dropped != 1 {
			t.Fatalf("%d datagrams sent, %d reports read and %d dropped of one", len(sent), s.RTCP, s.Dropped)
		}
		if len(sent) == 0 {
			return
		}
		var was, is rtp.Packet
		if was.Header.Unmarshal(came); is.Unmarshal(sent[0]) == nil && (is.SSRC != 2 || is.Extension || len(is.CSRC) > 0 || is.PayloadType != was.PayloadType) {
			t.Errorf("passed %x on as %x", came, sent[0])
		}
	})
}

// wire keeps what is sent.
type wire [][]byte

func (w *wire) send(b []byte, _ netip.AddrPort) error {
	*w = append(*w, append([]byte(nil), b...))
	return nil
}

func (w *wire) close() {}
