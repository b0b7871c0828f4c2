package quality

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtcp"
)

// Limits of what is read.
const (
	maxDatagram = 1500 // a report longer than what a network carries is none
	maxCompound = 16   // packets in a datagram
	maxSecond   = 8    // datagrams a second
)

var (
	errTooLong = fmt.Errorf("RTCP of more than %d bytes", maxDatagram)
	errTooMany = errors.New("too much RTCP in a second")
	errShort   = errors.New("RTCP is shorter than its header says")
	errVersion = errors.New("RTCP is not of version 2")
)

// stamp remembers a time that the peer told, and when it did.
type stamp struct {
	middle uint32 // the middle 32 bits of its NTP time
	at     time.Time
}

// since is the time since then in units of 1/65536 s, as reports want it.
func (s stamp) since(now time.Time) uint32 {
	if s.at.IsZero() {
		return 0
	}
	return uint32(min(int64(now.Sub(s.at))*(1<<16)/int64(time.Second), 1<<32-1))
}

// told is what the peer's reports say about what we send.
type told struct {
	at       time.Time // of the last report; zero before one came
	lost     int64     // may be negative with duplicates
	expected int64     // packets it should have had by then
	fraction float64   // lost between its last two reports
	jitter   time.Duration
	worst    time.Duration
	rtt      time.Duration // 0 before one was measured
	longest  time.Duration
	voip     rtcp.VoIPMetricsReportBlock
	voipAt   time.Time
	reports  uint64 // datagrams read

	// Streams of ours before this one, as far as they were reported.
	lostBefore, expectedBefore int64

	second   int64
	inSecond int
}

// anew begins when our SSRC changes.
func (t *told) anew() {
	t.lostBefore, t.expectedBefore = t.lostBefore+t.lost, t.expectedBefore+t.expected
	t.lost, t.expected = 0, 0
}

// within counts a datagram against the limit.
func (t *told) within(now time.Time) bool {
	if s := now.Unix(); s != t.second {
		t.second, t.inSecond = s, 0
	}
	t.inSecond++
	return t.inSecond <= maxSecond
}

// ReadRTCP takes what a datagram of the peer says. Packets of kinds that say nothing about quality are skipped, and so are
// reports about other streams. The error says why the rest of it could not be read; what came before it counts.
func (s *Stream) ReadRTCP(packet []byte, now time.Time) error {
	switch {
	case len(packet) > maxDatagram:
		return errTooLong
	case !s.told.within(now):
		return errTooMany
	}
	for n := 0; len(packet) > 0 && n < maxCompound; n++ {
		if len(packet) < 4 {
			return errShort
		}
		size := 4 * (int(binary.BigEndian.Uint16(packet[2:])) + 1)
		switch {
		case packet[0]>>6 != 2:
			return errVersion
		case size > len(packet):
			return errShort
		}
		if err := s.readOne(packet[:size], now); err != nil {
			return err
		}
		packet = packet[size:]
	}
	s.told.reports++
	return nil
}

// readOne takes one packet of a datagram.
func (s *Stream) readOne(packet []byte, now time.Time) error {
	switch rtcp.PacketType(packet[1]) {
	case rtcp.TypeSenderReport:
		var p rtcp.SenderReport
		if err := p.Unmarshal(packet); err != nil {
			return fmt.Errorf("sender report: %w", err)
		}
		if !s.arrival.started || p.SSRC == s.arrival.ssrc {
			s.peerSR = stamp{uint32(p.NTPTime >> 16), now}
		}
		s.reception(p.Reports, now)
	case rtcp.TypeReceiverReport:
		var p rtcp.ReceiverReport
		if err := p.Unmarshal(packet); err != nil {
			return fmt.Errorf("receiver report: %w", err)
		}
		s.reception(p.Reports, now)
	case rtcp.TypeExtendedReport:
		var p rtcp.ExtendedReport
		if err := p.Unmarshal(packet); err != nil {
			return fmt.Errorf("extended report: %w", err)
		}
		s.extended(&p, now)
	case rtcp.TypeGoodbye:
		var p rtcp.Goodbye
		if err := p.Unmarshal(packet); err != nil {
			return fmt.Errorf("goodbye: %w", err)
		}
		for _, ssrc := range p.Sources {
			if s.arrival.started && ssrc == s.arrival.ssrc {
				s.leftAt = now
			}
		}
	}
	return nil
}

// reception takes the block about what we send.
func (s *Stream) reception(blocks []rtcp.ReceptionReport, now time.Time) {
	for _, b := range blocks {
		if !s.sent.started || b.SSRC != s.sent.ssrc {
			continue
		}
		// The peer began to count with the first packet it heard, which may not be our first. Its numbers may have wrapped
		// less often than ours if it came later, so only the low bits are compared.
		high := s.sent.high - uint32(uint16(s.sent.high)-uint16(b.LastSequenceNumber))
		if high < s.sent.first || uint16(s.sent.high)-uint16(b.LastSequenceNumber) > 1<<15 {
			continue // of packets that were never sent
		}
		t := &s.told
		t.at = now
		t.expected = int64(high-s.sent.first) + 1
		t.lost = min(int64(int32(b.TotalLost<<8)>>8), t.expected) // 24 bits with a sign
		t.fraction = float64(b.FractionLost) / 256
		if clock := s.sent.clock; clock != 0 {
			t.jitter = ticks(float64(b.Jitter), clock)
			t.worst = max(t.worst, t.jitter)
		}
		s.roundTrip(b.LastSenderReport, b.Delay, now)
	}
}

// roundTrip takes the time from a report of ours to the answer to it, less what the peer held it for (RFC 3550 §6.4.1).
func (s *Stream) roundTrip(middle, delay uint32, now time.Time) {
	at, ok := s.schedule.reported(middle)
	if !ok {
		return
	}
	rtt := now.Sub(at) - time.Duration(delay)*time.Second/(1<<16)
	switch {
	case rtt < -time.Millisecond: // no clock is that coarse; the peer is wrong
		return
	case rtt < time.Microsecond: // nearer than the units of the report can tell
		rtt = time.Microsecond
	}
	s.told.rtt = rtt
	s.told.longest = max(s.told.longest, rtt)
}

// extended takes the blocks that say something here.
func (s *Stream) extended(p *rtcp.ExtendedReport, now time.Time) {
	s.sendsXR = true
	for _, block := range p.Reports {
		switch b := block.(type) {
		case *rtcp.ReceiverReferenceTimeReportBlock:
			s.peerRRTR, s.peerSSRC = stamp{uint32(b.NTPTimestamp >> 16), now}, p.SenderSSRC
		case *rtcp.DLRRReportBlock:
			for _, r := range b.Reports {
				if r.SSRC == s.sent.ssrc {
					s.roundTrip(r.LastRR, r.DLRR, now)
				}
			}
		case *rtcp.VoIPMetricsReportBlock:
			if b.SSRC == s.sent.ssrc && s.sent.started {
				s.told.voip, s.told.voipAt = *b, now
			}
		}
	}
}
