package fabric

import (
	"context"
	"encoding/json"
	"time"

	"parley/internal/voice"
)

// Door is a typed request/reply entrance to a service: who serves it, its name, and how long a caller waits.
// Doors are values declared once in internal/contract.
type Door[Req, Resp any] struct {
	Service string        // service that serves it, e.g. "registrar"
	Name    string        // verb, e.g. "register"; one subject token
	Timeout time.Duration // used when the caller's context has no earlier deadline; 0 = 5 s

	key string // Service.Name; NewDoor makes it once
}

// NewDoor declares a door. Service and name are letters, digits, '-' and '_'.
func NewDoor[Req, Resp any](service, name string, timeout time.Duration) Door[Req, Resp] {
	return Door[Req, Resp]{Service: service, Name: name, Timeout: timeout, key: service + "." + name}
}

const defaultCallTimeout = 5 * time.Second

func (d *Door[Req, Resp]) id() string {
	if d.key == "" {
		return d.Service + "." + d.Name
	}
	return d.key
}

func (d *Door[Req, Resp]) timeout() time.Duration {
	if d.Timeout <= 0 {
		return defaultCallTimeout
	}
	return d.Timeout
}

// local is a door that this process serves.
type local[Req, Resp any] struct {
	gate
	fn func(context.Context, Req) (Resp, error)
}

// Handle serves door on this node until ctx ends or stop is called; stop waits for requests in progress.
// fn runs on many goroutines at once. Its errors reach the caller as a *voice.Error of the same sentinel; one that
// wraps no sentinel becomes voice.ErrInternal and its text goes to the log only, as does a panic.
//
// In the process itself Call invokes fn directly, so Req and Resp must be treated as shared and read-only
// by whoever did not build them. fn must end when its context does: a local caller waits for it.
func Handle[Req, Resp any](ctx context.Context, f *Fabric, door Door[Req, Resp], fn func(context.Context, Req) (Resp, error)) (stop func(), err error) {
	l := &local[Req, Resp]{fn: fn}
	l.gate.init(f, door.id())
	remote := func(ctx context.Context, data []byte) ([]byte, error) {
		var req Req
		if err := json.Unmarshal(data, &req); err != nil {
			return nil, voice.Errorf(voice.ErrInvalid, "door %s: request not understood: %v", l.name, err)
		}
		resp, err := l.run(ctx, req)
		if err != nil {
			return nil, err
		}
		return json.Marshal(resp)
	}
	return f.doors.serve(ctx, door.Service, door.Name, l, &l.gate, remote)
}

// call runs the handler on the caller's goroutine, within the limit of requests in progress.
func (l *local[Req, Resp]) call(ctx context.Context, req Req) (resp Resp, err error) {
	if err := l.enter(); err != nil {
		return resp, err
	}
	defer l.leave()
	return l.run(ctx, req)
}

// run is the handler with its panics and errors as callers see them.
func (l *local[Req, Resp]) run(ctx context.Context, req Req) (resp Resp, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = l.panicked(p)
		}
	}()
	if resp, err = l.fn(ctx, req); err != nil {
		err = l.outward(ctx, err)
	}
	return resp, err
}

// Call asks door and waits for the answer: a plain function call when this process serves the door, else a
// NATS request to the queue group of all who do. Errors: voice.ErrUnavailable when nobody serves it,
// voice.ErrTimeout when the deadline passed, voice.ErrOverloaded when too many requests are in progress there,
// context.Canceled when ctx was cancelled, or what the handler returned.
func Call[Req, Resp any](ctx context.Context, f *Fabric, door Door[Req, Resp], req Req) (Resp, error) {
	if l, ok := f.doors.find(door.id()).(*local[Req, Resp]); ok && l.open() {
		return callLocal(ctx, l, &door, req)
	}
	return callRemote(ctx, f, &door, subjectOf(door.Service, door.Name), req)
}

// Local tells whether Call would be a function call now.
func Local[Req, Resp any](f *Fabric, door Door[Req, Resp]) bool {
	l, ok := f.doors.find(door.id()).(*local[Req, Resp])
	return ok && l.open()
}

// CallNode is Call to the one node named; to this node itself it is a function call.
func CallNode[Req, Resp any](ctx context.Context, f *Fabric, door Door[Req, Resp], node string, req Req) (Resp, error) {
	if node == f.node {
		if l, ok := f.doors.find(door.id()).(*local[Req, Resp]); ok {
			return callLocal(ctx, l, &door, req)
		}
		var none Resp
		return none, unserved(door.id())
	}
	return callRemote(ctx, f, &door, nodeSubjectOf(door.Service, door.Name, node), req)
}

func callLocal[Req, Resp any](ctx context.Context, l *local[Req, Resp], door *Door[Req, Resp], req Req) (Resp, error) {
	if err := ctx.Err(); err != nil {
		var none Resp
		return none, ctxError(ctx)
	}
	c := callContext{Context: ctx, deadline: time.Now().Add(door.timeout())}
	if d, ok := ctx.Deadline(); ok && d.Before(c.deadline) {
		return l.call(ctx, req)
	}
	defer c.end()
	return l.call(&c, req)
}

func callRemote[Req, Resp any](ctx context.Context, f *Fabric, door *Door[Req, Resp], subject string, req Req) (resp Resp, err error) {
	if ctx.Err() != nil {
		return resp, ctxError(ctx)
	}
	data, err := json.Marshal(req)
	if err != nil {
		return resp, voice.Errorf(voice.ErrInvalid, "door %s: %v", door.id(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, door.timeout())
	defer cancel()
	answer, err := f.request(ctx, door.id(), subject, data)
	if err != nil {
		return resp, err
	}
	if err := json.Unmarshal(answer, &resp); err != nil {
		return resp, voice.Errorf(voice.ErrInternal, "door %s: answer not understood: %v", door.id(), err)
	}
	return resp, nil
}
