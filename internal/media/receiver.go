package media

import (
	"time"

	"github.com/pion/rtp"
)

// Thresholds of RFC 3550 A.1.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// receiver keeps the statistics of what one side sends (RFC 3550 A.1, A.3 and A.8). When the stream changes (a new
// SSRC, or a restart of its numbers) the losses of the old one are kept and counting starts again.
type receiver struct {
	started  bool
	ssrc     uint32
	payload  uint8
	base     uint32 // first sequence number, extended
	max      uint32 // highest sequence number, extended by its wraps
	received uint32
	restart  uint16 // a sequence number far off waits here for its successor
	waiting  bool
	lost     int64 // of streams that are over

	clock   uint32 // Hz, of transit and jitter
	epoch   time.Time
	transit uint32 // in clock units, wraps as timestamps do
	timed   bool
	jitter  float64 // in clock units
}

// packet counts one packet. event says that it is of a telephone-event, whose timestamp stands still and says nothing
// about jitter.
func (r *receiver) packet(h *rtp.Header, clock uint32, event bool, now time.Time) {
	if !r.started || h.SSRC != r.ssrc {
		r.restartAt(h)
	} else {
		r.sequence(h)
	}
	if event {
		return
	}
	r.payload = h.PayloadType
	if clock != r.clock {
		r.clock, r.timed, r.jitter = clock, false, 0
	}
	r.time(h.Timestamp, now)
}

// sequence follows the sequence number (RFC 3550 A.1, without the probation, which the latch has done).
func (r *receiver) sequence(h *rtp.Header) {
	ahead := h.SequenceNumber - uint16(r.max)
	switch {
	case ahead < maxDropout: // in order, with or without a gap
		r.max += uint32(ahead)
	case ahead <= 1<<16-1-maxMisorder: // a jump: the sender restarted if the next packet follows this one
		if !r.waiting || h.SequenceNumber != r.restart {
			r.restart, r.waiting = h.SequenceNumber+1, true
			return
		}
		r.restartAt(h)
		return
	}
	r.received++
}

func (r *receiver) restartAt(h *rtp.Header) {
	r.lost += r.losses()
	r.started, r.ssrc, r.waiting, r.timed = true, h.SSRC, false, false
	// One wrap ahead, so that a packet from just before the first cannot go below zero.
	r.base = 1<<16 | uint32(h.SequenceNumber)
	r.max, r.received = r.base, 1
}

// losses are those of the running stream; late duplicates can make them fewer than none.
func (r *receiver) losses() int64 {
	if !r.started {
		return 0
	}
	return max(0, int64(r.max)-int64(r.base)+1-int64(r.received))
}

// time follows the jitter (RFC 3550 A.8). A jump of more than five seconds is a clock that was set anew, or a pause.
func (r *receiver) time(timestamp uint32, now time.Time) {
	if r.epoch.IsZero() {
		r.epoch = now
	}
	since := now.Sub(r.epoch)
	arrival := int64(since/time.Second)*int64(r.clock) + int64(since%time.Second)*int64(r.clock)/int64(time.Second)
	transit := uint32(arrival) - timestamp
	d := int64(int32(transit - r.transit))
	first := !r.timed
	r.transit, r.timed = transit, true
	if d < 0 {
		d = -d
	}
	if first || d > 5*int64(r.clock) {
		return
	}
	r.jitter += (float64(d) - r.jitter) / 16
}

// jitterTime is the jitter as a time.
func (r *receiver) jitterTime() time.Duration {
	if r.clock == 0 {
		return 0
	}
	return time.Duration(r.jitter / float64(r.clock) * float64(time.Second))
}
