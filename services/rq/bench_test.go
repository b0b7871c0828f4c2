package rq

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/fabric"
)

// residentKB is what the process has in memory, in KB.
func residentKB(b *testing.B) int {
	b.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			n, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// BenchmarkHundredThousandKeys is the life of 100,000 registrations of 380 bytes on one node: stored, watched, there
// again after a restart (also one after a kill), and expired all at once. One operation is all of it; what matters are the figures reported.
func BenchmarkHundredThousandKeys(b *testing.B) {
	const keys = 100_000
	value := bytes.Repeat([]byte("x"), 380)
	cfg := DefaultConfig()
	cfg.Node = "n1"
	for range b.N {
		cfg.StoreDir = b.TempDir()
		var puts, expired atomic.Int64
		start := func() (*Service, *fabric.Fabric, func()) {
			s, err := New(cfg, nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			f, err := fabric.Connect(b.Context(), fabric.Options{Node: "n1", Server: s})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			ended, synced := make(chan error, 1), make(chan struct{})
			go func() {
				ended <- f.Bucket(fabric.BucketRegistrations).Watch(ctx, "", func(e fabric.Entry) {
					if e.Op == fabric.EntryPut {
						puts.Add(1)
					} else {
						expired.Add(1)
					}
				}, func() { close(synced) })
			}()
			<-synced
			return s, f, func() {
				cancel()
				if err := <-ended; err != nil {
					b.Error(err)
				}
				if err := f.Close(b.Context()); err != nil {
					b.Error(err)
				}
				s.Stop()
			}
		}
		until := func(n *atomic.Int64, want int64) {
			deadline := time.Now().Add(2 * time.Minute)
			for n.Load() < want {
				<-time.After(time.Millisecond)
				if time.Now().After(deadline) {
					b.Fatalf("only %d of %d", n.Load(), want)
				}
			}
		}
		fill := func(f *fabric.Fabric, ttl time.Duration) {
			var wg sync.WaitGroup
			for i := range keys {
				wg.Add(1)
				f.Bucket(fabric.BucketRegistrations).PutAsync(fabric.Key("demo", fmt.Sprint(100000+i)), value, fabric.PutOptions{TTL: ttl}, func(_ uint64, err error) {
					if err != nil {
						b.Error(err)
					}
					wg.Done()
				})
			}
			wg.Wait()
		}

		_, f, stop := start()
		idle := residentKB(b)
		b.ReportMetric(float64(idle), "idle-KB")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		fill(f, time.Hour)
		until(&puts, keys)
		b.ReportMetric(float64(residentKB(b)-idle)*1024/keys, "B/key")
		crashed := b.TempDir() // the files as a kill -9 at this moment would leave them
		if err := os.CopyFS(crashed, os.DirFS(cfg.StoreDir)); err != nil {
			b.Fatal(err)
		}
		stop()

		clean := cfg.StoreDir
		cfg.StoreDir = crashed
		began := time.Now()
		_, _, stop = start()
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "restart-after-kill-ms")
		until(&puts, 2*keys)
		stop()
		cfg.StoreDir = clean
		puts.Store(keys)

		began = time.Now()
		_, f, stop = start()
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "restart-ms")
		until(&puts, 2*keys)
		b.ReportMetric(float64(residentKB(b)-idle)*1024/keys, "B/key-restarted")

		began = time.Now()
		fill(f, 5*time.Second)
		b.ReportMetric(keys/time.Since(began).Seconds(), "puts/s")
		until(&expired, 1)
		began = time.Now()
		until(&expired, keys)
		b.ReportMetric(keys/time.Since(began).Seconds(), "expiries/s")
		stop()
	}
}

// BenchmarkCluster is a put and an event of each class in a cluster of three nodes in this process, from one of them.
func BenchmarkCluster(b *testing.B) {
	nodes := startCluster(b)
	f := nodes[0].fabric
	data := make([]byte, 300)
	for _, callers := range []int{1, 64} {
		for name, op := range map[string]func(n int) error{
			"put": func(n int) error {
				_, err := f.Bucket(fabric.BucketRegistrations).Put(b.Context(), fabric.Key("demo", fmt.Sprint(n%1000)), data, fabric.PutOptions{TTL: time.Hour})
				return err
			},
			"cdr": func(n int) error {
				_, err := f.PublishSync(b.Context(), fabric.Event{Subject: fabric.Subject("cdr", "demo", fmt.Sprint(n)), Payload: data})
				return err
			},
		} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				var next atomic.Int64
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							if err := op(int(n)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
	for _, n := range nodes {
		n.stop(b)
	}
}
