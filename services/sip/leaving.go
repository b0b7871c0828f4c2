package sip

import (
	"errors"
	"net/netip"
	"strconv"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
	"parley/services/sip/trunk"
)

// A call that leaves by a trunk goes to one target after the other (RFC 3263 §4.3): those of the trunk while one does not answer
// in time, cannot be reached or says 503, and the next trunk after any other 5xx, or when it does not believe who we are.

// statusNoFlow is what the front door says when the way to a target is blocked (RFC 5626 §5.3.1).
const statusNoFlow = 430

var errUnreached = errors.New("it cannot be reached")

// nextTrunk tries the next trunk that takes the call, in the order of the dial plan; false when there is none.
func (c *call) nextTrunk() bool {
	c.leaveTrunk()
	for len(c.trunks) > 0 {
		t := c.trunks[0]
		for len(c.trunks) > 0 && c.trunks[0].DN == t.DN { // its contacts are the trunk's to know
			c.trunks = c.trunks[1:]
		}
		exit, err := c.w.leave(&trunk.Leaving{
			Tenant: c.id.tenant, DN: t.DN, Number: t.Number, From: c.from.number, Caller: c.from.shown, Domain: c.domain,
		})
		if err != nil {
			c.better(outcome{status: 503, reason: err.Error()})
			continue
		}
		c.exit, c.hop = exit, -1
		c.nextHop()
		return true
	}
	return false
}

// leaveByTrunk goes out by the trunks of the dial plan.
func (c *call) leaveByTrunk(trunks []contract.RouteTarget) {
	c.trunks = trunks
	if !c.nextTrunk() {
		c.unreached(c.best.orElse(503, "no trunk takes the call"), c.plan.OnOffline, voice.StateForwarded)
	}
}

// beyond tells whether the place of a branch is no number of ours; an extension behind a softswitch is one.
func (c *call) beyond(b *branch) bool { return b.exit != nil && c.plan.Kind == contract.RouteTrunk }

// nextHop tries the next target of the trunk.
func (c *call) nextHop() {
	c.hop++
	c.current = len(c.branches)
	c.ring([]contract.Binding{{Contact: numberAt(c.exit.Hops[c.hop].Contact, c.exit.Number)}}, c.exit.DN)
	if len(c.branches) == c.current+1 {
		if b := c.branches[c.current]; !b.final {
			c.stopSilence()
			c.silence = c.w.after(c.exit.Patience, func() { c.must(func() { c.targetSilent(b) }) })
		}
	}
}

// sent notes that the INVITE of a branch went to the trunk.
func (b *branch) sent() {
	if b.exit != nil {
		b.exit.Sent()
	}
}

// trunkSaid takes what a response means for the trunk; what comes back is what it means for the call.
func (c *call) trunkSaid(b *branch, res *sip.Response, err error) (*sip.Response, error) {
	if b.attempt == c.current {
		c.stopSilence()
	}
	if b.final {
		return res, err
	}
	switch {
	case err != nil:
		b.exit.Failed(b.hop, "no answer to a call")
	case res.StatusCode == statusNoFlow:
		b.exit.Failed(b.hop, trunk.Unreachable(res))
		return nil, errUnreached // what the caller hears names no address
	case res.StatusCode == 503, res.StatusCode == 408 && !b.rings:
		b.exit.Failed(b.hop, "it answered a call with "+strconv.Itoa(res.StatusCode))
		b.exit.Said(res.StatusCode)
	case digest.ChallengeHeader(res.StatusCode) != "" && b.exit.Account != nil: // see proves
	case res.StatusCode >= 300:
		b.exit.Said(res.StatusCode)
	}
	return res, err
}

// targetSilent gives up a target that said nothing at all, long before its transaction would (Timer B). Should it answer after
// all, it is hung up.
func (c *call) targetSilent(b *branch) {
	c.silence = nil
	if b.final || b.given || c.phase != alerting || b.attempt != c.current {
		return
	}
	b.given = true
	b.tx.Cancel("")
	b.exit.Failed(b.hop, "no answer to a call for "+b.exit.Patience.String())
	c.better(outcome{status: 503, reason: "the trunk " + b.exit.DN + " does not answer"})
	c.attemptDone(c.current)
}

// elsewhere goes on after an attempt by a trunk that ended with o; false says that this is the end.
func (c *call) elsewhere(o outcome) bool {
	if c.exit == nil {
		return false
	}
	here := o.res == nil || o.status == 503 || o.status == 408
	switch {
	case !here && o.status/100 != 5 && digest.ChallengeHeader(o.status) == "": // who we are is not for the caller to say
		return false
	case here && c.hop+1 < len(c.exit.Hops):
		c.nextHop()
		return true
	}
	return c.nextTrunk()
}

// leaveTrunk gives back the place that the call has at its trunk.
func (c *call) leaveTrunk() {
	c.stopSilence()
	if c.exit != nil {
		c.exit.Release()
		c.exit = nil
	}
}

func (c *call) stopSilence() {
	if c.silence != nil {
		c.silence()
		c.silence = nil
	}
}

// wayTo is the Route that leads to the place of a branch, and the host that is there.
func (c *call) wayTo(b *branch, to *contract.Binding) (route string, host netip.Addr) {
	if b.exit != nil {
		return b.exit.Hops[b.hop].Route, b.exit.Hops[b.hop].Host
	}
	return c.w.route(to)
}

// divertedAs is a number that the call was forwarded away from, as the place of a branch shall see it.
func (c *call) divertedAs(b *branch, number string) string {
	if b.exit != nil {
		return b.exit.Shown(number)
	}
	return number
}

// fromUser is the user of From where number calls.
func (b *branch) fromUser(number string) string {
	if b.exit != nil && b.exit.From != "" {
		return b.exit.From
	}
	return number
}

// seenBy is who calls and in what domain, as the place of a branch shall see it.
func (c *call) seenBy(b *branch) (number, domain string) {
	if b.exit != nil {
		return b.exit.Caller, b.exit.Domain
	}
	return c.from.shown, c.domain
}
