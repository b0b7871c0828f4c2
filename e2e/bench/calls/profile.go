package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/e2e/bench/rig"
)

// profiled is load with a CPU profile of the middle of the step, where one is wanted.
func (p *platform) profiled(ctx context.Context, dir string, rate int, o options) (result, error) {
	if o.profile == "" {
		return p.load(ctx, dir, "uac.xml", rate, o.seconds, o)
	}
	done := make(chan error, 1)
	go func() {
		rig.Pause(ctx, time.Second)
		done <- rig.Profile(ctx, p.control, fmt.Sprintf("profile?seconds=%d", max(o.seconds-2, 1)), fmt.Sprintf("%s.%d", o.profile, rate))
	}()
	r, err := p.load(ctx, dir, "uac.xml", rate, o.seconds, o)
	return r, errors.Join(err, <-done, rig.Profile(ctx, p.control, "allocs", o.profile+".allocs"))
}

// rest prints what the platform uses while nothing happens.
func (p *platform) rest(ctx context.Context, d time.Duration) {
	rig.Pause(ctx, 40*time.Second) // transactions have ended then
	before, _ := p.Usage()
	rig.Pause(ctx, d)
	after, rss := p.Usage()
	fmt.Printf("\nat rest: CPU %.1f ms a second, RSS %.0f MB\n", float64((after-before).Microseconds())/1000/d.Seconds(), float64(rss)/1e6)
}
