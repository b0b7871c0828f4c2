package sip

import (
	"maps"
	"slices"
	"time"

	"parley/internal/voice"
)

// conversation is a call as T-Library has it: what a ConnID names, its events count, and one record tells of. One call
// between two sides carries it, or several whose sides are together in a room. A consultation is a conversation of its
// own; when it is merged with the one it is about, its calls change over to that one.
//
// It belongs to the mailbox of its calls.
type conversation struct {
	id       identity
	thread   string // CallThreadID: the UUID of the first of the conversations that belong together
	previous string // ConnID of the conversation it consults about
	caller   party  // who began it
	dialled  string
	times    struct{ start, ring, answer time.Time }
	queue    string        // the route point it was at last
	waited   time.Duration // at route points
	seq      uint64        // of its last event
	data     voice.KVList  // user data; never changed, only replaced
	version  int64         // of data
	calls    []*call
	sipID    string             // Call-ID of the dialog it began with
	recent   []*voice.CallEvent // that the stream may lack
	request  *voice.Request     // whose events these are, while it is carried out
	taping   *taping            // nil = it was never recorded
	watched  bool               // a supervisor was called
}

// converse makes the call's own conversation, unless it is in one.
func (c *call) converse() {
	if c.conv != nil {
		return
	}
	c.conv = &conversation{id: c.id, thread: c.id.uuid, caller: c.from, dialled: c.dialled}
	c.conv.caller.leave = nil
	c.conv.times.start = c.w.now()
	if l := c.legs[caller]; l != nil {
		c.conv.sipID = l.callID
	}
	c.conv.calls = []*call{c}
}

// standing is how a party appears in events.
type standing struct {
	dn      string
	role    voice.DNRole
	queue   string // it came by
	trunk   string
	outside bool // it is no DN of ours and has no events
	hidden  bool // the others are not told of it
}

// standing returns how a side appears: as who called and who was called, unless it came here otherwise.
func (c *call) standing(s side) standing {
	switch {
	case c.as[s] != nil:
		return *c.as[s]
	case s == caller:
		return standing{dn: c.from.shown, role: voice.RoleOrigination, trunk: c.from.trunk, outside: c.from.outside()}
	}
	there := c.dialled
	if c.rings != "" {
		there = c.rings
	}
	if c.rings == "" { // beyond a trunk, or not known yet
		return standing{dn: there, role: voice.RoleDestination, queue: c.conv.queue, trunk: c.trunkOut(), outside: true}
	}
	return standing{dn: there, role: voice.RoleDestination, queue: c.conv.queue}
}

// member is a party of a conversation: a side of one of its calls.
type member struct {
	c *call
	s side
}

func (m member) standing() standing { return m.c.standing(m.s) }
func (m member) leg() *leg          { return m.c.legs[m.s] }

// members are the parties that can be told of something: those who called or were called, and answered or ring.
func (v *conversation) members() (out []member) {
	for _, c := range v.calls {
		if c.phase == over {
			continue
		}
		if c.legs[caller] != nil {
			out = append(out, member{c, caller})
		}
		if c.legs[callee] != nil || c.rings != "" {
			out = append(out, member{c, callee})
		}
	}
	return out
}

// member finds the party that a DN is.
func (v *conversation) member(dn string) (member, bool) {
	for _, m := range v.members() {
		if st := m.standing(); st.dn == dn {
			return m, true
		}
	}
	return member{}, false
}

// tell publishes an event to every party that has events.
func (v *conversation) tell(name voice.EventName, state voice.CallState, more func(*voice.CallEvent)) {
	for _, m := range v.members() {
		if !m.silent() {
			m.c.publish(name, m.s, state, more)
		}
	}
}

// silent tells whether a party has no events.
func (m member) silent() bool {
	return m.standing().outside
}

// leaveConversation takes the call out of its conversation. The last one to leave ends it.
func (c *call) leaveConversation() (last bool) {
	v := c.conv
	v.calls = slices.DeleteFunc(v.calls, func(o *call) bool { return o == c })
	return len(v.calls) == 0
}

// enter makes the call one of v's.
func (c *call) enter(v *conversation) {
	c.conv = v
	v.calls = append(v.calls, c)
}

// attach changes the user data: pairs of add replace those of the same key, keys of drop go; all of it first when anew.
func (v *conversation) attach(add voice.KVList, drop []string, anew bool) {
	data := voice.KVList{}
	if !anew {
		maps.Copy(data, v.data)
	}
	for _, k := range drop {
		delete(data, k)
	}
	maps.Copy(data, add)
	v.data = data
	v.version++
}

// view is the conversation as RequestQueryCall tells of it.
func (v *conversation) view() *voice.Call {
	out := &voice.Call{
		Tenant: v.id.tenant, Node: v.id.node, ConnID: v.id.conn, PreviousConnID: v.previous, CallID: v.id.number, CallUUID: v.id.uuid,
		CallThreadID: v.thread, CallType: v.id.kind, ANI: v.caller.shown, DNIS: v.dialled, Start: v.times.start, Answer: v.times.answer,
		UserData: v.data, Version: v.version, Seq: v.seq, Parties: []voice.Party{},
	}
	if t := v.taping; t != nil && t.tape != nil {
		out.Recording = t.tape.Ledger().State
	}
	for _, c := range v.calls {
		if d := c.desk; d != nil {
			out.Parties = append(out.Parties, voice.Party{DN: d.dn, Role: voice.RoleDestination, State: voice.PartyQueued, Queue: d.dn, Since: d.since})
		}
	}
	for _, m := range v.members() {
		st := m.standing()
		out.Parties = append(out.Parties, voice.Party{DN: st.dn, Role: st.role, State: m.state(), Queue: st.queue, Trunk: st.trunk, Muted: m.c.muted[m.s] != nil})
	}
	return out
}

// state is what a party does.
func (m member) state() voice.PartyState {
	c := m.c
	switch {
	case c.parked[m.s] || c.isHeld(m.s):
		return voice.PartyHeld
	case c.phase >= answered || c.inRoom:
		return voice.PartyEstablished
	case m.s == callee:
		return voice.PartyRinging
	case c.taken && c.desk != nil:
		return voice.PartyEstablished
	}
	return voice.PartyDialing
}
