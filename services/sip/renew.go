package sip

import (
	"hash/fnv"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/media/sdp"
	"parley/internal/sipua"
)

// renewal is a request about a session that begins here, not at the other side: a refresh (RFC 4028 §10), or an offer of what
// a side has not been told yet. Its answer goes no further.
type renewal struct {
	leg    *leg // it goes to
	seq    uint32
	invite bool
	news   bool // an offer that says something new
	done   bool
}

// renew refreshes the session of a side: by UPDATE where the peer takes it, which is no offer and disturbs nothing, else by
// a re-INVITE with the description it has already. news makes it an offer in any case.
func (c *call) renew(s side, news bool) {
	l := c.legs[s]
	if c.phase == over || l == nil {
		return
	}
	r := &renewal{leg: l, invite: news || !l.updates, news: news}
	switch {
	case c.renewals[s] != nil || r.invite && c.occupied(s): // one after the other (RFC 3261 §14.1)
		c.inLeg(s, turnWait, func() { c.renew(s, news) })
		return
	case r.invite && (c.audio == nil || c.audio.ends[s].sent == nil): // nothing was ever said there that could be said again
		c.resumeTimer(s)
		return
	}
	method := sip.UPDATE
	var body []byte
	if r.invite {
		method = sip.INVITE
		var err error
		if body, err = c.audio.again(s, news, c.hosts[s]); err != nil {
			c.resumeTimer(s)
			return
		}
	}
	req := l.request(method, c.w.id(), maxHops)
	r.seq = l.seq
	req.AppendHeader(sip.NewHeader("Supported", tagTimer))
	c.askTimer(l, req)
	if r.invite {
		req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
		req.SetBody(body)
	} else {
		req.SetBody(nil)
	}
	_, err := c.send(l, req, func(res *sip.Response, err error) { c.must(func() { c.renewed(s, r, res, err) }) })
	if err != nil {
		c.renewLater(s, news)
		return
	}
	c.renewals[s] = r
	c.pending++
}

// turnWait is how long a renewal waits when something else is under way; most of what can be is over by then.
const turnWait = 4 * time.Second

// occupied tells whether an offer or its confirmation is under way on a side, so that an INVITE must wait.
func (c *call) occupied(s side) bool {
	return c.phase != talking && !c.taken || c.offer != nil || c.repeats[s] != nil || c.unacked[s] != 0
}

// renewLater tries again after the time of RFC 3261 §14.1: who made the Call-ID waits longer, so that two who met do not
// meet again.
func (c *call) renewLater(s side, news bool) {
	wait := time.Duration(c.dice(200)) * 10 * time.Millisecond
	if s == callee {
		wait = 2100*time.Millisecond + time.Duration(c.dice(190))*10*time.Millisecond
	}
	c.inLeg(s, wait, func() { c.renew(s, news) })
}

// dice throws a number below n; what is outside gives the chance, so that tests can repeat it.
func (c *call) dice(n uint32) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.w.id())) // a hash takes everything
	return h.Sum32() % n
}

// renewed handles the answer to a renewal.
func (c *call) renewed(s side, r *renewal, res *sip.Response, err error) {
	switch {
	case err == nil && res.StatusCode < 200:
		return
	case err == nil && res.IsSuccess():
		r.seq = res.CSeq().SeqNo // it may have gone again, with credentials
	}
	switch {
	case r.done: // the 2xx again: our ACK was lost
		if r.invite && err == nil && res.IsSuccess() {
			c.w.ack(r.leg.ackTo(r.seq, c.w.id()))
		}
		return
	}
	r.done = true
	for i, o := range c.renewals {
		if o == r {
			c.renewals[i] = nil
		}
	}
	c.pending--
	defer c.leave()
	if r.invite && err == nil && res.IsSuccess() {
		c.w.ack(r.leg.ackTo(r.seq, c.w.id()))
	}
	if c.phase == over || c.legs[s] != r.leg { // the side is not there any more
		return
	}
	status := 408
	if err == nil {
		status = res.StatusCode
	}
	l := c.legs[s]
	switch {
	case status/100 == 2:
		l.learn(res)
		c.tookAgain(s, res)
		c.agreed(s, res)
	case status == 408 || status == 481: // the dialog there is gone (RFC 4028 §10, RFC 5057 §5.1)
		c.hangUp("the phone does not know the call any more", "system", outcome{status: 200})
	case status == 491:
		c.renewLater(s, r.news)
	case status == 422 && minSE(res) > l.timer.least:
		l.timer.least = minSE(res)
		l.timer.interval = max(l.timer.interval, l.timer.least)
		c.renew(s, r.news)
	case !r.invite && (status == 405 || status == 501):
		l.updates = false
		c.renew(s, false)
	case r.news: // it keeps what it has
		c.resumeTimer(s)
	default: // the session lives on until it expires (RFC 4028 §10)
		c.inLeg(s, max(l.timer.interval/8, time.Second), func() {
			if c.w.now().Before(l.timer.ends) {
				c.renew(s, false)
			} else {
				c.expired()
			}
		})
	}
}

// tookAgain takes the answer to a repeated offer. It may name another address than before; a phone that moved is followed.
func (c *call) tookAgain(s side, res *sip.Response) {
	if !isSDP(res) || c.audio == nil {
		return
	}
	if d, err := sdp.Parse(res.Body()); err == nil {
		_, _ = c.audio.take(s, d, c.hosts[s], c.phase >= answered) // what cannot be used leaves the audio where it was
		c.music()
	}
}

// refreshed answers a request that only refreshes the session (RFC 4028 §7.4): the other side need not be asked.
func (c *call) refreshed(s side, l *leg, req *sip.Request, tx sipua.ServerTx) {
	l.learn(req)
	res := l.respond(req, 200, "OK")
	if l == c.legs[s] && (c.phase >= answered || c.taken) {
		c.grant(s, req, res)
	}
	if !isSDP(req) {
		tx.Respond(res)
		return
	}
	d, err := sdp.Parse(req.Body())
	if err != nil { // same has read it
		tx.Respond(l.respond(req, 488, "Not Acceptable Here"))
		return
	}
	body, err := c.audio.repeated(s, d, c.hosts[s])
	if err != nil {
		tx.Respond(l.respond(req, 488, "Not Acceptable Here"))
		return
	}
	res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	res.SetBody(body)
	if req.IsInvite() {
		c.repeat2xx(s, tx, res, c.unconfirmed)
		return
	}
	tx.Respond(res)
}

// unconfirmed is a change of the session whose 2xx got no ACK.
func (c *call) unconfirmed() {
	c.hangUp("a change of the call was not confirmed", "system", outcome{status: 200})
}

// changesNothing tells whether a request leaves the session as it is: it has no description, or the one that side gave last.
// The origin's version does not matter, since there are phones that raise it each time.
func (c *call) changesNothing(s side, req *sip.Request) bool {
	if len(req.Body()) == 0 {
		return req.Method == sip.UPDATE // a re-INVITE without a body asks for an offer
	}
	return isSDP(req) && c.audio != nil && c.audio.ends[s].sent != nil && c.audio.same(s, req.Body())
}
