package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// renew says that this process lives.
func (svc *Service) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, svc.cfg.Takeover/2)
	defer cancel()
	_, err := svc.f.Bucket(fabric.BucketLeases).Put(ctx, leaseKey(svc.owner), []byte(svc.f.Node()), fabric.PutOptions{TTL: svc.cfg.Takeover})
	return err
}

func (svc *Service) keepLease(ctx context.Context) {
	tick := time.NewTicker(svc.cfg.Takeover / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := svc.renew(ctx); err != nil && ctx.Err() == nil {
				svc.log.Warn("lease not renewed", "err", err)
			}
		}
	}
}

// sweepEvery is how often sessions without an owner are looked for when no lease ended: one may have ended unseen.
const sweepEvery = time.Minute

// watchLeases takes over the sessions of processes that are gone.
func (svc *Service) watchLeases(ctx context.Context, ready <-chan struct{}) error {
	select { // no event of a call may be missed from then on
	case <-ready:
	case <-ctx.Done():
		return nil
	}
	look := make(chan struct{}, 1)
	poke := func() {
		select {
		case look <- struct{}{}:
		default:
		}
	}
	done := make(chan error, 1)
	svc.wg.Go(func() {
		done <- svc.f.Bucket(fabric.BucketLeases).Watch(ctx, fabric.Key("orchestration"), func(e fabric.Entry) {
			if e.Op != fabric.EntryPut {
				poke()
			}
		}, poke)
	})
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-look:
			svc.sweep(ctx)
		case <-tick.C:
			svc.sweep(ctx)
		}
	}
}

// sweep looks through all sessions for those whose process is gone, and for those of this process that it does not run: the answer
// to the write that made them so was lost.
func (svc *Service) sweep(ctx context.Context) {
	alive := map[string]bool{svc.owner: true, ownerEnded: true}
	orphans := map[string]fabric.Entry{}
	scan, cancel := context.WithCancel(ctx)
	defer cancel()
	err := svc.f.Bucket(fabric.BucketSessions).Watch(scan, fabric.Key("session"), func(e fabric.Entry) {
		if e.Op != fabric.EntryPut {
			delete(orphans, e.Key)
			return
		}
		var head struct {
			Owner string `json:"owner"`
			ID    string `json:"id"`
		}
		if json.Unmarshal(e.Value, &head) != nil {
			return
		}
		is, known := alive[head.Owner]
		if !known {
			_, err := svc.f.Bucket(fabric.BucketLeases).Get(ctx, leaseKey(head.Owner))
			is = !errors.Is(err, voice.ErrNotFound) // what is not known is left alone
			alive[head.Owner] = is
		}
		if head.Owner == svc.owner {
			is = svc.has(head.ID)
		}
		if !is {
			orphans[e.Key] = e
		} else {
			delete(orphans, e.Key)
		}
	}, cancel)
	if err != nil && ctx.Err() == nil {
		svc.log.Warn("look for sessions without an owner", "err", err)
	}
	for _, e := range orphans {
		if ctx.Err() != nil {
			return
		}
		svc.adopt(ctx, e)
	}
}

// adopt continues a session here, if nobody else was faster.
func (svc *Service) adopt(ctx context.Context, e fabric.Entry) {
	var rec record
	if err := json.Unmarshal(e.Value, &rec); err != nil {
		svc.log.Error("unreadable record of a session", "key", e.Key, "err", err)
		return
	}
	if !svc.reserve(rec.ID) { // most of this process's own run here
		return
	}
	defer svc.release(rec.ID)
	if err := svc.takeOver(ctx, e, rec); err != nil {
		svc.log.Warn("session not taken over", "session", rec.ID, "err", err)
	}
}

// takeOver makes the session of a record this process's, if the record is still the same. Its id is reserved.
func (svc *Service) takeOver(ctx context.Context, e fabric.Entry, rec record) error {
	from := rec.Owner
	rec.Owner = svc.owner
	if rec.Params == nil {
		rec.Params = map[string]any{}
	}
	s := svc.newSession(rec)
	b, err := json.Marshal(&s.rec)
	if err != nil {
		return err
	}
	s.rev, err = svc.f.Bucket(fabric.BucketSessions).Put(ctx, e.Key, b, fabric.PutOptions{CAS: true, Revision: e.Revision})
	if errors.Is(err, voice.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	if !svc.add(s) {
		return nil
	}
	svc.m.takenOver.Inc()
	s.log.Info("session taken over", "from", from)
	s.do(s.resume)
	return nil
}

// resume goes on where the record ends.
func (s *session) resume() {
	if len(s.rec.Chart) == 0 { // it had not begun
		if len(s.rec.Items) > 0 {
			s.begin()
		} else if !s.svc.now().Before(s.rec.Begin) {
			s.beginBy()
		}
		return
	}
	p, err := s.svc.textOf(&s.rec)
	if err == nil {
		s.chart, err = s.svc.engine.Restore(p, s.rec.Chart, module.Host(s))
	}
	if err != nil {
		s.log.Error("session cannot go on", "err", err)
		s.svc.m.notStarted.Inc()
		for _, i := range s.rec.Items {
			if i.At != "" {
				s.svc.routeDefault(s.rec.Tenant, i.ID, i.Node, i.At, s.app, defaultMissing)
			}
		}
		s.remove()
		s.let(true)
		return
	}
	s.svc.trail.Open(s.shown(), p, s.chart.Configuration())
	for _, a := range s.rec.Asked {
		a.Sent = false
	}
	for _, i := range append([]*item(nil), s.rec.Items...) {
		heard := s.catchUp(i)
		for _, a := range s.rec.Asked {
			a.Sent = a.Sent || heard[a.Ref]
		}
	}
}

// textOf is the document of a record: the very text that the session began with.
func (svc *Service) textOf(rec *record) (*scxml.Program, error) {
	ctx, cancel := context.WithTimeout(svc.base(), saveTime)
	defer cancel()
	e, err := svc.f.Bucket(fabric.BucketSessions).Get(ctx, textKey(rec.Digest))
	if err != nil {
		return nil, err
	}
	return svc.book.compile(rec.File, e.Value)
}
