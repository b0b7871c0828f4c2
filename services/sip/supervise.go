package sip

import (
	"parley/internal/contract"
	"parley/internal/voice"
)

// Supervision: when an agent talks whose calls somebody wants to be in, the supervisor's phone is called and put into the room
// of the conversation: as one whom nobody hears (normal, mute), whom the agent alone hears (coach), or all (connect). The
// others are told of the last only.

// supervision is what a call to a supervisor is for.
type supervision struct {
	monitor
	agent member
}

// unheard tells whether a side listens only, or speaks to one alone.
func (c *call) unheard() bool { return c.watches != nil && c.watches.Mode != modeConnect }

// supervise calls the supervisor of somebody who talks, once in a conversation, and lets one go who is there as long as the agent.
func (v *conversation) supervise() {
	for _, n := range v.calls {
		if w := n.watches; w != nil && w.Scope == scopeAgent && n.phase != over {
			if _, there := v.member(w.Agent); !there {
				n.mailbox.must(func() { n.release("the agent has left the call", "system") })
			}
		}
	}
	if v.watched {
		return
	}
	all := v.speakers()
	if len(all) < 2 {
		return
	}
	for _, sp := range all {
		st := sp.standing()
		if st.outside || sp.c.phase != talking || sp.c.inRoom {
			continue
		}
		if m, ok := sp.c.w.monitored(v.id.tenant, st.dn); ok {
			if _, there := v.member(m.Supervisor); !there {
				v.watched = true
				sp.c.must(func() { v.call(sp.member, m) }) // what is being done comes first
				return
			}
		}
	}
}

// call has the supervisor's phone ring.
func (v *conversation) call(agent member, m monitor) {
	if agent.c.phase != talking || agent.c.conv != v {
		return
	}
	agent.c.w.supervised(&m)
	n, err := agent.c.w.more(agent.c)
	if err != nil {
		return // the node is full; a call is not lost for that
	}
	n.dialled, n.watches = m.Supervisor, &supervision{m, agent}
	n.enter(v)
	n.as[callee] = &standing{dn: m.Supervisor, role: voice.RoleObserverDN, hidden: n.unheard()}
	n.by = &by{dn: m.Agent, role: voice.RoleAddedBy, state: voice.StateOk}
	n.originate(&origin{
		dn: m.Supervisor, role: voice.RoleObserverDN, hidden: n.unheard(),
		then: func() {
			if err := v.gather(); err != nil {
				n.release(err.Message, "system")
				return
			}
			n.by = nil
			n.publish(voice.EventEstablished, caller, voice.StateOk, nil)
			if !n.unheard() {
				v.joins(m.Supervisor)
			}
		},
		fails: func(o outcome) {
			if n.rings != "" {
				n.publish(voice.EventReleased, callee, stateOf(o.status, n.late), nil)
			}
		},
	})
}

// joins tells the others of a supervisor who can be heard.
func (v *conversation) joins(dn string) {
	v.tellOthers(dn, voice.EventPartyAdded, voice.StateOk, func(e *voice.CallEvent) {
		e.OtherDN, e.OtherDNRole = dn, voice.RoleObserverDN
	})
}

// part is the role of the call's parties in the room of the conversation.
func (c *call) part(req *contract.JoinConferenceRequest) {
	w := c.watches
	if w == nil {
		return
	}
	req.Role, req.Of = w.role()
}

func (w *supervision) role() (contract.ConferenceRole, string) {
	switch w.Mode {
	case modeCoach:
		return contract.RoleCoach, w.agent.c.participant(w.agent.s)
	case modeConnect:
		return contract.RoleTalker, ""
	}
	return contract.RoleObserver, ""
}

// switchMode has a supervisor be heard by all, by the agent, or by nobody.
func (c *call) switchMode(m member, r *request, mode string, event voice.EventName) {
	w := c.watches
	if w.Mode == mode {
		r.answer(voice.TErrorf(voice.TErrAlreadyInState, "%.64s is in mode %s already", r.ThisDN, mode))
		return
	}
	before, secret := w.Mode, c.unheard()
	w.Mode = mode
	role, of := w.role()
	if err := c.w.changeRoom(contract.ChangeConferenceRequest{Tenant: c.id.tenant, Participant: c.participant(m.s), Role: role, Of: of}); err != nil {
		w.Mode = before
		r.answer(c.wrong(err.Error()))
		return
	}
	if st := c.as[m.s]; st != nil {
		st.hidden = c.unheard()
	}
	c.followTape()
	c.byRequest(r.Request, func() { c.publish(event, m.s, voice.StateOk, nil) })
	switch v := c.conv; {
	case secret && !c.unheard():
		v.byRequest(r.Request, func() { v.joins(w.Supervisor) })
	case !secret && c.unheard():
		v.byRequest(r.Request, func() {
			v.tellOthers(w.Supervisor, voice.EventPartyDeleted, voice.StateOk, func(e *voice.CallEvent) {
				e.OtherDN, e.OtherDNRole = w.Supervisor, voice.RoleDeletedParty
			})
		})
	}
	r.answer(nil)
}

// endSupervision ends the call if it is to a supervisor for that reason.
func (c *call) endSupervision(m *monitor) {
	if w := c.watches; w != nil && w.Supervisor == m.Supervisor && w.Agent == m.Agent && w.Tenant == m.Tenant {
		c.release("supervision is over", "system")
	}
}

// unwatch lets supervisors go before one of two leaves the call: what follows is the end of any call of two.
func (v *conversation) unwatch() {
	talkers := 0
	var watching []*call
	for _, m := range v.members() {
		if m.c.watches == nil {
			talkers++
		} else {
			watching = append(watching, m.c)
		}
	}
	if talkers > 2 {
		return
	}
	for _, n := range watching {
		n.release("the call is over", "system")
	}
}

// shown is how many calls of the conversation the parties know of.
func (v *conversation) shown() (n int) {
	for _, c := range v.calls {
		if !c.unheard() {
			n++
		}
	}
	return n
}

// unwatched lets the supervisors of a party's conversation go, and finds the party again: two who are left may have become one call.
func (m member) unwatched() member {
	l, v := m.leg(), m.c.conv
	v.unwatch()
	for _, o := range v.members() {
		if l != nil && o.leg() == l {
			return o
		}
	}
	return m
}
