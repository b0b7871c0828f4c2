package media

import (
	"net/netip"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/sdp"
)

// arrived does everything for one datagram that came on a socket of the leg. It is called with the leg's lock held and
// releases it: what is passed on needs the lock of the joined leg, and a leg never holds two.
func (l *Leg) arrived(on *socket, b []byte, from netip.AddrPort, now time.Time) {
	if l.closed {
		l.mu.Unlock()
		return
	}
	onward := &l.onward
	to, drop := (*Leg)(nil), dropNot
	switch kind := kindOf(b); {
	case !l.within(l.plane.cfg.MaxPacketRate, from, now):
		drop = dropRate
	case kind == kindHandshake && l.agreed.Guard != nil:
		guard := l.agreed.Guard
		l.mu.Unlock()
		if g, ok := guard.(twoPorts); ok && on.control {
			g.HandleControl(b, from, on.reply)
		} else {
			guard.Handle(b, from, on.reply)
		}
		return
	case kind == kindControl:
		drop = l.controlLocked(b, from, now)
	case kind == kindAudio && !on.control:
		to, drop = l.audioLocked(onward, b, from, now)
	default:
		drop = dropMalformed
	}
	if drop != dropNot {
		l.count.dropped[drop]++
	}
	notes := l.takeNotes()
	l.mu.Unlock()
	if to != nil {
		if drop := to.pass(onward, l, now); drop != dropNot {
			l.mu.Lock()
			l.count.dropped[drop]++
			l.mu.Unlock()
		}
	}
	l.tell(notes)
}

// packet is RTP of a peer on its way through. Its bytes belong to the goroutine that read them.
type packet struct {
	header rtp.Header
	b      []byte // all of it, not encrypted
	at     int    // where the payload begins in b
	format sdp.Format
}

// audioLocked takes RTP of the peer and returns the leg that is to hear it.
func (l *Leg) audioLocked(p *packet, b []byte, from netip.AddrPort, now time.Time) (*Leg, dropReason) {
	bytes := len(b)
	proven := false // by ICE, so that the latch has nothing to find out
	if guard := l.agreed.Guard; guard != nil {
		peer := guard.Peer()
		if proven = peer == from; peer.IsValid() && !proven {
			return nil, dropStray
		}
		var err error
		if l.clear, err = guard.Unprotect(l.clear[:0], b, false); err != nil {
			return nil, dropUnproven
		}
		b = l.clear
	}
	n, err := p.header.Unmarshal(b)
	if err != nil {
		return nil, dropMalformed
	}
	f, agreed := l.formatOf(p.header.PayloadType)
	if proven {
		l.latch.source = from
	} else if !l.latch.admit(from, &p.header, agreed, now, l.plane.cfg.LearnWindow) {
		return nil, dropStray
	}
	p.b, p.at, p.format = b, n, f
	l.heard, l.silent = now, false
	l.count.packets++
	l.count.bytes += uint64(bytes)
	event := f.Encoding == telephoneEvent
	l.stream.Received(&p.header, len(b)-n, f.Clock, event, now)
	if event {
		l.noteDigits(l.digits.Packet(&p.header, b[n:], f.Clock, now, nil), now)
	}
	if !l.agreed.Direction.Sends() {
		return nil, dropHeld
	}
	if l.heardBy != nil {
		l.heardBy.take(&p.header, b[n:], f, now)
	}
	return l.joined, dropNot
}

// controlLocked reads RTCP of the peer, whichever of our ports it came to.
func (l *Leg) controlLocked(b []byte, from netip.AddrPort, now time.Time) dropReason {
	proven := false
	if guard := l.agreed.Guard; guard != nil {
		peer := guard.Peer()
		if proven = peer == from; peer.IsValid() && !proven {
			return dropStray
		}
		// Not where audio is decrypted to: that may be on its way through without our lock, when the goroutine that reads our
		// other socket is another one.
		var err error
		if l.sealed, err = guard.Unprotect(l.sealed[:0], b, true); err != nil {
			return dropUnproven
		}
		b = l.sealed
	}
	if !proven && !l.admitControl(from) {
		return dropStray
	}
	if err := l.stream.ReadRTCP(b, now); err != nil {
		return dropMalformed
	}
	l.heard, l.silent = now, false
	l.count.rtcp++
	return dropNot
}

// admitControl tells whether RTCP comes from the peer: from where its SDP says or its RTP comes from; or, behind NAT,
// from another port of that host, the first one that is heard.
func (l *Leg) admitControl(from netip.AddrPort) bool {
	switch {
	case from == l.control, from == l.latch.source:
		return true
	case from == l.agreed.Remote.RTCP:
	case l.control.IsValid() || l.latch.belief == believeExact || from.Addr() != l.latch.source.Addr():
		return false // of a peer whose SDP tells the truth about RTP, it does about RTCP
	}
	l.control = from
	return true
}

// within counts a packet against the limit of packets a second. The peer has one, and all strangers together have another:
// else whoever floods a port would silence the call.
func (l *Leg) within(limit int, from netip.AddrPort, now time.Time) bool {
	if s := now.Unix(); s != l.second {
		l.second, l.inSecond = s, [2]int{}
	}
	count := &l.inSecond[0]
	if from != l.latch.source && from != l.agreed.Remote.RTP && from != l.control && from != l.agreed.Remote.RTCP {
		count = &l.inSecond[1]
	}
	*count++
	return *count <= limit
}

func (l *Leg) takeNotes() []note {
	notes := l.notes
	l.notes = nil
	return notes
}

func (l *Leg) tell(notes []note) {
	for _, n := range notes {
		switch {
		case n.silence > 0 && l.hooks.Silence != nil:
			l.hooks.Silence(n.silence)
		case n.silence == 0 && l.hooks.Digit != nil:
			l.hooks.Digit(n.digit)
		}
	}
}
