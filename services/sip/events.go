package sip

import (
	"time"

	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

// server is who CTI clients see as the source of the events.
const server = "sip"

// publish sends an event about one side of the call. more fills in what is particular to it.
//
// A party beyond a trunk is no DN of ours and has no events.
func (c *call) publish(name voice.EventName, s side, state voice.CallState, more func(*voice.CallEvent)) {
	me, other := c.standing(s), c.standing(s.other())
	if s == caller && me.outside {
		return
	}
	e := c.event(name, state)
	e.ThisDN, e.ThisDNRole, e.ThisQueue = me.dn, me.role, me.queue
	if s == caller {
		e.ThisTrunk = me.trunk
	}
	if w := c.watches; w != nil {
		e.OtherDN, e.OtherDNRole = w.Agent, voice.RoleConferenceMember
	} else if !(c.inRoom && c.conv.shown() > 1) && !other.hidden && (other.dn != "" || s == callee) { // among more than two the other one is not one
		e.OtherDN, e.OtherDNRole = other.dn, other.role
	}
	if more != nil {
		more(e)
	}
	c.w.publish(e)
	if s == callee && len(c.chorus) > 0 && c.legs[callee] == nil { // all that ring leave together
		switch name {
		case voice.EventReleased, voice.EventAbandoned, voice.EventDiverted:
			others := c.chorus
			c.chorus = nil
			for _, dn := range others {
				c.publish(name, s, state, func(e *voice.CallEvent) {
					if more != nil {
						more(e)
					}
					e.ThisDN = dn
				})
			}
		}
	}
}

// event is what all events of the conversation have in common; it takes the next number.
func (c *call) event(name voice.EventName, state voice.CallState) *voice.CallEvent {
	return c.conv.event(c.w.now(), name, state)
}

func (v *conversation) event(at time.Time, name voice.EventName, state voice.CallState) *voice.CallEvent {
	v.seq++
	e := &voice.CallEvent{
		ID: name, Server: server, ConnID: v.id.conn, CallID: v.id.number, CallUUID: v.id.uuid, CallThreadID: v.thread,
		CallType: v.id.kind, CallState: state, ANI: v.caller.shown, DNIS: v.dialled, PreviousConnID: v.previous,
		UserData: v.data, UserDataVersion: v.version,
		Tenant: v.id.tenant, Seq: v.seq, Time: at, Node: v.id.node,
	}
	if r := v.request; r != nil {
		e.ReferenceID, e.Reasons = r.ReferenceID, r.Reasons
	}
	for _, c := range v.calls {
		if c.keep != nil {
			v.remember(e)
			c.save()
			break
		}
	}
	return e
}

// cdr is the record of the conversation, made once when it ends. c is the call that carried it last.
func (c *call) cdr(o outcome, by string) *voice.CDR {
	v := c.conv
	r := &voice.CDR{
		CallUUID: v.id.uuid, ThreadID: v.thread, Tenant: v.id.tenant, Node: v.id.node, Type: v.id.kind,
		Caller: v.caller.shown, CallerName: v.caller.display, TrunkIn: v.caller.trunk, TrunkOut: c.trunkOut(), Dialled: v.dialled, Answered: c.rings,
		Start: v.times.start.UTC(), Ringing: v.times.ring, Answer: v.times.answer, End: c.w.now().UTC(),
		Status: o.status, EndedBy: by, Reason: o.reason, SIPCallID: v.sipID, Events: v.seq,
	}
	if !r.Ringing.IsZero() {
		r.Ringing = r.Ringing.UTC()
	}
	if !r.Answer.IsZero() {
		r.Answer, r.Talk = r.Answer.UTC(), r.End.Sub(r.Answer)
	}
	if r.Answered == "" && r.TrunkOut != "" && c.plan != nil {
		r.Answered = c.plan.Number
	}
	r.CallerMedia, r.CalleeMedia = c.mediaOf(caller), c.mediaOf(callee)
	r.Outcome = outcomeOf(o.status, c.late, !v.times.answer.IsZero())
	c.queueRecord(r, o)
	return r
}

func outcomeOf(status int, late, answered bool) voice.Outcome {
	switch {
	case answered:
		return voice.OutcomeAnswered
	case status == 487:
		return voice.OutcomeAbandoned
	case status == 486 || status == 600:
		return voice.OutcomeBusy
	case late || status == 408:
		return voice.OutcomeNoAnswer
	case status == 480:
		return voice.OutcomeNoAnswer
	case status >= 500 && status < 600:
		return voice.OutcomeFailed
	}
	return voice.OutcomeRejected
}

// stateOf is the CallState of a call that nobody answered.
func stateOf(status int, late bool) voice.CallState {
	switch {
	case status == 486 || status == 600:
		return voice.StateBusy
	case late || status == 408 || status == 480:
		return voice.StateNoAnswer
	case status == 404 || status == 604 || status == 484:
		return voice.StateSitInvalidNum
	}
	return voice.StateGeneralError
}

// reasonOf is the reason phrase of a final answer.
func reasonOf(o outcome) string {
	if o.res != nil && o.res.StatusCode == o.status && o.res.Reason != "" {
		return o.res.Reason
	}
	return wire.Reason(o.status)
}
