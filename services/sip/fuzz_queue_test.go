package sip

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/media/prompt"
	"parley/internal/voice"
	"parley/services/sip/room"
)

// What may happen to a call at a route point: see [chaos.queueStep].
const queueKinds = 9

// queueScript is a script about a route point that gets further than one of bytes by chance alone.
func queueScript(r *rand.Rand) []byte {
	const chance = -1
	pieces := [][]int{
		{4, 0}, // ACK
		{13, chance},
		{13, 6, 16, 0, 15, 11}, // recorded until #
		{13, 5, 16, 0, 15, chance},
		{14, chance},
		{14, 0, 21, 21, 0, 1, 0, 0, 0},    // rings
		{14, 0, 21, 21, 0, 3, 0, 0, 0, 0}, // is answered
		{14, 1, 21, 21, 0, 3, 0, 3, 0, 0}, // with a codec that nobody has
		{14, 0, 21, 21, 0, 11, 0, 0, 0},   // is busy
		{0, 3, 0, 0, 0, 0},                // what was asked last is granted
		{15, chance}, {16, chance}, {17, chance, chance}, {18, chance}, {19}, {20, chance}, {21}, {10, 2}, {10, chance},
		{8, chance, chance}, {9, chance, chance, chance}, {chance, chance, chance},
	}
	script := []byte{128 | byte(r.Uint32()), byte(r.Uint32())}
	for range 2 + r.IntN(20) {
		for _, b := range pieces[r.IntN(len(pieces))] {
			if b == chance {
				b = int(r.Uint32())
			}
			script = append(script, byte(b))
		}
	}
	return script
}

// atQueue makes 9000 and 9001 route points. how is their options, and where 9001 leads.
func (c *chaos) atQueue(how int) {
	options := map[string]string{"router-timeout": "20"}
	if how&1 != 0 {
		options["default-dn"] = []string{"1002", "1003", "9001", "1099"}[how>>4&3]
	}
	if how&2 != 0 {
		options["answer"] = "early"
	}
	if how&4 != 0 {
		c.missing = "nothing"
	}
	c.queueing(options)
	c.plans["9001"] = &contract.ResolveResponse{Kind: contract.RoutePoint, Number: "9001", Options: map[string]string{"answer": "early"}}
	if how&8 != 0 { // a phone that is called does not take it, and there the call waits again
		c.plans["1002"].OnBusy, c.plans["1002"].OnNoAnswer = "9001", "9000"
	}
	c.slow = how&64 != 0
	prompts, err := prompt.New("", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.rooms = room.New(room.Options{Node: "n1", Prompts: prompts, Registry: prometheus.NewRegistry()})
}

// treatments are those that a script may ask for.
var treatments = []struct {
	typ    voice.TreatmentType
	params func() voice.KVList
}{
	{voice.TreatmentSilence, func() voice.KVList { return voice.KVList{"DURATION": 3} }},
	{voice.TreatmentMusic, func() voice.KVList { return nil }},
	{voice.TreatmentBusy, func() voice.KVList { return nil }},
	{voice.TreatmentCollectDigits, func() voice.KVList { return voice.KVList{"MAX_DIGITS": 2, "TERM_DIGITS": "#", "ABORT_DIGITS": "*"} }},
	{voice.TreatmentPlayAnnouncement, func() voice.KVList { return prompts("a", "b") }},
	{voice.TreatmentPlayAnnouncementAndDigits, func() voice.KVList { return with(prompts("a", "b", "c"), "MAX_DIGITS", 3) }},
	{voice.TreatmentRecordUserAnnouncement, func() voice.KVList {
		return voice.KVList{"USER_ID": "anna", "TERM_DIGITS": "#", "ABORT_DIGITS": "*"}
	}},
	{voice.TreatmentPlayAnnouncement, func() voice.KVList { return prompts("a", "nothing") }},
	{voice.TreatmentRecordUserAnnouncement, func() voice.KVList { return voice.KVList{"USER_ID": "nothing"} }},
	{voice.TreatmentTextToSpeech, func() voice.KVList { return nil }},
	{voice.TreatmentCancelCall, func() voice.KVList { return nil }},
}

// queueStep is one thing that happens to a call at a route point, or that was there.
func (c *chaos) queueStep(op int) {
	switch op {
	case 0:
		t := treatments[c.next()%len(treatments)]
		c.treat(t.typ, int64(c.ids), t.params())
	case 1:
		c.routesAnyhow([]string{"1002", "1003", "9001", "1099", "9000", ""}[c.next()%6])
	case 2:
		if c.press != nil {
			c.keys(string("0123456789*#ABCD"[c.next()%16]))
		}
	case 3:
		c.hearsOut()
	case 4:
		if done := c.taping; done != nil {
			c.taping = nil
			var err error
			if c.next()%4 == 0 {
				err = errors.New("the disk is full")
			}
			done(time.Duration(c.next())*time.Second/8, c.keep, err)
			c.settle()
		}
	case 5:
		req := &contract.JoinConferenceRequest{Tenant: c.c.id.tenant, CallUUID: c.c.id.uuid, Room: []string{"r", "s", "no room!"}[c.next()%3]}
		c.line("router", "node", "into the conference "+req.Room)
		c.c.must(func() { _ = c.c.joinRoom(req) }) // an error for whoever asked
		c.settle()
	case 6:
		c.line("router", "node", "out of the conference")
		c.c.must(func() {
			if c.c.inRoom {
				c.c.leaveRoom()
			}
		})
		c.settle()
	case 7:
		if c.cseq++; c.dialogs["call-a"] != nil {
			c.callerSaysBody("INFO", c.cseq, []string{"Signal=5\r\nDuration=160\r\n", "Signal=flash", "7"}[c.next()%3], "Content-Type: application/dtmf-relay")
		}
	case 8:
		c.answers()
	}
}

// answers is the answer of another service that the call waits for; false when there is none.
func (c *chaos) answers() bool {
	if len(c.waits) == 0 {
		return false
	}
	do := c.waits[0]
	c.waits = c.waits[1:]
	do()
	c.settle()
	return true
}

// routesAnyhow asks for a route, as the door does: only for a call at a route point.
func (c *chaos) routesAnyhow(number string) {
	c.line("router", "node", "route to "+number)
	c.c.must(func() {
		if c.c.notAt("") == nil {
			c.owed++
			c.c.routeCall(number, 1, func(e *voice.TError) { c.owed--; c.answered(e) })
		}
	})
	c.settle()
}

// hearsOut lets a sound end, in an error now and then.
func (c *chaos) hearsOut() {
	p := c.playing
	if p == nil {
		return
	}
	c.playing = nil
	c.line("node", "1001", "end of "+p.name)
	var err error
	if c.next()%8 == 7 {
		err = errors.New("the peer is gone")
	}
	p.done(err)
	c.settle()
}

// leaves is a caller who has waited long enough: what he hears ends, and then he hangs up.
func (c *chaos) leaves(round int) {
	c.hearsOut()
	switch {
	case round < 20 || c.over:
	case c.caller.last == nil || c.caller.last.StatusCode < 200:
		c.c.must(func() { c.c.cancelled(c.caller, "") })
		c.settle()
	default:
		c.cseq++
		c.fromCaller("BYE", c.cseq, "")
	}
}

// holdsOfQueue checks that a call that was at a route point leaves nobody who plays or listens.
func (c *chaos) holdsOfQueue() {
	if c.rooms == nil {
		return
	}
	if c.owed != 0 {
		c.t.Errorf("those who routed the call wait for %d answers", c.owed)
	}
	if c.playing != nil {
		c.t.Errorf("%s is heard after the call", c.playing.name)
	}
	if in := people(c.stage); len(in) > 0 {
		c.t.Errorf("%v are in a conference after the call", in)
	}
	if done := c.taping; done != nil { // the file is closed after the caller has left
		done(time.Second, false, nil)
	}
	if n := c.legs[caller].ears + c.legs[callee].ears; n != 0 {
		c.t.Errorf("%d listen after the call", n)
	}
	for _, s := range []side{caller, callee} {
		if c.press != nil && !c.legs[s].closed {
			c.t.Errorf("the leg of the %s is open after the call", s)
		}
	}
	c.rooms.Close()
}
