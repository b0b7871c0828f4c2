package obs

import "sync/atomic"

// Rate counts what happens by the second, for gauges that the family shows as "a second". The zero Rate is ready. Add
// may be called from anywhere; somebody calls Roll once a second.
type Rate struct {
	now     atomic.Int64 // bucket in use
	buckets [rateSeconds]atomic.Int64
}

const rateSeconds = 10

// Add counts one.
func (r *Rate) Add() { r.buckets[r.now.Load()].Add(1) }

// Roll begins the next second.
func (r *Rate) Roll() {
	next := (r.now.Load() + 1) % rateSeconds
	r.buckets[next].Store(0)
	r.now.Store(next)
}

// PerSecond is the mean of the last ten seconds, the one at hand among them.
func (r *Rate) PerSecond() float64 {
	sum := int64(0)
	for i := range r.buckets {
		sum += r.buckets[i].Load()
	}
	return float64(sum) / rateSeconds
}
