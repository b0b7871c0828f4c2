package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// Every request that lacks what it needs is refused with the names of what it lacks, and nobody else is asked.
func TestShapes(t *testing.T) {
	full := voice.Request{
		ThisDN: "1001", ConnID: "c1", HeldConnID: "c2", OtherDN: "1002", ThirdPartyDN: "1003", UserData: voice.KVList{"a": "b"}, Key: "a",
		Digits: "12#", PrivateID: voice.PrivateRecordStart, Forward: voice.ForwardOnBusy, Monitor: voice.MonitorOneCall, Merge: voice.MergeForTransfer,
		TreatmentType: voice.TreatmentMusic,
	}
	for name, sh := range shapes {
		r := full
		r.Name = name
		if _, e := shapeOf(&r); e != nil {
			t.Errorf("%s with everything: %v", name, e)
		}
		empty := voice.Request{Name: name}
		_, e := shapeOf(&empty)
		if e == nil || e.Code != voice.TErrInvalidValue {
			t.Errorf("%s with nothing: %v", name, e)
			continue
		}
		for i, m := range memberNames {
			if needs := sh.needs&(1<<i) != 0; needs != strings.Contains(e.Message+" ", " "+m+" ") {
				t.Errorf("%s: %q; needs %s: %v", name, e.Message, m, needs)
			}
		}
	}
	for _, c := range []struct {
		want voice.TErrorCode
		with func(*voice.Request)
	}{
		{voice.TErrUnsupported, func(r *voice.Request) { r.Name = "RequestDance" }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name = "" }},
		{voice.TErrInvalidDestination, func(r *voice.Request) { r.Name, r.OtherDN = voice.RequestMakeCall, "1001" }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.Digits = voice.RequestSendDTMF, "12x" }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.ConnID = voice.RequestHoldCall, "c\r\nBye" }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.OtherDN = voice.RequestMakeCall, strings.Repeat("1", 65) }},
		{voice.TErrInvalidConnID, func(r *voice.Request) { r.Name, r.HeldConnID = voice.RequestCompleteTransfer, "c1" }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.Merge = voice.RequestMergeCalls, "MergeForFun" }},
		{voice.TErrUnsupported, func(r *voice.Request) { r.Name, r.PrivateID = voice.RequestPrivateService, 1 }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.Forward = voice.RequestCallForwardSet, "Sometimes" }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.Forward = voice.RequestCallForwardSet, voice.ForwardNone }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.RouteType = voice.RequestRouteCall, 3 }},
		{voice.TErrInvalidValue, func(r *voice.Request) { r.Name, r.OtherDN = voice.RequestRouteCall, "" }},
		{0, func(r *voice.Request) { r.Name, r.OtherDN, r.RouteType = voice.RequestRouteCall, "", voice.RouteReject }},
		{voice.TErrInvalidValue, func(r *voice.Request) {
			r.Name, r.Extensions = voice.RequestMonitorNextCall, voice.KVList{voice.ExtMonitorMode: "loud"}
		}},
	} {
		r := full
		c.with(&r)
		if _, e := shapeOf(&r); (e == nil) != (c.want == 0) || e != nil && e.Code != c.want {
			t.Errorf("%+v: %v, want code %d", r, e, c.want)
		}
	}
}

func call(node, conn string, dns ...string) voice.Call {
	c := voice.Call{Tenant: "demo", Node: node, ConnID: conn, CallUUID: "uuid-" + conn, CallThreadID: "t-" + conn}
	for _, dn := range dns {
		c.Parties = append(c.Parties, voice.Party{DN: dn, State: voice.PartyEstablished})
	}
	return c
}

func TestNewCallGoesWhereItBelongs(t *testing.T) {
	r := start(t, nil)
	make := map[string]any{"request": "RequestMakeCall", "ThisDN": "1001", "OtherDN": "1002", "ReferenceID": 7}
	if a := r.wants(voice.TErrNoSwitch, "boss", make); a.ReferenceID != 7 || a.ID != voice.EventError {
		t.Errorf("without nodes: %+v", a)
	}
	busy, idle, leaving := r.node("busy", 50, false), r.node("idle", 3, false), r.node("leaving", 0, true)
	if a := r.wants(0, "boss", make); a.ID != eventACK || a.ConnID != "c-idle" || a.CallUUID != "u-idle" || a.ReferenceID != 7 {
		t.Errorf("by load: %+v", a)
	}
	got := idle.taken()
	if len(got) != 1 || got[0].Tenant != "demo" || got[0].User != "boss" || got[0].ReferenceID != 7 || got[0].OtherDN != "1002" {
		t.Errorf("the node was asked %+v", got)
	}
	r.state.set(call("busy", "c1", "1001"))
	if a := r.wants(0, "boss", make); a.ConnID != "c-busy" {
		t.Errorf("with a call at busy: %+v", a)
	}
	r.state.set(call("leaving", "c1", "1001"))
	if a := r.wants(0, "boss", make); a.ConnID != "c-leaving" {
		t.Errorf("with a call at a node that is drained: %+v", a)
	}
	r.state.set()
	// A node that says no is the answer; a call is not made twice.
	idle.answers(func(*voice.Request) (*contract.RequestAnswer, error) {
		return &contract.RequestAnswer{Error: voice.TErrorf(voice.TErrBusy, "it is busy")}, nil
	})
	r.wants(voice.TErrBusy, "boss", make)
	idle.answers(func(*voice.Request) (*contract.RequestAnswer, error) {
		return nil, voice.Errorf(voice.ErrTimeout, "too late")
	})
	r.wants(voice.TErrTimeout, "boss", make)
	// One that nobody answers for is passed over.
	idle.answers(func(*voice.Request) (*contract.RequestAnswer, error) {
		return nil, voice.Errorf(voice.ErrUnavailable, "it stops")
	})
	if a := r.wants(0, "boss", make); a.ConnID != "c-busy" {
		t.Errorf("with idle gone: %+v", a)
	}
	if n := len(busy.taken()) + len(leaving.taken()); n != 3 {
		t.Errorf("the others were asked %d times, want 3", n)
	}
}

func TestRequestsFindTheirCall(t *testing.T) {
	r := start(t, nil)
	a, b := r.node("a", 0, false), r.node("b", 0, false)
	hold := map[string]any{"request": "HoldCall", "ThisDN": "1001", "ConnID": "c1", "Reasons": map[string]any{"why": "lunch"}}
	r.wants(voice.TErrInvalidConnID, "boss", hold)

	r.state.set(call("b", "c1", "1001"))
	r.wants(0, "boss", hold)
	if got := b.taken(); len(got) != 1 || got[0].Name != voice.RequestHoldCall || got[0].Reasons.Text("why") != "lunch" {
		t.Errorf("b was asked %+v", got)
	}
	r.state.set() // as young a call as call state does not know
	a.has(contract.LiveCall{ConnID: "c1"})
	r.wants(0, "boss", hold)
	if got := a.taken(); len(got) != 1 {
		t.Errorf("a was asked %+v", got)
	}
	r.state.set(call("b", "c1", "1001")) // and one that has moved
	b.answers(func(*voice.Request) (*contract.RequestAnswer, error) {
		return &contract.RequestAnswer{Error: voice.TErrorf(voice.TErrInvalidConnID, "not here")}, nil
	})
	r.wants(0, "boss", hold)
	if n, m := len(a.taken()), len(b.taken()); n != 1 || m != 1 {
		t.Errorf("a was asked %d times and b %d", n, m)
	}
	a.has()
	r.wants(voice.TErrInvalidConnID, "boss", hold)
}

func TestQueries(t *testing.T) {
	r := start(t, nil)
	r.state.set(call("a", "c1", "1001", "1002"), call("a", "c2", "1003"))
	if a := r.wants(0, "boss", map[string]any{"request": "RequestQueryCall", "ConnID": "c2"}); a.Call == nil || a.Call.CallUUID != "uuid-c2" {
		t.Errorf("QueryCall: %+v", a)
	}
	a := r.wants(0, "boss", map[string]any{"request": "RequestQueryAddress", "ThisDN": "1001"})
	if got, _ := json.Marshal(a.Address); string(got) != `{"DN":"1001","type":"extension","registered":true,"DND":false,"calls":["c1"]}` {
		t.Errorf("QueryAddress: %s", got)
	}
	var list contract.FindCallsResponse
	if status := r.do(http.MethodGet, "/api/v1/tenants/demo/calls", "boss", nil, &list); status != 200 || list.Total != 2 {
		t.Errorf("calls: %d %+v", status, list)
	}
	if status := r.do(http.MethodGet, "/api/v1/tenants/demo/calls", "alice", nil, &list); status != 200 || list.Total != 1 || list.Calls[0].ConnID != "c1" {
		t.Errorf("calls of an agent: %d %+v", status, list)
	}
	for path, want := range map[string]int{"c2": 200, "uuid-c2": 200, "c9": 404} {
		if status := r.do(http.MethodGet, "/api/v1/tenants/demo/calls/"+path, "boss", nil, nil); status != want {
			t.Errorf("call %s: %d, want %d", path, status, want)
		}
	}
	for path, want := range map[string]int{"c1": 200, "c2": 404} {
		if status := r.do(http.MethodGet, "/api/v1/tenants/demo/calls/"+path, "alice", nil, nil); status != want {
			t.Errorf("call %s of an agent: %d, want %d", path, status, want)
		}
	}
}

func TestWhoMayAsk(t *testing.T) {
	r := start(t, nil)
	r.node("a", 0, false)
	mine := map[string]any{"request": "RequestMakeCall", "ThisDN": "1001", "OtherDN": "1002"}
	foreign := map[string]any{"request": "RequestMakeCall", "ThisDN": "1002", "OtherDN": "1001", "ReferenceID": 3}
	for _, who := range []string{"alice", "boss", "root"} {
		r.wants(0, who, mine)
	}
	if a, status := r.request("alice", foreign); status != 403 || a.ErrorCode != voice.TErrNotRegistered || a.ReferenceID != 3 {
		t.Errorf("an agent for the DN of another: %d %+v", status, a)
	}
	r.wants(voice.TErrNotRegistered, "alice", map[string]any{"request": "RequestMonitorNextCall", "ThisDN": "1001", "OtherDN": "1002", "MonitorNextCallType": "MonitorOneCall"})
	r.wants(voice.TErrNotRegistered, "alice", map[string]any{"request": "RequestQueryCall", "ConnID": "c1"})
	for _, who := range []string{"acme", "guest"} {
		if status := r.do(http.MethodPost, "/api/v1/tenants/demo/requests", who, mine, nil); status != 403 {
			t.Errorf("%s: %d, want 403", who, status)
		}
	}
	if status := r.do(http.MethodPost, "/api/v1/tenants/demo/requests", "stranger", mine, nil); status != 401 {
		t.Errorf("a stranger: %d, want 401", status)
	}
	for body, want := range map[string]int{
		"{":                                     422,
		`{"request":"RequestMakeCall"} {}`:      422,
		`{"request":"RequestMakeCall","Who":1}`: 422,
	} {
		if status := r.do(http.MethodPost, "/api/v1/tenants/demo/requests", "boss", body, nil); status != want {
			t.Errorf("%s: %d, want %d", body, status, want)
		}
	}
	r.wants(voice.TErrDNNotConfigured, "boss", map[string]any{"request": "RequestMakeCall", "ThisDN": "1999", "OtherDN": "1001"})
	r.wants(voice.TErrInvalidCallingDN, "boss", map[string]any{"request": "RequestMakeCall", "ThisDN": "gw", "OtherDN": "1001"})
	r.wants(voice.TErrUnsupported, "boss", map[string]any{"request": "RequestRegisterAddress", "ThisDN": "1001"})
}

// Forwarding and do-not-disturb have their effect in the dial plan, and are told by events.
func TestDeviceRequests(t *testing.T) {
	r := start(t, nil)
	heard := make(chan voice.DeviceEvent, 16)
	ctx, cancel := context.WithCancel(t.Context())
	done, ready := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		from := fabric.From{New: true, Ready: func() { close(ready) }}
		err := r.f.Subscribe(ctx, fabric.StreamDevices, fabric.Filter("device", "demo", fabric.Rest), from, func(m fabric.Message) {
			var e voice.DeviceEvent
			if err := json.Unmarshal(m.Data, &e); err != nil {
				t.Error(err)
			}
			heard <- e
		})
		if err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-ready
	dial := func(number, want string) {
		t.Helper()
		res, err := fabric.Call(t.Context(), r.f, contract.Resolve, &contract.ResolveRequest{Tenant: "demo", From: "1001", Dialled: number})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%s %s %d busy=%s noanswer=%s", res.Kind, res.Number, res.Status, res.OnBusy, res.OnNoAnswer)
		if got != want {
			t.Errorf("1001 dials %s: %s, want %s", number, got, want)
		}
	}
	event := func(want voice.EventName, ref int64) {
		t.Helper()
		if e := <-heard; e.ID != want || e.ReferenceID != ref || e.ThisDN != "1002" || e.Server != "frontend" {
			t.Errorf("event %+v, want %s", e, want)
		}
	}
	of := func(name string, ref int, more ...string) map[string]any {
		req := map[string]any{"request": name, "ThisDN": "1002", "ReferenceID": ref}
		for i := 0; i+1 < len(more); i += 2 {
			req[more[i]] = more[i+1]
		}
		return req
	}
	dial("1002", "device 1002 0 busy= noanswer=")
	r.wants(0, "boss", of("CallForwardSet", 1, "OtherDN", "1003", "ForwardMode", "OnBusyAndNoAnswer"))
	event(voice.EventForwardSet, 1)
	dial("1002", "device 1002 0 busy=1003 noanswer=1003")
	r.wants(0, "boss", of("SetDNDOn", 2))
	event(voice.EventDNDOn, 2)
	dial("1002", "device 1003 0 busy= noanswer=")
	r.wants(voice.TErrAlreadyInState, "boss", of("SetDNDOn", 3))
	r.wants(0, "boss", of("CallForwardCancel", 4))
	event(voice.EventForwardCancel, 4)
	dial("1002", "reject 1002 486 busy= noanswer=")
	a := r.wants(0, "boss", of("QueryAddress", 5))
	if !a.Address.DND || a.Address.Forward != nil {
		t.Errorf("address %+v", a.Address)
	}
	r.wants(0, "boss", of("SetDNDOff", 6))
	event(voice.EventDNDOff, 6)
	r.wants(0, "boss", of("CallForwardSet", 7, "OtherDN", "1003", "ForwardMode", "Unconditional"))
	event(voice.EventForwardSet, 7)
	dial("1002", "device 1003 0 busy= noanswer=")
	r.wants(voice.TErrAlreadyInState, "boss", of("CallForwardCancel", 8, "ForwardMode", "OnBusy"))
	r.wants(0, "boss", of("CallForwardCancel", 9, "ForwardMode", "SendAllCalls"))
	event(voice.EventForwardCancel, 9)
	dial("1002", "device 1002 0 busy= noanswer=")
	r.wants(voice.TErrInvalidDestination, "boss", of("CallForwardSet", 10, "OtherDN", "not a number!", "ForwardMode", "OnBusy"))
	point := of("SetDNDOn", 11)
	point["ThisDN"] = "5000"
	r.wants(voice.TErrTargetInvalid, "boss", point)
	user := of("DistributeUserEvent", 12, "OtherDN", "1001")
	user["UserData"] = map[string]any{"hello": "world"}
	r.wants(0, "boss", user)
	if e := <-heard; e.ID != voice.EventUserEvent || e.UserData.Text("hello") != "world" || e.OtherDN != "1001" {
		t.Errorf("user event %+v", e)
	}
}

func TestRequestsInProgressAreLimited(t *testing.T) {
	r := start(t, func(c *Config) { c.Requests, c.RequestsPerUser = 2, 1 })
	n := r.node("a", 0, false)
	entered, release := make(chan struct{}), make(chan struct{})
	n.answers(func(*voice.Request) (*contract.RequestAnswer, error) {
		entered <- struct{}{}
		<-release
		return &contract.RequestAnswer{}, nil
	})
	ask := func(user string) *contract.RequestAnswer {
		a, err := r.Ask(t.Context(), &voice.Request{Name: voice.RequestMakeCall, Tenant: "demo", User: user, ThisDN: "1001", OtherDN: "1002"})
		if err != nil {
			t.Error(err)
		}
		return a
	}
	first := make(chan *contract.RequestAnswer)
	go func() { first <- ask("alice") }()
	<-entered
	if a := ask("alice"); a.Error == nil || a.Error.Code != voice.TErrTooManyRequests {
		t.Errorf("a second one of the same user: %+v", a)
	}
	leave, e := r.busy.enter("demo", "boss")
	if e != nil {
		t.Fatal(e)
	}
	if a := ask("root"); a.Error == nil || a.Error.Code != voice.TErrTooManyRequests {
		t.Errorf("a third one of all: %+v", a)
	}
	leave()
	close(release)
	if a := <-first; a.Error != nil {
		t.Errorf("the first: %+v", a.Error)
	}
	if r.busy.len() != 0 || len(r.busy.users) != 0 {
		t.Errorf("%d left in progress, of %v", r.busy.len(), r.busy.users)
	}
}

// Every request that is understood is in the OpenAPI document.
func TestOpenAPINamesAllRequests(t *testing.T) {
	r := start(t, nil)
	var doc struct {
		Paths      map[string]map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Enum []string }
			}
		}
	}
	r.do(http.MethodGet, "/openapi.json", "", nil, &doc)
	if _, ok := doc.Paths[base+"/requests"]["post"]; !ok {
		t.Errorf("paths %v", doc.Paths)
	}
	enum := doc.Components.Schemas["Request"].Properties["request"].Enum
	for name := range shapes {
		if !slices.Contains(enum, string(name)) {
			t.Errorf("%s is not in the document", name)
		}
	}
}
