package contract

import (
	"time"

	"parley/internal/fabric"
)

// Doors of services/sip. Each SIP node knows its own calls only; fabric.CallNode asks a certain one.
var (
	Calls  = fabric.NewDoor[CallsRequest, CallsResponse]("sip", "calls", 2*time.Second)
	HangUp = fabric.NewDoor[HangUpRequest, struct{}]("sip", "hang-up", 2*time.Second)
)

// CallsRequest asks for calls in progress, the oldest first.
type CallsRequest struct {
	Tenant    string   // "" = all tenants
	CallUUIDs []string // only these; none = all
	Limit     int      // 1 to 1,000; 0 = 100
}

// CallsResponse is some of the calls in progress.
type CallsResponse struct {
	Calls []LiveCall `json:"calls"`
	Total int        `json:"total"` // calls in progress of the tenant, listed or not
}

// LiveCall is a call in progress, as it was a moment ago.
type LiveCall struct {
	CallUUID  string    `json:"call_uuid"`
	Tenant    string    `json:"tenant"`
	Node      string    `json:"node"`
	Type      string    `json:"type"`  // internal, inbound or outbound
	State     string    `json:"state"` // routing, queued (at a route point), alerting, answered (not confirmed by the caller yet) or talking
	Caller    string    `json:"caller"`
	Dialled   string    `json:"dialled"`
	Callee    string    `json:"callee,omitempty"` // DN that rings or talks
	ConnID    string    `json:"conn_id"`
	Queue     string    `json:"queue,omitempty"`     // route point it is at; with State alerting it is being routed from there
	Treatment string    `json:"treatment,omitempty"` // what the caller hears there; "" = none was applied
	TrunkIn   string    `json:"trunk_in,omitempty"`
	TrunkOut  string    `json:"trunk_out,omitempty"`
	SIPCallID string    `json:"sip_call_id"` // Call-ID of the caller's dialog
	Start     time.Time `json:"start"`
	Ringing   time.Time `json:"ringing,omitzero"` // when the first place called said that it rings
	Answer    time.Time `json:"answer,omitzero"`
	CallerMOS float64   `json:"caller_mos,omitempty"` // of its voice lately, of the two directions the lower; 0 is not known
	CalleeMOS float64   `json:"callee_mos,omitempty"`
}

// HangUpRequest ends a call by hand; the error is voice.ErrNotFound when the node has no such call.
type HangUpRequest struct {
	Tenant, CallUUID string
	By               string // who wants it, for the record
}
