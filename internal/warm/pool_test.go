package warm

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestJobsDoNotWaitForEachOther: as many goroutines as jobs, of which as many stay as may, and none when it ends.
func TestJobsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs, kept = 50, 8
		var running, most, done atomic.Int32
		p := New(kept, func(d time.Duration) {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(d)
			running.Add(-1)
			done.Add(1)
		})
		ctx, cancel := context.WithCancel(t.Context())
		for range jobs {
			p.Do(ctx, time.Second)
		}
		time.Sleep(patience / 2)
		if most.Load() != jobs || done.Load() != jobs || len(p.idle) != kept {
			t.Errorf("%d at once, %d done, %d wait; want %d, %d, %d", most.Load(), done.Load(), len(p.idle), jobs, jobs, kept)
		}
		for range kept {
			p.Do(ctx, time.Second)
			synctest.Wait()
		}
		if len(p.idle) != 0 {
			t.Errorf("%d still wait though there was work for all", len(p.idle))
		}
		time.Sleep(2 * patience)
		synctest.Wait()
		if len(p.idle) != 0 {
			t.Errorf("%d still wait though nothing came for two minutes", len(p.idle))
		}
		cancel()
		p.Do(ctx, time.Second) // after the end, too
		p.Wait()
		if done.Load() != jobs+kept+1 {
			t.Errorf("%d done", done.Load())
		}
	})
}

func BenchmarkDeepJob(b *testing.B) {
	var wg sync.WaitGroup
	deep := func(int) { grow(100); wg.Done() }
	b.Run("kept", func(b *testing.B) {
		p := New(1, deep)
		for b.Loop() {
			wg.Add(1)
			p.Do(b.Context(), 0)
			wg.Wait()
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			wg.Add(1)
			go deep(0)
			wg.Wait()
		}
	})
}

// grow uses some 10 KB of stack.
//
//go:noinline
func grow(n int) byte {
	var room [64]byte
	if n > 0 {
		room[n%len(room)] = grow(n - 1)
	}
	return room[0]
}
