package rq

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/fabric"
)

const (
	probeEvery = 10 * time.Second
	probeLimit = 5 * time.Second
	probeTTL   = 3 * probeEvery // the probe's key goes with its node
	watchEvery = time.Second
)

// Run measures the JetStream as a client of it until ctx ends: it writes, reads and watches one key of its own. What it
// finds is in the latency metrics with healthcheck="true"; a failed probe is logged, it stops nothing.
func (s *Service) Run(ctx context.Context, f *fabric.Fabric) error {
	bucket := f.Bucket(fabric.BucketLeases)
	key := fabric.Key("rq-probe", s.cfg.Node)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		var live atomic.Bool // what was there before was not just stored
		return bucket.Watch(ctx, key, func(e fabric.Entry) {
			if live.Load() && e.Op == fabric.EntryPut {
				s.metrics.readLatency.WithLabelValues("true").Observe(ms(max(time.Since(e.Time), 0)))
			}
		}, func() { live.Store(true) })
	})
	g.Go(func() error {
		s.each(ctx, probeEvery, func() { s.probe(ctx, bucket, key) })
		return nil
	})
	g.Go(func() error {
		ready := true
		s.each(ctx, watchEvery, func() {
			now, reason := s.Ready()
			if ready && !now {
				s.metrics.disconnects.Inc()
				s.log.LogAttrs(ctx, slog.LevelWarn, "JetStream takes no writes", slog.String("reason", reason))
			} else if !ready && now {
				s.log.LogAttrs(ctx, slog.LevelInfo, "JetStream takes writes again")
			}
			ready = now
		})
		return nil
	})
	return g.Wait()
}

// each runs fn at once and then every so often, until ctx ends.
func (s *Service) each(ctx context.Context, every time.Duration, fn func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		fn()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) probe(ctx context.Context, bucket *fabric.Bucket, key string) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	start := time.Now()
	if _, err := bucket.Put(ctx, key, nil, fabric.PutOptions{TTL: probeTTL}); err != nil {
		s.failed(ctx, "write", err)
		return
	}
	wrote := time.Now()
	s.metrics.addLatency.WithLabelValues("true").Observe(ms(wrote.Sub(start)))
	s.metrics.redisLatency.Observe(ms(wrote.Sub(start)))
	if _, err := bucket.Get(ctx, key); err != nil {
		s.failed(ctx, "read", err)
		return
	}
	s.metrics.redisLatency.Observe(ms(time.Since(wrote)))
}

func (s *Service) failed(ctx context.Context, what string, err error) {
	if ctx.Err() == context.Canceled { //nolint:errorlint // Err returns the sentinels themselves
		return // the service stops
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "probe of the JetStream failed", slog.String("what", what), slog.Any("err", err))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
