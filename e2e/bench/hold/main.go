//go:build linux

// Command hold sets calls up and lets them stand: what a standing call takes in memory, and with -audio what the relay
// takes for G.711 in both directions (50 packets a second each way), with packets lost and their delay. Each step is a new
// platform on a core of its own.
//
// Only figures of one run may be compared with each other.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"parley/e2e/bench/audio"
	"parley/e2e/bench/rig"
	"parley/e2e/bench/swarm"
)

type options struct {
	parley  string
	calls   string
	rate    float64
	seconds int
	direct  bool
	audio   bool
	profile string
}

func main() {
	var o options
	flag.StringVar(&o.parley, "parley", "", "the parley binary; empty builds it")
	flag.StringVar(&o.calls, "calls", "1000", "calls of the steps, such as 250,500,1000")
	flag.Float64Var(&o.rate, "rate", 200, "calls a second that are set up")
	flag.IntVar(&o.seconds, "seconds", 10, "how long audio is measured")
	flag.BoolVar(&o.direct, "direct", false, "audio goes directly: no ports of ours")
	flag.BoolVar(&o.audio, "audio", false, "the calls speak, 50 packets a second each way")
	flag.StringVar(&o.profile, "profile", "", "write profiles: FILE.N.heap, and with -audio FILE.N.cpu")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "hold:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "parley-hold-")
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
	for f := range strings.SplitSeq(o.calls, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil || n < 1 {
			return fmt.Errorf("-calls: %q is no number of calls", f)
		}
		if err := step(ctx, filepath.Join(dir, f), n, o); err != nil {
			return err
		}
	}
	return nil
}

// linger is how long transactions of a set-up live on.
const linger = 36 * time.Second

// step holds n calls.
func step(ctx context.Context, dir string, n int, o options) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	g, err := audio.New(netip.AddrPortFrom(callers, swarm.CallerPort), netip.AddrPortFrom(phones, swarm.PhonePort))
	if err != nil {
		return err
	}
	defer g.Close()
	var hear func(swarm.Side, netip.AddrPort)
	if o.audio {
		hear = func(s swarm.Side, to netip.AddrPort) { g.Add(int(s), to) }
	}
	s, p, err := start(ctx, dir, o, hear)
	if err != nil {
		return err
	}
	defer s.Close()
	defer p.Stop()
	socket := filepath.Join(dir, "data", "run", "parley.sock")
	if err := rig.Ready(ctx, socket); err != nil {
		return err
	}
	if _, err := s.Run(ctx, 200, 100); err != nil { // what is made once is made now
		return err
	}
	g.Reset()
	rig.Pause(ctx, linger)
	before, err := take(ctx, p, socket)
	if err != nil {
		return err
	}
	for i := range n {
		s.Call(swarm.NoBye)
		if i%10 == 9 {
			rig.Pause(ctx, time.Duration(10/o.rate*float64(time.Second)))
		}
	}
	rig.Pause(ctx, 2*time.Second)
	fresh, err := take(ctx, p, socket)
	if err != nil {
		return err
	}
	if fresh.Calls != n {
		return fmt.Errorf("%d of %d calls stand", fresh.Calls, n)
	}
	if o.audio {
		return speak(ctx, g, p, socket, n, o)
	}
	rig.Pause(ctx, linger)
	after, err := take(ctx, p, socket)
	if err != nil {
		return err
	}
	fmt.Printf("%5d calls stand (%d)   right after: live heap %.1f KB, RSS %.1f KB each   without transactions: live heap %.1f KB, RSS %.1f KB each\n",
		n, after.Calls, each(fresh.Live-before.Live, n), each(fresh.rss-before.rss, n), each(after.Live-before.Live, n), each(after.rss-before.rss, n))
	if o.profile != "" {
		return rig.Profile(ctx, socket, "heap?gc=1", fmt.Sprintf("%s.%d.heap", o.profile, n))
	}
	return nil
}

func each(bytes int64, n int) float64 { return float64(bytes) / 1024 / float64(n) }

// speak lets the calls speak and measures.
func speak(ctx context.Context, g *audio.Generator, p *rig.Server, socket string, n int, o options) error {
	talk, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- g.Run(talk) }()
	rig.Pause(ctx, 4*time.Second) // addresses are learnt, and what the set-up left behind is done
	if o.profile != "" {
		go func() {
			_ = rig.Profile(ctx, socket, fmt.Sprintf("profile?seconds=%d", max(o.seconds-1, 1)), fmt.Sprintf("%s.%d.cpu", o.profile, n))
		}()
	}
	g.Take()
	cpu, _ := p.Usage()
	began := time.Now()
	rig.Pause(ctx, time.Duration(o.seconds)*time.Second)
	f := g.Take()
	used, rss := p.Usage()
	used -= cpu
	took := time.Since(began)
	stop()
	if err := <-done; err != nil {
		return err
	}
	lost := max(int64(f.Sent)-int64(f.Heard), 0)
	fmt.Printf("%5d calls speak   %6.0f packets/s (%.0f wanted)  lost %.3f %%  delay p50 %.1f ms p99 %.1f ms  CPU %.1f µs a packet, %.2f of a core  RSS %.0f MB\n",
		n, float64(f.Sent)/took.Seconds(), float64(n)*100, 100*float64(lost)/float64(max(f.Sent, 1)), f.P50.Seconds()*1000, f.P99.Seconds()*1000,
		float64(used.Microseconds())/float64(max(f.Heard, 1)), used.Seconds()/took.Seconds(), float64(rss)/1e6)
	return nil
}

// state is what is compared.
type state struct {
	rig.State
	rss int64
}

func take(ctx context.Context, p *rig.Server, socket string) (s state, err error) {
	s.State, err = rig.Runtime(ctx, socket)
	_, s.rss = p.Usage()
	return s, err
}

var callers, phones = netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")

const config = `
node: {id: hold, data_dir: %s}
sip: {listen: ["udp://%s"]}
media: {bind: 127.0.0.5, ports: 1024-65535, mode: %s}
calls: {max_calls: 20000, silence: 0s}
sipproxy: {limits: {stranger_rate: -1, strangers_rate: -1}}
http: {ports: {config: 0, registrar: 0, sipproxy: 0, rq: 0, tenant: 0, dialplan: 0, callstate: 0, cdr: 0, sip: 0, frontend: 0, orchestration: 0}}
web: {listen: "127.0.0.1:0"}
log: {level: warn}
`

func start(ctx context.Context, dir string, o options, hear func(swarm.Side, netip.AddrPort)) (*swarm.Swarm, *rig.Server, error) {
	addr, err := rig.FreeUDP()
	if err != nil {
		return nil, nil, err
	}
	s, err := swarm.New(swarm.Options{
		Domain: "bench.test", Seed: 1, Talk: 100 * time.Millisecond, Only: swarm.Answered, Audio: hear,
		Carrier: netip.AddrPortFrom(callers, 0), Phones: netip.AddrPortFrom(phones, 0), Stranger: netip.MustParseAddrPort("127.0.0.4:0"),
	})
	if err != nil {
		return nil, nil, err
	}
	s.Aim(netip.MustParseAddrPort(addr))
	mode := "relay"
	if o.direct {
		mode = "direct"
	}
	for name, text := range map[string]string{"parley.yaml": fmt.Sprintf(config, filepath.Join(dir, "data"), addr, mode), "provision.yaml": s.Provisioning("bench")} {
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
