package trunk

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// Times of a lease. A node that dies is followed by another within leaseTime and leaseRetry.
const (
	leaseTime  = 15 * time.Second
	leaseRenew = 5 * time.Second
	leaseRetry = 5 * time.Second
	leaseCall  = 2 * time.Second // for one request to the bucket
)

// lease is a job that one node of the cluster does at a time.
type lease struct {
	bucket *fabric.Bucket
	key    string
	node   string
	log    *slog.Logger
}

// hold does the job whenever this node has the lease, until ctx ends. The job ends when its context does.
func (l *lease) hold(ctx context.Context, job func(context.Context)) {
	for ctx.Err() == nil {
		if revision, ok := l.take(ctx); ok {
			l.work(ctx, revision, job)
		}
		select {
		case <-ctx.Done():
		case <-time.After(leaseRetry):
		}
	}
}

// take gets the lease when nobody has it, or when it is this node's from before it started again.
func (l *lease) take(ctx context.Context) (revision uint64, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, leaseCall)
	defer cancel()
	revision, err := l.put(ctx, 0)
	if errors.Is(err, voice.ErrConflict) {
		var e fabric.Entry
		if e, err = l.bucket.Get(ctx, l.key); err == nil {
			if string(e.Value) != l.node {
				return 0, false
			}
			revision, err = l.put(ctx, e.Revision)
		}
	}
	if err != nil && !errors.Is(err, voice.ErrConflict) && !errors.Is(err, voice.ErrNotFound) && !errors.Is(err, context.Canceled) {
		l.log.Warn("take a lease", "key", l.key, "err", err)
	}
	return revision, err == nil
}

func (l *lease) put(ctx context.Context, revision uint64) (uint64, error) {
	return l.bucket.Put(ctx, l.key, []byte(l.node), fabric.PutOptions{TTL: leaseTime, CAS: true, Revision: revision})
}

// work does the job and renews the lease meanwhile. It gives the job up before another node could have the lease.
func (l *lease) work(ctx context.Context, revision uint64, job func(context.Context)) {
	own, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { job(own) })
	good := time.Now()
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for held := true; held; {
		select {
		case <-ctx.Done():
			held = false
		case <-tick.C:
			call, cancel := context.WithTimeout(ctx, leaseCall)
			next, err := l.put(call, revision)
			cancel()
			switch {
			case err == nil:
				revision, good = next, time.Now()
			case errors.Is(err, voice.ErrConflict), time.Since(good) > leaseTime-leaseRenew:
				l.log.Warn("a lease is lost", "key", l.key, "err", err)
				held = false
			}
		}
	}
	stop()
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseCall)
	defer cancel()
	// If this fails the lease ends by itself.
	_ = l.bucket.Delete(last, l.key, fabric.PutOptions{CAS: true, Revision: revision})
}
