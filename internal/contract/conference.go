package contract

import (
	"time"

	"parley/internal/fabric"
)

// Doors of services/sip to conferences. A room is on one node, that of the calls in it: ask the node of the call (that of
// its events) with fabric.CallNode. All parties of a call enter: the caller while he is at a route point, both sides
// of a call in which two talk. A room is there from the first who enters until the last has left.
var (
	JoinConference   = fabric.NewDoor[JoinConferenceRequest, struct{}]("sip", "join-conference", 5*time.Second)
	ChangeConference = fabric.NewDoor[ChangeConferenceRequest, struct{}]("sip", "change-conference", 5*time.Second)
	LeaveConference  = fabric.NewDoor[LeaveConferenceRequest, struct{}]("sip", "leave-conference", 5*time.Second)
	HearConference   = fabric.NewDoor[HearConferenceRequest, struct{}]("sip", "hear-conference", 5*time.Second)
	RecordConference = fabric.NewDoor[RecordConferenceRequest, RecordConferenceResponse]("sip", "record-conference", 5*time.Second)
	Conferences      = fabric.NewDoor[ConferencesRequest, ConferencesResponse]("sip", "conferences", 2*time.Second)
)

// ConferenceRole is what a call is in a room. Empty is talker.
type ConferenceRole string

// The roles. All hear all talkers.
const (
	RoleTalker   ConferenceRole = "talker"   // whom all hear
	RoleObserver ConferenceRole = "observer" // whom nobody hears
	RoleCoach    ConferenceRole = "coach"    // whom only the one hears who is coached
)

// JoinConferenceRequest puts a call into a room of its tenant, each party as a participant of its own. A treatment that
// runs ends, and one that is applied later takes the call out of the room, as does an answer where the call is routed to. The error is voice.ErrNotFound if the node has no such call, voice.ErrConflict if it is not answered, its
// audio does not go through the node, or it is in a room already.
type JoinConferenceRequest struct {
	Tenant   string         `json:"tenant"`
	CallUUID string         `json:"call_uuid"`
	Room     string         `json:"room"` // 1 to 64 letters, digits, . _ -
	Role     ConferenceRole `json:"role,omitempty"`
	Of       string         `json:"of,omitempty"` // participant whom a coach coaches
	Muted    bool           `json:"muted,omitempty"`
	Deaf     bool           `json:"deaf,omitempty"`
	Gain     float64        `json:"gain,omitempty"`  // dB by which the others hear the call louder
	Quiet    bool           `json:"quiet,omitempty"` // no tone tells the others; nor does one for observers and coaches
}

// ChangeConferenceRequest changes what is set for a participant.
type ChangeConferenceRequest struct {
	Tenant      string         `json:"tenant"`
	Participant string         `json:"participant"`
	Role        ConferenceRole `json:"role,omitempty"` // "" = as it is
	Of          string         `json:"of,omitempty"`
	Muted       *bool          `json:"muted,omitempty"`
	Deaf        *bool          `json:"deaf,omitempty"`
	Gain        *float64       `json:"gain,omitempty"`
}

// CalleeOf is the participant that the callee of a call is. The caller is named by the CallUUID alone.
func CalleeOf(callUUID string) string { return callUUID + ".callee" }

// LeaveConferenceRequest takes a call out of its room, with all its parties: two talk with each other again, and one at a
// route point hears nothing.
type LeaveConferenceRequest struct {
	Tenant   string `json:"tenant"`
	CallUUID string `json:"call_uuid"`
}

// HearConferenceRequest sets one cell of "who hears whom", whatever the roles say, until the speaker's role is set again.
type HearConferenceRequest struct {
	Tenant   string `json:"tenant"`
	Listener string `json:"listener"` // participants
	Speaker  string `json:"speaker"`
	Hears    bool   `json:"hears"`
}

// RecordConferenceRequest begins a recording of what an observer hears, or ends it. Those in the room are told by a prompt.
type RecordConferenceRequest struct {
	Tenant string `json:"tenant"`
	Room   string `json:"room"`
	On     bool   `json:"on"`
}

// RecordConferenceResponse names the file, on the node of the room.
type RecordConferenceResponse struct {
	File string `json:"file"`
}

// ConferencesRequest asks for the rooms of a node.
type ConferencesRequest struct {
	Tenant string `json:"tenant"`         // "" = all tenants
	Room   string `json:"room,omitempty"` // "" = all
}

// ConferencesResponse is the rooms by tenant and name.
type ConferencesResponse struct {
	Conferences []Conference `json:"conferences"`
}

// Conference is a room as it was a moment ago.
type Conference struct {
	Tenant       string        `json:"tenant"`
	Room         string        `json:"room"`
	Node         string        `json:"node"`
	Start        time.Time     `json:"start"`
	Recording    string        `json:"recording,omitempty"` // the file
	Participants []Participant `json:"participants"`
}

// Participant is a party of a call in a room.
type Participant struct {
	ID       string         `json:"id"` // the CallUUID, and see [CalleeOf]
	CallUUID string         `json:"call_uuid"`
	Number   string         `json:"number"` // as others see it
	Role     ConferenceRole `json:"role"`
	Of       string         `json:"of,omitempty"`
	Muted    bool           `json:"muted"`
	Deaf     bool           `json:"deaf"`
	Gain     float64        `json:"gain"`
	Since    time.Time      `json:"since"`
	Level    float64        `json:"level"` // of what it says now, in dBov; -127 is nothing
	Hears    []string       `json:"hears"` // participants
}
