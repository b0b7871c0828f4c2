package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

type question struct {
	N    int
	Fail string
}

type answer struct {
	Node string
	N    int
}

var double = fabric.NewDoor[question, answer]("calc", "double", 5*time.Second)

var fieldError = voice.FieldError{Field: "n", Reason: "is odd", Line: 3}

// serve serves double on f; Fail chooses how it fails.
func serve(t testing.TB, f *fabric.Fabric) (stop func()) {
	t.Helper()
	stop, err := fabric.Handle(testContext(t), f, double, func(ctx context.Context, q question) (answer, error) {
		switch q.Fail {
		case "":
			return answer{f.Node(), 2 * q.N}, nil
		case "fields":
			return answer{}, voice.Invalid(fieldError)
		case "wrapped":
			return answer{}, fmt.Errorf("looking for %d: %w", q.N, voice.ErrNotFound)
		case "defect":
			return answer{}, errors.New("the password is s3cret")
		case "panic":
			panic("the password is s3cret")
		case "slow":
			<-ctx.Done()
			return answer{}, ctx.Err()
		default:
			t.Errorf("unknown failure %q", q.Fail)
			return answer{}, nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

// TestDoorBothSides: a door behaves the same in its own process and from another node.
func TestDoorBothSides(t *testing.T) {
	here, there := newPair(t)
	serve(t, here)
	for _, f := range []*fabric.Fabric{here, there} {
		t.Run(f.Node(), func(t *testing.T) {
			ctx := testContext(t)
			if got, err := fabric.Call(ctx, f, double, question{N: 21}); got != (answer{"a", 42}) || err != nil {
				t.Errorf("Call = %+v, %v", got, err)
			}
			if got, err := fabric.CallNode(ctx, f, double, "a", question{N: 21}); got != (answer{"a", 42}) || err != nil {
				t.Errorf("CallNode = %+v, %v", got, err)
			}
			if _, err := fabric.CallNode(ctx, f, double, "b", question{}); !errors.Is(err, voice.ErrUnavailable) {
				t.Errorf("CallNode of a node that does not serve = %v", err)
			}
			for fail, want := range map[string]struct {
				sentinel error
				text     string
			}{
				"fields":  {voice.ErrInvalid, "n: is odd"},
				"wrapped": {voice.ErrNotFound, "looking for 0: not found"},
				"defect":  {voice.ErrInternal, "internal error"},
				"panic":   {voice.ErrInternal, "internal error"},
			} {
				_, err := fabric.Call(ctx, f, double, question{Fail: fail})
				var e *voice.Error
				if !errors.Is(err, want.sentinel) || !errors.As(err, &e) || e.Message != want.text {
					t.Errorf("%s: %v, want %v with %q", fail, err, want.sentinel, want.text)
				}
				if fail == "fields" && (len(e.Fields) != 1 || e.Fields[0] != fieldError) {
					t.Errorf("fields = %+v", e.Fields)
				}
			}
		})
	}
}

func TestDoorDeadlines(t *testing.T) {
	t.Parallel()
	here, there := newPair(t)
	serve(t, here)
	quick := double
	quick.Timeout = 50 * time.Millisecond
	for _, f := range []*fabric.Fabric{here, there} {
		t.Run(f.Node(), func(t *testing.T) {
			if _, err := fabric.Call(t.Context(), f, quick, question{Fail: "slow"}); !errors.Is(err, voice.ErrTimeout) {
				t.Errorf("the door's own timeout: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := fabric.Call(ctx, f, double, question{Fail: "slow"}); !errors.Is(err, voice.ErrTimeout) {
				t.Errorf("the caller's deadline: %v", err)
			}
			<-ctx.Done()
			if _, err := fabric.Call(ctx, f, double, question{}); !errors.Is(err, voice.ErrTimeout) {
				t.Errorf("a deadline that has passed: %v", err)
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, err := fabric.Call(ctx, f, double, question{Fail: "slow"}); !errors.Is(err, context.Canceled) {
				t.Errorf("a caller that goes away: %v", err)
			}
		})
	}
}

func TestDoorContext(t *testing.T) {
	f := fabrictest.New(t)
	door := fabric.NewDoor[struct{}, struct{}]("calc", "look", time.Minute)
	type keyType struct{}
	var late context.Context
	_, err := fabric.Handle(testContext(t), f, door, func(ctx context.Context, _ struct{}) (struct{}, error) {
		late = ctx
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > time.Minute || time.Until(d) < 50*time.Second {
			t.Errorf("deadline %v, %v", d, ok)
		}
		if ctx.Value(keyType{}) != "v" {
			t.Error("the caller's values are lost")
		}
		if ctx.Err() != nil {
			t.Errorf("ended from birth: %v", ctx.Err())
		}
		sub, cancel := context.WithCancel(ctx)
		defer cancel()
		select {
		case <-sub.Done():
			t.Error("a context made of it has ended from birth")
		default:
		}
		return struct{}{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fabric.Call(context.WithValue(t.Context(), keyType{}, "v"), f, door, struct{}{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-late.Done():
	default:
		t.Error("the context goes on after the call")
	}
	if !errors.Is(late.Err(), context.Canceled) {
		t.Errorf("Err = %v", late.Err())
	}
}

// TestDoorStop: stop waits for what is in progress; afterwards another node serves, then nobody.
func TestDoorStop(t *testing.T) {
	a, b := newPair(t)
	ctx := testContext(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	door := fabric.NewDoor[int, string]("calc", "wait", time.Minute)
	stop, err := fabric.Handle(ctx, a, door, func(_ context.Context, n int) (string, error) {
		if n == 1 {
			close(entered)
			<-leave
		}
		return "a", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, a) // another door of the same service, which goes on
	if _, err := fabric.Handle(ctx, b, door, func(context.Context, int) (string, error) { return "b", nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := fabric.Handle(ctx, b, door, func(context.Context, int) (string, error) { return "", nil }); !errors.Is(err, voice.ErrExists) {
		t.Errorf("serving a door twice: %v", err)
	}
	in := make(chan error, 1)
	go func() {
		got, err := fabric.CallNode(ctx, b, door, "a", 1)
		if got != "a" {
			err = fmt.Errorf("got %q, %v", got, err)
		}
		in <- err
	}()
	next(t, entered)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	eventually(t, func() error {
		if got, err := fabric.Call(ctx, a, door, 0); got != "b" {
			return fmt.Errorf("a closed door answers %q, %v", got, err)
		}
		return nil
	})
	select {
	case <-stopped:
		t.Error("stop did not wait")
	default:
	}
	close(leave)
	next(t, stopped)
	if err := next(t, in); err != nil {
		t.Error(err)
	}
	for range 20 { // no request of the queue group comes to a any more
		if got, err := fabric.Call(ctx, b, door, 0); got != "b" || err != nil {
			t.Errorf("Call = %q, %v", got, err)
		}
		if got, err := fabric.Call(ctx, a, door, 0); got != "b" || err != nil {
			t.Errorf("Call = %q, %v", got, err)
		}
	}
	if got, err := fabric.Call(ctx, b, double, question{N: 1}); got.Node != "a" || err != nil {
		t.Errorf("the other door: %+v, %v", got, err)
	}
}

func TestDoorContextEnds(t *testing.T) {
	a, b := newPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	door := fabric.NewDoor[int, int]("calc", "same", time.Second)
	if _, err := fabric.Handle(ctx, a, door, func(_ context.Context, n int) (int, error) { return n, nil }); err != nil {
		t.Fatal(err)
	}
	cancel()
	for _, f := range []*fabric.Fabric{a, b} {
		eventually(t, func() error {
			if _, err := fabric.Call(t.Context(), f, door, 1); !errors.Is(err, voice.ErrUnavailable) {
				return fmt.Errorf("call of a closed door: %v", err)
			}
			return nil
		})
	}
}

func TestDoorOverload(t *testing.T) {
	a, b := newPair(t)
	ctx := testContext(t)
	const limit = 4096
	release := make(chan struct{})
	door := fabric.NewDoor[int, int]("calc", "hold", time.Minute)
	if _, err := fabric.Handle(ctx, a, door, func(_ context.Context, n int) (int, error) { <-release; return n, nil }); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var full sync.Once
	refused := make(chan error, 1)
	for range limit + 1 {
		wg.Go(func() {
			if _, err := fabric.Call(ctx, a, door, 1); err != nil {
				full.Do(func() { refused <- err })
			}
		})
	}
	if err := next(t, refused); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("local: %v", err)
	}
	if _, err := fabric.Call(ctx, b, door, 1); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("remote: %v", err)
	}
	close(release)
	wg.Wait()
	if n, err := fabric.Call(ctx, b, door, 7); n != 7 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestDoorSizes(t *testing.T) {
	a, b := newPair(t)
	ctx := testContext(t)
	door := fabric.NewDoor[string, string]("calc", "repeat", time.Minute)
	if _, err := fabric.Handle(ctx, a, door, func(_ context.Context, s string) (string, error) { return strings.Repeat(s, 2), nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := fabric.Call(ctx, b, door, strings.Repeat("x", 3<<20)); len(got) != 6<<20 || err != nil {
		t.Errorf("3 MiB: %d bytes, %v", len(got), err)
	}
	if _, err := fabric.Call(ctx, b, door, strings.Repeat("x", 5<<20)); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("an answer that is too large: %v", err)
	}
	if _, err := fabric.Call(ctx, b, door, strings.Repeat("x", 9<<20)); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("a request that is too large: %v", err)
	}
}

func TestDoorNames(t *testing.T) {
	f := fabrictest.New(t)
	for _, d := range []fabric.Door[int, int]{fabric.NewDoor[int, int]("a.b", "c", 0), fabric.NewDoor[int, int]("a", "*", 0), fabric.NewDoor[int, int]("", "", 0)} {
		if _, err := fabric.Handle(t.Context(), f, d, func(_ context.Context, n int) (int, error) { return n, nil }); err == nil {
			t.Errorf("door %q of %q was opened", d.Name, d.Service)
		}
	}
}
