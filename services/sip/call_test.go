package sip

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
	"parley/services/sip/trunk"
)

const sdpAnswer = "v=0\r\no=- 2 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n"

// talk sets a call up from 1001 to 1002 on the phone b.
func (s *stage) talk() (in *incoming, b *sentRequest) {
	s.t.Helper()
	s.phone("1002", "b")
	in = s.call("1002")
	b = s.last("INVITE", "b")
	b.answer(180, "")
	b.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	return in, b
}

func TestCallAnswered(t *testing.T) {
	s := newStage(t)
	_, b := s.talk()
	s.pass(time.Minute)
	s.phoneSays(b, "BYE", 7, "")
	s.last("BYE", "1001").answer(200, "")
	s.check("answered")
	if r := s.records[0]; r.Talk != time.Minute || r.Outcome != voice.OutcomeAnswered || r.EndedBy != "callee" || r.Answered != "1002" {
		t.Errorf("record %+v", r)
	}
}

func TestCallerHangsUp(t *testing.T) {
	s := newStage(t)
	s.talk()
	s.callerSays("BYE", 2, "")
	s.last("BYE", "b").answer(200, "")
	s.check("caller-hangs-up")
}

func TestBothHangUpAtOnce(t *testing.T) {
	s := newStage(t)
	_, b := s.talk()
	s.callerSays("BYE", 2, "")
	if in := s.phoneSays(b, "BYE", 7, ""); in.last.StatusCode != 200 {
		t.Errorf("the second BYE got %d", in.last.StatusCode)
	}
	s.last("BYE", "b").answer(481, "")
	s.check("both-hang-up")
}

func TestAbandonedWhileRinging(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	in := s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.c.must(func() { s.c.cancelled(in, `Q.850;cause=16;text="Terminated"`) })
	s.settle()
	b.answer(487, "")
	s.check("abandoned")
}

func TestCancelCrossesAnswer(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	in := s.call("1002")
	b := s.last("INVITE", "b")
	s.c.must(func() { s.c.cancelled(in, "") })
	s.settle()
	b.answer(200, sdpAnswer) // the phone was quicker than our CANCEL
	s.last("BYE", "b").answer(200, "")
	b.answer(200, sdpAnswer) // late repetition, when the call is gone
	s.check("cancel-crosses-answer")
}

func TestBusy(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	in := s.call("1002")
	s.last("INVITE", "b").answer(486, "")
	s.check("busy")
	if in.last.StatusCode != 486 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
}

func TestNoAnswer(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.pass(20 * time.Second)
	b.answer(487, "")
	s.check("no-answer")
	if r := s.records[0]; r.Outcome != voice.OutcomeNoAnswer || r.Status != 480 {
		t.Errorf("record %+v", r)
	}
}

func TestNoAnswerGoesOn(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.phone("1003", "c")
	s.plans["1002"].OnNoAnswer = "1003"
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.pass(20 * time.Second)
	b.answer(487, "")
	c := s.last("INVITE", "c")
	c.answer(180, "")
	c.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", "c").answer(200, "")
	s.check("no-answer-goes-on")
	if got := header(c.req, "Diversion"); got != "<sip:1002@demo.local>" {
		t.Errorf("Diversion %q", got)
	}
}

func TestFirstPhoneWins(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b", "c", "d")
	s.call("1002")
	b, c, d := s.last("INVITE", "b"), s.last("INVITE", "c"), s.last("INVITE", "d")
	b.answer(180, "")
	c.answer(180, "")
	d.answer(486, "") // one is busy, the others ring on
	c.answer(200, sdpAnswer)
	if !b.cancel || c.cancel || d.cancel {
		t.Errorf("cancelled: b %v, c %v, d %v", b.cancel, c.cancel, d.cancel)
	}
	b.answer(200, sdpAnswer) // picked up at the same moment
	b.answer(200, sdpAnswer) // and has not had our ACK
	s.last("BYE", "b").answer(200, "")
	s.callerSays("ACK", 1, "")
	s.phoneSays(c, "BYE", 1, "")
	s.last("BYE", "1001").answer(200, "")
	s.check("first-phone-wins")
}

func TestRedirected(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.phone("1003", "c")
	s.call("1002")
	s.last("INVITE", "b").answer(302, "", "Contact: <sip:1003@demo.local>")
	s.last("INVITE", "c").answer(603, "")
	s.check("redirected")
}

func TestForwardsEnd(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.plans["1002"].OnBusy = "1002"
	in := s.call("1002")
	for range DefaultConfig().MaxForwards + 1 {
		s.last("INVITE", "b").answer(486, "")
	}
	if in.last.StatusCode != 486 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
	s.check("forwards-end")
}

func TestNotRegistered(t *testing.T) {
	s := newStage(t)
	s.phone("1002")
	s.call("1002")
	s.check("not-registered")
}

func TestNoSuchNumber(t *testing.T) {
	s := newStage(t)
	in := s.call("4711")
	if in.last.StatusCode != 404 || in.last.GetHeader("Warning") == nil {
		t.Errorf("the caller got\n%s", in.last)
	}
	s.check("no-such-number")
}

func TestTrunkFailsOver(t *testing.T) {
	s := newStage(t)
	s.plans["0123"] = &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: "0123", Trunks: []contract.RouteTarget{
		{DN: "gw1", Contact: "sip:192.0.2.10", Number: "123"}, {DN: "gw2", Contact: "sip:192.0.2.11", Number: "49123"}}}
	s.call("0123")
	s.last("INVITE", "123").answer(503, "")
	gw := s.last("INVITE", "49123")
	gw.answer(183, sdpAnswer)
	gw.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", "49123").answer(200, "")
	s.check("trunk-fails-over")
	if r := s.records[0]; r.TrunkOut != "gw2" || r.Type != voice.CallOutbound {
		t.Errorf("record %+v", r)
	}
}

// leaveBy makes a number that goes out by trunks.
func (s *stage) leaveBy(number string, trunks ...string) {
	p := &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: number}
	for _, dn := range trunks {
		p.Trunks = append(p.Trunks, contract.RouteTarget{DN: dn, Contact: "sip:192.0.2.10", Number: dn + "-" + number})
	}
	s.plans[number] = p
}

// A target that says nothing at all is given up for the next one, and hung up when it answers after all.
func TestTrunkTargetSilent(t *testing.T) {
	s := newStage(t)
	s.leaveBy("0123", "gw1")
	s.hops = map[string]int{"gw1": 2}
	s.call("0123")
	dead := s.last("INVITE", "gw1-0123")
	s.pass(trunkPatience)
	alive := s.last("INVITE", "gw1-0123")
	if alive == dead || !dead.cancel {
		t.Fatalf("the second target was not tried:\n%s", s.ladder.String())
	}
	alive.answer(100, "")
	s.pass(2 * trunkPatience) // it works on it, and that is enough
	alive.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	dead.answer(200, sdpAnswer)
	s.last("BYE", "gw1-0123").answer(200, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", "gw1-0123").answer(200, "")
	s.check("trunk-target-silent")
	if r := s.records[0]; r.Outcome != voice.OutcomeAnswered || r.TrunkOut != "gw1" {
		t.Errorf("record %+v", r)
	}
}

// No target is reached and the next trunk is full: the caller hears 503 with Retry-After, at once.
func TestNoTrunkTakesTheCall(t *testing.T) {
	s := newStage(t)
	s.leaveBy("0123", "gw1", "gw2")
	s.full = map[string]error{"gw2": trunk.ErrFull}
	in := s.call("0123")
	s.last("INVITE", "gw1-0123").answer(statusNoFlow, "")
	s.check("no-trunk-takes-the-call")
	if in.last.StatusCode != 503 || in.last.GetHeader("Retry-After") == nil {
		t.Errorf("the caller got\n%s", in.last)
	}
}

// Busy is an answer, and no reason to ask others.
func TestBusyBeyondTheTrunk(t *testing.T) {
	s := newStage(t)
	s.leaveBy("0123", "gw1", "gw2")
	s.hops = map[string]int{"gw1": 2}
	s.from = "account7"
	in := s.call("0123")
	invite := s.last("INVITE", "gw1-0123")
	if from, who := header(invite.req, "From"), header(invite.req, "P-Asserted-Identity"); !strings.HasPrefix(from, "<sip:account7@demo.local>") || who != "<sip:1001@demo.local>" {
		t.Errorf("From %s, P-Asserted-Identity %s", from, who)
	}
	invite.answer(486, "")
	s.check("trunk-busy")
	if in.last.StatusCode != 486 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
}

// An extension behind a softswitch is called there, and is an extension all the same: it rings, and its forwarding counts.
func TestExtensionBehindSoftswitch(t *testing.T) {
	s := newStage(t)
	s.phone("1003", "c")
	s.plans["2001"] = &contract.ResolveResponse{Kind: contract.RouteDevice, Number: "2001", OnBusy: "1003", OnOffline: "1003",
		Trunks: []contract.RouteTarget{{DN: "pbx", Contact: "sip:192.0.2.10", Number: "2001"}}}
	s.call("2001")
	b := s.last("INVITE", "2001")
	b.answer(180, "")
	b.answer(486, "")
	c := s.last("INVITE", "c")
	c.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", "c").answer(200, "")
	s.check("behind-softswitch")
	if r := s.records[0]; r.Type != voice.CallInternal || r.Answered != "1003" {
		t.Errorf("record %+v", r)
	}
}

// When the softswitch is away, the extension behind it is like one that is not registered.
func TestSoftswitchAway(t *testing.T) {
	s := newStage(t)
	s.phone("1003", "c")
	s.full = map[string]error{"pbx": trunk.ErrOut}
	s.plans["2001"] = &contract.ResolveResponse{Kind: contract.RouteDevice, Number: "2001", OnOffline: "1003",
		Trunks: []contract.RouteTarget{{DN: "pbx", Contact: "sip:192.0.2.10", Number: "2001"}}}
	s.call("2001")
	s.last("INVITE", "c").answer(603, "")
	s.check("softswitch-away")
}

// A trunk asks who we are: about the INVITE, which goes again; later requests bring credentials at once, and go again when the
// nonce has become too old. The ACK has what its INVITE had.
func TestTrunkAsksWhoWeAre(t *testing.T) {
	s := newStage(t)
	s.leaveBy("0123", "gw1")
	s.account = trunk.NewAccount(func() (digest.Identity, error) { return digest.Identity{User: "us", Password: "secret"}, nil }, slog.New(slog.DiscardHandler))
	const ask = `Proxy-Authenticate: Digest realm="carrier", nonce="n1", algorithm=MD5, qop="auth"`
	s.call("0123")
	first := s.last("INVITE", "gw1-0123")
	first.answer(407, "", ask)
	again := s.last("INVITE", "gw1-0123")
	proof := header(again.req, "Proxy-Authorization")
	if again == first || !strings.Contains(proof, `username="us", realm="carrier", nonce="n1", uri="`+again.req.Recipient.String()+`"`) ||
		again.req.CSeq().SeqNo != first.req.CSeq().SeqNo+1 || again.req.CallID().Value() != first.req.CallID().Value() {
		t.Fatalf("sent again:\n%s", again.req)
	}
	again.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	if s.lastAck == nil || header(s.lastAck, "Proxy-Authorization") != proof || s.lastAck.CSeq().SeqNo != again.req.CSeq().SeqNo {
		t.Errorf("the ACK is\n%v", s.lastAck)
	}
	s.callerSays("BYE", 2, "")
	bye := s.last("BYE", "gw1-0123")
	if p := header(bye.req, "Proxy-Authorization"); !strings.Contains(p, "nc=00000002") {
		t.Errorf("the BYE brings %q", p)
	}
	bye.answer(407, "", `Proxy-Authenticate: Digest realm="carrier", nonce="n2", stale=true, qop="auth"`)
	last := s.last("BYE", "gw1-0123")
	if p := header(last.req, "Proxy-Authorization"); last == bye || !strings.Contains(p, `nonce="n2"`) || last.req.CSeq().SeqNo != bye.req.CSeq().SeqNo+1 {
		t.Errorf("the BYE went again as\n%s", last.req)
	}
	last.answer(200, "")
	s.check("trunk-asks-who-we-are")
}

// Wrong credentials are not offered twice, and the caller is not asked for what he cannot know.
func TestTrunkRefusesOurCredentials(t *testing.T) {
	s := newStage(t)
	s.leaveBy("0123", "gw1")
	s.account = trunk.NewAccount(func() (digest.Identity, error) { return digest.Identity{User: "us", Password: "wrong"}, nil }, slog.New(slog.DiscardHandler))
	in := s.call("0123")
	for range 2 {
		s.last("INVITE", "gw1-0123").answer(401, "", `WWW-Authenticate: Digest realm="carrier", nonce="n1", qop="auth"`)
	}
	s.check("trunk-refuses-credentials")
	if in.last.StatusCode/100 == 2 || in.last.StatusCode == 401 || in.last.StatusCode == 407 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
}

func TestMissingAck(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.call("1002")
	s.last("INVITE", "b").answer(200, sdpAnswer)
	s.pass(40 * time.Second)
	s.last("BYE", "1001").fails(errors.New("timeout"))
	s.last("BYE", "b").answer(200, "")
	s.check("missing-ack")
}

func TestHoldAndRetrieve(t *testing.T) {
	s := newStage(t)
	_, b := s.talk()
	s.callerSays("INVITE", 2, offer+"a=sendonly\r\n")
	hold := s.last("INVITE", "b")
	hold.answer(200, sdpAnswer+"a=recvonly\r\n")
	s.callerSays("ACK", 2, "")
	hold.answer(200, sdpAnswer+"a=recvonly\r\n") // our ACK was lost
	s.callerSays("INVITE", 3, offer)
	s.last("INVITE", "b").answer(200, sdpAnswer)
	s.callerSays("ACK", 3, "")
	again := s.phoneSays(b, "INVITE", 5, offer)
	s.last("INVITE", "1001").answer(200, sdpAnswer)
	if again.last.StatusCode != 200 {
		t.Errorf("re-INVITE of the callee got %d", again.last.StatusCode)
	}
	s.phoneSays(b, "ACK", 5, "")
	s.callerSays("BYE", 4, "")
	s.last("BYE", "b").answer(200, "")
	s.check("hold-and-retrieve")
}

func TestGlare(t *testing.T) {
	s := newStage(t)
	_, b := s.talk()
	s.callerSays("INVITE", 2, offer+"a=sendonly\r\n")
	if in := s.phoneSays(b, "INVITE", 5, offer); in.last.StatusCode != 491 {
		t.Errorf("the second re-INVITE got %d", in.last.StatusCode)
	}
	s.last("INVITE", "b").answer(491, "")
	s.callerSays("BYE", 3, "")
	s.last("BYE", "b").answer(200, "")
	s.check("glare")
}

func TestPhoneThatForgotTheCall(t *testing.T) {
	s := newStage(t)
	s.talk()
	s.callerSays("UPDATE", 2, offer+"a=sendonly\r\n")
	s.last("UPDATE", "b").answer(481, "")
	s.last("BYE", "b").answer(481, "")
	s.last("BYE", "1001").answer(200, "")
	s.check("phone-forgot")
}

func TestLateOffer(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.body = ""
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(200, offer)
	s.callerSays("ACK", 1, sdpAnswer)
	s.callerSays("BYE", 2, "")
	s.last("BYE", "b").answer(200, "")
	s.check("late-offer")
}

func TestAnonymousCaller(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.call("1002", "Privacy: id")
	b := s.last("INVITE", "b")
	if b.req.GetHeader("P-Asserted-Identity") != nil || header(b.req, "From")[:11] != `"Anonymous"` {
		t.Errorf("the callee sees\n%s", b.req)
	}
	b.answer(603, "")
	s.check("anonymous")
}

// A 503 of a phone would tell the front door that the node is in trouble.
func TestPhoneThatIsUnavailable(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	in := s.call("1002")
	s.last("INVITE", "b").answer(503, "")
	if in.last.StatusCode != 500 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
	s.check("phone-unavailable")
}

// A phone that answers and hangs up at once: the caller's phone gets its BYE when it has the answer, not before (RFC 3261 §15).
func TestHungUpBeforeTheAck(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(200, sdpAnswer)
	s.phoneSays(b, "BYE", 1, "")
	s.pass(time.Second)
	s.callerSays("ACK", 1, "")
	s.last("BYE", "1001").answer(200, "")
	s.check("hung-up-before-ack")
}

func TestHungUpAndNeverAcknowledged(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(200, sdpAnswer)
	s.phoneSays(b, "BYE", 1, "")
	s.pass(32 * time.Second)
	s.last("BYE", "1001").fails(errors.New("timeout"))
	s.check("hung-up-never-acknowledged")
}

// Digits sent while a carrier announces something reach it, and a re-INVITE under way ends with the call.
func TestInfoAndByeInBetween(t *testing.T) {
	s := newStage(t)
	s.plans["0123"] = &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: "0123", Trunks: []contract.RouteTarget{{DN: "gw1", Contact: "sip:192.0.2.10", Number: "123"}}}
	s.call("0123")
	gw := s.last("INVITE", "123")
	if in := s.callerSays("INFO", 2, ""); in.last.StatusCode != 500 {
		t.Errorf("INFO with nobody to hear it got %d", in.last.StatusCode)
	}
	gw.answer(183, sdpAnswer)
	info := s.callerSays("INFO", 3, "")
	s.last("INFO", "123").answer(200, "")
	if info.last.StatusCode != 200 {
		t.Errorf("INFO got %d", info.last.StatusCode)
	}
	gw.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	hold := s.callerSays("INVITE", 4, offer+"a=sendonly\r\n")
	s.callerSays("BYE", 5, "")
	if hold.last.StatusCode != 487 {
		t.Errorf("the re-INVITE under way got %d", hold.last.StatusCode)
	}
	s.last("BYE", "123").answer(200, "")
	s.last("INVITE", "123").answer(487, "")
	s.check("info-and-bye")
}

// A phone that takes no UPDATE is told by re-INVITE what the other one changed by UPDATE.
func TestUpdateToAPhoneWithoutIt(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.call("1002")
	s.last("INVITE", "b").answer(200, sdpAnswer, "Allow: INVITE, ACK, BYE")
	s.callerSays("ACK", 1, "")
	hold := s.callerSays("UPDATE", 2, offer+"a=sendonly\r\n")
	re := s.last("INVITE", "b")
	re.answer(200, sdpAnswer+"a=recvonly\r\n")
	re.answer(200, sdpAnswer+"a=recvonly\r\n") // our ACK was lost
	if hold.last.StatusCode != 200 || len(hold.last.Body()) == 0 {
		t.Errorf("the UPDATE got\n%s", hold.last)
	}
	s.callerSays("BYE", 3, "")
	s.last("BYE", "b").answer(200, "")
	s.check("update-as-reinvite")
}

// Of what a phone says about itself nothing reaches the caller.
func TestNothingOfThePhoneIsSeen(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	in := s.call("1002", "User-Agent: secret-a", "Subject: lunch")
	b := s.last("INVITE", "b")
	if text := b.req.String(); strings.Contains(text, "secret") || strings.Contains(text, "192.0.2.9;branch") || strings.Contains(text, "call-a") || !strings.Contains(text, "Subject: lunch") {
		t.Errorf("the phone sees\n%s", text)
	}
	b.answer(183, "", "Server: secret-b", `Warning: 370 secret.example "Not enough bandwidth"`, "Allow: INVITE, REFER, SECRET")
	if text := in.last.String(); strings.Contains(strings.ToLower(text), "secret") || !strings.Contains(text, `370 parley "Not enough bandwidth"`) {
		t.Errorf("the caller sees\n%s", text)
	}
	b.answer(407, "", "Proxy-Authenticate: Digest realm=secret, nonce=1")
	if in.last.StatusCode != 500 || strings.Contains(in.last.String(), "secret") {
		t.Errorf("the caller is asked for what the phone wants:\n%s", in.last)
	}
}

// What is not for this place is refused as RFC 3261 and RFC 6665 want it.
func TestMethodsThatAreNotHere(t *testing.T) {
	s := newStage(t)
	s.talk()
	for method, want := range map[string]int{"REFER": 400, "PUBLISH": 405, "SUBSCRIBE": 489, "NOTIFY": 489, "PRACK": 481, "OPTIONS": 200} {
		if in := s.callerSays(method, 2, ""); in.last.StatusCode != want {
			t.Errorf("%s within a call got %d, want %d", method, in.last.StatusCode, want)
		}
	}
}

// Of several contacts in a 3xx the one with the highest q is called.
func TestRedirectedByPreference(t *testing.T) {
	s := newStage(t)
	s.phone("1002", "b")
	s.phone("1003", "c")
	s.call("1002")
	s.last("INVITE", "b").answer(300, "", "Contact: <sip:1004@demo.local>;q=0.2", "Contact: <sip:1003@demo.local>;q=0.9", "Contact: <sip:1005@demo.local>;q=much")
	s.last("INVITE", "c").answer(603, "")
}

// A carrier is told who a private caller is, and not to tell (RFC 3325 §9.3); From is anonymous there as well.
func TestAnonymousCallerOverATrunk(t *testing.T) {
	s := newStage(t)
	s.plans["0123"] = &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: "0123", Trunks: []contract.RouteTarget{{DN: "gw1", Contact: "sip:192.0.2.10", Number: "123"}}}
	s.call("0123", `From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=caller`, "Call-ID: call-a")
	gw := s.last("INVITE", "123")
	if header(gw.req, "Privacy") != "id" || !strings.Contains(header(gw.req, "P-Asserted-Identity"), "1001") || strings.Contains(header(gw.req, "From"), "1001") {
		t.Errorf("the carrier is told\n%s", gw.req)
	}
}

// A phone that refuses a change, and says what it would take, leaves the call as it is.
func TestRefusedChange(t *testing.T) {
	s := newStage(t)
	s.talk()
	before := s.c.audio.ends[callee]
	s.callerSays("INVITE", 2, offer+"a=sendonly\r\n")
	s.last("INVITE", "b").answer(488, strings.Replace(sdpAnswer, "5000", "0", 1)+"a=inactive\r\n")
	if now := s.c.audio.ends; now[callee].said.dir != before.said.dir || now[caller].said.dir.Held() {
		t.Errorf("after the refusal the sides are %+v", now)
	}
	if s.callerSays("INVITE", 3, offer).last.StatusCode != 200 {
		t.Error("what the caller said before the refused change is no refresh any more")
	}
}
