package sip

import (
	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// Calls that are made for somebody (RFC 3725): his phone is called first, with an offer of ours, and when it answers he is like a
// caller who was answered at a route point. His leg is the callee's while it rings, and the caller's from then on.

// origin is a side that is called for whom a call is made.
type origin struct {
	dn     string
	role   voice.DNRole
	then   func()        // what becomes of him when he has answered
	fails  func(outcome) // he did not
	auto   bool          // his phone should answer by itself
	hidden bool          // the others are not told of him
}

// solo tells whether the caller's side was dealt with alone: he is at a route point, or was answered and nobody talks to him.
func (c *call) solo() bool { return c.desk != nil || c.taken }

// originate calls dn, and does then when it has answered: the call has that side alone.
func (c *call) originate(o *origin) {
	c.origin = o
	c.converse()
	c.from = party{number: o.dn, shown: o.dn}
	c.life = c.w.after(c.cfg.MaxDuration, func() { c.must(c.tooLong) })
	c.deal, c.offered = dealSettled, true
	c.phase = routing
	req := &contract.ResolveRequest{Tenant: c.id.tenant, From: o.dn, Dialled: o.dn, At: c.w.now()}
	c.w.resolve(req, func(plan *contract.ResolveResponse, err error) {
		c.must(func() {
			switch {
			case c.phase == over:
			case err != nil:
				c.notMade(outcome{status: 503, reason: "no dial plan answers"})
			case plan.Kind != contract.RouteDevice:
				c.notMade(outcome{status: 480, reason: o.dn + " is no phone that could be called"})
			default:
				c.plan = plan
				c.callDevice()
			}
		})
	})
}

// originAnswered is the answer of the phone for whom a call is made.
func (c *call) originAnswered(b *branch, e *early, res *sip.Response) {
	said := res
	if !isSDP(res) && e.said != nil {
		said = e.said
	}
	s, err := sdp.Parse(said.Body())
	if err == nil {
		_, err = c.audio.take(callee, s, c.hosts[callee], true)
	}
	c.sendAck(callee, c.legs[callee].ackTo(b.seq, c.w.id()))
	if err != nil {
		c.bye(c.legs[callee], "")
		c.legs[callee] = nil
		c.notMade(badMedia(err))
		return
	}
	if c.conv.sipID == "" {
		c.conv.sipID = c.legs[callee].callID
	}
	c.agreed(callee, res)
	o := c.origin
	c.origin = nil
	c.phase, c.plan = queued, nil
	c.as[callee] = &standing{dn: o.dn, role: o.role, hidden: o.hidden}
	c.flip()
	c.taken, c.rings = true, ""
	c.deal, c.offered = dealSettled, true
	if c.cfg.Silence > 0 {
		c.audio.ends[caller].leg.Watch(c.cfg.Silence)
	}
	c.show()
	o.then()
}

// notMade is the end of a call whose first side did not answer.
func (c *call) notMade(o outcome) {
	c.stopNoAnswer()
	c.cancelBranches("")
	from := c.origin
	c.origin = nil
	if c.rings != "" { // it was called into a conversation
		c.publish(voice.EventReleased, callee, stateOf(o.status, c.late), nil)
		c.rings = ""
	}
	from.fails(o)
	c.finish(o, "system")
}

// autoAnswer asks a phone to answer by itself, in the two ways that phones know (RFC 5373 is the third, and rare).
func (c *call) autoAnswer(req *sip.Request) {
	if o := c.origin; o != nil && o.auto {
		req.AppendHeader(sip.NewHeader("Call-Info", "<sip:"+nodeHost+">;answer-after=0"))
		req.AppendHeader(sip.NewHeader("Alert-Info", "<http://"+nodeHost+">;info=alert-autoanswer;delay=0"))
	}
}

// makeCall calls for dn, and then the destination.
func (c *call) makeCall(req *voice.Request) {
	c.dialled = req.OtherDN
	c.from = party{number: req.ThisDN, shown: req.ThisDN}
	c.converse()
	if len(req.UserData) > 0 {
		c.conv.attach(req.UserData, nil, true)
	}
	c.byRequest(req, func() {
		c.publish(voice.EventDialing, caller, voice.StateOk, func(e *voice.CallEvent) { e.OtherDN = req.OtherDN })
	})
	c.originate(&origin{
		dn: req.ThisDN, role: voice.RoleOrigination, auto: c.w.autoAnswers(c.id.tenant, req.ThisDN),
		then: func() {
			c.ringBack()
			c.route(req.OtherDN)
		},
		fails: func(o outcome) {
			c.publish(voice.EventReleased, caller, stateOf(o.status, c.late), nil)
		},
	})
}

// byRequest publishes what a request causes.
func (c *call) byRequest(req *voice.Request, do func()) {
	c.conv.request = req
	do()
	c.conv.request = nil
}

// ringBack lets one who waits for an answer hear that it rings.
func (c *call) ringBack() {
	if c.tone == nil && c.desk == nil && !c.inRoom {
		if src := c.w.tone(c.id.tenant, voice.TreatmentRingBack); src != nil {
			c.tone = c.playAlone(src, nil)
		}
	}
}

func (c *call) stopTone() {
	if c.tone != nil {
		c.tone()
		c.tone = nil
	}
}

// busyTone tells one for whom a call was made that its destination is busy or cannot be had.
func (c *call) busyTone(o outcome) {
	c.stopTone()
	if state := stateOf(o.status, c.late); c.conv.times.answer.IsZero() && (state == voice.StateBusy || o.status == 404 || o.status == 604) {
		c.publish(voice.EventDestinationBusy, caller, state, nil)
	}
	if c.rings != "" && c.legs[callee] == nil {
		c.publish(voice.EventReleased, callee, stateOf(o.status, c.late), nil)
		c.rings = ""
	}
}

// establishedWith tells both sides that they talk, the one who waited first.
func (c *call) establishedWith(b *branch) {
	if m := (member{c, caller}); !m.standing().outside {
		c.publish(voice.EventEstablished, caller, voice.StateOk, func(e *voice.CallEvent) {
			if b.trunk != "" {
				e.ThisTrunk = b.trunk
			}
		})
	}
	if !c.beyond(b) {
		c.publish(voice.EventEstablished, callee, voice.StateOk, nil)
	}
	c.by = nil
	if c.untold && !c.standing(caller).outside {
		c.publish(voice.EventHeld, caller, voice.StateOk, nil)
	}
	c.untold = false
	if c.taken || c.phase == talking {
		c.reopen(caller)
	}
}
