package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

// ledger notes what a durable reader took.
type ledger struct {
	mu      sync.Mutex
	taken   map[uint64]int // how often, by sequence
	batches []int
}

func (l *ledger) note(batch []fabric.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken = map[uint64]int{}
	}
	for _, m := range batch {
		l.taken[m.Seq]++
	}
	l.batches = append(l.batches, len(batch))
}

// want says what is missing of the events 1 to n, each taken times times.
func (l *ledger) want(n, times int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.taken) != n {
		return fmt.Errorf("%d events taken, want %d", len(l.taken), n)
	}
	for seq, got := range l.taken {
		if got != times {
			return fmt.Errorf("event %d taken %d times, want %d", seq, got, times)
		}
	}
	return nil
}

// consume runs a durable reader; stop ends it and reports its error.
func consume(t *testing.T, f *fabric.Fabric, d fabric.Durable, fn func(context.Context, []fabric.Message) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Consume(ctx, d, fn) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := next(t, done); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func publishCDRs(t *testing.T, f *fabric.Fabric, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := f.Publish(fabric.Event{Subject: fabric.Subject("cdr", "demo", fmt.Sprint(i)), Payload: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func reader(name string) fabric.Durable {
	return fabric.Durable{Stream: fabric.StreamCDR, Name: name, Batch: 200, Linger: 50 * time.Millisecond, Patience: time.Second}
}

func confirmed(f *fabric.Fabric, name string) error {
	b, err := f.Backlog(context.Background(), fabric.StreamCDR, name)
	if err == nil && b != (fabric.Backlog{}) {
		err = fmt.Errorf("backlog %+v, want none", b)
	}
	return err
}

func TestDurableGoesOnWhereItWas(t *testing.T) {
	f, _ := newPair(t)
	var l ledger
	take := func(_ context.Context, batch []fabric.Message) error { l.note(batch); return nil }
	publishCDRs(t, f, 1, 450)
	stop := consume(t, f, reader("r"), take)
	eventually(t, func() error { return l.want(450, 1) })
	eventually(t, func() error { return confirmed(f, "r") })
	stop()
	if slices.Max(l.batches) > 200 || len(l.batches) > 10 {
		t.Errorf("batches of %v, want few of at most 200", l.batches)
	}
	publishCDRs(t, f, 451, 460)
	if b, err := f.Backlog(testContext(t), fabric.StreamCDR, "r"); err != nil || b.Waiting != 10 {
		t.Errorf("Backlog while nobody reads = %+v, %v, want 10 waiting", b, err)
	}
	consume(t, f, reader("r"), take)
	eventually(t, func() error { return l.want(460, 1) })
}

func TestDurableRepeatsWhatFailed(t *testing.T) {
	f := fabrictest.New(t)
	var l, failed ledger
	publishCDRs(t, f, 1, 20)
	consume(t, f, reader("r"), func(_ context.Context, batch []fabric.Message) error {
		switch failed.note(batch); len(failed.batches) {
		case 1:
			return errors.New("not now")
		case 2:
			panic("nor now")
		}
		l.note(batch)
		return nil
	})
	eventually(t, func() error { return l.want(20, 1) })
}

// TestDurableRepeatsUnconfirmed cuts the connection after the work is done and before it is confirmed.
func TestDurableRepeatsUnconfirmed(t *testing.T) {
	way := &link{to: fabrictest.Server(t, t.TempDir())}
	f := fabrictest.Connect(t, way, "a")
	publishCDRs(t, f, 1, 20)
	var l ledger
	var once sync.Once
	consume(t, f, reader("r"), func(_ context.Context, batch []fabric.Message) error {
		l.note(batch)
		once.Do(way.cut)
		return nil
	})
	eventually(t, func() error { return l.want(20, 1) })
	way.mend()
	eventually(t, func() error { return l.want(20, 2) })
	eventually(t, func() error { return confirmed(f, "r") })
}

func TestDurableIsShared(t *testing.T) {
	a, b := newPair(t)
	var l, both ledger
	met := make(chan struct{}) // closed when both have had a batch
	for _, f := range []*fabric.Fabric{a, b} {
		first := true
		consume(t, f, reader("r"), func(ctx context.Context, batch []fabric.Message) error {
			l.note(batch)
			if !first {
				return nil
			}
			first = false
			both.note(batch[:1])
			both.mu.Lock()
			if len(both.batches) == 2 {
				close(met)
			}
			both.mu.Unlock()
			select {
			case <-met:
			case <-ctx.Done():
				t.Error("the other reader gets nothing while this one works")
			}
			return nil
		})
	}
	publishCDRs(t, a, 1, 1000)
	eventually(t, func() error { return l.want(1000, 1) })
}

func TestDurableSurvivesTheLossOfItsPlace(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	f := fabrictest.Connect(t, srv, "a")
	var l ledger
	consume(t, f, reader("r"), func(_ context.Context, batch []fabric.Message) error { l.note(batch); return nil })
	publishCDRs(t, f, 1, 5)
	eventually(t, func() error { return confirmed(f, "r") })
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.RequestWithContext(testContext(t), "$JS.API.CONSUMER.DELETE.CDR.r", nil); err != nil {
		t.Fatal(err)
	}
	publishCDRs(t, f, 6, 6)
	eventually(t, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.taken[1] != 2 || l.taken[6] != 1 {
			return fmt.Errorf("taken %v, want the first five again and the sixth", l.taken)
		}
		return nil
	})
}

func TestTrimKeepsWhatIsNotConfirmed(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	f := connect(t, fabric.Options{Node: "a", Server: srv, Limits: map[string]fabric.Limits{fabric.StreamCDR: {MaxBytes: 64 << 10}}})
	t.Cleanup(func() {
		if err := closeNow(t, f); err != nil {
			t.Error(err)
		}
	})
	ctx := testContext(t)
	fill := func(n int) {
		t.Helper()
		for i := range n {
			if _, err := f.PublishSync(ctx, fabric.Event{Subject: fabric.Subject("cdr", "demo", fmt.Sprint(i)), Payload: make([]byte, 1<<10)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	trim := func(least, most uint64) {
		t.Helper()
		if n, err := f.Trim(ctx, fabric.StreamCDR); err != nil || n < least || n > most {
			t.Errorf("Trim = %d, %v, want %d to %d", n, err, least, most)
		}
	}
	var l ledger
	fill(10)
	trim(0, 0) // less than half full
	fill(35)
	trim(0, 0) // nobody has confirmed anything
	stop := consume(t, f, reader("fast"), func(_ context.Context, batch []fabric.Message) error { l.note(batch); return nil })
	eventually(t, func() error { return l.want(45, 1) })
	eventually(t, func() error { return confirmed(f, "fast") })
	held := make(chan struct{})
	consume(t, f, fabric.Durable{Stream: fabric.StreamCDR, Name: "slow", Batch: 1, Patience: time.Second}, func(ctx context.Context, batch []fabric.Message) error {
		if batch[0].Seq <= 3 {
			return nil
		}
		if batch[0].Seq == 4 {
			close(held)
			<-ctx.Done()
		}
		return errors.New("no more")
	})
	next(t, held)
	eventually(t, func() error {
		n, err := f.Trim(ctx, fabric.StreamCDR)
		if err == nil && n != 3 {
			err = fmt.Errorf("Trim = %d, want the three that both have confirmed", n)
		}
		return err
	})
	stop()
}

func TestDurableRefused(t *testing.T) {
	f := fabrictest.New(t)
	for what, d := range map[string]fabric.Durable{
		"no stream":   {Stream: "NOTHING", Name: "r", Batch: 1},
		"no name":     {Stream: fabric.StreamCDR, Batch: 1},
		"a wide name": {Stream: fabric.StreamCDR, Name: "r.*", Batch: 1},
		"no batch":    {Stream: fabric.StreamCDR, Name: "r"},
		"no patience": {Stream: fabric.StreamCDR, Name: "r", Batch: 1, Patience: time.Millisecond},
	} {
		if err := f.Consume(t.Context(), d, nil); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("%s: Consume = %v, want ErrInvalid", what, err)
		}
	}
	if _, err := f.Backlog(t.Context(), fabric.StreamCDR, "nobody"); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("Backlog of nobody = %v, want ErrNotFound", err)
	}
}
