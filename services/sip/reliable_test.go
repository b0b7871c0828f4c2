package sip

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
)

// reliableStage is a stage whose ladder shows what RFC 3262 is about.
func reliableStage(t *testing.T) *stage {
	s := newStage(t)
	s.fields = []string{"RSeq", "RAck"}
	return s
}

// prack is the caller's PRACK to a provisional response he got.
func (s *stage) prack(in *incoming, cseq int, body string) *incoming {
	s.t.Helper()
	return s.callerSays("PRACK", cseq, body, fmt.Sprintf("RAck: %s 1 INVITE", header(in.last, "RSeq")))
}

// A caller who requires it gets each provisional response until he has acknowledged it, one after the other.
func TestCallerRequiresReliable(t *testing.T) {
	s := reliableStage(t)
	s.phone("1002", "b")
	in := s.call("1002", "Require: 100rel")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.pass(1500 * time.Millisecond)
	b.answer(183, sdpAnswer) // waits for the PRACK to the 180
	if wrong := s.callerSays("PRACK", 2, "", "RAck: 7 1 INVITE"); wrong.last.StatusCode != 481 {
		t.Errorf("a PRACK for nothing got %d", wrong.last.StatusCode)
	}
	if ok := s.prack(in, 3, ""); ok.last.StatusCode != 200 || in.last.StatusCode != 183 || len(in.last.Body()) == 0 {
		t.Errorf("the PRACK got %d, then the caller\n%s", ok.last.StatusCode, in.last)
	}
	b.answer(200, sdpAnswer) // waits, too: the 183 holds the answer
	if in.last.StatusCode != 183 {
		t.Errorf("the caller got %d before his PRACK", in.last.StatusCode)
	}
	s.prack(in, 4, "")
	if in.last.StatusCode != 200 || len(in.last.Body()) != 0 {
		t.Errorf("the final response is\n%s", in.last)
	}
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 5, "")
	s.last("BYE", "b").answer(200, "")
	s.check("reliable-to-caller")
}

// A caller who supports it gets early media reliably, and mere ringing not.
func TestCallerSupportsReliable(t *testing.T) {
	s := reliableStage(t)
	s.phone("1002", "b")
	in := s.call("1002", "Supported: 100rel")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	if in.last.GetHeader("RSeq") != nil {
		t.Error("a 180 without a body went reliably")
	}
	b.answer(183, sdpAnswer)
	s.c.must(func() { s.c.cancelled(in, "") })
	s.settle()
	b.answer(487, "")
	s.check("reliable-early-media")
}

func TestCallerNeverAcknowledges(t *testing.T) {
	s := reliableStage(t)
	s.phone("1002", "b")
	s.plans["1002"].RingSeconds = 60
	in := s.call("1002", "Require: 100rel")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.pass(31900 * time.Millisecond)
	if in.last.StatusCode != 180 {
		t.Fatalf("the caller got %d before 64 T1", in.last.StatusCode)
	}
	s.pass(200 * time.Millisecond)
	if in.last.StatusCode != 504 {
		t.Errorf("after 64 T1 the caller got %d", in.last.StatusCode)
	}
	b.answer(487, "")
	s.check("never-acknowledged")
}

// The answer came while the caller's PRACK did not: the phone is hung up when he gives up.
func TestAnsweredButNotAcknowledged(t *testing.T) {
	s := reliableStage(t)
	s.phone("1002", "b")
	in := s.call("1002", "Supported: 100rel")
	b := s.last("INVITE", "b")
	b.answer(183, sdpAnswer)
	b.answer(200, sdpAnswer)
	s.c.must(func() { s.c.cancelled(in, "") })
	s.settle()
	s.last("BYE", "b").answer(200, "")
	s.check("answered-not-acknowledged")
}

// A phone's reliable responses are acknowledged in their order, once; each early dialog has its own.
func TestPhoneSendsReliably(t *testing.T) {
	s := reliableStage(t)
	s.phone("1002", "b")
	in := s.call("1002")
	b := s.last("INVITE", "b")
	if !strings.Contains(header(b.req, "Supported"), "100rel") {
		t.Errorf("the phone is offered %q", header(b.req, "Supported"))
	}
	b.answer(180, "", "Require: 100rel", "RSeq: 10")
	b.answer(180, "", "Require: 100rel", "RSeq: 10")        // it has not heard our PRACK yet
	b.answer(183, sdpAnswer, "Require: 100rel", "RSeq: 12") // 11 is lost: wait for it
	s.last("PRACK", "b").answer(200, "")
	b.tag = "b2" // another phone behind the same contact
	b.answer(180, "", "Require: 100rel", "RSeq: 500")
	s.last("PRACK", "b").answer(200, "")
	b.tag = ""
	b.answer(180, "", "Require: 100rel", "RSeq: 11")
	s.last("PRACK", "b").answer(200, "")
	b.answer(183, sdpAnswer, "Require: 100rel", "RSeq: 12")
	s.last("PRACK", "b").answer(200, "")
	b.answer(200, "") // its answer was in the 183
	if !bytes.Contains(in.last.Body(), []byte("m=audio")) {
		t.Errorf("the caller has no answer:\n%s", in.last)
	}
	b.tag = "b2"
	b.answer(200, sdpAnswer) // picked up there as well
	s.last("BYE", "b").answer(200, "")
	b.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", "b").answer(200, "")
	s.check("reliable-from-phone")
}

// An offer that the phone makes while it rings is answered by the caller's PRACK.
func TestLateOfferReliably(t *testing.T) {
	s := reliableStage(t)
	s.phone("1002", "b")
	s.body = ""
	in := s.call("1002", "Supported: 100rel")
	b := s.last("INVITE", "b")
	b.answer(183, offer, "Require: 100rel", "RSeq: 1")
	s.pass(time.Second)
	b.answer(183, offer, "Require: 100rel", "RSeq: 1") // our PRACK waits for the caller's
	if none := s.prack(in, 2, ""); none.last.StatusCode != 400 {
		t.Errorf("a PRACK without the answer got %d", none.last.StatusCode)
	}
	s.prack(in, 3, sdpAnswer)
	if body := s.last("PRACK", "b").req.Body(); !bytes.Contains(body, []byte("m=audio 5000")) {
		t.Errorf("the phone's PRACK holds %q", body)
	}
	s.last("PRACK", "b").answer(200, "")
	b.answer(200, "")
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 4, "")
	s.last("BYE", "b").answer(200, "")
	s.check("late-offer-reliably")
}

// Without 100rel at the caller's there is no way to answer such an offer, so the phone is not invited to make it.
func TestLateOfferUnreliably(t *testing.T) {
	for _, c := range []struct {
		caller string
		phones []string
		offers bool
	}{{"Supported: timer", []string{"b"}, false}, {"Supported: 100rel", []string{"b"}, true}, {"Supported: 100rel", []string{"b", "c"}, false}} {
		s := newStage(t)
		s.phone("1002", c.phones...)
		s.body = ""
		s.call("1002", c.caller)
		if got := header(s.last("INVITE", "b").req, "Supported"); strings.Contains(got, "100rel") != c.offers {
			t.Errorf("%s, %d phones: the phone is offered %q", c.caller, len(c.phones), got)
		}
	}
}

// UPDATE before the answer passes both ways once the first offer is answered, and not before (RFC 3311 §5.2).
func TestEarlyUpdate(t *testing.T) {
	s := reliableStage(t)
	s.fields = append(s.fields, "Retry-After")
	s.phone("1002", "b")
	in := s.call("1002", "Supported: 100rel", "Allow: INVITE, ACK, BYE, UPDATE, PRACK")
	b := s.last("INVITE", "b")
	b.answer(180, "", "Require: 100rel", "RSeq: 1")
	s.last("PRACK", "b").answer(200, "")
	if early := s.callerSays("UPDATE", 2, offer+"a=sendonly\r\n"); early.last.StatusCode != 500 || early.last.GetHeader("Retry-After") == nil {
		t.Errorf("an offer before the first is answered got\n%s", early.last)
	}
	if early := s.phoneSays(b, "UPDATE", 1, offer); early.last.StatusCode != 491 {
		t.Errorf("the phone's offer before its answer got %d", early.last.StatusCode)
	}
	if plain := s.phoneSays(b, "UPDATE", 2, ""); plain.last.StatusCode != 200 {
		t.Errorf("an UPDATE without an offer got %d", plain.last.StatusCode)
	}
	b.answer(183, sdpAnswer, "Require: 100rel", "RSeq: 2")
	s.last("PRACK", "b").answer(200, "")
	s.prack(in, 3, "")
	hold := s.callerSays("UPDATE", 4, offer+"a=sendonly\r\n")
	if cross := s.phoneSays(b, "UPDATE", 3, sdpAnswer+"a=ptime:30\r\n"); cross.last.StatusCode != 491 {
		t.Errorf("an UPDATE that met the caller's got %d", cross.last.StatusCode)
	}
	s.last("UPDATE", "b").answer(200, sdpAnswer+"a=recvonly\r\n")
	if hold.last.StatusCode != 200 {
		t.Errorf("the caller's UPDATE got %d", hold.last.StatusCode)
	}
	back := s.phoneSays(b, "UPDATE", 4, sdpAnswer+"a=ptime:30\r\n")
	s.last("UPDATE", "1001").answer(200, offer)
	if back.last.StatusCode != 200 {
		t.Errorf("the phone's UPDATE got %d", back.last.StatusCode)
	}
	b.answer(200, "")
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 5, "")
	s.last("BYE", "b").answer(200, "")
	s.check("early-update")
}

// An offer in PRACK goes on as UPDATE: our own PRACK has gone before.
func TestOfferInPrack(t *testing.T) {
	s := reliableStage(t)
	s.phone("1002", "b")
	in := s.call("1002", "Supported: 100rel")
	b := s.last("INVITE", "b")
	b.answer(183, sdpAnswer)
	prack := s.prack(in, 2, offer+"a=sendonly\r\n")
	s.last("UPDATE", "b").answer(200, sdpAnswer+"a=recvonly\r\n")
	if prack.last.StatusCode != 200 || len(prack.last.Body()) == 0 {
		t.Errorf("the PRACK with an offer got\n%s", prack.last)
	}
	b.answer(486, "")
	s.check("offer-in-prack")
}

// A caller whose offer the first carrier answered before it failed is told the second one's audio when that answers.
func TestEarlyMediaOfACarrierThatFails(t *testing.T) {
	s := reliableStage(t)
	s.plans["0123"] = &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: "0123", Trunks: []contract.RouteTarget{
		{DN: "gw1", Contact: "sip:192.0.2.10", Number: "123"}, {DN: "gw2", Contact: "sip:192.0.2.11", Number: "49123"}}}
	in := s.call("0123", "Supported: 100rel")
	first := s.last("INVITE", "123")
	first.answer(183, sdpAnswer)
	s.prack(in, 2, "")
	first.answer(503, "")
	second := s.last("INVITE", "49123")
	second.answer(200, strings.Replace(sdpAnswer, "5000", "6000", 1))
	if in.last.StatusCode != 200 || len(in.last.Body()) != 0 {
		t.Errorf("the caller got a second answer:\n%s", in.last)
	}
	s.callerSays("ACK", 1, "")
	told := s.last("INVITE", "1001")
	if !bytes.Contains(told.req.Body(), []byte("m=audio 6000")) {
		t.Errorf("the caller was told\n%s", told.req)
	}
	told.answer(491, "")
	s.pass(2 * time.Second)
	s.last("INVITE", "1001").answer(200, offer)
	s.callerSays("BYE", 3, "")
	s.last("BYE", "49123").answer(200, "")
	s.check("carrier-fails-after-early-media")
}

// A carrier that says once a minute that it is still trying has its time; one that falls silent does not.
func TestTrunkThatRingsForLong(t *testing.T) {
	s := newStage(t)
	s.plans["0123"] = &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: "0123", Trunks: []contract.RouteTarget{{DN: "gw1", Contact: "sip:192.0.2.10", Number: "123"}}}
	in := s.call("0123")
	gw := s.last("INVITE", "123")
	gw.answer(183, sdpAnswer)
	for range 6 {
		s.pass(time.Minute)
		gw.answer(183, sdpAnswer)
	}
	s.pass(180 * time.Second)
	if in.last.StatusCode != 183 {
		t.Errorf("within Timer C the caller got %d", in.last.StatusCode)
	}
	s.pass(2 * time.Second)
	gw.answer(487, "")
	s.check("trunk-rings-long")
}

// One that says no more than 100 is given up like a phone that does not ring.
func TestTrunkThatOnlyTries(t *testing.T) {
	s := newStage(t)
	s.plans["0123"] = &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: "0123", Trunks: []contract.RouteTarget{{DN: "gw1", Contact: "sip:192.0.2.10", Number: "123"}}}
	s.call("0123")
	gw := s.last("INVITE", "123")
	gw.answer(100, "")
	s.pass(DefaultConfig().Ring)
	gw.answer(487, "")
	s.check("trunk-only-tries")
}

// Beyond the place called two phones answered at once: the second is hung up, in a dialog of its own, even when the first
// talks already.
func TestSecondAnswerFromBeyond(t *testing.T) {
	s := newStage(t)
	_, b := s.talk()
	b.tag = "b2"
	b.answer(200, sdpAnswer)
	late := s.last("BYE", "b")
	if to := header(late.req, "To"); !strings.Contains(to, "tag=b2") || header(late.req, "Call-ID") != header(b.req, "Call-ID") {
		t.Errorf("the second phone is hung up by\n%s", late.req)
	}
	late.answer(200, "")
	s.callerSays("BYE", 2, "")
	b.tag = "" // the one who talks
	bye := s.last("BYE", "b")
	if to := header(bye.req, "To"); strings.Contains(to, "b2") {
		t.Errorf("the first phone is hung up by\n%s", bye.req)
	}
	bye.answer(200, "")
	s.check("second-answer-from-beyond")
}
