package fabric

import (
	"context"
	"time"
)

// Door is a typed request/reply entrance to a service: who serves it, its name, and how long a caller waits.
// Doors are values declared once in internal/contract.
type Door[Req, Resp any] struct {
	Service string        // service that serves it, e.g. "registrar"
	Name    string        // verb, e.g. "register"; one subject token
	Timeout time.Duration // used when the caller's context has no earlier deadline
}

// NewDoor declares a door.
func NewDoor[Req, Resp any](service, name string, timeout time.Duration) Door[Req, Resp] {
	return Door[Req, Resp]{Service: service, Name: name, Timeout: timeout}
}

// Handle serves door on this node until ctx ends or stop is called; stop waits for requests in progress.
// fn runs on many goroutines at once. Its errors reach the caller as the same sentinel (see voice.Code).
//
// In the process itself Call invokes fn directly, so Req and Resp must be treated as shared and read-only
// by whoever did not build them.
func Handle[Req, Resp any](ctx context.Context, f *Fabric, door Door[Req, Resp], fn func(context.Context, Req) (Resp, error)) (stop func(), err error) {
	panic("fabric: being built")
}

// Call asks door and waits for the answer: a plain function call when this process serves the door, else a
// NATS request to the queue group of all who do. Errors: voice.ErrUnavailable when nobody serves it,
// voice.ErrTimeout when the deadline passed, or what the handler returned.
func Call[Req, Resp any](ctx context.Context, f *Fabric, door Door[Req, Resp], req Req) (Resp, error) {
	panic("fabric: being built")
}

// CallNode is Call to the one node named; to this node itself it is a function call.
func CallNode[Req, Resp any](ctx context.Context, f *Fabric, door Door[Req, Resp], node string, req Req) (Resp, error) {
	panic("fabric: being built")
}
