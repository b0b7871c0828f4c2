package pace

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// turn is a stream made of a function.
type turn func(due time.Time)

func (f turn) Tick(due time.Time) { f(due) }

// inTime runs a test with a running clock, in a time that jumps.
func inTime(t *testing.T, workers int, test func(t *testing.T, c *Clock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := New(workers)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		test(t, c)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// elapse lets time go by, and everything come to rest.
func elapse(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTicksAreDueTwentyMillisecondsApartForAnHour(t *testing.T) {
	inTime(t, 1, func(t *testing.T, c *Clock) {
		start := time.Now()
		var n int
		m := c.Join(Play, turn(func(due time.Time) {
			n++
			if want := start.Add(time.Duration(n) * Tick); !due.Equal(want) || !time.Now().Equal(want) {
				t.Errorf("turn %d: due %v at %v, want %v", n, due.Sub(start), time.Since(start), want.Sub(start))
			}
			if n%7 == 0 {
				time.Sleep(3 * time.Millisecond) // work, which the schedule does not see
			}
		}))
		elapse(time.Hour + Tick/2)
		m.Leave()
		synctest.Wait()
		if want := int(time.Hour / Tick); n != want {
			t.Errorf("%d turns in an hour, want %d", n, want)
		}
	})
}

func TestLateTicksAreMadeUpForWithinABound(t *testing.T) {
	for _, test := range []struct {
		name             string
		stall            time.Duration
		late, skipped, n int // in the second that follows the stalled turn
	}{
		{"not at all late", 15 * time.Millisecond, 0, 0, 50},
		{"as many as are due", 110 * time.Millisecond, 4, 0, 50},
		{"ten", 500 * time.Millisecond, 10, 14, 50 - 14},
	} {
		t.Run(test.name, func(t *testing.T) {
			inTime(t, 1, func(t *testing.T, c *Clock) {
				start := time.Now()
				n, last := 0, start
				m := c.Join(Listen, turn(func(due time.Time) {
					if off := due.Sub(start) % Tick; off != 0 || !due.After(last) {
						t.Errorf("due %v after the start, the one before %v", due.Sub(start), last.Sub(start))
					}
					last = due
					if n++; n == 1 {
						time.Sleep(test.stall)
					}
				}))
				elapse(time.Second + Tick/2)
				m.Leave()
				synctest.Wait()
				s := c.Stats()
				if n != test.n || s.Late != uint64(test.late) || s.Skipped != uint64(test.skipped) {
					t.Errorf("%d turns, %d late, %d skipped; want %d, %d, %d", n, s.Late, s.Skipped, test.n, test.late, test.skipped)
				}
			})
		})
	}
}

func TestAllListenBeforeAnyPlays(t *testing.T) {
	const streams = 10 * portion
	inTime(t, 4, func(t *testing.T, c *Clock) {
		var listened, played atomic.Int64
		var members []*Member
		for range streams {
			members = append(members, c.Join(Play, turn(func(time.Time) {
				played.Add(1)
				if n := listened.Load(); n%streams != 0 {
					t.Errorf("%d listened when one played", n)
				}
			})))
			members = append(members, c.Join(Listen, turn(func(time.Time) {
				listened.Add(1)
				if n := played.Load(); n%streams != 0 {
					t.Errorf("%d played when one listened", n)
				}
			})))
		}
		elapse(10*Tick + Tick/2)
		for _, m := range members {
			m.Leave()
		}
		synctest.Wait()
		if l, p := listened.Load(), played.Load(); l != 10*streams || p != 10*streams {
			t.Errorf("%d listened and %d played, want %d each", l, p, 10*streams)
		}
	})
}

func TestEachStreamHasOneTurnATickWhileOthersComeAndGo(t *testing.T) {
	inTime(t, 3, func(t *testing.T, c *Clock) {
		type count struct {
			turns int
			last  time.Time
		}
		counts := make([]count, 5*portion)
		members := make([]*Member, len(counts))
		for i := range counts {
			members[i] = c.Join(Play, turn(func(due time.Time) {
				if counts[i].turns++; due.Equal(counts[i].last) {
					t.Errorf("stream %d has two turns in a tick", i)
				}
				counts[i].last = due
			}))
		}
		elapse(5*Tick + Tick/2)
		for i := 0; i < len(members); i += 3 {
			members[i].Leave()
			members[i].Leave() // does no harm
		}
		elapse(5 * Tick)
		for i, n := range counts {
			if want := 5 + min(1, i%3)*5; n.turns != want {
				t.Errorf("stream %d had %d turns, want %d", i, n.turns, want)
			}
		}
		if got, want := c.Stats().Playing, len(members)-(len(members)+2)/3; got != want {
			t.Errorf("%d play, want %d", got, want)
		}
		for _, m := range members {
			m.Leave()
		}
	})
}

func TestLeavingInTheOwnTurnIsTheLastTurn(t *testing.T) {
	inTime(t, 1, func(t *testing.T, c *Clock) {
		var m atomic.Pointer[Member]
		n := 0
		m.Store(c.Join(Listen, turn(func(time.Time) {
			n++
			m.Load().Leave()
		})))
		elapse(time.Second)
		if n != 1 {
			t.Errorf("%d turns, want 1", n)
		}
	})
}

func TestWithoutStreamsTheClockSleeps(t *testing.T) {
	inTime(t, 1, func(t *testing.T, c *Clock) {
		elapse(time.Hour)
		var turns []time.Duration
		start := time.Now()
		m := c.Join(Listen, turn(func(time.Time) { turns = append(turns, time.Since(start)) }))
		elapse(3*Tick + Tick/2)
		m.Leave()
		elapse(time.Hour)
		if want := []time.Duration{Tick, 2 * Tick, 3 * Tick}; !slices.Equal(turns, want) {
			t.Errorf("turns %v after joining, want %v", turns, want)
		}
		if n := c.Stats().Ticks; n != 3 {
			t.Errorf("%d ticks in two hours with a stream for 70 ms, want 3", n)
		}
	})
}

func TestComingAndGoingFromManySides(t *testing.T) {
	c := New(2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				had := make(chan struct{}, 1)
				m := c.Join(Play, turn(func(time.Time) {
					select {
					case had <- struct{}{}:
					default:
					}
				}))
				c.Join(Listen, turn(func(time.Time) {})).Leave()
				if i%10 == 0 { // most do not wait for their turn
					<-had
				}
				m.Leave()
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if s := c.Stats(); s.Listening != 0 || s.Playing != 0 {
		t.Errorf("%+v after all left", s)
	}
}

// BenchmarkTick is what the clock adds to the work of a stream.
func BenchmarkTick(b *testing.B) {
	c := New(1)
	const streams = 1000
	var n atomic.Int64
	for range streams {
		c.Join(Play, turn(func(time.Time) { n.Add(1) }))
	}
	c.apply()
	b.ReportAllocs()
	for b.Loop() {
		c.apply()
		c.tick(time.Now())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*streams), "ns/stream")
}

func BenchmarkJoinLeave(b *testing.B) {
	c := New(1)
	s := turn(func(time.Time) {})
	b.ReportAllocs()
	for b.Loop() {
		c.Join(Play, s).Leave()
		c.apply()
	}
}
