package quality

import (
	"time"

	"github.com/pion/rtcp"
)

// leastRated is how many packets must have been on their way before a rating is more than a guess: with fewer, a loss
// cannot be told to be alone.
const leastRated = gmin

// Figures is what is known of a leg at a moment.
type Figures struct {
	Received Direction // what the peer sends, as it arrives here
	Sent     Direction // what is sent to the peer, as it arrives there by its reports

	RoundTrip    time.Duration // between here and the peer, the last that was measured; 0 is unknown
	RoundTripMax time.Duration
	Reports      uint64 // RTCP datagrams of the peer that were read
}

// Direction is one direction of a leg. What is unknown is zero, and where zero may be a figure, a bool says whether it
// is one.
type Direction struct {
	Codec   string // name in SDP of the last audio, "" while unknown
	Packets uint64 // that came here, duplicates too; that were sent

	Measured   bool   // whether the counts below are known
	Expected   uint64 // packets that should have arrived
	Lost       uint64 // and did not
	Discarded  uint64 // arrived and were not played
	Duplicates uint64
	Reordered  uint64
	LossRuns   uint64 // of packets in a row that were lost or discarded; 0 also where a peer does not tell

	Bursts       uint64  // periods with many losses (RFC 3611 §4.7.2); 0 also where a peer does not tell
	BurstDensity float64 // share of the packets lost in them
	GapDensity   float64 // share of the packets lost between them
	BurstTime    time.Duration
	GapTime      time.Duration // means, 0 while the time that a packet carries is unknown

	Timed     bool // whether the jitter is known
	Jitter    time.Duration
	JitterMax time.Duration

	Delay  time.Duration // one way, with the jitter buffer at the end as far as it is known; 0 is unknown
	Rated  bool          // whether R and MOSLQ are known
	R      float64       // with the delay, when that is known
	MOSLQ  float64       // of listening: without the delay
	MOSCQ  float64       // of conversation; 0 while the delay is unknown
	BurstR float64       // the burst ratio R was computed with, 1 at random
	ByPeer bool          // R and MOS are what the peer itself said (RFC 3611 §4.7.5)
}

// LossShare is the share of packets that did not arrive, 0 to 1.
func (d Direction) LossShare() float64 { return ratio(d.Lost, d.Expected) }

// DiscardShare is the share of packets that arrived and were not played, 0 to 1.
func (d Direction) DiscardShare() float64 { return ratio(d.Discarded, d.Expected) }

func ratio(n, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// Since is what happened after an earlier look at the same direction: the counts of that time alone, and their rating.
// Jitter and delay are those at its end.
func (d Direction) Since(before Direction) Direction {
	p := d
	p.Packets, p.Expected = less(d.Packets, before.Packets), less(d.Expected, before.Expected)
	p.Lost, p.Discarded = less(d.Lost, before.Lost), less(d.Discarded, before.Discarded)
	p.Duplicates, p.Reordered = less(d.Duplicates, before.Duplicates), less(d.Reordered, before.Reordered)
	p.LossRuns, p.Bursts = less(d.LossRuns, before.LossRuns), less(d.Bursts, before.Bursts)
	p.BurstDensity, p.GapDensity, p.BurstTime, p.GapTime = 0, 0, 0, 0
	p.Measured = d.Measured && p.Expected > 0
	p.Timed = d.Timed && p.Packets > 0
	p.rate()
	if !p.Rated && p.Measured && d.ByPeer { // its rating is of the whole time, and the only one there is
		p.Rated, p.ByPeer, p.R, p.MOSLQ, p.MOSCQ = true, true, d.R, d.MOSLQ, d.MOSCQ
	}
	return p
}

// less is a difference that a late packet cannot make huge.
func less(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

// rate computes R and MOS from the counts.
func (d *Direction) rate() {
	d.Rated, d.ByPeer, d.R, d.MOSLQ, d.MOSCQ, d.BurstR = false, false, 0, 0, 0, 0
	if !d.Measured || d.Expected < leastRated {
		return
	}
	gone := min(d.Lost+d.Discarded, d.Expected)
	d.BurstR = burstRatio(gone, d.LossRuns, d.Expected)
	listening, ok := Rate(d.Codec, ratio(gone, d.Expected), d.BurstR, 0)
	if !ok {
		return
	}
	d.Rated, d.R, d.MOSLQ = true, listening, MOS(listening)
	if d.Delay > 0 {
		d.R, _ = Rate(d.Codec, ratio(gone, d.Expected), d.BurstR, d.Delay)
		d.MOSCQ = MOS(d.R)
	}
}

// Figures is what is known now.
func (s *Stream) Figures(now time.Time) Figures {
	f := Figures{RoundTrip: s.told.rtt, RoundTripMax: s.told.longest, Reports: s.told.reports}
	f.Received = s.receivedFigures()
	f.Sent = s.sentFigures()
	return f
}

func (s *Stream) receivedFigures() Direction {
	a := &s.arrival
	d := Direction{Codec: s.heard.Encoding, Packets: a.packets}
	if a.unique == 0 {
		return d
	}
	d.Measured, d.Expected, d.Lost = true, a.expected(), less(a.expected(), a.unique)
	d.Discarded, d.Duplicates, d.Reordered = a.discarded, a.duplicates, a.reordered
	b := a.settled()
	d.LossRuns, d.Bursts = b.runs, b.bursts
	d.BurstDensity, d.GapDensity = ratio(b.lostInBurst, b.inBursts), ratio(b.losses-b.lostInBurst, b.packets-b.inBursts)
	each := s.jitter.packetTime()
	d.BurstTime, d.GapTime = mean(each, b.inBursts, b.bursts), mean(each, b.packets-b.inBursts, b.gaps)
	d.Timed, d.Jitter, d.JitterMax = s.jitter.known, s.jitter.time(), s.jitter.worst
	if s.told.rtt > 0 {
		d.Delay = s.told.rtt/2 + s.buffer.Nominal
	}
	d.rate()
	return d
}

// mean is the time of one of n periods that have so many packets together.
func mean(each time.Duration, packets, n uint64) time.Duration {
	if n == 0 {
		return 0
	}
	return time.Duration(float64(each) * float64(packets) / float64(n))
}

func (s *Stream) sentFigures() Direction {
	t := &s.told
	d := Direction{Codec: s.sent.format.Encoding, Packets: uint64(s.sent.packets)}
	if t.at.IsZero() {
		return d
	}
	d.Measured, d.Expected = true, uint64(t.expectedBefore+t.expected)
	d.Lost = uint64(max(0, t.lostBefore+t.lost))
	d.Timed, d.Jitter, d.JitterMax = true, t.jitter, t.worst
	if t.rtt > 0 {
		d.Delay = t.rtt / 2
	}
	if !t.voipAt.IsZero() {
		d.Discarded = uint64(float64(d.Expected) * float64(t.voip.DiscardRate) / 256)
		d.BurstDensity, d.GapDensity = float64(t.voip.BurstDensity)/256, float64(t.voip.GapDensity)/256
		d.BurstTime = time.Duration(t.voip.BurstDuration) * time.Millisecond
		d.GapTime = time.Duration(t.voip.GapDuration) * time.Millisecond
		if d.Delay > 0 {
			d.Delay += time.Duration(t.voip.EndSystemDelay) * time.Millisecond
		}
	}
	d.rate()
	d.believe(&t.voip)
	return d
}

// believe takes the rating of the peer itself, which knows its jitter buffer and what it conceals. Values out of the
// ranges of RFC 3611 §4.7.5 are no ratings.
func (d *Direction) believe(v *rtcp.VoIPMetricsReportBlock) {
	if v.MOSLQ < 10 || v.MOSLQ > 50 {
		return
	}
	d.Rated, d.ByPeer = true, true
	d.MOSLQ = float64(v.MOSLQ) / 10
	d.MOSCQ = 0
	if v.MOSCQ >= 10 && v.MOSCQ <= 50 {
		d.MOSCQ = float64(v.MOSCQ) / 10
	}
	if v.RFactor <= 100 {
		d.R = float64(v.RFactor)
	}
}
