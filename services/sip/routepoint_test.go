package sip

import (
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

func TestRoutePointAsksForDigits(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	in := s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentPlayAnnouncementAndDigits, 11, with(with(prompts("welcome", "menu"), "MAX_DIGITS", 2), "TERM_DIGITS", "#"))
	s.heardOut()
	s.keys("1")
	s.pass(time.Second)
	s.callerSaysBody("INFO", 2, "Signal=2\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
	s.pass(2 * time.Second)
	s.callerSays("BYE", 3, "")
	s.check("route-point-digits")
	if in.last.StatusCode != 200 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
	s.outcomeIs(t, voice.OutcomeAbandoned, 200, 3*time.Second)
}

func TestRoutePointKeysAhead(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.keys("12")
	s.treat(voice.TreatmentPlayAnnouncementAndDigits, 1, with(prompts("menu"), "MAX_DIGITS", 1))
	s.treat(voice.TreatmentPlayAnnouncement, 2, voice.KVList{"PROMPT": voice.KVList{"1": voice.KVList{"ID": "must-be-heard"}}})
	s.keys("3")
	s.heardOut()
	s.treat(voice.TreatmentCollectDigits, 3, voice.KVList{"MAX_DIGITS": 3, "CLEAR_FLAG": 1, "START_TIMEOUT": 4})
	s.pass(4 * time.Second)
	s.callerSays("BYE", 3, "")
	s.check("route-point-keys-ahead")
}

func TestRoutePointTreatmentReplaced(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentMusic, 1, nil)
	s.pass(time.Minute) // nobody gives up a call that is treated
	s.treat(voice.TreatmentRingBack, 2, voice.KVList{"DURATION": 5})
	s.pass(5 * time.Second)
	s.treat(voice.TreatmentPlayAnnouncement, 3, prompts("a", "b"))
	s.treat(voice.TreatmentBusy, 4, nil)
	s.callerSays("BYE", 3, "")
	s.check("route-point-replaced")
}

func TestRoutePointNotApplied(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.missing = "nothing"
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentMusic, 1, nil)
	for i, c := range []struct {
		typ    voice.TreatmentType
		params voice.KVList
		code   voice.TErrorCode
	}{
		{voice.TreatmentPlayAnnouncement, prompts("welcome", "nothing"), voice.TErrResourceUnavailable},
		{voice.TreatmentPlayApplication, nil, voice.TErrUnsupported},
		{voice.TreatmentCollectDigits, nil, voice.TErrBadParameter},
		{voice.TreatmentRecordUserAnnouncement, voice.KVList{"USER_ID": "nothing"}, voice.TErrResourceUnavailable},
	} {
		if e := s.treat(c.typ, int64(i+2), c.params); e == nil || e.Code != c.code {
			t.Errorf("%s: %v, want %d", c.typ, e, c.code)
		}
	}
	if s.playing == nil || s.counts[countedNotApplied] != 4 || s.counts[countedTreatment] != 5 {
		t.Errorf("the caller hears %v; counted %v", s.playing, s.counts)
	}
	s.callerSays("BYE", 3, "")
	s.check("route-point-not-applied")
}

func TestRoutePointAbandonedEarly(t *testing.T) {
	s := newStage(t)
	s.fields = []string{"Require", "RSeq", "RAck"}
	s.queueing(map[string]string{"answer": "early"})
	in := s.call("9000", "Supported: 100rel")
	s.callerSays("PRACK", 2, "", "RAck: "+header(in.last, "RSeq")+" 1 INVITE")
	s.treat(voice.TreatmentPlayAnnouncement, 1, prompts("welcome"))
	s.pass(2 * time.Second)
	s.c.must(func() { s.c.cancelled(in, "") })
	s.settle()
	s.check("route-point-abandoned-early")
	s.outcomeIs(t, voice.OutcomeAbandoned, 487, 2*time.Second)
}

func TestRoutePointRouted(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.phone("1002", "b")
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentMusic, 1, nil)
	s.pass(3 * time.Second)
	s.routes("1002", 2)
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.pass(4 * time.Second)
	b.answer(200, sdpAnswer)
	s.pass(time.Minute)
	s.phoneSays(b, "BYE", 7, "")
	s.last("BYE", "1001").answer(200, "")
	s.check("route-point-routed")
	s.outcomeIs(t, voice.OutcomeAnswered, 200, 7*time.Second)
	if r := s.records[0]; r.Answered != "1002" || r.Talk != time.Minute {
		t.Errorf("record %+v", r)
	}
	for _, e := range s.events {
		if e.ID == voice.EventRinging && e.ThisQueue != "9000" {
			t.Errorf("the phone rings for queue %q", e.ThisQueue)
		}
	}
}

func TestRoutePointRoutedFromEarlyMedia(t *testing.T) {
	s := newStage(t)
	s.queueing(map[string]string{"answer": "early"})
	s.phone("1002", "b")
	s.call("9000")
	s.pass(time.Second)
	s.routes("1002", 2)
	b := s.last("INVITE", "b")
	b.answer(180, "")
	b.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", "b").answer(200, "")
	s.check("route-point-routed-early")
}

func TestRoutePointDestinationBusy(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.phone("1002", "b")
	s.phone("1003", "c")
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentMusic, 1, nil)
	s.routes("1099", 2) // no such number
	s.routes("1002", 3)
	s.routes("1003", 4) // it is on its way already
	b := s.last("INVITE", "b")
	b.answer(180, "")
	b.answer(486, "")
	s.routes("1003", 5)
	c := s.last("INVITE", "c")
	c.answer(180, "")
	s.pass(20 * time.Second)
	c.answer(487, "")
	s.callerSays("BYE", 2, "")
	s.check("route-point-busy")
}

func TestRoutePointDefaultDestination(t *testing.T) {
	s := newStage(t)
	s.queueing(map[string]string{"default-dn": "1002", "router-timeout": "5"})
	s.phone("1002", "b")
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.pass(5 * time.Second)
	b := s.last("INVITE", "b")
	b.answer(180, "")
	b.answer(200, sdpAnswer)
	s.callerSays("BYE", 2, "")
	s.last("BYE", "b").answer(200, "")
	s.check("route-point-default")
	if s.counts[countedDefault] != 1 || s.counts[countedTimeout] != 1 {
		t.Errorf("counted %v", s.counts)
	}
}

func TestRoutePointNobodyRoutes(t *testing.T) {
	for _, mode := range []string{"answer", "early"} {
		s := newStage(t)
		s.queueing(map[string]string{"answer": mode})
		in := s.call("9000")
		if mode == "answer" {
			s.callerSays("ACK", 1, "")
		}
		s.pass(10 * time.Second)
		s.heardOut()
		status := 480
		if mode == "answer" {
			s.last("BYE", "1001").answer(200, "")
			status = 200
		}
		s.check("route-point-nobody-" + mode)
		s.outcomeIs(t, voice.OutcomeNoAnswer, status, 10*time.Second)
		if in.last.StatusCode != status {
			t.Errorf("the caller got %d", in.last.StatusCode)
		}
	}
}

func TestRoutePointCancelCall(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentCancelCall, 1, nil)
	s.last("BYE", "1001").answer(200, "")
	s.check("route-point-cancel-call")
	s.outcomeIs(t, voice.OutcomeRejected, 200, 0)
}

func TestRoutePointRecords(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentRecordUserAnnouncement, 1, voice.KVList{"USER_ID": "anna", "TERM_DIGITS": "#", "ABORT_DIGITS": "*"})
	s.heardOut() // the beep
	s.keys("5#")
	s.taped(3 * time.Second)
	s.treat(voice.TreatmentRecordUserAnnouncement, 2, voice.KVList{"USER_ID": "anna", "TERM_DIGITS": "#", "ABORT_DIGITS": "*"})
	s.heardOut()
	s.keys("*")
	s.taped(time.Second)
	s.treat(voice.TreatmentPlayAnnouncement, 3, voice.KVList{"PROMPT": voice.KVList{"1": voice.KVList{"USER_ID": "anna", "USER_ANN_ID": "7"}}})
	s.heardOut()
	s.callerSays("BYE", 2, "")
	s.check("route-point-records")
}

func TestRoutePointLateOffer(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.phone("1002", "b")
	s.body = ""
	s.call("9000")
	s.callerSays("ACK", 1, sdpAnswer)
	s.routes("1002", 2)
	b := s.last("INVITE", "b")
	b.answer(200, sdpAnswer)
	s.phoneSays(b, "BYE", 7, "")
	s.last("BYE", "1001").answer(200, "")
	s.check("route-point-late-offer")
}

// A phone at a route point may hold and take back; there is nobody else to ask.
func TestRoutePointHeld(t *testing.T) {
	s := newStage(t)
	s.bodies = true
	s.queueing(nil)
	s.bodies = true
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.callerSays("INVITE", 2, offer+"a=sendonly\r\n")
	s.callerSays("ACK", 2, "")
	s.callerSays("INVITE", 3, offer)
	s.callerSays("ACK", 3, "")
	s.callerSays("BYE", 4, "")
	s.check("route-point-held")
}

// A forwarded call waits at the route point that it was forwarded to; from there it goes to another one.
func TestRoutePointAfterAnother(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.plans["9001"] = &contract.ResolveResponse{Kind: contract.RoutePoint, Number: "9001"}
	s.phone("1002", "b")
	s.plans["1002"].OnBusy = "9001"
	s.call("1002")
	s.last("INVITE", "b").answer(486, "")
	s.callerSays("ACK", 1, "")
	s.routes("9000", 1)
	s.callerSays("BYE", 2, "")
	s.check("route-point-after-another")
}

func TestRoutePointNeverAcknowledged(t *testing.T) {
	s := newStage(t)
	s.queueing(map[string]string{"router-timeout": "60"})
	s.call("9000")
	s.pass(40 * time.Second)
	s.last("BYE", "1001").answer(481, "")
	s.holds()
	if r := s.records[0]; !strings.Contains(r.Reason, "did not confirm") || r.Outcome != voice.OutcomeFailed {
		t.Errorf("record %+v", r)
	}
}

// The caller hangs up, wherever his call has got to.
func TestRoutePointCallerLeaves(t *testing.T) {
	record := func(s *stage) {
		s.treat(voice.TreatmentRecordUserAnnouncement, 1, voice.KVList{"USER_ID": "anna", "TERM_DIGITS": "#"})
	}
	rings := func(s *stage) {
		s.phone("1002", "b")
		s.routes("1002", 1)
		s.last("INVITE", "b").answer(180, "")
	}
	for _, c := range []struct {
		name  string
		early bool
		until func(*stage)
		after func(*stage) // what still comes
	}{
		{"announcement", false, func(s *stage) {
			s.treat(voice.TreatmentPlayAnnouncement, 1, prompts("a", "b"))
			s.heardOut()
		}, nil},
		{"digits", false, func(s *stage) {
			s.treat(voice.TreatmentCollectDigits, 1, voice.KVList{"MAX_DIGITS": 4})
			s.keys("12")
		}, nil},
		{"beep", false, record, nil},
		{"recording", false, func(s *stage) { record(s); s.heardOut() }, func(s *stage) { s.taped(time.Second) }},
		{"ringing", false, rings, func(s *stage) { s.last("INVITE", "b").answer(487, "") }},
		{"ringing-early", true, rings, func(s *stage) { s.last("INVITE", "b").answer(487, "") }},
		{"answer-crosses", false, rings, func(s *stage) { // his BYE crosses the answer of the phone
			s.last("INVITE", "b").answer(200, sdpAnswer)
			s.last("BYE", "b").answer(200, "")
		}},
		{"answer-crosses-early", true, rings, func(s *stage) {
			s.last("INVITE", "b").answer(200, sdpAnswer)
			s.last("BYE", "b").answer(200, "")
		}},
		{"conference", false, func(s *stage) {
			s.meets()
			s.line("router", "node", "into the conference")
			if err := s.c.joinRoom(&contract.JoinConferenceRequest{Tenant: s.c.id.tenant, CallUUID: s.c.id.uuid, Room: "r"}); err != nil {
				t.Fatal(err)
			}
		}, func(s *stage) {
			if in := people(s); len(in) != 0 {
				t.Errorf("in the room are %v", in)
			}
		}},
		{"regrets", false, func(s *stage) { s.pass(10 * time.Second) }, nil},
		{"regrets-early", true, func(s *stage) { s.pass(10 * time.Second) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			status := 200
			if s.queueing(nil); c.early {
				s.queueing(map[string]string{"answer": "early"})
				status = 487
			}
			in := s.call("9000")
			if !c.early {
				s.callerSays("ACK", 1, "")
			}
			c.until(s)
			queued := s.clock.Sub(s.c.conv.times.start)
			if c.early {
				s.line("1001", "node", "CANCEL")
				s.c.must(func() { s.c.cancelled(in, "") })
				s.settle()
			} else {
				s.callerSays("BYE", 2, "")
			}
			if c.after != nil {
				c.after(s)
			}
			s.check("route-point-leaves-" + c.name)
			s.outcomeIs(t, voice.OutcomeAbandoned, status, queued)
			if s.playing != nil || s.legs[caller].ears != 0 || !s.legs[caller].closed || !s.legs[callee].closed {
				t.Errorf("left: heard %v, legs %+v", s.playing, s.legs)
			}
		})
	}
}

// A phone may name its digits before its codecs: what it is answered with begins with one it can be spoken to in.
func TestRoutePointAnswersWithACodec(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.body = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 101 18 8\r\na=rtpmap:101 telephone-event/8000\r\n"
	in := s.call("9000")
	body := string(in.last.Body())
	if in.last.StatusCode != 200 || !strings.Contains(body, " RTP/AVP 101 8\r\n") && !strings.Contains(body, " RTP/AVP 8 101\r\n") {
		t.Errorf("answered %d with\n%s\nwant A-law and digits", in.last.StatusCode, body)
	}
}
