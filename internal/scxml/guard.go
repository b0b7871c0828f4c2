package scxml

import (
	"fmt"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/dop251/goja"
)

// guard watches one script while it runs. Guards are pooled with their timers, so a script costs no allocation.
type guard struct {
	mu      sync.Mutex // guards what follows
	rt      *goja.Runtime
	timer   *time.Timer
	since   time.Time
	limit   time.Duration
	growth  uint64
	heap    uint64 // of the process, at the first look
	reason  error
	running bool
}

// look is how often a running script is looked at. Most scripts are over before the first time.
const look = 5 * time.Millisecond

var guards = sync.Pool{New: func() any {
	g := &guard{}
	g.timer = time.AfterFunc(time.Hour, g.tick)
	g.timer.Stop()
	return g
}}

func (e *Engine) guard(rt *goja.Runtime) *guard {
	g := guards.Get().(*guard)
	g.mu.Lock()
	g.rt, g.limit, g.growth, g.heap, g.reason, g.running = rt, e.opts.Limits.StepTime, uint64(e.opts.Limits.GrowthBytes), 0, nil, true
	g.since = time.Now()
	g.timer.Reset(min(look, g.limit))
	g.mu.Unlock()
	return g
}

// tick interrupts the script when its time is up, or when the heap of the process has grown too much since it began.
// Go cannot tell whose growth it is; a script that has been running for so long is the first suspect.
func (g *guard) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.running {
		return
	}
	heap := heapBytes()
	switch took := time.Since(g.since); {
	case took >= g.limit:
		g.stop(fmt.Errorf("it ran for more than %v", g.limit))
	case g.heap == 0:
		g.heap = heap
		g.timer.Reset(min(look, g.limit-took))
	case heap > g.heap+g.growth:
		g.stop(fmt.Errorf("memory grew by more than %d MB while it ran", g.growth>>20))
	default:
		g.timer.Reset(min(look, g.limit-took))
	}
}

func (g *guard) stop(why error) {
	g.reason = why
	g.rt.Interrupt(why)
}

// release ends the watch and tells whether the script ran for long, and why it was interrupted.
func (g *guard) release() (long bool, why error) {
	g.mu.Lock()
	rt := g.rt
	long, why = g.heap > 0, g.reason
	g.rt, g.running = nil, false
	g.timer.Stop()
	g.mu.Unlock()
	if why != nil {
		rt.ClearInterrupt()
	}
	guards.Put(g)
	return long, why
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
