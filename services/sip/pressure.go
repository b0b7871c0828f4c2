package sip

import (
	"context"
	gometrics "runtime/metrics"
	"sync/atomic"
	"time"

	"parley/internal/obs"
)

// pressure tells when the node has more to do than its processors can: goroutines that could run then wait for one. A
// phone repeats what is not answered within T1 (500 ms), which makes a slow node slower yet; so new calls are turned away
// before that, and those in progress keep their quality.
type pressure struct {
	limit  time.Duration // that nine of ten goroutines may wait; 0 = never too much
	high   atomic.Bool
	wait   atomic.Int64 // nanoseconds, of the last look
	before bool         // the last look found too much, too
	sample []gometrics.Sample
	counts []uint64 // of the last look
}

// pressureTick is how often is looked; a burst that is over by the next look does no harm.
const pressureTick = 100 * time.Millisecond

func newPressure(limit time.Duration) *pressure {
	p := &pressure{limit: limit, sample: []gometrics.Sample{{Name: "/sched/latencies:seconds"}}}
	p.look()
	return p
}

// look takes what has happened since the last look.
func (p *pressure) look() {
	gometrics.Read(p.sample)
	if p.sample[0].Value.Kind() != gometrics.KindFloat64Histogram {
		return // a runtime that does not tell
	}
	h := p.sample[0].Value.Float64Histogram()
	if p.counts == nil {
		p.counts = append(p.counts, h.Counts...)
		return
	}
	wait := waitOf(p.counts, h.Counts, h.Buckets, 0.9)
	copy(p.counts, h.Counts)
	p.took(wait)
}

// took judges a wait: twice too long is too much, once in bounds is enough to go on.
func (p *pressure) took(wait time.Duration) {
	p.wait.Store(int64(wait))
	over := p.limit > 0 && wait > p.limit
	p.high.Store(over && p.before)
	p.before = over
}

// waitOf is how long the given share of what was counted between before and after waited at most; 0 when nothing was.
func waitOf(before, after []uint64, buckets []float64, share float64) time.Duration {
	total := uint64(0)
	for i := range after {
		total += after[i] - before[i]
	}
	seen := uint64(0)
	for i := range after {
		if seen += after[i] - before[i]; total > 0 && float64(seen) >= share*float64(total) {
			return time.Duration(max(buckets[i], 0) * float64(time.Second)) // the bucket's lower end; the first one's is -Inf
		}
	}
	return 0
}

// watchPressure looks until ctx ends, and lets the health tell.
func (s *Service) watchPressure(ctx context.Context) {
	tick := time.NewTicker(pressureTick)
	defer tick.Stop()
	for was := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.pressure.look()
		}
		now := s.pressure.high.Load()
		if now != was {
			s.tellPressure(now)
		}
		was = now
	}
}

func (s *Service) tellPressure(high bool) {
	if !high {
		s.health.Set(checkPressure, obs.LevelPass, "")
		return
	}
	s.health.Set(checkPressure, obs.LevelDegraded, "more to do than the processors can: new calls get 503")
	s.log.Warn("overloaded: new calls get 503", "wait", time.Duration(s.pressure.wait.Load()), "calls", s.calls.Load())
}
