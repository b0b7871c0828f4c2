package media

import (
	"net/netip"
	"time"

	"github.com/pion/rtp"
)

// How much an address is believed to be the peer's, from its RTP and from what its SIP said. Higher is better.
const (
	believeNot        = iota
	believeAny        // no relation: a NAT we know nothing of
	believeSignalling // the host that the SIP came from
	believeHost       // the host of the SDP, another port
	believeExact      // what the SDP says
)

// probation is by how much the sequence number of a second packet may be ahead of the first one for both to be taken
// as one stream. With losses a stream is noticed a little later.
const probation = 10

// latch finds out where a peer's RTP really comes from, and then holds on to it.
//
// A source that the SDP announced is believed at once and always. Any other has to send two packets in a row of one
// stream, with a payload type that was agreed on, and only until the learning window, which opens with the first
// packet, is over: first come, but a better one displaces a worse one, and the same stream (SSRC) may come from
// elsewhere, as when a NAT changes its mind. After the window nothing but the announced address, or a re-INVITE that
// arms the latch again, moves it. An attacker who guesses the port of a call has therefore to be there first, and to
// be better than the peer itself.
type latch struct {
	announced  netip.AddrPort // of the SDP
	signalling netip.Addr     // where the SIP came from; may be zero
	fixed      bool           // only the announced address is taken

	source netip.AddrPort // believed; zero before the first packet
	belief int
	ssrc   uint32
	since  time.Time // when the window opened; zero while it is armed

	candidate struct {
		from netip.AddrPort
		ssrc uint32
		seq  uint16
	}
}

// arm opens the window again at the next packet. What is believed stays so until something at least as good comes.
func (l *latch) arm() {
	l.since = time.Time{}
	l.belief = believeNot
	l.candidate.from = netip.AddrPort{}
}

// admit tells whether a packet comes from the peer. agreed says that its payload type was negotiated.
func (l *latch) admit(from netip.AddrPort, h *rtp.Header, agreed bool, now time.Time, window time.Duration) bool {
	if from == l.source {
		l.ssrc = h.SSRC
		if l.since.IsZero() {
			l.since, l.belief = now, l.believe(from)
		}
		return true
	}
	if !l.announced.IsValid() {
		return false // nobody is expected yet
	}
	belief := l.believe(from)
	if belief != believeExact {
		if belief == believeNot || !agreed || !l.since.IsZero() && now.Sub(l.since) > window {
			return false
		}
		if belief < l.belief || belief == l.belief && h.SSRC != l.ssrc {
			return false
		}
		if !l.proven(from, h) {
			return false
		}
	}
	l.source, l.belief, l.ssrc = from, belief, h.SSRC
	if l.since.IsZero() {
		l.since = now
	}
	return true
}

// proven tells whether a packet follows one from the same source and stream.
func (l *latch) proven(from netip.AddrPort, h *rtp.Header) bool {
	c := &l.candidate
	ahead := h.SequenceNumber - c.seq
	ok := c.from == from && c.ssrc == h.SSRC && ahead >= 1 && ahead <= probation
	c.from, c.ssrc, c.seq = from, h.SSRC, h.SequenceNumber
	return ok
}

func (l *latch) believe(from netip.AddrPort) int {
	switch {
	case from == l.announced:
		return believeExact
	case l.fixed:
		return believeNot
	case from.Addr() == l.announced.Addr():
		return believeHost
	case from.Addr() == l.signalling:
		return believeSignalling
	}
	return believeAny
}

// target is where the peer's RTP goes: to where its own comes from, and before that to where its SDP says.
func (l *latch) target() netip.AddrPort {
	if l.source.IsValid() {
		return l.source
	}
	return l.announced
}
