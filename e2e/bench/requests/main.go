//go:build linux

// Command requests makes T-Library requests over REST for as long as it is told, legal and illegal ones by chance, for phones
// that answer, refuse, ignore and hang up as they like, while other calls stand. Then it looks whether the platform is as it was:
// no invariant of calls broken, the standing calls there and no other, goroutines and memory back. It tells how long
// answers took.
//
// Only latencies of one machine may be compared with each other.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"parley/e2e/bench/rig"
	"parley/e2e/bench/swarm"
	"parley/e2e/books"
	"parley/internal/contract"
)

type options struct {
	parley   string
	phones   int
	standing int
	rate     float64
	duration time.Duration
	illegal  int
	seed     uint64
	pin      bool
	profile  string
}

func main() {
	var o options
	flag.StringVar(&o.parley, "parley", "", "the parley binary; empty builds it")
	flag.IntVar(&o.phones, "phones", 50, "phones that requests are made for")
	flag.IntVar(&o.standing, "standing", 500, "calls that stand beside")
	flag.Float64Var(&o.rate, "rate", 200, "requests a second")
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long requests are made; the soak is 30m")
	flag.IntVar(&o.illegal, "illegal", 20, "of a hundred requests, those that make no sense")
	flag.Uint64Var(&o.seed, "seed", 1, "another one makes other requests")
	flag.BoolVar(&o.pin, "pin", true, "the platform on one core, the load on the other")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of the platform during the requests to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "requests:", err)
		os.Exit(1)
	}
}

// linger is how long transactions, and what was remembered of calls, live on.
const linger = 35 * time.Second

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "parley-requests-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.parley == "" {
		if o.parley, err = rig.Build(ctx, dir); err != nil {
			return err
		}
	}
	if o.pin {
		if err := rig.PinLoad(); err != nil {
			return err
		}
	}
	s, p, err := start(ctx, dir, o)
	if err != nil {
		return err
	}
	defer s.Close()
	defer p.Stop()
	socket := filepath.Join(dir, "data", "run", "parley.sock")
	if err := rig.Ready(ctx, socket); err != nil {
		return err
	}
	api, err := connect(ctx, dir, socket, o.parley)
	if err != nil {
		return err
	}
	desks, err := openDesks(ctx, p.Addr, o)
	if err != nil {
		return err
	}
	defer desks.close()
	if err := stand(ctx, s, socket, o.standing); err != nil {
		return err
	}
	g := newGenerator(api, desks, o)
	g.run(ctx, o.rate, 10*time.Second) // what is made once is made now
	if err := settle(ctx, g, socket, o.standing); err != nil {
		return err
	}
	before, err := rest(ctx, p, socket)
	if err != nil {
		return err
	}
	g.reset()
	if o.profile != "" {
		seconds := max(int(min(o.duration, time.Minute).Seconds())-1, 1)
		go func() { _ = rig.Profile(ctx, socket, fmt.Sprintf("profile?seconds=%d", seconds), o.profile) }()
	}
	cpu, _ := p.Usage()
	g.run(ctx, o.rate, o.duration)
	used, _ := p.Usage()
	g.report(os.Stdout, used-cpu)
	if err := settle(ctx, g, socket, o.standing); err != nil {
		return err
	}
	after, err := rest(ctx, p, socket)
	if err != nil {
		return err
	}
	fmt.Printf("before  %v\nafter   %v\n", before, after)
	broken, err := holds(ctx, socket)
	p.Stop()
	return errors.Join(g.failed(), after.compared(before, g.made()), err, show(ctx, dir, broken))
}

// settle ends the calls of the phones and waits until those that stand are all there is.
func settle(ctx context.Context, g *generator, socket string, standing int) error {
	deadline := time.Now().Add(90 * time.Second)
	for ctx.Err() == nil {
		g.hangUp(ctx)
		s, err := status(ctx, socket)
		if err != nil {
			return err
		}
		if s.CallState.Calls == standing {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d calls stand, and call state knows %d", standing, s.CallState.Calls)
		}
		rig.Pause(ctx, 250*time.Millisecond)
	}
	return ctx.Err()
}

// stand has calls stand.
func stand(ctx context.Context, s *swarm.Swarm, socket string, n int) error {
	for i := range n {
		s.Call(swarm.NoBye)
		if i%10 == 9 {
			rig.Pause(ctx, 50*time.Millisecond)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for ctx.Err() == nil {
		r, err := status(ctx, socket)
		if err != nil {
			return err
		}
		if r.Calls == n {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d calls stand", r.Calls, n)
		}
		rig.Pause(ctx, 100*time.Millisecond)
	}
	return ctx.Err()
}

func status(ctx context.Context, socket string) (r contract.StatusReport, err error) {
	body, err := rig.Control(ctx, socket, "/status")
	if err != nil {
		return r, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&r); err != nil {
		return r, err
	}
	if r.CallState == nil {
		return r, errors.New("the node does not tell its call state")
	}
	return r, nil
}

// shown is how many violations are shown with the events of their calls.
const shown = 10

// holds says which invariants do not hold.
func holds(ctx context.Context, socket string) ([]contract.Violation, error) {
	r, err := status(ctx, socket)
	if err != nil {
		return nil, err
	}
	var errs []error
	list := r.CallState.Violations[:min(shown, len(r.CallState.Violations))]
	for _, v := range list {
		errs = append(errs, fmt.Errorf("%s: call %s, DN %s, %s (event %d): %s", v.Kind, v.CallUUID, v.DN, v.Event, v.Seq, v.Reason))
	}
	if n := r.CallState.Sum(); n > 0 {
		return list, errors.Join(append(errs, fmt.Errorf("%d invariants of calls did not hold: %v", n, r.CallState.Counts))...)
	}
	fmt.Println("all invariants of calls hold")
	return nil, nil
}

// show prints the events of the calls whose invariants do not hold, and of those that belong with them.
func show(ctx context.Context, dir string, broken []contract.Violation) error {
	if len(broken) == 0 {
		return nil
	}
	b, err := books.Open(ctx, filepath.Join(dir, "data"), node, "bench")
	if err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	threads := map[string]string{} // of each call
	for _, e := range b.Events {
		threads[e.CallUUID] = e.CallThreadID
	}
	done := map[string]bool{}
	for _, v := range broken {
		thread := threads[v.CallUUID]
		if thread == "" || done[thread] {
			continue
		}
		done[thread] = true
		fmt.Printf("\nthread %s (%s of %s)\n", thread, v.Kind, v.CallUUID)
		for _, e := range b.Events {
			if e.CallThreadID == thread {
				fmt.Printf("  %s %.8s %2d %-26s %s %s other %s %s third %s %s state %d previous %s reference %d\n", e.Time.Format("05.000"), e.CallUUID, e.Seq, e.ID,
					e.ThisDN, e.ThisDNRole, e.OtherDN, e.OtherDNRole, e.ThirdPartyDN, e.ThirdPartyDNRole, e.CallState, e.PreviousConnID, e.ReferenceID)
			}
		}
	}
	return nil
}

// state is what must come back to where it was.
type state struct {
	goroutines int
	live, rss  float64 // MB
}

func (s state) String() string {
	return fmt.Sprintf("goroutines %d  live heap %.1f MB  RSS %.0f MB", s.goroutines, s.live, s.rss)
}

func rest(ctx context.Context, p *rig.Server, socket string) (state, error) {
	rig.Pause(ctx, linger)
	m, err := rig.Runtime(ctx, socket)
	_, rss := p.Usage()
	return state{m.Goroutines, float64(m.Live) / 1e6, float64(rss) / 1e6}, err
}

const (
	idle = 80 // goroutines that are kept for the next call, and a few of the runtime's

	// perRequest is what a request may leave behind for a while: the JetStream keeps the subject of each event of a call, some
	// 300 bytes, and call state remembers calls that are over for ten minutes.
	perRequest = 4 << 10 // bytes
	slack      = 10      // MB
)

func (s state) compared(before state, requests int) error {
	switch most := before.live + slack + float64(requests)*perRequest/1e6; {
	case s.goroutines > before.goroutines+idle:
		return fmt.Errorf("%d goroutines, %d before", s.goroutines, before.goroutines)
	case s.live > most:
		return fmt.Errorf("%.1f MB are alive in the heap, %.1f MB before; at most %.1f MB were to be expected", s.live, before.live, most)
	}
	return nil
}

var carriers, phones = netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")

// node is the id of the platform.
const node = "requests"

const config = `
node: {id: requests, data_dir: %s}
sip: {listen: ["udp://%s"]}
media: {bind: 127.0.0.5, ports: 1024-65535}
calls: {max_calls: 20000, silence: 0s}
sipproxy: {limits: {stranger_rate: -1, strangers_rate: -1}}
frontend: {requests: 1024, requests_per_user: 1024}
http: {ports: {config: 0, registrar: 0, sipproxy: 0, rq: 0, tenant: 0, dialplan: 0, callstate: 0, cdr: 0, sip: 0, frontend: 0, orchestration: 0}}
web: {listen: "127.0.0.1:0"}
log: {level: warn}
`

// person is who asks.
const person = "asker"

func start(ctx context.Context, dir string, o options) (*swarm.Swarm, *rig.Server, error) {
	addr, err := rig.FreeUDP()
	if err != nil {
		return nil, nil, err
	}
	s, err := swarm.New(swarm.Options{
		Domain: "bench.test", Seed: o.seed, Talk: 100 * time.Millisecond, Only: swarm.Answered,
		Carrier: netip.AddrPortFrom(carriers, 0), Phones: netip.AddrPortFrom(phones, 0), Stranger: netip.MustParseAddrPort("127.0.0.4:0"),
	})
	if err != nil {
		return nil, nil, err
	}
	s.Aim(netip.MustParseAddrPort(addr))
	var b strings.Builder
	b.WriteString(s.Provisioning("bench"))
	for i := range o.phones {
		fmt.Fprintf(&b, "      - {number: \"%s\", type: extension, password: %s, options: {TServer: {no-answer-timeout: \"5\"}}}\n", number(i), secret)
	}
	fmt.Fprintf(&b, "    persons: [{username: %s, password: secret-of-the-asker, roles: [system]}]\n", person)
	for name, text := range map[string]string{"parley.yaml": fmt.Sprintf(config, filepath.Join(dir, "data"), addr), "provision.yaml": b.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.Close()
			return nil, nil, err
		}
	}
	p, err := rig.Launch(ctx, o.pin, "parley", addr, o.parley, "serve", "--config", filepath.Join(dir, "parley.yaml"), "--provision", filepath.Join(dir, "provision.yaml"))
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, p, nil
}

// connect returns the REST interfaces, with a token.
func connect(ctx context.Context, dir, socket, binary string) (*client, error) {
	var out []byte
	for deadline := time.Now().Add(15 * time.Second); ; rig.Pause(ctx, 100*time.Millisecond) { // what is provisioned takes a moment
		var err error
		if out, err = exec.CommandContext(ctx, binary, "token", "--user", person, "--data-dir", filepath.Join(dir, "data")).Output(); err == nil {
			break
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
	}
	r, err := status(ctx, socket)
	if err != nil {
		return nil, err
	}
	c := newClient(strings.Fields(string(out))[0])
	for _, s := range r.Services {
		for _, a := range s.Address {
			if strings.HasPrefix(a, "http") && s.Name == "frontend" {
				c.front = a + "/api/v1/tenants/bench"
			}
			if strings.HasPrefix(a, "http") && s.Name == "callstate" {
				c.calls = a + "/api/v1/tenants/bench"
			}
		}
	}
	return c, nil
}
