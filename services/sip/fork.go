package sip

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/trunk"
)

// branch is one place that is called.
type branch struct {
	leg     *leg
	tx      sipua.ClientTx
	seq     uint32 // CSeq of the INVITE
	trunk   string
	exit    *trunk.Exit // of the trunk; nil = it is no trunk
	hop     int         // the target of exit
	final   bool        // it has answered, or will not
	given   bool        // given up: a CANCEL went, or would have gone
	rings   bool
	host    netip.Addr
	attempt int
}

// ring calls contacts at once (RFC 3261 §16.6 has the idea; here each is a dialog of its own).
func (c *call) ring(contacts []contract.Binding, by string) {
	c.phase = alerting
	if len(contacts) > c.cfg.MaxContacts {
		contacts = contacts[:c.cfg.MaxContacts]
	}
	c.late = false
	c.setDirect(contacts)
	ring := time.Duration(c.plan.RingSeconds) * time.Second
	if ring <= 0 {
		ring = c.cfg.Ring
	}
	c.stopNoAnswer()
	c.noAnswer = c.w.after(ring, func() { c.must(c.nobodyAnswers) })
	first := c.current
	for i := range contacts {
		c.start(&contacts[i], by)
	}
	c.attemptDone(first)
}

// start sends the INVITE to one contact.
func (c *call) start(to *contract.Binding, by string) {
	b := &branch{trunk: by, attempt: c.current, leg: &leg{callID: c.legID(len(c.branches) + 1), tag: c.w.id(), contact: c.contact}}
	if by != "" {
		b.exit, b.hop = c.exit, c.hop
	}
	c.branches = append(c.branches, b)
	fail := func(status int, reason string) {
		b.final = true
		c.better(outcome{status: status, reason: reason})
	}
	if sip.ParseUri(to.Contact, &b.leg.target) != nil {
		fail(500, "the contact "+to.Contact+" cannot be read")
		return
	}
	route, host := c.wayTo(b, to)
	if route == "" {
		fail(480, "no way to "+to.Contact)
		return
	}
	b.leg.routes = []string{route}
	b.leg.routes = append(b.leg.routes, to.Path...)
	number, domain := c.seenBy(b)
	b.leg.local = c.callerAddress(number, domain, b.leg.tag)
	b.leg.remote = "<sip:" + userPart(c.calledNumber(b)) + "@" + domain + ">"
	req := b.leg.request(sip.INVITE, c.w.id(), hopsLeft(c.invite))
	b.seq = b.leg.seq
	passRequest(c.invite, req)
	for _, n := range c.diverted {
		req.AppendHeader(sip.NewHeader("Diversion", "<sip:"+userPart(c.divertedAs(b, n))+"@"+domain+">"))
	}
	c.assertCaller(number, domain, req)
	c.hosts[callee] = host
	if err := c.carry(caller, c.invite, req); err != nil {
		o := badMedia(err)
		fail(o.status, o.reason)
		return
	}
	b.host = host
	c.w.open(b.leg.callID, c)
	tx, err := c.w.send(req, func(res *sip.Response, err error) {
		c.must(func() { c.branchSaid(b, res, err) })
	})
	if err != nil {
		c.w.shut(b.leg.callID)
		fail(503, err.Error())
		return
	}
	b.tx = tx
	c.pending++
	b.sent()
}

// calledNumber is who the branch calls, for To and the events.
func (c *call) calledNumber(b *branch) string {
	if b.trunk != "" && b.leg.target.User != "" {
		return b.leg.target.User
	}
	return c.plan.Number
}

// branchSaid handles a response, or the error that none will come.
func (c *call) branchSaid(b *branch, res *sip.Response, err error) {
	if b.exit != nil {
		res, err = c.trunkSaid(b, res, err)
	}
	switch {
	case err != nil && b.exit != nil:
		c.branchEnded(b, outcome{status: 503, reason: "trunk " + b.trunk + ": " + err.Error()})
	case err != nil:
		c.branchEnded(b, outcome{status: 480, reason: "no answer from the phone: " + err.Error()})
	case res.StatusCode < 200:
		if !b.final && !b.given && res.StatusCode > 100 {
			c.progress(b, res)
		}
	case res.IsSuccess():
		c.branchAnswered(b, res)
	default:
		c.branchEnded(b, outcome{status: res.StatusCode, reason: res.Reason, res: res})
	}
}

// progress passes ringing and early media to the caller (RFC 3261 §13.2.2.1, RFC 3960).
func (c *call) progress(b *branch, res *sip.Response) {
	if c.phase != alerting {
		return
	}
	b.leg.answered(res)
	if !b.rings {
		b.rings = true
		c.ringing(b)
	}
	status, reason := res.StatusCode, res.Reason
	out := c.legs[caller].respond(c.invite, status, reason)
	passResponse(res, out)
	if c.alone(b) { // early media of one place is heard; of several, nobody could tell whose
		c.hosts[callee] = b.host
		if c.carry(callee, res, out) != nil {
			return // what cannot be heard is not announced; the answer will tell
		}
	}
	c.tx.Respond(out)
}

// alone tells whether b is the only place called in its attempt.
func (c *call) alone(b *branch) bool { return len(c.branches)-b.attempt == 1 }

// ringing publishes the first sign of life of an attempt.
func (c *call) ringing(b *branch) {
	if c.times.ring.IsZero() {
		c.times.ring = c.w.now()
	}
	switch {
	case b.trunk != "":
		defer c.show()
		c.publish(voice.EventNetworkReached, caller, voice.StateOk, func(e *voice.CallEvent) { e.ThisTrunk = b.trunk })
	case c.rings == "":
		c.rings = c.plan.Number
		c.show()
		c.publish(voice.EventRinging, callee, voice.StateOk, nil)
	}
}

// branchAnswered is a 2xx: the first one wins (RFC 3261 §13.2.2.4), any other is hung up.
func (c *call) branchAnswered(b *branch, res *sip.Response) {
	if b.leg == c.legs[callee] { // our ACK has not reached it, or is still to come
		if ack := c.lastAck[callee]; ack != nil {
			c.w.ack(ack)
		}
		return
	}
	if b.final { // hung up already; it has not had our ACK
		c.w.ack(b.leg.ackTo(b.seq, c.w.id()))
		return
	}
	b.leg.answered(res)
	c.branchFinal(b)
	if c.phase != alerting || b.given {
		c.w.ack(b.leg.ackTo(b.seq, c.w.id()))
		c.bye(b.leg, "")
		c.leave()
		return
	}
	c.stopNoAnswer()
	c.legs[callee] = b.leg
	c.unacked[callee] = b.seq
	if !b.rings { // some phones answer without ringing
		b.rings = true
		c.ringing(b)
	}
	c.cancelBranches(answeredElsewhere)
	c.hosts[callee] = b.host
	c.answer(b, res)
}

// answer passes the 2xx to the caller.
func (c *call) answer(b *branch, res *sip.Response) {
	out := c.legs[caller].respond(c.invite, 200, "OK")
	passResponse(res, out)
	if err := c.carry(callee, res, out); err != nil {
		c.bye(b.leg, "")
		c.fail(badMedia(err))
		return
	}
	c.phase = answered
	c.times.answer = c.w.now()
	defer c.show()
	c.repeat2xx(caller, c.tx, out, func() { c.hangUp("the caller's phone did not confirm the call", "system", outcome{status: 200}) })
	c.publish(voice.EventEstablished, caller, voice.StateOk, func(e *voice.CallEvent) { e.ThisTrunk = b.trunk })
	if b.trunk == "" {
		c.publish(voice.EventEstablished, callee, voice.StateOk, nil)
	}
}

// branchEnded is a place that said no, or cannot be reached.
func (c *call) branchEnded(b *branch, o outcome) {
	wasOpen := !b.final
	c.branchFinal(b)
	if c.phase != alerting || b.given || !wasOpen || b.attempt != c.current {
		c.leave()
		return
	}
	if o.res != nil && o.status/100 == 3 {
		if n := c.redirectedTo(o.res); n != "" {
			c.cancelBranches("")
			c.unreached(o, n, voice.StateRedirected)
			return
		}
		o = outcome{status: 480, reason: "moved to where nobody can be called"}
	}
	c.better(o)
	if o.status >= 600 { // nobody else need be asked (§16.7, item 5)
		c.cancelBranches("")
	}
	c.attemptDone(c.current)
}

func (c *call) branchFinal(b *branch) {
	if !b.final {
		b.final = true
		c.pending--
	}
}

// redirectedTo is the number that a 3xx names, when it is one here.
func (c *call) redirectedTo(res *sip.Response) string {
	if m := res.Contact(); m != nil {
		return unescape(m.Address.User)
	}
	return ""
}

// better keeps the final answer that says most to the caller (§16.7, item 6): a 6xx, then the lowest class, and in it what
// a person would want to know.
func (c *call) better(o outcome) {
	if c.best.status == 0 || rank(o.status) < rank(c.best.status) {
		c.best = o
	}
}

func rank(status int) int {
	switch {
	case status >= 600:
		return 0
	case status == 486:
		return 1
	case status == 401 || status == 407 || status == 408 || status == 480:
		return 499
	default:
		return status
	}
}

// attemptDone goes on when every place of the attempt has said no.
func (c *call) attemptDone(first int) {
	for _, b := range c.branches[first:] {
		if !b.final && !b.given {
			return
		}
	}
	if c.phase != alerting {
		return
	}
	o := c.best.orElse(480, "nobody answered")
	if c.elsewhere(o) {
		return
	}
	switch o.status {
	case 486, 600:
		c.unreached(o, c.plan.OnBusy, voice.StateBusy)
	case 408:
		c.unreached(o, c.plan.OnNoAnswer, voice.StateNoAnswer)
	case 480:
		if c.rings == "" {
			c.unreached(o, c.plan.OnOffline, voice.StateForwarded)
		} else {
			c.unreached(o, c.plan.OnNoAnswer, voice.StateNoAnswer)
		}
	default:
		c.unreached(o, "", voice.StateOk)
	}
}

// nobodyAnswers is the end of patience.
func (c *call) nobodyAnswers() {
	if c.phase != alerting {
		return
	}
	c.noAnswer, c.late = nil, true
	c.cancelBranches("")
	c.unreached(outcome{status: 480, reason: "nobody answered"}, c.plan.OnNoAnswer, voice.StateNoAnswer)
}

// answeredElsewhere tells a phone that it need not show a missed call (RFC 3326 §3.1).
const answeredElsewhere = `SIP;cause=200;text="Call completed elsewhere"`

// cancelBranches gives up the places that have not answered. Why goes into the CANCEL (RFC 3326); "" = nothing to say.
func (c *call) cancelBranches(why string) {
	for _, b := range c.branches {
		if !b.final && !b.given {
			b.given = true
			b.tx.Cancel(why)
		}
	}
}

func (c *call) stopNoAnswer() {
	if c.noAnswer != nil {
		c.noAnswer()
		c.noAnswer = nil
	}
}
