package media

import (
	"bytes"
	"net/netip"
	"testing"
)

// provenGuard encrypts nothing and says that ICE proved an address. What it is given to handle it sends back.
type provenGuard struct {
	peer   netip.AddrPort
	begun  chan netip.AddrPort
	closed int
}

func (g *provenGuard) Peer() netip.AddrPort { return g.peer }
func (g *provenGuard) Close()               { g.closed++ }

func (g *provenGuard) Handle(b []byte, from netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	reply(b, from)
}

func (g *provenGuard) Protect(dst, packet []byte, _ bool) ([]byte, error) {
	return append(dst, packet...), nil
}

func (g *provenGuard) Unprotect(dst, packet []byte, _ bool) ([]byte, error) {
	return append(dst, packet...), nil
}

func (g *provenGuard) HandleControl(b []byte, from netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	reply(b, from)
}

func (g *provenGuard) Begin(to netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	go reply([]byte{22, 1, 2, 3}, to)
	g.begun <- to
}

// Where ICE proved the peer to be, the SDP does not matter: not for what comes, nor for what goes. A guard that has to speak first
// is told where the peer is.
func TestProvenPeer(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	g := &provenGuard{begun: make(chan netip.AddrPort, 9)}
	agreed := c.a.agrees()
	agreed.Guard = g
	agree(t, c.legA, agreed)
	if to := <-g.begun; to != addrOf(c.a.rtp) {
		t.Errorf("begun towards %v, want %v", to, addrOf(c.a.rtp))
	}
	if got := c.a.datagram(c.a.rtp, c.portA); !bytes.Equal(got, []byte{22, 1, 2, 3}) {
		t.Errorf("the guard's first words came as %x", got)
	}
	control := c.portA + 1
	c.a.send(c.a.rtcp, control, []byte{22, 4, 5})
	if got := c.a.datagram(c.a.rtcp, control); !bytes.Equal(got, []byte{22, 4, 5}) {
		t.Errorf("the guard's words for the port of RTCP came back as %x", got)
	}
	moved := newPhone(t, 0xC)
	for _, b := range [][]byte{{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, {22, 254, 253}} { // STUN and DTLS, from wherever they come
		moved.send(moved.rtp, c.portA, b)
		if got := moved.datagram(moved.rtp, c.portA); !bytes.Equal(got, b) {
			t.Errorf("the guard's answer to %x came as %x", b, got)
		}
	}
	proven := &provenGuard{peer: addrOf(moved.rtp), begun: make(chan netip.AddrPort, 9)}
	agreed.Guard = proven
	agree(t, c.legA, agreed)
	c.b.hears(c.b.rtp, moved.audio(c.portA), c.portB)
	moved.hears(moved.rtp, c.b.audio(c.portB), c.portA)
	before := c.legA.Stats().Dropped
	c.a.audio(c.portA) // the address of the SDP is a stranger now
	eventually(t, "the stranger is counted", func() bool { return c.legA.Stats().Dropped == before+1 })
	c.b.silence(c.b.rtp)
	if got := c.legA.Stats().Source; got != proven.peer {
		t.Errorf("the peer's audio comes from %v, want %v", got, proven.peer)
	}
	agree(t, c.legA, agreed) // a session refresh
	if g.closed != 1 || proven.closed != 0 {
		t.Errorf("closed %d and %d times, want the one that was replaced once", g.closed, proven.closed)
	}
	agree(t, c.legA, c.a.agrees())
	if proven.closed != 1 {
		t.Errorf("closed %d times when audio was not encrypted any more, want once", proven.closed)
	}
}
