package sip

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// keepAlive is how often a caller who waits hears of it, so that no proxy on the way gives up (RFC 3261 §13.3.1.1).
const keepAlive = time.Minute

// progress passes ringing and early media to the caller (RFC 3261 §13.2.2.1, RFC 3960).
func (c *call) progress(b *branch, res *sip.Response) {
	if res.StatusCode == 199 { // the end of one early dialog (RFC 6228), which we never asked to be told
		return
	}
	e := b.earlyOf(res)
	if c.phase != alerting || c.legs[callee] != nil || e == nil {
		return
	}
	rseq := reliable(res)
	if rseq != 0 && !e.inTurn(rseq) {
		return
	}
	if !b.rings {
		b.rings = true
		c.ringing(b)
	}
	if b.trunk != "" { // from the first sign on, Timer C: some carriers play announcements for long
		c.patience(c.cfg.TimerC)
	}
	if c.solo() || c.origin != nil { // the caller goes on hearing what he hears
		if rseq != 0 {
			if isSDP(res) {
				e.said = res
			}
			_ = c.prack(b, e, res, nil) // without a body nothing can go wrong
		}
		return
	}
	out := c.legs[caller].respond(c.invite, res.StatusCode, res.Reason)
	passResponse(res, out)
	offer := c.earlyAudio(b, e, res, out, rseq != 0)
	if rseq != 0 && isSDP(res) {
		e.said = res
	}
	c.announce(out, offer)
	c.stayAlive(res.StatusCode, res.Reason)
	if rseq != 0 && (c.offered || !isSDP(res)) { // an offer waits for its answer
		_ = c.prack(b, e, res, nil) // without a body nothing can go wrong
	}
}

// earlyAudio puts what a place says about its audio before it answers into the response for the caller: of one place, since of
// several nobody could tell whose it is. When it is an offer, the function returned takes the caller's answer.
func (c *call) earlyAudio(b *branch, e *early, res, out *sip.Response, reliably bool) func(*sip.Request) error {
	if !isSDP(res) || !c.alone(b) {
		return nil
	}
	c.facing(b)
	switch {
	case c.deal == dealAsked:
		if c.carry(callee, res, out, asAnswer) != nil { // what cannot be heard is not announced; the answer will tell
			out.SetBody(nil)
			return nil
		}
		c.shown = e
	case c.deal == dealOpen && reliably && c.rel.bodies: // RFC 3262 §5: an offer, answered in the PRACK
		if c.carry(callee, res, out, asOffer) != nil {
			out.SetBody(nil)
			return nil
		}
		c.shown = e
		return func(answer *sip.Request) error { return c.prack(b, e, res, answer) }
	case c.deal == dealSettled && !c.audio.same(callee, res.Body()):
		c.hear(res)
		c.shown = e
	}
	return nil
}

// hear takes what the place called says about its audio when the caller cannot be told at once: his offer was answered before,
// by another place or with other words. He gets an offer of ours when the call is answered.
func (c *call) hear(res *sip.Response) {
	if c.hearAudio(res) == nil {
		c.owed = true
	}
}

func (c *call) hearAudio(res *sip.Response) error {
	s, err := sdp.Parse(res.Body())
	if err != nil {
		return err
	}
	if !c.audio.through() {
		_, err = c.audio.answer(callee, s, c.hosts, false)
		return err
	}
	_, err = c.audio.take(callee, s, c.hosts[callee], false)
	return err
}

// stayAlive repeats a sign of life to the caller while he waits.
func (c *call) stayAlive(status int, reason string) {
	c.stopAlive()
	c.alive = c.w.after(keepAlive, func() {
		c.must(func() {
			if c.phase >= answered || c.taken || c.legs[callee] != nil {
				return
			}
			if c.rel.stop == nil { // else one is being repeated already
				c.announce(c.legs[caller].respond(c.invite, status, reason), nil)
			}
			c.stayAlive(status, reason)
		})
	})
}

func (c *call) stopAlive() {
	if c.alive != nil {
		c.alive()
		c.alive = nil
	}
}

// alone tells whether b is the only place called in its attempt.
func (c *call) alone(b *branch) bool { return len(c.branches)-b.attempt == 1 }

// ringing publishes the first sign of life of an attempt.
func (c *call) ringing(b *branch) {
	if c.conv.times.ring.IsZero() {
		c.conv.times.ring = c.w.now()
	}
	switch {
	case c.origin != nil && c.by == nil: // nobody calls it
	case c.origin != nil: // it is called into a conversation
		if c.rings == "" {
			c.rings = c.plan.Number
			c.publish(voice.EventRinging, callee, voice.StateConferenced, func(e *voice.CallEvent) {
				c.by.said(e)
				e.OtherDN, e.OtherDNRole = c.by.dn, voice.RoleConferenceMember
			})
		}
	case c.beyond(b):
		defer c.show()
		c.publish(voice.EventNetworkReached, caller, voice.StateOk, func(e *voice.CallEvent) { e.ThisTrunk = b.trunk })
	case c.rings == "":
		c.rings = c.called(b)
		c.show()
		c.publish(voice.EventRinging, callee, voice.StateOk, c.by.said)
	case b.member != "":
		c.memberRings(b.member)
	}
}
