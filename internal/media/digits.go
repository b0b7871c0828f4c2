package media

import (
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/dtmf"
)

// telephoneEvent is the encoding's name in SDP.
const telephoneEvent = dtmf.Encoding

// Way is how a key came to us.
type Way uint8

// The ways.
const (
	ByEvent     Way = iota // in RTP, RFC 4733
	BySignaling            // in SIP INFO, see [Leg.Told]
	ByTone                 // as two tones in the sound, see [Leg.HearTones]
	ways
)

func (w Way) String() string { return [...]string{"rfc4733", "info", "inband"}[w] }

// Digit is a key that a peer pressed, or another telephone-event.
type Digit struct {
	dtmf.Digit
	How Way
}

// echoFor is how long after a key was told the same press may be told again in another way: tones are heard behind a jitter
// buffer, an INFO may be sent once more, and an event is told when the key is released.
const echoFor = 1200 * time.Millisecond

// echoes tells presses that came in several ways from several presses. Some phones and many gateways send both events and
// tones, or both events and INFO.
type echoes struct {
	last [8]struct {
		Digit
		at    time.Time // when it was told
		again [ways]bool
	}
	next int
}

// known tells whether a digit is one that was told already, since it came in another way. Each press can have one echo in
// each other way, so that a key that is pressed twice quickly is two.
func (e *echoes) known(d Digit, now time.Time) bool {
	if d.Key == 0 {
		return false
	}
	for i := range e.last { // the oldest first
		l := &e.last[(e.next+i)%len(e.last)]
		if l.Key == d.Key && l.How != d.How && !l.again[d.How] && now.Sub(l.at) < echoFor+max(l.Duration, d.Duration) {
			l.again[d.How] = true
			return true
		}
	}
	l := &e.last[e.next]
	l.Digit, l.at, l.again = d, now, [ways]bool{}
	e.next = (e.next + 1) % len(e.last)
	return false
}

// Told takes a key that the peer's signalling told of (SIP INFO). The Digit hook gets it as all others, unless the same press
// came in another way already.
func (l *Leg) Told(d dtmf.Digit) {
	now := l.plane.now()
	l.mu.Lock()
	if !l.closed {
		l.digitLocked(d, BySignaling, now)
	}
	notes := l.takeNotes()
	l.mu.Unlock()
	l.tell(notes)
}

// HearTones begins or ends looking for keys in the sound of the peer. That costs what a listener costs, and now and then a
// voice sounds like a key, so it is for peers that know no telephone-events. A press that comes as both is told once.
func (l *Leg) HearTones(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch on = on && !l.closed; {
	case on && l.toned == nil:
		if d, err := dtmf.NewDetector(audio.Narrow, l.heardTone); err == nil { // one of the rates that it knows
			l.toned = l.listenLocked(&l.heardBy, d)
		}
	case !on && l.toned != nil:
		l.toned.leaveLocked()
		l.toned = nil
	}
}

// heardTone takes a key that was heard, on the clock's goroutine.
func (l *Leg) heardTone(d dtmf.Digit) {
	now := l.plane.now()
	l.mu.Lock()
	if l.toned != nil {
		l.digitLocked(d, ByTone, now)
	}
	notes := l.takeNotes()
	l.mu.Unlock()
	l.tell(notes)
}

// digitLocked remembers a digit until the lock is released.
func (l *Leg) digitLocked(d dtmf.Digit, how Way, now time.Time) {
	if digit := (Digit{d, how}); !l.echoes.known(digit, now) {
		l.notes = append(l.notes, note{digit: digit})
	}
}

// noteDigits remembers digits that came as events.
func (l *Leg) noteDigits(digits []dtmf.Digit, now time.Time) {
	for _, d := range digits {
		l.digitLocked(d, ByEvent, now)
	}
}
