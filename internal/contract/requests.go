package contract

import (
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// The doors of T-Library requests. What T-Library calls an error is part of the answer, with its number; an error of the
// door says that nobody could be asked.
var (
	// Ask is served by services/frontend: it finds the node that has the call, or one for a new call, and asks it.
	Ask = fabric.NewDoor[*voice.Request, *RequestAnswer]("frontend", "request", 12*time.Second)
	// AskNode is served by each SIP node for the calls it has, and for new ones; ask it with fabric.CallNode.
	AskNode = fabric.NewDoor[*voice.Request, *RequestAnswer]("sip", "request", 10*time.Second)
)

// Doors of services/callstate, which knows the calls of all nodes.
var (
	FindCalls = fabric.NewDoor[FindCallsRequest, FindCallsResponse]("callstate", "calls", 2*time.Second)
)

// FindCallsRequest asks for calls in progress that fit all that is given, the oldest first.
type FindCallsRequest struct {
	Tenant   string `json:"tenant"`             // "" = all tenants
	ConnID   string `json:"ConnID,omitempty"`   // now or before a merger
	CallUUID string `json:"CallUUID,omitempty"` //
	ThreadID string `json:"CallThreadID,omitempty"`
	DN       string `json:"DN,omitempty"` // one of its parties
	Node     string `json:"node,omitempty"`
	Limit    int    `json:"limit,omitempty"` // 1 to 1,000; 0 = 100
}

// FindCallsResponse is some of the calls in progress.
type FindCallsResponse struct {
	Calls []voice.Call `json:"calls"`
	Total int          `json:"total"` // that fit, listed or not
}
