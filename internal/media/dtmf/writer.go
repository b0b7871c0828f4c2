package dtmf

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	// MaxQueue is how many keys can wait to be sent.
	MaxQueue = 128

	// Held and Pause are how long a key is pressed and how long nothing is afterwards. Q.24 asks for 40 ms of each at
	// least; gateways that make sound of it again are glad of more.
	Held  = 100 * time.Millisecond
	Pause = 100 * time.Millisecond

	ends   = 3  // the last packet is sent three times (RFC 4733 §2.5.1.4)
	volume = 10 // -dBm0, as loud as a phone presses keys
)

// Packet is one packet of an event, for the RTP header and the payload.
type Packet struct {
	Payload [eventSize]byte
	Stamp   uint32 // RTP timestamp: that of the event's beginning
	Marker  bool   // of the first packet (RFC 4733 §2.5.1.1)
}

// Writer gives the packets of keys that are to be pressed, one a tick of the pacing clock. The zero value has nothing to send.
type Writer struct {
	queue [MaxQueue]press
	first int
	len   int

	on    bool
	stamp uint32 // of the segment
	full  uint32 // duration of earlier segments
	done  uint32 // duration so far, earlier segments included
	ended int    // packets with the end bit so far
	pause uint32 // what is left of the pause after the last key, clock units
}

type press struct {
	event uint8
	held  time.Duration
}

// Press has keys sent, one after the other, after those that wait: of [Keys], letters may be small. None of them is
// sent if one of them is no key, or if there are too many.
func (w *Writer) Press(keys string) error {
	if len(keys) > MaxQueue-w.len {
		return fmt.Errorf("cannot press %d keys while %d wait: %d at most", len(keys), w.len, MaxQueue)
	}
	for i := range len(keys) {
		if _, ok := event(keys[i]); !ok {
			return fmt.Errorf("cannot press %q, a phone has the keys %s", keys[i], Keys)
		}
	}
	for i := range len(keys) {
		code, _ := event(keys[i])
		w.push(press{code, Held})
	}
	return nil
}

// Send has an event sent by its code, for as long as it is to last. It tells whether there was room for it.
func (w *Writer) Send(event uint8, held time.Duration) bool {
	if w.len == MaxQueue {
		return false
	}
	w.push(press{event, held})
	return true
}

func (w *Writer) push(p press) {
	w.queue[(w.first+w.len)%MaxQueue] = p
	w.len++
}

// Busy tells whether anything is being sent or waits.
func (w *Writer) Busy() bool { return w.len > 0 || w.pause > 0 }

// Drop forgets the keys that wait. The one that is being sent comes to its end.
func (w *Writer) Drop() {
	if w.on {
		w.len = 1
	} else {
		w.len = 0
	}
}

// Next is called every tick. stamp is the RTP timestamp of the tick, step its length, both in units of the clock of
// telephone-events, which is that of the codec. If it gives a packet, that is what the tick sends, instead of sound.
func (w *Writer) Next(stamp, step, clock uint32) (p Packet, ok bool) {
	if w.pause > 0 {
		w.pause -= min(step, w.pause)
		return p, false
	}
	if w.len == 0 {
		return p, false
	}
	key := w.queue[w.first]
	if !w.on {
		w.on, w.stamp, w.full, w.done, w.ended = true, stamp, 0, 0, 0
		p.Marker = true
	}
	if w.ended == 0 {
		if w.done-w.full >= segmentFull { // RFC 4733 §2.5.1.3: the last report of a segment says that it is full
			w.full += segmentFull
			w.stamp += segmentFull
		}
		w.done += step
	}
	p.Stamp = w.stamp
	p.Payload = [eventSize]byte{key.event, volume}
	binary.BigEndian.PutUint16(p.Payload[2:], uint16(min(w.done-w.full, segmentFull)))
	if time.Duration(w.done)*time.Second >= key.held*time.Duration(clock) {
		p.Payload[1] |= eventEnd
		w.ended++
	}
	if w.ended == ends {
		w.on = false
		w.first = (w.first + 1) % MaxQueue
		w.len--
		w.pause = uint32(Pause * time.Duration(clock) / time.Second)
		w.pause -= min(w.pause, (ends-1)*step) // the repeated ends were silent already
	}
	return p, true
}
