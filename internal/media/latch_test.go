package media

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// Who is believed, step by step. Each step is one packet at a time after the first.
func TestLatch(t *testing.T) {
	const (
		announced = "198.51.100.7:4000" // of the SDP
		sameHost  = "198.51.100.7:5555" // its host
		signalled = "203.0.113.5:6000"  // the host the SIP came from
		nat       = "203.0.113.99:7000" // no relation
		attacker  = "192.0.2.66:666"    // no relation either
		window    = 3 * time.Second
	)
	type step struct {
		at   time.Duration
		from string
		ssrc uint32
		seq  uint16
		want bool
	}
	for name, c := range map[string]struct {
		fixed bool
		steps []step
	}{
		"the announced address is believed at once": {steps: []step{{0, announced, 1, 1, true}}},
		"any other needs two packets":               {steps: []step{{0, nat, 1, 1, false}, {0, nat, 1, 2, true}, {0, nat, 1, 3, true}}},
		"which may be a few apart":                  {steps: []step{{0, nat, 1, 65530, false}, {0, nat, 1, 3, true}}},
		"but not far":                               {steps: []step{{0, nat, 1, 1, false}, {0, nat, 1, 30, false}}},
		"nor of two streams":                        {steps: []step{{0, nat, 1, 1, false}, {0, nat, 2, 2, false}}},
		"nor of two sources":                        {steps: []step{{0, nat, 1, 1, false}, {0, attacker, 1, 2, false}}},
		"a later stranger is not heard in the window": {steps: []step{
			{0, nat, 1, 1, false}, {0, nat, 1, 2, true}, {time.Second, attacker, 9, 1, false}, {time.Second, attacker, 9, 2, false}, {time.Second, nat, 1, 3, true}}},
		"a better source displaces a worse one in the window": {steps: []step{
			{0, attacker, 9, 1, false}, {0, attacker, 9, 2, true}, {time.Second, signalled, 1, 1, false}, {time.Second, signalled, 1, 2, true},
			{time.Second, sameHost, 1, 3, false}, {time.Second, sameHost, 1, 4, true}, {time.Second, attacker, 9, 3, false}, {time.Second, attacker, 9, 4, false}}},
		"and not after it": {steps: []step{
			{0, nat, 1, 1, false}, {0, nat, 1, 2, true}, {window + 1, sameHost, 2, 1, false}, {window + 1, sameHost, 2, 2, false}, {window + 1, nat, 1, 3, true}}},
		"the announced address is believed after it, too": {steps: []step{
			{0, attacker, 9, 1, false}, {0, attacker, 9, 2, true}, {time.Hour, announced, 1, 1, true}, {time.Hour, attacker, 9, 3, false}}},
		"the same stream may move in the window": {steps: []step{
			{0, nat, 1, 1, false}, {0, nat, 1, 2, true}, {time.Second, attacker, 1, 3, false}, {time.Second, attacker, 1, 4, true}}},
		"a fixed peer is taken at its word": {fixed: true, steps: []step{
			{0, sameHost, 1, 1, false}, {0, sameHost, 1, 2, false}, {0, announced, 1, 3, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := latch{announced: netip.MustParseAddrPort(announced), signalling: netip.MustParseAddr("203.0.113.5"), fixed: c.fixed}
			start := time.Unix(1000, 0)
			for i, s := range c.steps {
				h := rtp.Header{SSRC: s.ssrc, SequenceNumber: s.seq}
				if got := l.admit(netip.MustParseAddrPort(s.from), &h, true, start.Add(s.at), window); got != s.want {
					t.Fatalf("step %d, %+v: admitted %v, want %v", i+1, s, got, s.want)
				}
			}
		})
	}
}

func TestLatchWantsAnAgreedPayload(t *testing.T) {
	l := latch{announced: netip.MustParseAddrPort("198.51.100.7:4000")}
	from, now := netip.MustParseAddrPort("203.0.113.99:7000"), time.Unix(1000, 0)
	for seq := range uint16(5) {
		if l.admit(from, &rtp.Header{SequenceNumber: seq}, false, now, time.Second) {
			t.Fatal("a stream with a payload type nobody agreed on was believed")
		}
	}
}

// Before there is an SDP nobody is expected, so nobody is believed.
func TestLatchBeforeSDP(t *testing.T) {
	var l latch
	for seq := range uint16(5) {
		if l.admit(netip.MustParseAddrPort("203.0.113.99:7000"), &rtp.Header{SequenceNumber: seq}, true, time.Unix(1000, 0), time.Second) {
			t.Fatal("a stream was believed before its SDP")
		}
	}
}

// Armed again, the peer is heard from where it is now, and goes on being sent to where it was until then.
func TestLatchArmedAgain(t *testing.T) {
	l := latch{announced: netip.MustParseAddrPort("192.168.1.5:4000")}
	before, after := netip.MustParseAddrPort("203.0.113.99:7000"), netip.MustParseAddrPort("203.0.113.99:8000")
	now := time.Unix(1000, 0)
	admit := func(from netip.AddrPort, ssrc uint32, seq uint16) bool {
		return l.admit(from, &rtp.Header{SSRC: ssrc, SequenceNumber: seq}, true, now, time.Second)
	}
	if admit(before, 1, 1) || !admit(before, 1, 2) {
		t.Fatal("not latched")
	}
	now = now.Add(time.Hour)
	if admit(after, 2, 1) || admit(after, 2, 2) {
		t.Fatal("moved without being armed")
	}
	l.arm()
	if l.target() != before {
		t.Errorf("sends to %v, want %v", l.target(), before)
	}
	if admit(after, 2, 3) || !admit(after, 2, 4) || l.target() != after {
		t.Errorf("sends to %v, want %v", l.target(), after)
	}
}
