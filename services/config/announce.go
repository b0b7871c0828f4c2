package config

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/store"
	"parley/internal/voice"
)

const (
	announceBatch = 1000             // changes published before the mark is moved
	announceEvery = 10 * time.Second // also without a poke: another node may have died before it announced
	announceRetry = time.Second
	announceTime  = 30 * time.Second // for one batch
	announceWide  = 256              // published at once: those that wait together share the way to the disk
)

// announcer publishes the table of changes on CONFIG, from the mark of what was published to the end.
//
// The changes of a resource are published one after the other, those of different resources at once and in any order;
// their numbers tell it. The mark moves when a whole batch is stored, so after a failure or a crash some are published again, under the same
// message id. Several nodes may do the same work at once with no worse effect.
type announcer struct {
	s       *Service
	wake    chan struct{} // capacity 1
	waiting atomic.Int64  // changes not yet announced, as last seen
}

func newAnnouncer(s *Service) *announcer {
	return &announcer{s: s, wake: make(chan struct{}, 1)}
}

// poke says that there is something to announce.
func (a *announcer) poke() {
	select {
	case a.wake <- struct{}{}:
	default: // it has been told
	}
}

// run announces until ctx ends.
func (a *announcer) run(ctx context.Context) error {
	for {
		wait := announceEvery
		err := a.catchUp(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.s.health.Set(checkAnnounce, obs.LevelDegraded, "changes cannot be announced: "+reason(err))
			a.s.log.Warn("announce changes", "err", err, "waiting", a.waiting.Load())
			wait = announceRetry
		default:
			a.s.health.Set(checkAnnounce, obs.LevelPass, "")
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// catchUp publishes everything that waits.
func (a *announcer) catchUp(ctx context.Context) error {
	done, err := a.s.store.Announced(ctx)
	if err != nil {
		return err
	}
	for {
		newest, err := a.s.store.Seq(ctx)
		if err != nil {
			return err
		}
		a.waiting.Store(newest - done)
		batch, err := a.s.store.ChangesAfter(ctx, done, announceBatch)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := a.publish(ctx, batch); err != nil {
			return err
		}
		done = batch[len(batch)-1].Seq
		if err := a.s.store.SetAnnounced(ctx, done); err != nil {
			return err
		}
	}
}

func (a *announcer) publish(ctx context.Context, batch []store.Change) error {
	ctx, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	resources := map[contract.ConfigKey][]store.Change{}
	for _, c := range batch {
		k := contract.ConfigKey{Tenant: c.Tenant, Kind: c.Kind, Key: c.Key}
		resources[k] = append(resources[k], c)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(announceWide)
	for _, changes := range resources {
		g.Go(func() error {
			for _, c := range changes {
				if err := a.publishOne(ctx, c.ConfigChanged); err != nil {
					return fmt.Errorf("change %d: %w", c.Seq, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (a *announcer) publishOne(ctx context.Context, c voice.ConfigChanged) error {
	c.Node = a.s.fabric.Node()
	_, err := a.s.fabric.PublishSync(ctx, fabric.Event{
		Subject: fabric.Subject("config", c.Tenant, string(c.Kind), c.Key),
		MsgID:   "config:" + strconv.FormatInt(c.Seq, 10),
		Payload: c,
	})
	return err
}

// reason is an error as the health report shows it: the sentence of the sentinel, without internals.
func reason(err error) string {
	if e, ok := errors.AsType[*voice.Error](err); ok {
		return e.Message
	}
	return voice.CodeOf(err).Sentinel().Error()
}
