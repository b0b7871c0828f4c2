package sip

import (
	"cmp"
	"errors"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	sound "parley/internal/media/audio"
	"parley/internal/media/dtmf"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/treatment"
)

// A call that the dial plan sends to a route point waits there (phase queued) until somebody routes it. It is answered at
// once, or kept unanswered with early media, as an option of the route point says. Treatments say what the caller hears
// (treat.go); [call.routeCall] gets the call on (routed.go). A caller whom nobody treats or routes in time goes to the
// default destination, or hears that he cannot be helped: he is never left in silence.

// desk is a call at a route point.
type desk struct {
	dn        string
	options   voice.RoutePointOptions
	since     time.Time
	patience  func()   // stops the wait for a router; nil = nobody waits
	keys      []byte   // pressed, and not asked for yet
	running   *running // treatment; nil = none
	hum       func()   // ends the tone that is heard before any treatment; nil = there is none
	route     *route   // to where it is on its way; nil = nowhere
	defaulted bool     // the default destination was tried
	ending    bool     // the caller hears why the call ends
}

// enterQueue brings the call to the route point that the dial plan named.
func (c *call) enterQueue() {
	o, _ := voice.ParseRoutePointOptions(c.plan.Options) // they were checked when they were written
	c.phase, c.conv.queue = queued, c.plan.Number
	if err := c.greet(o.Answer); err != nil {
		c.fail(badMedia(err))
		return
	}
	c.desk = &desk{dn: c.plan.Number, options: o, since: c.w.now()}
	c.publishAt(voice.EventQueued, voice.StateOk, nil)
	c.publishAt(voice.EventRouteRequest, voice.StateOk, nil)
	c.hearKeys()
	c.hum()
	c.awaitRouter()
}

// greet tells the caller where he is heard: with the answer to his call, or before it. One who offered nothing and takes no
// reliable responses (RFC 3262 §5) has no other way than to be answered.
func (c *call) greet(how voice.AnswerMode) error {
	if c.taken || c.deal == dealSettled && how == voice.AnswerEarly {
		return c.openAlone()
	}
	body, asks, err := c.greeting()
	if err != nil {
		return err
	}
	if how == voice.AnswerEarly && (!asks || c.rel.bodies) {
		out := c.legs[caller].respond(c.invite, 183, "Session Progress")
		withSDP(out, body)
		var answered func(*sip.Request) error
		if asks {
			answered = func(req *sip.Request) error { return c.heardAlone(req) }
		}
		c.announce(out, answered)
		c.stayAlive(183, "Session Progress")
		return nil
	}
	c.rel.wait = nil
	c.rel.then = func() { c.accept(body, asks); c.taken = true; c.show() }
	c.announceNext()
	return nil
}

// accept answers the caller's INVITE, with a description unless a reliable response had one.
func (c *call) accept(body []byte, asks bool) {
	out := c.legs[caller].respond(c.invite, 200, "OK")
	if c.deal != dealSettled {
		withSDP(out, body)
	}
	c.stopAlive()
	c.rel.halt()
	c.awaited = asks
	c.grant(caller, c.invite, out)
	c.repeat2xx(caller, c.tx, out, func() { c.hangUp("the caller's phone did not confirm the call", "system", outcome{status: 200}) })
}

// publishAt sends an event about the route point, which is the party it is about.
func (c *call) publishAt(name voice.EventName, state voice.CallState, more func(*voice.CallEvent)) {
	e := c.event(name, state)
	e.ThisDN, e.ThisDNRole, e.ThisQueue = c.desk.dn, voice.RoleDestination, c.desk.dn
	e.OtherDN, e.OtherDNRole = c.from.shown, voice.RoleOrigination
	e.ThisTrunk = c.from.trunk
	if more != nil {
		more(e)
	}
	c.w.publish(e)
}

// playAlone lets the caller hear src instead of what he heard before. done is told in the mailbox when it ended, or why it
// could not go on; not when it was stopped.
func (c *call) playAlone(src sound.Source, done func(error)) (stop func()) {
	stopped := false
	halt := c.audio.ends[caller].leg.Play(src, func(err error) {
		c.must(func() {
			if !stopped && done != nil && c.phase != over {
				done(err)
			}
		})
	})
	return func() {
		if !stopped {
			stopped = true
			halt()
		}
	}
}

// hum lets the caller hear ring-back while nobody has said what he shall hear.
func (c *call) hum() {
	if d := c.desk; d.hum == nil && d.running == nil && !d.ending && !c.inRoom {
		if src := c.w.tone(c.id.tenant, voice.TreatmentRingBack); src != nil {
			d.hum = c.playAlone(src, nil)
		}
	}
}

func (d *desk) stopHum() {
	if d.hum != nil {
		d.hum()
		d.hum = nil
	}
}

// awaitRouter begins to wait for somebody who says what is to become of the call.
func (c *call) awaitRouter() {
	d := c.desk
	d.stopPatience()
	if c.inRoom { // he has company
		return
	}
	d.patience = c.w.after(d.options.RouterTimeout, func() {
		c.must(func() {
			if c.desk == d && c.phase == queued && d.patience != nil {
				d.patience = nil
				c.unrouted()
			}
		})
	})
}

func (d *desk) stopPatience() {
	if d.patience != nil {
		d.patience()
		d.patience = nil
	}
}

// unrouted is a call that nobody routed in time.
func (c *call) unrouted() {
	d := c.desk
	c.w.count(countedTimeout, c.id.tenant)
	if d.options.DefaultDN == "" || d.defaulted {
		c.lastWords(outcome{status: 480, reason: "nobody routed the call at " + d.dn})
		return
	}
	d.defaulted = true
	c.w.count(countedDefault, c.id.tenant)
	c.routeTo(d.options.DefaultDN, 0, func(*voice.TError) {})
}

// longestWords is how long the last words may take; a phone that holds would not let them end.
const longestWords = 20 * time.Second

// lastWords tells the caller that his call comes to nothing, and ends it.
func (c *call) lastWords(o outcome) {
	d := c.desk
	c.stopTreatment(treatment.StatusCancelled)
	c.quitRoom()
	d.stopPatience()
	d.ending = true
	end := func(error) {
		if c.desk == d {
			d.stopHum()
			c.fail(o)
		}
	}
	src, err := c.w.sorry(c.id.tenant)
	if err != nil {
		end(err)
		return
	}
	d.stopHum()
	d.hum = c.playAlone(src, end)
	d.patience = c.w.after(longestWords, func() { c.must(func() { end(nil) }) })
}

// leaveQueue ends what belongs to the route point, for a call that goes on or is over.
func (c *call) leaveQueue() {
	d := c.desk
	if d == nil {
		return
	}
	c.quitRoom()
	d.stopPatience()
	d.stopHum()
	if r := d.running; r != nil {
		d.running = nil
		r.halt(true)
	}
	if d.route != nil {
		d.route.refuse(voice.TErrorf(voice.TErrInvalidConnID, "the call is over"))
	}
	c.conv.waited += c.w.now().Sub(d.since)
	c.desk = nil
}

// leftQueue tells of a call that ends at the route point: state is StateOk when the caller gave up.
func (c *call) leftQueue(state voice.CallState) {
	if c.desk == nil {
		return
	}
	c.publishAt(voice.EventAbandoned, state, nil)
	c.leaveQueue()
}

// toQueue sends a call that is at a route point to another one.
func (c *call) toQueue() {
	if d := c.desk; d != nil {
		c.forwards++
		c.stopTreatment(treatment.StatusCancelled)
		c.publishAt(voice.EventDiverted, voice.StateOk, func(e *voice.CallEvent) {
			e.ThirdPartyDN, e.ReferenceID = c.plan.Number, d.reference()
		})
		d.route = nil
		c.leaveQueue()
	}
	c.enterQueue()
}

func (d *desk) reference() int64 {
	if d.route == nil {
		return 0
	}
	return d.route.ref
}

// info is a request of the caller that may tell of a key.
func (c *call) info(l *leg, req *sip.Request, tx sipua.ServerTx) {
	if len(req.Body()) == 0 { // a sign of life (RFC 2976 §2.2)
		tx.Respond(l.respond(req, 200, "OK"))
		return
	}
	d, err := dtmf.ParseInfo(header(req, "Content-Type"), req.Body())
	if err != nil && !errors.Is(err, dtmf.ErrContentType) {
		tx.Respond(l.respond(req, 400, "Bad Request"))
		return
	}
	if err != nil {
		res := l.respond(req, 415, "Unsupported Media Type")
		res.AppendHeader(sip.NewHeader("Accept", acceptedInfo))
		tx.Respond(res)
		return
	}
	tx.Respond(l.respond(req, 200, "OK"))
	if c.audio != nil && c.audio.through() {
		c.audio.ends[caller].leg.Told(d)
	}
}

// acceptedInfo are the bodies of INFO that are understood.
const acceptedInfo = dtmf.InfoRelay + ", " + dtmf.InfoPlain

// queueView adds what is to be seen of a call at a route point.
func (c *call) queueView(v *contract.LiveCall) {
	if d := c.desk; d != nil {
		v.Queue = d.dn
		if d.running != nil {
			v.Treatment = d.running.plan.Type.String()
		}
	}
	v.ConnID = c.conv.id.conn
}

// queueRecord adds to the record what happened at route points. o is how the call ended.
func (c *call) queueRecord(r *voice.CDR, o outcome) {
	r.RoutePoint, r.Queued = c.conv.queue, c.conv.waited
	if c.conv.queue == "" || !c.conv.times.answer.IsZero() {
		return
	}
	if o.status == 200 {
		r.Outcome = voice.OutcomeFailed
	}
	r.Outcome = cmp.Or(o.as, r.Outcome)
}
