package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// session is a running script. Its inbox may be filled by anybody; everything else belongs to the goroutine that drives it.
type session struct {
	svc *Service
	log *slog.Logger

	mu    sync.Mutex
	inbox []func() // guarded by mu
	busy  bool     // guarded by mu: a goroutine drives it

	rec    record
	rev    uint64 // of the record in the bucket
	app    *application
	chart  *scxml.Session // nil until it was started
	timer  *time.Timer
	awake  bool // it may have a runtime
	idle   bool // the last input changed nothing
	gone   bool // it ended, or goes on elsewhere
	failed bool // its script could not be started: calls go to the default destination
	waits  map[string]chan reply
}

// do has fn run in the session, after what was given before.
func (s *session) do(fn func()) {
	s.mu.Lock()
	s.inbox = append(s.inbox, fn)
	if s.busy {
		s.mu.Unlock()
		return
	}
	s.busy = true
	s.mu.Unlock()
	s.svc.spawn(s.drive)
}

// drive empties the inbox. Each input is followed by the steps of the script that it leads to; when there is no more for the moment,
// the session is written down and its requests are made.
func (s *session) drive() {
	for {
		s.mu.Lock()
		batch := s.inbox
		s.inbox = nil
		if len(batch) == 0 {
			s.busy = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.idle = false
		for _, fn := range batch {
			if s.gone {
				break
			}
			fn()
			s.step()
		}
		switch {
		case s.gone:
		case s.idle && len(batch) == 1:
			s.arm()
		default:
			s.settle()
		}
	}
}

// step runs the script until it waits.
func (s *session) step() {
	if s.chart == nil {
		return
	}
	for s.chart.Run(s.svc.now()) {
	}
}

// post gives an event to the script.
func (s *session) post(ev scxml.Event) {
	if s.chart == nil {
		return
	}
	s.svc.m.events.Inc()
	s.awake = true
	if err := s.chart.Post(ev); err != nil && !errors.Is(err, scxml.ErrEnded) {
		s.svc.m.refused.Inc()
		s.log.Warn("event not taken by a session", "event", ev.Name, "err", err)
	}
}

// settle writes the session down and then makes its requests.
func (s *session) settle() {
	if s.chart != nil && s.chart.Done() {
		s.finish()
		return
	}
	if err := s.save(); err != nil {
		if errors.Is(err, voice.ErrConflict) { // somebody took it over, because we were too slow
			s.svc.m.lost.Inc()
			s.log.Warn("session goes on at another node")
			s.let(false)
			return
		}
		if s.svc.base().Err() != nil { // the process ends: what was not written down is done by who takes over
			s.let(false)
			return
		}
		s.svc.m.unsaved.Inc()
		s.log.Error("session not written down; it goes on without", "err", err)
	}
	s.makeRequests()
	s.arm()
}

// save writes the record. Requests stand in it as not made: whoever takes over finds out by the events of the call.
func (s *session) save() error {
	if s.chart != nil {
		chart, err := s.chart.Snapshot()
		if err != nil {
			return err
		}
		s.rec.Chart = chart
	}
	b, err := json.Marshal(&s.rec)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.svc.base(), saveTime)
	defer cancel()
	bucket, key := s.svc.f.Bucket(fabric.BucketSessions), recordKey(s.rec.Tenant, s.rec.ID)
	rev, err := bucket.Put(ctx, key, b, fabric.PutOptions{CAS: true, Revision: s.rev})
	if errors.Is(err, voice.ErrConflict) { // perhaps our own write, whose answer was lost
		e, getErr := bucket.Get(ctx, key)
		var there record
		if getErr == nil && json.Unmarshal(e.Value, &there) == nil && there.Owner == s.svc.owner {
			rev, err = bucket.Put(ctx, key, b, fabric.PutOptions{CAS: true, Revision: e.Revision})
		}
	}
	if err == nil {
		s.rev = rev
		s.svc.m.saved.Inc()
	}
	return err
}

const saveTime = 5 * time.Second

// finish is the end of the script. A call that is still at its route point has nobody who looks after it.
func (s *session) finish() {
	why := s.chart.Err()
	if why != nil {
		s.svc.m.runaway.Inc()
		s.log.Warn("session was stopped", "script", s.rec.Script, "err", why)
	}
	for _, a := range s.rec.Asked { // what its last step asked for is done all the same
		if !a.Sent && a.Name() != "queue.submit" {
			a.Sent = true
			s.make(a)
		}
	}
	for _, i := range s.rec.Items {
		if i.At != "" && !s.leaving(i) {
			s.cancelWishes(i.ID)
			reason := defaultEnded
			if why != nil {
				reason = defaultRunaway
			}
			s.svc.routeDefault(s.rec.Tenant, i.ID, i.Node, i.At, s.app, reason)
		}
	}
	s.svc.m.ended.Inc()
	s.remove()
	s.let(true)
}

// leaving tells whether a request is about to take the call away.
func (s *session) leaving(i *item) bool {
	return slices.ContainsFunc(s.rec.Asked, func(a *asked) bool {
		return a.Interaction == i.ID && (a.Name() == "interaction.redirect" || a.Name() == "interaction.terminate" || a.Name() == "queue.submit" && a.Sent)
	})
}

// remove takes the record out of the bucket.
func (s *session) remove() {
	ctx, cancel := context.WithTimeout(s.svc.base(), saveTime)
	defer cancel()
	// What is left behind by a failure is found by age. A record with an end stays for a while, so that work which comes twice
	// does not begin again.
	b, _ := json.Marshal(record{Owner: ownerEnded, ID: s.rec.ID, Tenant: s.rec.Tenant, Start: s.rec.Start})
	_, err := s.svc.f.Bucket(fabric.BucketSessions).Put(ctx, recordKey(s.rec.Tenant, s.rec.ID), b, fabric.PutOptions{CAS: true, Revision: s.rev, TTL: endedFor})
	if err != nil { // then it is not to be taken for one that nobody runs
		s.svc.mu.Lock()
		s.svc.remains[s.rec.ID] = struct{}{}
		s.svc.mu.Unlock()
	}
	if err != nil && !errors.Is(err, voice.ErrConflict) {
		s.log.Warn("record of an ended session stays", "err", err)
	}
}

const (
	ownerEnded = "-" // of records of sessions that ended
	endedFor   = 10 * time.Minute
)

// let forgets the session on this node.
func (s *session) let(ended bool) {
	s.gone = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, w := range s.waits {
		w <- reply{err: voice.Errorf(voice.ErrNotFound, "the session has ended")}
	}
	s.waits = nil
	switch {
	case !ended:
		s.svc.trail.Drop(s.rec.ID)
	case s.chart != nil && !s.chart.Done():
		s.svc.trail.Trace(s.rec.ID, scxml.Trace{At: s.svc.now(), What: scxml.TraceEnd})
	}
	s.svc.forget(s)
}

// arm sets the one timer of the session: for the script's next timer, a request's, its sleep, or the end of its life.
func (s *session) arm() {
	now := s.svc.now()
	at := s.rec.Start.Add(s.svc.cfg.MaxAge)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	if s.chart == nil {
		sooner(s.rec.Begin)
	} else {
		if due, ok := s.chart.NextDue(); ok {
			sooner(due)
		}
		if s.awake {
			sooner(now.Add(s.svc.cfg.SleepAfter))
		}
	}
	for _, a := range s.rec.Asked {
		sooner(a.Due)
		sooner(a.Until)
	}
	d := max(at.Sub(now), 0)
	if s.timer == nil {
		s.timer = time.AfterFunc(d, func() { s.tick() })
		return
	}
	s.timer.Reset(d)
}

// tick is the timer. A session that has nothing due sleeps.
func (s *session) tick() {
	s.do(func() {
		now := s.svc.now()
		if now.Sub(s.rec.Start) >= s.svc.cfg.MaxAge {
			s.log.Warn("session is too old", "script", s.rec.Script)
			for _, i := range s.rec.Items {
				if i.At != "" {
					s.svc.routeDefault(s.rec.Tenant, i.ID, i.Node, i.At, s.app, defaultEnded)
				}
			}
			s.remove()
			s.let(true)
			return
		}
		if s.expire(now) {
			return
		}
		if s.chart == nil {
			if !s.rec.Begin.IsZero() && !now.Before(s.rec.Begin) {
				s.beginBy()
			}
			return
		}
		if due, ok := s.chart.NextDue(); ok && !due.After(now) {
			s.awake = true
			return
		}
		if s.idle = true; s.awake {
			if err := s.chart.Sleep(); err != nil {
				s.log.Debug("session stays awake", "err", err)
			}
			s.awake = false
		}
	})
}

// Interactions implements module.Host.
func (s *session) Interactions() []*module.Interaction {
	var out []*module.Interaction
	for _, i := range s.rec.Items {
		out = append(out, &i.Interaction)
	}
	return out
}

// About implements module.Host.
func (s *session) About() module.About {
	return module.About{ID: s.rec.ID, Tenant: s.rec.Tenant, Node: s.svc.f.Node(), Script: s.rec.Script, Params: s.rec.Params}
}

// Ask implements module.Host.
func (s *session) Ask(h *scxml.Handle, r *module.Request) error {
	if len(s.rec.Asked) >= maxAsked {
		return module.Refuse(module.Unavailable, "more than %d requests of the session wait for their answers", maxAsked)
	}
	s.svc.trail.Request(h.SessionID(), h.Now(), r.Name(), r.Args)
	s.svc.m.action(r.Name(), false)
	a := &asked{Request: *r, Ref: newRef()}
	if done, err := s.atOnce(a); done || err != nil {
		if err == nil {
			err = h.Post(a.Done(nil))
		}
		return err
	}
	s.rec.Asked = append(s.rec.Asked, a)
	return nil
}

const maxAsked = 100

// find returns a request that nobody answered, by its id.
func (s *session) find(id string) *asked {
	for _, a := range s.rec.Asked {
		if a.ID == id {
			return a
		}
	}
	return nil
}

func (s *session) byRef(ref int64) *asked {
	if ref == 0 {
		return nil
	}
	for _, a := range s.rec.Asked {
		if a.Ref == ref {
			return a
		}
	}
	return nil
}

// answer ends a request with an event.
func (s *session) answer(a *asked, data map[string]any, err error) {
	s.rec.Asked = slices.DeleteFunc(s.rec.Asked, func(b *asked) bool { return a == b })
	if err != nil {
		s.svc.m.action(a.Name(), true)
		s.post(a.Failed(err))
		return
	}
	s.post(a.Done(data))
}

func (s *session) item(id string) *item {
	for _, i := range s.rec.Items {
		if i.ID == id {
			return i
		}
	}
	return nil
}

// shown is the session for people.
func (s *session) shown() contract.ScriptSession {
	out := contract.ScriptSession{ID: s.rec.ID, Tenant: s.rec.Tenant, Node: s.svc.f.Node(), Script: s.rec.Script, Version: s.rec.Version, Start: s.rec.Start}
	if len(s.rec.Items) > 0 {
		i := s.rec.Items[0]
		out.Interaction = i.ID
		if i.Media == "voice" {
			out.CallUUID = i.ID
		}
		if i.Voice != nil {
			out.RoutePoint, out.ANI, out.DNIS = i.Voice.RoutePoint, i.Voice.ANI, i.Voice.DNIS
		}
	}
	return out
}
