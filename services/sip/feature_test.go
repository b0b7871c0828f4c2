package sip

import (
	"testing"

	"parley/internal/contract"
	"parley/internal/voice"
)

// dials lets 1003 dial a code by a call of its own.
func (s *stage) dials(code string, f voice.Feature, number string) (in *incoming) {
	s.t.Helper()
	s.plans[code] = &contract.ResolveResponse{Kind: contract.RouteFeature, Feature: f, Number: number}
	in = s.parse("1003", "INVITE", []string{"From: <sip:1003@demo.local>;tag=own", "Call-ID: call-1003",
		"To: <sip:" + code + "@demo.local>", "CSeq: 1 INVITE"}, s.body, "sip:"+code+"@demo.local")
	c := s.first()
	c.id.uuid, c.id.conn, c.id.number = "u9", "c9", 9
	c.from, c.dialled, c.invite, c.tx = party{number: "1003", shown: "1003"}, code, in.req, in
	c.legs[caller] = answering(in.req, "node-own", c.contact)
	s.dialogs["call-1003"] = c
	s.c = c
	c.must(c.begin)
	s.settle()
	return in
}

func TestPickUpByCode(t *testing.T) {
	s := stageOfCalls(t)
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	s.takes("a")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.rings = []string{"gone", "c1"}
	s.dials("**1002", voice.FeaturePickUp, "1002")
	s.callerOf("1003", "ACK")
	b.answer(487, "")
	s.callerOf("1003", "BYE")
	s.gone("a")
	s.check("feature-pick-up")
}

// What was answered a moment before stays where it is.
func TestPickUpTooLate(t *testing.T) {
	s := stageOfCalls(t)
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	s.takes("a")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.rings = []string{"c1"}
	s.dials("*8", voice.FeatureGroupPickUp, "")
	b.answer(200, sdpAnswer)
	s.callerOf("1003", "ACK")
	s.gone("1003")
	s.phoneSays(b, "BYE", 7, "")
	s.gone("a")
	s.check("feature-pick-up-too-late")
}

func TestNothingToPickUp(t *testing.T) {
	s := stageOfCalls(t)
	if in := s.dials("**1002", voice.FeaturePickUp, "1002"); in.last.StatusCode != 480 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
	s.check("feature-nothing-rings")
}

func TestForwardByCode(t *testing.T) {
	s := stageOfCalls(t)
	s.dials("*721002", voice.FeatureForwardSet, "1002")
	s.callerOf("1003", "ACK")
	s.callerOf("1003", "BYE")
	s.check("feature-forward-set")
}

func TestForwardByCodeIsRefused(t *testing.T) {
	s := stageOfCalls(t)
	s.refused = voice.TErrorf(voice.TErrInvalidCalledDN, "1003 is the number itself")
	if in := s.dials("*721003", voice.FeatureForwardSet, "1003"); in.last.StatusCode != 480 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
	s.check("feature-forward-refused")
}
