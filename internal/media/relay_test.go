package media

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

func TestAudioPassesUnchanged(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		for range 20 { // over the wrap of sequence numbers and timestamps
			c.talk()
		}
		for _, s := range []Side{A, B} {
			stats := c.Stats(s)
			if stats.Packets != 20 || stats.Sent != 20 || stats.Lost != 0 || stats.Dropped != 0 || stats.Bytes != 20*31 {
				t.Errorf("side %v: %+v, want 20 packets each way and none lost", s, stats)
			}
		}
		if a := c.Stats(A); a.SSRC != 0xA || a.Source != addrOf(c.a.rtp) || a.Payload != 0 {
			t.Errorf("side A: %+v", a)
		}
	})
}

// A phone behind NAT sends from an address its SDP does not name, and hears us there.
func TestSymmetricRTP(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		behind := c.a.remote()
		behind.RTP = netip.MustParseAddrPort("192.168.1.5:40000")
		behind.RTCP = netip.MustParseAddrPort("192.168.1.5:40001")
		c.remote(A, behind)

		c.a.audio(c.portA) // the first packet only proves that a stream begins
		c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)
		c.a.hears(c.a.rtp, c.b.audio(c.portB), c.portA)

		// Its RTCP is taken from the same host, and then goes there.
		report := receiverReport(t, 0xA, rtcp.ReceptionReport{SSRC: 0xB})
		c.a.send(c.a.rtcp, c.portA+1, report)
		c.b.hears(c.b.rtcp, report, c.portB+1)
		report = receiverReport(t, 0xB, rtcp.ReceptionReport{SSRC: 0xA})
		c.b.send(c.b.rtcp, c.portB+1, report)
		c.a.hears(c.a.rtcp, report, c.portA+1)
	})
}

// Once a stream is known, no stranger is heard, nor hears anything.
func TestHijackIsRefused(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		stranger := newPhone(t, 0xE)
		for range 5 {
			stranger.audio(c.portA)
		}
		stranger.send(stranger.rtcp, c.portA+1, receiverReport(t, 0xE, rtcp.ReceptionReport{SSRC: 0xB}))
		c.a.send(c.a.rtcp, c.portA+1, receiverReport(t, 0xA, rtcp.ReceptionReport{SSRC: 0xB}))
		eventually(t, "A's RTCP to be counted", func() bool { return c.Stats(A).RTCP == 1 })
		c.talk()
		stranger.silence(stranger.rtp)
		if s := c.Stats(A); s.Dropped < 5 || s.Packets != 2 || s.Source != addrOf(c.a.rtp) {
			t.Errorf("side A: %+v, want the stranger's packets dropped", s)
		}
	})
}

// A re-INVITE with another address arms the latch; one with the same address does not.
func TestNewAddressArmsTheLatch(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	c.talk()
	moved := newPhone(t, 0xA2)
	c.remote(A, c.a.remote())
	moved.audio(c.portA)
	moved.audio(c.portA)
	c.talk()
	moved.silence(moved.rtp)

	c.remote(A, moved.remote())
	c.a.hears(moved.rtp, c.b.audio(c.portB), c.portA)
	c.b.hears(c.b.rtp, moved.audio(c.portA), c.portB)
	if got := c.Stats(A); got.SSRC != 0xA2 || got.Source != addrOf(moved.rtp) {
		t.Errorf("side A: %+v, want the new phone", got)
	}
}

func TestHold(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		c.SetDirection(A, sdp.SendOnly) // A holds B, with music
		c.SetDirection(B, sdp.RecvOnly)
		c.b.audio(c.portB)
		eventually(t, "B's packet to be held back", func() bool { return c.Stats(B).Held == 1 })
		c.a.silence(c.a.rtp)
		c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)

		c.SetDirection(A, sdp.Inactive)
		c.a.audio(c.portA)
		eventually(t, "A's packet to be held back", func() bool { return c.Stats(A).Held == 1 })
		c.b.silence(c.b.rtp)
		if idle := c.Idle(A); idle != 0 {
			t.Errorf("Idle(A) = %v while A is not to send, want 0", idle)
		}
		report := receiverReport(t, 0xA, rtcp.ReceptionReport{SSRC: 0xB})
		c.a.send(c.a.rtcp, c.portA+1, report)
		c.b.hears(c.b.rtcp, report, c.portB+1) // RTCP passes on hold

		c.SetDirection(A, sdp.SendRecv)
		c.SetDirection(B, sdp.SendRecv)
		c.talk()
	})
}

func TestRTCPIsPassedAndRead(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		sender := marshal(t, &rtcp.SenderReport{SSRC: 0xB, NTPTime: 0x1234_5678_9ABC_DEF0, PacketCount: 77})
		c.b.send(c.b.rtcp, c.portB+1, sender)
		c.a.hears(c.a.rtcp, sender, c.portA+1)
		answer := receiverReport(t, 0xA,
			rtcp.ReceptionReport{SSRC: 0xDEAD, FractionLost: 255, Jitter: 1},
			rtcp.ReceptionReport{SSRC: 0xB, FractionLost: 64, TotalLost: 12, Jitter: 80, LastSenderReport: 0x5678_9ABC, Delay: 0})
		c.a.send(c.a.rtcp, c.portA+1, answer)
		c.b.hears(c.b.rtcp, answer, c.portB+1)

		if got := c.Stats(B).Report.Sent; got != 77 {
			t.Errorf("B says it sent %d packets, want 77", got)
		}
		got := c.Stats(A).Report
		if got.FractionLost != 0.25 || got.Lost != 12 || got.Jitter != 10*time.Millisecond || got.RTT <= 0 || got.RTT > patience || got.At.IsZero() {
			t.Errorf("A reports %+v, want a quarter and 12 lost, 10 ms of jitter and a round trip", got)
		}
	})
}

// RTCP moves to the port of RTP when both sides want it there. It is taken there in any case.
func TestMux(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		mux := func(s Side, phone *phone) {
			to := phone.remote()
			to.Mux = true
			c.remote(s, to)
		}
		fromA, fromB := receiverReport(t, 0xA, rtcp.ReceptionReport{SSRC: 0xB}), receiverReport(t, 0xB, rtcp.ReceptionReport{SSRC: 0xA})

		mux(A, c.a) // offered, and not agreed to
		c.a.send(c.a.rtp, c.portA, fromA)
		c.b.hears(c.b.rtcp, fromA, c.portB+1)
		c.b.send(c.b.rtcp, c.portB+1, fromB)
		c.a.hears(c.a.rtcp, fromB, c.portA+1)

		mux(B, c.b)
		c.a.send(c.a.rtp, c.portA, fromA)
		c.b.hears(c.b.rtp, fromA, c.portB)
		c.b.send(c.b.rtp, c.portB, fromB)
		c.a.hears(c.a.rtp, fromB, c.portA)
		c.talk()
	})
}

func TestDigitIsNoticedOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		type press struct {
			side  Side
			digit Digit
		}
		pressed := make(chan press, 10)
		c := newCall(t, p, Hooks{Digit: func(s Side, d Digit) { pressed <- press{s, d} }})
		c.talk()
		for _, event := range []byte{5, 11} {
			stamp := c.a.header.Timestamp
			for i, payload := range [][]byte{{event, 10, 0, 160}, {event, 10, 1, 64}, {event, 0x8A, 3, 32}, {event, 0x8A, 3, 32}, {event, 0x8A, 3, 32}} {
				c.a.header.Timestamp = stamp
				b := c.a.next(101, payload)
				c.a.send(c.a.rtp, c.portA, b)
				c.b.hears(c.b.rtp, b, c.portB)
				if i < 2 && len(pressed) > 0 {
					t.Fatal("told before the digit was over")
				}
			}
			want := press{A, Digit{Key: keys[event], Event: event, Duration: 100 * time.Millisecond}}
			if got := <-pressed; got != want {
				t.Errorf("pressed %+v, want %+v", got, want)
			}
		}
		c.talk()
		if len(pressed) != 0 {
			t.Errorf("told again of %+v", <-pressed)
		}
	})
}

func TestSilenceIsToldOnce(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	silent := make(chan Side, 10)
	c := newCall(t, p, Hooks{Silence: func(s Side, d time.Duration) {
		if d < 100*time.Millisecond {
			t.Errorf("told of silence after %v", d)
		}
		silent <- s
	}})
	c.Watch(100 * time.Millisecond)
	if first, second := <-silent, <-silent; first == second {
		t.Errorf("told twice of side %v, want both once", first)
	}
	c.sweep(time.Now().Add(time.Hour))
	if len(silent) != 0 {
		t.Error("told of one silence twice")
	}
	c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)
	if s := <-silent; s != A { // a packet begins a new silence
		t.Errorf("side %v is silent, want A", s)
	}
}

// While somebody holds nobody is missed: phones without music say sendonly and send nothing.
func TestSilenceOfHold(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{Silence: func(s Side, d time.Duration) { t.Errorf("told of %v's silence of %v", s, d) }})
	c.Watch(time.Minute)
	c.SetDirection(A, sdp.SendOnly)
	c.SetDirection(B, sdp.RecvOnly)
	c.sweep(time.Now().Add(time.Hour))
	if a, b := c.Idle(A), c.Idle(B); a != 0 || b != 0 {
		t.Errorf("idle for %v and %v on hold, want 0", a, b)
	}
	c.SetDirection(B, sdp.SendRecv)
	c.SetDirection(A, sdp.SendRecv)
	if a := c.Idle(A); a <= 0 || a > patience {
		t.Errorf("idle for %v after hold, want a moment", a)
	}
}

func TestRateIsLimited(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPacketRate = 50
	p := startPlane(t, cfg, newDriver)
	r, err := p.Open(Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	phone, now := newPhone(t, 1), time.Unix(1000, 0)
	if err := r.SetRemote(A, phone.remote()); err != nil {
		t.Fatal(err)
	}
	for i := range 120 {
		r.mu.Lock()
		r.handleLocked(r.legs[A].rtp, phone.next(0, nil), addrOf(phone.rtp), now.Add(time.Duration(i)*10*time.Millisecond))
		r.mu.Unlock()
	}
	if got := r.Stats(A).Packets; got != 70 { // 50 of the 100 of the first second, and the 20 of the next
		t.Errorf("%d packets taken, want 70", got)
	}
}

func TestImplausibleAddresses(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	for name, to := range map[string]Remote{
		"multicast":      {RTP: netip.MustParseAddrPort("239.1.1.1:4000")},
		"broadcast":      {RTP: netip.MustParseAddrPort("255.255.255.255:4000")},
		"our own port":   {RTP: netip.AddrPortFrom(loopback, c.portB)},
		"our own RTCP":   {RTP: addrOf(c.a.rtp), RTCP: netip.AddrPortFrom(loopback, c.portA+1)},
		"our own host":   {RTP: addrOf(c.a.rtp), Signalling: netip.MustParseAddr("203.0.113.9")},
		"IPv6 multicast": {RTP: netip.MustParseAddrPort("[ff02::1]:4000")},
	} {
		if err := c.SetRemote(A, to); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("%s: SetRemote = %v, want ErrInvalid", name, err)
		}
	}
	c.remote(A, Remote{RTP: netip.MustParseAddrPort("0.0.0.0:4000"), Formats: audioFormats}) // holds, and moves nothing
	c.talk()
}

func TestCloseReturnsThePorts(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		if s := p.pool.Stats(); s.InUse != 2 {
			t.Errorf("%+v, want two pairs in use", s)
		}
		for range 3 {
			c.Close()
		}
		if s := p.pool.Stats(); s.InUse != 0 || s.Free+s.Resting != 1000 {
			t.Errorf("%+v after Close, want all pairs back once", s)
		}
		if s := c.Stats(A); s.Packets != 1 {
			t.Errorf("%+v after Close, want what was known", s)
		}
		if total, open := p.totals(); total.packets != 2 || open != 0 {
			t.Errorf("%d packets in all of %d open relays, want 2 of none", total.packets, open)
		}
	})
}

func TestEndedPlaneOpensNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		p.closeAll()
		if s := p.pool.Stats(); s.InUse != 0 {
			t.Errorf("%+v, want the relay closed", s)
		}
		c.Close()
		if _, err := p.Open(Hooks{}); !errors.Is(err, voice.ErrUnavailable) {
			t.Errorf("Open = %v, want ErrUnavailable", err)
		}
		if s := p.pool.Stats(); s.InUse != 0 {
			t.Errorf("%+v, want no pair lost", s)
		}
	})
}

func receiverReport(t testing.TB, ssrc uint32, blocks ...rtcp.ReceptionReport) []byte {
	t.Helper()
	return marshal(t, &rtcp.ReceiverReport{SSRC: ssrc, Reports: blocks})
}

func marshal(t testing.TB, p rtcp.Packet) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
