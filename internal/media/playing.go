package media

import (
	"errors"
	"io"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/pace"
)

// What ends a source before its own end, as done of [Leg.Play] hears it.
var (
	ErrStopped  = errors.New("playing was stopped")
	ErrReplaced = errors.New("something else is played instead")
	ErrClosed   = errors.New("the leg is closed")
)

// player is a source that the peer of a leg hears.
type player struct {
	leg    *Leg
	source audio.Source
	done   func(error)
	turn   *pace.Member

	// Guarded by the leg's lock.
	busy bool // its turn is going on
	over bool
	err  error

	// Of the clock's goroutine.
	speaker
	frame []int16
	ended error // what the source ended with
}

// Play lets the peer hear a source instead of what the joined leg says, until the source ends, stop is called or
// something else is played. It is coded in the best format the peer takes, and goes on over a re-INVITE that changes it.
// While nobody can hear it the source waits: before there is an address to send to and keys to encrypt with, and while
// the peer holds.
//
// done, which may be nil, is called once, without locks and mostly from the clock's goroutine, so it must not wait: with
// nil at the end of the source, with its error, or with ErrStopped, ErrReplaced or ErrClosed. After that the source is not
// read any more, while stop may return before.
func (l *Leg) Play(source audio.Source, done func(error)) (stop func()) {
	p := &player{leg: l, source: source, done: done, frame: make([]int16, audio.Frame(source.Rate()))}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		p.over, p.err = true, ErrClosed
		p.tell()
		return func() {}
	}
	before := l.player
	tell := l.endLocked(before, ErrReplaced)
	l.player = p
	p.turn = l.plane.clock.Join(pace.Play, p)
	l.mu.Unlock()
	if tell {
		before.tell()
	}
	return func() { p.end(ErrStopped) }
}

// end ends the source early.
func (p *player) end(err error) {
	p.leg.mu.Lock()
	tell := p.leg.endLocked(p, err)
	p.leg.mu.Unlock()
	if tell {
		p.tell()
	}
}

// endLocked ends a player, and tells whether the caller has to call its tell: its turn does, if it has one just now.
func (l *Leg) endLocked(p *player, err error) (tell bool) {
	if p == nil || p.over {
		return false
	}
	p.over, p.err = true, err
	if l.player == p {
		l.player = nil
	}
	p.turn.Leave()
	return !p.busy
}

func (p *player) tell() {
	if p.done != nil {
		p.done(p.err)
	}
}

// Tick is the player's turn: it reads a frame, and sends a packet when there is enough for one. The source is read without
// the leg's lock, since it is not ours.
func (p *player) Tick(time.Time) {
	l := p.leg
	l.mu.Lock()
	if p.over {
		l.mu.Unlock()
		return
	}
	p.busy = true
	hears, err := l.hearsLocked(), error(nil)
	if !hears {
		p.talking = false
	} else {
		err = p.agree(&l.agreed, l.agreement, p.source.Rate())
	}
	l.mu.Unlock()

	if hears && err == nil && !p.waiting && p.ended == nil {
		p.read()
	}

	l.mu.Lock()
	if p.waiting && !p.over {
		switch {
		case l.keys != nil:
			p.waiting, p.talking = false, false // the peer hears a key instead
		case p.generation == l.agreement && l.hearsLocked():
			l.speakLocked(&p.speaker, l.plane.now())
		}
	}
	switch {
	case err != nil:
		l.endLocked(p, err)
	case errors.Is(p.ended, io.EOF) && !p.waiting:
		l.endLocked(p, nil)
	case p.ended != nil && !p.waiting:
		l.endLocked(p, p.ended)
	}
	p.busy = false
	over := p.over
	l.mu.Unlock()
	if over {
		p.tell()
	}
}

// read takes a frame from the source.
func (p *player) read() {
	n, err := p.source.Read(p.frame)
	if n > 0 {
		p.take(p.frame[:n])
	}
	if err != nil {
		p.ended = err
		p.flush()
	}
}
