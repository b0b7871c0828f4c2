package sip

import (
	"bytes"
	"errors"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/voice"
)

// branchAnswered is a 2xx: the first one wins (RFC 3261 §13.2.2.4), any other is hung up, be it of another phone behind the
// same contact.
func (c *call) branchAnswered(b *branch, res *sip.Response) {
	e := b.earlyOf(res)
	if e == nil {
		return // the proxy there asks more phones than anybody has
	}
	for s, l := range c.legs {
		if e.leg == l { // our ACK has not reached it, or is still to come
			c.ackAgain(side(s))
			return
		}
	}
	if e.hungUp {
		c.w.ack(e.leg.ackTo(b.seq, c.w.id()))
		return
	}
	c.branchFinal(b)
	if c.phase != alerting || b.given || c.legs[callee] != nil {
		e.hungUp = true
		c.w.ack(e.leg.ackTo(b.seq, c.w.id()))
		why := ""
		if c.legs[callee] != nil {
			why = answeredElsewhere
		}
		c.bye(e.leg, why)
		c.leave()
		return
	}
	c.stopNoAnswer()
	c.stopAlive()
	b.leg = e.leg
	c.legs[callee] = e.leg
	c.unacked[callee] = b.seq
	if !b.rings { // some phones answer without ringing
		b.rings = true
		c.ringing(b)
	}
	c.groupAnswered(b)
	c.cancelBranches(answeredElsewhere)
	c.facing(b)
	c.rel.wait = nil // the answer says more
	c.rel.then = func() { c.answer(b, e, res) }
	c.announceNext()
}

// answer passes the 2xx to the caller.
func (c *call) answer(b *branch, e *early, res *sip.Response) {
	switch {
	case c.origin != nil:
		c.originAnswered(b, e, res)
		return
	case c.solo():
		c.takenBy(b, e, res)
		return
	}
	out := c.legs[caller].respond(c.invite, 200, "OK")
	passResponse(res, out)
	said := res
	if !isSDP(res) && e.said != nil {
		said = e.said // the phone's answer came in a reliable response, which the caller may not have had
	}
	var err error
	switch {
	case c.deal != dealSettled:
		err = c.carry(callee, said, out, c.answers(c.offered))
	case c.shown == e && sameBody(said, e.said): // he has it, and may have changed it since
	case c.offered && isSDP(said) && !c.audio.same(callee, said.Body()):
		c.hear(said)
	case !c.offered && c.shown != e: // this phone's offer is not the one that was answered
		err = errTwoOffers
	}
	if err != nil {
		c.fail(badMedia(err))
		return
	}
	c.rel.halt()
	c.phase = answered
	c.conv.times.answer = c.w.now()
	defer c.show()
	c.grant(caller, c.invite, out)
	c.agreed(callee, res)
	c.repeat2xx(caller, c.tx, out, func() { c.hangUp("the caller's phone did not confirm the call", "system", outcome{status: 200}) })
	c.publish(voice.EventEstablished, caller, voice.StateOk, func(e *voice.CallEvent) { e.ThisTrunk = b.trunk })
	if !c.beyond(b) {
		c.publish(voice.EventEstablished, callee, voice.StateOk, nil)
	}
}

// answers is what a description is when it comes back for one that was an offer, or for none.
func (c *call) answers(offered bool) role {
	if offered {
		return asAnswer
	}
	return asOffer
}

func sameBody(a, b *sip.Response) bool { return a == b || b != nil && bytes.Equal(a.Body(), b.Body()) }

// errTwoOffers is a call whose caller offered nothing, and got an offer of one phone before another behind the same contact
// answered.
var errTwoOffers = errors.New("another phone answered than the one whose audio was agreed")

// ack is the last ACK we sent on a leg, in case its 2xx comes again.
type ack struct {
	seq uint32
	req *sip.Request // one that holds an answer; others are made anew
}

// repeat is a 2xx to an INVITE on its way until the ACK comes (RFC 3261 §13.3.1.4).
type repeat struct {
	stop func()
	seq  uint32
	then func() // sends the BYE that waits for the ACK
}

// acked is the ACK of a 2xx of ours: the other side's 2xx can be acknowledged now, with the answer the ACK may hold.
func (c *call) acked(s side, req *sip.Request) {
	r := c.repeats[s]
	if r == nil || r.seq != req.CSeq().SeqNo {
		return
	}
	r.stop()
	c.repeats[s] = nil
	if r.then != nil {
		c.hangUpNow(r)
	}
	if c.phase == over {
		return
	}
	if s == caller && c.awaited {
		if err := c.heardAlone(req); err != nil {
			c.hangUp("the caller's phone did not say where it hears: "+err.Error(), "system", outcome{status: 200, as: voice.OutcomeFailed})
			return
		}
	}
	if c.taken && c.cfg.Silence > 0 && s == caller && !c.borrowed {
		c.audio.ends[caller].leg.Watch(c.cfg.Silence)
	}
	if s == caller && c.takes != nil && c.phase == queued {
		c.takesOver()
		return
	}
	if c.phase == answered {
		c.confirmed()
		defer c.settle()
	}
	other := s.other()
	if seq := c.unacked[other]; seq != 0 {
		c.confirm(other, seq, req)
	}
	if c.owed && s == caller {
		c.owed = false
		c.renew(caller, true)
	}
}

// confirmed is a call whose two sides have each other.
func (c *call) confirmed() {
	c.phase = talking
	c.show()
	c.watchAudio()
}

// confirm acknowledges the 2xx of a side, with the answer that the other side's ACK may hold.
func (c *call) confirm(s side, seq uint32, from *sip.Request) {
	req := c.legs[s].ackTo(seq, c.w.id())
	req.SetBody(nil)
	if len(from.Body()) > 0 {
		if err := c.carry(s.other(), from, req, asAnswer); err != nil {
			c.unacked[s] = 0
			c.w.ack(req)
			c.hangUp("the phones cannot agree on audio", "system", outcome{status: 200})
			return
		}
	}
	c.sendAck(s, req)
}

// sendAck sends an ACK and keeps what is needed to repeat it.
func (c *call) sendAck(s side, req *sip.Request) {
	c.unacked[s] = 0
	c.acks[s] = ack{seq: req.CSeq().SeqNo}
	if len(req.Body()) > 0 {
		c.acks[s].req = req
	}
	c.w.ack(req)
}

// ackAgain answers a repeated 2xx, once its ACK has gone at all (§13.2.2.4).
func (c *call) ackAgain(s side) {
	switch a := c.acks[s]; {
	case a.req != nil:
		c.w.ack(a.req)
	case a.seq != 0 && c.unacked[s] == 0:
		c.w.ack(c.legs[s].ackTo(a.seq, c.w.id()))
	}
}

// repeat2xx sends a 2xx to an INVITE until it is acknowledged: after T1, doubling up to T2, for 64 T1 (§13.3.1.4).
func (c *call) repeat2xx(s side, tx sipua.ServerTx, res *sip.Response, giveUp func()) {
	r := &repeat{seq: res.CSeq().SeqNo}
	c.repeats[s] = r
	started, wait := c.w.now(), c.cfg.T1
	var again func()
	again = func() {
		if c.repeats[s] != r {
			return
		}
		if c.w.now().Sub(started) >= 64*c.cfg.T1 {
			c.repeats[s] = nil
			if r.then != nil {
				c.hangUpNow(r)
			} else {
				giveUp()
			}
			return
		}
		tx.Respond(res)
		wait = min(2*wait, 8*c.cfg.T1)
		left := 64*c.cfg.T1 - c.w.now().Sub(started)
		r.stop = c.w.after(min(wait, left), func() { c.must(again) })
	}
	tx.Respond(res)
	r.stop = c.w.after(wait, func() { c.must(again) })
}

// hangUpNow sends the BYE that waited for the ACK.
func (c *call) hangUpNow(r *repeat) {
	c.pending--
	r.then()
	c.leave()
}

// stopRepeats ends the repetitions, but for those whose ACK a BYE waits for.
func (c *call) stopRepeats() {
	for s, r := range c.repeats {
		if r != nil && r.then == nil {
			r.stop()
			c.repeats[s] = nil
		}
	}
}
