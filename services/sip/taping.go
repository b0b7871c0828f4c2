package sip

import (
	"slices"

	"parley/internal/voice"
	"parley/services/sip/recording"
)

// Recording follows a conversation, not a call: whoever is in it is heard, each in the channel that he was in first. So a
// transfer needs nothing of its own. What is recorded is what the others can hear: of one who holds or is muted, nothing.

// taper is the part of recording.Tape that a conversation needs.
type taper interface {
	Hear(recording.Channel, ...recording.Party)
	Pause() error
	Resume() error
	Stop()
	Ledger() voice.RecordingLedger
}

// taping is the recording of a conversation, under way or over; options begin no other one after it.
type taping struct {
	tape    taper // nil = nothing is written now
	dn      string
	role    voice.DNRole
	left    *end           // who has the left channel
	stopped *voice.Request // that asked for the end
	then    func()         // what waits for the end
	warn    func()         // stops the timer of the next tone
}

// speaker is a party that the others hear.
type speaker struct {
	member
	end *end
}

// speakers are all that are heard in the conversation now.
func (v *conversation) speakers() (out []speaker) {
	for _, c := range v.calls {
		if c.audio == nil || !c.audio.through() || c.phase != talking && c.phase != answered && !c.taken || c.phase == over {
			continue
		}
		for s := range c.legs {
			e := c.audio.ends[s]
			if c.legs[s] != nil && e.leg != nil && !c.parked[s] && c.muted[s] == nil && !c.unheard() {
				out = append(out, speaker{member{c, side(s)}, e})
			}
		}
	}
	return out
}

func (c *call) followTape() {
	if c.conv != nil {
		c.conv.followTape()
	}
}

// followTape brings the recording up to who is in the conversation, and begins one that an option asks for. It is called after
// whatever may have changed that.
func (v *conversation) followTape() {
	t := v.taping
	if t == nil {
		if t = v.wanted(); t == nil {
			return
		}
		v.taping = t
		v.beginTape(t)
	}
	if t.tape == nil || t.then != nil {
		return
	}
	present := v.present()
	if len(present) == 0 {
		return // it is over, and ends all at once
	}
	all := v.speakers()
	if !slices.Contains(present, t.left) {
		t.left = t.newLeft(all)
	}
	var left, right []recording.Party
	for _, sp := range all {
		p := recording.Party{DN: sp.standing().dn, Voice: sp.end.leg}
		if sp.end == t.left {
			left = append(left, p)
			continue
		}
		sp.end.right = t // for good
		right = append(right, p)
	}
	t.tape.Hear(recording.Left, left...)
	t.tape.Hear(recording.Right, right...)
}

// newLeft chooses who gets the left channel: the caller, or whoever is new. One who was in the right one stays there.
func (t *taping) newLeft(all []speaker) (left *end) {
	for _, sp := range all {
		if sp.end.right != t && (left == nil || sp.s == caller) {
			left = sp.end
		}
	}
	return left
}

// present are the ends of all parties, heard or not.
func (v *conversation) present() (out []*end) {
	for _, c := range v.calls {
		if c.audio != nil && c.phase != over {
			out = append(out, c.audio.ends[caller], c.audio.ends[callee])
		}
	}
	return out
}

// wanted is a recording that the option of a party asks for; nil = none does, or nobody talks yet.
func (v *conversation) wanted() *taping {
	asks := false
	for _, c := range v.calls {
		asks = asks || c.audio != nil && (c.audio.ends[caller].device.record || c.audio.ends[callee].device.record)
	}
	if !asks {
		return nil
	}
	all := v.speakers()
	if len(all) < 2 {
		return nil
	}
	for _, sp := range all {
		if sp.end.device.record {
			st := sp.standing()
			t := &taping{dn: st.dn, role: st.role}
			if st.outside { // he has no events
				for _, o := range all {
					if st := o.standing(); !st.outside {
						t.dn, t.role = st.dn, st.role
					}
				}
			}
			return t
		}
	}
	return nil
}

// reason is what asks for the recording.
func (v *conversation) reason() string {
	trunk := false
	for _, sp := range v.speakers() {
		if sp.end.device.record {
			if !sp.standing().outside {
				return recording.ByDN
			}
			trunk = true
		}
	}
	if trunk {
		return recording.ByTrunk
	}
	return recording.ByRequest
}

// beginTape begins to record; where that cannot be, a ledger says why.
func (v *conversation) beginTape(t *taping) {
	c := v.calls[0]
	of := recording.Call{Tenant: v.id.tenant, CallUUID: v.id.uuid, ThreadID: v.thread, ConnID: v.id.conn, Reason: v.reason()}
	if r := v.request; r != nil && r.Name == voice.RequestPrivateService {
		of.Asked, of.Reason = r.User, recording.ByRequest
	}
	var err error
	t.tape, err = c.w.tape(of, func(l voice.RecordingLedger) { c.must(func() { v.taped(c, t, &l) }) })
	if err != nil {
		now := c.w.now()
		v.taped(c, t, &voice.RecordingLedger{State: recording.StateStopped, Reason: of.Reason, Start: now, Error: err.Error(), Gaps: []voice.Span{{From: now}}})
		return
	}
	v.ledger(c, t, nil)
	v.warn(t, true)
}

// taped is the end of a recording.
func (v *conversation) taped(c *call, t *taping, l *voice.RecordingLedger) {
	t.tape = nil
	if t.warn != nil {
		t.warn()
		t.warn = nil
	}
	before := v.request
	if t.stopped != nil {
		v.request, t.stopped = t.stopped, nil
	}
	v.ledger(c, t, l)
	v.request = before
	if then := t.then; then != nil {
		t.then = nil
		then()
	}
}

// ledger publishes how the recording stands; nil is as it is now.
func (v *conversation) ledger(c *call, t *taping, l *voice.RecordingLedger) {
	if c.vanished { // another node has the call, and counts its events
		return
	}
	if l == nil {
		now := t.tape.Ledger()
		l = &now
	}
	e := v.event(c.w.now(), voice.EventPrivateInfo, voice.StateOk)
	e.ThisDN, e.ThisDNRole, e.Recording = t.dn, t.role, l
	c.w.publish(e)
}

// recorded ends the recording with the conversation, whose record r is written when all events have been counted.
func (v *conversation) recorded(c *call, r *voice.CDR) {
	t := v.taping
	if t == nil || t.tape == nil {
		c.w.record(r)
		return
	}
	c.pending++ // the call stays known until its last event is told
	t.then = func() {
		r.Events = v.seq
		c.w.record(r)
		c.pending--
		c.leave()
	}
	t.tape.Stop()
}

// warn tells those who are recorded. In a conference, on hold and to one who is muted something else is played.
func (v *conversation) warn(t *taping, first bool) {
	if t.tape == nil || t.then != nil || len(v.calls) == 0 {
		return
	}
	c := v.calls[0]
	src, again := c.w.warning(v.id.tenant, first)
	for _, sp := range v.speakers() {
		if o := sp.c; src != nil && !o.inRoom && sp.end.stop == nil && o.muted[sp.s.other()] == nil {
			sp.end.leg.Play(src(), nil)
		}
	}
	if again > 0 {
		t.warn = c.w.after(again, func() { c.must(func() { v.warn(t, false) }) })
	}
}

// askPrivate controls the recording of the call.
func (c *call) askPrivate(m member, r *request) {
	v := c.conv
	t := v.taping
	running := t != nil && t.tape != nil
	var err error
	switch {
	case r.PrivateID == voice.PrivateRecordStart && running:
		r.answer(voice.TErrorf(voice.TErrAlreadyInState, "the call is recorded already"))
		return
	case r.PrivateID == voice.PrivateRecordStart:
		if c.speaks(r) {
			v.startTape(m, r)
		}
		return
	case r.PrivateID != voice.PrivateRecordStop && r.PrivateID != voice.PrivateRecordPause && r.PrivateID != voice.PrivateRecordResume:
		r.answer(voice.TErrorf(voice.TErrUnsupported, "PrivateMsgID %d is not known; recording is %d to %d", r.PrivateID, voice.PrivateRecordStart, voice.PrivateRecordResume))
		return
	case !running:
		r.answer(c.wrong("it is not recorded"))
		return
	case r.PrivateID == voice.PrivateRecordStop:
		t.stopped = r.Request
		t.tape.Stop()
		r.answer(nil)
		return
	case r.PrivateID == voice.PrivateRecordPause:
		err = t.tape.Pause()
	default:
		err = t.tape.Resume()
	}
	if err != nil {
		r.answer(voice.TErrorf(voice.TErrWrongState, "%v", err))
		return
	}
	v.byRequest(r.Request, func() { v.ledger(c, t, nil) })
	r.answer(nil)
}

// startTape is a recording by request. It fails in the answer too when it cannot begin.
func (v *conversation) startTape(m member, r *request) {
	st := m.standing()
	v.taping = &taping{dn: st.dn, role: st.role}
	v.byRequest(r.Request, func() { v.beginTape(v.taping) })
	if v.taping.tape == nil {
		r.answer(voice.TErrorf(voice.TErrResourceUnavailable, "the call cannot be recorded; the event says why"))
		return
	}
	v.followTape()
	r.answer(nil)
}
