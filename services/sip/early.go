package sip

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
)

// early is an early dialog of a branch. There is one for each tag that answers, since a proxy at the other end may ask
// several phones (RFC 3261 §12.1.2, §13.2.2.4); each has its own sequence of reliable responses.
type early struct {
	leg    *leg
	rseq   uint32        // of the last reliable response taken; 0 = none yet (RFC 3262 §4)
	said   *sip.Response // the reliable one with a session description, which is the phone's answer or its offer
	hungUp bool          // it answered when another had
}

// maxEarly bounds the early dialogs of a branch; what comes beyond is not listened to.
const maxEarly = 8

// earlyOf finds the early dialog of a response, or begins it; nil when there are too many.
func (b *branch) earlyOf(res *sip.Response) *early {
	tag := ""
	if to := res.To(); to != nil {
		tag, _ = to.Params.Get("tag")
	}
	for _, e := range b.earlies {
		if e.leg.peerTag == tag {
			e.leg.answered(res)
			return e
		}
	}
	if len(b.earlies) == maxEarly {
		return nil
	}
	e := &early{leg: b.leg}
	if len(b.earlies) > 0 {
		l := b.origin
		e.leg = &l
	}
	e.leg.answered(res)
	b.earlies = append(b.earlies, e)
	return e
}

// reliable reads RSeq of a response that wants a PRACK (RFC 3262 §4); 0 = it wants none.
func reliable(res *sip.Response) uint32 {
	if !wants(res, tagReliable) {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(header(res, "RSeq")), 10, 32)
	return uint32(n)
}

// inTurn tells whether a reliable response is the next of its dialog. One that came before has its PRACK, which is
// repeated by its own transaction; one that came too early comes again (RFC 3262 §4).
func (e *early) inTurn(rseq uint32) bool {
	if e.rseq != 0 && rseq != e.rseq+1 {
		return false
	}
	e.rseq = rseq
	return true
}

// prack acknowledges a reliable response, with the caller's answer if it held an offer (RFC 3262 §4, §5).
func (c *call) prack(b *branch, e *early, res *sip.Response, answer sip.Message) error {
	req := e.leg.request(sip.PRACK, c.w.id(), maxHops)
	req.AppendHeader(sip.NewHeader("RAck", header(res, "RSeq")+" "+strconv.FormatUint(uint64(b.seq), 10)+" INVITE"))
	req.SetBody(nil)
	if answer != nil {
		if err := c.carry(caller, answer, req, asAnswer); err != nil {
			return err
		}
	}
	c.ask(e.leg, req, func(*sip.Response, error) {}) // a phone that did not get it answers the INVITE with an error
	return nil
}

// ask sends a request whose final answer, or the error that none comes, goes to on; the call stays until then.
func (c *call) ask(l *leg, req *sip.Request, on func(*sip.Response, error)) {
	_, err := c.send(l, req, func(res *sip.Response, err error) {
		if err == nil && res.StatusCode < 200 {
			return
		}
		c.must(func() {
			c.pending--
			on(res, err)
			c.leave()
		})
	})
	if err == nil {
		c.pending++
	}
}

// dialogOf finds the dialog that a request is of, and its side.
func (c *call) dialogOf(req *sip.Request) (side, *leg) {
	id := req.CallID().Value()
	for s, l := range c.legs {
		if l != nil && l.callID == id && l.belongs(req) {
			return side(s), l
		}
	}
	for _, b := range c.branches {
		if b.leg.callID != id || b.final || b.given {
			continue
		}
		for _, e := range b.earlies {
			if e.leg.peerTag != "" && e.leg.belongs(req) {
				return callee, e.leg
			}
		}
	}
	return caller, nil
}

// changeEarly is a change of the session before the call is answered (RFC 3311 §5): between the caller and the phone whose
// description the caller has, once their first offer is answered reliably.
func (c *call) changeEarly(s side, l *leg, req *sip.Request, tx sipua.ServerTx) {
	later := func() {
		res := l.respond(req, 500, "Server Internal Error")
		res.AppendHeader(sip.NewHeader("Retry-After", "1"))
		tx.Respond(res)
	}
	switch {
	case req.IsInvite(): // one after the other (RFC 3261 §14.2)
		later()
	case len(req.Body()) == 0:
		c.refreshed(s, l, req, tx)
	case s == callee && c.waits(l): // for the answer to the offer of our INVITE
		tx.Respond(l.respond(req, 491, "Request Pending"))
	case s == caller && c.deal == dealOffered, c.offer != nil && c.offer.from != s:
		tx.Respond(l.respond(req, 491, "Request Pending"))
	case c.deal != dealSettled, c.offer != nil, c.shown == nil, s == callee && c.shown.leg != l:
		later()
	case s == callee && !c.legs[caller].updates, s == caller && !c.shown.leg.updates:
		tx.Respond(l.respond(req, 488, "Not Acceptable Here"))
	default:
		l.learn(req)
		c.offer = &relayed{from: s, at: l, req: req, tx: tx}
		c.relay(c.offer)
	}
}

// waits tells whether the early dialog l has still to answer the offer of our INVITE.
func (c *call) waits(l *leg) bool {
	for _, b := range c.branches {
		for _, e := range b.earlies {
			if e.leg == l {
				return c.offered && e.said == nil
			}
		}
	}
	return false
}
