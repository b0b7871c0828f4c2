package sip

import (
	"slices"

	"parley/internal/contract"
	"parley/internal/voice"
)

// Conferences of a conversation. Its calls are in one room, which has the name of the conversation; whoever is the last of three
// to leave leaves two that talk with each other as before.

// roomOf is the room of a conversation.
func (v *conversation) room() string { return "call-" + v.id.uuid }

// gather has all parties of the conversation in its room.
func (v *conversation) gather() *voice.TError {
	for _, c := range v.calls {
		if c.phase == over || c.inRoom || c.origin != nil || c.phase < answered && !c.taken {
			continue
		}
		if c.parked[caller] || c.parked[callee] || c.consult != nil {
			return voice.TErrorf(voice.TErrCannotConference, "somebody has the call on hold")
		}
		req := &contract.JoinConferenceRequest{Tenant: c.id.tenant, CallUUID: c.id.uuid, Room: v.room(), Quiet: true}
		c.part(req)
		if err := c.joinRoom(req); err != nil {
			return voice.TErrorf(voice.TErrCannotConference, "%v", err)
		}
	}
	v.followTape()
	return nil
}

// conference completes a conference: who side s of the call and the caller of the consultation n is, talks with both.
func (c *call) conference(s side, n *call, req *voice.Request) *voice.TError {
	switch {
	case c.consult != n || n.about != c:
		return voice.TErrorf(voice.TErrCannotConference, "%s does not consult about this call", req.ThisDN)
	case c.parked[s.other()] || n.parked[callee]:
		return voice.TErrorf(voice.TErrWrongState, "somebody else has one of the calls on hold")
	case n.phase != talking || c.phase != talking:
		return voice.TErrorf(voice.TErrCannotConference, "the consultation is %s; all must talk", n.phase)
	case !n.quiet(callee) || !c.quiet(s) || !c.quiet(s.other()):
		return voice.TErrorf(voice.TErrWrongState, "a change of one of the calls is under way; try again")
	}
	v := c.conv
	v.request, n.conv.request = req, req
	defer func() { v.request = nil }()
	added := n.standing(callee)
	n.publish(voice.EventReleased, caller, voice.StateConferenced, func(e *voice.CallEvent) { e.ConferenceConnID = v.id.conn })
	n.stopTone()
	n.mergeInto(v)
	n.about, c.consult = nil, nil
	n.replaceCaller()
	n.stays(callee)
	n.forsake()
	wasHeld := c.parked[s]
	c.parked[s], n.parked = false, [2]bool{}
	if err := v.gather(); err != nil {
		return err
	}
	if wasHeld {
		c.publish(voice.EventRetrieved, s, voice.StateOk, nil)
	}
	v.added(added.dn, req.ThisDN, n)
	return nil
}

// added tells the parties of a new one, and it of them.
func (v *conversation) added(dn, who string, n *call) {
	v.tellOthers(dn, voice.EventPartyAdded, voice.StateConferenced, func(e *voice.CallEvent) {
		e.OtherDN, e.OtherDNRole = dn, voice.RoleNewParty
		e.ThirdPartyDN, e.ThirdPartyDNRole = who, voice.RoleAddedBy
	})
	if m := (member{n, caller}); !m.silent() {
		n.publish(voice.EventPartyChanged, caller, voice.StateConferenced, func(e *voice.CallEvent) {
			e.PreviousConnID = n.joinedFrom
			e.ThirdPartyDN, e.ThirdPartyDNRole = who, voice.RoleConferencedBy
		})
	}
}

// tellOthers publishes an event to every party but one.
func (v *conversation) tellOthers(but string, name voice.EventName, state voice.CallState, more func(*voice.CallEvent)) {
	for _, m := range v.members() {
		if st := m.standing(); st.dn != but && !m.silent() {
			m.c.publish(name, m.s, state, more)
		}
	}
}

// addParty calls a destination and has it join the conversation when it answers.
func (c *call) addParty(s side, req *voice.Request) *voice.TError {
	if c.phase != talking && !(c.inRoom && c.taken) || c.consult != nil || c.borrowed {
		return voice.TErrorf(voice.TErrCannotConference, "the call is %s; two must talk in it, without a consultation", c.phase)
	}
	if c.audio == nil || !c.audio.through() {
		return errDirect()
	}
	v := c.conv
	if _, there := v.member(req.OtherDN); there {
		return voice.TErrorf(voice.TErrInvalidCalledDN, "%.64s is in the call already", req.OtherDN)
	}
	n, err := c.w.more(c)
	if err != nil {
		return refusal(err)
	}
	n.dialled = req.OtherDN
	n.enter(v)
	b := &by{dn: req.ThisDN, role: voice.RoleAddedBy, state: voice.StateConferenced}
	n.by = b
	n.originate(&origin{
		dn: req.OtherDN, role: voice.RoleDestination,
		then: func() {
			if err := v.gather(); err != nil {
				n.release(err.Message, "system")
				return
			}
			n.publish(voice.EventEstablished, caller, voice.StateConferenced, func(e *voice.CallEvent) { b.said(e) })
			n.by = nil
			v.byRequest(req, func() {
				v.tellOthers(req.OtherDN, voice.EventPartyAdded, voice.StateConferenced, func(e *voice.CallEvent) {
					e.OtherDN, e.OtherDNRole = req.OtherDN, voice.RoleNewParty
					e.ThirdPartyDN, e.ThirdPartyDNRole = req.ThisDN, voice.RoleAddedBy
				})
			})
		},
		fails: func(o outcome) {
			m, there := v.member(req.ThisDN)
			if !there { // who asked is gone
				return
			}
			v.byRequest(req, func() {
				m.c.publish(voice.EventError, m.s, stateOf(o.status, n.late), func(e *voice.CallEvent) {
					bad := refusalOf(o, n.late)
					e.ErrorCode, e.ErrorMessage, e.ThirdPartyDN = bad.Code, bad.Message, req.OtherDN
				})
			})
		},
	})
	return nil
}

// byRequest publishes what a request causes.
func (v *conversation) byRequest(req *voice.Request, do func()) {
	v.request = req
	do()
	v.request = nil
}

// drop takes a party out of the conversation; the others stay, and are told who wanted it.
func (m member) drop(reason string, req *voice.Request) {
	c, v, gone := m.c, m.c.conv, m.standing()
	v.request = req
	defer func() { v.request = nil }()
	if m.leg() == nil { // it rings still
		c.release("released by request", "system")
		return
	}
	if !gone.outside {
		c.publish(voice.EventReleased, m.s, voice.StateOk, nil)
	}
	c.quitRoom()
	other := m.s.other()
	if c.legs[other] == nil {
		c.farewell(m.s)
		c.byeThen(c.legs[m.s], reason, func() {})
		c.dissolveInto(v)
	} else {
		c.stays(other)
		c.dismiss(callee, reason)
		c.forsake()
	}
	v.deleted(gone, req)
	v.thinned()
}

// stays makes the side that stays the caller's, as one who calls on. What the call has at trunks goes with who had it: the place of
// one who came by a trunk stays as long as he does, and is given back when he is the one who goes.
func (c *call) stays(s side) {
	p, leave := c.partyOf(s), c.from.leave
	c.from.leave = nil
	switch {
	case leave == nil:
	case s == caller:
		c.returns = append(c.returns, leave)
	default:
		leave()
	}
	if x := c.exit; s == callee && x != nil { // he was called by a trunk
		c.returns = append(c.returns, x.Release)
		c.stopSilence()
		c.exit = nil
	}
	if s == callee {
		c.flip()
	}
	c.from = p
}

// left takes a party out of the conversation that has hung up itself.
func (m member) left(reason string) {
	c, v := m.c, m.c.conv
	gone, l := m.standing(), m.leg()
	if !gone.outside {
		c.publish(voice.EventReleased, m.s, voice.StateOk, nil)
	}
	c.quitRoom()
	if c.legs[m.s.other()] == nil {
		c.dissolveInto(v)
	} else {
		c.stays(m.s.other())
		c.w.shut(l.callID)
		c.farewell(callee)
		c.leaveTrunk()
		c.forsake()
	}
	v.deleted(gone, nil)
	v.thinned()
}

// deleted tells those who are left of one who is gone.
func (v *conversation) deleted(gone standing, req *voice.Request) {
	if gone.hidden {
		return
	}
	v.tell(voice.EventPartyDeleted, voice.StateOk, func(e *voice.CallEvent) {
		e.OtherDN, e.OtherDNRole = gone.dn, voice.RoleDeletedParty
		e.ThirdPartyDN, e.ThirdPartyDNRole = gone.dn, voice.RoleDeletedParty
		if req != nil && req.ThisDN != gone.dn {
			e.ThirdPartyDN, e.ThirdPartyDNRole = req.ThisDN, voice.RoleDeletedBy
		}
	})
}

// dissolveInto ends one of several calls of a conversation.
func (c *call) dissolveInto(v *conversation) {
	last := len(v.calls) == 1
	if last {
		c.finish(outcome{status: 200, reason: "hung up"}, "system")
		return
	}
	c.dissolve()
	c.w.rename(v.calls[0])
}

// thinned puts a conversation in order that somebody left: two who are left talk as in any call, one alone is hung up.
func (v *conversation) thinned() {
	if len(v.calls) == 0 {
		return
	}
	v.calls[0].w.rename(v.calls[0])
	if v.deserted() {
		for _, c := range slices.Clone(v.calls) {
			c.release("nobody is left to talk to", "system")
		}
		return
	}
	for _, c := range v.calls { // somebody is being called for it still
		if c.origin != nil || c.phase == routing || c.phase == alerting || c.desk != nil {
			return
		}
	}
	ms := v.members()
	talkers := 0
	for _, m := range ms {
		if m.standing().role != voice.RoleObserverDN {
			talkers++
		}
	}
	switch {
	case talkers < 2:
		for _, m := range ms {
			if m.c.phase != over {
				m.c.hangUp("nobody is left to talk to", "system", outcome{status: 200})
			}
		}
	case len(ms) == 2 && ms[0].c == ms[1].c:
		if c := ms[0].c; c.inRoom {
			c.leaveRoom()
			c.rejoin()
			c.muteAgain()
		}
	case len(ms) == 2:
		ms[0].pair(ms[1])
	default: // those of whom the call has one side only hear each other in the room
		for _, c := range v.calls {
			if !c.inRoom && c.taken && c.desk == nil {
				_ = v.gather() // what cannot enter was in it a moment ago
			}
		}
	}
}

// deserted tells whether everybody is gone but those who are being called for it.
func (v *conversation) deserted() bool {
	for _, c := range v.calls {
		if c.origin == nil || c.by == nil {
			return false
		}
	}
	return true
}

// pair makes one call of two parties who are in two.
func (m member) pair(o member) {
	c, n := m.c, o.c
	if !c.quiet(m.s) || !n.quiet(o.s) || m.s != caller || o.s != caller { // they go on hearing each other in the room
		_ = c.conv.gather()
		return
	}
	c.quitRoom()
	n.quitRoom()
	c.adopt(callee, n, caller)
	n.dissolve()
	c.w.rename(c)
	c.phase, c.taken = talking, false
	c.rejoin()
	c.music()
	c.watchAudio()
	c.show()
}
