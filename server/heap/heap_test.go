package heap

import (
	"bytes"
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, most}, {1 << 20, most}, {48 << 20, 250}, {480 << 20, 160}, {1 << 40, growth}} {
		if got := percentFor(c.live); got != c.want {
			t.Errorf("percentFor(%d MB) = %d, want %d", c.live>>20, got, c.want)
		}
	}
}

// gcPercent is what the runtime works with.
func gcPercent() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

// TestRunFollowsTheHeap: the percentage falls as the heap fills, and is restored in the end.
func TestRunFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx) }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: GC percent is %d", what, gcPercent())
			}
			runtime.GC()
		}
	}
	until("a small heap", func() bool { return gcPercent() > 400 })
	full := make([]byte, 200<<20)
	until("a full heap", func() bool { return gcPercent() < 200 })
	runtime.KeepAlive(full)
	cancel()
	if err := <-done; err != nil || gcPercent() != 77 {
		t.Errorf("Run = %v, GC percent %d, want 77", err, gcPercent())
	}
}

// TestQuietHeapGoesBack: what a busy time took is the system's again after a quiet one.
func TestQuietHeapGoesBack(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	const mb, kept, used, quiet = 1 << 20, 60, 300, 100 * time.Millisecond // so much is alive that its garbage may stay
	held := func() int64 {
		s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64()) - int64(s[1].Value.Uint64())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, quiet) }()
	blocks := make([][]byte, kept+used)
	for i := range blocks {
		blocks[i] = bytes.Repeat([]byte{1}, mb)
	}
	busy := held()
	clear(blocks[kept:])
	defer runtime.KeepAlive(blocks)
	<-time.After(2 * quiet)
	runtime.GC() // as the runtime has it after two idle minutes
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); held() > busy-(used-kept)*mb; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d MB are held, %d were in the busy time", held()/mb, busy/mb)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
