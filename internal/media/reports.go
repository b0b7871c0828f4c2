package media

import (
	"time"

	"github.com/pion/rtcp"
)

// Report is what a side's own RTCP says about the stream it hears, and how far away it is.
type Report struct {
	At           time.Time     // when the last one came; zero when none did
	FractionLost float64       // between its last two reports, 0 to 1
	Lost         int64         // packets, in all; may be negative with duplicates
	Jitter       time.Duration // at the side
	RTT          time.Duration // between us and the side; 0 while unknown
	Sent         uint32        // packets the side says it sent; 0 when it sends receiver reports only
}

// passed remembers the sender reports that were passed on to a side, since its answers name them.
type passed struct {
	reports [4]struct {
		stamp uint32 // middle bits of the NTP time in the report
		at    time.Time
	}
	next int
}

func (p *passed) add(ntp uint64, now time.Time) {
	r := &p.reports[p.next]
	r.stamp, r.at = uint32(ntp>>16), now
	p.next = (p.next + 1) % len(p.reports)
}

// roundTrip is the time from our passing a report on to the answer to it, less what the side held it for
// (RFC 3550 §6.4.1), in units of 1/65536 s.
func (p *passed) roundTrip(stamp, delay uint32, now time.Time) (time.Duration, bool) {
	for _, r := range p.reports {
		if stamp == 0 || r.stamp != stamp || r.at.IsZero() {
			continue
		}
		held := time.Duration(delay) * time.Second / (1 << 16)
		if rtt := now.Sub(r.at) - held; rtt >= 0 {
			return rtt, true
		}
	}
	return 0, false
}

// readReports takes from the RTCP of side what it says. to is the side it is passed on to. The reports are about the
// stream that to sends; its clock rate turns the jitter into a time.
func readReports(from, to *leg, packet []byte, now time.Time) error {
	packets, err := rtcp.Unmarshal(packet)
	if err != nil {
		return err
	}
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			from.report.Sent = p.PacketCount
			to.passed.add(p.NTPTime, now)
			from.reception(p.Reports, to, now)
		case *rtcp.ReceiverReport:
			from.reception(p.Reports, to, now)
		}
	}
	return nil
}

// reception takes the block about the stream that other sends, or the only one there is.
func (l *leg) reception(blocks []rtcp.ReceptionReport, other *leg, now time.Time) {
	for _, b := range blocks {
		if other.receiver.started && b.SSRC != other.receiver.ssrc {
			continue
		}
		l.report.At = now
		l.report.FractionLost = float64(b.FractionLost) / 256
		l.report.Lost = int64(int32(b.TotalLost<<8) >> 8) // 24 bits with a sign
		if clock := other.receiver.clock; clock != 0 {
			l.report.Jitter = time.Duration(b.Jitter) * time.Second / time.Duration(clock)
		}
		if rtt, ok := l.passed.roundTrip(b.LastSenderReport, b.Delay, now); ok {
			l.report.RTT = rtt
		}
	}
}
