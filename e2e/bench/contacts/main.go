// Command contacts registers many phones on one node and prints what a registered contact costs in memory, how long
// a restart after kill -9 takes until the node is ready with all of them, and how it lives through the second in
// which all of them expire.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/e2e/bench/rig"
	"parley/e2e/phone"
)

func main() {
	n := flag.Int("contacts", 100_000, "phones to register")
	binary := flag.String("parley", "", "the parley binary; empty builds it")
	storm := flag.Duration("storm", 150*time.Second, "time from the last round of registrations to their common expiry; 0 leaves the storm out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *binary, *storm); err != nil {
		fmt.Fprintln(os.Stderr, "contacts bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int, binary string, storm time.Duration) error {
	dir, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	s, err := rig.Parley(ctx, dir, binary, n, false)
	if err != nil {
		return err
	}
	defer func() { s.Stop() }()
	if err := awaitAccount(ctx, s.Addr, fmt.Sprintf("u%06d", n)); err != nil {
		return err
	}
	fmt.Printf("started and provisioned %d extensions in %.1f s\n", n, time.Since(began).Seconds())
	s.Stop() // what provisioning left in memory must not hide what contacts take
	if s, err = s.Again(ctx); err != nil {
		return err
	}
	before, heapBefore := settledRSS(ctx, s), liveHeap(ctx, dir)
	began = time.Now()
	if err := registerAll(ctx, s.Addr, n, func() int { return 3600 }); err != nil {
		return err
	}
	took := time.Since(began)
	if err := awaitContacts(ctx, dir, n, time.Minute); err != nil {
		return err
	}
	after, heapAfter := settledRSS(ctx, s), liveHeap(ctx, dir)
	fmt.Printf("registered %d in %.1f s (%.0f/s)\n", n, took.Seconds(), float64(n)/took.Seconds())
	fmt.Printf("RSS %.0f MB before, %.0f MB after: %d bytes a contact\n", float64(before)/1e6, float64(after)/1e6, (after-before)/int64(n))
	fmt.Printf("live heap %.0f MB before, %.0f MB after: %d bytes a contact\n", float64(heapBefore)/1e6, float64(heapAfter)/1e6, (heapAfter-heapBefore)/int64(n))

	// The JetStream remembers the ids of the events for two minutes.
	fmt.Println("waiting until that is over …")
	rig.Pause(ctx, 150*time.Second)
	after, heapAfter = settledRSS(ctx, s), liveHeap(ctx, dir)
	fmt.Printf("later: RSS %.0f MB, %d bytes a contact; live heap %.0f MB, %d bytes a contact\n",
		float64(after)/1e6, (after-before)/int64(n), float64(heapAfter)/1e6, (heapAfter-heapBefore)/int64(n))

	s.Kill()
	began = time.Now()
	if s, err = s.Again(ctx); err != nil {
		return err
	}
	if err := awaitContacts(ctx, dir, n, time.Minute); err != nil {
		return err
	}
	fmt.Printf("kill -9, restart: ready with %d contacts after %.2f s, RSS %.0f MB\n", n, time.Since(began).Seconds(), float64(settledRSS(ctx, s))/1e6)
	if storm == 0 {
		return nil
	}
	return expiryStorm(ctx, dir, s, n, storm)
}

// expiryStorm makes every contact expire in the same second and probes the node meanwhile.
func expiryStorm(ctx context.Context, dir string, s *rig.Server, n int, in time.Duration) error {
	end := time.Now().Add(in)
	if err := registerAll(ctx, s.Addr, n, func() int { return int(time.Until(end).Seconds()) }); err != nil {
		return err
	}
	rig.Pause(ctx, time.Until(end.Add(-2*time.Second)))
	cpuBefore, _ := s.Usage()
	probes, err := probe(ctx, dir, s.Addr)
	if err != nil {
		return err
	}
	cpuAfter, _ := s.Usage()
	gone := time.Since(end)
	slices.Sort(probes)
	fmt.Printf("expiry of %d contacts in one second: all gone %.1f s after, CPU %.1f s; %d registrations meanwhile, p50 %v, p99 %v, max %v\n",
		n, gone.Seconds(), (cpuAfter - cpuBefore).Seconds(), len(probes), probes[len(probes)/2], probes[len(probes)*99/100], probes[len(probes)-1])
	return nil
}

// probe registers one phone again and again until only its contact is left, and returns how long each took.
func probe(ctx context.Context, dir, addr string) ([]time.Duration, error) {
	line, err := phone.Dial(ctx, "udp", addr, nil)
	if err != nil {
		return nil, err
	}
	defer line.Close()
	p := phone.Phone{Line: line, User: "u000001", Password: "secret", Domain: "bench.test"}
	var took []time.Duration
	deadline := time.Now().Add(2 * time.Minute)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		began := time.Now()
		res, err := p.Register(600)
		if err != nil || res.Status != 200 {
			return nil, fmt.Errorf("register during the storm: %v %w", res, err)
		}
		took = append(took, time.Since(began))
		if len(took)%20 == 0 {
			left, err := contacts(ctx, dir)
			if err != nil {
				return nil, err
			}
			if left <= 2 { // the probe's own, and its contact of the round before the storm
				return took, nil
			}
		}
		rig.Pause(ctx, 10*time.Millisecond)
	}
	return nil, errors.New("the contacts did not expire within two minutes")
}

// registerAll registers every account once; expires is asked for each.
func registerAll(ctx context.Context, addr string, n int, expires func() int) error {
	const workers = 32
	var next atomic.Int64
	var mu sync.Mutex // guards failed
	var failed error
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			line, err := phone.Dial(ctx, "udp", addr, nil)
			if err == nil {
				defer line.Close()
				for err == nil && ctx.Err() == nil {
					i := next.Add(1)
					if i > int64(n) {
						return
					}
					err = registerOne(line, fmt.Sprintf("u%06d", i), expires())
				}
			}
			mu.Lock()
			failed = errors.Join(failed, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	return errors.Join(failed, ctx.Err())
}

// awaitAccount waits until an account can register, which is when all are provisioned. It leaves no contact.
func awaitAccount(ctx context.Context, addr, user string) error {
	for deadline := time.Now().Add(5 * time.Minute); ; rig.Pause(ctx, 100*time.Millisecond) {
		line, err := phone.Dial(ctx, "udp", addr, nil)
		if err != nil {
			return err
		}
		err = registerOne(line, user, 0)
		line.Close()
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}

func registerOne(line phone.Line, user string, expires int) error {
	// One contact each, however often the account registers and over whichever line.
	p := phone.Phone{Line: line, User: user, Password: "secret", Domain: "bench.test", Contact: "sip:" + user + "@127.0.0.1:5098"}
	res, err := p.Register(expires)
	if err != nil {
		return fmt.Errorf("%s: %w", user, err)
	}
	if res.Status != 200 {
		return fmt.Errorf("%s: %d %s", user, res.Status, res.Reason)
	}
	return nil
}

// liveHeap is what the node's heap holds after a collection, in bytes; 0 when it does not tell.
func liveHeap(ctx context.Context, dir string) int64 {
	res, err := control(ctx, dir, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		var n int64
		if _, err := fmt.Sscanf(s.Text(), "# HeapAlloc = %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// contacts asks the running node how many it has.
func contacts(ctx context.Context, dir string) (int, error) {
	res, err := control(ctx, dir, "/status")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var report struct{ Contacts int }
	if err := json.NewDecoder(res.Body).Decode(&report); err != nil {
		return 0, fmt.Errorf("status: %w", err)
	}
	return report.Contacts, nil
}

// control asks the node's control socket.
func control(ctx context.Context, dir, path string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, "data", "run", "parley.sock"))
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

func awaitContacts(ctx context.Context, dir string, n int, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		got, err := contacts(ctx, dir)
		if err == nil && got >= n {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%d contacts wanted, %d there: %w", n, got, errors.Join(err, ctx.Err()))
		}
		rig.Pause(ctx, 20*time.Millisecond)
	}
}

// settledRSS waits until memory has stopped moving by more than 1 MB for five seconds, one minute at the most.
func settledRSS(ctx context.Context, s *rig.Server) int64 {
	_, last := s.Usage()
	still := 0
	for range 60 {
		rig.Pause(ctx, time.Second)
		_, now := s.Usage()
		if d := now - last; d < 1e6 && d > -1e6 {
			still++
		} else {
			still = 0
		}
		last = now
		if still == 5 {
			break
		}
	}
	return last
}
