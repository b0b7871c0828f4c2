package sip

import (
	"testing"
	"time"

	"parley/internal/voice"
)

func TestMakeCall(t *testing.T) {
	s := stageOfCalls(t)
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	s.takes("a")
	s.takes("b")
	s.pass(time.Minute)
	s.ask(voice.RequestReleaseCall, "1001", "c1", nil)
	s.gone("a", "b")
	s.check("make-call")
	if r := s.records[0]; r.Talk != time.Minute || r.Answered != "1002" || r.Caller != "1001" {
		t.Errorf("record %+v", r)
	}
}

func TestMakeCallToABusyPhone(t *testing.T) {
	s := stageOfCalls(t)
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	s.takes("a")
	s.last("INVITE", "b").answer(486, "")
	s.gone("a")
	s.check("make-call-busy")
}

func TestMakeCallThatTheCallerDoesNotTake(t *testing.T) {
	s := stageOfCalls(t)
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	s.last("INVITE", "a").answer(603, "")
	s.check("make-call-declined")
}

// twoTalk is a call of 1001 with 1002 that a request made.
func (s *stage) twoTalk() (a, b *sentRequest) {
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	return s.takes("a"), s.takes("b")
}

func TestHoldByRequest(t *testing.T) {
	s := stageOfCalls(t)
	_, b := s.twoTalk()
	s.ask(voice.RequestHoldCall, "1002", "c1", nil)
	s.ask(voice.RequestHoldCall, "1002", "c1", nil)
	s.ask(voice.RequestRetrieveCall, "1002", "c1", nil)
	s.ask(voice.RequestRetrieveCall, "1002", "c1", nil)
	s.phoneSays(b, "BYE", 7, "")
	s.gone("a")
	s.check("request-hold")
}

func TestTwoStepTransfer(t *testing.T) {
	s := stageOfCalls(t)
	a, _ := s.twoTalk()
	s.ask(voice.RequestInitiateTransfer, "1002", "c1", to("1003"))
	s.takes("c")
	s.ask(voice.RequestCompleteTransfer, "1002", "c2", func(r *voice.Request) { r.HeldConnID = "c1" })
	s.gone("b")
	s.pass(time.Minute)
	s.phoneSays(a, "BYE", 7, "")
	s.gone("c")
	s.check("transfer-two-step")
}

func TestTransferWhileItRings(t *testing.T) {
	s := stageOfCalls(t)
	a, _ := s.twoTalk()
	s.ask(voice.RequestInitiateTransfer, "1002", "c1", to("1003"))
	c := s.last("INVITE", "c")
	c.answer(180, "")
	s.ask(voice.RequestCompleteTransfer, "1002", "c2", func(r *voice.Request) { r.HeldConnID = "c1" })
	s.gone("b")
	c.answer(200, sdpAnswer)
	s.phoneSays(a, "BYE", 7, "")
	s.gone("c")
	s.check("transfer-mute")
}

func TestReconnectAndAlternate(t *testing.T) {
	s := stageOfCalls(t)
	s.twoTalk()
	s.ask(voice.RequestInitiateTransfer, "1001", "c1", to("1003"))
	s.takes("c")
	s.ask(voice.RequestRetrieveCall, "1001", "c1", nil)
	s.ask(voice.RequestAlternateCall, "1001", "c2", func(r *voice.Request) { r.HeldConnID = "c1" })
	s.ask(voice.RequestAlternateCall, "1001", "c1", func(r *voice.Request) { r.HeldConnID = "c2" })
	s.ask(voice.RequestReconnectCall, "1001", "c2", func(r *voice.Request) { r.HeldConnID = "c1" })
	s.gone("c")
	s.ask(voice.RequestReleaseCall, "1002", "c1", nil)
	s.gone("a", "b")
	s.check("reconnect-alternate")
}

func TestConsultationThatIsBusy(t *testing.T) {
	s := stageOfCalls(t)
	s.twoTalk()
	s.ask(voice.RequestInitiateTransfer, "1002", "c1", to("1003"))
	s.last("INVITE", "c").answer(486, "")
	s.ask(voice.RequestRetrieveCall, "1002", "c1", nil)
	s.ask(voice.RequestClearCall, "", "c1", nil)
	s.gone("a", "b")
	s.check("consult-busy")
}

func TestSingleStepTransfer(t *testing.T) {
	s := stageOfCalls(t)
	s.twoTalk()
	s.ask(voice.RequestSingleStepTransfer, "1001", "c1", to("1003"))
	s.gone("a")
	c := s.takes("c")
	s.phoneSays(c, "BYE", 7, "")
	s.gone("b")
	s.check("transfer-single-step")
}

func TestRedirect(t *testing.T) {
	s := stageOfCalls(t)
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	s.takes("a")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.ask(voice.RequestRedirectCall, "1002", "c1", to("1003"))
	b.answer(487, "")
	c := s.takes("c")
	s.phoneSays(c, "BYE", 7, "")
	s.gone("a")
	s.check("redirect")
}

func TestTwoStepConference(t *testing.T) {
	s := stageOfCalls(t)
	s.meets()
	a, b := s.twoTalk()
	s.ask(voice.RequestInitiateConference, "1002", "c1", to("1003"))
	c := s.takes("c")
	s.ask(voice.RequestCompleteConference, "1002", "c2", func(r *voice.Request) { r.HeldConnID = "c1" })
	s.pass(time.Minute)
	s.phoneSays(b, "BYE", 7, "")
	s.phoneSays(a, "BYE", 7, "")
	_ = c
	s.gone("c")
	s.check("conference-two-step")
}

func TestSingleStepConference(t *testing.T) {
	s := stageOfCalls(t)
	s.meets()
	s.twoTalk()
	s.ask(voice.RequestSingleStepConference, "1001", "c1", to("1003"))
	s.takes("c")
	s.ask(voice.RequestDeleteFromConference, "1001", "c1", func(r *voice.Request) { r.ThirdPartyDN = "1003" })
	s.gone("c")
	s.ask(voice.RequestReleaseCall, "1001", "c1", nil)
	s.gone("a", "b")
	s.check("conference-single-step")
}

func TestUserData(t *testing.T) {
	s := stageOfCalls(t)
	s.twoTalk()
	s.ask(voice.RequestAttachUserData, "1001", "c1", func(r *voice.Request) { r.UserData = voice.KVList{"a": "1", "b": "2"} })
	s.ask(voice.RequestUpdateUserData, "", "c1", func(r *voice.Request) { r.UserData, r.Version = voice.KVList{"a": "3"}, 7 })
	s.ask(voice.RequestDeletePair, "1002", "c1", func(r *voice.Request) { r.Key = "b" })
	s.ask(voice.RequestDeletePair, "1002", "c1", func(r *voice.Request) { r.Key = "b" })
	s.ask(voice.RequestSendDTMF, "1001", "c1", func(r *voice.Request) { r.Digits = "12#" })
	s.ask(voice.RequestSetMuteOn, "1001", "c1", nil)
	s.ask(voice.RequestSetMuteOff, "1001", "c1", nil)
	if v := s.answers[3].Call; v == nil || len(v.UserData) != 1 || v.UserData.Text("a") != "1" || v.Version != 2 {
		t.Errorf("after the changes: %+v", v)
	}
	s.ask(voice.RequestReleaseCall, "1001", "c1", nil)
	s.gone("a", "b")
	s.check("user-data")
}

// A phone transfers by REFER: in a single step, and into a call of its own.
func TestPhoneTransfers(t *testing.T) {
	s := stageOfCalls(t)
	_, b := s.twoTalk()
	s.phoneSays(b, "REFER", 7, "", "Refer-To: <sip:1003@demo.local>")
	s.last("NOTIFY", "b").answer(200, "")
	s.gone("b")
	c := s.takes("c")
	s.phoneSays(c, "BYE", 7, "")
	s.gone("a")
	s.check("refer")
}

// A phone has two calls that it made or got itself, and leaves those to each other whom it talks with (RFC 5589 §7.1): the calls had
// nothing to do with each other before.
func TestPhoneTransfersAttended(t *testing.T) {
	s := stageOfCalls(t)
	s.twoTalk()
	second := s.anotherCall("1002", "1003", nil)
	c := s.last("INVITE", "c")
	first := s.sent[1] // the INVITE that 1002 answered
	s.phoneSays(first, "REFER", 9, "", "Refer-To: <sip:1003@demo.local?Replaces="+second+">")
	s.last("NOTIFY", "b").answer(200, "")
	s.gone("b", "1002")
	s.phoneSays(c, "BYE", 7, "")
	s.gone("a")
	s.check("refer-attended")
}

// 1003 takes the place of 1002 in a call (RFC 3891).
func TestReplaces(t *testing.T) {
	s := stageOfCalls(t)
	s.twoTalk()
	first := s.c
	s.anotherCall("1003", "1002", &takeover{call: first, side: callee, state: voice.StateTransferred})
	s.gone("b")
	s.pass(time.Second)
	s.callerOf("1003", "BYE")
	s.gone("a")
	s.check("replaces")
}

// 1003 picks up what rings at 1002: for a caller who waits, and for one for whom the call was made.
func TestPickUp(t *testing.T) {
	s := stageOfCalls(t)
	s.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	s.takes("a")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.anotherCall("1003", "1002", &takeover{call: s.c, side: callee, state: voice.StatePickedUp})
	b.answer(487, "")
	s.callerOf("1003", "BYE")
	s.gone("a")
	s.check("pick-up-made")
}

func TestPickUpOfACaller(t *testing.T) {
	s := stageOfCalls(t)
	in := s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	first := s.c
	s.anotherCall("1003", "1002", &takeover{call: first, side: callee, state: voice.StatePickedUp})
	b.answer(487, "")
	s.c = first
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", "1003").answer(200, "")
	if in.last.StatusCode != 200 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
	s.check("pick-up")
}

// A call that was set up when its node died waits for its INVITE, which does not come: its caller hangs up, or somebody asks for something.
func TestOrphan(t *testing.T) {
	orphan := func(s *stage) *call {
		c := s.first()
		c.from, c.dialled, c.phase = party{number: "1001", shown: "1001"}, "1002", alerting
		c.legs[caller] = &leg{callID: "call-a", tag: "node-tag", peerTag: "caller", local: "<sip:1002@demo.local>;tag=node-tag", remote: "<sip:1001@demo.local>;tag=caller"}
		c.converse()
		s.c, s.dialogs["call-a"] = c, c
		return c
	}
	s := newStage(t)
	orphan(s)
	if in := s.callerSays("UPDATE", 2, ""); in.last.StatusCode != 503 {
		t.Errorf("UPDATE got %d", in.last.StatusCode)
	}
	if a := s.ask(voice.RequestRedirectCall, "1001", "c1", to("1003")); a.Error == nil || a.Error.Code != voice.TErrWrongState {
		t.Errorf("redirect: %+v", a)
	}
	if in := s.callerSays("BYE", 3, ""); in.last.StatusCode != 200 {
		t.Errorf("BYE got %d", in.last.StatusCode)
	}
	s.c.must(s.c.closeOrphan) // its time is over, too
	s.settle()
	if len(s.records) != 1 || s.records[0].Outcome != voice.OutcomeFailed || !s.over || len(s.dialogs) != 0 {
		t.Errorf("records %+v, %d dialogs", s.records, len(s.dialogs))
	}
	s = newStage(t)
	orphan(s)
	s.ask(voice.RequestClearCall, "", "c1", nil)
	if len(s.records) != 1 || !s.over {
		t.Errorf("cleared: %+v", s.records)
	}
}
