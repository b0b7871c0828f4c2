package sip

import (
	"strings"
	"testing"
	"time"
)

// A caller without an offer is told of each format once.
func TestRoutePointOffersEachFormatOnce(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.body = ""
	in := s.call("9000")
	if body := string(in.last.Body()); strings.Count(body, "telephone-event") != 1 {
		t.Errorf("offered\n%s", body)
	}
}

// Whoever takes a call from a route point whose caller holds at that moment hears music, and then the caller.
func TestRoutePointRoutesOneWhoHolds(t *testing.T) {
	s := newStage(t)
	s.bodies = true
	s.queueing(nil)
	s.phone("1002", "b")
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.callerSays("INVITE", 2, offer+"a=sendonly\r\n")
	s.callerSays("ACK", 2, "")
	s.routes("1002", 2)
	b := s.last("INVITE", "b")
	b.answer(200, sdpAnswer+"a=recvonly\r\n")
	s.callerSays("INVITE", 3, offer)
	s.last("INVITE", "b").answer(200, sdpAnswer)
	s.callerSays("ACK", 3, "")
	s.overBy(b)
	s.check("route-point-routed-while-held")
}

// What is refused after a first refusal that asked for another session timer leaves all as it was, too.
func TestHoldRefusedAtTheSecondTry(t *testing.T) {
	s := carried(t)
	_, b := s.talk()
	s.callerSays("INVITE", 2, offer+"a=sendonly\r\n", "Supported: timer", "Session-Expires: 1800")
	s.last("INVITE", "b").answer(422, "", "Min-SE: 3600")
	s.last("INVITE", "b").answer(488, "")
	if e := s.c.audio.ends[caller]; e.holds || s.c.isHeld(caller) {
		t.Errorf("the caller holds, although that was refused: %+v", e.said)
	}
	s.overBy(b)
}

// Handshakes with a phone are told of, however the call came to it.
func TestHandshakesOfLaterAttemptsAreToldOf(t *testing.T) {
	s := newStage(t)
	s.queueing(nil)
	s.phone("1002", "b")
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.routes("1002", 2)
	if s.c.audio.ends[callee].keys.shook == nil {
		t.Error("nobody would hear how a handshake ended")
	}
	s.pass(time.Second)
}
