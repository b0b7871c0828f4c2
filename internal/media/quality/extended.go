package quality

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/pion/rtcp"
)

// unavailable is what ratings and levels are when they are not known (RFC 3611 §4.7.4, §4.7.5).
const unavailable = 127

// appendExtended is the XR packet (RFC 3611): the VoIP metrics of what the peer sends, the answer to its reference time, and,
// when we send nothing it could answer to, a reference time of our own. Without a block there is no packet.
func (s *Stream) appendExtended(dst []byte, ntp uint64, reference, about bool, now time.Time) []byte {
	answer := !s.peerRRTR.at.IsZero()
	if !reference && !about && !answer {
		return dst
	}
	dst, at := open(dst, 0, rtcp.TypeExtendedReport)
	dst = binary.BigEndian.AppendUint32(dst, s.sent.ssrc)
	if reference {
		dst = append(dst, rtcp.ReceiverReferenceTimeReportBlockType, 0, 0, 2)
		dst = binary.BigEndian.AppendUint64(dst, ntp)
	}
	if answer {
		dst = append(dst, rtcp.DLRRReportBlockType, 0, 0, 3)
		dst = binary.BigEndian.AppendUint32(dst, s.peerSSRC)
		dst = binary.BigEndian.AppendUint32(dst, s.peerRRTR.middle)
		dst = binary.BigEndian.AppendUint32(dst, s.peerRRTR.since(now))
	}
	if about {
		dst = s.appendVoIP(dst, now)
	}
	return closed(dst, at)
}

// appendVoIP is the block of VoIP metrics (RFC 3611 §4.7).
func (s *Stream) appendVoIP(dst []byte, now time.Time) []byte {
	f := s.Figures(now)
	in := f.Received
	r, lq, cq := byte(unavailable), byte(unavailable), byte(unavailable)
	if in.Rated {
		r, lq = byte(math.Round(in.R)), tenths(in.MOSLQ)
		if in.MOSCQ > 0 {
			cq = tenths(in.MOSCQ)
		}
	}
	dst = append(dst, rtcp.VoIPMetricsReportBlockType, 0, 0, 8)
	dst = binary.BigEndian.AppendUint32(dst, s.arrival.ssrc)
	dst = append(dst, share(in.LossShare()), share(in.DiscardShare()), share(in.BurstDensity), share(in.GapDensity))
	for _, d := range []time.Duration{in.BurstTime, in.GapTime, f.RoundTrip, s.buffer.Nominal} {
		dst = binary.BigEndian.AppendUint16(dst, milliseconds(d))
	}
	dst = append(dst, unavailable, unavailable, unavailable, gmin, r, unavailable, lq, cq, s.buffer.config(), 0)
	for _, d := range []time.Duration{s.buffer.Nominal, s.buffer.Maximum, s.buffer.Absolute} {
		dst = binary.BigEndian.AppendUint16(dst, milliseconds(d))
	}
	return dst
}

// config is the octet about concealment and the jitter buffer (RFC 3611 §4.7.6). A leg that passes packets on has neither:
// the phone at the other end conceals, and how is not known.
func (b Buffer) config() byte {
	switch {
	case b.Nominal == 0:
		return 0
	case b.Adaptive:
		return 3<<6 | 3<<4
	}
	return 3<<6 | 2<<4
}

func share(f float64) byte { return byte(min(max(f, 0)*256, 255)) }

func tenths(mos float64) byte { return byte(math.Round(mos * 10)) }

func milliseconds(d time.Duration) uint16 { return uint16(min(max(d/time.Millisecond, 0), 65535)) }
