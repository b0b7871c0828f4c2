package sip

import (
	"slices"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/media/sdp"
	"parley/internal/voice"
	"parley/services/sip/treatment"
)

// route is where a call at a route point is on its way to.
type route struct {
	to    string
	ref   int64
	reply func(*voice.TError) // nil = whoever asked has his answer
}

// refuse answers whoever asked, unless he has his answer.
func (r *route) refuse(e *voice.TError) {
	if r.reply != nil {
		r.reply(e)
		r.reply = nil
	}
}

// routeCall sends the call from its route point to a number. reply is told when it is known that there is such a place.
func (c *call) routeCall(number string, ref int64, reply func(*voice.TError)) {
	switch d := c.desk; {
	case number == "":
		reply(voice.TErrorf(voice.TErrInvalidCalledDN, "no destination was named"))
	case d.route != nil:
		reply(voice.TErrorf(voice.TErrTooManyRequests, "the call is on its way to %s", d.route.to))
	default:
		c.routeTo(number, ref, reply)
	}
}

// routeTo asks the dial plan, with the permissions of the route point, and goes there.
func (c *call) routeTo(number string, ref int64, reply func(*voice.TError)) {
	d := c.desk
	r := &route{to: number, ref: ref, reply: reply}
	d.route = r
	d.stopPatience()
	req := &contract.ResolveRequest{
		Tenant: c.id.tenant, From: c.from.number, Trunk: c.from.way(), Dialled: number, At: c.w.now(),
		Diverted: append(slices.Clone(c.diverted), d.dn),
	}
	c.w.resolve(req, func(plan *contract.ResolveResponse, err error) {
		c.must(func() {
			if c.desk != d || d.route != r {
				r.refuse(voice.TErrorf(voice.TErrInvalidConnID, "the call is over"))
				return
			}
			c.resolved(r, plan, err)
		})
	})
}

// resolved takes what the dial plan says of the destination.
func (c *call) resolved(r *route, plan *contract.ResolveResponse, err error) {
	d := c.desk
	var bad *voice.TError
	switch {
	case err != nil:
		bad = voice.TErrorf(voice.TErrServiceUnavailable, "no dial plan answers")
	case plan.Kind == contract.RouteReject:
		bad = voice.TErrorf(voice.TErrInvalidCalledDN, "%s: %s", r.to, plan.Reason)
	case plan.Kind == contract.RoutePoint && (plan.Number == d.dn || c.forwards >= c.cfg.MaxForwards):
		bad = voice.TErrorf(voice.TErrInvalidCalledDN, "%s leads to route point %s, where the call has been often enough", r.to, plan.Number)
	case plan.Kind != contract.RouteDevice && plan.Kind != contract.RouteTrunk && plan.Kind != contract.RoutePoint && plan.Kind != contract.RouteGroup:
		bad = voice.TErrorf(voice.TErrUnsupported, "nothing serves %s %s yet", plan.Kind, plan.Number)
	}
	if bad != nil { // whoever asked reads it in his answer, and decides
		d.route = nil
		r.refuse(bad)
		c.notRouted(bad, r.ref, voice.StateGeneralError, false)
		return
	}
	if r.reply != nil {
		r.reply(nil)
		r.reply = nil
	}
	c.publishAt(voice.EventRouteUsed, voice.StateOk, func(e *voice.CallEvent) {
		e.ThirdPartyDN, e.ReferenceID = plan.Number, r.ref
	})
	c.hum()
	c.follow(plan)
}

// notRouted tells that a route came to nothing, and waits for another one; again asks for it.
func (c *call) notRouted(why *voice.TError, ref int64, state voice.CallState, again bool) {
	d := c.desk
	c.publishAt(voice.EventError, state, func(e *voice.CallEvent) {
		e.ReferenceID, e.ErrorCode, e.ErrorMessage = ref, why.Code, why.Message
	})
	if d.defaulted {
		c.lastWords(outcome{status: 480, reason: "the default destination of " + d.dn + " did not take the call: " + why.Message, as: voice.OutcomeNoAnswer})
		return
	}
	if again {
		c.publishAt(voice.EventRouteRequest, voice.StateOk, nil)
	}
	if d.running == nil {
		c.awaitRouter()
	}
}

// noWay is an attempt that came to nothing: the end of the call, unless it is at a route point, where it stays.
func (c *call) noWay(o outcome) {
	d := c.desk
	if d == nil || d.route == nil {
		c.fail(o)
		return
	}
	c.stopNoAnswer()
	c.cancelBranches("")
	c.leaveTrunk()
	state := stateOf(o.status, c.late)
	if c.rings != "" {
		c.publish(voice.EventReleased, callee, state, nil)
		c.rings = ""
	}
	r := d.route
	d.route = nil
	c.phase = queued
	c.notRouted(refusalOf(o, c.late), r.ref, state, true)
	c.show()
}

// refusalOf is a final status as T-Library has it.
func refusalOf(o outcome, late bool) *voice.TError {
	code := voice.TErrUnknown
	switch {
	case o.status == 486 || o.status == 600:
		code = voice.TErrBusy
	case late || o.status == 408 || o.status == 480:
		code = voice.TErrNoAnswer
	case o.status == 404 || o.status == 484 || o.status == 604:
		code = voice.TErrInvalidCalledDN
	case o.status == 403 || o.status == 603:
		code = voice.TErrRejected
	case o.status == 503:
		code = voice.TErrServiceUnavailable
	}
	return voice.TErrorf(code, "%s", reasonFor(o))
}

func reasonFor(o outcome) string {
	if o.reason != "" {
		return o.reason
	}
	return reasonOf(o)
}

// offerFrom puts the offer for a place that is called into its INVITE: what the caller offered, or from a route point ours.
func (c *call) offerFrom(req *sip.Request) error {
	switch {
	case c.origin != nil:
		if err := c.openAlone(); err != nil {
			return err
		}
		body, err := c.audio.offerAlone(callee, c.hosts[callee])
		c.autoAnswer(req)
		if err == nil {
			withSDP(req, body)
		}
		return err
	case !c.solo():
		return c.carry(caller, c.invite, req, asOffer)
	}
	if err := c.openLegs(); err != nil {
		return err
	}
	body, err := c.audio.offerBeyond(c.hosts[callee])
	if err == nil {
		withSDP(req, body)
	}
	return err
}

// takenBy is a place that took the call from its route point. The caller hears it without being asked anything; one who was not
// answered before is answered now.
func (c *call) takenBy(b *branch, e *early, res *sip.Response) {
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
		c.noWay(badMedia(err))
		return
	}
	c.stopTone()
	if d := c.desk; d != nil {
		ref := d.reference()
		c.stopTreatment(treatment.StatusCancelled)
		c.publishAt(voice.EventDiverted, voice.StateOk, func(ev *voice.CallEvent) {
			ev.ThirdPartyDN, ev.ReferenceID = c.plan.Number, ref
		})
		d.route = nil
		c.leaveQueue()
	}
	c.hearKeys()
	c.music() // for one whom the caller holds
	if c.conv.times.answer.IsZero() {
		c.conv.times.answer = c.w.now()
	}
	c.agreed(callee, res)
	c.phase = answered
	if !c.taken {
		body, asks, err := c.greeting()
		if err != nil { // not reached: he was greeted when he came
			c.fail(badMedia(err))
			return
		}
		c.accept(body, asks)
	}
	c.taken = false
	c.establishedWith(b)
	if c.repeats[caller] == nil {
		c.confirmed()
		c.settle()
	}
	c.show()
}
