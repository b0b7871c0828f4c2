package quality

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"
)

// Timing of reports (RFC 3550 §6.2, §6.3). There are two members and both bandwidths are far beyond what two members
// need, so the interval is its least: five seconds, half of it before the first, spread so that the reports of many calls do
// not fall together. Since nobody joins, there is nothing to reconsider.
const (
	interval     = 5 * time.Second
	compensation = math.E - 1.5 // §6.3.1: the spread's mean is that much too long where intervals are reconsidered
)

// schedule is when our reports go, and which went.
type schedule struct {
	next    time.Time // zero before the first question
	written uint64    // reports
	packets uint32    // sent, as the last two reports had it
	earlier uint32
	heard   uint64 // packets of the peer when the last report went

	recent [4]struct { // the last that an answer may name
		middle uint32
		at     time.Time
	}
}

// reported is when a report with that time went.
func (s *schedule) reported(middle uint32) (time.Time, bool) {
	for _, r := range s.recent {
		if middle != 0 && r.middle == middle && !r.at.IsZero() {
			return r.at, true
		}
	}
	return time.Time{}, false
}

// Due tells whether a report should go now. Without any it is due for the first time a moment after it was first asked.
func (s *Stream) Due(now time.Time) bool {
	if s.schedule.next.IsZero() {
		s.schedule.plan(interval/2, now)
	}
	return !now.Before(s.schedule.next)
}

func (s *schedule) plan(mean time.Duration, now time.Time) {
	s.next = now.Add(time.Duration(float64(mean) * (0.5 + rand.Float64()) / compensation))
}

// WriteRTCP appends a report to dst and plans the next: a sender report when something was sent since the report before
// the last (RFC 3550 §6.4), else a receiver report, the name of the leg, and extended reports where the peer takes them.
func (s *Stream) WriteRTCP(dst []byte, now time.Time) []byte {
	dst = s.compound(dst, now)
	s.schedule.plan(interval, now)
	return dst
}

// WriteBye appends the last report, which says that the leg leaves. It appends nothing when the peer never had a packet
// or a report to which it could belong (RFC 3550 §6.3.7).
func (s *Stream) WriteBye(dst []byte, now time.Time) []byte {
	if s.schedule.written == 0 && !s.sent.started {
		return dst
	}
	dst = s.compound(dst, now)
	dst, at := open(dst, 1, rtcp.TypeGoodbye)
	dst = binary.BigEndian.AppendUint32(dst, s.sent.ssrc)
	return closed(dst, at)
}

func (s *Stream) compound(dst []byte, now time.Time) []byte {
	c := &s.schedule
	ntp := ntpTime(now)
	sending := s.sent.started && s.sent.packets != c.earlier
	count := byte(0)
	about := s.arrival.started && s.arrival.packets != c.heard && s.leftAt.IsZero()
	if about {
		count = 1
	}
	kind := rtcp.TypeReceiverReport
	if sending {
		kind = rtcp.TypeSenderReport
	}
	dst, at := open(dst, count, kind)
	dst = binary.BigEndian.AppendUint32(dst, s.sent.ssrc)
	if sending {
		dst = binary.BigEndian.AppendUint64(dst, ntp)
		dst = binary.BigEndian.AppendUint32(dst, s.sent.stampAt(now))
		dst = binary.BigEndian.AppendUint32(dst, s.sent.packets)
		dst = binary.BigEndian.AppendUint32(dst, s.sent.octets)
	}
	if about {
		dst = s.appendReception(dst, now)
	}
	dst = s.appendName(closed(dst, at))
	if s.sendsXR {
		dst = s.appendExtended(dst, ntp, !sending, about, now)
	}
	c.earlier, c.packets, c.heard = c.packets, s.sent.packets, s.arrival.packets
	r := &c.recent[c.written%uint64(len(c.recent))]
	r.middle, r.at = uint32(ntp>>16), now
	c.written++
	return dst
}

// stampAt is what the RTP timestamp of a packet were that went now.
func (o *sent) stampAt(now time.Time) uint32 {
	since := min(max(now.Sub(o.at), 0), time.Hour)
	return o.stamp + uint32(int64(since)*int64(o.clock)/int64(time.Second))
}

// appendReception is the block about what the peer sends (RFC 3550 §6.4.1, A.3).
func (s *Stream) appendReception(dst []byte, now time.Time) []byte {
	a := &s.arrival
	expected := uint32(a.running())
	lost := int64(expected) - int64(a.received)
	fraction := uint32(0)
	if span, came := expected-a.expectedPrior, a.received-a.gotPrior; span > came {
		fraction = min((span-came)*256/span, 255)
	}
	a.expectedPrior, a.gotPrior = expected, a.received
	cumulative := uint32(min(max(lost, -1<<23), 1<<23-1)) & 0xffffff
	dst = binary.BigEndian.AppendUint32(dst, a.ssrc)
	dst = binary.BigEndian.AppendUint32(dst, fraction<<24|cumulative)
	dst = binary.BigEndian.AppendUint32(dst, a.max-1<<16)
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.jitter.mean))
	dst = binary.BigEndian.AppendUint32(dst, s.peerSR.middle)
	return binary.BigEndian.AppendUint32(dst, s.peerSR.since(now))
}

// appendName is the SDES packet with the CNAME of the leg (RFC 3550 §6.5.1), which is random, so that reports of two
// calls do not show that one node has them (RFC 7022).
func (s *Stream) appendName(dst []byte) []byte {
	dst, at := open(dst, 1, rtcp.TypeSourceDescription)
	dst = binary.BigEndian.AppendUint32(dst, s.sent.ssrc)
	dst = append(dst, byte(rtcp.SDESCNAME), byte(len(s.cname)))
	dst = append(dst, s.cname[:]...)
	dst = append(dst, 0, 0) // the end of the items; with it the length is a multiple of four
	return closed(dst, at)
}

// open begins a packet, whose length closed fills in.
func open(dst []byte, count byte, kind rtcp.PacketType) ([]byte, int) {
	at := len(dst)
	return append(dst, 2<<6|count, byte(kind), 0, 0), at
}

func closed(dst []byte, at int) []byte {
	binary.BigEndian.PutUint16(dst[at+2:], uint16((len(dst)-at)/4-1))
	return dst
}

// ntpTime is a time in the format of NTP: seconds since 1900 and their fraction, 32 bits each.
func ntpTime(t time.Time) uint64 {
	const until1970 = 2208988800
	return uint64(t.Unix()+until1970)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
