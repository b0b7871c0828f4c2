package voice

import (
	"strings"
	"time"
)

// RequestName is the name of a T-Library request, with its prefix "Request".
type RequestName string

// The requests about calls.
const (
	RequestMakeCall             RequestName = "RequestMakeCall"
	RequestAnswerCall           RequestName = "RequestAnswerCall"
	RequestReleaseCall          RequestName = "RequestReleaseCall"
	RequestClearCall            RequestName = "RequestClearCall"
	RequestHoldCall             RequestName = "RequestHoldCall"
	RequestRetrieveCall         RequestName = "RequestRetrieveCall"
	RequestAlternateCall        RequestName = "RequestAlternateCall"
	RequestReconnectCall        RequestName = "RequestReconnectCall"
	RequestRedirectCall         RequestName = "RequestRedirectCall"
	RequestInitiateTransfer     RequestName = "RequestInitiateTransfer"
	RequestCompleteTransfer     RequestName = "RequestCompleteTransfer"
	RequestMuteTransfer         RequestName = "RequestMuteTransfer"
	RequestSingleStepTransfer   RequestName = "RequestSingleStepTransfer"
	RequestInitiateConference   RequestName = "RequestInitiateConference"
	RequestCompleteConference   RequestName = "RequestCompleteConference"
	RequestSingleStepConference RequestName = "RequestSingleStepConference"
	RequestDeleteFromConference RequestName = "RequestDeleteFromConference"
	RequestMergeCalls           RequestName = "RequestMergeCalls"
	RequestSendDTMF             RequestName = "RequestSendDTMF"
	RequestSetMuteOn            RequestName = "RequestSetMuteOn"
	RequestSetMuteOff           RequestName = "RequestSetMuteOff"
	RequestListenDisconnect     RequestName = "RequestListenDisconnect"
	RequestListenReconnect      RequestName = "RequestListenReconnect"
	RequestRouteCall            RequestName = "RequestRouteCall"
	RequestApplyTreatment       RequestName = "RequestApplyTreatment"
	RequestAttachUserData       RequestName = "RequestAttachUserData"
	RequestUpdateUserData       RequestName = "RequestUpdateUserData"
	RequestDeletePair           RequestName = "RequestDeletePair"
	RequestDeleteUserData       RequestName = "RequestDeleteUserData"
	RequestSetCallInfo          RequestName = "RequestSetCallInfo"
	RequestPrivateService       RequestName = "RequestPrivateService"
	RequestQueryCall            RequestName = "RequestQueryCall"
)

// The requests about devices and those who use them.
const (
	RequestMonitorNextCall     RequestName = "RequestMonitorNextCall"
	RequestCancelMonitoring    RequestName = "RequestCancelMonitoring"
	RequestDistributeUserEvent RequestName = "RequestDistributeUserEvent"
	RequestCallForwardSet      RequestName = "RequestCallForwardSet"
	RequestCallForwardCancel   RequestName = "RequestCallForwardCancel"
	RequestSetDNDOn            RequestName = "RequestSetDNDOn"
	RequestSetDNDOff           RequestName = "RequestSetDNDOff"
	RequestQueryAddress        RequestName = "RequestQueryAddress"
	RequestRegisterAddress     RequestName = "RequestRegisterAddress"
	RequestUnregisterAddress   RequestName = "RequestUnregisterAddress"
)

// Bare is the name without its prefix, as in "MakeCall".
func (n RequestName) Bare() string { return strings.TrimPrefix(string(n), "Request") }

// Request is a T-Library request. Which members mean something depends on its name; the others are absent.
type Request struct {
	Name        RequestName `json:"request"`
	Tenant      string      `json:"tenant,omitempty"`      // by the path, over REST
	User        string      `json:"user,omitempty"`        // who asks, by his token; for the record
	ReferenceID int64       `json:"ReferenceID,omitempty"` // chosen by who asks; on the events it causes

	ThisDN       string `json:"ThisDN,omitempty"`       // for which it is asked
	ConnID       string `json:"ConnID,omitempty"`       // the call; where two calls are concerned, the active one
	HeldConnID   string `json:"HeldConnID,omitempty"`   // the held one of the two: the call consulted about
	OtherDN      string `json:"OtherDN,omitempty"`      // destination, as ThisDN would dial it
	ThirdPartyDN string `json:"ThirdPartyDN,omitempty"` // to be dropped, or not to be heard

	UserData   KVList `json:"UserData,omitempty"`
	Key        string `json:"Key,omitempty"`                 // of a pair to delete
	Version    int64  `json:"UserDataVersion,omitempty"`     // only if this is the version of the user data; 0 = whatever it is
	Reasons    KVList `json:"Reasons,omitempty"`             // why the client acts; on the events it causes
	Extensions KVList `json:"Extensions,omitempty"`          // extras of a request, by name
	Digits     string `json:"DTMFDigits,omitempty"`          // 0-9 * # A-D, and "," for a pause
	Location   string `json:"Location,omitempty"`            // accepted and not used: there is one switch
	PrivateID  int    `json:"PrivateMsgID,omitempty"`        // of RequestPrivateService, see the constants
	Forward    string `json:"ForwardMode,omitempty"`         // see the constants
	Monitor    string `json:"MonitorNextCallType,omitempty"` // MonitorOneCall or MonitorAllCalls
	Merge      string `json:"MergeType,omitempty"`           // MergeForTransfer or MergeForConference

	TreatmentType       TreatmentType `json:"TreatmentType,omitempty"`
	TreatmentParameters KVList        `json:"TreatmentParameters,omitempty"`
	RouteType           RouteType     `json:"RouteType,omitempty"`
}

// What a RequestPrivateService asks for: recording of the call of ThisDN.
const (
	PrivateRecordStart  = 3013
	PrivateRecordStop   = 3014
	PrivateRecordPause  = 3015
	PrivateRecordResume = 3016
)

// Forward modes.
const (
	ForwardNone              = "None"
	ForwardUnconditional     = "Unconditional"
	ForwardOnBusy            = "OnBusy"
	ForwardOnNoAnswer        = "OnNoAnswer"
	ForwardOnBusyAndNoAnswer = "OnBusyAndNoAnswer"
	ForwardSendAllCalls      = "SendAllCalls"
)

// How many calls a monitoring session lasts, and what the extensions MonitorMode and MonitorScope say.
const (
	MonitorOneCall  = "MonitorOneCall"
	MonitorAllCalls = "MonitorAllCalls"

	ExtMonitorMode  = "MonitorMode"  // normal or mute: listen; coach: whisper; connect: barge in
	ExtMonitorScope = "MonitorScope" // call: until the call ends; agent: as long as the agent is in it
)

// Kinds of merging.
const (
	MergeForTransfer   = "MergeForTransfer"
	MergeForConference = "MergeForConference"
)

// RouteType is how a call is routed; the numbers are those of T-Library.
type RouteType int

// The route types that mean something here; any other is refused.
const (
	RouteUnknown    RouteType = 0
	RouteDefault    RouteType = 1 // to the route point's default destination
	RouteDirect     RouteType = 6
	RouteReject     RouteType = 7 // ends the call
	RouteDisconnect RouteType = 14
)

// PartyState is what a party of a call does.
type PartyState string

// The states of a party.
const (
	PartyDialing     PartyState = "Dialing"
	PartyRinging     PartyState = "Ringing"
	PartyQueued      PartyState = "Queued" // a route point with the call at it
	PartyEstablished PartyState = "Established"
	PartyHeld        PartyState = "Held" // it has the call on hold
)

// Party is one DN in a call, or somebody beyond a trunk.
type Party struct {
	DN    string     `json:"DN"`
	Role  DNRole     `json:"DNRole"`
	State PartyState `json:"State"`
	Queue string     `json:"Queue,omitempty"` // it came by
	Trunk string     `json:"Trunk,omitempty"` // it is beyond; such a party has no events
	Muted bool       `json:"Muted,omitempty"`
	Since time.Time  `json:"Since"` // the state began
}

// Call is a call as its events tell it: what RequestQueryCall and GET /calls show.
type Call struct {
	Tenant         string    `json:"tenant"`
	Node           string    `json:"node"` // that has it
	ConnID         string    `json:"ConnID"`
	PreviousConnID string    `json:"PreviousConnID,omitempty"` // of a consult call: the call it is about
	CallID         uint64    `json:"CallID"`
	CallUUID       string    `json:"CallUUID"`
	CallThreadID   string    `json:"CallThreadID"`
	CallType       CallType  `json:"CallType"`
	ANI            string    `json:"ANI,omitempty"`
	DNIS           string    `json:"DNIS,omitempty"`
	Start          time.Time `json:"Start"`
	Answer         time.Time `json:"Answer,omitzero"`
	Parties        []Party   `json:"Parties"`
	UserData       KVList    `json:"UserData,omitempty"`
	Version        int64     `json:"UserDataVersion,omitempty"`
	Recording      string    `json:"Recording,omitempty"` // Recording or Paused; "" = none
	Seq            uint64    `json:"seq"`                 // of its last event
}
