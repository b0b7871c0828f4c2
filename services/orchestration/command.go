package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// reply is what a script answers to a request from outside.
type reply struct {
	content any
	status  int
	err     error
}

// command answers the door contract.SessionCommand: here, or at the node that has the session.
func (svc *Service) command(ctx context.Context, q *contract.SessionCommandRequest) (*contract.SessionCommandResponse, error) {
	s := svc.session(q.Tenant, q.ID)
	if s == nil && !q.Here {
		node, err := svc.nodeOf(ctx, q.Tenant, q.ID)
		if err != nil {
			return nil, err
		}
		there := *q
		there.Here = true
		return fabric.CallNode(ctx, svc.f, contract.SessionCommand, node, &there)
	}
	if s == nil {
		return nil, unknownSession(q.ID)
	}
	switch q.Do {
	case contract.SessionEvent:
		return s.fromOutside(ctx, q, nil)
	case contract.SessionRequest:
		return s.request(ctx, q)
	case contract.SessionQuery:
		return s.query(ctx)
	case contract.SessionTerminate:
		return s.stop(ctx)
	}
	return nil, voice.Errorf(voice.ErrInvalid, "%q cannot be done to a session", q.Do)
}

func unknownSession(id string) error {
	return voice.Errorf(voice.ErrNotFound, "there is no session %.64q", id)
}

// nodeOf finds the node that runs a session.
func (svc *Service) nodeOf(ctx context.Context, tenant, id string) (string, error) {
	if len(id) > 64 || id == "" {
		return "", unknownSession(id)
	}
	e, err := svc.f.Bucket(fabric.BucketSessions).Get(ctx, recordKey(tenant, id))
	if errors.Is(err, voice.ErrNotFound) {
		return "", unknownSession(id)
	}
	if err != nil {
		return "", err
	}
	var rec record
	if err := json.Unmarshal(e.Value, &rec); err != nil || rec.Owner == ownerEnded {
		return "", unknownSession(id)
	}
	node, _, _ := strings.Cut(rec.Owner, "/")
	if rec.Owner == svc.owner {
		return "", unknownSession(id)
	}
	return node, nil
}

// inside has fn run in the session and waits for it.
func (s *session) inside(ctx context.Context, fn func()) error {
	done := make(chan struct{})
	s.do(func() { defer close(done); fn() })
	select {
	case <-done:
		return nil
	case <-s.svc.base().Done():
		return unknownSession(s.rec.ID)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fromOutside gives an event to the script; before is done first.
func (s *session) fromOutside(ctx context.Context, q *contract.SessionCommandRequest, before func()) (*contract.SessionCommandResponse, error) {
	out := &contract.SessionCommandResponse{}
	data := map[string]any{}
	for k, v := range q.Data {
		data[k] = v
	}
	ev := scxml.Event{Name: q.Event, Type: scxml.External, OriginType: scxml.TypeBasicHTTP, Data: data}
	var bad error
	err := s.inside(ctx, func() {
		if before != nil {
			before()
		}
		if s.chart == nil {
			bad = unknownSession(s.rec.ID)
			return
		}
		if err := s.chart.Post(ev); err != nil {
			s.svc.m.refused.Inc()
			switch {
			case errors.Is(err, scxml.ErrEnded):
				bad = unknownSession(s.rec.ID)
			case errors.Is(err, scxml.ErrQueueFull):
				bad = voice.Errorf(voice.ErrOverloaded, "%v", err)
			default:
				bad = voice.Errorf(voice.ErrInvalid, "%v", err)
			}
			return
		}
		s.svc.m.events.Inc()
		out.Session = s.shown()
	})
	return out, errors.Join(err, bad)
}

const (
	requestTime = 30 * time.Second // that a script may take to answer
	maxWaits    = 100
)

// request gives an event to the script and waits for its session:response.
func (s *session) request(ctx context.Context, q *contract.SessionCommandRequest) (*contract.SessionCommandResponse, error) {
	id, answered := newID(), make(chan reply, 1)
	copied := *q
	copied.Data = map[string]any{"requestid": id, "sendid": id}
	for k, v := range q.Data {
		copied.Data[k] = v
	}
	full := false
	out, err := s.fromOutside(ctx, &copied, func() {
		if full = len(s.waits) >= maxWaits; full {
			return
		}
		if s.waits == nil {
			s.waits = map[string]chan reply{}
		}
		s.waits[id] = answered
	})
	if full {
		return nil, voice.Errorf(voice.ErrOverloaded, "too many requests wait for the script")
	}
	if err != nil {
		return nil, err
	}
	wait := requestTime
	if q.Timeout > 0 {
		wait = min(wait, q.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case r := <-answered:
		out.Content, out.Status = r.content, r.status
		return out, r.err
	case <-ctx.Done():
		s.do(func() { delete(s.waits, id) })
		return nil, voice.Errorf(voice.ErrTimeout, "the script did not answer in time")
	}
}

// respond does session.response.
func (s *session) respond(a *asked) error {
	id := a.Text("reqid")
	if id == "" && len(s.waits) == 1 {
		for only := range s.waits {
			id = only
		}
	}
	w := s.waits[id]
	if w == nil {
		return module.Refuse(module.InvalidParameter, "nobody waits for an answer to %q", id)
	}
	delete(s.waits, id)
	status, ok := a.Number("status", 200)
	if !ok || status < 200 || status > 599 {
		status = 200
	}
	w <- reply{content: a.Args["content"], status: int(status)}
	return nil
}

// query is what the session knows.
func (s *session) query(ctx context.Context) (*contract.SessionCommandResponse, error) {
	out := &contract.SessionCommandResponse{}
	err := s.inside(ctx, func() {
		out.Session = s.shown()
		if s.chart != nil {
			out.Session.States = s.chart.Atomic()
		}
		var open []any
		for _, a := range s.rec.Asked {
			open = append(open, map[string]any{"requestid": a.ID, "action": a.Name(), "interactionid": a.Interaction})
		}
		var items []any
		for _, i := range s.rec.Items {
			b, _ := json.Marshal(&i.Interaction)
			var v any
			_ = json.Unmarshal(b, &v)
			items = append(items, v)
		}
		out.Data = map[string]any{"interactions": items, "requests": open, "params": s.rec.Params}
	})
	return out, err
}

// stop ends the session by hand. Its calls go to the default destination.
func (s *session) stop(ctx context.Context) (*contract.SessionCommandResponse, error) {
	out := &contract.SessionCommandResponse{}
	err := s.inside(ctx, func() {
		out.Session = s.shown()
		for _, i := range s.rec.Items {
			s.cancelWishes(i.ID)
			if i.At != "" {
				s.svc.routeDefault(s.rec.Tenant, i.ID, i.Node, i.At, s.app, defaultEnded)
			}
		}
		s.svc.m.ended.Inc()
		s.remove()
		s.let(true)
	})
	return out, err
}

// terminate ends a session, wherever it runs.
func (svc *Service) terminate(ctx context.Context, tenant, id string) error {
	_, err := svc.command(ctx, &contract.SessionCommandRequest{Tenant: tenant, ID: id, Do: contract.SessionTerminate})
	return err
}
