package sip

import (
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

// server is who CTI clients see as the source of the events.
const server = "sip"

// publish sends an event about one side of the call. more fills in what is particular to it.
//
// A party beyond a trunk is no DN of ours and has no events.
func (c *call) publish(name voice.EventName, s side, state voice.CallState, more func(*voice.CallEvent)) {
	if s == caller && c.from.outside() {
		return
	}
	c.seq++
	e := c.event(name, state)
	there := c.dialled
	if c.rings != "" {
		there = c.rings
	}
	if s == caller {
		e.ThisDN, e.ThisDNRole, e.ThisTrunk = c.from.shown, voice.RoleOrigination, c.from.trunk
		e.OtherDN, e.OtherDNRole = there, voice.RoleDestination
	} else {
		e.ThisDN, e.ThisDNRole, e.ThisQueue = there, voice.RoleDestination, c.queue
		e.OtherDN, e.OtherDNRole = c.from.shown, voice.RoleOrigination
	}
	if more != nil {
		more(e)
	}
	c.w.publish(e)
}

// event is what all events of the call have in common.
func (c *call) event(name voice.EventName, state voice.CallState) *voice.CallEvent {
	return &voice.CallEvent{
		ID: name, Server: server, ConnID: c.id.conn, CallID: c.id.number, CallUUID: c.id.uuid, CallThreadID: c.id.uuid,
		CallType: c.id.kind, CallState: state, ANI: c.from.shown, DNIS: c.dialled,
		Tenant: c.id.tenant, Seq: c.seq, Time: c.w.now(), Node: c.id.node,
	}
}

// cdr is the record of the call, made once when it ends.
func (c *call) cdr(o outcome, by string) *voice.CDR {
	r := &voice.CDR{
		CallUUID: c.id.uuid, ThreadID: c.id.uuid, Tenant: c.id.tenant, Node: c.id.node, Type: c.id.kind,
		Caller: c.from.shown, CallerName: c.from.display, TrunkIn: c.from.trunk, TrunkOut: c.trunkOut(), Dialled: c.dialled, Answered: c.rings,
		Start: c.times.start.UTC(), Ringing: c.times.ring, Answer: c.times.answer, End: c.w.now().UTC(),
		Status: o.status, EndedBy: by, Reason: o.reason, SIPCallID: c.legs[caller].callID, Events: c.seq,
	}
	if !r.Ringing.IsZero() {
		r.Ringing = r.Ringing.UTC()
	}
	if !r.Answer.IsZero() {
		r.Answer, r.Talk = r.Answer.UTC(), r.End.Sub(r.Answer)
	}
	if r.Answered == "" && r.TrunkOut != "" {
		r.Answered = c.plan.Number
	}
	r.CallerMedia, r.CalleeMedia = c.mediaOf(caller), c.mediaOf(callee)
	r.Outcome = outcomeOf(o.status, c.late, !c.times.answer.IsZero())
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
