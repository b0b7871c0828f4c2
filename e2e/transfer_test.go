package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/voice"
)

// talksWith waits until one conversation is in progress, in which those two talk.
func talksWith(t *testing.T, p *platform, caller, callee string) {
	t.Helper()
	peer.Poll(t, 20*time.Second, func() error {
		var live contract.CallsResponse
		if err := json.Unmarshal([]byte(rest(t, p, "sip", http.MethodGet, "/api/v1/tenants/demo/calls", http.StatusOK)), &live); err != nil {
			return err
		}
		if len(live.Calls) != 1 || live.Calls[0].State != "talking" || live.Calls[0].Caller != caller || live.Calls[0].Callee != callee {
			return fmt.Errorf("calls in progress: %+v", live.Calls)
		}
		return nil
	})
}

// A softphone sends REFER to a number (RFC 3515): those who stay talk, and hear each other.
func TestSoftphoneTransfersBlind(t *testing.T) {
	t.Parallel()
	p := start(t, "blind", "")
	bare := func(number string) *peer.Process {
		ph := peer.Baresip(t, peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local", Transport: "udp", Server: p.sip("udp"), Answer: true})
		peer.BaresipRegistered(ph)
		return ph
	}
	a, b, c := bare("1001"), bare("1002"), bare("1003")
	a.Type("/dial sip:1002@demo.local")
	a.Await(`Call established`, 15*time.Second)
	b.Await(`Call established`, 15*time.Second)
	b.Type("/transfer 1003")
	c.Await(`Call established`, 15*time.Second)
	b.Await(`session closed|terminated|transfer`, 15*time.Second)
	talksWith(t, p, "1001", "1003")
	a.Type("/hangup")
	c.Await(`session closed|terminated`, 15*time.Second)
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 1})
}

// A softphone asks somebody before it transfers to him, and sends REFER with Replaces (RFC 5589 §7.1): two calls become one.
func TestSoftphoneTransfersAttended(t *testing.T) {
	t.Parallel()
	p := start(t, "attended", "")
	account := func(number string) peer.Account {
		return peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local", Transport: "udp", Server: p.sip("udp"), Answer: true}
	}
	a, c := peer.Baresip(t, account("1001")), peer.Baresip(t, account("1003"))
	peer.BaresipRegistered(a)
	peer.BaresipRegistered(c)
	lin := peer.Linphone(t, account("1002"))
	peer.LinphoneRegistered(lin)

	lin.Type("call sip:1001@demo.local")
	a.Await(`Call established`, 15*time.Second)
	lin.Await(`connected|Connected`, 15*time.Second)
	lin.Type("pause")
	lin.Await(`(?i)paused`, 15*time.Second)
	lin.Type("call sip:1003@demo.local")
	c.Await(`Call established`, 15*time.Second)
	lin.Await(`Call 2 .*connected|connected|Connected`, 15*time.Second)
	lin.Type("transfer 1 --to-call 2")
	talksWith(t, p, "1001", "1003")
	a.Type("/hangup")
	c.Await(`session closed|terminated`, 15*time.Second)
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 2})
}
