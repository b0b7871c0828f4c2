package quality

import (
	"time"

	"github.com/pion/rtp"
)

// jitter follows the difference in spacing of packets at the sender and here (RFC 3550 A.8).
type jitter struct {
	clock   uint32 // Hz, of transit and mean
	epoch   time.Time
	transit uint32 // in clock units, wraps as timestamps do
	timed   bool
	known   bool    // two packets were compared
	mean    float64 // in clock units
	worst   time.Duration

	sequence uint16 // of the last packet
	stamp    uint32
	step     uint32 // of timestamps from one packet to the next
}

// packet follows one packet. A jump of more than five seconds is a clock that was set anew, or a pause.
func (j *jitter) packet(h *rtp.Header, clock uint32, now time.Time) {
	if clock == 0 {
		return
	}
	if clock != j.clock {
		j.clock, j.timed, j.mean, j.step = clock, false, 0, 0
	}
	if j.epoch.IsZero() {
		j.epoch = now
	}
	if step := h.Timestamp - j.stamp; j.timed && h.SequenceNumber == j.sequence+1 && step > 0 && step <= clock/4 {
		j.step = step
	}
	j.sequence, j.stamp = h.SequenceNumber, h.Timestamp
	since := now.Sub(j.epoch)
	arrival := int64(since/time.Second)*int64(clock) + int64(since%time.Second)*int64(clock)/int64(time.Second)
	transit := uint32(arrival) - h.Timestamp
	d := int64(int32(transit - j.transit))
	first := !j.timed
	j.transit, j.timed = transit, true
	if d < 0 {
		d = -d
	}
	if first || d > 5*int64(clock) {
		return
	}
	j.mean += (float64(d) - j.mean) / 16
	j.known = true
	j.worst = max(j.worst, j.time())
}

// anew forgets the stream before; its jitter is the best guess for the one that begins.
func (j *jitter) anew() { j.timed = false }

// time is the jitter as a time.
func (j *jitter) time() time.Duration { return ticks(j.mean, j.clock) }

// packetTime is the time that a packet carries, 0 before it is known.
func (j *jitter) packetTime() time.Duration { return ticks(float64(j.step), j.clock) }

// ticks of an RTP clock as a time.
func ticks(n float64, clock uint32) time.Duration {
	if clock == 0 {
		return 0
	}
	return time.Duration(n / float64(clock) * float64(time.Second))
}
