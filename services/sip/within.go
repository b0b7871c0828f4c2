package sip

import (
	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/voice"
)

// allowed is what the node takes within a dialog.
const allowed = "INVITE, ACK, CANCEL, BYE, UPDATE, INFO, MESSAGE, OPTIONS"

// relayed is a request of one side that the other is being asked.
type relayed struct {
	from   side
	req    *sip.Request
	tx     sipua.ServerTx
	client sipua.ClientTx
	seq    uint32 // CSeq towards the other side
	held   bool   // from had the other side on hold before
}

// repeat is a 2xx to an INVITE on its way until the ACK comes (RFC 3261 §13.3.1.4).
type repeat struct {
	stop func()
	seq  uint32
}

// within handles a request of an existing dialog.
func (c *call) within(req *sip.Request, tx sipua.ServerTx) {
	s, ok := c.sideOf(req)
	if req.IsAck() {
		if ok {
			c.acked(s, req)
		}
		return
	}
	if !ok {
		tx.Respond(sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil))
		return
	}
	l := c.legs[s]
	switch {
	case !l.inOrder(req.CSeq().SeqNo):
		tx.Respond(l.respond(req, 500, "Server Internal Error"))
	case req.Method == sip.BYE:
		c.hungUp(s, req, tx)
	case req.Method == sip.OPTIONS:
		res := l.respond(req, 200, "OK")
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		tx.Respond(res)
	case c.phase == over:
		tx.Respond(l.respond(req, 481, "Call/Transaction Does Not Exist"))
	case req.IsInvite() || req.Method == sip.UPDATE:
		c.changeSession(s, req, tx)
	case req.Method == sip.INFO || req.Method == sip.MESSAGE:
		c.relay(&relayed{from: s, req: req, tx: tx})
	default:
		res := l.respond(req, 405, "Method Not Allowed")
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		tx.Respond(res)
	}
}

// sideOf finds the leg that a request is of.
func (c *call) sideOf(req *sip.Request) (side, bool) {
	for s, l := range c.legs {
		if l != nil && l.callID == req.CallID().Value() && l.belongs(req) {
			return side(s), true
		}
	}
	return 0, false
}

// hungUp is a BYE.
func (c *call) hungUp(s side, req *sip.Request, tx sipua.ServerTx) {
	l := c.legs[s]
	tx.Respond(l.respond(req, 200, "OK"))
	if c.phase == over { // both hung up at once
		return
	}
	reason := reasonsOf(req)
	if c.phase < answered { // an early dialog ended by its own caller (§15)
		c.abandon(reason)
		return
	}
	c.bye(c.legs[s.other()], reason)
	c.released(s)
	c.finish(outcome{status: 200, reason: "hung up"}, s.String())
}

// hangUp ends an answered call from here.
func (c *call) hangUp(why, by string, o outcome) {
	if c.phase < answered || c.phase == over {
		return
	}
	for _, l := range c.legs {
		c.bye(l, `Parley;text="`+clean(why)+`"`)
	}
	c.released(caller)
	o.reason = why
	c.finish(o, by)
}

// released tells the parties, the one that hung up first; a party beyond a trunk has no events.
func (c *call) released(first side) {
	for _, s := range []side{first, first.other()} {
		if s == caller || c.rings != "" {
			c.publish(voice.EventReleased, s, voice.StateOk, nil)
		}
	}
}

// bye ends a leg from our side; the call stays in the tables until it is answered.
func (c *call) bye(l *leg, reason string) {
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
	_, err := c.w.send(req, func(res *sip.Response, err error) {
		if err == nil && res.StatusCode < 200 {
			return
		}
		c.must(func() {
			c.pending--
			c.leave()
		})
	})
	if err == nil {
		c.pending++
	}
}

// changeSession asks the other side for a change of the session: hold, codecs, session refresh (§14, RFC 3311).
func (c *call) changeSession(s side, req *sip.Request, tx sipua.ServerTx) {
	l := c.legs[s]
	switch {
	case unsupported(req) != "":
		res := l.respond(req, 420, "Bad Extension")
		res.AppendHeader(sip.NewHeader("Unsupported", unsupported(req)))
		tx.Respond(res)
	case c.offer != nil && c.offer.from == s:
		res := l.respond(req, 500, "Server Internal Error") // §14.2: one after the other
		res.AppendHeader(sip.NewHeader("Retry-After", "1"))
		tx.Respond(res)
	case c.offer != nil, c.phase != talking, c.repeats[s] != nil, c.unacked[s] != 0:
		tx.Respond(l.respond(req, 491, "Request Pending"))
	default:
		l.retarget(req.Contact())
		c.offer = &relayed{from: s, req: req, tx: tx}
		c.relay(c.offer)
	}
}

// relay asks the other side and passes its answer on.
func (c *call) relay(r *relayed) {
	if c.phase < answered {
		r.tx.Respond(c.legs[r.from].respond(r.req, 491, "Request Pending"))
		return
	}
	to := c.legs[r.from.other()]
	req := to.request(r.req.Method, c.w.id(), hopsLeft(r.req))
	r.seq = to.seq
	passRequest(r.req, req)
	r.held = c.isHeld(r.from)
	if err := c.carry(r.from, r.req, req); err != nil {
		c.relayDone(r)
		o := badMedia(err)
		res := c.legs[r.from].respond(r.req, o.status, reasonOf(o))
		res.AppendHeader(sip.NewHeader("Warning", warning(o.reason)))
		r.tx.Respond(res)
		return
	}
	tx, err := c.w.send(req, func(res *sip.Response, err error) {
		c.must(func() { c.relayAnswer(r, res, err) })
	})
	if err != nil {
		c.relayDone(r)
		r.tx.Respond(c.legs[r.from].respond(r.req, 503, "Service Unavailable"))
		return
	}
	r.client = tx
	c.pending++
}

// relayAnswer handles a response to what was relayed.
func (c *call) relayAnswer(r *relayed, res *sip.Response, err error) {
	if err == nil && res.StatusCode < 200 {
		return // the requester's transaction has its 100
	}
	other := r.from.other()
	if err == nil && r.req.IsInvite() && res.IsSuccess() && c.offer != r { // the 2xx again
		if ack := c.lastAck[other]; ack != nil {
			c.w.ack(ack)
		}
		return
	}
	c.pending--
	defer c.leave()
	if c.phase == over {
		if err == nil && r.req.IsInvite() && res.IsSuccess() {
			c.w.ack(c.legs[other].ackTo(r.seq, c.w.id()))
		}
		c.relayDone(r)
		r.tx.Respond(c.legs[r.from].respond(r.req, 487, "Request Terminated"))
		return
	}
	c.relayDone(r)
	status, reason := 408, "Request Timeout"
	if err == nil {
		status, reason = res.StatusCode, res.Reason
	}
	out := c.legs[r.from].respond(r.req, status, reason)
	if err == nil && r.req.IsInvite() && res.IsSuccess() {
		c.legs[other].retarget(res.Contact())
		c.unacked[other] = r.seq
	}
	session := r.req.IsInvite() || r.req.Method == sip.UPDATE
	if err == nil {
		passResponse(res, out)
		if c.carry(other, res, out) != nil {
			c.hangUp("the phones cannot agree on audio", "system", outcome{status: 200})
			r.tx.Respond(c.legs[r.from].respond(r.req, 488, "Not Acceptable Here"))
			return
		}
	}
	if session && isSDP(r.req) {
		if status/100 == 2 {
			c.holdEvents(r.from, r.held)
		} else if c.audio != nil {
			c.audio.undo(r.from)
		}
	}
	if status/100 == 2 && r.req.IsInvite() {
		c.repeat2xx(r.from, r.tx, out, func() { c.hangUp("a change of the call was not confirmed", "system", outcome{status: 200}) })
		return
	}
	r.tx.Respond(out)
	if status == 481 || status == 408 { // the dialog there is gone (RFC 5057 §5.1)
		c.hangUp("the other phone is gone", "system", outcome{status: 200})
	}
}

func (c *call) relayDone(r *relayed) {
	if c.offer == r {
		c.offer = nil
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

// acked is the ACK of a 2xx of ours: the other side's 2xx can be acknowledged now, with the answer the ACK may hold.
func (c *call) acked(s side, req *sip.Request) {
	r := c.repeats[s]
	if r == nil || r.seq != req.CSeq().SeqNo {
		return
	}
	r.stop()
	c.repeats[s] = nil
	if c.phase == over {
		return
	}
	if c.phase == answered {
		c.phase = talking
		c.show()
		c.watchAudio()
	}
	other := s.other()
	if seq := c.unacked[other]; seq != 0 {
		c.unacked[other] = 0
		ack := c.legs[other].ackTo(seq, c.w.id())
		if body := req.Body(); len(body) > 0 {
			if err := c.carry(s, req, ack); err != nil {
				ack.SetBody(nil)
				c.w.ack(ack)
				c.hangUp("the phones cannot agree on audio", "system", outcome{status: 200})
				return
			}
		} else {
			ack.SetBody(nil)
		}
		c.lastAck[other] = ack
		c.w.ack(ack)
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
			giveUp()
			return
		}
		tx.Respond(res)
		wait = min(2*wait, 8*c.cfg.T1)
		r.stop = c.w.after(wait, func() { c.must(again) })
	}
	tx.Respond(res)
	r.stop = c.w.after(wait, func() { c.must(again) })
}

func (c *call) stopRepeats() {
	for s, r := range c.repeats {
		if r != nil {
			r.stop()
			c.repeats[s] = nil
		}
	}
}

// retryAfter is how long peers are asked to wait, in seconds.
const retryAfter = "5"
