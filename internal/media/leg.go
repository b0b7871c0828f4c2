package media

import (
	"net/netip"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/sdp"
)

// dropReason says why a datagram was not passed on.
type dropReason int

const (
	dropMalformed  dropReason = iota // neither RTP nor RTCP
	dropStray                        // not from the peer, as far as can be told
	dropHeld                         // the directions of the call forbid it
	dropRate                         // more than a side may send
	dropNowhere                      // the other side's address is not known yet
	dropUnsendable                   // the system refused to send it
	dropReasons
)

func (d dropReason) String() string {
	return [...]string{"malformed", "stray", "held", "rate", "nowhere", "unsendable"}[d]
}

// counters are what one side did to the relay.
type counters struct {
	packets, bytes uint64 // RTP of the peer, held or not; bytes with the RTP header
	rtcp           uint64
	sent           uint64 // RTP sent to the peer
	dropped        [dropReasons]uint64
}

func (c *counters) add(o *counters) {
	c.packets += o.packets
	c.bytes += o.bytes
	c.rtcp += o.rtcp
	c.sent += o.sent
	for i := range c.dropped {
		c.dropped[i] += o.dropped[i]
	}
}

// leg is one side of a relay: a peer, and the two sockets towards it. The relay's lock guards it.
type leg struct {
	port      uint16
	rtp, rtcp *socket

	remote    Remote
	latch     latch
	control   netip.AddrPort // where its RTCP came from, zero before
	direction sdp.Direction
	formats   []sdp.Format // what this side may send: the other side's formats first, then its own

	header   rtp.Header // of the packet at hand; here so that it need not be made
	format   sdp.Format // of the last packet, found again without a search
	receiver receiver
	digits   digits
	report   Report
	passed   passed
	count    counters

	heard    time.Time // last RTP or RTCP of the peer
	expected time.Time // from when on it should be heard
	silent   bool      // and was told to be silent

	second   int64 // the second at hand, and the packets in it
	inSecond int
}

// within counts a packet against the limit of packets a second.
func (l *leg) within(limit int, now time.Time) bool {
	if s := now.Unix(); s != l.second {
		l.second, l.inSecond = s, 0
	}
	l.inSecond++
	return l.inSecond <= limit
}

// agreed finds the format of a payload type. Without any formats everything is agreed on.
func (l *leg) agreed(payload uint8) (sdp.Format, bool) {
	if l.format.Clock != 0 && l.format.Type == payload {
		return l.format, true
	}
	for _, f := range l.formats {
		if f.Type == payload {
			l.format = f
			return f, true
		}
	}
	return sdp.Format{Type: payload, Clock: 8000}, len(l.formats) == 0
}

// target is where the peer wants RTP.
func (l *leg) target() netip.AddrPort { return l.latch.target() }

// controlTarget is where the peer wants RTCP: where its own comes from; else what its SDP says, unless its RTP showed
// that the SDP does not know the address the peer really has. mux says that both sides want it where RTP is.
func (l *leg) controlTarget(mux bool) netip.AddrPort {
	switch {
	case mux:
		return l.target()
	case l.control.IsValid():
		return l.control
	case l.latch.source.IsValid() && l.latch.source.Addr() != l.remote.RTP.Addr():
		return netip.AddrPort{}
	}
	return l.remote.RTCP
}

// admitControl tells whether RTCP comes from the peer: from where its SDP says or its RTP comes from; or, behind NAT,
// from another port of that host, the first one that is heard.
func (l *leg) admitControl(from netip.AddrPort) bool {
	switch {
	case from == l.control, from == l.latch.source:
		return true
	case from == l.remote.RTCP:
	case l.control.IsValid() || l.latch.belief == believeExact || from.Addr() != l.latch.source.Addr():
		return false // of a peer whose SDP tells the truth about RTP, it does about RTCP
	}
	l.control = from
	return true
}

// idle is for how long the peer has been silent when it should have been heard.
func (l *leg) idle(now time.Time) time.Duration {
	since := l.heard
	if l.expected.After(since) {
		since = l.expected
	}
	return now.Sub(since)
}
