package fabric

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"parley/internal/voice"
)

// Message is one event read back from a stream.
type Message struct {
	Subject []string // unescaped tokens
	Data    []byte   // owned by the receiver
	Seq     uint64   // stream sequence
	Time    time.Time
}

// From says where a subscription starts.
type From struct {
	New bool   // only what is published from now on
	Seq uint64 // from this stream sequence on; 0 = from the first

	// Ready, if set, is called once, when nothing that is published from then on can be missed.
	Ready func()
	// Caught, if set, is called once, between two events: fn has had all that was there when the subscription began.
	// at is the sequence of the event before, or where the subscription begins if there was none; with New that is the
	// end of the stream.
	Caught func(at uint64)
}

// Subscribe calls fn for each event of stream that matches filter, in stream order, one at a time, until ctx ends;
// then it returns nil, and fn does not run any more. It survives reconnects without loss or repeat, as far as the
// stream still has what was missed. filter is built with Filter and may hold Any or Rest; "" means all.
// WORK is not for subscribers: each of its events belongs to one taker.
//
// fn should be quick: a slow one delays nobody else, but events wait in memory, up to a limit, and then in the stream.
func (f *Fabric) Subscribe(ctx context.Context, stream, filter string, from From, fn func(Message)) error {
	if stream == StreamWork || f.streamSpec(stream) == nil {
		return voice.Errorf(voice.ErrInvalid, "stream %q cannot be subscribed to", stream)
	}
	ctx, cancel := f.bind(ctx)
	defer cancel()
	s := &subscription{f: f, stream: stream, last: from.Seq, fn: fn, ready: from.Ready, caught: from.Caught}
	if from.Seq > 0 {
		s.last--
	}
	w := newFollower(f, stream)
	w.plan = func() consumerPlan {
		p := consumerPlan{Policy: "by_start_sequence", Start: s.last + 1}
		if s.last == 0 && from.New && !s.started {
			p.Policy = "new"
		} else if s.last == 0 {
			p.Policy = "all"
		}
		if filter != "" {
			p.Filters = []string{filter}
		}
		return p
	}
	w.made = s.made
	w.again = func(reason string) { f.consumed.again(stream, reason) }
	w.handle = s.handle
	w.back = s.back
	w.quiet = s.quiet
	f.consumed.attach(stream, 1)
	defer f.consumed.attach(stream, -1)
	w.run(ctx)
	return nil
}

// bind returns a context that ends with ctx or with the fabric.
func (f *Fabric) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(f.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (f *Fabric) streamSpec(name string) *spec {
	for i := range streamSpecs {
		if streamSpecs[i].name == name {
			return &streamSpecs[i]
		}
	}
	return nil
}

// subscription remembers what was delivered, so that the next consumer goes on there. Its fields belong to the
// follower, which calls one at a time.
type subscription struct {
	f       *Fabric
	stream  string
	fn      func(Message)
	last    uint64 // stream sequence of the last event delivered or passed over
	started bool
	ready   func()          // may be nil
	caught  func(at uint64) // may be nil; set to nil when it was called
}

// made notes where the first consumer of a subscription to new events starts: what is published between a broken
// connection and the next consumer is new too.
func (s *subscription) made(info consumerInfo) {
	if !s.started {
		s.last = max(s.last, info.Delivered.Stream)
		if s.ready != nil {
			s.ready()
		}
	}
	s.started = true
}

// quiet is when the consumer has delivered what there is.
func (s *subscription) quiet(at uint64) {
	if s.caught != nil {
		s.caught(max(at, s.last))
		s.caught = nil
	}
}

// back goes on where the stream now ends: what it lost cannot be told from what came since.
func (s *subscription) back(to uint64) {
	s.f.consumed.failed(s.stream)
	s.last = to
}

func (s *subscription) handle(m *nats.Msg, meta msgMeta) {
	if meta.stream <= s.last {
		return
	}
	s.last = meta.stream
	msg := Message{Subject: untokens(m.Subject), Data: m.Data, Seq: meta.stream, Time: meta.time}
	tenant := ""
	if len(msg.Subject) > 1 {
		tenant = msg.Subject[1]
	}
	s.f.consumed.received(s.stream, tenant, time.Since(meta.time))
	guard(s.f.log, fmt.Sprintf("subscriber of %s", s.stream), func() { s.fn(msg) })
}
