package sip

import (
	"strings"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// Transfers and consultations. A consultation about a call is a call of its own whose caller's side is borrowed: dialog and leg
// stay those of the call it is about, where the other one hears music meanwhile. So a phone has one dialog, whatever
// is asked for it, and a transfer moves those who stay without a word to their phones.

// by is who brought a party into the call.
type by struct {
	dn    string
	role  voice.DNRole
	state voice.CallState
}

// said puts it into an event of the party.
func (b *by) said(e *voice.CallEvent) {
	if b != nil {
		e.ThirdPartyDN, e.ThirdPartyDNRole, e.CallState = b.dn, b.role, b.state
	}
}

// park puts the other side on hold by request: it hears music, and nothing of this side.
func (c *call) park(s side) {
	c.parked[s] = true
	if e := c.audio.ends[s]; e.leg != nil {
		c.w.part(e.leg)
	}
	c.music()
	c.followTape()
}

// unpark has the sides hear each other again.
func (c *call) unpark(s side) {
	c.parked[s] = false
	if !c.parked[s.other()] && !c.inRoom {
		c.rejoin()
	}
	c.music()
	c.followTape()
}

func (c *call) rejoin() {
	if a, b := c.audio.ends[caller].leg, c.audio.ends[callee].leg; a != nil && b != nil {
		c.w.join(a, b)
	}
	c.followTape()
}

// initiate begins a consultation of side s with a destination.
func (c *call) initiate(s side, req *voice.Request) (*call, *voice.TError) {
	switch {
	case c.consult != nil:
		return nil, voice.TErrorf(voice.TErrWrongState, "%s consults already; complete that, or reconnect", req.ThisDN)
	case c.phase != talking || c.inRoom:
		return nil, voice.TErrorf(voice.TErrCannotInitiate, "the call is %s; a consultation begins from a call in which two talk", c.phase)
	case !c.quiet(s):
		return nil, voice.TErrorf(voice.TErrWrongState, "a change of the call is under way at %s; try again", req.ThisDN)
	}
	n, err := c.w.more(c)
	if err != nil {
		return nil, refusal(err)
	}
	n.from = party{number: req.ThisDN, shown: req.ThisDN}
	n.dialled, n.about, n.borrowed = req.OtherDN, c, true
	n.id.kind = voice.CallConsult
	n.legs[caller], n.hosts[caller] = c.legs[s], c.hosts[s]
	n.converse()
	v := n.conv
	v.thread, v.previous = c.conv.thread, c.conv.id.conn
	v.attach(c.conv.data, nil, true)
	v.attach(req.UserData, nil, false)
	c.consult = n
	n.audio = newAudio(n.id.uuid, c.w.identity())
	n.audio.host = c.audio.host
	n.audio.ends[caller] = c.audio.ends[s]
	n.device = c.audio.ends[s].device
	n.taken, n.deal, n.offered, n.phase = true, dealSettled, true, queued
	n.life = n.w.after(n.cfg.MaxDuration, func() { n.must(n.tooLong) })
	if !c.parked[s] {
		c.park(s)
		c.byRequest(req, func() { c.publish(voice.EventHeld, s, voice.StateOk, nil) })
	}
	if err := n.openLegs(); err != nil {
		c.consult = nil
		n.dissolve()
		return nil, voice.TErrorf(voice.TErrResourceUnavailable, "no port for audio is free")
	}
	n.listen()
	n.byRequest(req, func() { n.publish(voice.EventDialing, caller, voice.StateOk, nil) })
	n.ringBack()
	n.route(req.OtherDN)
	return n, nil
}

// notConsulted is a consultation that came to nothing; who wanted it has the other call on hold still.
func (c *call) notConsulted(o outcome) {
	c.stopNoAnswer()
	c.cancelBranches("")
	c.busyTone(o)
	c.publish(voice.EventReleased, caller, stateOf(o.status, c.late), nil)
	c.endBorrowing()
	c.finish(o, "system")
}

// endBorrowing gives the borrowed side back.
func (c *call) endBorrowing() {
	c.stopTone()
	if about := c.about; about != nil {
		about.consult = nil
		c.about = nil
	}
}

// endConsult ends the consultation about the call, if there is one, or gives back what this one borrowed.
func (c *call) endConsult(why string) {
	if n := c.consult; n != nil {
		n.release(why, "system")
	}
	if c.about != nil {
		c.endBorrowing()
	}
}

// release ends the call, whatever state it is in.
func (c *call) release(why, who string) {
	if c.phase == over {
		return
	}
	if c.about != nil && c.phase < answered {
		c.notConsulted(outcome{status: 487, reason: why})
		return
	}
	if c.phase < answered && !c.taken {
		c.fail(outcome{status: 480, reason: why})
		return
	}
	c.hangUp(why, who, outcome{status: 200})
}

// reconnect ends a consultation and takes the call that it is about back.
func (c *call) reconnect(s side, req *voice.Request) *voice.TError {
	n := c.consult
	if !c.consults(s) {
		return voice.TErrorf(voice.TErrWrongState, "%s does not consult about this call", req.ThisDN)
	}
	n.conv.request = req
	n.release("the consultation is over", caller.String())
	if c.parked[s] { // else it was the consultation that was on hold
		c.unpark(s)
		c.byRequest(req, func() { c.publish(voice.EventRetrieved, s, voice.StateOk, nil) })
	}
	return nil
}

// alternate changes between a call and the consultation about it.
func (c *call) alternate(s side, req *voice.Request) *voice.TError {
	n := c.consult
	switch {
	case !c.consults(s):
		return voice.TErrorf(voice.TErrWrongState, "%s does not consult about this call", req.ThisDN)
	case n.phase != talking:
		return voice.TErrorf(voice.TErrWrongState, "the consultation is not answered")
	}
	first, at, second, then := n, caller, c, s
	if n.parked[caller] {
		first, at, second, then = c, s, n, caller
	}
	if !first.parked[at] { // both may be on hold
		first.park(at)
		first.byRequest(req, func() { first.publish(voice.EventHeld, at, voice.StateOk, nil) })
	}
	second.unpark(then)
	second.byRequest(req, func() { second.publish(voice.EventRetrieved, then, voice.StateOk, nil) })
	return nil
}

// transferTo completes a transfer: those whom side s of the call and side t of the other talk or ring with are left to each
// other. c is the call that was there first; its conversation goes on.
func (c *call) transferTo(s side, n *call, t side, req *voice.Request) *voice.TError {
	stays := s.other()
	if bad := c.mayTransferTo(s, n, t); bad != nil {
		return bad
	}
	if t == callee {
		n.flip()
	}
	gone := c.standing(s)
	c.conv.request, n.conv.request = req, req
	if !gone.outside {
		c.publish(voice.EventReleased, s, voice.StateTransferred, func(e *voice.CallEvent) { e.TransferConnID = n.conv.id.conn })
		n.publish(voice.EventReleased, caller, voice.StateTransferred, func(e *voice.CallEvent) { e.TransferConnID = c.conv.id.conn })
	}
	n.stopTone()
	n.mergeInto(c.conv)
	if c.about == n {
		c.endBorrowing()
	}
	n.about, c.consult = nil, nil
	n.replaceCaller()
	n.adopt(caller, c, stays)
	n.parked = [2]bool{}
	n.passedBy(gone.dn)
	c.dismiss(s, "")
	c.dissolve()
	n.conv.request = nil
	n.show()
	return nil
}

// mayTransferTo tells what is in the way of a transfer; nil = nothing.
func (c *call) mayTransferTo(s side, n *call, t side) *voice.TError {
	stays := s.other()
	switch {
	case c == n:
		return voice.TErrorf(voice.TErrCannotTransfer, "a call cannot be transferred to itself")
	case c.borrowed, n.consult != nil, c.consult != nil && c.consult != n, n.about != nil && n.about != c:
		return voice.TErrorf(voice.TErrCannotTransfer, "a consultation about one of the calls is going on; complete that, or reconnect")
	case c.standing(stays).dn == n.standing(t.other()).dn:
		return voice.TErrorf(voice.TErrCannotTransfer, "%s would be left to itself", c.standing(stays).dn)
	case c.phase != talking && !c.taken, c.inRoom || n.inRoom, c.desk != nil || n.desk != nil:
		return voice.TErrorf(voice.TErrCannotTransfer, "the call is %s; two must talk in it", c.phase)
	case n.phase != talking && (n.phase != alerting || t == callee):
		return voice.TErrorf(voice.TErrCannotTransfer, "the other call is %s; its destination must at least ring", n.phase)
	case c.audio == nil || n.audio == nil || !c.audio.through() || !n.audio.through():
		return errDirect()
	case !c.quiet(stays) || n.phase == talking && t == callee && !n.quiet(callee) || n.phase == talking && !n.quiet(t.other()):
		return voice.TErrorf(voice.TErrWrongState, "a change of one of the calls is under way; try again")
	}
	return nil
}

// passedBy lets those who are left to each other hear each other, and tells them.
func (c *call) passedBy(dn string) {
	b := &by{dn: dn, role: voice.RoleTransferredBy, state: voice.StateTransferred}
	changed := func(e *voice.CallEvent) { b.said(e) }
	if m := (member{c, caller}); !m.silent() {
		c.publish(voice.EventPartyChanged, caller, voice.StateTransferred, changed)
	}
	if m := (member{c, callee}); !m.silent() {
		c.publish(voice.EventPartyChanged, callee, voice.StateTransferred, func(e *voice.CallEvent) {
			b.said(e)
			e.PreviousConnID = c.joinedFrom
		})
	}
	c.rejoin()
	if c.phase == talking {
		c.taken = false
		c.watchAudio()
		c.reopen(caller)
		c.reopen(callee)
	} else {
		c.taken = true
		c.by = b
		c.ringBack()
	}
	c.music()
}

// reopen tells a side that it is to be heard again, when the one is gone who had it on hold.
func (c *call) reopen(s side) {
	e, o := c.audio.ends[s], c.audio.ends[s.other()]
	if c.legs[s] != nil && e.sent != nil && e.told.Direction != sdp.SendRecv && o.said.known && !o.holds {
		c.renew(s, true)
	}
}

// mergeInto changes the call over to another conversation; its own ends, with a record.
func (c *call) mergeInto(v *conversation) {
	old := c.conv
	if old == v {
		return
	}
	if c.leaveConversation() && old.seq > 0 {
		o := outcome{status: 200, reason: "merged with call " + v.id.uuid}
		if old.times.answer.IsZero() {
			o.status = 487
		}
		old.recorded(c, c.cdr(o, "system"))
	}
	v.attach(old.data, nil, false)
	c.joinedFrom = old.id.conn
	c.enter(v)
	c.w.rename(c)
}

// replaceCaller empties the caller's side for another one: a borrowed side goes back, a phone of its own hears that it is over.
func (c *call) replaceCaller() {
	if c.borrowed {
		c.borrowed = false
		c.legs[caller], c.as[caller] = nil, nil
		c.audio.ends[caller] = c.newEnd()
		return
	}
	if c.tx != nil && c.phase < answered && !c.taken { // his own INVITE, which nobody answered yet
		c.stopAlive()
		c.rel.halt()
		c.tx.Respond(c.legs[caller].respond(c.invite, 487, "Request Terminated"))
		c.w.shut(c.legs[caller].callID)
		c.invite, c.tx = nil, nil
		c.deal, c.offered = dealSettled, true
		c.vacate(caller)
		if e := c.audio.ends[caller]; e.leg != nil {
			e.close()
		}
		c.audio.ends[caller] = c.newEnd()
		return
	}
	c.dismiss(caller, "")
}

// dismiss hangs a side up and empties it, while the call goes on.
func (c *call) dismiss(s side, reason string) {
	l, e := c.legs[s], c.audio.ends[s]
	if l == nil {
		return
	}
	id := l.callID
	for i, b := range c.branches {
		if b.leg == l {
			for _, e := range b.earlies { // its 2xx may come again
				e.hungUp = true
			}
			c.branches = append(c.branches[:i:i], c.branches[i+1:]...)
			break
		}
	}
	c.farewell(s)
	c.byeThen(l, reason, func() { c.w.shut(id) })
	c.vacate(s)
	if e.leg != nil {
		e.close()
	}
	c.audio.ends[s] = c.newEnd()
	if s == callee {
		c.rings = ""
		c.leaveTrunk()
	} else if c.from.leave != nil {
		c.from.leave()
		c.from.leave = nil
	}
}

// dissolve ends a call whose parties are in another one, or that never had any: without a word and a record.
func (c *call) dissolve() {
	c.phase = over
	c.stopTone()
	c.stopNoAnswer()
	c.cancelBranches("")
	c.leaveQueue()
	c.quitRoom()
	c.show()
	c.stopRepeats()
	c.leaveTrunk()
	for _, back := range c.returns {
		back()
	}
	c.returns = nil
	for s, l := range c.legs {
		if l != nil && !(c.borrowed && side(s) == caller) {
			l.timer.halt()
		}
	}
	c.unmute(caller)
	c.unmute(callee)
	c.closeAudio()
	c.hearing.due.Store(0)
	c.life()
	c.leaveConversation()
	c.leave()
}

// singleStep gives the side that s talks with to a destination, without asking that first.
func (c *call) singleStep(s side, dest string, req *voice.Request) *voice.TError {
	stays := s.other()
	switch {
	case dest == c.standing(stays).dn:
		return voice.TErrorf(voice.TErrInvalidCalledDN, "%.64s is the one who is to be transferred", dest)
	case c.phase != talking || c.inRoom || c.desk != nil || c.consult != nil || c.borrowed:
		return voice.TErrorf(voice.TErrCannotTransfer, "the call is %s; two must talk in it, without a consultation", c.phase)
	case c.audio == nil || !c.audio.through():
		return errDirect()
	case !c.quiet(stays) || !c.quiet(s):
		return voice.TErrorf(voice.TErrWrongState, "a change of the call is under way; try again")
	}
	gone := c.standing(s)
	c.conv.request = req
	if !gone.outside {
		c.publish(voice.EventReleased, s, voice.StateTransferred, func(e *voice.CallEvent) { e.ThirdPartyDN = dest })
	}
	c.stays(stays)
	b := &by{dn: gone.dn, role: voice.RoleTransferredBy, state: voice.StateTransferred}
	c.dismiss(callee, "")
	c.forsake()
	c.dialled, c.by = dest, b
	if m := (member{c, caller}); !m.silent() {
		c.publish(voice.EventPartyChanged, caller, voice.StateTransferred, func(e *voice.CallEvent) {
			b.said(e)
			e.OtherDN = dest
		})
	}
	c.conv.request = nil
	c.ringBack()
	c.route(dest)
	return nil
}

// redirect moves a call that rings to another destination.
func (c *call) redirect(req *voice.Request) *voice.TError {
	if c.phase != alerting || c.rings == "" || c.origin != nil {
		return voice.TErrorf(voice.TErrWrongState, "the call is %s; only one that rings can be redirected", c.phase)
	}
	c.stopNoAnswer()
	c.groupGone()
	c.cancelBranches("")
	c.byRequest(req, func() {
		c.publish(voice.EventReleased, callee, voice.StateRedirected, func(e *voice.CallEvent) { e.ThirdPartyDN = req.OtherDN })
	})
	c.diverted = append(c.diverted, c.plan.Number)
	c.rings = ""
	c.route(req.OtherDN)
	return nil
}

func errDirect() *voice.TError {
	return voice.TErrorf(voice.TErrResourceUnavailable, "the audio of the call goes from phone to phone and not through the node (media.mode)")
}

// refusal is an error as T-Library has it.
func refusal(err error) *voice.TError {
	if t, ok := err.(*voice.TError); ok {
		return t
	}
	return voice.TErrorf(voice.TErrInternal, "%s", strings.TrimSpace(err.Error()))
}
