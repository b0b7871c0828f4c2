package sip

import (
	"math"
	"testing"
	"time"
)

func TestWaitOf(t *testing.T) {
	buckets := []float64{math.Inf(-1), 0.001, 0.1, 0.5, math.Inf(1)} // four buckets between five bounds
	for name, c := range map[string]struct {
		before, after []uint64
		want          time.Duration
	}{
		"nothing happened": {[]uint64{5, 5, 5, 5}, []uint64{5, 5, 5, 5}, 0},
		"all at once":      {[]uint64{5, 0, 0, 0}, []uint64{105, 0, 0, 0}, 0},
		"one of ten late":  {[]uint64{0, 0, 0, 7}, []uint64{0, 90, 0, 17}, time.Millisecond},
		"two of ten late":  {[]uint64{0, 0, 0, 7}, []uint64{0, 80, 0, 27}, 500 * time.Millisecond},
		"old ones are old": {[]uint64{0, 0, 0, 1000}, []uint64{10, 0, 0, 1000}, 0},
	} {
		if got := waitOf(c.before, c.after, buckets, 0.9); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A burst is let pass; what lasts is not; and the first good moment ends it.
func TestPressureJudges(t *testing.T) {
	p := newPressure(250 * time.Millisecond)
	for i, step := range []struct {
		wait time.Duration
		high bool
	}{
		{time.Millisecond, false}, {time.Second, false}, {time.Millisecond, false},
		{time.Second, false}, {time.Second, true}, {300 * time.Millisecond, true}, {200 * time.Millisecond, false},
	} {
		if p.took(step.wait); p.high.Load() != step.high {
			t.Errorf("step %d, waiting %v: high is %v", i, step.wait, p.high.Load())
		}
	}
	off := newPressure(0)
	off.took(time.Hour)
	if off.took(time.Hour); off.high.Load() {
		t.Error("without a limit nothing is too much")
	}
}

// The runtime tells: goroutines that run make counts.
func TestPressureLooks(t *testing.T) {
	p := newPressure(time.Hour)
	done := make(chan struct{})
	for range 100 {
		go func() { done <- struct{}{} }()
	}
	for range 100 {
		<-done
	}
	before := append([]uint64(nil), p.counts...)
	p.look()
	grown := false
	for i := range before {
		grown = grown || p.counts[i] > before[i]
	}
	if !grown {
		t.Error("a hundred goroutines ran and none was counted")
	}
}
