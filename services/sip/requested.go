package sip

import (
	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/voice"
)

// What requests do to a party and to the data of a call.

// askAnswer has the phone of a party answer that can be told to (NOTIFY with Event: talk, which phones of several makes know).
func (c *call) askAnswer(m member, r *request) {
	if m.s != callee || c.phase != alerting {
		r.answer(c.wrong("it does not ring at " + r.ThisDN))
		return
	}
	if !c.w.talks(c.id.tenant, r.ThisDN) {
		r.answer(voice.TErrorf(voice.TErrUnsupported, "the phone of %.64s cannot be told to answer (option sip-cti-control)", r.ThisDN))
		return
	}
	told := false
	for _, b := range c.branches[c.current:] {
		if b.final || b.given || !b.rings || b.leg.peerTag == "" {
			continue
		}
		req := b.leg.request(sip.NOTIFY, c.w.id(), maxHops)
		req.AppendHeader(sip.NewHeader("Event", "talk"))
		req.AppendHeader(sip.NewHeader("Subscription-State", "active"))
		req.SetBody(nil)
		c.ask(b.leg, req, func(*sip.Response, error) {})
		told = true
		break // the first that rings
	}
	if !told {
		r.answer(c.wrong("no phone of " + r.ThisDN + " has said that it rings"))
		return
	}
	r.answer(nil)
}

// mute has the others not hear what side s says.
func (c *call) mute(s side) error {
	if c.muted[s] != nil {
		return nil
	}
	if c.inRoom {
		on := true
		if err := c.w.changeRoom(contract.ChangeConferenceRequest{Tenant: c.id.tenant, Participant: c.participant(s), Muted: &on}); err != nil {
			return err
		}
		c.muted[s] = func() {
			off := false
			_ = c.w.changeRoom(contract.ChangeConferenceRequest{Tenant: c.id.tenant, Participant: c.participant(s), Muted: &off}) // who is not there is not muted
		}
		return nil
	}
	c.muted[s] = c.audio.ends[s.other()].leg.Play(c.w.tone(c.id.tenant, voice.TreatmentSilence), nil)
	return nil
}

func (c *call) unmute(s side) {
	if c.muted[s] != nil {
		c.muted[s]()
		c.muted[s] = nil
		if c.inRoom { // it may have been muted before it came there
			off := false
			_ = c.w.changeRoom(contract.ChangeConferenceRequest{Tenant: c.id.tenant, Participant: c.participant(s), Muted: &off}) // who is not there is not muted
		}
	}
}

// muteAgain has those who were muted in a room not be heard after it either.
func (c *call) muteAgain() {
	for _, s := range []side{caller, callee} {
		if c.muted[s] != nil && c.phase == talking {
			c.muted[s]()
			c.muted[s] = nil
			_ = c.mute(s) // of two who are in no room nothing can be in the way
		}
	}
}

// participant is a side as the room of the call knows it.
func (c *call) participant(s side) string {
	if s == callee {
		return contract.CalleeOf(c.id.uuid)
	}
	return c.id.uuid
}

// speaks tells whether something can be done about what the parties hear.
func (c *call) speaks(r *request) bool {
	switch {
	case c.phase != talking && !c.inRoom:
		r.answer(c.wrong("nobody talks"))
	case c.audio == nil || !c.audio.through():
		r.answer(errDirect())
	default:
		return true
	}
	return false
}

func (c *call) askMute(m member, r *request) {
	switch {
	case c.watches != nil && c.inRoom:
		c.switchMode(m, r, modeMute, voice.EventMuteOn)
	case c.muted[m.s] != nil:
		r.answer(voice.TErrorf(voice.TErrAlreadyInState, "%.64s is muted already", r.ThisDN))
	case c.parked[caller] || c.parked[callee]:
		r.answer(c.wrong("it is on hold"))
	case c.speaks(r):
		if err := c.mute(m.s); err != nil {
			r.answer(voice.TErrorf(voice.TErrWrongState, "%v", err))
			return
		}
		c.followTape()
		c.byRequest(r.Request, func() { c.publish(voice.EventMuteOn, m.s, voice.StateOk, nil) })
		r.answer(nil)
	}
}

func (c *call) askUnmute(m member, r *request) {
	if c.watches != nil && c.inRoom {
		mode := modeConnect
		if r.Extensions.Text(voice.ExtMonitorMode) == modeCoach {
			mode = modeCoach
		}
		c.switchMode(m, r, mode, voice.EventMuteOff)
		return
	}
	if c.muted[m.s] == nil {
		r.answer(voice.TErrorf(voice.TErrAlreadyInState, "%.64s is not muted", r.ThisDN))
		return
	}
	c.unmute(m.s)
	c.followTape()
	c.byRequest(r.Request, func() { c.publish(voice.EventMuteOff, m.s, voice.StateOk, nil) })
	r.answer(nil)
}

// askDeafen has a party not hear the others.
func (c *call) askDeafen(_ member, r *request) { c.listening(r, false) }

// askHear has it hear them again.
func (c *call) askHear(_ member, r *request) { c.listening(r, true) }

func (c *call) listening(r *request, on bool) {
	who := r.ThirdPartyDN
	if who == "" {
		who = r.ThisDN
	}
	m, ok := c.conv.member(who)
	if !ok {
		r.answer(voice.TErrorf(voice.TErrTargetInvalid, "%.64q is no party of the call", who))
		return
	}
	c = m.c
	if !c.speaks(r) {
		return
	}
	name := voice.EventListenDisconnected
	if on {
		name = voice.EventListenReconnected
	}
	deaf := !on
	switch {
	case c.inRoom:
		if err := c.w.changeRoom(contract.ChangeConferenceRequest{Tenant: c.id.tenant, Participant: c.participant(m.s), Deaf: &deaf}); err != nil {
			r.answer(voice.TErrorf(voice.TErrWrongState, "%v", err))
			return
		}
	case on == (c.muted[m.s.other()] == nil):
		r.answer(voice.TErrorf(voice.TErrAlreadyInState, "%.64s hears as it should already", who))
		return
	case on:
		c.unmute(m.s.other())
	default: // of two, the one does not hear what the other one says
		_ = c.mute(m.s.other()) // in no room, where nothing can be in the way
	}
	c.followTape()
	c.byRequest(r.Request, func() { c.publish(name, m.s, voice.StateOk, func(e *voice.CallEvent) { e.ThirdPartyDN = who }) })
	r.answer(nil)
}

const maxUserData = 32 << 10 // bytes of a call's user data, roughly

// askAttach changes the user data, all or nothing.
func (c *call) askAttach(_ member, r *request) {
	v := c.conv
	if r.Version != 0 && r.Version != v.version {
		r.answer(voice.TErrorf(voice.TErrWrongState, "the user data is at version %d, not %d", v.version, r.Version))
		return
	}
	var drop []string
	add, anew := r.UserData, false
	switch r.Name {
	case voice.RequestDeletePair:
		if !v.data.Has(r.Key) {
			r.answer(voice.TErrorf(voice.TErrInvalidValue, "the user data has no %.64q", r.Key))
			return
		}
		drop, add = []string{r.Key}, nil
	case voice.RequestDeleteUserData:
		anew, add = true, nil
	default:
		if len(add) == 0 {
			r.answer(voice.TErrorf(voice.TErrBadParameter, "UserData is missing"))
			return
		}
	}
	if size(v.data)+size(add) > maxUserData {
		r.answer(voice.TErrorf(voice.TErrInvalidValue, "a call has at most %d bytes of user data", maxUserData))
		return
	}
	v.attach(add, drop, anew)
	v.byRequest(r.Request, v.tellData)
	r.reply(&contract.RequestAnswer{ReferenceID: r.ReferenceID, ConnID: v.id.conn, CallUUID: v.id.uuid, Call: v.view()})
}

// tellData tells every party of the user data, and the route point the call is at.
func (v *conversation) tellData() {
	told := false
	for _, c := range v.calls {
		if c.desk != nil {
			c.publishAt(voice.EventAttachedDataChanged, voice.StateOk, nil)
			told = true
		}
	}
	for _, m := range v.members() {
		if !m.silent() {
			m.c.publish(voice.EventAttachedDataChanged, m.s, voice.StateOk, nil)
			told = true
		}
	}
	if !told && len(v.calls) > 0 { // one party is beyond a trunk and the other not known yet: those who follow calls want to know all the same
		c := v.calls[0]
		e := c.event(voice.EventAttachedDataChanged, voice.StateOk)
		st := c.standing(caller)
		e.ThisDN, e.ThisDNRole, e.ThisTrunk = st.dn, st.role, st.trunk
		c.w.publish(e)
	}
}

func size(l voice.KVList) (n int) {
	for k, v := range l {
		n += len(k)
		switch v := v.(type) {
		case string:
			n += len(v)
		case voice.KVList:
			n += size(v)
		default:
			n += 8
		}
	}
	return n
}

// askCallInfo changes what may be changed of a call: who it says that calls.
func (c *call) askCallInfo(_ member, r *request) {
	v := c.conv
	ani := r.Extensions.Text("ANI")
	if ani == "" || len(ani) > 64 {
		r.answer(voice.TErrorf(voice.TErrBadParameter, "the extension ANI is missing: nothing else of a call can be set"))
		return
	}
	v.caller.shown = clean(ani)
	v.byRequest(r.Request, func() { v.tell(voice.EventCallInfoChanged, voice.StateOk, nil) })
	r.answer(nil)
}

func (c *call) askQuery(_ member, r *request) {
	r.reply(&contract.RequestAnswer{ReferenceID: r.ReferenceID, ConnID: c.conv.id.conn, CallUUID: c.conv.id.uuid, Call: c.conv.view()})
}

// atDesk finds the call of the conversation that is at a route point.
func (c *call) atDesk() *call {
	for _, o := range c.conv.calls {
		if o.desk != nil {
			return o
		}
	}
	return c
}

func (c *call) askRoute(_ member, r *request) {
	c = c.atDesk()
	if e := c.notAt(r.ThisDN); e != nil {
		r.answer(e)
		return
	}
	if len(r.UserData) > 0 {
		c.conv.attach(r.UserData, nil, false)
		c.conv.byRequest(r.Request, c.conv.tellData)
	}
	switch r.RouteType {
	case voice.RouteReject, voice.RouteDisconnect:
		c.fail(outcome{status: 480, reason: "rejected by the router", as: voice.OutcomeRejected})
		r.answer(nil)
	case voice.RouteDefault:
		if c.desk.options.DefaultDN == "" {
			r.answer(voice.TErrorf(voice.TErrInvalidCalledDN, "route point %s has no default destination", c.desk.dn))
			return
		}
		c.routeCall(c.desk.options.DefaultDN, r.ReferenceID, r.answer)
	case voice.RouteUnknown, voice.RouteDirect:
		c.routeCall(r.OtherDN, r.ReferenceID, r.answer)
	default:
		r.answer(voice.TErrorf(voice.TErrUnsupported, "route type %d is not supported", r.RouteType))
	}
}

func (c *call) askTreatment(_ member, r *request) {
	c = c.atDesk()
	if e := c.notAt(r.ThisDN); e != nil {
		r.answer(e)
		return
	}
	r.answer(c.treat(r.TreatmentType, r.TreatmentParameters, r.ReferenceID))
}
