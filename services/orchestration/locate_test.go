package orchestration

import (
	"context"
	"testing"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
)

// A call whose node is gone is found where it goes on: by call state, or else by asking all nodes.
func TestACallThatMovedIsFound(t *testing.T) {
	r := newRig(t)
	n := r.node("a", nil)
	route := func() (at string, err error) {
		_, at, err = atCall(t.Context(), n.Service, contract.RouteCall, "demo", "U1", "gone", &contract.RouteCallRequest{Tenant: "demo", CallUUID: "U1", Destination: "1002"})
		return at, err
	}
	if at, err := route(); err == nil {
		t.Fatalf("a call that nobody has was routed at %s", at)
	}
	serve := func(stop func(), err error) func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	stop := serve(fabric.Handle(context.Background(), r.f, contract.FindCalls, func(_ context.Context, q contract.FindCallsRequest) (contract.FindCallsResponse, error) {
		return contract.FindCallsResponse{Calls: []voice.Call{{CallUUID: q.CallUUID, Node: "sip1"}}}, nil
	}))
	if at, err := route(); at != "sip1" || err != nil {
		t.Errorf("by call state: at %q, %v", at, err)
	}
	stop()
	serve(fabric.Handle(context.Background(), r.f, contract.Calls, func(_ context.Context, q contract.CallsRequest) (contract.CallsResponse, error) {
		return contract.CallsResponse{Calls: []contract.LiveCall{{CallUUID: q.CallUUIDs[0], Node: "sip1"}}}, nil
	}))
	if _, err := r.f.Bucket(fabric.BucketNodes).Put(t.Context(), fabric.Key("sip1"), []byte(`{}`), fabric.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	n.live.mu.Lock()
	n.live.list = nil
	n.live.until = n.live.until.Add(-liveFresh)
	n.live.mu.Unlock()
	if at, err := route(); at != "sip1" || err != nil {
		t.Errorf("by asking all nodes: at %q, %v", at, err)
	}
}

func TestEventsStayInTheirTenant(t *testing.T) {
	n := newRig(t).node("a", nil)
	for id, tenant := range map[string]string{"A": "demo", "B": "demo", "C": "other"} {
		n.add(n.newSession(record{ID: id, Tenant: tenant}))
	}
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		clear(n.sessions)
	}()
	for name, c := range map[string]struct {
		from, to string
		ok       bool
	}{
		"same tenant":      {"#_scxml_A", "B", true},
		"what A invoked":   {"#_scxml_A.x.1", "B", true},
		"another tenant":   {"#_scxml_A", "C", false},
		"nobody is there":  {"#_scxml_A", "D", false},
		"nobody sends it":  {"", "A", false},
		"a stranger sends": {"#_scxml_D", "A", false},
	} {
		if err := n.deliver(c.to, scxml.Event{Name: "e", Origin: c.from}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
