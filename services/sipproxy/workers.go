package sipproxy

import (
	"context"
	"runtime"
	"sync"

	"parley/internal/contract"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// maxIdleWorkers is how many goroutines wait for the next REGISTER; a burst has as many as it needs besides.
const maxIdleWorkers = 256

// workerStack is what a REGISTER needs at its deepest, in bytes.
const workerStack = 16 << 10

// registerJob is one REGISTER on its way to the registrar.
type registerJob struct {
	flow transport.Flow
	m    *wire.Message
	req  *contract.RegisterRequest
}

// workers asks the registrar on goroutines that are kept. A new goroutine begins with a small stack, and a REGISTER goes
// deep enough to have it copied twice; that cost more than anything else we did with the request.
type workers struct {
	jobs chan registerJob // no buffer: a job is taken by one who waits, or starts a worker of its own
	idle chan struct{}    // a place for each worker that may wait
	wg   sync.WaitGroup
	run  func(registerJob)
}

func newWorkers(run func(registerJob)) *workers {
	return &workers{jobs: make(chan registerJob), idle: make(chan struct{}, maxIdleWorkers), run: run}
}

// do runs j soon, and does not wait for it. Workers that wait end with ctx.
func (w *workers) do(ctx context.Context, j registerJob) {
	select {
	case w.jobs <- j:
	default:
		w.wg.Go(func() { w.work(ctx, j) })
	}
}

func (w *workers) work(ctx context.Context, j registerJob) {
	// The collector halves the stack of a goroutine that uses less than a quarter of it, and the next REGISTER grows it
	// again. An idle worker that uses this much keeps what it has.
	var room [workerStack / 4]byte
	defer runtime.KeepAlive(&room)
	for {
		w.run(j)
		select {
		case w.idle <- struct{}{}:
		default:
			return // enough wait already
		}
		select {
		case j = <-w.jobs:
			<-w.idle
		case <-ctx.Done():
			<-w.idle
			return
		}
	}
}

// wait returns when every worker has ended.
func (w *workers) wait() { w.wg.Wait() }
