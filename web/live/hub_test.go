package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/voice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	limits = Limits{Streams: 10, PerSession: 3, Pending: 5}
	demo   = Topic{"devices", "demo"}
)

func open(t *testing.T, h *Hub, session string, topic Topic, wants func(string) bool) *Stream {
	t.Helper()
	s, err := h.Open(session, topic, wants)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

// pendingOf returns what s would tell now, without waiting.
func pendingOf(s *Stream) ([]string, bool) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Next(done)
}

func TestMarksAreToldOnceAndInOrder(t *testing.T) {
	h := NewHub(limits)
	s := open(t, h, "a", demo, nil)
	for range 100 {
		h.Mark(demo, "1002", "1001")
	}
	h.Mark(Topic{"devices", "other"}, "1003")
	if keys, ok := pendingOf(s); !ok || !slices.Equal(keys, []string{"1002", "1001"}) {
		t.Errorf("Next = %v, %v, want each key once, in the order of marking", keys, ok)
	}
	h.Mark(demo, "1002")
	if keys, _ := pendingOf(s); !slices.Equal(keys, []string{"1002"}) {
		t.Errorf("Next = %v, want a key that changed again", keys)
	}
}

func TestAFilterKeepsOthersOut(t *testing.T) {
	h := NewHub(limits)
	s := open(t, h, "a", demo, func(key string) bool { return key >= "1001" && key <= "1002" })
	for i := range 1000 { // far more than may be pending
		h.Mark(demo, fmt.Sprint(1000+i))
	}
	if keys, ok := pendingOf(s); !ok || !slices.Equal(keys, []string{"1001", "1002"}) {
		t.Errorf("Next = %v, %v, want only what the page shows", keys, ok)
	}
}

func TestNextWaits(t *testing.T) {
	h := NewHub(limits)
	s := open(t, h, "a", demo, nil)
	got := make(chan []string)
	go func() {
		keys, _ := s.Next(context.Background())
		got <- keys
	}()
	h.Mark(demo, "1001")
	select {
	case keys := <-got:
		if !slices.Equal(keys, []string{"1001"}) {
			t.Errorf("Next = %v", keys)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Next does not return")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if keys, ok := s.Next(ctx); len(keys) > 0 || !ok {
		t.Errorf("Next at the end of its context = %v, %v, want nothing and still open", keys, ok)
	}
}

func TestTooMuchPendingEndsTheStream(t *testing.T) {
	h := NewHub(limits)
	slow, quick := open(t, h, "a", demo, nil), open(t, h, "b", demo, nil)
	for i := range limits.Pending + 1 {
		h.Mark(demo, fmt.Sprint(i))
		if _, ok := pendingOf(quick); !ok {
			t.Fatal("the quick stream ended too")
		}
	}
	if keys, ok := pendingOf(slow); ok || keys != nil {
		t.Errorf("Next of a slow stream = %v, %v, want its end", keys, ok)
	}
	if got := h.Stats(); got != (Stats{Open: 1, Overrun: 1}) {
		t.Errorf("Stats = %+v", got)
	}
	h.Mark(demo, "later") // must not touch what has ended
}

func TestLimits(t *testing.T) {
	h := NewHub(limits)
	var mine []*Stream
	for range limits.PerSession {
		mine = append(mine, open(t, h, "me", demo, nil))
	}
	if _, err := h.Open("me", demo, nil); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("one stream too many of a session: %v, want ErrOverloaded", err)
	}
	mine[0].Close()
	mine[0].Close() // counts once
	open(t, h, "me", demo, nil)
	for i := h.Stats().Open; i < limits.Streams; i++ {
		open(t, h, fmt.Sprint("other", i), Topic{"device", fmt.Sprint(i)}, nil)
	}
	if _, err := h.Open("new", demo, nil); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("one stream too many of all: %v, want ErrOverloaded", err)
	}
}

func TestCloseEndsAllAndLeavesNothing(t *testing.T) {
	h := NewHub(limits)
	var wg sync.WaitGroup
	for i := range 5 {
		s := open(t, h, fmt.Sprint(i), Topic{"device", fmt.Sprint(i)}, nil)
		wg.Go(func() {
			defer s.Close()
			if _, ok := s.Next(context.Background()); ok {
				t.Error("a stream goes on after Close")
			}
		})
	}
	if got := len(h.Names("device")); got != 5 {
		t.Errorf("Names = %d, want 5", got)
	}
	h.Close()
	h.Wait()
	wg.Wait()
	if _, err := h.Open("x", demo, nil); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Open after Close: %v, want ErrUnavailable", err)
	}
	if len(h.byTopic) != 0 || len(h.sessions) != 0 || h.open != 0 {
		t.Errorf("left behind: %d topics, %d sessions, %d open", len(h.byTopic), len(h.sessions), h.open)
	}
}

func TestManyAtOnce(t *testing.T) {
	h := NewHub(Limits{Streams: 100, PerSession: 100, Pending: 50})
	ctx, cancel := context.WithCancel(context.Background())
	var readers, writers sync.WaitGroup
	for range 20 {
		s := open(t, h, "a", demo, nil)
		readers.Go(func() {
			defer s.Close()
			for {
				if _, ok := s.Next(ctx); !ok || ctx.Err() != nil {
					return
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 1000 {
				h.Mark(demo, fmt.Sprint((w+i)%40))
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	if got := h.Stats().Open; got != 0 {
		t.Errorf("%d streams left", got)
	}
}
