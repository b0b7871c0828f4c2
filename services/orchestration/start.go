package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// takeAll takes work. An item is confirmed when the record of its session is in the bucket; an error has the batch come again.
func (svc *Service) takeAll(ctx context.Context, batch []fabric.Message) error {
	if svc.Running()+len(batch) > svc.cfg.MaxSessions {
		svc.m.full.Inc()
		return voice.Errorf(voice.ErrOverloaded, "there are %d sessions", svc.Running())
	}
	var g errgroup.Group
	for _, m := range batch {
		var w voice.WorkItem
		if err := json.Unmarshal(m.Data, &w); err != nil || w.Tenant == "" || w.ID == "" {
			svc.log.Error("unreadable item on WORK", "seq", m.Seq, "err", err)
			continue
		}
		if w.Kind != voice.WorkVoice {
			svc.log.Error("item on WORK that nobody serves", "kind", w.Kind, "id", w.ID)
			continue
		}
		g.Go(func() error { return svc.take(ctx, &w) })
	}
	return g.Wait()
}

// take makes the session of a call. Work that came twice finds its record there; but where the answer to the first write was lost,
// the record is this process's and nobody runs it.
func (svc *Service) take(ctx context.Context, w *voice.WorkItem) error {
	svc.m.work.Inc()
	i := &item{
		Interaction: module.Interaction{ID: w.ID, Tenant: w.Tenant, Media: "voice", State: "queued", Voice: &module.Voice{RoutePoint: w.Queue}},
		Node:        w.Node, From: w.Seq,
	}
	s := svc.newSession(record{Owner: svc.owner, ID: idOf(w), Tenant: w.Tenant, Start: svc.now(), Params: map[string]any{}, Items: []*item{i}})
	b, err := json.Marshal(&s.rec)
	if err != nil {
		return err
	}
	if !svc.reserve(s.rec.ID) {
		svc.m.repeated.Inc()
		return nil
	}
	defer svc.release(s.rec.ID)
	bucket, key := svc.f.Bucket(fabric.BucketSessions), recordKey(w.Tenant, s.rec.ID)
	s.rev, err = bucket.Put(ctx, key, b, fabric.PutOptions{CAS: true})
	if errors.Is(err, voice.ErrConflict) {
		e, err := bucket.Get(ctx, key)
		var there record
		switch {
		case err != nil && !errors.Is(err, voice.ErrNotFound):
			return err
		case err != nil || json.Unmarshal(e.Value, &there) != nil || there.Owner != svc.owner: // it ended long ago, or is another's
			svc.m.repeated.Inc()
			return nil
		}
		return svc.takeOver(ctx, e, there)
	}
	if err != nil {
		return err
	}
	if svc.add(s) {
		s.do(s.begin)
	}
	return nil
}

func (svc *Service) newSession(rec record) *session {
	return &session{svc: svc, rec: rec, log: svc.log.With(slog.String("session", rec.ID), slog.String("tenant", rec.Tenant))}
}

// begin finds out what the call is, and starts the application of its route point.
func (s *session) begin() {
	i := s.rec.Items[0]
	dn := i.Voice.RoutePoint
	events, err := s.svc.history(s.rec.Tenant, i.ID)
	if err != nil {
		s.log.Warn("events of a call cannot be read back", "call", i.ID, "err", err)
	}
	for _, ev := range events { // what the address of the script may ask for
		if ev.Seq <= i.From {
			s.know(i, ev)
		}
	}
	i.Parties = nil // they come again, in their order
	ctx, cancel := context.WithTimeout(s.svc.base(), startTime)
	defer cancel()
	started := time.Now()
	p, err := s.find1(ctx, dn, i)
	if err != nil {
		s.fail(i, dn, err)
		return
	}
	s.svc.m.resolved.Observe(time.Since(started).Seconds())
	s.run(p)
	for _, ev := range events {
		if ev.Seq > i.Seq && !s.gone {
			s.take(i, ev)
			s.step()
		}
	}
}

// startTime is how long an application may take to be found; the SIP node does not wait for longer by default.
const startTime = 8 * time.Second

// find1 finds the program for a call.
func (s *session) find1(ctx context.Context, dn string, i *item) (*scxml.Program, error) {
	app, err := s.svc.book.application(ctx, s.rec.Tenant, dn)
	if err != nil {
		return nil, err
	}
	s.app = app
	values := map[string]string{"DNIS": i.Voice.DNIS, "ANI": i.Voice.ANI, "DN": dn, "CED": "", "EMAILFROM": ""}
	fill := func(text string) string { return substitute(text, values, i.UserData) }
	p, from, err := s.svc.book.program(ctx, app, fill)
	if err != nil {
		return nil, err
	}
	for k, v := range app.Params {
		s.rec.Params[k] = v
	}
	s.rec.Script, s.rec.Version = from, app.Version
	return p, nil
}

// run starts the script, and keeps its text for who may continue it.
func (s *session) run(p *scxml.Program) {
	s.rec.File, s.rec.Digest = p.File(), p.Digest()
	if err := s.svc.keepText(p); err != nil {
		s.log.Warn("text of a script not kept: the session cannot go on elsewhere", "script", s.rec.Script, "err", err)
	}
	s.svc.trail.Open(s.shown(), p, nil)
	s.awake = true
	s.chart = s.svc.engine.Start(p, scxml.StartOptions{ID: s.rec.ID, Params: s.rec.Params, Owner: module.Host(s)})
	s.svc.m.started.Inc()
}

// fail is a script that cannot be started: the call goes to the default destination.
func (s *session) fail(i *item, dn string, err error) {
	s.failed = true
	if errors.Is(err, errNoApplication) {
		s.remove()
		s.let(true)
		return
	}
	s.log.Error("the application of a route point cannot be run; the call goes to its default destination", "route_point", dn, "call", i.ID, "err", err)
	s.svc.m.notStarted.Inc()
	s.svc.routeDefault(s.rec.Tenant, i.ID, i.Node, dn, s.app, defaultMissing)
	s.remove()
	s.let(true)
}

const textTTL = 30 * 24 * time.Hour

// keepText stores the text of a document under its digest, once.
func (svc *Service) keepText(p *scxml.Program) error {
	svc.mu.Lock()
	_, there := svc.texts[p.Digest()]
	svc.mu.Unlock()
	if there {
		return nil
	}
	ctx, cancel := context.WithTimeout(svc.base(), saveTime)
	defer cancel()
	if _, err := svc.f.Bucket(fabric.BucketSessions).Put(ctx, textKey(p.Digest()), p.Source(), fabric.PutOptions{TTL: textTTL}); err != nil {
		return err
	}
	svc.mu.Lock()
	defer svc.mu.Unlock()
	svc.texts[p.Digest()] = struct{}{}
	return nil
}

// startBy starts a session by the address of a document, or by the name of a script of the tenant. at is when its first step is; zero is now.
func (svc *Service) startBy(ctx context.Context, tenant, src string, params map[string]any, at time.Time) (id string, err error) {
	if svc.Running() >= svc.cfg.MaxSessions {
		return "", voice.Errorf(voice.ErrOverloaded, "there are %d sessions", svc.Running())
	}
	p, name, version, err := svc.byAddress(ctx, tenant, src)
	if err != nil {
		return "", err
	}
	if params == nil {
		params = map[string]any{}
	}
	s := svc.newSession(record{
		Owner: svc.owner, ID: newID(), Tenant: tenant, Start: svc.now(), Params: params, Script: name, Version: version, Src: src,
	})
	if at.After(svc.now()) {
		s.rec.Begin = at
	}
	if !svc.add(s) {
		return "", voice.Errorf(voice.ErrExists, "session %s", s.rec.ID)
	}
	return s.rec.ID, s.inside(ctx, func() {
		if s.rec.Begin.IsZero() {
			s.run(p)
		}
	})
}

// beginBy starts a session whose time has come.
func (s *session) beginBy() {
	ctx, cancel := context.WithTimeout(s.svc.base(), startTime)
	defer cancel()
	p, name, version, err := s.svc.byAddress(ctx, s.rec.Tenant, s.rec.Src)
	if err != nil {
		s.log.Error("a session that was to start now cannot", "src", s.rec.Src, "err", err)
		s.svc.m.notStarted.Inc()
		s.remove()
		s.let(true)
		return
	}
	s.rec.Script, s.rec.Version = name, version
	s.run(p)
}

// byAddress finds a program for who names a document or a script of the tenant.
func (svc *Service) byAddress(ctx context.Context, tenant, src string) (p *scxml.Program, name string, version int64, err error) {
	var script voice.Script
	r, err := svc.book.resource(ctx, tenant, voice.KindScript, src, &script)
	if err == nil {
		p, err := svc.book.compile(src+".scxml", []byte(script.SCXML))
		return p, src, r.Version, badScript(err)
	}
	body, err := svc.book.load(ctx, src)
	if err != nil {
		return nil, "", 0, voice.Errorf(voice.ErrInvalid, "%q is neither a script of the tenant nor a document that can be had: %v", src, err)
	}
	p, err = svc.book.compile(src, body)
	return p, src, 0, badScript(err)
}

func badScript(err error) error {
	if err == nil {
		return nil
	}
	return voice.Errorf(voice.ErrInvalid, "%v", err)
}

// why a call went to the default destination.
const (
	defaultMissing = "script"  // it is missing, broken or cannot be had
	defaultEnded   = "ended"   // it ended while the call was at its route point
	defaultRunaway = "stopped" // it went beyond its limits
)

// routeDefault sends a call that no script looks after to the default destination of its route point.
func (svc *Service) routeDefault(tenant, call, node, dn string, app *application, why string) {
	svc.m.defaulted.WithLabelValues(tenant, why).Inc()
	svc.background(func(ctx context.Context) {
		if app == nil {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			app, _ = svc.book.application(ctx, tenant, dn)
		}
		if app == nil || app.Default == "" {
			return // the SIP node's patience ends, and tells the caller
		}
		ans, _, err := atCall(ctx, svc, contract.RouteCall, tenant, call, node, &contract.RouteCallRequest{
			Tenant: tenant, CallUUID: call, ThisDN: dn, Destination: app.Default, ReferenceID: newRef(),
		})
		if err == nil && ans.Error != nil {
			err = fmt.Errorf("%s (%d)", ans.Error.Message, ans.Error.Code)
		}
		if err != nil {
			svc.log.Warn("call not sent to the default destination", "call", call, "route_point", dn, "err", err)
		}
	}, func() {})
}
