package media

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"parley/internal/media/dtmf"
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

func TestAudioPasses(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		for range 20 { // over the wrap of sequence numbers and timestamps
			c.talk()
		}
		for _, l := range []*Leg{c.legA, c.legB} {
			s, f := l.Stats(), l.Figures()
			if s.Packets != 20 || s.Sent != 20 || f.Received.Lost != 0 || s.Dropped != 0 || s.Bytes != 20*31 {
				t.Errorf("%+v, %d lost; want 20 packets each way and none lost", s, f.Received.Lost)
			}
		}
		if s := c.legA.Stats(); s.Source != addrOf(c.a.rtp) || s.SSRC == 0xB {
			t.Errorf("leg A: %+v", s)
		}
	})
}

// What a peer hears is one stream of ours, whoever speaks in it; gaps, repetitions and the order stay as they were.
func TestOneStreamForThePeer(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	ssrc := c.legB.Stats().SSRC
	first := c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)
	if first.SSRC != ssrc || !first.Marker {
		t.Errorf("heard %v, want a beginning with SSRC %d", first.Header, ssrc)
	}
	last := first
	next := func(sent []byte, ahead uint16, stamp uint32) {
		t.Helper()
		got := c.b.hears(c.b.rtp, sent, c.portB)
		if got.SSRC != ssrc || got.SequenceNumber-last.SequenceNumber != ahead || got.Timestamp-last.Timestamp != stamp || got.Marker {
			t.Errorf("heard %v after %v, want it %d ahead and %d later", got.Header, last.Header, ahead, stamp)
		}
		last = got
	}
	c.a.next(0, nil) // lost
	next(c.a.audio(c.portA), 2, 320)
	again := c.a.audio(c.portA)
	next(again, 1, 160)
	c.a.send(c.a.rtp, c.portA, again)
	next(again, 0, 0)

	other := newPhone(t, 0xC) // takes A's place
	other.header.SequenceNumber, other.header.Timestamp = 7, 7
	leg := openLeg(t, p, Hooks{})
	agree(t, leg, other.agrees())
	Join(c.legB, leg)
	port, _ := leg.Ports()
	got := c.b.hears(c.b.rtp, other.audio(port), c.portB)
	if later := got.Timestamp - last.Timestamp; got.SSRC != ssrc || got.SequenceNumber != last.SequenceNumber+1 || !got.Marker || later == 0 || later > 8000 {
		t.Errorf("heard %v of the other after %v, want the stream to go on, marked", got.Header, last.Header)
	}
	last = got
	next(other.audio(port), 1, 160)
	c.a.audio(c.portA)
	eventually(t, "A's packet to be taken", func() bool { return c.legA.Stats().Packets == 4+1 })
	c.b.silence(c.b.rtp) // A is joined with nobody any more
}

// The peer hears its own payload types, and nothing that it did not say it knows.
func TestPayloadTypesAreThePeers(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	there := c.b.agrees()
	there.Send = []sdp.Format{{Type: 96, Encoding: telephoneEvent, Clock: 8000}, {Type: 0, Clock: 8000}}
	agree(t, c.legB, there)
	c.a.send(c.a.rtp, c.portA, c.a.next(101, []byte{5, 10, 1, 64}))
	var got rtp.Packet
	if err := got.Unmarshal(c.b.datagram(c.b.rtp, c.portB)); err != nil || got.PayloadType != 96 {
		t.Errorf("heard %v, %v; want payload type 96", got, err)
	}
	c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB) // static, without a name
	c.a.send(c.a.rtp, c.portA, c.a.next(18, []byte("G.729 can only pass")))
	eventually(t, "G.729 to be dropped", func() bool { return c.legA.Stats().Dropped == 1 })
	c.b.silence(c.b.rtp)
}

// A header extension was agreed on with us, and ends here.
func TestExtensionsEndHere(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 0xA, CSRC: []uint32{1, 2}}, Payload: []byte("speech")}
	if err := packet.SetExtension(1, []byte{0x90}); err != nil {
		t.Fatal(err)
	}
	b, err := packet.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c.a.send(c.a.rtp, c.portA, b)
	c.b.hears(c.b.rtp, b, c.portB)
}

// A phone behind NAT sends from an address its SDP does not name, and hears us there.
func TestSymmetricRTP(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		behind := c.a.agrees()
		behind.Remote.RTP = netip.MustParseAddrPort("192.168.1.5:40000")
		behind.Remote.RTCP = netip.MustParseAddrPort("192.168.1.5:40001")
		agree(t, c.legA, behind)

		c.a.audio(c.portA) // the first packet only proves that a stream begins
		c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)
		c.a.hears(c.a.rtp, c.b.audio(c.portB), c.portA)

		// Its RTCP is taken from the same host, and ours then goes there.
		c.a.send(c.a.rtcp, c.portA+1, receiverReport(t, 0xA))
		c.report(c.legA, c.a, c.a.rtcp, c.portA+1)
	})
}

// report waits for one of our reports.
func (c *call) report(l *Leg, phone *phone, conn *net.UDPConn, port uint16) []rtcp.Packet {
	c.a.t.Helper()
	eventually(c.a.t, "the peer's report to be read", func() bool { return l.Stats().RTCP > 0 })
	now := time.Now()
	l.sweep(now) // which plans the first report
	l.sweep(now.Add(10 * time.Second))
	packets, err := rtcp.Unmarshal(phone.datagram(conn, port))
	if err != nil {
		c.a.t.Fatal(err)
	}
	return packets
}

// RTCP ends at each leg: the peer is told how we hear it, and what it tells us stays here.
func TestReports(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		ssrc := c.legA.Stats().SSRC
		c.a.send(c.a.rtcp, c.portA+1, receiverReport(t, 0xA, rtcp.ReceptionReport{SSRC: ssrc, FractionLost: 64, TotalLost: 0, Jitter: 80,
			LastSequenceNumber: 0}))
		packets := c.report(c.legA, c.a, c.a.rtcp, c.portA+1)
		sr, ok := packets[0].(*rtcp.SenderReport)
		if !ok || sr.SSRC != ssrc || sr.PacketCount != 1 || len(sr.Reports) != 1 || sr.Reports[0].SSRC != 0xA {
			t.Errorf("told %v, want a sender report about A", packets)
		}
		if _, ok := packets[1].(*rtcp.SourceDescription); !ok {
			t.Errorf("told %v, want our name", packets)
		}
		c.talk()
		c.b.silence(c.b.rtcp)
		c.close()
		if packets, err := rtcp.Unmarshal(c.a.datagram(c.a.rtcp, c.portA+1)); err != nil || len(packets) < 3 {
			t.Errorf("told %v, %v at the end, want a goodbye", packets, err)
		}
	})
}

// RTCP goes on the port of RTP when both sides want it there. It is taken there in any case.
func TestMux(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		mux := c.a.agrees()
		mux.Remote.Mux = true
		agree(t, c.legA, mux)
		c.a.send(c.a.rtp, c.portA, receiverReport(t, 0xA))
		c.report(c.legA, c.a, c.a.rtp, c.portA)
		c.talk()
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
		stranger.send(stranger.rtcp, c.portA+1, receiverReport(t, 0xE))
		c.a.send(c.a.rtcp, c.portA+1, receiverReport(t, 0xA))
		eventually(t, "A's RTCP to be counted", func() bool { return c.legA.Stats().RTCP == 1 })
		c.talk()
		stranger.silence(stranger.rtp)
		if s := c.legA.Stats(); s.Dropped < 5 || s.Packets != 2 || s.Source != addrOf(c.a.rtp) {
			t.Errorf("leg A: %+v, want the stranger's packets dropped", s)
		}
	})
}

// What waits on a socket when the node was busy is passed on in its order, however much it is.
func TestBurstKeepsItsOrder(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		var burst [][]byte
		c.legA.mu.Lock()
		for i := range 20 {
			b := c.a.next(0, []byte{byte(i)})
			c.a.send(c.a.rtp, c.portA, b)
			burst = append(burst, b)
		}
		c.legA.mu.Unlock()
		for _, b := range burst {
			c.b.hears(c.b.rtp, b, c.portB)
		}
	})
}

// A hook may close the leg while more of the peer waits to be handled, which then is nobody's.
func TestHookClosesTheLeg(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		closed := make(chan struct{})
		var c *call
		c = newCall(t, p, Hooks{Digit: func(Digit) { c.legA.Close(); close(closed) }})
		c.talk()
		c.legA.mu.Lock()
		last := c.a.next(101, []byte{5, 0x8A, 3, 32})
		c.a.send(c.a.rtp, c.portA, last)
		for range 5 {
			c.a.audio(c.portA)
		}
		c.legA.mu.Unlock()
		c.b.hears(c.b.rtp, last, c.portB)
		select {
		case <-closed:
		case <-time.After(patience):
			t.Fatal("the digit was not told")
		}
		c.b.audio(c.portB) // when this is counted, the rest of the burst was dealt with, or its sockets are gone
		eventually(t, "B's packet to be counted", func() bool { return c.legB.Stats().Packets == 2 })
		c.b.silence(c.b.rtp)
		if s := c.legA.Stats(); s.Packets != 2 {
			t.Errorf("%+v, want nothing taken after the digit", s)
		}
	})
}

// A re-INVITE with another address arms the latch; one with the same address does not.
func TestNewAddressArmsTheLatch(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	c.talk()
	moved := newPhone(t, 0xA2)
	agree(t, c.legA, c.a.agrees())
	moved.audio(c.portA)
	moved.audio(c.portA)
	c.talk()
	moved.silence(moved.rtp)

	agree(t, c.legA, moved.agrees())
	c.a.hears(moved.rtp, c.b.audio(c.portB), c.portA)
	c.b.hears(c.b.rtp, moved.audio(c.portA), c.portB)
	if got := c.legA.Stats(); got.Source != addrOf(moved.rtp) {
		t.Errorf("leg A: %+v, want the new phone", got)
	}
}

// A phone that moved behind another NAT says so by the host its SIP comes from: its SDP may be what it was.
func TestSIPFromAnotherHostArmsTheLatch(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	behind := c.a.agrees()
	behind.Remote.RTP, behind.Remote.Signalling = netip.MustParseAddrPort("192.168.1.5:40000"), loopback
	agree(t, c.legA, behind)
	c.a.audio(c.portA) // proves that a stream begins
	c.talk()
	moved := newPhone(t, 0xA2)
	agree(t, c.legA, behind) // a refresh
	moved.audio(c.portA)
	moved.audio(c.portA)
	c.talk()
	moved.silence(moved.rtp)

	behind.Remote.Signalling = netip.MustParseAddr("127.0.0.2")
	agree(t, c.legA, behind)
	moved.audio(c.portA)
	c.b.hears(c.b.rtp, moved.audio(c.portA), c.portB)
	c.a.hears(moved.rtp, c.b.audio(c.portB), c.portA)
}

func TestHold(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		c.talk()
		agree(t, c.legA, directed(c.a.agrees(), sdp.SendOnly)) // A holds B, with music
		agree(t, c.legB, directed(c.b.agrees(), sdp.RecvOnly))
		c.b.audio(c.portB)
		eventually(t, "B's packet to be held back", func() bool { return c.legB.Stats().Held == 1 })
		c.a.silence(c.a.rtp)
		c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)

		agree(t, c.legA, directed(c.a.agrees(), sdp.Inactive))
		c.a.audio(c.portA)
		eventually(t, "A's packet to be held back", func() bool { return c.legA.Stats().Held == 1 })
		c.b.silence(c.b.rtp)
		if idle := c.legA.Idle(); idle != 0 {
			t.Errorf("Idle = %v while A is not to send, want 0", idle)
		}
		c.a.send(c.a.rtcp, c.portA+1, receiverReport(t, 0xA))
		c.report(c.legA, c.a, c.a.rtcp, c.portA+1) // reports go on

		agree(t, c.legA, c.a.agrees())
		agree(t, c.legB, c.b.agrees())
		c.talk()
	})
}

func TestDigitIsNoticedOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		pressed := make(chan Digit, 10)
		c := newCall(t, p, Hooks{Digit: func(d Digit) { pressed <- d }})
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
			want := Digit{Digit: dtmf.Digit{Key: dtmf.Keys[event], Event: event, Duration: 100 * time.Millisecond}}
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
	silent := make(chan time.Duration, 10)
	leg, phone := openLeg(t, p, Hooks{Silence: func(d time.Duration) { silent <- d }}), newPhone(t, 0xA)
	agree(t, leg, phone.agrees())
	leg.Watch(100 * time.Millisecond)
	if d := <-silent; d < 100*time.Millisecond {
		t.Errorf("told of silence after %v", d)
	}
	leg.sweep(time.Now().Add(time.Hour))
	if len(silent) != 0 {
		t.Error("told of one silence twice")
	}
	port, _ := leg.Ports()
	phone.audio(port)
	if d := <-silent; d < 100*time.Millisecond { // a packet begins a new silence
		t.Errorf("told of silence after %v", d)
	}
}

// While somebody holds nobody is missed: phones without music say sendonly and send nothing.
func TestSilenceOfHold(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{Silence: func(d time.Duration) { t.Errorf("told of a silence of %v", d) }})
	for leg, a := range map[*Leg]Agreement{c.legA: directed(c.a.agrees(), sdp.SendOnly), c.legB: directed(c.b.agrees(), sdp.RecvOnly)} {
		leg.Watch(time.Minute)
		agree(t, leg, a)
		leg.sweep(time.Now().Add(time.Hour))
		if idle := leg.Idle(); idle != 0 {
			t.Errorf("idle for %v on hold, want 0", idle)
		}
	}
	agree(t, c.legA, c.a.agrees())
	if a := c.legA.Idle(); a <= 0 || a > patience {
		t.Errorf("idle for %v after hold, want a moment", a)
	}
}

func TestRateIsLimited(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPacketRate = 50
	p := startPlane(t, cfg, newDriver)
	leg, phone, now := openLeg(t, p, Hooks{}), newPhone(t, 1), time.Unix(1000, 0)
	agree(t, leg, phone.agrees())
	for i := range 120 {
		leg.mu.Lock()
		leg.arrived(leg.rtp, phone.next(0, nil), addrOf(phone.rtp), now.Add(time.Duration(i)*10*time.Millisecond))
	}
	if got := leg.Stats().Packets; got != 70 { // 50 of the 100 of the first second, and the 20 of the next
		t.Errorf("%d packets taken, want 70", got)
	}
}

// Strangers who flood the port of a leg do not use up what its peer may send.
func TestFloodDoesNotSilence(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPacketRate = 50
	p := startPlane(t, cfg, newDriver)
	leg, phone, now := openLeg(t, p, Hooks{}), newPhone(t, 1), time.Unix(1000, 0)
	agree(t, leg, phone.agrees())
	stranger := netip.MustParseAddr("192.0.2.9")
	for i := range 20 {
		for n := range 50 {
			leg.mu.Lock()
			leg.arrived(leg.rtp, []byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, netip.AddrPortFrom(stranger, uint16(1+n)), now)
		}
		leg.mu.Lock()
		leg.arrived(leg.rtp, phone.next(0, nil), addrOf(phone.rtp), now)
		if got := leg.Stats().Packets; got != uint64(i+1) {
			t.Fatalf("%d of %d packets taken", got, i+1)
		}
	}
}

func TestImplausibleAddresses(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	for name, to := range map[string]Remote{
		"multicast":      {RTP: netip.MustParseAddrPort("239.1.1.1:4000")},
		"broadcast":      {RTP: netip.MustParseAddrPort("255.255.255.255:4000")},
		"our own port":   {RTP: netip.AddrPortFrom(loopback, c.portA)},
		"our own RTCP":   {RTP: addrOf(c.a.rtp), RTCP: netip.AddrPortFrom(loopback, c.portA+1)},
		"our own host":   {RTP: addrOf(c.a.rtp), Signalling: netip.MustParseAddr("203.0.113.9")},
		"IPv6 multicast": {RTP: netip.MustParseAddrPort("[ff02::1]:4000")},
	} {
		if err := c.legA.Agree(Agreement{Remote: to}); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("%s: Agree = %v, want ErrInvalid", name, err)
		}
	}
	held := c.a.agrees()
	held.Remote = Remote{RTP: netip.MustParseAddrPort("0.0.0.0:4000")}
	agree(t, c.legA, held) // which moves nothing
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
			c.close()
		}
		if s := p.pool.Stats(); s.InUse != 0 || s.Free+s.Resting != 1000 {
			t.Errorf("%+v after Close, want all pairs back once", s)
		}
		if s := c.legA.Stats(); s.Packets != 1 {
			t.Errorf("%+v after Close, want what was known", s)
		}
		if total, open := p.totals(); total.packets != 2 || open != 0 {
			t.Errorf("%d packets in all of %d open legs, want 2 of none", total.packets, open)
		}
	})
}

// After 50,000 calls, some of which could not be had, no port is lost and none was given twice at a time.
func TestNoPortIsLost(t *testing.T) {
	const calls, workers = 50_000, 4
	cfg := testConfig()
	cfg.FirstPort, cfg.LastPort = 15000, 15000+2*2*workers-3 // one pair too few for all at once
	p := startPlane(t, cfg, newDriver)
	var wg sync.WaitGroup
	var refused atomic.Int64
	for range workers {
		wg.Go(func() {
			for range calls / workers {
				a, errA := p.Open(Hooks{})
				b, errB := p.Open(Hooks{})
				if err := errors.Join(errA, errB); err != nil {
					if !errors.Is(err, voice.ErrOverloaded) {
						t.Error(err)
						return
					}
					refused.Add(1)
				}
				if errA == nil && errB == nil {
					Join(a, b)
				}
				if errA == nil {
					a.Close()
				}
				if errB == nil {
					b.Close()
				}
			}
		})
	}
	wg.Wait()
	if s := p.pool.Stats(); s.InUse != 0 || s.Free != 2*workers-1 {
		t.Errorf("%+v after %d calls, want all %d pairs free", s, calls, 2*workers-1)
	}
	t.Logf("%d of %d calls found no port free", refused.Load(), calls)
}

func TestEndedPlaneOpensNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		p.closeAll()
		if s := p.pool.Stats(); s.InUse != 0 {
			t.Errorf("%+v, want the legs closed", s)
		}
		c.close()
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
