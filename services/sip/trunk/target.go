package trunk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
)

// target is one address of a trunk and how it is. The trunk's lock guards it.
type target struct {
	key     targetKey
	state   contract.TrunkState
	reason  string
	since   time.Time
	checked time.Time     // when something was last known of it
	rtt     time.Duration // of the last OPTIONS that was answered

	check   time.Time // when it is to be asked, or believed again
	asked   time.Time // when the OPTIONS that waits for an answer went; zero = none waits
	failing time.Time // since when it does not answer; zero = it does
	probe   uint64    // number of the last OPTIONS
}

// soon is how long after a failure that came at once the next OPTIONS goes.
const soon = time.Second

// watch asks the targets how they are, as the options say, until ctx ends.
func (tr *Trunk) watch(ctx context.Context) {
	for {
		ask, next := tr.tend(time.Now())
		for _, g := range ask {
			tr.ask(g)
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-tr.poke:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// inquiry is an OPTIONS to be sent.
type inquiry struct {
	target targetKey
	probe  uint64
	route  string
}

// tend draws the conclusions of time, and says whom to ask now and when to come again.
func (tr *Trunk) tend(now time.Time) (ask []inquiry, next time.Time) {
	link := tr.table.link.Load()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	next = quiet
	sooner := func(at time.Time) {
		if at.Before(next) {
			next = at
		}
	}
	for _, g := range tr.targets {
		if tr.Options.OOSCheck == 0 {
			tr.believeLocked(g, now, sooner)
			continue
		}
		if !g.asked.IsZero() {
			if late := g.asked.Add(tr.Options.OOSForce); now.Before(late) {
				sooner(late)
				continue
			}
			g.asked = time.Time{}
			tr.outLocked(g, fmt.Sprintf("no answer to OPTIONS for %v", tr.Options.OOSForce), now)
		}
		if now.Before(g.check) {
			sooner(g.check)
			continue
		}
		g.probe++
		g.asked = now
		ask = append(ask, inquiry{g.key, g.probe, tr.route(link, g)})
		sooner(now.Add(tr.Options.OOSForce))
	}
	tr.judgeLocked(now)
	return ask, next
}

// believeLocked takes a target that nobody asks back into service when its time is over.
func (tr *Trunk) believeLocked(g *target, now time.Time, sooner func(time.Time)) {
	switch {
	case g.state != contract.TrunkOutOfService:
	case now.Before(g.check):
		sooner(g.check)
	default:
		g.state, g.reason, g.since = contract.TrunkUnwatched, "", now
	}
}

// outLocked takes a target out of service, or leaves it there for another while.
func (tr *Trunk) outLocked(g *target, reason string, now time.Time) {
	if g.state != contract.TrunkOutOfService {
		g.since = now
	}
	g.state, g.reason, g.checked, g.failing = contract.TrunkOutOfService, reason, now, time.Time{}
	wait := tr.Options.Recovery
	if wait == 0 {
		wait = tr.Options.OOSCheck
	}
	g.check = now.Add(wait)
}

// failed is the word of a call that a target did not take it.
func (tr *Trunk) failed(k targetKey, why string) {
	tr.mu.Lock()
	g := tr.targets[k]
	if g == nil {
		tr.mu.Unlock()
		return
	}
	now := time.Now()
	switch {
	case tr.Options.Recovery > 0:
		tr.outLocked(g, why, now)
	case tr.Options.OOSCheck > 0 && g.asked.IsZero(): // OPTIONS will tell
		g.check = now
	}
	tr.judgeLocked(now)
	tr.mu.Unlock()
	tr.attend()
}

// ask sends an OPTIONS (RFC 3261 §11).
func (tr *Trunk) ask(i inquiry) {
	sent := time.Now()
	tr.request(sip.OPTIONS, i.target.contact, i.route, func(res *sip.Response, err error) {
		tr.heard(i, res, err, sent)
	})
}

// heard is the answer to an OPTIONS, or the news that none will come.
func (tr *Trunk) heard(i inquiry, res *sip.Response, err error, sent time.Time) {
	tr.mu.Lock()
	g := tr.targets[i.target]
	if g == nil || g.probe != i.probe {
		tr.mu.Unlock()
		return
	}
	now := time.Now()
	failed := ""
	switch {
	case err != nil:
		failed = err.Error()
	case res.StatusCode == statusNoFlow:
		failed = Unreachable(res)
	case res.StatusCode == sip.StatusRequestTimeout:
		failed = "no answer to OPTIONS"
	}
	g.asked = time.Time{}
	switch {
	case failed != "": // nobody there, and that was known at once: it has oos-force to come up
		if g.failing.IsZero() {
			g.failing = sent
		}
		if now.Sub(g.failing) >= tr.Options.OOSForce || g.state == contract.TrunkOutOfService {
			tr.outLocked(g, failed, now)
		} else {
			g.check = now.Add(min(soon, g.failing.Add(tr.Options.OOSForce).Sub(now)))
		}
	case res.StatusCode == sip.StatusServiceUnavailable:
		tr.outLocked(g, "it answers OPTIONS with 503", now)
	default:
		if g.state != contract.TrunkInService {
			g.since = now
		}
		g.state, g.reason, g.checked, g.failing, g.rtt = contract.TrunkInService, "", now, time.Time{}, now.Sub(sent)
		g.check = now.Add(tr.Options.OOSCheck)
	}
	tr.judgeLocked(now)
	tr.mu.Unlock()
	tr.attend()
}

// Unreachable is why the front door has no way to a target, in its own words.
func Unreachable(res *sip.Response) string {
	if h := res.GetHeader("Warning"); h != nil {
		if _, text, ok := strings.Cut(h.Value(), `"`); ok {
			return strings.TrimSuffix(text, `"`)
		}
	}
	return "it cannot be reached"
}

// statusNoFlow is what the front door says when the way to a target is blocked (RFC 5626 §5.3.1).
const statusNoFlow = 430
