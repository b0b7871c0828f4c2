package media

import (
	"math"
	"strings"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/dtmf"
	"parley/internal/media/pace"
)

// presser presses keys for the peer: as telephone-events (RFC 4733), or as tones where the peer knows none. Meanwhile it hears
// nothing else. All of it is guarded by the leg's lock.
type presser struct {
	leg    *Leg
	turn   *pace.Member
	writer dtmf.Writer
	stamp  uint32 // of the tick
	began  bool

	// For tones.
	speaker
	frame [audio.Narrow * pace.Tick / time.Second]int16
	ended bool // the tone of the key at hand; the pause has begun
	at    int  // samples of it so far
}

// Press sends keys (0 to 9, *, #, A to D) to the peer, after those that are being sent: 100 ms each, and as long a pause. They
// wait while the peer cannot hear them. The error says what is no key, or that too many wait.
func (l *Leg) Press(keys string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pressLocked(keys)
}

func (l *Leg) pressLocked(keys string) error {
	if l.closed {
		return ErrClosed
	}
	k := l.keys
	if k == nil {
		k = &presser{leg: l}
	}
	if err := k.writer.Press(keys); err != nil {
		return err
	}
	if l.keys == nil && k.writer.Busy() {
		l.keys = k
		k.turn = l.plane.clock.Join(pace.Play, k)
	}
	return nil
}

// Tick is the presser's turn.
func (k *presser) Tick(time.Time) {
	l := k.leg
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys != k || !l.hearsLocked() {
		return
	}
	now := l.plane.now()
	clock := uint32(8000)
	if best, ok := bestOf(l.agreed.Send); ok {
		clock = best.codec.Clock()
	}
	if f, ok := eventOf(l.agreed.Send, clock); ok {
		k.event(f.Type, f.Clock, now)
	} else {
		k.tone(now)
	}
	if !k.writer.Busy() {
		l.releaseLocked()
	}
}

// event sends the packet of this tick, if there is one.
func (k *presser) event(payload uint8, clock uint32, now time.Time) {
	out := &k.leg.out
	if !k.began {
		k.began, k.stamp = true, out.now(clock, now)
	}
	step := clock / uint32(time.Second/pace.Tick)
	if p, ok := k.writer.Next(k.stamp, step, clock); ok {
		k.leg.emitLocked(payload, p.Marker, p.Stamp, clock, p.Payload[:], now)
		out.stamp, out.at = k.stamp, now // what follows is later than this, and not than the beginning of the event
	}
	k.stamp += step
}

// tone sends a packet of sound, with the timing that the events would have had.
func (k *presser) tone(now time.Time) {
	l := k.leg
	if k.agree(&l.agreed, l.agreement, audio.Narrow) != nil {
		k.writer.Drop() // there is no sound that the peer understands either
		return
	}
	if k.waiting {
		l.speakLocked(&k.speaker, now)
		return
	}
	frame := k.frame[:]
	p, ok := k.writer.Next(k.stamp, uint32(len(frame)), audio.Narrow)
	k.stamp += uint32(len(frame))
	if p.Marker {
		k.at, k.ended = 0, false
	}
	clear(frame)
	if ok && !k.ended {
		dual(frame, int(p.Payload[0]), k.at)
		k.at += len(frame)
		k.ended = p.Payload[1]&0x80 != 0
	}
	k.take(frame)
	if k.waiting {
		l.speakLocked(&k.speaker, now)
	}
}

// Frequencies of the rows and columns of a keypad, in Hz (ITU-T Q.23), and how loud each is: -10 dB of the loudest sine.
var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
)

const loud = 10362

// dual writes the two frequencies of an event, at samples into it.
func dual(dst []int16, event, at int) {
	const keypad = "123A456B789C*0#D"
	if event >= len(dtmf.Keys) {
		return
	}
	place := strings.IndexByte(keypad, dtmf.Keys[event])
	row, column := rows[place/4], columns[place%4]
	for i := range dst {
		turn := 2 * math.Pi * float64(at+i) / audio.Narrow
		dst[i] = int16(loud * (math.Sin(row*turn) + math.Sin(column*turn)))
	}
}

// releaseLocked lets go of the keys.
func (l *Leg) releaseLocked() {
	if l.keys != nil {
		l.keys.turn.Leave()
		l.keys = nil
	}
}
