package contract

import (
	"encoding/json"
	"time"

	"parley/internal/fabric"
)

// Doors of services/orchestration to the sessions of routing scripts. Each node knows the sessions it runs, and for a while those
// that ended there; ask all nodes with [AskNodes], a certain one with fabric.CallNode.
var (
	Sessions = fabric.NewDoor[SessionsRequest, SessionsResponse]("orchestration", "sessions", 2*time.Second)
	// SessionTrace waits up to the request's Wait for something new, so whoever follows a session asks again and again
	// and hears of each step at once.
	SessionTrace = fabric.NewDoor[SessionTraceRequest, SessionTraceResponse]("orchestration", "session-trace", 15*time.Second)
)

// SessionsRequest asks for sessions, the newest first.
type SessionsRequest struct {
	Tenant string `json:"tenant"`           // "" = all tenants
	Script string `json:"script,omitempty"` // of this script only
	Call   string `json:"call,omitempty"`   // that this call belongs to, by CallUUID
	Ended  bool   `json:"ended,omitempty"`  // also those that ended lately
	Limit  int    `json:"limit,omitempty"`  // 1 to 1,000; 0 = 100
}

// SessionsResponse is some of the sessions.
type SessionsResponse struct {
	Sessions []ScriptSession `json:"sessions"`
	Total    int             `json:"total"` // that fit, listed or not
}

// ScriptSession is one run of a routing script, as it was a moment ago.
type ScriptSession struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	Node        string    `json:"node"`
	Script      string    `json:"script"`            // name of the resource, or address of the document
	Version     int64     `json:"version,omitempty"` // of the resource, see ScriptRef; 0 = the document is none
	Digest      string    `json:"digest"`            // of the text, as scxml.Program tells it
	CallUUID    string    `json:"call_uuid,omitempty"`
	Interaction string    `json:"interaction,omitempty"` // as the script names it
	RoutePoint  string    `json:"route_point,omitempty"`
	ANI         string    `json:"ani,omitempty"`
	DNIS        string    `json:"dnis,omitempty"`
	Start       time.Time `json:"start"`
	End         time.Time `json:"end,omitzero"`
	Due         time.Time `json:"due,omitzero"`    // of its next timer
	States      []string  `json:"states"`          // active ones without states inside; of one that ended, those it ended in
	Error       string    `json:"error,omitempty"` // why it was stopped, or the last error it met
}

// SessionTraceRequest asks what a session did.
type SessionTraceRequest struct {
	Tenant string        `json:"tenant"`
	ID     string        `json:"id"`
	After  uint64        `json:"after,omitempty"`  // only steps with a larger Seq
	Wait   time.Duration `json:"wait,omitempty"`   // for one such step, at most 10 s; 0 = answer at once
	Source bool          `json:"source,omitempty"` // with the text of the document
	Chart  bool          `json:"chart,omitempty"`  // with the drawing of its state chart
}

// SessionTraceResponse has steps in their order. The error of the door is voice.ErrNotFound if the node has no such session.
type SessionTraceResponse struct {
	Session ScriptSession `json:"session"`
	Active  []string      `json:"active"` // all active states, outer ones too
	Steps   []SessionStep `json:"steps"`
	Lost    bool          `json:"lost,omitempty"` // steps between After and the first here are not kept any more
	Source  []byte        `json:"source,omitempty"`
	Chart   string        `json:"chart,omitempty"` // <svg> of package chart, active states lit; "" where the document is too large to be drawn
}

// StepKind says what a step is. The first ones are those of scxml.Trace.
type StepKind string

// The kinds of steps.
const (
	StepEnter   StepKind = "enter"   // a state, by Name
	StepExit    StepKind = "exit"    //
	StepEvent   StepKind = "event"   // taken by the session
	StepRequest StepKind = "request" // made by an action of a module, such as queue.submit; Data is what it asks for
	StepLog     StepKind = "log"     //
	StepError   StepKind = "error"   //
	StepEnd     StepKind = "end"     //
)

// SessionStep is one thing that a session did.
type SessionStep struct {
	Seq  uint64          `json:"seq"` // from 1, without gaps
	At   time.Time       `json:"at"`
	What StepKind        `json:"what"`
	Name string          `json:"name,omitempty"`
	Data json.RawMessage `json:"data,omitempty"` // cut to 4 KB
}
