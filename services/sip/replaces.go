package sip

import (
	"github.com/emiago/sipgo/sip"

	"parley/internal/voice"
)

// Somebody takes a place in a call: by an INVITE that says whose (RFC 3891), or by picking up a call that rings elsewhere. He is
// answered alone first; when his phone has confirmed that, he changes over with his leg.

// takeover is the place that a caller wants.
type takeover struct {
	call  *call
	side  side
	state voice.CallState
	done  func(*voice.TError) // may be nil
	then  func()              // is done in place of all that, for a caller who is answered for something else
}

// replaced finds the dialog that an INVITE wants to take the place of; why is a refusal.
func (s *Service) replaced(req *sip.Request, tenant string) (t *takeover, why *sip.Response) {
	h := req.GetHeader("Replaces")
	if h == nil {
		return nil, nil
	}
	callID, toTag, fromTag := readReplaces(h.Value())
	gone := sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil)
	c := (*outside)(s).inDialog(callID)
	if c == nil || c.id.tenant != tenant {
		return nil, gone
	}
	found := make(chan *takeover, 1)
	if !c.post(func() {
		for i, l := range c.legs {
			if l != nil && l.callID == callID && (l.tag == toTag && l.peerTag == fromTag || l.tag == fromTag && l.peerTag == toTag) {
				found <- &takeover{call: c, side: side(i), state: voice.StateTransferred}
				return
			}
		}
		for _, b := range c.branches { // one that rings, which the one who called it cannot replace but who it was for (§3)
			if b.leg.callID == callID && b.leg.tag == fromTag && !b.final {
				found <- &takeover{call: c, side: callee, state: voice.StatePickedUp}
				return
			}
		}
		found <- nil
	}) {
		return nil, busy(req)
	}
	if t = <-found; t == nil {
		return nil, gone
	}
	return t, nil
}

// pickUp answers the caller, and has him take the place of a phone that rings for another call. Nothing was said to him yet.
func (c *call) pickUp(t *takeover) {
	c.phase = queued
	c.takes = t
	if t.done == nil {
		t.done = func(*voice.TError) {}
	}
	if err := c.greet(voice.AnswerAtOnce); err != nil {
		c.fail(badMedia(err))
	}
}

// takesOver is a caller whose phone has confirmed that he was answered.
func (c *call) takesOver() {
	t := c.takes
	c.takes = nil
	if c.conv.times.answer.IsZero() {
		c.conv.times.answer = c.w.now()
	}
	if t.then != nil {
		t.then()
		return
	}
	c.w.merge(t.call.mailbox, c.mailbox, func() {
		if bad := t.call.givesWay(t, c); bad != nil {
			t.done(bad)
			if c.phase != over {
				c.hangUp(bad.Message, "system", outcome{status: 200, as: voice.OutcomeRejected})
			}
			return
		}
		t.done(nil)
	})
}

// givesWay puts n's caller in the place of a side.
func (c *call) givesWay(t *takeover, n *call) *voice.TError {
	switch {
	case n.phase == over || !n.taken:
		return voice.TErrorf(voice.TErrInvalidConnID, "who wanted it is gone")
	case c.phase == over:
		return voice.TErrorf(voice.TErrInvalidConnID, "the call is over")
	case c.origin != nil: // it rings for whom the call is made: there is nobody to be talked with
		return voice.TErrorf(voice.TErrWrongState, "nobody calls there")
	case c.phase == alerting && t.side == callee:
		return c.pickedUpBy(t, n)
	case t.state == voice.StatePickedUp:
		return voice.TErrorf(voice.TErrWrongState, "the call is %s; it does not ring any more", c.phase)
	case c.phase != talking || c.inRoom || c.consult != nil || c.about != nil:
		return voice.TErrorf(voice.TErrWrongState, "the call is %s; nobody's place can be taken", c.phase)
	case c.audio == nil || !c.audio.through():
		return errDirect()
	case !c.quiet(caller) || !c.quiet(callee) || !n.quiet(caller):
		return voice.TErrorf(voice.TErrWrongState, "a change of one of the calls is under way; try again")
	}
	gone, v := c.standing(t.side), c.conv
	if !gone.outside {
		c.publish(voice.EventReleased, t.side, voice.StateTransferred, func(e *voice.CallEvent) { e.ThirdPartyDN = n.from.shown })
	}
	c.dismiss(t.side, answeredElsewhere)
	n.changesOver(t, v)
	c.adopt(t.side, n, caller)
	c.as[t.side].role, c.as[t.side].queue = gone.role, gone.queue
	n.dissolve()
	c.w.rename(c)
	c.passedBy(gone.dn)
	c.settle()
	c.show()
	return nil
}

// pickedUpBy answers a call that rings with the caller of n.
func (c *call) pickedUpBy(t *takeover, n *call) *voice.TError {
	if c.audio == nil && c.openAlone() != nil || !c.audio.through() {
		return errDirect()
	}
	c.stopNoAnswer()
	c.cancelBranches(answeredElsewhere)
	c.groupTaken()
	by := n.from.shown
	if c.rings != "" {
		c.publish(voice.EventReleased, callee, voice.StatePickedUp, func(e *voice.CallEvent) { e.ThirdPartyDN = by })
	}
	if d := c.desk; d != nil {
		ref := d.reference()
		c.publishAt(voice.EventDiverted, voice.StatePickedUp, func(e *voice.CallEvent) { e.ThirdPartyDN, e.ReferenceID = by, ref })
		d.route = nil
		c.leaveQueue()
	}
	c.stopTone()
	n.changesOver(t, c.conv)
	c.audio.restart()
	c.adopt(callee, n, caller)
	c.as[callee] = &standing{dn: by, role: voice.RoleDestination, queue: c.conv.queue, outside: n.from.outside()}
	n.dissolve()
	c.w.rename(c)
	if c.conv.times.answer.IsZero() {
		c.conv.times.answer = c.w.now()
	}
	if c.taken {
		c.phase, c.taken = talking, false
	} else {
		body, asks, err := c.greeting()
		if err != nil {
			c.fail(badMedia(err))
			return nil
		}
		c.phase = answered
		c.rel.wait = nil
		c.rel.then = func() { c.accept(body, asks) }
		c.announceNext()
	}
	c.rejoin()
	said := func(e *voice.CallEvent) { e.CallState = t.state }
	if m := (member{c, callee}); !m.silent() { // which is how he comes into the call
		c.publish(voice.EventRinging, callee, t.state, said)
	}
	if m := (member{c, caller}); !m.silent() {
		c.publish(voice.EventEstablished, caller, t.state, said)
	}
	if m := (member{c, callee}); !m.silent() {
		c.publish(voice.EventEstablished, callee, t.state, said)
	}
	if c.phase == talking {
		c.watchAudio()
	}
	c.music()
	c.show()
	return nil
}

// changesOver ends the conversation that the call had while its caller waited, which may have been told of.
func (c *call) changesOver(t *takeover, to *conversation) {
	if c.conv.seq > 0 {
		c.publish(voice.EventReleased, caller, t.state, func(e *voice.CallEvent) { e.TransferConnID = to.id.conn })
	}
	c.mergeInto(to)
}
