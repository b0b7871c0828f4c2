package workspace

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// event is an event of the device 2001 in a call; seq rises by itself.
type script struct {
	r   *rig
	seq uint64
}

func (s *script) event(id voice.EventName, conn string, more func(*voice.CallEvent)) {
	s.seq++
	ev := &voice.CallEvent{
		ID: id, Tenant: "acme", ThisDN: "2001", OtherDN: "2002", OtherDNRole: voice.RoleDestination, ConnID: conn, CallUUID: "U" + conn,
		CallType: voice.CallInternal, Seq: s.seq, Time: time.Now(),
	}
	if more != nil {
		more(ev)
	}
	s.r.Call(ev)
}

// line is what a message says, short.
func line(m map[string]any) string {
	switch m["messageType"] {
	case "CallStateChanged":
		c := m["call"].(map[string]any)
		var who []string
		for _, p := range c["participants"].([]any) {
			who = append(who, p.(map[string]any)["number"].(string))
		}
		return fmt.Sprintf("%s %s %s %s", m["notificationType"], c["id"], c["state"], strings.Join(who, "+"))
	case "DnStateChanged":
		return "Dn " + m["dn"].(map[string]any)["activity"].(string)
	}
	return fmt.Sprint(m["messageType"])
}

func (d *desk) lines(until string) []string {
	d.t.Helper()
	var out []string
	for _, m := range d.until(func(m map[string]any) bool { return line(m) == until }) {
		out = append(out, line(m))
	}
	return out
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestACallIsFollowed(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	s := &script{r: r}
	s.event(voice.EventDialing, "C1", nil)
	s.event(voice.EventEstablished, "C1", nil)
	s.event(voice.EventHeld, "C1", nil)
	s.event(voice.EventRetrieved, "C1", nil)
	s.event(voice.EventAttachedDataChanged, "C1", func(ev *voice.CallEvent) {
		ev.UserData, ev.UserDataVersion = voice.KVList{"vip": int64(1), "who": "ann"}, 1
	})
	same(t, "a call", d.lines("AttachedDataChanged C1 Established 2002"),
		"StateChange C1 Dialing 2002", "Dn InitiatingCall",
		"StateChange C1 Established 2002", "Dn HandlingInternalCall",
		"StateChange C1 Held 2002", "Dn CallOnHold",
		"StateChange C1 Established 2002", "Dn HandlingInternalCall",
		"AttachedDataChanged C1 Established 2002")
	list := d.must("GET", "/workspace/v3/voice/calls", "")
	for _, want := range []string{`{"key":"vip","type":"int","value":1}`, `{"key":"who","type":"str","value":"ann"}`, `"hold"`, `"callUuid":"UC1"`} {
		if !strings.Contains(list, want) {
			t.Errorf("voice/calls lacks %s: %s", want, list)
		}
	}
	s.seq-- // an event that is in it already
	s.event(voice.EventHeld, "C1", nil)
	s.event(voice.EventReleased, "C1", nil)
	same(t, "the end", d.lines("Dn Idle"), "StateChange C1 Released 2002", "Dn Idle")
	if list := d.must("GET", "/workspace/v3/voice/calls", ""); !strings.Contains(list, `"calls":[]`) {
		t.Errorf("a released call is still there: %s", list)
	}
}

func TestTransferIsFollowedByBoth(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	s := &script{r: r}
	consult := func(ev *voice.CallEvent) {
		ev.CallType, ev.PreviousConnID, ev.OtherDN = voice.CallConsult, "C1", "2003"
	}
	s.event(voice.EventDialing, "C1", nil)
	s.event(voice.EventEstablished, "C1", nil)
	s.event(voice.EventHeld, "C1", nil)
	s.event(voice.EventDialing, "C2", consult)
	s.event(voice.EventEstablished, "C2", consult)
	var consulted map[string]any
	for _, m := range d.until(func(m map[string]any) bool { return line(m) == "StateChange C2 Established 2003" }) {
		if m["messageType"] == "CallStateChanged" {
			consulted = m["call"].(map[string]any)
		}
	}
	can := fmt.Sprint(consulted["capabilities"])
	if consulted["parentConnId"] != "C1" || !strings.Contains(can, "complete-transfer") || strings.Contains(can, "initiate-transfer") {
		t.Errorf("the consult call is %v", consulted)
	}
	d.lines("Dn HandlingConsultCall")
	transferred := func(ev *voice.CallEvent) { ev.CallState = voice.StateTransferred }
	s.event(voice.EventReleased, "C1", transferred)
	s.event(voice.EventReleased, "C2", func(ev *voice.CallEvent) { consult(ev); transferred(ev) })
	d.lines("Dn Idle")

	// The other side of one: 2001 was consulted in C4 about C3 and now is in C3.
	s.event(voice.EventRinging, "C4", func(ev *voice.CallEvent) { consult(ev); ev.PreviousConnID = "C3" })
	s.event(voice.EventEstablished, "C4", func(ev *voice.CallEvent) { consult(ev); ev.PreviousConnID = "C3" })
	s.event(voice.EventPartyChanged, "C3", func(ev *voice.CallEvent) {
		ev.PreviousConnID, ev.OtherDN, ev.ThirdPartyDN, ev.ThirdPartyDNRole = "C4", "2009", "2003", voice.RoleTransferredBy
		ev.CallState = voice.StateTransferred
	})
	var last map[string]any
	for _, m := range d.until(func(m map[string]any) bool { return line(m) == "ParticipantsUpdated C3 Established 2009" }) {
		last = m
	}
	if c := last["call"].(map[string]any); c["previousConnId"] != "C4" || c["parentConnId"] != nil || c["callType"] != "Internal" {
		t.Errorf("after the transfer the call is %v", c)
	}
}

func TestConferenceIsFollowed(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	s := &script{r: r}
	s.event(voice.EventDialing, "C1", nil)
	s.event(voice.EventEstablished, "C1", nil)
	s.event(voice.EventPartyAdded, "C1", func(ev *voice.CallEvent) { ev.OtherDN, ev.OtherDNRole = "2003", voice.RoleNewParty })
	s.event(voice.EventPartyDeleted, "C1", func(ev *voice.CallEvent) {
		ev.OtherDN, ev.ThirdPartyDN, ev.ThirdPartyDNRole = "2002", "2002", voice.RoleDeletedParty
	})
	same(t, "a conference", d.lines("ParticipantsUpdated C1 Established 2003"),
		"StateChange C1 Dialing 2002", "Dn InitiatingCall", "StateChange C1 Established 2002", "Dn HandlingInternalCall",
		"ParticipantsUpdated C1 Established 2002+2003", "ParticipantsUpdated C1 Established 2003")
}

func TestVerbsBecomeRequests(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("boss-token", "2001")
	(&script{r: r}).event(voice.EventDialing, "C1", nil)
	for _, c := range []struct {
		path, data string
		want       voice.Request
	}{
		{"make-call", `{"destination":"2002","userData":[{"key":"a","type":"str","value":"b"},{"key":"l","type":"kvlist","value":[{"key":"n","type":"int","value":3}]}]}`,
			voice.Request{Name: voice.RequestMakeCall, OtherDN: "2002", UserData: voice.KVList{"a": "b", "l": voice.KVList{"n": int64(3)}}}},
		{"calls/C1/hold", ``, voice.Request{Name: voice.RequestHoldCall, ConnID: "C1"}},
		{"calls/C1/answer", `{"reasons":[{"key":"r","type":"int","value":1}]}`,
			voice.Request{Name: voice.RequestAnswerCall, ConnID: "C1", Reasons: voice.KVList{"r": int64(1)}}},
		{"calls/C1/complete-transfer", `{"parentConnId":"C0"}`, voice.Request{Name: voice.RequestCompleteTransfer, ConnID: "C1", HeldConnID: "C0"}},
		{"calls/C1/alternate", `{"heldConnId":"C0"}`, voice.Request{Name: voice.RequestAlternateCall, ConnID: "C1", HeldConnID: "C0"}},
		{"calls/C1/merge", `{"otherConnId":"C0"}`,
			voice.Request{Name: voice.RequestMergeCalls, ConnID: "C1", HeldConnID: "C0", Merge: voice.MergeForConference}},
		{"calls/C1/single-step-transfer", `{"destination":"2003"}`, voice.Request{Name: voice.RequestSingleStepTransfer, ConnID: "C1", OtherDN: "2003"}},
		{"calls/C1/delete-from-conference", `{"dnToDrop":"2003"}`,
			voice.Request{Name: voice.RequestDeleteFromConference, ConnID: "C1", ThirdPartyDN: "2003"}},
		{"calls/C1/send-dtmf", `{"dtmfDigits":"12#"}`, voice.Request{Name: voice.RequestSendDTMF, ConnID: "C1", Digits: "12#"}},
		{"calls/C1/delete-user-data-pair", `{"key":"a"}`, voice.Request{Name: voice.RequestDeletePair, ConnID: "C1", Key: "a"}},
		{"calls/C1/pause-recording", ``, voice.Request{Name: voice.RequestPrivateService, ConnID: "C1", PrivateID: voice.PrivateRecordPause}},
		{"set-forward", `{"forwardTo":"2003"}`,
			voice.Request{Name: voice.RequestCallForwardSet, OtherDN: "2003", Forward: voice.ForwardUnconditional}},
		{"start-monitoring", `{"phoneNumberToMonitor":"2002","monitoringMode":"Coach","monitoringNextCallType":"AllCalls","monitoringScope":"Agent"}`,
			voice.Request{Name: voice.RequestMonitorNextCall, OtherDN: "2002", Monitor: voice.MonitorAllCalls,
				Extensions: voice.KVList{voice.ExtMonitorMode: "coach", voice.ExtMonitorScope: "agent"}}},
		{"send-user-event", `{"callUuid":"UC1","userData":[{"key":"a","type":"str","value":"b"}]}`,
			voice.Request{Name: voice.RequestDistributeUserEvent, ConnID: "C1", UserData: voice.KVList{"a": "b"}}},
	} {
		body := ""
		if c.data != "" {
			body = `{"operationId":"op","data":` + c.data + `}`
		}
		text := d.must("POST", "/workspace/v3/voice/"+c.path, body)
		if want := `{"status":{"code":1}`; !strings.HasPrefix(text, want) || strings.Contains(text, `"op"`) != (body != "") {
			t.Errorf("%s = %s, want %s and the operation id", c.path, text, want)
		}
		got := *r.lastAsked(t)
		if got.ReferenceID == 0 || got.Tenant != "acme" || got.User != "boss" || got.ThisDN != "2001" {
			t.Errorf("%s asks %+v", c.path, got)
		}
		got.ReferenceID, got.Tenant, got.User, got.ThisDN = 0, "", "", ""
		gotText, _ := json.Marshal(got)
		wantText, _ := json.Marshal(c.want)
		if string(gotText) != string(wantText) {
			t.Errorf("%s asks\n %s, want\n %s", c.path, gotText, wantText)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	(&script{r: r}).event(voice.EventDialing, "C1", nil)
	for _, c := range []struct {
		path, data   string
		status, code int
	}{
		{"make-call", `{}`, 400, 223},
		{"make-call", `{"destination":"2002","outboundCallerId":"1"}`, 501, 51},
		{"make-call", `{"destination":"2002","userData":[{"key":"x","type":"str","value":1.5}]}`, 400, 223},
		{"make-call", `{"destination":"2002","userData":{"no":"array"}}`, 400, 223},
		{"make-call", `[`, 400, 223},
		{"make-call", `{"destination":"` + strings.Repeat("9", 300) + `"}`, 400, 223},
		{"calls/C9/hold", ``, 404, 56},
		{"calls/C1/complete", ``, 409, 185},
		{"calls/C1/switch-to-coaching", ``, 403, 41},
		{"start-monitoring", `{"phoneNumberToMonitor":"2002"}`, 403, 41},
		{"ready", ``, 501, 51},
		{"login", ``, 501, 51},
		{"activate", `{"dn":"2002"}`, 403, 41},
		{"activate", `{"placeName":"desk-2"}`, 403, 41},
		{"activate", `{"placeName":"desk-1","queueName":"q"}`, 501, 51},
		{"activate", `{"agentId":"B1"}`, 400, 53},
		{"send-user-event", `{"callUuid":"nobody","userData":[{"key":"a","type":"str","value":"b"}]}`, 404, 56},
		{"teleport", ``, 404, 404},
	} {
		body := ""
		if c.data != "" {
			body = `{"data":` + c.data + `}`
		}
		status, text, _ := d.do("POST", "/workspace/v3/voice/"+c.path, body)
		var a answer
		if err := json.Unmarshal([]byte(text), &a); err != nil || status != c.status || a.Status.Code != c.code || a.Status.Message == "" {
			t.Errorf("%s %s = %d %s, want %d with code %d", c.path, c.data, status, text, c.status, c.code)
		}
	}
}

func TestARefusalOfTheSwitchIsToldTwice(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	var reference int64
	r.answer = func(req *voice.Request) (*contract.RequestAnswer, error) {
		reference = req.ReferenceID
		return &contract.RequestAnswer{Error: voice.TErrorf(voice.TErrInvalidDestination, "that is yourself")}, nil
	}
	status, text, _ := d.do("POST", "/workspace/v3/voice/make-call", `{"operationId":"op-7","data":{"destination":"2001"}}`)
	if status != http.StatusBadRequest || !strings.Contains(text, `"code":415`) || !strings.Contains(text, "op-7") {
		t.Errorf("the answer is %d %s", status, text)
	}
	check := func(want float64) {
		t.Helper()
		seen := d.until(func(m map[string]any) bool { return m["messageType"] == "EventError" })
		m := seen[len(seen)-1]
		if m["operationId"] != "op-7" || m["error"].(map[string]any)["errorCode"] != want {
			t.Errorf("EventError = %v, want code %v of op-7", m, want)
		}
	}
	check(415)
	// And what comes to nothing later.
	(&script{r: r}).event(voice.EventError, "C1", func(ev *voice.CallEvent) {
		ev.ReferenceID, ev.ErrorCode, ev.ErrorMessage = reference, voice.TErrBusy, "busy"
	})
	check(231)
	r.answer = func(*voice.Request) (*contract.RequestAnswer, error) { return nil, voice.ErrUnavailable }
	if status, text, _ := d.do("POST", "/workspace/v3/voice/make-call", `{"data":{"destination":"2002"}}`); status != 503 || !strings.Contains(text, `"code":118`) {
		t.Errorf("with nobody to ask: %d %s", status, text)
	}
}

func TestACallInProgressIsShown(t *testing.T) {
	r := start(t, nil)
	r.calls = []voice.Call{{
		ConnID: "C1", CallUUID: "U1", CallType: voice.CallInbound, Seq: 9, Recording: "Paused",
		Parties: []voice.Party{{DN: "555", Role: voice.RoleOrigination, State: voice.PartyEstablished}, {DN: "2001", State: voice.PartyHeld}},
	}}
	d := r.desk(t).enter("alice-token", "2001")
	same(t, "the call there was", d.lines("StateChange C1 Held 555"), "StateChange C1 Held 555")
	s := &script{r: r, seq: 8}
	s.event(voice.EventRetrieved, "C1", nil) // seq 9: in it already
	s.event(voice.EventRetrieved, "C1", func(ev *voice.CallEvent) { ev.OtherDN = "555" })
	same(t, "what came after", d.lines("Dn HandlingInternalCall"), "StateChange C1 Established 555", "Dn HandlingInternalCall")

	// Another client of the session is told how things are when it subscribes.
	d.handshake()
	same(t, "anew", d.lines("StateChange C1 Established 555"), "Dn HandlingInternalCall", "StateChange C1 Established 555")
}

func TestCallsMayWaitToBeCompleted(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	d.must("POST", "/workspace/v3/voice/activate", `{"data":{"placeName":"desk-1","autoCompleteCall":false}}`)
	s := &script{r: r}
	s.event(voice.EventRinging, "C1", nil)
	s.event(voice.EventAbandoned, "C1", nil)
	d.lines("StateChange C1 Released 2002")
	if list := d.must("GET", "/workspace/v3/voice/calls", ""); !strings.Contains(list, `"capabilities":["complete"]`) {
		t.Errorf("the call is not kept: %s", list)
	}
	d.must("POST", "/workspace/v3/voice/calls/C1/complete", "")
	d.lines("StateChange C1 Completed 2002")
	if list := d.must("GET", "/workspace/v3/voice/calls", ""); !strings.Contains(list, `"calls":[]`) {
		t.Errorf("the call is still there: %s", list)
	}
}

func TestTheDeviceIsFollowed(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	r.Device(&voice.DeviceEvent{ID: voice.EventDNDOn, Tenant: "acme", ThisDN: "2001"})
	r.Device(&voice.DeviceEvent{ID: voice.EventDNDOn, Tenant: "other", ThisDN: "2001"}) // nobody's here
	r.Device(&voice.DeviceEvent{ID: voice.EventForwardSet, Tenant: "acme", ThisDN: "2001", OtherDN: "2009"})
	r.Device(&voice.DeviceEvent{ID: voice.EventUserEvent, Tenant: "acme", ThisDN: "2001", UserData: voice.KVList{"a": "b"}})
	seen := d.until(func(m map[string]any) bool { return m["messageType"] == "EventUserEvent" })
	if len(seen) != 3 {
		t.Fatalf("%d messages, want 3: %v", len(seen), seen)
	}
	dn := seen[1]["dn"].(map[string]any)
	if dn["dnd"] != true || dn["forwardTo"] != "2009" || dn["agentState"] != "LoggedOut" {
		t.Errorf("the device is %v", dn)
	}
}
