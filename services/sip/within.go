package sip

import (
	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/voice"
)

// allowed is what the node takes within a dialog.
const allowed = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, MESSAGE, OPTIONS, REFER"

// relayed is a request of one side that the other is being asked.
type relayed struct {
	from   side
	req    *sip.Request
	tx     sipua.ServerTx
	at, to *leg              // it came from, and goes to
	as     sip.RequestMethod // what the other side is sent
	client sipua.ClientTx
	seq    uint32 // CSeq towards the other side
	held   bool   // from had the other side on hold before
	done   bool   // its answer went back
	final  bool   // the other side's came
}

// within handles a request of an existing dialog.
func (c *call) within(req *sip.Request, tx sipua.ServerTx) {
	s, l := c.dialogOf(req)
	if req.IsAck() {
		if l != nil {
			c.acked(s, req)
		}
		return
	}
	if l == nil {
		tx.Respond(sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil))
		return
	}
	switch {
	case !l.inOrder(req.CSeq().SeqNo):
		tx.Respond(l.respond(req, 500, "Server Internal Error"))
	case c.orphaned():
		c.toOrphan(l, req, tx)
	case req.Method == sip.BYE && l == c.legs[s]: // the callee has none before it answers (§15)
		c.hungUp(s, req, tx)
	case req.Method == sip.OPTIONS:
		res := l.respond(req, 200, "OK")
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		tx.Respond(res)
	case req.Method == sip.PRACK && s == caller:
		c.acknowledged(req, tx)
	case c.phase == over || req.Method == sip.BYE || req.Method == sip.PRACK:
		tx.Respond(l.respond(req, 481, "Call/Transaction Does Not Exist"))
	case req.IsInvite() || req.Method == sip.UPDATE:
		c.changeSession(s, l, req, tx)
	case req.Method == sip.REFER:
		c.referred(s, l, req, tx)
	case req.Method == sip.INFO && s == caller && c.solo():
		c.info(l, req, tx)
	case req.Method == sip.SUBSCRIBE || req.Method == sip.NOTIFY: // RFC 6665 §4.1.3, §4.2.1.1: no event package is here
		tx.Respond(l.respond(req, 489, "Bad Event"))
	case req.Method == sip.INFO || req.Method == sip.MESSAGE:
		c.relay(&relayed{from: s, at: l, req: req, tx: tx})
	default:
		res := l.respond(req, 405, "Method Not Allowed")
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		tx.Respond(res)
	}
}

// hungUp is a BYE.
func (c *call) hungUp(s side, req *sip.Request, tx sipua.ServerTx) {
	l := c.legs[s]
	tx.Respond(l.respond(req, 200, "OK"))
	if c.phase == over { // both hung up at once
		return
	}
	reason := reasonsOf(req)
	if c.solo() && c.desk == nil { // nobody talks to him yet, or those in a room do
		c.cancelBranches(reason)
		c.stopNoAnswer()
		c.stopTone()
		if c.rings != "" && c.legs[callee] == nil {
			c.publish(voice.EventAbandoned, callee, voice.StateOk, nil)
			c.rings = ""
		}
		c.hungUpBy(s, reason)
		return
	}
	if c.phase < answered { // an early dialog ended by its own caller (§15)
		c.abandon(reason)
		return
	}
	c.hungUpBy(s, reason)
}

// hungUpBy ends the call, or what is left of it when more than two are in the conversation, for a side that hung up.
func (c *call) hungUpBy(s side, reason string) {
	m := member{c, s}
	if c.watches == nil {
		m = m.unwatched()
		c, s = m.c, m.s
	}
	if c.inRoom && len(c.conv.members()) > 2 {
		m.left(reason)
		return
	}
	if n := c.consult; n != nil && c.legs[s] == n.legs[caller] { // it hung up on both
		n.release("hung up", caller.String())
	}
	c.endConsult("hung up")
	if l := c.legs[s.other()]; l != nil && !(c.borrowed && s.other() == caller) {
		c.bye(l, reason)
	}
	c.released(s)
	c.finish(outcome{status: 200, reason: "hung up"}, s.String())
}

// hangUp ends an answered call from here.
func (c *call) hangUp(why, by string, o outcome) {
	if c.phase < answered && !c.taken || c.phase == over {
		return
	}
	c.stopNoAnswer()
	c.stopAlive()
	c.cancelBranches("")
	reason := o.header
	if reason == "" {
		reason = `Parley;text="` + clean(why) + `"`
	}
	c.endConsult(why)
	for s, l := range c.legs {
		if l != nil && !(c.borrowed && side(s) == caller) {
			c.bye(l, reason)
		}
	}
	c.stopTone()
	c.released(caller)
	c.leftQueue(voice.StateCleared)
	o.reason = why
	c.finish(o, by)
}

// released tells the parties, the one that hung up first; a party beyond a trunk has no events.
func (c *call) released(first side) {
	for _, s := range []side{first, first.other()} {
		if m := (member{c, s}); (c.legs[s] != nil || s == callee && c.rings != "") && !m.silent() {
			c.publish(voice.EventReleased, s, voice.StateOk, nil)
		}
	}
}

// bye ends a leg from our side; the call stays in the tables until it is answered.
func (c *call) bye(l *leg, reason string) {
	if r := c.repeats[caller]; r != nil && (c.phase == answered || c.taken) && l == c.legs[caller] {
		r.then = func() { c.bye(l, reason) } // not before the ACK, or what stands for it (§15)
		c.pending++
		return
	}
	for s, seq := range c.unacked {
		if l == c.legs[s] && seq != 0 { // a BYE before the ACK would leave the 2xx repeating
			c.unacked[s] = 0
			c.w.ack(l.ackTo(seq, c.w.id()))
		}
	}
	req := l.request(sip.BYE, c.w.id(), maxHops)
	if reason != "" {
		req.AppendHeader(sip.NewHeader("Reason", reason))
	}
	req.SetBody(nil)
	c.ask(l, req, func(*sip.Response, error) {})
}

// byeThen ends a leg that the call has no more, and calls then when that is answered.
func (c *call) byeThen(l *leg, reason string, then func()) {
	req := l.request(sip.BYE, c.w.id(), maxHops)
	if reason != "" {
		req.AppendHeader(sip.NewHeader("Reason", reason))
	}
	req.SetBody(nil)
	c.ask(l, req, func(*sip.Response, error) { then() })
}

// changeSession asks the other side for a change of the session: hold, codecs (§14, RFC 3311). What changes nothing is
// answered here.
func (c *call) changeSession(s side, l *leg, req *sip.Request, tx sipua.ServerTx) {
	brief := c.cfg.tooBrief(req)
	if at := source(req).Addr(); at.IsValid() && l == c.legs[s] {
		c.hosts[s] = at // a phone that moved, whose audio is looked for anew
	}
	switch {
	case unsupported(req) != "":
		res := l.respond(req, 420, "Bad Extension")
		res.AppendHeader(sip.NewHeader("Unsupported", unsupported(req)))
		tx.Respond(res)
	case brief != nil:
		tx.Respond(brief)
	case c.solo():
		c.changeAlone(s, l, req, tx)
	case c.phase < answered:
		c.changeEarly(s, l, req, tx)
	case req.Method == sip.UPDATE && len(req.Body()) == 0:
		c.refreshed(s, l, req, tx)
	case c.offer != nil && c.offer.from == s:
		res := l.respond(req, 500, "Server Internal Error") // §14.2: one after the other
		res.AppendHeader(sip.NewHeader("Retry-After", "1"))
		tx.Respond(res)
	case c.occupied(s), c.renewing(s):
		tx.Respond(l.respond(req, 491, "Request Pending"))
	case c.changesNothing(s, req):
		c.refreshed(s, l, req, tx)
	case c.occupied(s.other()), c.renewing(s.other()):
		tx.Respond(l.respond(req, 491, "Request Pending"))
	default:
		l.learn(req)
		c.offer = &relayed{from: s, at: l, req: req, tx: tx}
		c.relay(c.offer)
	}
}

// renewing tells whether an offer of ours is under way on a side.
func (c *call) renewing(s side) bool { return c.renewals[s] != nil && c.renewals[s].invite }

// relay asks the other side and passes its answer on.
func (c *call) relay(r *relayed) {
	to := c.legs[r.from.other()]
	switch {
	case c.phase >= answered, r.from == callee:
	case c.shown != nil: // digits for an announcement, or what changeEarly lets pass
		to = c.shown.leg
	default:
		res := c.back(r, 500, "Server Internal Error")
		res.AppendHeader(sip.NewHeader("Retry-After", "1"))
		r.tx.Respond(res)
		return
	}
	r.to, r.as = to, r.req.Method
	switch {
	case r.as == sip.PRACK: // an offer in it goes on by itself
		r.as = sip.UPDATE
	case r.as == sip.UPDATE && !to.updates && c.phase == talking:
		r.as = sip.INVITE
	}
	req := to.request(r.as, c.w.id(), hopsLeft(r.req))
	r.seq = to.seq
	passRequest(r.req, req)
	if c.offer == r && c.phase >= answered {
		req.AppendHeader(sip.NewHeader("Supported", tagTimer))
		c.askTimer(to, req)
	}
	r.held = c.isHeld(r.from)
	if c.offer != r { // DTMF in INFO and the like
		pass(r.req, req, passed.body...)
		req.SetBody(r.req.Body())
	} else if err := c.carry(r.from, r.req, req, asOffer); err != nil {
		o := badMedia(err)
		res := c.back(r, o.status, reasonOf(o))
		res.AppendHeader(sip.NewHeader("Warning", warning(o.reason)))
		r.tx.Respond(res)
		return
	}
	tx, err := c.send(r.to, req, func(res *sip.Response, err error) {
		c.must(func() { c.relayAnswer(r, res, err) })
	})
	if err != nil {
		r.tx.Respond(c.back(r, 503, "Service Unavailable"))
		return
	}
	r.client = tx
	c.pending++
}

// back begins the answer to what was relayed, which is done with that.
func (c *call) back(r *relayed, status int, reason string) *sip.Response {
	r.done = true
	if c.offer == r {
		c.offer = nil
	}
	return r.at.respond(r.req, status, reason)
}

// relayAnswer handles a response to what was relayed.
func (c *call) relayAnswer(r *relayed, res *sip.Response, err error) {
	if err == nil && res.StatusCode < 200 {
		return // the requester's transaction has its 100
	}
	confirmed := err == nil && r.as == sip.INVITE && res.IsSuccess()
	if confirmed {
		r.seq = res.CSeq().SeqNo // it may have gone again, with credentials
	}
	other := r.from.other()
	if r.final { // the 2xx again
		if confirmed {
			c.ackAgain(other)
		}
		return
	}
	r.final = true
	c.pending--
	defer c.leave()
	if c.phase == over || r.done {
		if confirmed {
			c.w.ack(r.to.ackTo(r.seq, c.w.id()))
		}
		if !r.done {
			r.tx.Respond(c.back(r, 487, "Request Terminated"))
		}
		return
	}
	if err == nil && res.StatusCode == 422 && minSE(res) > r.to.timer.least && c.offer == r { // RFC 4028 §7.3
		r.to.timer.least = minSE(res)
		r.to.timer.interval = max(r.to.timer.interval, r.to.timer.least)
		r.final = false
		if isSDP(r.req) && c.audio != nil {
			c.audio.undo(r.from) // it is offered anew
		}
		c.relay(r)
		return
	}
	status, reason := 408, "Request Timeout"
	if err == nil {
		status, reason = res.StatusCode, res.Reason
	}
	change := c.offer == r
	out := c.back(r, status, reason)
	if err == nil {
		passResponse(res, out)
		if confirmed {
			c.unacked[other] = r.seq
		}
		if !res.IsSuccess() { // the description of a 488 says what would do (RFC 3261 §21.4.26), and changes nothing
			out.SetBody(nil)
		} else if !change {
			pass(res, out, passed.body...)
			out.SetBody(res.Body())
		} else if c.carry(other, res, out, c.answers(isSDP(r.req))) != nil {
			c.hangUp("the phones cannot agree on audio", "system", outcome{status: 200})
			r.tx.Respond(r.at.respond(r.req, 488, "Not Acceptable Here"))
			return
		}
	}
	if change {
		c.changed(r, res, out, status/100 == 2)
	}
	if status/100 == 2 && r.req.IsInvite() {
		c.repeat2xx(r.from, r.tx, out, c.unconfirmed)
		return
	}
	r.tx.Respond(out)
	if confirmed { // an UPDATE that went as INVITE has no ACK to wait for
		c.sendAck(other, r.to.ackTo(r.seq, c.w.id()))
	}
	if status == 481 || status == 408 { // the dialog there is gone (RFC 5057 §5.1)
		c.hangUp("the other phone is gone", "system", outcome{status: 200})
	}
}

// changed is the end of a change of the session: done or refused.
func (c *call) changed(r *relayed, res, out *sip.Response, good bool) {
	switch {
	case good:
		r.to.learn(res)
		if c.phase >= answered {
			c.agreed(r.from.other(), res)
			c.grant(r.from, r.req, out)
		}
		if isSDP(r.req) {
			c.holdEvents(r.from, r.held)
		}
	case isSDP(r.req) && c.audio != nil:
		c.audio.undo(r.from)
		c.music()
	}
}

// cancelled is a CANCEL of an INVITE in progress, the first or a later one.
func (c *call) cancelled(tx sipua.ServerTx, reason string) {
	switch r := c.offer; {
	case tx == c.tx && c.phase < answered:
		c.abandon(reason)
	case r != nil && r.tx == tx && r.client != nil:
		r.client.Cancel(reason) // its 487 comes back as the answer
	}
}

// retryAfter is how long peers are asked to wait, in seconds.
const retryAfter = "5"
