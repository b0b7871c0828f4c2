package media

import (
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
	sound *dtmf.Sound // of the key at hand, which is as long as its events would be
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
	if ok && p.Marker {
		var err error
		if k.sound, err = dtmf.NewSound(audio.Narrow, dtmf.Keys[p.Payload[0]:p.Payload[0]+1], dtmf.DefaultShape()); err != nil {
			k.writer.Drop() // not reached: the writer takes nothing but keys
			return
		}
	}
	n := 0
	if k.sound != nil {
		n, _ = k.sound.Read(frame) // at its end it gives less
	}
	clear(frame[n:])
	k.take(frame)
	if k.waiting {
		l.speakLocked(&k.speaker, now)
	}
}

// releaseLocked lets go of the keys.
func (l *Leg) releaseLocked() {
	if l.keys != nil {
		l.keys.turn.Leave()
		l.keys = nil
	}
}
