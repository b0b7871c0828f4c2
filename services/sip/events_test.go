package sip

import (
	"encoding/json"
	"testing"

	"parley/internal/voice"
)

// mandatory are the members that clients of the T-Library model count on in every event of a call.
var mandatory = []string{"id", "Server", "ThisDN", "ThisDNRole", "CallID", "CallThreadID", "CallType", "CallUUID", "ConnID", "CallState", "tenant", "seq", "time", "node"}

// checkEvent holds what is true of every event, as a client reads it.
func checkEvent(t *testing.T, e *voice.CallEvent) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range mandatory {
		if v, ok := members[name]; !ok || v == "" {
			t.Errorf("%s has no %s: %s", e.ID, name, text)
		}
	}
	switch e.ID {
	case voice.EventDialing, voice.EventRinging, voice.EventEstablished, voice.EventAbandoned:
		if (e.OtherDN == "" || e.OtherDNRole == "") && e.CallState != voice.StateConferenced { // among more than two the other one is not one
			t.Errorf("%s does not name the other party: %s", e.ID, text)
		}
	case voice.EventDiverted:
		if e.ThirdPartyDN == "" {
			t.Errorf("%s does not say where the call went: %s", e.ID, text)
		}
	}
	if e.CallType == voice.CallUnknown {
		t.Errorf("%s of a call of unknown type: %s", e.ID, text)
	}
}
