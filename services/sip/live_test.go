package sip

import (
	"fmt"
	"testing"

	"parley/internal/contract"
)

// The front doors find the messages of a call by what the Call-IDs of its legs begin with.
func TestLegsAreNamedAfterTheCall(t *testing.T) {
	s := newStage(t)
	s.phones["1002"] = []contract.Binding{{Contact: "sip:b@192.0.2.11"}, {Contact: "sip:c@192.0.2.12"}}
	s.plans["1002"] = &contract.ResolveResponse{Kind: contract.RouteDevice, Number: "1002"}
	s.call("1002")
	if len(s.sent) != 2 {
		t.Fatalf("%d requests were sent, want an INVITE to each contact", len(s.sent))
	}
	for i, r := range s.sent {
		if got, want := r.req.CallID().Value(), fmt.Sprintf("%s.%d@node.parley.invalid", s.c.id.uuid, i+1); got != want {
			t.Errorf("leg %d has the Call-ID %q, want %q", i+1, got, want)
		}
	}
	if v := s.c.view.Load(); v.SIPCallID == "" || v.SIPCallID != s.c.legs[caller].callID {
		t.Errorf("the picture of the call has the Call-ID %q", v.SIPCallID)
	}
}
