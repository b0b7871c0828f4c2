package voice

import "time"

// The events of a call, as T-Library clients know them.
const (
	EventDialing         EventName = "EventDialing"
	EventNetworkReached  EventName = "EventNetworkReached"
	EventRinging         EventName = "EventRinging"
	EventEstablished     EventName = "EventEstablished"
	EventReleased        EventName = "EventReleased"
	EventAbandoned       EventName = "EventAbandoned"
	EventDestinationBusy EventName = "EventDestinationBusy"
	EventHeld            EventName = "EventHeld"
	EventRetrieved       EventName = "EventRetrieved"
	EventDiverted        EventName = "EventDiverted"

	EventPartyChanged        EventName = "EventPartyChanged"
	EventPartyAdded          EventName = "EventPartyAdded"
	EventPartyDeleted        EventName = "EventPartyDeleted"
	EventAttachedDataChanged EventName = "EventAttachedDataChanged"
	EventCallInfoChanged     EventName = "EventCallInfoChanged"
	EventDTMFSent            EventName = "EventDTMFSent"
	EventMuteOn              EventName = "EventMuteOn"
	EventMuteOff             EventName = "EventMuteOff"
	EventListenDisconnected  EventName = "EventListenDisconnected"
	EventListenReconnected   EventName = "EventListenReconnected"
	EventPrivateInfo         EventName = "EventPrivateInfo" // recording began, paused, went on or ended: see Recording
)

// The events of a call at a route point.
const (
	EventQueued              EventName = "EventQueued"
	EventRouteRequest        EventName = "EventRouteRequest"
	EventRouteUsed           EventName = "EventRouteUsed"
	EventTreatmentApplied    EventName = "EventTreatmentApplied"
	EventTreatmentNotApplied EventName = "EventTreatmentNotApplied"
	EventTreatmentEnd        EventName = "EventTreatmentEnd"
	EventError               EventName = "EventError"
)

// CallType says how a call came about; the numbers are those of T-Library.
type CallType int

// The call types.
const (
	CallUnknown  CallType = 0
	CallInternal CallType = 1
	CallInbound  CallType = 2
	CallOutbound CallType = 3
	CallConsult  CallType = 4
)

func (t CallType) String() string {
	switch t {
	case CallInternal:
		return "internal"
	case CallInbound:
		return "inbound"
	case CallOutbound:
		return "outbound"
	case CallConsult:
		return "consult"
	}
	return "unknown"
}

// CallState is the outcome an event reports; the numbers are those of T-Library.
type CallState int

// The call states that calls end or change with.
const (
	StateOk            CallState = 0
	StateTransferred   CallState = 1
	StateConferenced   CallState = 2
	StateGeneralError  CallState = 3
	StateRemoteRelease CallState = 5
	StateBusy          CallState = 6
	StateNoAnswer      CallState = 7
	StateSitInvalidNum CallState = 11
	StateCleared       CallState = 19
	StateRedirected    CallState = 22
	StateForwarded     CallState = 23
	StateAbandoned     CallState = 21
	StatePickedUp      CallState = 25
	StateDropped       CallState = 26
	StateHeld          CallState = 50
)

// DNRole is the part a DN plays in a call.
type DNRole string

// The roles.
const (
	RoleOrigination      DNRole = "RoleOrigination"
	RoleDestination      DNRole = "RoleDestination"
	RoleConferenceMember DNRole = "RoleConferenceMember"
	RoleNewParty         DNRole = "RoleNewParty"
	RoleAddedBy          DNRole = "RoleAddedBy"
	RoleDeletedBy        DNRole = "RoleDeletedBy"
	RoleTransferredBy    DNRole = "RoleTransferredBy"
	RoleDeletedParty     DNRole = "RoleDeletedParty"
	RoleConferencedBy    DNRole = "RoleConferencedBy"
	RoleObserverDN       DNRole = "RoleObserver"
)

// CallEvent is an event on CALLS. Attribute names are those T-Library clients know; the lower-case members are those of
// every event of the platform. Members without meaning for an event are absent.
type CallEvent struct {
	ID               EventName `json:"id"`
	Server           string    `json:"Server"`
	ThisDN           string    `json:"ThisDN"`
	ThisDNRole       DNRole    `json:"ThisDNRole,omitempty"`
	ThisQueue        string    `json:"ThisQueue,omitempty"` // route point that the call is at, or came by
	ThisTrunk        string    `json:"ThisTrunk,omitempty"`
	OtherDN          string    `json:"OtherDN,omitempty"`
	OtherDNRole      DNRole    `json:"OtherDNRole,omitempty"`
	ThirdPartyDN     string    `json:"ThirdPartyDN,omitempty"` // new, gone, or who transferred
	ThirdPartyDNRole DNRole    `json:"ThirdPartyDNRole,omitempty"`
	ConnID           string    `json:"ConnID"`
	PreviousConnID   string    `json:"PreviousConnID,omitempty"`   // of a consult call: the call it is about; after a merger: the call that was
	TransferConnID   string    `json:"TransferConnID,omitempty"`   // the other call of a transfer
	ConferenceConnID string    `json:"ConferenceConnID,omitempty"` // the other call that became a conference
	CallID           uint64    `json:"CallID"`
	CallUUID         string    `json:"CallUUID"`
	CallThreadID     string    `json:"CallThreadID"`
	CallType         CallType  `json:"CallType"`
	CallState        CallState `json:"CallState"`
	ANI              string    `json:"ANI,omitempty"`
	DNIS             string    `json:"DNIS,omitempty"`
	UserData         KVList    `json:"UserData,omitempty"`        // all of it
	UserDataVersion  int64     `json:"UserDataVersion,omitempty"` // rises with each change

	ReferenceID        int64            `json:"ReferenceID,omitempty"` // of the request that caused the event
	CustomerID         string           `json:"CustomerID,omitempty"`  // the tenant, on treatment events
	TreatmentType      TreatmentType    `json:"TreatmentType,omitempty"`
	CollectedDigits    string           `json:"CollectedDigits,omitempty"`
	LastCollectedDigit string           `json:"LastCollectedDigit,omitempty"` // one that ended the collection too
	Extensions         KVList           `json:"Extensions,omitempty"`
	Reasons            KVList           `json:"Reasons,omitempty"` // of the request that caused the event
	DTMFDigits         string           `json:"DTMFDigits,omitempty"`
	Recording          *RecordingLedger `json:"Recording,omitempty"` // on EventPrivateInfo
	ErrorCode          TErrorCode       `json:"ErrorCode,omitempty"` // with ErrorMessage: why a request came to nothing
	ErrorMessage       string           `json:"ErrorMessage,omitempty"`

	Tenant string    `json:"tenant"`
	Seq    uint64    `json:"seq"` // 1 for the first event of the call, without holes
	Time   time.Time `json:"time"`
	Node   string    `json:"node"`
}

// RecordingLedger says what a recording of a call has and what it lacks. The last one of a recording is complete.
type RecordingLedger struct {
	ID       string        `json:"id"`
	State    string        `json:"state"`  // Recording, Paused or Stopped
	Reason   string        `json:"reason"` // what asked for it: dn, trunk, request
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"`               // of the sound in it
	Pauses   []Span        `json:"pauses,omitempty"`          // that somebody asked for
	LeftOut  bool          `json:"pauses_left_out,omitempty"` // the file has nothing of them; otherwise it has silence of their length
	Gaps     []Span        `json:"gaps,omitempty"`            // that nobody asked for: the node changed, the disk was full
	File     string        `json:"file,omitempty"`            // in the store; known at the end
	Bytes    int64         `json:"bytes,omitempty"`
	SHA256   string        `json:"sha256,omitempty"` // of the file
	Error    string        `json:"error,omitempty"`  // why it is not whole
}

// Span is a stretch of time; To is zero while it lasts.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
}

// CDR is what is kept of one call attempt, answered or not. Times are UTC; those that did not happen are zero.
type CDR struct {
	CallUUID   string        `json:"call_uuid"`
	ThreadID   string        `json:"thread_id"`
	Tenant     string        `json:"tenant"`
	Node       string        `json:"node"`
	Type       CallType      `json:"type"`
	Caller     string        `json:"caller"`                // number or user that called
	CallerName string        `json:"caller_name,omitempty"` // display name, as sent
	Dialled    string        `json:"dialled"`               // as dialled
	Answered   string        `json:"answered,omitempty"`    // DN or number that answered, or rang last
	RoutePoint string        `json:"route_point,omitempty"` // DN of the route point it was at last
	Queued     time.Duration `json:"queued_ns,omitempty"`   // how long it was at route points
	TrunkIn    string        `json:"trunk_in,omitempty"`
	TrunkOut   string        `json:"trunk_out,omitempty"`
	Start      time.Time     `json:"start"`
	Ringing    time.Time     `json:"ringing,omitzero"`
	Answer     time.Time     `json:"answer,omitzero"`
	End        time.Time     `json:"end"`
	Talk       time.Duration `json:"talk_ns"` // from answer to end
	Outcome    Outcome       `json:"outcome"`
	Status     int           `json:"status"`           // final SIP status towards the caller; 200 when answered
	EndedBy    string        `json:"ended_by"`         // caller, callee, or system
	Reason     string        `json:"reason,omitempty"` // in words, for a person
	SIPCallID  string        `json:"sip_call_id"`      // Call-ID of the caller's dialog
	Events     uint64        `json:"events"`           // number of events published for the call

	CallerMedia *MediaQuality `json:"caller_media,omitempty"` // how its voice was; nil when it did not go through the platform
	CalleeMedia *MediaQuality `json:"callee_media,omitempty"`
}

// Outcome is how a call attempt ended.
type Outcome string

// The outcomes.
const (
	OutcomeAnswered  Outcome = "answered"
	OutcomeAbandoned Outcome = "abandoned" // the caller gave up
	OutcomeBusy      Outcome = "busy"
	OutcomeNoAnswer  Outcome = "no-answer"
	OutcomeRejected  Outcome = "rejected" // not allowed, no such number, or declined
	OutcomeFailed    Outcome = "failed"   // an error of ours, of the network or of the other side
)
