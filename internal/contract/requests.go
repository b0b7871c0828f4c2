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

// SetUserData is served by services/callstate: it has the node of a call change its user data if they are of the version given.
// The error is voice.ErrConflict with the current version in its sentence when they are not, and voice.ErrNotFound when there
// is no such call.
var SetUserData = fabric.NewDoor[SetUserDataRequest, SetUserDataResponse]("callstate", "user-data", 11*time.Second)

// SetUserDataRequest replaces the pairs given, and leaves the others.
type SetUserDataRequest struct {
	Tenant   string       `json:"tenant"`
	CallUUID string       `json:"CallUUID"`
	ThisDN   string       `json:"ThisDN,omitempty"` // for which it is asked; "" = the first party of the call
	UserData voice.KVList `json:"UserData"`
	Version  int64        `json:"UserDataVersion,omitempty"` // 0 = whatever it is
	User     string       `json:"user,omitempty"`            // who asks
}

// SetUserDataResponse is what was there before; the change is told by EventAttachedDataChanged.
type SetUserDataResponse struct {
	ConnID  string `json:"ConnID"`
	Version int64  `json:"UserDataVersion"` // that was changed
}

// Invariants is served by services/callstate; each node has its own count, and fabric.CallNode asks a certain one.
var Invariants = fabric.NewDoor[struct{}, InvariantsResponse]("callstate", "invariants", 2*time.Second)

// InvariantsResponse is what may never have happened, and how often it did since the node started.
type InvariantsResponse struct {
	Calls      int              `json:"calls"`   // in progress, of all nodes
	Threads    int              `json:"threads"` // that they belong to
	Counts     map[string]int64 `json:"counts"`  // by kind; all kinds are there
	Violations []Violation      `json:"violations"`
}

// Sum is how many violations there were.
func (r InvariantsResponse) Sum() (n int64) {
	for _, v := range r.Counts {
		n += v
	}
	return n
}

// Violation is one time that an invariant of calls did not hold.
type Violation struct {
	Kind     string          `json:"kind" doc:"node_dead, no_dialog, missing, disorder, doubled, impossible or unreadable"`
	Time     time.Time       `json:"time" doc:"When it was found"`
	Tenant   string          `json:"tenant,omitempty"`
	Node     string          `json:"node,omitempty"`
	CallUUID string          `json:"CallUUID,omitempty"`
	ConnID   string          `json:"ConnID,omitempty"`
	DN       string          `json:"DN,omitempty"`
	Event    voice.EventName `json:"event,omitempty"`
	Seq      uint64          `json:"seq,omitempty" doc:"Number of the event in its call"`
	Reason   string          `json:"reason" doc:"What is wrong, as a sentence"`
}
