package sip

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// unrest plays several calls that have to do with each other: clients ask for whatever they like, sensible or not, and phones
// do what phones do.
type unrest struct {
	*stage
	script []byte
	final  map[*sentRequest]int
	cseq   int
}

func (u *unrest) next() int {
	if len(u.script) == 0 {
		return 0
	}
	b := u.script[0]
	u.script = u.script[1:]
	return int(b)
}

// asked are the requests of clients, in an order that does not change, so that scripts stay what they were.
var asked = []voice.RequestName{
	voice.RequestInitiateTransfer, voice.RequestCompleteTransfer, voice.RequestHoldCall, voice.RequestRetrieveCall, voice.RequestAlternateCall,
	voice.RequestReconnectCall, voice.RequestSingleStepTransfer, voice.RequestInitiateConference, voice.RequestCompleteConference,
	voice.RequestSingleStepConference, voice.RequestDeleteFromConference, voice.RequestReleaseCall, voice.RequestRedirectCall, voice.RequestSetMuteOn,
	voice.RequestSetMuteOff, voice.RequestListenDisconnect, voice.RequestListenReconnect, voice.RequestSendDTMF, voice.RequestAttachUserData,
	voice.RequestDeletePair, voice.RequestClearCall, voice.RequestAnswerCall, voice.RequestMuteTransfer, voice.RequestMergeCalls, voice.RequestQueryCall,
	voice.RequestSetCallInfo, voice.RequestRouteCall, voice.RequestDeleteUserData,
}

// FuzzRequests holds what is true of all calls, whatever is asked for: each ends, with one record and all its events, and
// nothing is left behind.
func FuzzRequests(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 2, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) <= 300 {
			playUnrest(t, script)
		}
	})
}

// Some of what FuzzRequests finds, each time the tests run.
func TestWhateverIsAskedFor(t *testing.T) {
	const scripts, longest = 500, 150
	for seed := range uint64(scripts) {
		r := rand.New(rand.NewPCG(seed, 1))
		script := make([]byte, 20+r.IntN(longest))
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		if playUnrest(t, script); t.Failed() {
			t.Fatalf("script %q", script)
		}
	}
}

func playUnrest(t *testing.T, script []byte) {
	u := &unrest{stage: stageOfCalls(t), script: script, final: map[*sentRequest]int{}, cseq: 100}
	u.meets()
	u.phone("1004", "d")
	u.ask(voice.RequestMakeCall, "1001", "", to("1002"))
	u.willing("a")
	for len(u.script) > 0 && u.finished() < len(u.calls) {
		u.step()
	}
	u.end()
}

// willing lets the newest call of a phone be answered.
func (u *unrest) willing(phone string) {
	for _, r := range u.sent {
		if r.to == phone && u.final[r] == 0 && string(r.req.Method) == "INVITE" {
			u.final[r] = 200
			r.answer(180, "")
			r.answer(200, sdpAnswer)
			return
		}
	}
}

func (u *unrest) step() {
	switch op := u.next() % 10; op {
	case 0, 1, 2:
		u.demand()
	case 3, 4, 5: // phones are mostly willing
		u.willing([]string{"a", "b", "c", "d"}[u.next()%4])
	case 6:
		u.obey([]int{180, 200, 200, 200, 486, 491, 481, 603}[u.next()%8])
	case 7:
		u.phoneActs()
	case 8:
		u.pass(time.Duration(u.next()%64) * time.Second / 4)
	case 9:
		for _, r := range u.sent {
			if m := string(r.req.Method); u.final[r] == 0 && m != "INVITE" {
				u.final[r] = 200
				r.answer(200, "")
			}
		}
	}
}

// demand asks for something.
func (u *unrest) demand() {
	name := asked[u.next()%len(asked)]
	dn := fmt.Sprint(1001 + u.next()%4)
	conn := fmt.Sprint("c", 1+u.next()%max(1, len(u.calls)))
	if u.named("demo", conn) == nil {
		return
	}
	u.ask(name, dn, conn, func(r *voice.Request) {
		r.OtherDN = fmt.Sprint(1001 + u.next()%5) // the last one there is not
		r.ThirdPartyDN = fmt.Sprint(1001 + u.next()%4)
		r.HeldConnID = fmt.Sprint("c", 1+u.next()%3)
		r.Digits, r.Key, r.UserData = "1", "k", voice.KVList{"k": "v"}
		r.Extensions = voice.KVList{"ANI": "4711"}
	})
}

// obey answers some request of the node.
func (u *unrest) obey(status int) {
	if len(u.sent) == 0 {
		return
	}
	r := u.sent[len(u.sent)-1-u.next()%len(u.sent)]
	before, method := u.final[r], string(r.req.Method)
	if before != 0 && (before/100 != 2 || status/100 != 2 || method != "INVITE") || method != "INVITE" && status == 180 {
		return
	}
	body := ""
	if status == 200 && method == "INVITE" {
		body = sdpAnswer
	}
	if status >= 200 {
		u.final[r] = status
	}
	r.answer(status, body)
}

// phoneActs lets a phone that was called do something.
func (u *unrest) phoneActs() {
	if len(u.sent) == 0 {
		return
	}
	r := u.sent[len(u.sent)-1-u.next()%len(u.sent)]
	if string(r.req.Method) != "INVITE" || u.final[r] != 200 || u.dialogs[header(r.req, "Call-ID")] == nil {
		return
	}
	u.cseq++
	hold := strings.Replace(offer, "m=audio", "a=sendonly\r\nm=audio", 1)
	switch u.next() % 6 {
	case 0:
		u.phoneSays(r, "BYE", u.cseq, "")
	case 1:
		u.phoneSays(r, "INVITE", u.cseq, hold)
		u.phoneMaySay(r, "ACK", "")
	case 2:
		u.phoneSays(r, "INVITE", u.cseq, offer)
		u.phoneMaySay(r, "ACK", "")
	case 3:
		u.phoneSays(r, "REFER", u.cseq, "", "Refer-To: <sip:1003@demo.local>")
	case 4:
		u.phoneSays(r, "UPDATE", u.cseq, "")
	case 5:
		other := u.sent[u.next()%len(u.sent)]
		u.phoneSays(r, "REFER", u.cseq, "", fmt.Sprintf("Refer-To: <sip:1003@demo.local?Replaces=%s%%3Bto-tag%%3D%s%%3Bfrom-tag%%3D%s>",
			header(other.req, "Call-ID"), other.to, tagOf(header(other.req, "From"))))
	}
}

func tagOf(value string) string {
	_, tag, _ := strings.Cut(value, "tag=")
	return tag
}

// phoneMaySay is a request in a dialog that may be over by then.
func (u *unrest) phoneMaySay(r *sentRequest, method, body string) {
	if u.dialogs[header(r.req, "Call-ID")] != nil {
		u.phoneSays(r, method, u.cseq, body)
	}
}

// finished is how many calls have ended.
func (u *unrest) finished() (n int) {
	for _, c := range u.calls {
		if c.left {
			n++
		}
	}
	return n
}

// end hangs up what is left and lets everything time out.
func (u *unrest) end() {
	for round := 0; u.finished() < len(u.calls) && round < 40; round++ {
		for _, r := range u.sent {
			if u.final[r] == 0 {
				u.final[r] = 408
				r.fails(errNoAnswer)
			}
		}
		for _, c := range u.calls {
			c.must(func() { c.release("the test is over", "system") })
			u.settle()
		}
		u.pass(time.Hour)
	}
	u.over = u.finished() == len(u.calls)
	u.holds()
	all := append([]*fakeLegs{u.legs}, u.extra...)
	for n := range u.opened {
		if l := all[n/2][n%2]; !l.closed {
			u.t.Errorf("leg %d was not closed", n+1)
		} else if l.ears != 0 {
			u.t.Errorf("leg %d is still listened to", n+1)
		}
	}
	if rooms := u.rooms.List(contract.ConferencesRequest{}); len(rooms) != 0 {
		u.t.Errorf("a conference is left: %+v", rooms)
	}
	for _, c := range u.calls {
		if c.mailbox.home().busy || c.pending != 0 {
			u.t.Errorf("call %s has something to do still: %d requests", c.id.uuid, c.pending)
		}
	}
	if u.t.Failed() {
		u.t.Log(strings.TrimSpace(u.ladder.String()))
	}
}
