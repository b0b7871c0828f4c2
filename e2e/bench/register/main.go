// Command register runs the same digest REGISTER load against Parley and against Kamailio, in turn and in one
// sitting, and prints what each registration costs and the highest rate each one holds.
//
// The server under test has one core, the load generator (sipp) the other. A step is good when fewer than 0.1 %
// of the registrations fail, fewer than 1 % of the messages are sent again and at least 95 % of the asked rate is
// reached. Only figures of one run may be compared with each other: machines differ, and the same machine differs
// from hour to hour.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"parley/e2e/bench/rig"
)

type options struct {
	parley  string
	users   int
	rounds  int
	rate    int
	seconds int
	start   int
	factor  float64
	limit   int
	profile string
}

func main() {
	var o options
	flag.StringVar(&o.parley, "parley", "", "the parley binary; empty builds it")
	flag.IntVar(&o.users, "users", 20000, "accounts that register")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds at the fixed rate, Parley and Kamailio in turn")
	flag.IntVar(&o.rate, "rate", 4000, "registrations a second in those rounds")
	flag.IntVar(&o.seconds, "seconds", 8, "length of a step")
	flag.IntVar(&o.start, "start", 6000, "first rate of the search for the highest good one; 0 leaves the search out")
	flag.Float64Var(&o.factor, "factor", 1.2, "growth of the rate from step to step")
	flag.IntVar(&o.limit, "limit", 40000, "where the search ends at the latest")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of Parley under load to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "register bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	users, err := writeUsers(dir, o.users)
	if err != nil {
		return err
	}
	kamailio, err := rig.Kamailio(ctx, dir, filepath.Join(sourceDir(), "kamailio.cfg"))
	if err != nil {
		return err
	}
	defer kamailio.Stop()
	parley, err := rig.Parley(ctx, dir, o.parley, o.users, true)
	if err != nil {
		return err
	}
	defer parley.Stop()
	servers := []*rig.Server{parley, kamailio}

	// Every user once, so that neither side pays for first-time work in the rounds that count.
	for _, s := range servers {
		if _, err := load(ctx, dir, s, users, 2000, o.users/2000+1); err != nil {
			return err
		}
	}
	fmt.Printf("\n%d users, %d registrations/s for %d s, %d rounds in turn\n\n", o.users, o.rate, o.seconds, o.rounds)
	cost := map[string][]float64{}
	for range o.rounds {
		for _, s := range servers {
			r, err := load(ctx, dir, s, users, o.rate, o.seconds)
			if err != nil {
				return err
			}
			fmt.Println(r)
			cost[s.Name] = append(cost[s.Name], r.cpuMicros)
		}
	}
	if o.profile != "" {
		if err := profileUnderLoad(ctx, dir, parley, users, o); err != nil {
			return err
		}
	}
	best := map[string]int{}
	if o.start > 0 {
		fmt.Printf("\nhighest good rate, steps of %g from %d\n\n", o.factor, o.start)
		for _, s := range servers {
			if best[s.Name], err = search(ctx, dir, s, users, o); err != nil {
				return err
			}
		}
	}
	p, k := median(cost["parley"]), median(cost["kamailio"])
	fmt.Printf("\n%-10s %28s %22s\n", "", "CPU µs a registration", "highest good rate /s")
	fmt.Printf("%-10s %28.1f %22d\n", "parley", p, best["parley"])
	fmt.Printf("%-10s %28.1f %22d\n", "kamailio", k, best["kamailio"])
	fmt.Printf("%-10s %28.2f", "ratio", p/k)
	if best["kamailio"] > 0 {
		fmt.Printf(" %22.2f", float64(best["parley"])/float64(best["kamailio"]))
	}
	fmt.Println()
	return nil
}

// search raises the rate until a step is not good, and gives each failing step a second chance.
func search(ctx context.Context, dir string, s *rig.Server, users string, o options) (best int, err error) {
	for rate := float64(o.start); rate <= float64(o.limit); rate *= o.factor {
		good := false
		for try := 0; try < 2 && !good; try++ {
			r, err := load(ctx, dir, s, users, int(rate), o.seconds)
			if err != nil {
				return best, err
			}
			fmt.Println(r)
			good = r.good()
			rig.Pause(ctx, time.Second) // lets queues of a failed step drain
		}
		if !good {
			break
		}
		best = int(rate)
	}
	return best, ctx.Err()
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
