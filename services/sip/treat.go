package sip

import (
	"strings"
	"time"

	sound "parley/internal/media/audio"
	"parley/internal/voice"
	"parley/services/sip/treatment"
)

// running is a treatment that a caller has.
type running struct {
	plan    *treatment.Plan
	params  voice.KVList // that plan was read from
	ref     int64
	sources []sound.Source // of plan.Say
	piece   int            // the one being heard; len(sources) = none is left
	cut     bool           // a key ended the announcement
	collect *treatment.Collector
	timer   func()
	stop    func() // ends what is heard
	tape    *tape
	deaf    func()           // ends listening for the tape
	status  treatment.Status // of the recording, when it was ended from here
}

// maxKeys bounds the keys that wait for somebody who asks for them.
const maxKeys = 64

// halt ends what the treatment does. gone: the caller has left, and what he recorded is of no use.
func (r *running) halt(gone bool) {
	for _, f := range []*func(){&r.timer, &r.stop, &r.deaf} {
		if *f != nil {
			(*f)()
			*f = nil
		}
	}
	if gone && r.tape != nil {
		r.tape.stop(false)
	}
}

// treat applies a treatment in place of the one that runs, or says why not.
func (c *call) treat(t voice.TreatmentType, params voice.KVList, ref int64) *voice.TError {
	c.w.count(countedTreatment, c.id.tenant)
	plan, bad := treatment.Parse(t, params)
	var r *running
	if bad == nil {
		r, bad = c.prepare(plan, ref)
	}
	if bad != nil {
		c.w.count(countedNotApplied, c.id.tenant)
		c.treatmentEvent(voice.EventTreatmentNotApplied, t, ref, func(e *voice.CallEvent) {
			e.ErrorCode, e.ErrorMessage = bad.Code, bad.Message
		})
		return bad
	}
	d := c.desk
	c.stopTreatment(treatment.StatusCancelled)
	c.quitRoom()
	d.stopPatience()
	d.stopHum()
	if plan.Clear {
		d.keys = nil
	}
	r.params = params
	d.running = r
	c.treatmentEvent(voice.EventTreatmentApplied, t, ref, nil)
	c.begins(r)
	return nil
}

// begins lets the caller hear a treatment from its beginning.
func (c *call) begins(r *running) {
	c.desk.running = r
	defer c.show()
	switch t := r.plan.Type; {
	case t == voice.TreatmentCancelCall:
		c.fail(outcome{status: 480, reason: "ended by a treatment", as: voice.OutcomeRejected})
	case len(r.sources) > 0 && r.plan.Say == nil:
		c.sounds(r)
	default:
		c.sayNext(r)
	}
}

// prepare opens all that will be heard, so that what is missing is known before anything begins.
func (c *call) prepare(plan *treatment.Plan, ref int64) (*running, *voice.TError) {
	r := &running{plan: plan, ref: ref}
	add := func(src sound.Source, err error) *voice.TError {
		if err != nil {
			return voice.TErrorf(voice.TErrResourceUnavailable, "%v", err)
		}
		r.sources = append(r.sources, src)
		return nil
	}
	switch plan.Type {
	case voice.TreatmentMusic:
		return r, add(c.w.musicNamed(c.id.tenant, plan.Language, plan.Music))
	case voice.TreatmentRingBack, voice.TreatmentSilence, voice.TreatmentBusy, voice.TreatmentFastBusy:
		return r, add(c.w.tone(c.id.tenant, plan.Type), nil)
	}
	for i := range plan.Say {
		if bad := add(c.w.piece(c.id.tenant, plan.Language, &plan.Say[i])); bad != nil {
			return nil, bad
		}
	}
	if rec := plan.Record; rec != nil {
		if err := c.w.mayRecord(c.id.tenant, rec.User); err != nil {
			return nil, voice.TErrorf(voice.TErrResourceUnavailable, "%v", err)
		}
	}
	return r, nil
}

// treatmentEvent tells of a treatment.
func (c *call) treatmentEvent(name voice.EventName, t voice.TreatmentType, ref int64, more func(*voice.CallEvent)) {
	c.publishAt(name, voice.StateOk, func(e *voice.CallEvent) {
		e.TreatmentType, e.ReferenceID, e.CustomerID = t, ref, c.id.tenant
		if more != nil {
			more(e)
		}
	})
}

// stopTreatment ends the treatment that runs; one that lasts until the next ends without a word.
func (c *call) stopTreatment(status treatment.Status) {
	r := c.desk.running
	switch {
	case r == nil:
	case r.plan.Continuous():
		c.desk.running = nil
		r.halt(true)
	default:
		if r.collect != nil {
			r.collect.Cancel()
		}
		c.treated(r, status, nil)
	}
}

// sounds plays music or a tone.
func (c *call) sounds(r *running) {
	r.stop = c.playAlone(r.sources[0], func(error) { c.treated(r, treatment.StatusFailed, nil) })
	if r.plan.Duration > 0 {
		c.timed(r, r.plan.Duration, func() { c.treated(r, treatment.StatusNormal, nil) })
	}
}

// timed sets the one timer of a treatment.
func (c *call) timed(r *running, d time.Duration, fn func()) {
	if r.timer != nil {
		r.timer()
	}
	r.timer = c.w.after(d, func() {
		c.must(func() {
			if c.runs(r) {
				fn()
			}
		})
	})
}

// runs tells whether r is the treatment at hand.
func (c *call) runs(r *running) bool { return c.desk != nil && c.desk.running == r }

// sayNext plays the next piece of an announcement, and goes on with what follows the last. Keys that were pressed ahead of a
// collection spare the caller what he need not hear.
func (c *call) sayNext(r *running) {
	if r.plan.Collect != nil && len(c.desk.keys) > 0 {
		c.skip(r)
	}
	if r.piece == len(r.sources) {
		c.said(r)
		return
	}
	at := r.piece
	r.stop = c.playAlone(r.sources[at], func(err error) {
		switch {
		case !c.runs(r) || r.piece != at:
		case err != nil:
			c.treated(r, treatment.StatusFailed, nil)
		default:
			r.piece++
			c.sayNext(r)
		}
	})
}

// skip passes over the pieces that a key ends.
func (c *call) skip(r *running) bool {
	next, ok := r.plan.Interruptable(r.piece)
	if ok {
		r.piece, r.cut = next, true
	}
	return ok
}

// said is the end of an announcement, or a treatment without one.
func (c *call) said(r *running) {
	switch {
	case r.plan.Record != nil:
		r.stop = c.playAlone(c.w.beep(), func(error) { c.recordUser(r) })
	case r.plan.Collect == nil:
		c.treated(r, treatment.StatusNormal, nil)
	default:
		r.collect = treatment.NewCollector(*r.plan.Collect, c.w.now())
		d := c.desk
		for len(d.keys) > 0 && !r.collect.Done() {
			key := d.keys[0]
			d.keys = d.keys[1:]
			r.collect.Press(key, c.w.now())
		}
		c.collecting(r)
	}
}

// collecting goes on with a collection, or ends it.
func (c *call) collecting(r *running) {
	if r.collect.Done() {
		c.treated(r, r.collect.Status(), nil)
		return
	}
	if at, ok := r.collect.Deadline(); ok {
		c.timed(r, at.Sub(c.w.now()), func() {
			r.collect.Expire(c.w.now())
			c.collecting(r)
		})
	}
}

// key is a key that the caller pressed.
func (c *call) key(key byte) {
	d := c.desk
	if d == nil || d.ending || !treatment.IsKey(key) {
		return
	}
	r := d.running
	switch {
	case r != nil && r.collect != nil:
		r.collect.Press(key, c.w.now())
		c.collecting(r)
		return
	case r != nil && r.tape != nil:
		c.tapeKey(r, key)
		return
	case len(d.keys) < maxKeys:
		d.keys = append(d.keys, key)
	}
	if r != nil && r.plan.Say != nil && c.skip(r) {
		r.stop()
		c.sayNext(r)
	}
}

// recordUser records what the caller says, until a key, or the time he has.
func (c *call) recordUser(r *running) {
	rec := r.plan.Record
	var err error
	r.tape, err = c.w.tapeUser(c.id.tenant, rec, func(length time.Duration, spoken bool, err error) {
		c.must(func() { c.recorded(r, length, spoken, err) })
	})
	if err != nil {
		c.treated(r, treatment.StatusFailed, voice.KVList{"REASON": err.Error()})
		return
	}
	r.deaf = c.audio.ends[caller].leg.Listen(r.tape.sink)
}

// tapeKey is a key while the caller records.
func (c *call) tapeKey(r *running, key byte) {
	rec := r.plan.Record
	switch {
	case r.status != "": // it is ending
	case strings.IndexByte(rec.Abort, key) >= 0:
		r.status = treatment.StatusAborted
		r.tape.stop(false)
	case strings.IndexByte(rec.Term, key) >= 0:
		r.status = treatment.StatusNormal
		r.tape.stop(true)
	}
}

// recorded is the end of a recording: its file is complete, or gone.
func (c *call) recorded(r *running, length time.Duration, kept bool, err error) {
	if !c.runs(r) {
		return
	}
	status := r.status
	switch {
	case err != nil:
		status = treatment.StatusFailed
	case status == "": // nobody pressed a key
		status = treatment.StatusTimeout
	}
	ext := voice.KVList{treatment.KeyUser: r.plan.Record.User}
	if err == nil && kept && status != treatment.StatusAborted {
		ext[treatment.KeyAnnouncement] = r.tape.id
		ext[treatment.KeyLength] = int64((length + time.Second/2) / time.Second)
	}
	r.tape = nil
	c.treated(r, status, ext)
}

// treated is the end of a treatment.
func (c *call) treated(r *running, status treatment.Status, ext voice.KVList) {
	if !c.runs(r) {
		return
	}
	c.desk.running = nil
	r.halt(true)
	if ext == nil {
		ext = voice.KVList{}
	}
	ext[treatment.KeyCompletion] = string(status)
	if len(r.plan.Say) > 0 {
		ext[treatment.KeyInterrupted] = treatment.InterruptedNo
		if r.cut {
			ext[treatment.KeyInterrupted] = treatment.InterruptedKeypad
		}
	}
	c.treatmentEvent(voice.EventTreatmentEnd, r.plan.Type, r.ref, func(e *voice.CallEvent) {
		e.Extensions = ext
		if r.collect != nil {
			e.CollectedDigits, e.LastCollectedDigit = r.collect.Digits(), r.collect.Last()
		}
	})
	switch {
	case c.desk.route != nil: // he hears that it rings somewhere
		c.hum()
	case !c.desk.ending:
		c.awaitRouter()
	}
	c.show()
}
