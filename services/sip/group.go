package sip

import (
	"cmp"
	"slices"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// A ring group calls its members at once, as places of one attempt, or one after the other, as an attempt each. Who answers has
// the call, and events and the record name him; each member has the events of its own phone. What a member's phone says of busy or
// elsewhere goes no further: when all were called, the group's overflow is where the call goes on.

// maxGroupPlaces is how many phones of a group ring at once.
const maxGroupPlaces = 64

// group is a ring group that a call is at.
type group struct {
	plan    *contract.ResolveResponse
	waiting []contract.GroupMember // to be called in turn
	at      []string               // member of each place of the attempt; none when called in turn
	began   time.Time
	rang    bool // some member could be called
}

// load is what a number does: the calls it is in, and since when it is in none; the zero time is longest ago.
type load struct {
	calls int
	free  time.Time
}

// groupResult is how a group's attempt ended, for the metrics.
type groupResult struct {
	mode     string // parallel or sequential
	balanced bool
	result   string // answered, no_answer or error
	err      string // with error
	took     time.Duration
}

// callGroup calls the members of the group that the dial plan named.
func (c *call) callGroup() {
	g := &group{plan: c.plan, began: c.w.now()}
	c.group = g
	g.waiting = c.inTurn(c.plan.Group)
	if c.plan.Group.Strategy == voice.RingSimultaneous {
		c.callAll(g)
		return
	}
	c.nextMember()
}

// inTurn is the members to call, in that order.
func (c *call) inTurn(g *contract.RingGroup) []contract.GroupMember {
	type candidate struct {
		contract.GroupMember
		load
	}
	var all []candidate
	for _, m := range g.Members {
		l := c.w.load(c.id.tenant, m.Number)
		if m.Number == c.from.number || l.calls > 0 && !g.RingBusy {
			continue // nobody answers his own call
		}
		all = append(all, candidate{m, l})
	}
	if g.Strategy == voice.RingLeastLoaded {
		slices.SortStableFunc(all, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(a.calls*b.Weight, b.calls*a.Weight), a.free.Compare(b.free))
		})
	}
	out := make([]contract.GroupMember, len(all))
	for i := range all {
		out[i] = all[i].GroupMember
	}
	return out
}

// callAll rings all members as places of one attempt. Those behind a softswitch are called alone only.
func (c *call) callAll(g *group) {
	var places []contract.Binding
	asked := 0
	for _, m := range g.waiting {
		if len(m.Trunks) > 0 {
			continue
		}
		if m.Contact != "" {
			places, g.at = append(places, contract.Binding{Contact: m.Contact}), append(g.at, m.Number)
			continue
		}
		asked++
	}
	ready := func() {
		if c.group != g || c.phase == over {
			return
		}
		if len(places) == 0 {
			c.groupEnds(outcome{status: 480, reason: "no member of " + g.plan.Number + " can be called"}, voice.StateForwarded)
			return
		}
		g.rang = true
		c.ring(places, "")
	}
	if asked == 0 {
		ready()
		return
	}
	for _, m := range g.waiting {
		if len(m.Trunks) > 0 || m.Contact != "" {
			continue
		}
		c.w.bindings(c.id.tenant, m.Number, func(bs []contract.Binding, err error) {
			c.must(func() {
				for _, b := range bs[:min(len(bs), c.cfg.MaxContacts)] {
					if err == nil && len(places) < maxGroupPlaces {
						places, g.at = append(places, b), append(g.at, m.Number)
					}
				}
				if asked--; asked == 0 {
					ready()
				}
			})
		})
	}
}

// nextMember calls the next one in turn, or ends the group's attempt when there is none.
func (c *call) nextMember() {
	g := c.group
	if len(g.waiting) == 0 {
		o := outcome{status: 480, reason: "nobody of " + g.plan.Number + " answered"}
		c.groupEnds(o, voice.StateNoAnswer)
		return
	}
	m := g.waiting[0]
	g.waiting = g.waiting[1:]
	c.plan, c.best, c.late = &m.ResolveResponse, outcome{}, false
	c.current = len(c.branches)
	c.callDevice()
}

// passedOver is the end of a member's attempt; it tells whether the call is still the group's.
func (c *call) passedOver(state voice.CallState) bool {
	g := c.group
	if g == nil {
		return false
	}
	c.cancelBranches("")
	if g.at == nil {
		if c.rings != "" {
			g.rang = true
			if len(g.waiting) > 0 { // else it is told where the group's calls go
				c.publish(voice.EventDiverted, callee, state, func(e *voice.CallEvent) { e.ThirdPartyDN = g.waiting[0].Number })
				c.rings = ""
			}
		}
		c.leaveTrunk()
		c.nextMember()
		return true
	}
	c.groupEnds(outcome{status: 480, reason: "nobody of " + g.plan.Number + " answered"}, state)
	return true
}

// groupEnds goes on where the group's calls go that nobody answered.
func (c *call) groupEnds(o outcome, state voice.CallState) {
	g := c.group
	c.group, c.plan = nil, g.plan
	r := g.result("no_answer")
	if !g.rang {
		r = g.result("error")
		r.err = "nobody_there"
	}
	c.tellGroup(g, r)
	c.unreached(o, g.plan.OnNoAnswer, state)
}

func (g *group) result(result string) groupResult {
	mode := "sequential"
	if g.plan.Group.Strategy == voice.RingSimultaneous {
		mode = "parallel"
	}
	return groupResult{mode: mode, balanced: g.plan.Group.Strategy == voice.RingLeastLoaded, result: result}
}

func (c *call) tellGroup(g *group, r groupResult) {
	r.took = c.w.now().Sub(g.began)
	c.w.grouped(r)
}

// groupAnswered notes that a member has the call. Others that rang leave it.
func (c *call) groupAnswered(b *branch) {
	g := c.group
	if g == nil {
		return
	}
	c.groupTaken()
	if b.member == "" {
		return
	}
	others := append(c.chorus, c.rings)
	c.chorus, c.rings = nil, b.member
	for _, dn := range others {
		if dn != b.member {
			c.publish(voice.EventDiverted, callee, voice.StateRedirected, func(e *voice.CallEvent) { e.ThisDN, e.ThirdPartyDN = dn, b.member })
		}
	}
}

// groupTaken ends the group's attempt because somebody has the call.
func (c *call) groupTaken() {
	if g := c.group; g != nil {
		c.group = nil
		c.tellGroup(g, g.result("answered"))
	}
}

// groupGone ends the group's attempt because the call does.
func (c *call) groupGone() {
	if g := c.group; g != nil {
		c.group = nil
		c.tellGroup(g, g.result("no_answer"))
	}
}

// memberRings publishes that one more member rings.
func (c *call) memberRings(dn string) {
	if dn == c.rings || slices.Contains(c.chorus, dn) {
		return
	}
	c.chorus = append(c.chorus, dn)
	c.publish(voice.EventRinging, callee, voice.StateOk, func(e *voice.CallEvent) { e.ThisDN = dn })
}

// memberLeaves notes that no phone of a member rings any more while others of the group do.
func (c *call) memberLeaves(b *branch) {
	dn := b.member
	if dn == "" || c.phase != alerting || len(c.chorus) == 0 {
		return
	}
	for _, other := range c.branches[c.current:] {
		if other.member == dn && !other.final && !other.given {
			return
		}
	}
	switch i := slices.Index(c.chorus, dn); {
	case i >= 0:
		c.chorus = slices.Delete(c.chorus, i, i+1)
	case dn == c.rings:
		c.rings, c.chorus = c.chorus[0], c.chorus[1:]
	default:
		return
	}
	waiting := c.chorus
	c.chorus = nil // they ring on
	c.publish(voice.EventReleased, callee, voice.StateBusy, func(e *voice.CallEvent) { e.ThisDN = dn })
	c.chorus = waiting
}

// called is the number whose phone a branch is.
func (c *call) called(b *branch) string {
	if b.member != "" {
		return b.member
	}
	return c.plan.Number
}
