package treatment

import (
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// play presses the keys of a script, a second apart for each dot, and lets time go by at the end until the collection is over.
func play(t *testing.T, r Rules, script string) (*Collector, time.Duration) {
	t.Helper()
	now := began
	c := NewCollector(r, now)
	wait := func(until time.Time) {
		for !c.Done() {
			at, ok := c.Deadline()
			if !ok || at.After(until) {
				break
			}
			now = at
			c.Expire(now)
		}
		if !c.Done() {
			now = until
		}
	}
	for _, key := range []byte(script) {
		if key == '.' {
			wait(now.Add(time.Second))
			continue
		}
		c.Press(key, now)
	}
	wait(now.Add(time.Hour))
	return c, now.Sub(began)
}

func TestCollect(t *testing.T) {
	plain := Rules{Max: 4, Start: 5 * time.Second, Digit: 3 * time.Second, Total: 10 * time.Second}
	with := func(change func(*Rules)) Rules {
		r := plain
		change(&r)
		return r
	}
	for _, c := range []struct {
		name   string
		rules  Rules
		script string
		digits string
		last   string
		status Status
		took   time.Duration
	}{
		{"enough digits", plain, "12.34", "1234", "4", StatusNormal, time.Second},
		{"more keys than digits", plain, "12345", "1234", "4", StatusNormal, 0},
		{"nobody presses a key", plain, "", "", "", StatusTimeout, 5 * time.Second},
		{"somebody stops", plain, "1..2", "12", "2", StatusTimeout, 5 * time.Second},
		{"somebody is slow", with(func(r *Rules) { r.Digit = 0 }), "....1....2", "12", "2", StatusTimeout, 10 * time.Second},
		{"no time limits", with(func(r *Rules) { r.Start, r.Digit, r.Total = 0, 0, 0 }), "1" + strings.Repeat(".", 600) + "234", "1234", "4", StatusNormal, 10 * time.Minute},
		{"no digits are wanted", with(func(r *Rules) { r.Max = 0 }), "1", "", "", StatusNormal, 0},
		{"a key ends it", with(func(r *Rules) { r.Term = "#" }), "12#3", "12", "#", StatusNormal, 0},
		{"the key that ends it alone", with(func(r *Rules) { r.Term = "#" }), "#", "", "#", StatusNormal, 0},
		{"aborted", with(func(r *Rules) { r.Abort = "*" }), "12*3", "", "*", StatusAborted, 0},
		{"taken back", with(func(r *Rules) { r.Backspace = "*" }), "12*345", "1345", "5", StatusNormal, 0},
		{"taken back where nothing is", with(func(r *Rules) { r.Backspace = "*" }), "**1234", "1234", "4", StatusNormal, 0},
		{"begun anew", with(func(r *Rules) { r.Reset = "*" }), "123*4567", "4567", "7", StatusNormal, 0},
		{"ignored", with(func(r *Rules) { r.Ignore = "*#" }), "1*2#34", "1234", "4", StatusNormal, 0},
		{"ignored keys do not count as the first", with(func(r *Rules) { r.Ignore = "*" }), "..*....", "", "", StatusTimeout, 5 * time.Second},
		{"ignored goes before the rest", with(func(r *Rules) { r.Ignore, r.Abort, r.Term = "*", "*", "*" }), "1*234", "1234", "4", StatusNormal, 0},
		{"abort goes before term", with(func(r *Rules) { r.Abort, r.Term = "#", "#" }), "1#", "", "#", StatusAborted, 0},
		{"no keys of a telephone", plain, "1x 2ab34", "1234", "4", StatusNormal, 0},
		{"letters of a telephone", plain, "ABCD", "ABCD", "D", StatusNormal, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, took := play(t, c.rules, c.script)
			if got.Digits() != c.digits || got.Last() != c.last || got.Status() != c.status || took != c.took {
				t.Errorf("got %q, last %q, %s after %v, want %q, %q, %s after %v", got.Digits(), got.Last(), got.Status(), took, c.digits, c.last, c.status, c.took)
			}
		})
	}
}

func TestCancelledKeepsDigits(t *testing.T) {
	c := NewCollector(Rules{Max: 4}, began)
	c.Press('7', began)
	c.Cancel()
	c.Press('8', began)
	if c.Digits() != "7" || c.Status() != StatusCancelled {
		t.Errorf("got %q, %s", c.Digits(), c.Status())
	}
	if _, ok := c.Deadline(); ok {
		t.Error("what is over has a deadline")
	}
}

// A collection never has more digits than it may, holds only digits that were pressed, in their order, ends at the latest
// when its whole time is over, and does not change after its end.
func FuzzCollect(f *testing.F) {
	f.Add(uint8(4), uint8(5), uint8(3), uint8(10), "", "*", "", "", "#", "12.3#")
	f.Add(uint8(31), uint8(0), uint8(0), uint8(1), "1", "2", "3", "4", "5", "0.1.2.3.4.5")
	f.Fuzz(func(t *testing.T, most, start, digit, total uint8, ignore, abort, reset, back, term, script string) {
		r := Rules{Max: int(most), Start: time.Duration(start) * time.Second, Digit: time.Duration(digit) * time.Second,
			Total: time.Duration(total)*time.Second + time.Second, Ignore: ignore, Abort: abort, Reset: reset, Backspace: back, Term: term}
		now := began
		c := NewCollector(r, now)
		for _, key := range []byte(script) {
			before, digits := c.Status(), c.Digits()
			if key == '.' {
				now = now.Add(time.Second)
				c.Expire(now)
			} else {
				c.Press(key, now)
			}
			if before != "" && (c.Status() != before || c.Digits() != digits) {
				t.Fatalf("changed after its end: %q %s to %q %s", digits, before, c.Digits(), c.Status())
			}
			if len(c.Digits()) > r.Max {
				t.Fatalf("%d digits of %d", len(c.Digits()), r.Max)
			}
		}
		rest := script
		for _, d := range c.Digits() {
			_, after, ok := strings.Cut(rest, string(d))
			if !ok {
				t.Fatalf("%q were not pressed in this order in %q", c.Digits(), script)
			}
			rest = after
		}
		if at, ok := c.Deadline(); ok == c.Done() || ok && at.After(began.Add(r.Total)) {
			t.Fatalf("deadline %v, %v of a collection with status %q", at, ok, c.Status())
		}
		c.Expire(began.Add(r.Total))
		if !c.Done() {
			t.Fatal("it goes on when its time is over")
		}
	})
}
