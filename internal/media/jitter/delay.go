package jitter

import "time"

// Bounds of the delay, and what it begins with before anything was measured.
const (
	MinDelay   = 20 * time.Millisecond
	MaxDelay   = 200 * time.Millisecond
	startDelay = 40 * time.Millisecond
	margin     = 10 * time.Millisecond // more than the latest packet needed, since the next may be later
)

// jump is a change of the transit time that no network makes.
const jump = time.Second

// What the delay is judged by: the last few windows, so that a bad moment is forgotten after ten seconds.
const (
	windows = 4
	window  = 2500 * time.Millisecond
)

// transits follows how long packets take. The time itself is unknown, as the clocks of sender and receiver are not the
// same, but the quickest packet tells what is on top of it.
type transits struct {
	spans [windows]struct{ min, max time.Duration }
	used  int // of spans; the first is the newest
	until time.Time
}

// add takes the transit of a packet; it returns false, and takes nothing, when that is of another clock.
func (t *transits) add(transit time.Duration, now time.Time) bool {
	if t.used == 0 {
		t.used, t.until = 1, now.Add(window)
		t.spans[0].min, t.spans[0].max = transit, transit
		return true
	}
	if off := transit - t.quickest(); off > jump || off < -jump {
		return false
	}
	if now.After(t.until) {
		copy(t.spans[1:], t.spans[:windows-1])
		t.used, t.until = min(t.used+1, windows), now.Add(window)
		t.spans[0].min, t.spans[0].max = transit, transit
	}
	s := &t.spans[0]
	s.min, s.max = min(s.min, transit), max(s.max, transit)
	return true
}

// quickest is the shortest transit of late.
func (t *transits) quickest() time.Duration {
	least := t.spans[0].min
	for _, s := range t.spans[1:max(1, t.used)] {
		least = min(least, s.min)
	}
	return least
}

// wanted is how long the quickest packet should wait, for the slowest to be in time.
func (t *transits) wanted() time.Duration {
	most := t.spans[0].max
	for _, s := range t.spans[1:max(1, t.used)] {
		most = max(most, s.max)
	}
	return max(MinDelay, min(most-t.quickest()+margin, MaxDelay))
}

// settled tells whether there is enough to judge by.
func (t *transits) settled() bool { return t.used == windows }
