package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"parley/internal/voice"
)

// world makes up legal histories: it plays the node, and knows who is in which call and in what state. Each of its actions
// appends events to out, which a test gives to a model.
type world struct {
	r     *rand.Rand
	n     int
	calls []*played
	out   []*voice.CallEvent
}

// played is a call as the world has it.
type played struct {
	conn, uuid, thread, prev string
	kind                     voice.CallType
	seq                      uint64
	version                  int64
	data                     voice.KVList
	members                  []*member
}

// member is a party as the world has it; one beyond a trunk has no events.
type member struct {
	dn, trunk string
	role      voice.DNRole
	state     voice.PartyState
	queue     string
}

func newWorld(seed uint64) *world { return &world{r: rand.New(rand.NewPCG(seed, 1))} }

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.r.IntN(n) == 0 }

func (w *world) open(kind voice.CallType, about *played) *played {
	w.n++
	c := &played{conn: fmt.Sprintf("%016x", w.n), uuid: fmt.Sprintf("UUID%06d", w.n), kind: kind, version: 1}
	c.thread = c.uuid
	if about != nil {
		c.thread, c.prev = about.thread, about.conn
		c.data, c.version = about.data, about.version
	}
	w.calls = append(w.calls, c)
	return c
}

// dn is one that is in no call.
func (w *world) dn() string { w.n++; return fmt.Sprintf("%04d", 1000+w.n) }

func (w *world) event(c *played, id voice.EventName, p *member, more func(*voice.CallEvent)) {
	if p.trunk != "" {
		return
	}
	c.seq++
	e := &voice.CallEvent{
		ID: id, Server: "sip", ThisDN: p.dn, ThisDNRole: p.role, ThisQueue: p.queue, ConnID: c.conn, PreviousConnID: c.prev,
		CallID: 7, CallUUID: c.uuid, CallThreadID: c.thread, CallType: c.kind, ANI: "1", DNIS: "2", UserData: c.data,
		UserDataVersion: c.version, Tenant: "demo", Node: "n1", Seq: c.seq, Time: epoch.Add(time.Duration(len(w.out)) * time.Millisecond),
	}
	if i := slices.IndexFunc(c.members, func(m *member) bool { return m != p }); i >= 0 {
		e.OtherDN, e.OtherDNRole, e.ThisTrunk = c.members[i].dn, c.members[i].role, c.members[i].trunk
	}
	if more != nil {
		more(e)
	}
	w.out = append(w.out, e)
}

func (c *played) leave(p *member) {
	c.members = slices.DeleteFunc(c.members, func(m *member) bool { return m == p })
}

// ring makes a call of a to b; it may come from beyond a trunk or by a route point, and b may have others ring before.
func (w *world) ring(c *played, a *member) (b *member) {
	a.role, a.state = voice.RoleOrigination, voice.PartyDialing
	c.members = append(c.members, a)
	w.event(c, voice.EventDialing, a, nil)
	queue := ""
	if w.chance(3) {
		queue = w.queued(c, a)
	}
	for {
		b = &member{dn: w.dn(), role: voice.RoleDestination, state: voice.PartyRinging, queue: queue}
		c.members = append(c.members, b)
		w.event(c, voice.EventRinging, b, nil)
		if !w.chance(5) {
			break
		}
		c.leave(b)
		w.event(c, voice.EventDiverted, b, func(e *voice.CallEvent) { e.CallState = voice.StateNoAnswer })
	}
	return b
}

// queued has the call at a route point for a while.
func (w *world) queued(c *played, a *member) string {
	p := &member{dn: w.dn(), role: voice.RoleDestination, state: voice.PartyQueued}
	p.queue = p.dn
	c.members = append(c.members, p)
	w.event(c, voice.EventQueued, p, nil)
	w.event(c, voice.EventRouteRequest, p, nil)
	if w.chance(2) {
		w.event(c, voice.EventTreatmentApplied, p, nil)
		w.event(c, voice.EventTreatmentEnd, p, nil)
	}
	if a.trunk == "" && w.chance(4) { // the caller holds a call that nobody answered
		w.event(c, voice.EventHeld, a, nil)
		w.event(c, voice.EventRetrieved, a, nil)
	}
	w.event(c, voice.EventRouteUsed, p, nil)
	c.leave(p)
	w.event(c, voice.EventDiverted, p, nil)
	return p.dn
}

func (w *world) answer(c *played, a, b *member) {
	a.state, b.state = voice.PartyEstablished, voice.PartyEstablished
	w.event(c, voice.EventEstablished, a, nil)
	w.event(c, voice.EventEstablished, b, nil)
}

// talk makes a call that is answered.
func (w *world) talk() *played {
	c := w.open(voice.CallInternal, nil)
	a := &member{dn: w.dn()}
	if w.chance(3) {
		a.trunk, c.kind = "acme", voice.CallInbound
	}
	w.answer(c, a, w.ring(c, a))
	return c
}

// consult has b of c1 put c1 on hold and call somebody.
func (w *world) consult(c1 *played, b *member, answered bool) (c2 *played, b2, c *member) {
	b.state = voice.PartyHeld
	w.event(c1, voice.EventHeld, b, nil)
	c2 = w.open(voice.CallConsult, c1)
	b2 = &member{dn: b.dn}
	c = w.ring(c2, b2)
	if answered {
		w.answer(c2, b2, c)
	}
	return c2, b2, c
}

// join moves c from c2 to c1; who leaves or stays is up to the caller.
func (w *world) join(c1, c2 *played, c, by *member, state voice.CallState) {
	c2.leave(c)
	c1.members = append(c1.members, c)
	w.event(c1, voice.EventPartyChanged, c, func(e *voice.CallEvent) {
		e.PreviousConnID, e.CallState, e.ThirdPartyDN, e.ThirdPartyDNRole = c2.conn, state, by.dn, voice.RoleTransferredBy
	})
}

func (w *world) transfer(c1 *played) {
	b := c1.members[len(c1.members)-1]
	c2, b2, c := w.consult(c1, b, w.chance(2))
	c1.leave(b)
	w.event(c1, voice.EventReleased, b, func(e *voice.CallEvent) { e.CallState = voice.StateTransferred })
	c2.leave(b2)
	w.event(c2, voice.EventReleased, b2, func(e *voice.CallEvent) { e.CallState = voice.StateTransferred })
	for _, a := range slices.Clone(c1.members) {
		w.event(c1, voice.EventPartyChanged, a, func(e *voice.CallEvent) {
			e.OtherDN, e.OtherDNRole, e.ThirdPartyDN, e.ThirdPartyDNRole = c.dn, c.role, b.dn, voice.RoleTransferredBy
			e.CallState = voice.StateTransferred
		})
	}
	w.join(c1, c2, c, b, voice.StateTransferred)
	if c.state == voice.PartyRinging {
		c.state = voice.PartyEstablished
		w.event(c1, voice.EventEstablished, c, nil)
	}
	w.change(c1) // user data of both
}

func (w *world) conference(c1 *played) {
	b := c1.members[len(c1.members)-1]
	c2, b2, c := w.consult(c1, b, true)
	c2.leave(b2)
	w.event(c2, voice.EventReleased, b2, func(e *voice.CallEvent) { e.CallState = voice.StateConferenced })
	b.state = voice.PartyEstablished
	retrieved := w.chance(2)
	if retrieved {
		w.event(c1, voice.EventRetrieved, b, nil)
	}
	for _, p := range slices.Clone(c1.members) {
		p.role = voice.RoleConferenceMember
		w.event(c1, voice.EventPartyAdded, p, func(e *voice.CallEvent) {
			e.OtherDN, e.OtherDNRole, e.ThirdPartyDN, e.ThirdPartyDNRole = c.dn, voice.RoleNewParty, b.dn, voice.RoleAddedBy
			e.CallState = voice.StateConferenced
		})
	}
	c.role = voice.RoleConferenceMember
	w.join(c1, c2, c, b, voice.StateConferenced)
	if w.chance(2) { // it is left again
		c1.leave(c)
		w.event(c1, voice.EventReleased, c, nil)
		for _, p := range c1.members {
			w.event(c1, voice.EventPartyDeleted, p, func(e *voice.CallEvent) {
				e.OtherDN, e.OtherDNRole = c.dn, voice.RoleDeletedParty
			})
		}
	}
}

// singleStep transfers without a consult call.
func (w *world) singleStep(c1 *played) {
	b := c1.members[len(c1.members)-1]
	c1.leave(b)
	w.event(c1, voice.EventReleased, b, func(e *voice.CallEvent) { e.CallState = voice.StateTransferred })
	c := &member{dn: w.dn(), role: voice.RoleDestination, state: voice.PartyRinging}
	c1.members = append(c1.members, c)
	w.event(c1, voice.EventRinging, c, nil)
	for _, a := range c1.members[:len(c1.members)-1] {
		w.event(c1, voice.EventPartyChanged, a, func(e *voice.CallEvent) { e.OtherDN, e.OtherDNRole, e.ThirdPartyDN = c.dn, c.role, b.dn })
	}
	c.state = voice.PartyEstablished
	for _, p := range c1.members {
		w.event(c1, voice.EventEstablished, p, nil)
	}
}

// observed has a supervisor listen.
func (w *world) observed(c1 *played) {
	s := &member{dn: w.dn(), role: voice.RoleObserverDN, state: voice.PartyRinging}
	c1.members = append(c1.members, s)
	w.event(c1, voice.EventRinging, s, nil)
	s.state = voice.PartyEstablished
	w.event(c1, voice.EventEstablished, s, nil)
	w.event(c1, voice.EventMuteOn, s, nil)
	c1.leave(s)
	w.event(c1, voice.EventReleased, s, nil)
}

func (w *world) hold(c1 *played) {
	b := c1.members[len(c1.members)-1]
	b.state = voice.PartyHeld
	w.event(c1, voice.EventHeld, b, nil)
	if w.chance(3) {
		return
	}
	b.state = voice.PartyEstablished
	w.event(c1, voice.EventRetrieved, b, nil)
}

// change changes the user data, which every party is told.
func (w *world) change(c1 *played) {
	c1.version++
	c1.data = voice.KVList{"n": int64(c1.version)}
	for _, p := range c1.members {
		w.event(c1, voice.EventAttachedDataChanged, p, nil)
	}
}

func (w *world) hangUp(c *played) {
	for len(c.members) > 0 {
		p := c.members[w.r.IntN(len(c.members))]
		c.leave(p)
		w.event(c, voice.EventReleased, p, nil)
	}
}

// abandon makes a call that nobody answers.
func (w *world) abandon() {
	c := w.open(voice.CallInternal, nil)
	a := &member{dn: w.dn()}
	b := w.ring(c, a)
	c.leave(a)
	w.event(c, voice.EventReleased, a, nil)
	c.leave(b)
	w.event(c, voice.EventAbandoned, b, nil)
}

func (w *world) busy() {
	c := w.open(voice.CallInternal, nil)
	a := &member{dn: w.dn(), role: voice.RoleOrigination, state: voice.PartyDialing}
	c.members = append(c.members, a)
	w.event(c, voice.EventDialing, a, nil)
	w.event(c, voice.EventDestinationBusy, a, func(e *voice.CallEvent) { e.CallState = voice.StateBusy })
	w.hangUp(c)
}

// act does one thing with a call that is answered, or makes one.
func (w *world) act() {
	var talking []*played
	for _, c := range w.calls {
		if n := len(c.members); n >= 2 && c.members[n-1].state == voice.PartyEstablished {
			talking = append(talking, c)
		}
	}
	if len(talking) == 0 {
		w.talk()
		return
	}
	c := talking[w.r.IntN(len(talking))]
	switch w.r.IntN(10) {
	case 0:
		w.transfer(c)
	case 1:
		w.conference(c)
	case 2:
		w.singleStep(c)
	case 3:
		w.observed(c)
	case 4:
		w.hold(c)
	case 5:
		w.change(c)
	case 6:
		w.abandon()
	case 7:
		w.busy()
	case 8:
		w.talk()
	case 9:
		w.hangUp(c)
	}
}

// spread returns the events in another order that the stream may have too: those of each call keep theirs, and none
// is moved further than a few places.
func (w *world) spread() []*voice.CallEvent {
	out := slices.Clone(w.out)
	for range 2 * len(out) {
		i := w.r.IntN(max(1, len(out)-1))
		if i+1 < len(out) && out[i].CallUUID != out[i+1].CallUUID {
			out[i], out[i+1] = out[i+1], out[i]
		}
	}
	return out
}
