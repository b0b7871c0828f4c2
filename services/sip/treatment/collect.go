package treatment

import (
	"strings"
	"time"
)

// Rules say how digits are collected. A key is looked for in the sets of keys in this order: Ignore, Abort, Reset,
// Backspace, Term; one that is in none of them is a digit.
type Rules struct {
	Max       int           // digits; the last one ends the collection. 0 = nothing is waited for
	Start     time.Duration // until the first key; 0 = for ever
	Digit     time.Duration // from key to key; 0 = for ever
	Total     time.Duration // for all; 0 = for ever
	Ignore    string        // keys that do nothing
	Abort     string        // keys that end the collection without digits
	Reset     string        // keys that take back all digits
	Backspace string        // keys that take back the last digit
	Term      string        // keys that end the collection
}

// Status is how a collection or a recording ended, the COMPLETION_STATUS of EventTreatmentEnd.
type Status string

// The ways to end.
const (
	StatusNormal    Status = "NORMAL"    // enough digits, or a key of TERM_DIGITS
	StatusTimeout   Status = "TIMEOUT"   // nobody pressed a key in time
	StatusAborted   Status = "ABORTED"   // a key of ABORT_DIGITS
	StatusCancelled Status = "CANCELLED" // another treatment, or the end of the call
	StatusFailed    Status = "FAILED"    // what was to be played or recorded could not be
)

// Collector collects digits. It is a value that keys and time are told to; whoever does calls [Collector.Expire] at
// [Collector.Deadline].
type Collector struct {
	rules  Rules
	digits []byte
	last   byte // key that was pressed last and counted; 0 = none
	keys   int
	begun  time.Time
	moved  time.Time // of the last key
	status Status    // "" = going on
}

// NewCollector begins a collection.
func NewCollector(r Rules, now time.Time) *Collector {
	c := &Collector{rules: r, begun: now, moved: now}
	if r.Max <= 0 {
		c.status = StatusNormal
	}
	return c
}

// Done tells whether the collection is over.
func (c *Collector) Done() bool { return c.status != "" }

// Status is how it ended; "" while it goes on.
func (c *Collector) Status() Status { return c.status }

// Digits are those collected; of an aborted collection there are none.
func (c *Collector) Digits() string { return string(c.digits) }

// Last is the key that was pressed last, be it a digit or one that ended the collection; "" = none.
func (c *Collector) Last() string {
	if c.last == 0 {
		return ""
	}
	return string(c.last)
}

// Press is a key: 0 to 9, *, #, A to D. Others, and those after the end, are ignored.
func (c *Collector) Press(key byte, now time.Time) {
	if c.Done() || !IsKey(key) || in(c.rules.Ignore, key) {
		return
	}
	c.keys++
	c.last, c.moved = key, now
	switch {
	case in(c.rules.Abort, key):
		c.digits, c.status = nil, StatusAborted
	case in(c.rules.Reset, key):
		c.digits = c.digits[:0]
	case in(c.rules.Backspace, key):
		c.digits = c.digits[:max(len(c.digits)-1, 0)]
	case in(c.rules.Term, key):
		c.status = StatusNormal
	default:
		c.digits = append(c.digits, key)
		if len(c.digits) >= c.rules.Max {
			c.status = StatusNormal
		}
	}
}

// Deadline is when the collection ends unless a key is pressed; false = never, or it is over.
func (c *Collector) Deadline() (at time.Time, ok bool) {
	if c.Done() {
		return at, false
	}
	sooner := func(from time.Time, d time.Duration) {
		if d > 0 && (!ok || from.Add(d).Before(at)) {
			at, ok = from.Add(d), true
		}
	}
	if c.keys == 0 {
		sooner(c.begun, c.rules.Start)
	} else {
		sooner(c.moved, c.rules.Digit)
	}
	sooner(c.begun, c.rules.Total)
	return at, ok
}

// Expire ends the collection if its time has come.
func (c *Collector) Expire(now time.Time) {
	if at, ok := c.Deadline(); ok && !now.Before(at) {
		c.status = StatusTimeout
	}
}

// Cancel ends the collection from outside; what was collected stays.
func (c *Collector) Cancel() {
	if !c.Done() {
		c.status = StatusCancelled
	}
}

// IsKey tells whether a key is one of a telephone (RFC 4733 §3.2).
func IsKey(key byte) bool {
	return key >= '0' && key <= '9' || key == '*' || key == '#' || key >= 'A' && key <= 'D'
}

func in(set string, key byte) bool { return strings.IndexByte(set, key) >= 0 }
