package warm

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// stack is what a job needs at its deepest, in bytes.
const stack = 16 << 10

// patience is how long a goroutine waits for its next job, so that none is left of a busy hour.
const patience = time.Minute

// Pool runs jobs of one kind. Its methods may be called from anywhere.
type Pool[T any] struct {
	run  func(T)
	jobs chan T        // no buffer: a job is taken by one who waits, or starts a goroutine of its own
	idle chan struct{} // a place for each goroutine that may wait
	wg   sync.WaitGroup
}

// New returns a pool that runs jobs with run and keeps at most idle goroutines waiting.
func New[T any](idle int, run func(T)) *Pool[T] {
	return &Pool[T]{run: run, jobs: make(chan T), idle: make(chan struct{}, idle)}
}

// Do runs job soon, and does not wait for it. Goroutines that wait end with ctx; jobs run in any case.
func (p *Pool[T]) Do(ctx context.Context, job T) {
	select {
	case p.jobs <- job:
	default:
		p.wg.Go(func() { p.work(ctx, job) })
	}
}

func (p *Pool[T]) work(ctx context.Context, job T) {
	// The collector halves the stack of a goroutine that uses less than a quarter of it, and the next job grows it
	// again. An idle one that uses this much keeps what it has.
	var room [stack / 4]byte
	defer runtime.KeepAlive(&room)
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		p.run(job)
		var none T
		job = none // nothing is kept alive by one who waits
		select {
		case p.idle <- struct{}{}:
		default:
			return // enough wait already
		}
		enough.Reset(patience)
		select {
		case job = <-p.jobs:
			<-p.idle
		case <-enough.C:
			<-p.idle
			return
		case <-ctx.Done():
			<-p.idle
			return
		}
	}
}

// Wait returns when every goroutine has ended; the contexts of Do must have ended before.
func (p *Pool[T]) Wait() { p.wg.Wait() }
