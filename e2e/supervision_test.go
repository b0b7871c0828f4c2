package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/voice"
)

// A supervisor's softphone is called into the next call of an agent; sound proves who hears him, and whom he hears, in each mode.
func TestSupervisorListensWhispersAndBargesIn(t *testing.T) {
	t.Parallel()
	p := house(t, "boss")
	a, b, c := newMember(t, p, "1001", 450, false), newMember(t, p, "1002", 750, true), newMember(t, p, "1003", 1650, true)
	ask := func(body map[string]any) {
		t.Helper()
		sendTo(t, p, "frontend", http.MethodPost, "requests", body, nil)
	}
	ask(map[string]any{"request": "RequestMonitorNextCall", "ThisDN": "1003", "OtherDN": "1002", "MonitorNextCallType": "MonitorOneCall",
		"Extensions": map[string]any{"MonitorMode": "normal"}})
	a.proc.Type("/dial sip:1002@demo.local")
	for _, m := range []*member{b, c} {
		m.proc.Await(`Call established`, 30*time.Second)
	}
	var calls contract.FindCallsResponse
	peer.Poll(t, 20*time.Second, func() error {
		sendTo(t, p, "frontend", http.MethodGet, "calls", nil, &calls)
		if len(calls.Calls) != 1 || len(calls.Calls[0].Parties) != 3 {
			return fmt.Errorf("calls %+v, want one of three parties", calls.Calls)
		}
		return nil
	})
	mode := func(name, mode string) {
		t.Helper()
		ask(map[string]any{"request": name, "ThisDN": "1003", "ConnID": calls.Calls[0].ConnID, "Extensions": map[string]any{"MonitorMode": mode}})
	}
	for _, pt := range calls.Calls[0].Parties {
		if observes := pt.Role == voice.RoleObserverDN; observes != (pt.DN == "1003") {
			t.Errorf("%s is there as %s", pt.DN, pt.Role)
		}
	}
	expectHears(t, "listening", [][]bool{{false, true, false}, {true, false, false}, {true, true, false}}, a, b, c)
	mode("RequestSetMuteOff", "coach")
	expectHears(t, "whispering", [][]bool{{false, true, false}, {true, false, true}, {true, true, false}}, a, b, c)
	mode("RequestSetMuteOff", "connect")
	expectHears(t, "barging in", [][]bool{{false, true, true}, {true, false, true}, {true, true, false}}, a, b, c)
	c.proc.Type("/hangup")
	expectHears(t, "the two alone", [][]bool{{false, true}, {true, false}}, a, b)
	a.proc.Type("/hangup")
	if r := recorded(t, p, "1001", voice.OutcomeAnswered); r.Answered != "1002" {
		t.Errorf("record %+v", r)
	}
}
