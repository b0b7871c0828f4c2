package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

func connect(t testing.TB, o fabric.Options) *fabric.Fabric {
	t.Helper()
	f, err := fabric.Connect(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func closeNow(t testing.TB, f *fabric.Fabric) error {
	t.Helper()
	return f.Close(testContext(t))
}

func TestEvents(t *testing.T) {
	a, b := newPair(t)
	ctx := testContext(t)
	if err := a.Publish(fabric.Event{Subject: call(1), Payload: map[string]string{"n": "before"}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	all := subscribe(t, b, fabric.StreamCalls, "", fabric.From{})
	if m := next(t, all); string(m.Data) != `{"n":"before"}` || m.Seq != 1 || strings.Join(m.Subject, "/") != "call/demo/c1/EventX" || time.Since(m.Time) > testTime {
		t.Errorf("first event %+v", m)
	}
	seq, err := b.PublishSync(ctx, fabric.Event{Subject: call(2), MsgID: "c2:1", Payload: []byte("raw")})
	if err != nil || seq != 2 {
		t.Errorf("PublishSync = %d, %v", seq, err)
	}
	if m := next(t, all); string(m.Data) != "raw" || m.Seq != seq {
		t.Errorf("second event %+v", m)
	}
	if again, err := a.PublishSync(ctx, fabric.Event{Subject: call(2), MsgID: "c2:1", Payload: []byte("raw")}); again != seq || err != nil {
		t.Errorf("the same message id: %d, %v, want %d", again, err, seq)
	}
	from2 := subscribe(t, a, fabric.StreamCalls, "", fabric.From{Seq: 2})
	if m := next(t, from2); m.Seq != 2 {
		t.Errorf("from 2: %+v", m)
	}
	filtered := subscribe(t, a, fabric.StreamCalls, fabric.Filter("call", "other", fabric.Rest), fabric.From{})
	if _, err := a.PublishSync(ctx, fabric.Event{Subject: fabric.Subject("call", "other", "x.y", "E"), Payload: 1}); err != nil {
		t.Fatal(err)
	}
	if m := next(t, filtered); m.Seq != 3 || m.Subject[2] != "x.y" {
		t.Errorf("filtered: %+v", m)
	}
}

func TestEventsFromNowOn(t *testing.T) {
	a, _ := newPair(t)
	ctx := testContext(t)
	if _, err := a.PublishSync(ctx, fabric.Event{Subject: call(1)}); err != nil {
		t.Fatal(err)
	}
	fresh := subscribe(t, a, fabric.StreamCalls, "", fabric.From{New: true})
	for i := 2; ; i++ { // the subscription starts at some moment: from then on all must come
		if _, err := a.PublishSync(ctx, fabric.Event{Subject: call(i)}); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-fresh:
			if m.Seq == 1 {
				t.Error("an old event came")
			}
			for seq := m.Seq + 1; seq <= uint64(i); seq++ {
				if m := next(t, fresh); m.Seq != seq {
					t.Errorf("got %d, want %d", m.Seq, seq)
				}
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestEventsRefused(t *testing.T) {
	f := fabrictest.New(t)
	for what, ev := range map[string]fabric.Event{
		"no stream":     {Subject: "nothing.demo.x"},
		"a wildcard":    {Subject: "call.demo.*"},
		"not JSON":      {Subject: call(1), Payload: func() {}},
		"far too large": {Subject: call(1), Payload: make([]byte, 9<<20)},
	} {
		if err := f.Publish(ev); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("%s: Publish = %v", what, err)
		}
		if _, err := f.PublishSync(t.Context(), ev); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("%s: PublishSync = %v", what, err)
		}
	}
	for _, stream := range []string{fabric.StreamWork, "NOTHING", ""} {
		if err := f.Subscribe(t.Context(), stream, "", fabric.From{}, func(fabric.Message) {}); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("Subscribe to %q = %v", stream, err)
		}
	}
	if got := metric(t, f, "kafka_producer_dropped_event_number"); got != 8 {
		t.Errorf("%v events counted as lost, want 8", got)
	}
}

// TestOrderSurvivesBreaks publishes for many calls while the connection breaks again and again: everything is stored
// once, and in the order of its call.
func TestOrderSurvivesBreaks(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	way := &link{to: srv}
	f := connect(t, fabric.Options{Node: "a", Server: way})
	reader := fabrictest.Connect(t, srv, "reader")
	events := subscribe(t, reader, fabric.StreamCalls, "", fabric.From{})
	const calls, each = 40, 100
	breaks := 0
	for n := range each {
		if n%25 == 10 {
			way.cut()
			breaks++
		}
		if n%25 == 15 {
			way.mend()
			eventually(t, func() error {
				if ok, reason := f.Connected(); !ok {
					return errors.New(reason)
				}
				return nil
			})
		}
		for c := range calls {
			if err := f.Publish(fabric.Event{Subject: call(c), Payload: n}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for range calls * each {
		m := next(t, events)
		if want := fmt.Sprint(at[m.Subject[2]]); string(m.Data) != want {
			t.Fatalf("call %s: event %s where %s was expected", m.Subject[2], m.Data, want)
		}
		at[m.Subject[2]]++
	}
	if got := metric(t, f, "kafka_producer_error_total"); got == 0 {
		t.Errorf("%d breaks, and no failed attempt was counted", breaks)
	}
	if got := metric(t, f, "kafka_producer_dropped_event_number"); got != 0 {
		t.Errorf("%v events lost", got)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
	select {
	case m := <-events:
		t.Errorf("one event too many: %+v", m)
	case <-time.After(50 * time.Millisecond):
	}
}

// TestBufferFull: what finds the buffer full is refused and counted; the rest is stored when the way is free again.
func TestBufferFull(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	way := &link{to: srv}
	f := connect(t, fabric.Options{Node: "a", Server: way, Buffer: 10})
	way.cut()
	eventually(t, func() error { // the reason comes a moment after the connection has gone
		if ok, reason := f.Connected(); ok || !strings.Contains(reason, "no connection") {
			return fmt.Errorf("connected %v, reason %q", ok, reason)
		}
		return nil
	})
	for i := range 10 {
		if err := f.Publish(fabric.Event{Subject: call(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Publish(fabric.Event{Subject: call(10)}); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("Publish into a full buffer = %v", err)
	}
	if _, err := f.PublishSync(t.Context(), fabric.Event{Subject: call(10)}); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("PublishSync into a full buffer = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := f.Flush(ctx); !errors.Is(err, voice.ErrTimeout) {
		t.Errorf("Flush = %v", err)
	}
	if got := metric(t, f, "kafka_producer_queue_depth"); got != 10 {
		t.Errorf("depth %v", got)
	}
	if got := metric(t, f, "kafka_producer_queue_age_seconds"); got < 0.03 || got > testTime.Seconds() {
		t.Errorf("age %v", got)
	}
	if got := metric(t, f, "kafka_producer_dropped_event_number"); got != 2 {
		t.Errorf("lost %v", got)
	}
	if got := metric(t, f, "kafka_producer_state"); got != 0 {
		t.Errorf("state %v", got)
	}
	way.mend()
	if err := f.Flush(testContext(t)); err != nil {
		t.Error(err)
	}
	if got := metric(t, f, "kafka_producer__messages_total"); got != 10 {
		t.Errorf("stored %v", got)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
}

// TestCloseCountsTheLost: a stop does not wait for ever, and says what it could not store.
func TestCloseCountsTheLost(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	way := &link{to: srv}
	f := connect(t, fabric.Options{Node: "a", Server: way})
	way.cut()
	for i := range 3 {
		if err := f.Publish(fabric.Event{Subject: call(i)}); err != nil {
			t.Fatal(err)
		}
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := f.PublishSync(context.Background(), fabric.Event{Subject: call(1)})
		waiting <- err
	}()
	eventually(t, func() error {
		if got := metric(t, f, "kafka_producer_queue_depth"); got != 4 {
			return fmt.Errorf("depth %v", got)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Close(ctx); err == nil || !strings.Contains(err.Error(), "4 events") {
		t.Errorf("Close = %v", err)
	}
	if err := next(t, waiting); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("PublishSync = %v", err)
	}
	if got := metric(t, f, "kafka_producer_dropped_event_number"); got != 4 {
		t.Errorf("lost %v", got)
	}
	if err := f.Publish(fabric.Event{Subject: call(1)}); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Publish after Close = %v", err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if ok, reason := f.Connected(); ok || reason != "the fabric is closed" {
		t.Errorf("Connected = %v, %q", ok, reason)
	}
}

func TestPublishSyncDeadline(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	way := &link{to: srv}
	f := connect(t, fabric.Options{Node: "a", Server: way})
	way.cut()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := f.Publish(fabric.Event{Subject: call(1), Payload: "first"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.PublishSync(ctx, fabric.Event{Subject: call(1), Payload: "taken back"}); !errors.Is(err, voice.ErrTimeout) {
		t.Errorf("PublishSync = %v", err)
	}
	way.mend()
	if err := f.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if seq, err := f.PublishSync(testContext(t), fabric.Event{Subject: call(1)}); seq != 2 || err != nil {
		t.Errorf("the event taken back was stored: the next is %d, %v", seq, err)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
}

// TestSubscriptionSurvivesBreaks: events published while a subscriber has no connection come later, each once.
func TestSubscriptionSurvivesBreaks(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	way := &link{to: srv}
	reader := connect(t, fabric.Options{Node: "a", Server: way})
	writer := fabrictest.Connect(t, srv, "writer")
	t.Cleanup(func() {
		if err := closeNow(t, reader); err != nil {
			t.Error(err)
		}
	})
	events := subscribe(t, reader, fabric.StreamCalls, "", fabric.From{})
	want := 0
	publish := func(n int) {
		t.Helper()
		for range n {
			if _, err := writer.PublishSync(testContext(t), fabric.Event{Subject: call(1)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(n int) {
		t.Helper()
		for range n {
			want++
			if m := next(t, events); m.Seq != uint64(want) {
				t.Fatalf("event %d, want %d", m.Seq, want)
			}
		}
	}
	publish(5)
	check(5)
	for range 3 {
		way.cut()
		publish(5)
		way.mend()
		publish(5)
		check(10)
	}
	eventually(t, func() error { // the old consumer may have caught up before it was replaced
		if got := metric(t, reader, "kafka_consumer_rebalance_total"); got < 3 {
			return fmt.Errorf("consumer made anew %v times, want 3 at least", got)
		}
		return nil
	})
	if got := metric(t, reader, "kafka_consumer_recv_messages_total"); got != float64(want) {
		t.Errorf("received %v, want %d", got, want)
	}
}

// TestStreamsDoNotHoldUpEachOther: while one stream takes nothing, another goes on.
func TestStreamsDoNotHoldUpEachOther(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	f := connect(t, fabric.Options{Node: "a", Server: srv, Limits: map[string]fabric.Limits{"CDR": {MaxBytes: 64 << 10}}})
	const records = 2000 // far more than fit, and than may be under way
	for i := range records {
		ev := fabric.Event{Subject: fabric.Subject("cdr", "demo", fmt.Sprint(i)), Payload: make([]byte, 200)}
		if err := f.Publish(ev); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if _, err := f.PublishSync(testContext(t), fabric.Event{Subject: call(i)}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.Close(ctx); err == nil {
		t.Error("Close does not say that records were lost")
	}
	stored, lost := metric(t, f, "kafka_producer__messages_total"), metric(t, f, "kafka_producer_dropped_event_number")
	if stored+lost != records+100 || lost == 0 {
		t.Errorf("%v stored and %v lost of %d", stored, lost, records+100)
	}
}

// A reader that comes late is told when it has had what was there, also when none of it was for it.
func TestEventsCaught(t *testing.T) {
	a, _ := newPair(t)
	ctx := testContext(t)
	for i := range 5 {
		if _, err := a.PublishSync(ctx, fabric.Event{Subject: call(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, filter string
		from         fabric.From
		at           uint64
		events       int
	}{
		{"all", "", fabric.From{}, 5, 5},
		{"some", "", fabric.From{Seq: 4}, 5, 2},
		{"the end", "", fabric.From{Seq: 6}, 5, 0},
		{"none that match", fabric.Filter("call", "nobody", fabric.Rest), fabric.From{Seq: 3}, 2, 0},
		{"new", "", fabric.From{New: true}, 5, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			events, at := 0, make(chan uint64, 1)
			c.from.Caught = func(seq uint64) { at <- seq; cancel() }
			if err := a.Subscribe(ctx, fabric.StreamCalls, c.filter, c.from, func(fabric.Message) { events++ }); err != nil {
				t.Fatal(err)
			}
			if seq := <-at; seq != c.at || events != c.events {
				t.Errorf("caught up at %d after %d events, want %d after %d", seq, events, c.at, c.events)
			}
		})
	}
}
