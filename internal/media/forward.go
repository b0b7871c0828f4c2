package media

import (
	"net/netip"
	"time"
)

// Payload types of RTCP, seen where RTP has marker and payload type (RFC 5761 §4).
const (
	firstRTCP = 192
	lastRTCP  = 223
)

// handleLocked does everything for one datagram that came on a socket of the relay.
func (r *Relay) handleLocked(on *socket, b []byte, from netip.AddrPort, now time.Time) {
	if r.closed {
		return
	}
	l, to := &r.legs[on.side], &r.legs[on.side.Other()]
	switch {
	case !l.within(r.plane.cfg.MaxPacketRate, now):
		l.count.dropped[dropRate]++
	case len(b) < 8 || b[0]>>6 != 2:
		l.count.dropped[dropMalformed]++
	case b[1] >= firstRTCP && b[1] <= lastRTCP:
		r.controlLocked(l, to, b, from, now)
	case on.control:
		l.count.dropped[dropMalformed]++
	default:
		r.audioLocked(on.side, l, to, b, from, now)
	}
}

// audioLocked passes RTP on.
func (r *Relay) audioLocked(s Side, l, to *leg, b []byte, from netip.AddrPort, now time.Time) {
	n, err := l.header.Unmarshal(b)
	if err != nil {
		l.count.dropped[dropMalformed]++
		return
	}
	format, agreed := l.agreed(l.header.PayloadType)
	if !l.latch.admit(from, &l.header, agreed, now, r.plane.cfg.LearnWindow) {
		l.count.dropped[dropStray]++
		return
	}
	l.heard, l.silent = now, false
	l.count.packets++
	l.count.bytes += uint64(len(b))
	event := format.Encoding == telephoneEvent
	l.receiver.packet(&l.header, format.Clock, event, now)
	if event && !l.remote.Encrypted {
		r.noteDigits(s, l.digits.packet(&l.header, b[n:], format.Clock, now, nil))
	}
	if !l.direction.Sends() || !to.direction.Receives() {
		l.count.dropped[dropHeld]++
		return
	}
	if l.pass(to.rtp, b, to.target()) {
		to.count.sent++
	}
}

// controlLocked passes RTCP on, whichever of our ports it came to. It goes out on the port of RTP when both sides said
// rtcp-mux: the attribute passes us unchanged, so one offered it and the other agreed. One that offered in vain takes
// RTCP where it would without (RFC 5761 §5.1.1).
func (r *Relay) controlLocked(l, to *leg, b []byte, from netip.AddrPort, now time.Time) {
	if !l.admitControl(from) {
		l.count.dropped[dropStray]++
		return
	}
	if !l.remote.Encrypted {
		if err := readReports(l, to, b, now); err != nil {
			l.count.dropped[dropMalformed]++
			return
		}
	}
	l.heard, l.silent = now, false
	l.count.rtcp++
	out, mux := to.rtcp, l.remote.Mux && to.remote.Mux
	if mux {
		out = to.rtp
	}
	l.pass(out, b, to.controlTarget(mux))
}

// pass sends a datagram of l's peer to the other side.
func (l *leg) pass(out *socket, b []byte, target netip.AddrPort) bool {
	if !target.IsValid() {
		l.count.dropped[dropNowhere]++
		return false
	}
	if err := out.send(b, target); err != nil {
		l.count.dropped[dropUnsendable]++
		return false
	}
	return true
}
