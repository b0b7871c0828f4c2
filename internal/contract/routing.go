package contract

import (
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// Doors of services/sip to calls at route points. The node that has the call is that of its events; ask it with
// fabric.CallNode. What T-Library calls an error is part of the answer, with its number; an error of the door says that
// nobody could be asked.
var (
	ApplyTreatment = fabric.NewDoor[*TreatmentRequest, *RequestAnswer]("sip", "apply-treatment", 5*time.Second)
	RouteCall      = fabric.NewDoor[*RouteCallRequest, *RequestAnswer]("sip", "route-call", 5*time.Second)
)

// TreatmentRequest is RequestApplyTreatment: what the caller at a route point shall hear, or be asked for. It takes the
// place of a treatment that runs.
type TreatmentRequest struct {
	Tenant      string              `json:"tenant"`
	ConnID      string              `json:"ConnID,omitempty"`   // one of these two
	CallUUID    string              `json:"CallUUID,omitempty"` //
	ThisDN      string              `json:"ThisDN,omitempty"`   // the route point; "" = wherever the call is
	Type        voice.TreatmentType `json:"TreatmentType"`
	Parameters  voice.KVList        `json:"TreatmentParameters,omitempty"`
	ReferenceID int64               `json:"ReferenceID,omitempty"` // comes back in the events
}

// RouteCallRequest is RequestRouteCall: where the call at a route point shall go. The answer comes when it is known that there
// is such a place; whether it takes the call is told by events: EventDiverted, or EventError and another EventRouteRequest.
type RouteCallRequest struct {
	Tenant      string `json:"tenant"`
	ConnID      string `json:"ConnID,omitempty"`   // one of these two
	CallUUID    string `json:"CallUUID,omitempty"` //
	ThisDN      string `json:"ThisDN,omitempty"`   // the route point; "" = wherever the call is
	Destination string `json:"OtherDN"`            // as the route point would dial it
	ReferenceID int64  `json:"ReferenceID,omitempty"`
}

// RequestAnswer is what became of a request: accepted, or not and why.
type RequestAnswer struct {
	ReferenceID int64         `json:"ReferenceID,omitempty"`
	Error       *voice.TError `json:"error,omitempty"`  // nil = accepted
	ConnID      string        `json:"ConnID,omitempty"` // of a call that the request made
	CallUUID    string        `json:"CallUUID,omitempty"`
	Call        *voice.Call   `json:"call,omitempty"`    // of RequestQueryCall
	Address     *AddressInfo  `json:"address,omitempty"` // of RequestQueryAddress
}

// AddressInfo is what a directory number is and does at the moment.
type AddressInfo struct {
	DN         string            `json:"DN"`
	Type       voice.DNType      `json:"type"`
	Registered bool              `json:"registered"`
	DND        bool              `json:"DND"`
	Forward    map[string]string `json:"forward,omitempty"` // destination by mode: Unconditional, OnBusy, OnNoAnswer
	Calls      []string          `json:"calls,omitempty"`   // ConnIDs of its calls in progress
}
