package fabric

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"parley/internal/voice"
)

// Event is one message for a stream.
type Event struct {
	Subject string // built with Subject(...); its first token chooses the stream
	MsgID   string // for duplicate suppression within the stream's window; empty = one is made, good for retries only
	Payload any    // marshalled as JSON, by its own AppendJSON if it has one, or []byte taken as it is; not to be changed after the call
}

// appender writes its own JSON.
type appender interface{ AppendJSON(dst []byte) []byte }

// Publish queues ev and returns at once. Events whose subjects share their first three tokens (a call, an agent, a
// device; on CONFIG all four, a resource) are stored in the order of Publish; a transient failure is retried until it passes, without a duplicate.
//
// It returns voice.ErrOverloaded, and counts, when the buffer is full: the event is then lost, and said so.
// An event that can never be stored (voice.ErrInvalid: no such stream, too large, not JSON) is refused at once.
func (f *Fabric) Publish(ev Event) error {
	it, err := f.newItem(ev)
	if err != nil {
		f.pub.refused(ev.Subject, err)
		return err
	}
	return f.pub.add(it)
}

// PublishSync stores ev, in order with what Publish was given before, and returns when it is stored (on disk where
// the stream's class demands it). When ctx ends first the answer is voice.ErrTimeout, and the event is taken back if
// it is not yet under way; if it is, it may be stored or not.
func (f *Fabric) PublishSync(ctx context.Context, ev Event) (seq uint64, err error) {
	it, err := f.newItem(ev)
	if err != nil {
		f.pub.refused(ev.Subject, err)
		return 0, err
	}
	type result struct {
		seq uint64
		err error
	}
	stored := make(chan result, 1)
	it.done = func(seq uint64, err error) { stored <- result{seq, err} }
	if err := f.pub.add(it); err != nil {
		return 0, err
	}
	select {
	case r := <-stored:
		return r.seq, r.err
	case <-ctx.Done():
		f.pub.abandon(it)
		return 0, ctxError(ctx)
	}
}

// Flush waits until every event published before the call is stored or counted as lost.
func (f *Fabric) Flush(ctx context.Context) error { return f.pub.flush(ctx) }

func (f *Fabric) newItem(ev Event) (*item, error) {
	topic, tenant, lane, err := route(ev.Subject)
	if err != nil {
		return nil, err
	}
	it := &item{subject: ev.Subject, msgID: ev.MsgID, topic: topic, tenant: tenant, laneKey: lane, queued: time.Now()}
	switch p := ev.Payload.(type) {
	case []byte:
		it.data = p
	case json.RawMessage:
		it.data = p
	case appender:
		it.data = p.AppendJSON(make([]byte, 0, 512))
	default:
		if it.data, err = json.Marshal(ev.Payload); err != nil {
			return nil, voice.Errorf(voice.ErrInvalid, "event %s: %v", ev.Subject, err)
		}
	}
	if len(it.data) > maxMessage-4096 { // room for headers
		return nil, voice.Errorf(voice.ErrInvalid, "event %s: %d bytes are more than the limit of %d", ev.Subject, len(it.data), maxMessage-4096)
	}
	return it, nil
}

// route says which stream takes subject, which tenant it speaks of, and what keeps it in order.
func route(subject string) (topic, tenant, lane string, err error) {
	first, rest, _ := strings.Cut(subject, ".")
	for i := range streamSpecs {
		if streamSpecs[i].prefix == first {
			topic = streamSpecs[i].name
		}
	}
	if topic == "" || rest == "" || len(subject) > maxSubject || strings.ContainsAny(subject, "*> \t\r\n") ||
		strings.HasSuffix(subject, ".") || strings.Contains(subject, "..") {
		return "", "", "", voice.Errorf(voice.ErrInvalid, "subject %.80q belongs to no stream", subject)
	}
	token, rest, _ := strings.Cut(rest, ".")
	lane = subject
	if i := strings.IndexByte(rest, '.'); i >= 0 && topic != StreamConfig { // there the third token is only the kind
		lane = subject[:len(subject)-len(rest)+i]
	}
	tenant, _ = Untoken(token)
	return topic, tenant, lane, nil
}

// ctxError is how a context that ended looks to a caller: voice.ErrTimeout for a deadline, else context.Canceled.
func ctxError(ctx context.Context) error {
	err := ctx.Err()
	if err == context.DeadlineExceeded { //nolint:errorlint // Err returns the sentinels themselves
		return voice.Errorf(voice.ErrTimeout, "no answer in time")
	}
	return err
}
