package dtmf

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"
)

const (
	eventSize   = 4      // bytes of a telephone-event payload
	eventEnd    = 0x80   // its last packets carry this bit
	segmentFull = 0xFFFF // a longer event goes on in a new segment (RFC 4733 §2.5.1.3)

	// Silent is how long nothing is heard of an event until it counts as over, its end lost. RFC 4733 §2.6.1 says three
	// packet intervals at least; senders that repeat events every 50 ms are the slowest that are known.
	Silent = 300 * time.Millisecond

	// lateFor is how old a packet can be that the network has kept. A timestamp that is older is of a sender which began anew.
	lateFor = 10 * time.Second
)

// Reader notices the events of one side, each once, however many packets tell of it. The zero value is ready.
type Reader struct {
	known    bool // ssrc and stamp are of an event, running or over
	running  bool
	lost     bool // it is over since nothing was heard of it, not since its end came
	ssrc     uint32
	stamp    uint32 // RTP timestamp of the event's (last) segment
	event    uint8
	before   uint32 // duration of earlier segments, clock units
	duration uint32 // of this one
	clock    uint32
	last     time.Time
}

// Packet reads one packet and appends what is over to done: the event it ends, and before that an event whose own
// end was lost.
func (r *Reader) Packet(h *rtp.Header, payload []byte, clock uint32, now time.Time, done []Digit) []Digit {
	if len(payload) < eventSize || clock == 0 {
		return done
	}
	event, end := payload[0], payload[1]&eventEnd != 0
	duration := uint32(binary.BigEndian.Uint16(payload[2:]))
	same := r.known && r.ssrc == h.SSRC
	switch {
	case same && h.Timestamp == r.stamp:
		if !r.running {
			return done // the end is sent three times
		}
		r.duration = max(r.duration, duration)
	case same && r.late(h.Timestamp):
		return done // of an event that is over
	case same && r.continues(event, h.Timestamp):
		if !r.running {
			// The event was told already, when its packets stopped coming. It is not told twice.
			r.stamp, r.last = h.Timestamp, now
			return done
		}
		r.before += h.Timestamp - r.stamp
		r.stamp, r.duration = h.Timestamp, duration
	default:
		done = r.finish(done)
		*r = Reader{known: true, running: true, ssrc: h.SSRC, stamp: h.Timestamp, event: event, duration: duration, clock: clock}
	}
	r.last = now
	if end {
		done = r.finish(done)
	}
	return done
}

// late tells whether a packet belongs to an earlier event than the last one.
func (r *Reader) late(stamp uint32) bool {
	behind := int64(int32(r.stamp - stamp))
	return behind > 0 && behind <= int64(r.clock)*int64(lateFor/time.Second)
}

// continues tells whether a packet is of a later segment of a long event; segments between may be lost. A new press of
// the key would have to begin exactly a segment's 8.2 s after the last one, whose ends are all lost, to be taken for it.
func (r *Reader) continues(event uint8, stamp uint32) bool {
	ahead := stamp - r.stamp
	return (r.running || r.lost) && event == r.event && ahead%segmentFull == 0 && ahead <= 8*segmentFull
}

// Silence ends an event of which nothing was heard for [Silent], and appends it to done. It is to be called now and then,
// whether packets come or not.
func (r *Reader) Silence(now time.Time, done []Digit) []Digit {
	if r.running && now.Sub(r.last) >= Silent {
		done = r.finish(done)
		r.lost = true
	}
	return done
}

func (r *Reader) finish(done []Digit) []Digit {
	if !r.running {
		return done
	}
	r.running = false
	held := time.Duration(uint64(r.before)+uint64(r.duration)) * time.Second / time.Duration(r.clock)
	return append(done, digit(r.event, held))
}
