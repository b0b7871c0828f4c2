//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"parley/e2e/bench/rig"
	"parley/e2e/phone"
)

const secret = "secret-of-the-phones"

// number is that of a phone.
func number(i int) string { return fmt.Sprint(3000 + i) }

// desks are the phones, and who sits at them.
type desks struct {
	agents []*phone.Agent
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func openDesks(ctx context.Context, addr string, o options) (*desks, error) {
	ctx, cancel := context.WithCancel(ctx)
	d := &desks{cancel: cancel}
	for i := range o.phones {
		line, err := phone.Dial(ctx, "udp", addr, nil)
		if err != nil {
			d.close()
			return nil, err
		}
		a := phone.NewAgent(&phone.Phone{Line: line, User: number(i), Password: secret, Domain: "bench.test"})
		d.agents = append(d.agents, a)
		if err := a.Register(3600); err != nil {
			d.close()
			return nil, fmt.Errorf("register %s: %w", number(i), err)
		}
		r := rand.New(rand.NewPCG(o.seed, uint64(i)))
		d.wg.Go(func() { d.sit(ctx, a, r, i) })
	}
	return d, nil
}

func (d *desks) close() {
	d.cancel()
	for _, a := range d.agents {
		a.Close()
	}
	d.wg.Wait()
}

// sit takes calls as they come.
func (d *desks) sit(ctx context.Context, a *phone.Agent, r *rand.Rand, i int) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-a.Incoming:
			what, wait, talk := r.IntN(20), time.Duration(r.IntN(300))*time.Millisecond, time.Duration(1+r.IntN(20))*time.Second
			d.wg.Go(func() { take(ctx, c, what, wait, talk, i) })
		}
	}
}

// take answers a call mostly, refuses it sometimes, and sometimes lets it ring.
func take(ctx context.Context, c *phone.Call, what int, wait, talk time.Duration, i int) {
	if what > 0 {
		c.Ring()
	}
	rig.Pause(ctx, wait)
	switch {
	case what == 1: // nobody there
		return
	case what == 2:
		c.Reject(486)
		return
	case what == 3:
		c.Reject(603)
		return
	}
	port := 10_000 + 2*i // where nobody listens: the platform sends, and nothing more
	if c.Answer(phone.Offer(port, port+1, "sendrecv")) != nil {
		return // given up
	}
	if what > 12 { // most calls are ended by requests
		return
	}
	wakes := time.NewTimer(talk)
	defer wakes.Stop()
	select {
	case <-ctx.Done():
	case <-c.Ended:
	case <-wakes.C:
		_ = c.Bye() // the other side may have been quicker
	}
}
