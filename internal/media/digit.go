package media

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"
)

// Digit is a telephone-event that a side sent (RFC 4733).
type Digit struct {
	Key      byte          // '0' to '9', '*', '#', 'A' to 'D'; 0 for an event that is no key, such as a flash
	Event    uint8         // its code
	Duration time.Duration // how long it was held
}

// telephoneEvent is the encoding's name in SDP.
const telephoneEvent = "telephone-event"

const (
	eventSize   = 4    // bytes of a telephone-event payload
	eventEnd    = 0x80 // its last packets carry this bit
	keys        = "0123456789*#ABCD"
	eventSilent = 300 * time.Millisecond // an event without packets for so long is over, its end lost
	segmentFull = 0xFFFF                 // a longer event goes on in a new segment (RFC 4733 §2.5.1.3)
)

// digits notices the events of one side, each once, however many packets tell of it.
type digits struct {
	known    bool // ssrc and stamp are of an event, running or over
	running  bool
	ssrc     uint32
	stamp    uint32 // RTP timestamp of the event's (last) segment
	event    uint8
	before   uint32 // duration of earlier segments, clock units
	duration uint32 // of this one
	clock    uint32
	last     time.Time
}

// packet reads one packet and appends what is over to done: the event it ends, and before that an event whose own
// end was lost.
func (d *digits) packet(h *rtp.Header, payload []byte, clock uint32, now time.Time, done []Digit) []Digit {
	if len(payload) < eventSize || clock == 0 {
		return done
	}
	event, end := payload[0], payload[1]&eventEnd != 0
	duration := uint32(binary.BigEndian.Uint16(payload[2:]))
	same := d.known && d.ssrc == h.SSRC
	switch {
	case same && h.Timestamp == d.stamp:
		if !d.running {
			return done // the end is sent three times
		}
		d.duration = max(d.duration, duration)
	case same && int32(h.Timestamp-d.stamp) < 0:
		return done // late, of an event that is over
	case same && d.running && event == d.event && d.duration == segmentFull && h.Timestamp == d.stamp+segmentFull:
		d.before += segmentFull
		d.stamp, d.duration = h.Timestamp, duration
	default:
		done = d.finish(done)
		*d = digits{known: true, running: true, ssrc: h.SSRC, stamp: h.Timestamp, event: event, duration: duration, clock: clock}
	}
	d.last = now
	if end {
		done = d.finish(done)
	}
	return done
}

// silent ends an event of which nothing was heard for a while.
func (d *digits) silent(now time.Time, done []Digit) []Digit {
	if d.running && now.Sub(d.last) >= eventSilent {
		done = d.finish(done)
	}
	return done
}

func (d *digits) finish(done []Digit) []Digit {
	if !d.running {
		return done
	}
	d.running = false
	digit := Digit{Event: d.event, Duration: time.Duration(d.before+d.duration) * time.Second / time.Duration(d.clock)}
	if int(d.event) < len(keys) {
		digit.Key = keys[d.event]
	}
	return append(done, digit)
}
