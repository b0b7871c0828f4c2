package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"parley/internal/voice"
)

// Durable is a reader of a stream whose place the JetStream remembers: what it has not confirmed comes again, to it or
// to another that reads under the same name, on any node.
type Durable struct {
	Stream string
	Name   string // letters, digits, '-' and '_'; readers of one name share the events
	Batch  int    // most events handed over at once, 1 to 1,000
	Filter string // built with Filter; "" = all. On WORK names have filters that do not overlap: an item is gone once it is confirmed

	// Linger is how long a batch that is not full waits for more. An event waits that much longer at the most.
	Linger time.Duration

	// Forget ends the place when nobody has read under the name for so long; the next reader begins anew, with the
	// first event of the stream. 0 = never.
	Forget time.Duration

	// Patience is after how long an event that was handed over and not confirmed comes again, as its reader may be
	// gone; at least a second. A batch may take two thirds of it. 0 = 30 seconds.
	Patience time.Duration
}

const (
	durablePatience = 30 * time.Second
	durableIdle     = 5 * time.Second // for the first event of a batch; then it is asked for again
	durableAhead    = 10              // batches in the hands of all readers of one name

	durableRetryFirst = 100 * time.Millisecond
	durableRetryMost  = 5 * time.Second
	maxDurableBatch   = 1000
)

// Consume hands batches of the events of a durable reader to fn, in stream order as far as nothing has to be repeated, one
// batch at a time, until ctx ends; then it returns nil. When fn returns nil the events are confirmed and do not come
// again, otherwise the whole batch comes again a little later. So fn must take an event twice without harm: after a
// crash between fn and the confirmation it will. Errors of fn are logged by fn, not here.
//
// The context of fn ends after two thirds of Patience; it outlives ctx, so that work which has begun can end well.
//
// A lost connection and a lost place (see Durable.Forget) are waited out and mended. The only error is voice.ErrInvalid,
// for a Durable that cannot be.
func (f *Fabric) Consume(ctx context.Context, d Durable, fn func(context.Context, []Message) error) error {
	if err := f.checkDurable(d); err != nil {
		return err
	}
	if d.Patience == 0 {
		d.Patience = durablePatience
	}
	ctx, cancel := f.bind(ctx)
	defer cancel()
	f.consumed.attach(d.Stream, 1)
	defer f.consumed.attach(d.Stream, -1)
	for wait := durableRetryFirst; ctx.Err() == nil; wait = min(2*wait, durableRetryMost) {
		c := &taker{f: f, d: d, fn: fn}
		err := c.run(ctx)
		if ctx.Err() != nil {
			break
		}
		if c.progress {
			wait = durableRetryFirst
		}
		f.consumed.again(d.Stream, "")
		f.log.LogAttrs(ctx, slog.LevelDebug, "durable consumer is looked for again", slog.String("stream", d.Stream),
			slog.String("name", d.Name), slog.Any("err", err))
		pause(ctx, wait)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (f *Fabric) checkDurable(d Durable) error {
	switch {
	case f.streamSpec(d.Stream) == nil:
		return voice.Errorf(voice.ErrInvalid, "stream %q has no durable readers", d.Stream)
	case d.Name == "" || len(d.Name) > 64 || strings.ContainsFunc(d.Name, func(r rune) bool { return r >= 0x80 || !plain(byte(r)) || r == '/' }):
		return voice.Errorf(voice.ErrInvalid, "%q cannot be the name of a durable reader", d.Name)
	case d.Batch < 1 || d.Batch > maxDurableBatch || d.Linger < 0 || d.Linger > durableIdle || d.Forget < 0 ||
		d.Patience != 0 && d.Patience < time.Second:
		return voice.Errorf(voice.ErrInvalid, "durable reader %s: batch, linger, forget or patience is out of bounds", d.Name)
	}
	return nil
}

// taker reads under the name of a durable until something is wrong with it.
type taker struct {
	f        *Fabric
	d        Durable
	fn       func(context.Context, []Message) error
	progress bool // something was handed over and taken
}

func (t *taker) run(ctx context.Context) error {
	made, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	cons, err := t.f.js.CreateOrUpdateConsumer(made, t.d.Stream, jetstream.ConsumerConfig{
		Durable: t.d.Name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: t.d.Patience, DeliverPolicy: jetstream.DeliverAllPolicy,
		MaxDeliver: -1, MaxAckPending: durableAhead * t.d.Batch, InactiveThreshold: t.d.Forget, FilterSubject: t.d.Filter,
	})
	if err != nil {
		return err
	}
	retry := durableRetryFirst
	for ctx.Err() == nil {
		batch, err := t.collect(ctx, cons)
		if len(batch) > 0 {
			if t.handOver(ctx, batch) {
				t.progress, retry = true, durableRetryFirst
			} else {
				pause(ctx, retry)
				retry = min(2*retry, durableRetryMost)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// collect waits for one event, then takes what else there is or comes within the linger. Asking for a whole batch at
// once would either keep a lone event waiting or leave events on their way to somebody who no longer listens.
func (t *taker) collect(ctx context.Context, cons jetstream.Consumer) ([]jetstream.Msg, error) {
	batch, err := fetch(ctx, cons, nil, 1, durableIdle)
	if err != nil || len(batch) == 0 || t.d.Batch == 1 || t.d.Linger == 0 {
		return batch, err
	}
	return fetch(ctx, cons, batch, t.d.Batch-1, t.d.Linger)
}

// fetch adds up to n messages to batch. That none came in time is no error.
func fetch(ctx context.Context, cons jetstream.Consumer, batch []jetstream.Msg, n int, wait time.Duration) ([]jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+wait/8+10*time.Millisecond) // the server is told 9/10 of it: see FetchContext
	defer cancel()
	got, err := cons.Fetch(n, jetstream.FetchContext(ctx))
	if err != nil {
		return batch, err
	}
	for m := range got.Messages() {
		batch = append(batch, m)
	}
	if err := got.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return batch, err
	}
	return batch, nil
}

// handOver gives a batch to fn and confirms it, or has it come again. A confirmation that is lost makes events come
// again too.
func (t *taker) handOver(ctx context.Context, batch []jetstream.Msg) bool {
	messages := make([]Message, 0, len(batch))
	for _, m := range batch {
		msg := Message{Subject: untokens(m.Subject()), Data: m.Data()}
		if meta, err := parseMeta(m.Reply()); err == nil {
			msg.Seq, msg.Time = meta.stream, meta.time
		}
		tenant := ""
		if len(msg.Subject) > 1 {
			tenant = msg.Subject[1]
		}
		t.f.consumed.received(t.d.Stream, tenant, time.Since(msg.Time))
		messages = append(messages, msg)
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.d.Patience*2/3)
	defer cancel()
	err := errPanicked
	guard(t.f.log, "durable reader "+t.d.Name, func() { err = t.fn(work, messages) })
	for _, m := range batch {
		if err == nil {
			_ = m.Ack() // lost with its connection: the event comes again
		} else {
			_ = m.Nak() // the same, a little later
		}
	}
	return err == nil
}

var errPanicked = errors.New("the handler panicked")

// Backlog is what a durable reader has before it.
type Backlog struct {
	Waiting uint64 // not yet handed to anybody
	Held    int    // handed over, not yet confirmed
}

// Backlog asks how far the readers of a durable name are behind. It is voice.ErrNotFound when nobody has read under the
// name yet.
func (f *Fabric) Backlog(ctx context.Context, stream, name string) (Backlog, error) {
	var info struct {
		Pending uint64    `json:"num_pending"`
		Held    int       `json:"num_ack_pending"`
		Error   *apiError `json:"error"`
	}
	if err := f.api(ctx, "CONSUMER.INFO."+stream+"."+name, nil, &info); err != nil {
		return Backlog{}, err
	}
	if info.Error != nil {
		return Backlog{}, info.Error
	}
	return Backlog{Waiting: info.Pending, Held: info.Held}, nil
}

// Trim makes room in a stream that refuses new events when it is full: if more than half of its room is in use, it
// deletes the oldest events that every durable reader has confirmed, until half of the room is free as far as possible.
// It returns how many events went. Without durable readers nothing is deleted.
func (f *Fabric) Trim(ctx context.Context, stream string) (deleted uint64, err error) {
	s, err := f.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	info := s.CachedInfo()
	if info.Config.MaxBytes <= 0 || info.State.Msgs == 0 || info.State.Bytes <= uint64(info.Config.MaxBytes)/2 {
		return 0, nil
	}
	floor, found := info.State.LastSeq, false
	readers := s.ListConsumers(ctx)
	for c := range readers.Info() {
		if c.Config.Durable != "" {
			floor, found = min(floor, c.AckFloor.Stream), true
		}
	}
	if err := readers.Err(); err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	if !found {
		return 0, nil
	}
	// Events of a stream are about the same size, so a share of the bytes is a share of the events.
	excess := float64(info.State.Bytes-uint64(info.Config.MaxBytes)/2) / float64(info.State.Bytes)
	upTo := min(floor, info.State.FirstSeq+uint64(excess*float64(info.State.LastSeq-info.State.FirstSeq+1)))
	if upTo < info.State.FirstSeq {
		return 0, nil
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	return upTo + 1 - info.State.FirstSeq, nil
}
