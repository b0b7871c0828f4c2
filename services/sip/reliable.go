package sip

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
)

// deal is how far the caller's first offer is.
type deal int

const (
	dealAsked   deal = iota // the INVITE has an offer that is not answered
	dealOpen                // it has none
	dealOffered             // a reliable response made one, which the PRACK will answer
	dealSettled             // answered, before the call is (RFC 3262 §5)
)

// announcer sends provisional responses to the caller, reliably where that matters (RFC 3262 §3): always when the caller
// requires it. When he only supports it, those with a session description are, because early audio is lost without them
// and they can be an answer then; a lost 180 costs less than the round trip.
type announcer struct {
	always, bodies bool
	last           uint32 // RSeq
	out            *provisional
	wait           []*provisional // one is under way at a time
	stop           func()         // of the timer that repeats out
	then           func()         // the 2xx: not before the last PRACK (RFC 3262 §3, RFC 6337 §2.2)
}

// provisional is a reliable response.
type provisional struct {
	res   *sip.Response
	rseq  uint32
	offer func(answer *sip.Request) error // takes the answer to the offer it holds; nil when it holds none
}

// maxProvisional bounds what waits for a PRACK; a phone that rings on and on need not be heard each time.
const maxProvisional = 8

func newAnnouncer(invite *sip.Request, id string) announcer {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // a hash takes everything
	required := slices.Contains(tags(invite, "Require"), tagReliable)
	return announcer{always: required, bodies: required || wants(invite, tagReliable), last: h.Sum32() >> 2}
}

// announce sends a provisional response. offer is set when it holds an offer, which goes reliably or not at all.
func (c *call) announce(res *sip.Response, offer func(*sip.Request) error) {
	a := &c.rel
	if !a.always && (!a.bodies || len(res.Body()) == 0) {
		c.tx.Respond(res)
		return
	}
	if len(res.Body()) > 0 {
		c.deal = dealSettled
		if offer != nil {
			c.deal = dealOffered
		}
	}
	a.wait = append(a.wait, &provisional{res: res, offer: offer})
	if len(a.wait) > maxProvisional {
		a.wait = a.wait[:maxProvisional]
	}
	c.announceNext()
}

// announceNext sends what waits: first the provisional responses, then the answer.
func (c *call) announceNext() {
	a := &c.rel
	switch {
	case a.out != nil && a.stop != nil:
	case len(a.wait) > 0:
		p := a.wait[0]
		a.wait = a.wait[1:]
		a.last++
		p.rseq = a.last
		p.res.AppendHeader(sip.NewHeader("Require", tagReliable))
		p.res.AppendHeader(sip.NewHeader("RSeq", strconv.FormatUint(uint64(p.rseq), 10)))
		a.out = p
		c.repeatProvisional(p)
	case a.then != nil:
		then := a.then
		a.then = nil
		then()
	}
}

// repeatProvisional sends p until it is acknowledged: after T1, doubling, for 64 T1. Then the INVITE fails (RFC 3262 §3).
func (c *call) repeatProvisional(p *provisional) {
	a := &c.rel
	started, wait := c.w.now(), c.cfg.T1
	var again func()
	next := func() {
		c.tx.Respond(p.res)
		left := 64*c.cfg.T1 - c.w.now().Sub(started)
		a.stop = c.w.after(min(wait, left), func() { c.must(again) })
		wait *= 2
	}
	again = func() {
		switch {
		case a.out != p || a.stop == nil:
		case c.w.now().Sub(started) >= 64*c.cfg.T1:
			c.fail(outcome{status: 504, reason: "the caller's phone did not acknowledge a provisional response"})
		default:
			next()
		}
	}
	next()
}

// halt ends the repetitions when the INVITE has its final response. A PRACK on its way still finds what it is for.
func (a *announcer) halt() {
	if a.stop != nil {
		a.stop()
	}
	a.stop, a.wait, a.then = nil, nil, nil
}

// acknowledged is a PRACK of the caller.
func (c *call) acknowledged(req *sip.Request, tx sipua.ServerTx) {
	l, p := c.legs[caller], c.rel.out
	if p == nil || !p.matches(req) {
		tx.Respond(l.respond(req, 481, "Call/Transaction Does Not Exist"))
		return
	}
	if p.offer != nil && !isSDP(req) { // §5; what is repeated then ends in 504
		tx.Respond(l.respond(req, 400, "The Answer Is Missing"))
		return
	}
	if c.rel.stop != nil {
		c.rel.stop()
		c.rel.stop = nil
	}
	c.rel.out = nil
	switch {
	case p.offer != nil:
		c.deal = dealSettled
		if err := p.offer(req); err != nil {
			o := badMedia(err)
			tx.Respond(l.respond(req, o.status, reasonOf(o)))
			c.fail(o)
			return
		}
		tx.Respond(l.respond(req, 200, "OK"))
	case len(req.Body()) > 0: // a second offer, once the first is answered: the phone is asked by UPDATE
		c.changeEarly(caller, l, req, tx)
	default:
		tx.Respond(l.respond(req, 200, "OK"))
	}
	if c.phase == alerting || c.phase == routing {
		c.announceNext()
	}
}

// matches tells whether a PRACK is for p: "RSeq CSeq INVITE" (RFC 3262 §7.2).
func (p *provisional) matches(req *sip.Request) bool {
	number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	f := strings.Fields(header(req, "RAck"))
	return len(f) == 3 && f[0] == number(p.rseq) && f[1] == number(p.res.CSeq().SeqNo) && f[2] == "INVITE"
}
