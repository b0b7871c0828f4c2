// Command calls puts complete calls through Parley, with events and records stored, and prints what each costs and the
// highest rate that is held. Then it sends a mixture of answered and abandoned calls and checks the books: every
// attempt has one record, no call is left, memory and goroutines are back.
//
// The caller is a carrier on 127.0.0.2 and the phone an extension with a fixed contact on 127.0.0.3, both played by
// sipp on one core; Parley has the other. Only figures of one run may be compared with each other.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"parley/e2e/bench/rig"
)

type options struct {
	parley  string
	rates   string
	rate    int
	factor  float64
	limit   int
	seconds int
	talk    time.Duration
	mixed   int
	direct  bool
	idle    time.Duration
	proxy   bool
	profile string
}

// steps are the rates to try, in order.
func (o options) steps() (out []int, err error) {
	if o.rates == "" {
		for rate := float64(o.rate); rate <= float64(o.limit); rate *= max(o.factor, 1.01) {
			out = append(out, int(rate))
		}
		return out, nil
	}
	for f := range strings.SplitSeq(o.rates, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-rates: %q is no rate", f)
		}
		out = append(out, n)
	}
	return out, nil
}

func main() {
	var o options
	flag.StringVar(&o.parley, "parley", "", "the parley binary; empty builds it")
	flag.StringVar(&o.rates, "rates", "", "rates of the steps, such as 100,300,600,1000, all of them run; empty raises -rate by -factor until it is too much")
	flag.IntVar(&o.rate, "rate", 100, "calls a second of the first step")
	flag.Float64Var(&o.factor, "factor", 1.4, "growth of the rate from step to step")
	flag.IntVar(&o.limit, "limit", 2000, "where the steps end at the latest")
	flag.IntVar(&o.seconds, "seconds", 10, "length of a step")
	flag.DurationVar(&o.talk, "talk", time.Second, "length of a call")
	flag.IntVar(&o.mixed, "mixed", 4000, "calls of the mixture at the end, a quarter of them abandoned; 0 leaves it out")
	flag.BoolVar(&o.direct, "direct", false, "audio goes directly: no ports of ours")
	flag.BoolVar(&o.proxy, "kamailio", false, "the same steps through Kamailio as a plain proxy first, for scale")
	flag.DurationVar(&o.idle, "idle", 0, "measure this long what the platform uses while nothing happens, after its calls")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles of the steps (FILE.RATE) and of allocations at the end (FILE.allocs)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "calls bench:", err)
		os.Exit(1)
	}
}

const phoneAddr = "127.0.0.3:16060"

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "parley-calls-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	phone, err := startPhone(ctx, dir)
	if err != nil {
		return err
	}
	defer phone.stop()
	if o.proxy {
		if err := compare(ctx, dir, o); err != nil {
			return err
		}
	}
	p, err := start(ctx, dir, o)
	if err != nil {
		return err
	}
	defer p.Stop()

	return measure(ctx, p, dir, o)
}

// compare runs the steps through a proxy that only passes calls on.
func compare(ctx context.Context, dir string, o options) error {
	k, err := rig.Kamailio(ctx, dir, filepath.Join(sourceDir(), "kamailio.cfg"), "PHONE", phoneAddr)
	if err != nil {
		return err
	}
	defer k.Stop()
	steps, err := o.steps()
	if err != nil {
		return err
	}
	fmt.Println("Kamailio as a plain proxy")
	for _, rate := range steps {
		r, err := (&platform{Server: k}).load(ctx, dir, "uac.xml", rate, o.seconds, o)
		if err != nil {
			return err
		}
		fmt.Println(r)
		if !r.good() && o.rates == "" {
			break
		}
	}
	fmt.Println()
	return nil
}

// measure runs the steps, the mixture and the check of the books.
func measure(ctx context.Context, p *platform, dir string, o options) error {
	steps, err := o.steps()
	if err != nil {
		return err
	}
	if _, err := p.load(ctx, dir, "uac.xml", max(steps[0]/2, 10), 2, o); err != nil { // first-time work does not count
		return err
	}
	before, err := p.scrape(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("calls of %v, steps of %d s\n\n", o.talk, o.seconds)
	best := 0
	for _, rate := range steps {
		r, err := p.profiled(ctx, dir, rate, o)
		if err != nil {
			return err
		}
		fmt.Println(r)
		if r.good() {
			best = max(best, rate)
		} else if o.rates == "" {
			break
		}
	}
	fmt.Printf("\nhighest good rate %d calls a second\n", best)
	if o.idle > 0 {
		p.rest(ctx, o.idle)
	}
	if o.mixed > 0 {
		rate := max(best/2, 20)
		if err := p.mixture(ctx, dir, rate, o); err != nil {
			return err
		}
	}
	return p.balance(ctx, before)
}

// platform is Parley under test.
type platform struct {
	*rig.Server
	sip, cdr string // host:port of the metrics of these services
	control  string // socket of the command line, which gives profiles
}

const config = `
node: {id: bench, data_dir: %s}
sip: {listen: ["udp://%s"]}
media: {bind: 127.0.0.5, ports: 1024-65535, mode: %s}
calls: {max_calls: 20000}
sipproxy: {limits: {stranger_rate: -1, strangers_rate: -1}}
http: {ports: {config: 0, registrar: 0, sipproxy: 0, rq: 0, tenant: 0, dialplan: 0, callstate: 0, cdr: %s, sip: %s, frontend: 0, orchestration: 0}}
web: {listen: "127.0.0.1:0"}
log: {level: warn}
`

const provision = `
tenants:
  - name: bench
    domains: [bench.test]
    default: true
    dns:
      - {number: carrier, type: trunk, options: {TServer: {contact: "sip:127.0.0.2:16061", trusted-source: address}}}
      - {number: "2000", type: extension, options: {TServer: {contact: "sip:2000@` + phoneAddr + `"}}}
      - {number: "2001", type: extension, options: {TServer: {contact: "sip:ringing@` + phoneAddr + `"}}}
`

func start(ctx context.Context, dir string, o options) (*platform, error) {
	if o.parley == "" {
		var err error
		if o.parley, err = rig.Build(ctx, dir); err != nil {
			return nil, err
		}
	}
	addr, err := rig.FreeUDP()
	if err != nil {
		return nil, err
	}
	var ports [2]string
	for i := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		ports[i] = strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
		ln.Close()
	}
	mode := "relay"
	if o.direct {
		mode = "direct"
	}
	for name, text := range map[string]string{
		"parley.yaml": fmt.Sprintf(config, filepath.Join(dir, "data"), addr, mode, ports[0], ports[1]), "provision.yaml": provision,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	s, err := rig.Launch(ctx, true, "parley", addr, o.parley, "serve", "--config", filepath.Join(dir, "parley.yaml"), "--provision", filepath.Join(dir, "provision.yaml"))
	if err != nil {
		return nil, err
	}
	p := &platform{Server: s, cdr: "127.0.0.1:" + ports[0], sip: "127.0.0.1:" + ports[1], control: filepath.Join(dir, "data", "run", "parley.sock")}
	return p, p.ready(ctx)
}

// sourceDir is where this file and the scenarios are.
func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}
