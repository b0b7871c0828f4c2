//go:build linux

// Command soak puts very many calls through one process, answered ones mixed with abandoned, unanswered and broken ones
// (see e2e/bench/swarm), and then checks the books: every attempt has exactly one record that says what its caller heard, the
// events of every call are complete and in order (see e2e/books), and memory and goroutines are back where they were.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"parley/e2e/bench/rig"
	"parley/e2e/bench/swarm"
	"parley/e2e/books"
)

type options struct {
	parley string
	calls  int
	rate   float64
	seed   uint64
	talk   time.Duration
	rest   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.parley, "parley", "", "the parley binary; empty builds it")
	flag.IntVar(&o.calls, "calls", 100_000, "calls in all")
	flag.Float64Var(&o.rate, "rate", 250, "calls a second")
	flag.Uint64Var(&o.seed, "seed", 1, "another one makes another mixture")
	flag.DurationVar(&o.talk, "talk", time.Second, "longest conversation")
	flag.DurationVar(&o.rest, "rest", 130*time.Second, "how long nothing happens before memory is looked at; the ids of events are forgotten after two minutes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// node is the id of the platform.
const node = "soak"

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "parley-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.parley == "" {
		if o.parley, err = rig.Build(ctx, dir); err != nil {
			return err
		}
	}
	if err := rig.PinLoad(); err != nil {
		return err
	}
	s, p, err := start(ctx, dir, o)
	if err != nil {
		return err
	}
	defer s.Close()
	defer p.Stop()
	if err := rig.Ready(ctx, socket(dir)); err != nil {
		return err
	}
	rig.Pause(ctx, time.Second) // what was provisioned last is known everywhere
	// What is made once is made now, and the ring of SIP messages that the pages show is full.
	const warm = 4000
	if _, err := s.Run(ctx, warm, o.rate); err != nil {
		return err
	}
	before, err := settled(ctx, p, dir, o.rest)
	if err != nil {
		return err
	}
	began := time.Now()
	cpu, _ := p.Usage()
	results, err := s.Run(ctx, o.calls, o.rate)
	if err != nil {
		return err
	}
	used, _ := p.Usage()
	took := time.Since(began)
	fmt.Printf("%d calls in %.0f s, %.0f µs CPU each\n\n%s\n", o.calls, took.Seconds(), float64((used-cpu).Microseconds())/float64(o.calls), swarm.Summary(results))
	after, err := settled(ctx, p, dir, o.rest)
	if err != nil {
		return err
	}
	fmt.Printf("before  %v\nafter   %v\n\n", before, after)
	p.Stop()
	b, err := books.Open(ctx, filepath.Join(dir, "data"), node, "bench")
	if err != nil {
		return fmt.Errorf("read the books: %w", err)
	}
	fmt.Printf("%d records, %d events\n", len(b.Records), len(b.Events))
	if err := errors.Join(b.Check(), swarm.Verify(results, b.Records), after.comparedWith(before, len(b.Events)+len(b.Records))); err != nil {
		return err
	}
	fmt.Println("the books balance")
	return nil
}

// state is what must come back to where it was.
type state struct {
	goroutines int
	live, rss  float64 // MB
	calls      int
}

func (s state) String() string {
	return fmt.Sprintf("goroutines %d  live heap %.1f MB  RSS %.0f MB  calls %d", s.goroutines, s.live, s.rss, s.calls)
}

const (
	idle = 80 // goroutines that are kept for the next call, and a few of the runtime's

	// perEvent is what the JetStream keeps in memory of each event in a stream, as the subject of each call's event is its
	// own: bounded by the streams' limits, not by calls.
	perEvent = 300 // bytes
	slack    = 10  // MB
)

// comparedWith says what did not come back, after so many events were stored.
func (s state) comparedWith(before state, events int) error {
	switch most := before.live + slack + perEvent*float64(events)/1e6; {
	case s.calls > 0:
		return fmt.Errorf("%d calls are left", s.calls)
	case s.goroutines > before.goroutines+idle:
		return fmt.Errorf("%d goroutines, %d before", s.goroutines, before.goroutines)
	case s.live > most:
		return fmt.Errorf("%.1f MB are alive in the heap, %.1f MB before; at most %.1f MB would be the JetStream's", s.live, before.live, most)
	}
	return nil
}

// settled is the state after a rest.
func settled(ctx context.Context, p *rig.Server, dir string, rest time.Duration) (s state, err error) {
	rig.Pause(ctx, rest)
	m, err := rig.Runtime(ctx, socket(dir))
	if err != nil {
		return s, err
	}
	_, rss := p.Usage()
	s = state{goroutines: m.Goroutines, live: math.Round(float64(m.Live)/1e5) / 10, rss: float64(rss) / 1e6, calls: m.Calls}
	return s, nil
}

// socket is that of the command line.
func socket(dir string) string { return filepath.Join(dir, "data", "run", "parley.sock") }

const config = `
node: {id: ` + node + `, data_dir: %s}
sip: {listen: ["udp://%s"]}
media: {bind: 127.0.0.5, ports: 1024-65535}
calls: {max_calls: 20000, silence: 5s, max_wait: 0s}
sipproxy: {limits: {stranger_rate: -1, strangers_rate: -1}}
http: {ports: {config: 0, registrar: 0, sipproxy: 0, rq: 0, tenant: 0, dialplan: 0, callstate: 0, cdr: 0, sip: 0, frontend: 0, orchestration: 0}}
web: {listen: "127.0.0.1:0"}
log: {level: warn}
`

func start(ctx context.Context, dir string, o options) (*swarm.Swarm, *rig.Server, error) {
	addr, err := rig.FreeUDP()
	if err != nil {
		return nil, nil, err
	}
	s, err := swarm.New(swarm.Options{
		Domain: "bench.test", Seed: o.seed, Talk: o.talk,
		Carrier: netip.MustParseAddrPort("127.0.0.2:0"), Phones: netip.MustParseAddrPort("127.0.0.3:0"), Stranger: netip.MustParseAddrPort("127.0.0.4:0"),
	})
	if err != nil {
		return nil, nil, err
	}
	s.Aim(netip.MustParseAddrPort(addr))
	for name, text := range map[string]string{"parley.yaml": fmt.Sprintf(config, filepath.Join(dir, "data"), addr), "provision.yaml": s.Provisioning("bench")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.Close()
			return nil, nil, err
		}
	}
	p, err := rig.Launch(ctx, true, "parley", addr, o.parley, "serve", "--config", filepath.Join(dir, "parley.yaml"), "--provision", filepath.Join(dir, "provision.yaml"))
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, p, nil
}
