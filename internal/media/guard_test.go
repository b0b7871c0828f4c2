package media

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"parley/internal/media/secure"
)

// sdesPair makes the guard of a leg and that of its peer.
func sdesPair(t testing.TB) (leg, peer *secure.SDES) {
	t.Helper()
	ours, theirs := secure.NewCrypto(1, secure.CM80), secure.NewCrypto(1, secure.CM80)
	leg, err := secure.NewSDES(ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = secure.NewSDES(theirs, ours); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(peer.Close)
	return leg, peer
}

// Audio is encrypted on one side of a call and not on the other, over a re-INVITE too; what is not encrypted, or under another
// key, is dropped and counted.
func TestEncryptedToPlain(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		guard, peer := sdesPair(t)
		agreed := c.a.agrees()
		agreed.Guard = guard
		agree(t, c.legA, agreed)
		talk := func() {
			t.Helper()
			plain := c.a.next(0, []byte("twenty ms of speech"))
			sealed, err := peer.Protect(nil, plain, false)
			if err != nil {
				t.Fatal(err)
			}
			c.a.send(c.a.rtp, c.portA, sealed)
			c.b.hears(c.b.rtp, plain, c.portB)
			said := c.b.audio(c.portB)
			heard := c.a.datagram(c.a.rtp, c.portA)
			if bytes.Contains(heard, []byte("speech")) {
				t.Fatalf("what the encrypted side hears is plain: %q", heard)
			}
			var want, got rtp.Packet
			opened, err := peer.Unprotect(nil, heard, false)
			if err != nil || want.Unmarshal(said) != nil || got.Unmarshal(opened) != nil || !bytes.Equal(want.Payload, got.Payload) {
				t.Fatalf("heard %x (%v), want the audio of %x", opened, err, said)
			}
		}
		talk()
		agree(t, c.legA, agreed)
		talk()
		_, stranger := sdesPair(t)
		plain := c.a.next(0, []byte("not for you"))
		forged, err := stranger.Protect(nil, plain, false)
		if err != nil {
			t.Fatal(err)
		}
		before := c.legA.Stats().Dropped
		c.a.send(c.a.rtp, c.portA, forged)
		c.a.send(c.a.rtp, c.portA, plain)
		c.a.send(c.a.rtp, c.portA, marshal(t, &rtcp.ReceiverReport{SSRC: 0xA}))
		eventually(t, "what is not the peer's is counted", func() bool { return c.legA.Stats().Dropped == before+3 })
		c.b.silence(c.b.rtp)
		talk()
	})
}

// provenGuard encrypts nothing and says that ICE proved an address.
type provenGuard struct {
	secure.SDES
	peer  netip.AddrPort
	begun chan netip.AddrPort
}

func (g *provenGuard) Peer() netip.AddrPort { return g.peer }

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
}
