//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"parley/internal/voice"
)

// generator makes requests by chance.
type generator struct {
	api     *client
	desks   *desks
	illegal int

	mu    sync.Mutex // guards what follows
	r     *rand.Rand
	took  map[voice.RequestName][]time.Duration
	codes map[voice.RequestName]map[voice.TErrorCode]int
	n     int
	late  int     // not made, as too many were under way
	errs  []error // answers that a client must never see
	lost  int
	began time.Time
	lasts time.Duration
}

func newGenerator(api *client, d *desks, o options) *generator {
	g := &generator{api: api, desks: d, illegal: o.illegal, r: rand.New(rand.NewPCG(o.seed, 7))}
	g.reset()
	return g
}

func (g *generator) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.took, g.codes = map[voice.RequestName][]time.Duration{}, map[voice.RequestName]map[voice.TErrorCode]int{}
	g.n, g.late, g.lost, g.errs = 0, 0, 0, nil
}

// under is how many requests are under way at most.
const under = 400

// run makes rate requests a second for a while, whether earlier ones were answered or not.
func (g *generator) run(ctx context.Context, rate float64, d time.Duration) {
	g.began = time.Now()
	free := make(chan struct{}, under)
	var wg sync.WaitGroup
	for i := 0; ctx.Err() == nil; i++ {
		at := g.began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if at.Sub(g.began) >= d {
			break
		}
		time.Sleep(time.Until(at))
		select {
		case free <- struct{}{}:
		default:
			g.mu.Lock()
			g.late++
			g.mu.Unlock()
			continue
		}
		wg.Go(func() {
			defer func() { <-free }()
			g.one(ctx)
		})
	}
	wg.Wait()
	g.lasts = time.Since(g.began)
}

// one makes one request for one phone.
func (g *generator) one(ctx context.Context) {
	dn := g.anyone()
	calls, err := g.api.of(ctx, dn)
	if err != nil {
		g.note(ctx, nil, answer{}, err)
		return
	}
	r := g.choose(dn, calls)
	a, err := g.api.ask(ctx, r)
	g.note(ctx, r, a, err)
}

func (g *generator) note(ctx context.Context, r *voice.Request, a answer, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	const most = 20
	if err != nil {
		if ctx.Err() == nil {
			if g.lost++; len(g.errs) < most {
				g.errs = append(g.errs, err)
			}
		}
		return
	}
	g.n++
	g.took[r.Name] = append(g.took[r.Name], a.took)
	if g.codes[r.Name] == nil {
		g.codes[r.Name] = map[voice.TErrorCode]int{}
	}
	g.codes[r.Name][a.code]++
	if (a.status >= 500 && a.code == 0 || a.code == voice.TErrInternal) && len(g.errs) < most {
		g.errs = append(g.errs, fmt.Errorf("%s of %s: %d %s", r.Name, r.ThisDN, a.status, a.text))
	}
}

func (g *generator) intn(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.r.IntN(n)
}

func (g *generator) anyone() string { return number(g.intn(len(g.desks.agents))) }

// choose makes up a request for a phone that has these calls.
func (g *generator) choose(dn string, calls []voice.Call) *voice.Request {
	r := &voice.Request{ThisDN: dn, ReferenceID: int64(1 + g.intn(1<<30))}
	if g.intn(100) < g.illegal {
		return g.nonsense(r, calls)
	}
	if len(calls) == 0 {
		r.Name, r.OtherDN = voice.RequestMakeCall, g.anyone()
		return r
	}
	c := calls[len(calls)-1]
	r.ConnID = c.ConnID
	if len(calls) > 1 { // an earlier call it holds, and one it is in
		r.HeldConnID = calls[0].ConnID
		r.Name = pick(g, voice.RequestCompleteTransfer, voice.RequestCompleteConference, voice.RequestAlternateCall,
			voice.RequestReconnectCall, voice.RequestReleaseCall)
		return r
	}
	switch me := stateOf(c, dn); me {
	case voice.PartyRinging:
		r.Name = pick(g, voice.RequestRedirectCall, voice.RequestReleaseCall, voice.RequestAttachUserData, voice.RequestQueryCall)
	case voice.PartyDialing:
		r.Name = pick(g, voice.RequestReleaseCall, voice.RequestAttachUserData, voice.RequestQueryCall)
	case voice.PartyHeld:
		r.Name = pick(g, voice.RequestRetrieveCall, voice.RequestRetrieveCall, voice.RequestReleaseCall, voice.RequestUpdateUserData)
	default:
		r.Name = pick(g, inCall...)
	}
	g.fill(r, c)
	return r
}

// inCall is what somebody in a call may ask; what is named more often is asked more often.
var inCall = []voice.RequestName{
	voice.RequestHoldCall, voice.RequestHoldCall, voice.RequestReleaseCall, voice.RequestReleaseCall, voice.RequestClearCall,
	voice.RequestInitiateTransfer, voice.RequestInitiateTransfer, voice.RequestInitiateConference, voice.RequestInitiateConference,
	voice.RequestMuteTransfer, voice.RequestSingleStepTransfer, voice.RequestSingleStepConference, voice.RequestDeleteFromConference,
	voice.RequestSendDTMF, voice.RequestSetMuteOn, voice.RequestSetMuteOff, voice.RequestAttachUserData, voice.RequestAttachUserData,
	voice.RequestUpdateUserData, voice.RequestDeletePair, voice.RequestDeleteUserData, voice.RequestQueryCall,
}

// fill gives a request the members that its name wants.
func (g *generator) fill(r *voice.Request, c voice.Call) {
	switch r.Name {
	case voice.RequestInitiateTransfer, voice.RequestInitiateConference, voice.RequestMuteTransfer, voice.RequestSingleStepTransfer,
		voice.RequestSingleStepConference, voice.RequestRedirectCall:
		r.OtherDN = g.anyone()
	case voice.RequestDeleteFromConference:
		r.ThirdPartyDN = c.Parties[g.intn(len(c.Parties))].DN
	case voice.RequestSendDTMF:
		r.Digits = fmt.Sprint(g.intn(10_000))
	case voice.RequestAttachUserData, voice.RequestUpdateUserData:
		r.UserData = voice.KVList{fmt.Sprintf("key%d", g.intn(8)): fmt.Sprint(g.intn(1000))}
		if g.intn(3) == 0 {
			r.Version = c.Version
		}
	case voice.RequestDeletePair:
		r.Key = fmt.Sprintf("key%d", g.intn(8))
	}
}

// nonsense is a request that cannot be, or that comes at the wrong time.
func (g *generator) nonsense(r *voice.Request, calls []voice.Call) *voice.Request {
	all := append([]voice.RequestName{
		voice.RequestRetrieveCall, voice.RequestAnswerCall, voice.RequestCompleteTransfer, voice.RequestCompleteConference,
		voice.RequestAlternateCall, voice.RequestMergeCalls, voice.RequestRouteCall, voice.RequestApplyTreatment, voice.RequestMakeCall,
		voice.RequestListenDisconnect, voice.RequestCancelMonitoring, voice.RequestPrivateService, "RequestNothing",
	}, inCall...)
	r.Name = all[g.intn(len(all))]
	r.ConnID, r.HeldConnID, r.OtherDN = "00ff00ff00ff00ff", "00ff00ff00ff00fe", "4999"
	if len(calls) > 0 && g.intn(2) == 0 { // the call is there, and what is wrong is the time
		r.ConnID, r.OtherDN = calls[g.intn(len(calls))].ConnID, g.anyone()
	}
	switch g.intn(6) {
	case 0:
		r.ConnID = ""
	case 1:
		r.ThisDN = g.anyone() // somebody else, who is most likely not in it
	case 2:
		r.OtherDN = r.ThisDN
	case 3:
		r.Digits, r.Key = "no digits", "no such key"
	case 4:
		r.Merge, r.HeldConnID = voice.MergeForTransfer, r.ConnID
	}
	return r
}

func pick(g *generator, names ...voice.RequestName) voice.RequestName {
	return names[g.intn(len(names))]
}

func stateOf(c voice.Call, dn string) voice.PartyState {
	for _, p := range c.Parties {
		if p.DN == dn {
			return p.State
		}
	}
	return ""
}

// hangUp ends all calls of the phones.
func (g *generator) hangUp(ctx context.Context) {
	for i := range g.desks.agents {
		calls, err := g.api.of(ctx, number(i))
		if err != nil {
			continue // the next time
		}
		for _, c := range calls {
			_, _ = g.api.ask(ctx, &voice.Request{Name: voice.RequestReleaseCall, ThisDN: number(i), ConnID: c.ConnID}) // it may be over
		}
	}
}

func (g *generator) made() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// failed is what no client should have seen.
func (g *generator) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.errs) == 0 {
		return nil
	}
	return errors.Join(append(slices.Clone(g.errs), fmt.Errorf("%d requests had no answer", g.lost))...)
}

// report prints how long answers took.
func (g *generator) report(w io.Writer, cpu time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []time.Duration
	for _, t := range g.took {
		all = append(all, t...)
	}
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "%d requests in %.0f s (%.0f a second, %d not made in time), %.0f µs CPU each with all that they caused\n",
		g.n, g.lasts.Seconds(), float64(g.n)/g.lasts.Seconds(), g.late, float64(cpu.Microseconds())/float64(g.n))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, t []time.Duration, codes map[voice.TErrorCode]int) {
		slices.Sort(t)
		at := func(q float64) float64 {
			return float64(t[min(int(q*float64(len(t))), len(t)-1)].Microseconds()) / 1000
		}
		fmt.Fprintf(table, "%s\t%d\tp50 %.2f ms\tp90 %.2f ms\tp99 %.2f ms\tmax %.1f ms", name, len(t), at(.5), at(.9), at(.99), at(1))
		for i, code := range slices.Sorted(maps.Keys(codes)) {
			if i == 0 {
				fmt.Fprint(table, "\t")
			}
			if code == 0 {
				fmt.Fprintf(table, "accepted %d ", codes[code])
			} else {
				fmt.Fprintf(table, "E%d %d ", code, codes[code])
			}
		}
		fmt.Fprintln(table)
	}
	for _, name := range slices.Sorted(maps.Keys(g.took)) {
		row(name.Bare(), g.took[name], g.codes[name])
	}
	row("all", all, nil)
	_ = table.Flush() // who reads it sees what is missing
}
