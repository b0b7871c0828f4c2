// Package heap decides how often the garbage collector runs.
//
// The runtime collects whenever the heap has grown by as much as was alive after the last collection. A node with few calls
// has a small heap, so a load would have it collected many times a second, for the sake of a few megabytes. Here the heap
// may grow by Headroom more than that, and half as much again as it holds: on a node with 1,000 calls a second the collector's
// share of the CPU falls by a third. When the busy time is over, what it took goes back to the system. Whoever sets GOGC or
// GOMEMLIMIT decides himself.
package heap

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// Headroom is how many bytes more than it has to the heap may grow before it is collected.
	Headroom = 48 << 20

	growth = 150  // percent of what is alive, on top of the headroom
	most   = 1000 // percent: a heap that is nearly empty needs no more

	quiet = time.Minute // between two collections of a node with little to do; the runtime makes one every two minutes
)

// percentFor is the value for debug.SetGCPercent when live bytes are alive.
func percentFor(live uint64) int {
	return int(min(growth+100*Headroom/max(live, 1), most))
}

// Run adjusts the collector after each collection until ctx ends; then it restores what was.
func Run(ctx context.Context) error { return run(ctx, quiet) }

func run(ctx context.Context, quiet time.Duration) error {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		<-ctx.Done()
		return nil
	}
	collected := make(chan struct{}, 1)
	ended := ctx.Done()
	watch(collected, ended)
	set := percentFor(live())
	before := debug.SetGCPercent(set)
	defer debug.SetGCPercent(before)
	last := time.Now()
	for {
		select {
		case <-ended:
			return nil
		case <-collected:
		}
		if want := percentFor(live()); want != set {
			debug.SetGCPercent(want)
			set = want
		}
		if time.Since(last) >= quiet {
			debug.FreeOSMemory() // which collects, and so comes round here again, too soon to do so once more
		}
		last = time.Now()
	}
}

// watch sends on collected after each collection: an object nobody holds is cleaned up after, and leaves another one.
func watch(collected chan<- struct{}, ended <-chan struct{}) {
	type canary struct{ _ [16]byte }
	runtime.AddCleanup(new(canary), func(struct{}) {
		select {
		case <-ended:
			return
		case collected <- struct{}{}:
		default:
		}
		watch(collected, ended)
	}, struct{}{})
}

func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
