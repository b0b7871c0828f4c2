package fabric_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
)

// cpu runs the timed part of a benchmark and reports the processor time of the whole process a operation, client and
// server together.
func cpu(b *testing.B, run func()) {
	b.Helper()
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	run()
	b.StopTimer()
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type benchRequest struct {
	Tenant, DN string
	N          int
}

var benchDoor = fabric.NewDoor[*benchRequest, *benchRequest]("bench", "echo", time.Second)

func echo(_ context.Context, r *benchRequest) (*benchRequest, error) { return r, nil }

func BenchmarkDoorLocal(b *testing.B) {
	f := fabrictest.New(b)
	if _, err := fabric.Handle(b.Context(), f, benchDoor, echo); err != nil {
		b.Fatal(err)
	}
	req := &benchRequest{"demo", "1001", 1}
	cpu(b, func() {
		for b.Loop() {
			if _, err := fabric.Call(b.Context(), f, benchDoor, req); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDoorRemote(b *testing.B) {
	srv := fabrictest.Server(b, b.TempDir())
	here, there := fabrictest.Connect(b, srv, "here"), fabrictest.Connect(b, srv, "there")
	if _, err := fabric.Handle(b.Context(), there, benchDoor, echo); err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			req := &benchRequest{"demo", "1001", 1}
			cpu(b, func() {
				parallel(b, callers, func(int) error {
					_, err := fabric.Call(b.Context(), here, benchDoor, req)
					return err
				})
			})
		})
	}
}

// parallel spreads b.N operations over so many goroutines.
func parallel(b *testing.B, goroutines int, op func(n int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				if n > b.N {
					return
				}
				if err := op(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPublish(b *testing.B) {
	f := fabrictest.New(b)
	data := make([]byte, 300)
	cpu(b, func() {
		for n := range b.N {
			ev := fabric.Event{Subject: fabric.Subject("call", "demo", fmt.Sprint("c", n%1000), "EventRinging"), Payload: data}
			if n%10000 == 9999 {
				if err := f.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Publish(ev); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkPublishSync(b *testing.B) {
	f := fabrictest.New(b)
	data := make([]byte, 300)
	for _, kind := range []string{"call", "cdr"} { // presence and promise
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) {
				cpu(b, func() {
					parallel(b, callers, func(n int) error {
						_, err := f.PublishSync(b.Context(), fabric.Event{Subject: fabric.Subject(kind, "demo", fmt.Sprint("c", n)), Payload: data})
						return err
					})
				})
			})
		}
	}
}

func BenchmarkPut(b *testing.B) {
	f := fabrictest.New(b)
	data := make([]byte, 300)
	bucket := f.Bucket(fabric.BucketRegistrations)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			cpu(b, func() {
				parallel(b, callers, func(n int) error {
					_, err := bucket.Put(b.Context(), fabric.Key("demo", fmt.Sprint(n%10000)), data, fabric.PutOptions{TTL: time.Hour})
					return err
				})
			})
		})
	}
}

// BenchmarkPutAsync is what a registrar does: a compare-and-set with a time to live, many under way.
func BenchmarkPutAsync(b *testing.B) {
	f := fabrictest.New(b)
	data := make([]byte, 300)
	bucket := f.Bucket(fabric.BucketRegistrations)
	const keys = 20000
	names := make([]string, keys)
	revs := make([]atomic.Uint64, keys)
	for i := range names {
		names[i] = fabric.Key("demo", fmt.Sprint(i))
	}
	var failed atomic.Int64
	cpu(b, func() {
		var wg sync.WaitGroup
		for n := range b.N {
			wg.Add(1)
			k := n % keys
			bucket.PutAsync(names[k], data, fabric.PutOptions{TTL: time.Hour, CAS: true, Revision: revs[k].Load()}, func(rev uint64, err error) {
				if err != nil {
					failed.Add(1)
				}
				revs[k].Store(rev)
				wg.Done()
			})
		}
		wg.Wait()
	})
	if failed.Load() > 0 {
		b.Errorf("%d of %d puts failed", failed.Load(), b.N)
	}
}

func BenchmarkGet(b *testing.B) {
	f := fabrictest.New(b)
	bucket := f.Bucket(fabric.BucketRegistrations)
	if _, err := bucket.Put(b.Context(), "k", make([]byte, 300), fabric.PutOptions{}); err != nil {
		b.Fatal(err)
	}
	cpu(b, func() {
		for b.Loop() {
			if _, err := bucket.Get(b.Context(), "k"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWatchFanOut is the cost of one change that ten watches see.
func BenchmarkWatchFanOut(b *testing.B) {
	f := fabrictest.New(b)
	bucket := f.Bucket(fabric.BucketAgents)
	var seen, synced sync.WaitGroup
	for range 10 {
		synced.Add(1)
		go func() { _ = bucket.Watch(b.Context(), "", func(fabric.Entry) { seen.Done() }, synced.Done) }()
	}
	synced.Wait()
	data := make([]byte, 300)
	cpu(b, func() {
		seen.Add(10 * b.N)
		var puts sync.WaitGroup
		puts.Add(b.N)
		for n := range b.N {
			bucket.PutAsync(fabric.Key("demo", fmt.Sprint(n)), data, fabric.PutOptions{}, func(uint64, error) { puts.Done() })
		}
		puts.Wait()
		seen.Wait()
	})
}

// BenchmarkPutAsyncWatched is BenchmarkPutAsync with a watch on the bucket, which is how a registrar runs.
func BenchmarkPutAsyncWatched(b *testing.B) {
	f := fabrictest.New(b)
	bucket := f.Bucket(fabric.BucketRegistrations)
	var seen atomic.Int64
	synced := make(chan struct{})
	go func() {
		_ = bucket.Watch(b.Context(), "", func(fabric.Entry) { seen.Add(1) }, func() { close(synced) })
	}()
	<-synced
	data := make([]byte, 300)
	cpu(b, func() {
		var wg sync.WaitGroup
		for n := range b.N {
			wg.Add(1)
			bucket.PutAsync(fabric.Key("demo", fmt.Sprint(n%20000)), data, fabric.PutOptions{TTL: time.Hour}, func(uint64, error) { wg.Done() })
		}
		wg.Wait()
	})
	b.ReportMetric(float64(seen.Load())/float64(b.N), "seen/op")
}
