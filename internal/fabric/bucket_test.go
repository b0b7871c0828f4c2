package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

// put is Put that must succeed.
func put(t testing.TB, b *fabric.Bucket, key, value string, o fabric.PutOptions) uint64 {
	t.Helper()
	rev, err := b.Put(testContext(t), key, []byte(value), o)
	if err != nil {
		t.Fatalf("Put(%s): %v", key, err)
	}
	return rev
}

func TestBucket(t *testing.T) {
	a, b := newPair(t)
	ctx := testContext(t)
	mine, theirs := a.Bucket(fabric.BucketAgents), b.Bucket(fabric.BucketAgents)
	key := fabric.Key("demo", "a.b *")

	if _, err := mine.Get(ctx, key); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("Get of nothing = %v", err)
	}
	if err := mine.Delete(ctx, key, fabric.PutOptions{}); err != nil {
		t.Errorf("Delete of nothing = %v", err)
	}
	rev := put(t, mine, key, "1", fabric.PutOptions{CAS: true})
	e, err := theirs.Get(ctx, key)
	if err != nil || e.Key != key || string(e.Value) != "1" || e.Revision != rev || e.Op != fabric.EntryPut || time.Since(e.Time) > testTime {
		t.Errorf("Get = %+v, %v", e, err)
	}
	rev2 := put(t, theirs, key, "2", fabric.PutOptions{CAS: true, Revision: rev})
	for what, o := range map[string]fabric.PutOptions{"must not exist": {CAS: true}, "an old revision": {CAS: true, Revision: rev}} {
		if _, err := mine.Put(ctx, key, nil, o); !errors.Is(err, voice.ErrConflict) {
			t.Errorf("%s: Put = %v", what, err)
		}
	}
	if err := mine.Delete(ctx, key, fabric.PutOptions{CAS: true, Revision: rev}); !errors.Is(err, voice.ErrConflict) {
		t.Errorf("Delete of an old revision = %v", err)
	}
	if err := mine.Delete(ctx, key, fabric.PutOptions{CAS: true, Revision: rev2}); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if err := mine.Delete(ctx, key, fabric.PutOptions{CAS: true, Revision: rev2}); err != nil {
		t.Errorf("Delete of what is gone = %v", err)
	}
	if _, err := theirs.Get(ctx, key); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("Get of the deleted = %v", err)
	}
	if _, err := theirs.Put(ctx, key, nil, fabric.PutOptions{CAS: true, Revision: rev2}); !errors.Is(err, voice.ErrConflict) {
		t.Errorf("Put over the deleted = %v", err)
	}
	put(t, theirs, key, "3", fabric.PutOptions{CAS: true})
}

func TestBucketRefuses(t *testing.T) {
	f := fabrictest.New(t)
	b := f.Bucket(fabric.BucketAgents)
	ctx := testContext(t)
	for _, key := range []string{"", "*", ">", "a b", "a..b", ".a", "a.", "a\x00", "ü", strings.Repeat("x", 2000)} {
		if _, err := b.Put(ctx, key, nil, fabric.PutOptions{}); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("Put(%q) = %v", key, err)
		}
		if _, err := b.Get(ctx, key); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("Get(%q) = %v", key, err)
		}
		if err := b.Delete(ctx, key, fabric.PutOptions{}); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("Delete(%q) = %v", key, err)
		}
		if key != "" {
			if err := b.Watch(ctx, key, func(fabric.Entry) {}, nil); !errors.Is(err, voice.ErrInvalid) {
				t.Errorf("Watch(%q) = %v", key, err)
			}
		}
	}
	if _, err := b.Put(ctx, "k", make([]byte, 1<<20+1), fabric.PutOptions{}); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("Put of a large value = %v", err)
	}
	done := make(chan error, 1)
	b.PutAsync("a b", nil, fabric.PutOptions{}, func(_ uint64, err error) { done <- err })
	if err := next(t, done); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("PutAsync = %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Bucket of an unknown name did not panic")
		}
	}()
	f.Bucket("nothing")
}

// TestCompareAndSetRace: many writers on two nodes count one key up; no increment is lost.
func TestCompareAndSetRace(t *testing.T) {
	a, b := newPair(t)
	ctx := testContext(t)
	const writers, each = 8, 50
	var conflicts atomic.Int64
	var g errgroup.Group
	for i := range writers {
		bucket := []*fabric.Fabric{a, b}[i%2].Bucket(fabric.BucketQueues)
		g.Go(func() error {
			for range each {
				for {
					n := 0
					e, err := bucket.Get(ctx, "n")
					if err == nil {
						_, err = fmt.Sscan(string(e.Value), &n)
					}
					if err != nil && !errors.Is(err, voice.ErrNotFound) {
						return err
					}
					_, err = bucket.Put(ctx, "n", []byte(fmt.Sprint(n+1)), fabric.PutOptions{CAS: true, Revision: e.Revision})
					if err == nil {
						break
					}
					if !errors.Is(err, voice.ErrConflict) {
						return err
					}
					conflicts.Add(1)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	e, err := a.Bucket(fabric.BucketQueues).Get(ctx, "n")
	if want := fmt.Sprint(writers * each); string(e.Value) != want || err != nil {
		t.Errorf("counted to %s, %v, want %s", e.Value, err, want)
	}
	t.Logf("%d increments met %d conflicts", writers*each, conflicts.Load())
}

// TestCreateRace: of many who create a key, also one that was deleted, one wins.
func TestCreateRace(t *testing.T) {
	f := fabrictest.New(t)
	b := f.Bucket(fabric.BucketLeases)
	for round := range 5 {
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for i := range 16 {
			result := func(_ uint64, err error) {
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, voice.ErrConflict):
					lost.Add(1)
				default:
					t.Error(err)
				}
				wg.Done()
			}
			wg.Add(1)
			if i%2 == 0 {
				b.PutAsync("lease", nil, fabric.PutOptions{CAS: true}, result)
			} else {
				go func() { result(b.Put(testContext(t), "lease", nil, fabric.PutOptions{CAS: true})) }()
			}
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 15 {
			t.Errorf("round %d: %d won, %d lost", round, won.Load(), lost.Load())
		}
		if err := b.Delete(t.Context(), "lease", fabric.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPutAsyncOrder(t *testing.T) {
	f := fabrictest.New(t)
	b := f.Bucket(fabric.BucketAgents)
	const n = 10000 // more than may be under way at once
	revs := make([]uint64, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		b.PutAsync("k", []byte(fmt.Sprint(i)), fabric.PutOptions{}, func(rev uint64, err error) {
			if err != nil {
				t.Error(err)
			}
			revs[i] = rev
			wg.Done()
		})
	}
	wg.Wait()
	for i := 1; i < n; i++ {
		if revs[i] <= revs[i-1] {
			t.Fatalf("put %d has revision %d, the one before %d", i, revs[i], revs[i-1])
		}
	}
	if e, err := b.Get(testContext(t), "k"); string(e.Value) != fmt.Sprint(n-1) || e.Revision != revs[n-1] || err != nil {
		t.Errorf("Get = %+v, %v", e, err)
	}
}

func TestPutWithoutConnection(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	way := &link{to: srv}
	f := connect(t, fabric.Options{Node: "a", Server: way})
	b := f.Bucket(fabric.BucketAgents)
	way.cut()
	eventually(t, func() error {
		if _, err := b.Put(t.Context(), "k", nil, fabric.PutOptions{}); !errors.Is(err, voice.ErrUnavailable) {
			return fmt.Errorf("Put = %v", err)
		}
		return nil
	})
	done := make(chan error, 1)
	b.PutAsync("k", nil, fabric.PutOptions{}, func(_ uint64, err error) { done <- err })
	if err := next(t, done); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("PutAsync = %v", err)
	}
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Get = %v", err)
	}
	way.mend()
	eventually(t, func() error {
		_, err := b.Put(t.Context(), "k", nil, fabric.PutOptions{})
		return err
	})
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
	if _, err := b.Put(t.Context(), "k", nil, fabric.PutOptions{}); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Put after Close = %v", err)
	}
	if err := b.Watch(t.Context(), "", func(fabric.Entry) {}, nil); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Watch after Close = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Put(ctx, "k", nil, fabric.PutOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Put for nobody = %v", err)
	}
}
