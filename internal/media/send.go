package media

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/sdp"
)

// headerSize is that of RTP without sources and extensions (RFC 3550 §5.1), the only one that is sent: what a peer adds
// to its header was agreed on with us, and not with whoever hears it.
const headerSize = 12

// Thresholds of RFC 3550 A.1: a number further ahead, or further behind, belongs to a stream that began anew.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// numbering gives what a leg sends one SSRC, and numbers and timestamps without a break. Audio that is passed on keeps
// its gaps and its order: its own numbers are moved by an offset, which is chosen when its source changes.
type numbering struct {
	ssrc   uint32
	source source // whose numbers the offsets are for
	seqOff uint16
	offset uint32 // of the timestamp

	seq   uint16 // highest that was sent, and its timestamp, clock and time
	stamp uint32
	clock uint32
	at    time.Time // zero before the first packet
}

// source is a stream that is passed on; the zero source is what we make ourselves.
type source struct {
	leg     *Leg
	ssrc    uint32
	recoded bool // its timestamps may be of another clock than those it came with
}

// newNumbering begins at random (RFC 3550 §5.1), with a number in the lower half: when the first packets of SRTP get lost and
// the numbers turn over meanwhile, a receiver cannot know that they did (RFC 3711 §3.3.1).
func newNumbering(ssrc uint32) numbering {
	return numbering{ssrc: ssrc, seq: uint16(rand.Uint32N(1 << 15)), stamp: rand.Uint32()}
}

// now is the timestamp of a packet that goes now and follows what went before.
func (n *numbering) now(clock uint32, now time.Time) uint32 {
	if n.at.IsZero() {
		return n.stamp
	}
	since := min(max(now.Sub(n.at), 0), time.Hour)
	return n.stamp + max(1, uint32(int64(since)*int64(clock)/int64(time.Second)))
}

// follow renumbers a header of a stream that is passed on, and tells whether the stream is another than before.
func (n *numbering) follow(h *rtp.Header, from source, clock uint32, now time.Time) (changed bool) {
	ahead := int16(h.SequenceNumber + n.seqOff - n.seq)
	if n.source != from || ahead > maxDropout || ahead < -maxMisorder {
		n.source, changed = from, true
		n.seqOff = n.seq + 1 - h.SequenceNumber
		n.offset = n.now(clock, now) - h.Timestamp
		ahead = 1
	}
	h.SSRC, h.SequenceNumber, h.Timestamp = n.ssrc, h.SequenceNumber+n.seqOff, h.Timestamp+n.offset
	if ahead > 0 {
		n.seq, n.stamp, n.clock, n.at = h.SequenceNumber, h.Timestamp, clock, now
	}
	return changed
}

// leaveOut closes the hole that a packet of a stream leaves which is not passed on, so that nobody counts it as lost.
func (n *numbering) leaveOut(from source) {
	if n.source == from {
		n.seqOff--
	}
}

// own numbers a packet that we make.
func (n *numbering) own(h *rtp.Header, stamp, clock uint32, now time.Time) {
	n.source = source{}
	n.seq++
	n.stamp, n.clock, n.at = stamp, clock, now
	h.Version, h.SSRC, h.SequenceNumber, h.Timestamp = 2, n.ssrc, n.seq, stamp
}

// pass sends a packet of the joined leg to the peer, and says why if it does not.
func (l *Leg) pass(p *packet, from *Leg, now time.Time) dropReason {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || l.player != nil || l.keys != nil && !l.becomesTone(p.format):
		return dropReplaced
	case !l.agreed.Direction.Receives():
		return dropHeld
	}
	payload, ok := l.mapLocked(p.format)
	if !ok {
		return l.recodeLocked(p, from, now)
	}
	h := &p.header
	if l.out.follow(h, source{leg: from, ssrc: h.SSRC}, p.format.Clock, now) {
		h.Marker = true // the buffer of the peer may begin anew (RFC 3551 §4.1)
	}
	h.PayloadType = payload
	start := p.at - headerSize // the header of the sender is at least as long
	putHeader(p.b[start:], h)
	return l.sendLocked(p.b[start:], h, p.format.Clock, now)
}

// becomesTone tells whether a format is telephone-events and the peer knows none: then they wait for those being pressed.
func (l *Leg) becomesTone(f sdp.Format) bool {
	if f.Encoding != telephoneEvent || len(l.agreed.Send) == 0 {
		return false
	}
	_, known := eventOf(l.agreed.Send, f.Clock)
	return !known
}

// emitLocked sends a packet that we make.
func (l *Leg) emitLocked(payloadType uint8, marker bool, stamp, clock uint32, payload []byte, now time.Time) dropReason {
	h := rtp.Header{PayloadType: payloadType, Marker: marker}
	l.out.own(&h, stamp, clock, now)
	return l.emitAsLocked(&h, clock, payload, now)
}

// emitAsLocked sends a payload behind a header that is numbered already.
func (l *Leg) emitAsLocked(h *rtp.Header, clock uint32, payload []byte, now time.Time) dropReason {
	l.made = append(l.made[:0], make([]byte, headerSize)...)
	putHeader(l.made, h)
	l.made = append(l.made, payload...)
	return l.sendLocked(l.made, h, clock, now)
}

// putHeader writes a header without sources and extensions.
func putHeader(b []byte, h *rtp.Header) {
	b[0], b[1] = 2<<6, h.PayloadType
	if h.Padding {
		b[0] |= 1 << 5
	}
	if h.Marker {
		b[1] |= 1 << 7
	}
	binary.BigEndian.PutUint16(b[2:], h.SequenceNumber)
	binary.BigEndian.PutUint32(b[4:], h.Timestamp)
	binary.BigEndian.PutUint32(b[8:], h.SSRC)
}

// sendLocked sends RTP, encrypted where that was agreed.
func (l *Leg) sendLocked(b []byte, h *rtp.Header, clock uint32, now time.Time) dropReason {
	target := l.targetLocked()
	if !target.IsValid() {
		return dropNowhere
	}
	size, plain := len(b)-headerSize, b
	if guard := l.agreed.Guard; guard != nil {
		var err error
		if l.sealed, err = guard.Protect(l.sealed[:0], b, false); err != nil {
			return dropUnproven
		}
		b = l.sealed
	}
	if err := l.rtp.io.send(b, target); err != nil {
		return dropUnsendable
	}
	l.count.sent++
	l.stream.Sent(h, size, clock, now)
	if l.sentBy != nil {
		l.sentBy.take(h, plain[headerSize:], l.sentAs(h.PayloadType), now)
	}
	return dropNot
}

// targetLocked is where the peer wants RTP.
func (l *Leg) targetLocked() netip.AddrPort {
	if guard := l.agreed.Guard; guard != nil {
		if peer := guard.Peer(); peer.IsValid() {
			return peer
		}
	}
	return l.latch.target()
}

// controlTargetLocked is where the peer wants RTCP: where its own comes from; else what its SDP says, unless its RTP showed
// that the SDP does not know the address the peer really has.
func (l *Leg) controlTargetLocked() netip.AddrPort {
	switch {
	case l.agreed.Remote.Mux:
		return l.targetLocked()
	case l.control.IsValid():
		return l.control
	case l.latch.source.IsValid() && l.latch.source.Addr() != l.agreed.Remote.RTP.Addr():
		return netip.AddrPort{}
	}
	return l.agreed.Remote.RTCP
}

// sayLocked sends RTCP of ours. What cannot be sent is left, since the next report says the same.
func (l *Leg) sayLocked(b []byte) {
	l.made = b
	target := l.controlTargetLocked()
	if len(b) == 0 || !target.IsValid() {
		return
	}
	if guard := l.agreed.Guard; guard != nil {
		var err error
		if l.sealed, err = guard.Protect(l.sealed[:0], b, true); err != nil {
			return
		}
		b = l.sealed
	}
	out := l.rtcp
	if l.agreed.Remote.Mux {
		out = l.rtp
	}
	_ = out.io.send(b, target)
}

// reply sends a datagram of the guard.
func (s *socket) reply(b []byte, to netip.AddrPort) {
	s.leg.mu.Lock()
	defer s.leg.mu.Unlock()
	if !s.leg.closed && len(b) > 0 {
		_ = s.io.send(b, to) // handshakes repeat what gets lost
	}
}
