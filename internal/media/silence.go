package media

import (
	"time"

	"parley/internal/media/sdp"
)

// Watch has the Silence hook called when the peer has sent neither RTP nor RTCP for d, from now on; see Idle for when that
// counts. It is called up to a quarter of a second late. 0 ends it.
func (l *Leg) Watch(d time.Duration) {
	now := l.plane.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = d
	l.expectFrom(now)
}

// Idle is for how long the peer has sent neither RTP nor RTCP. It is 0 while it need not send or is not heard, and starts
// anew when that ends, when the peer gets another address, and with Watch.
func (l *Leg) Idle() time.Duration {
	now := l.plane.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.talkingLocked() {
		return 0
	}
	return l.idle(now)
}

// talkingLocked tells whether the peer is to send and to hear. Only then is silence a sign of anything: a phone that
// holds may say that it sends, and have no music.
func (l *Leg) talkingLocked() bool { return l.agreed.Direction == sdp.SendRecv }

// expectFrom begins a new time of waiting for the peer.
func (l *Leg) expectFrom(now time.Time) { l.expected, l.silent = now, false }

// idle is for how long the peer has been silent when it should have been heard.
func (l *Leg) idle(now time.Time) time.Duration {
	since := l.heard
	if l.expected.After(since) {
		since = l.expected
	}
	return now.Sub(since)
}

// sweep looks for what is noticed by nothing happening, and sends the reports that are due.
func (l *Leg) sweep(now time.Time) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.noteDigits(l.digits.Silence(now, nil), now)
	if l.watch > 0 && l.talkingLocked() && !l.silent {
		if idle := l.idle(now); idle >= l.watch {
			l.silent = true
			l.notes = append(l.notes, note{silence: idle})
		}
	}
	if l.controlTargetLocked().IsValid() && l.stream.Due(now) {
		l.sayLocked(l.stream.WriteRTCP(l.made[:0], now))
	}
	notes := l.takeNotes()
	l.mu.Unlock()
	l.tell(notes)
}
