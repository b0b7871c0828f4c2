package workspace

import (
	"slices"
	"time"

	"parley/internal/voice"
)

// The states of a call as desktops know them.
const (
	stateDialing     = "Dialing"
	stateRinging     = "Ringing"
	stateEstablished = "Established"
	stateHeld        = "Held"
	stateReleased    = "Released"
	stateCompleted   = "Completed"
)

// What a CallStateChanged is about.
const (
	aboutState        = "StateChange"
	aboutData         = "AttachedDataChanged"
	aboutParticipants = "ParticipantsUpdated"
	aboutRecording    = "CallRecordingStateChange"
)

// call is one call as the device of a session sees it. Its owner's lock guards it.
type call struct {
	id       string // ConnID
	uuid     string
	previous string // ConnID before a merger
	parent   string // of a consult call: the call it is about
	kind     voice.CallType
	state    string
	others   []participant
	ani      string
	dnis     string
	data     voice.KVList
	extras   voice.KVList
	record   string // "", Recording, Paused or Stopped
	since    time.Time
	seq      uint64 // of the last event that is in it
}

type participant struct {
	Number string       `json:"number"`
	Role   voice.DNRole `json:"role,omitempty"`
}

// callView is the Call object of the interface.
type callView struct {
	ID             string        `json:"id"`
	ConnID         string        `json:"connId"`
	CallUUID       string        `json:"callUuid"`
	PreviousConnID string        `json:"previousConnId,omitempty"`
	ParentConnID   string        `json:"parentConnId,omitempty"`
	PhoneNumber    string        `json:"phoneNumber"`
	CallType       string        `json:"callType"`
	State          string        `json:"state"`
	Capabilities   []string      `json:"capabilities"`
	Participants   []participant `json:"participants"`
	DNIS           string        `json:"dnis,omitempty"`
	ANI            string        `json:"ani,omitempty"`
	RecordingState string        `json:"recordingState,omitempty"`
	UserData       kvPairs       `json:"userData"`
	Extensions     kvPairs       `json:"extensions,omitempty"`
	Duration       int64         `json:"duration"` // seconds in this state
}

func (k *call) view(parentHeld bool, now time.Time) callView {
	v := callView{
		ID: k.id, ConnID: k.id, CallUUID: k.uuid, PreviousConnID: k.previous, ParentConnID: k.parent,
		CallType: kindName(k.kind), State: k.state, Capabilities: k.capabilities(parentHeld),
		Participants: append([]participant{}, k.others...), DNIS: k.dnis, ANI: k.ani, RecordingState: k.record,
		UserData: pairsOf(k.data), Extensions: pairsOf(k.extras), Duration: max(0, int64(now.Sub(k.since)/time.Second)),
	}
	if len(k.others) > 0 {
		v.PhoneNumber = k.others[0].Number
	}
	return v
}

func kindName(t voice.CallType) string {
	switch t {
	case voice.CallInternal:
		return "Internal"
	case voice.CallInbound:
		return "Inbound"
	case voice.CallOutbound:
		return "Outbound"
	case voice.CallConsult:
		return "Consult"
	}
	return "Unknown"
}

// capabilities are the verbs that make sense now. parentHeld says that the device has the call consulted about on hold.
func (k *call) capabilities(parentHeld bool) []string {
	data := []string{"attach-user-data", "update-user-data", "delete-user-data-pair"}
	switch k.state {
	case stateRinging:
		return append([]string{"answer", "redirect", "clear"}, data...)
	case stateDialing:
		out := append([]string{"release"}, data...)
		if parentHeld {
			out = append(out, "reconnect", "complete-transfer")
		}
		return out
	case stateHeld:
		return append([]string{"retrieve", "release"}, data...)
	case stateEstablished:
		out := append([]string{"hold", "release", "send-dtmf", "single-step-transfer", "single-step-conference"}, data...)
		if parentHeld {
			out = append(out, "alternate", "reconnect", "merge", "complete-transfer", "complete-conference")
		} else {
			out = append(out, "initiate-transfer", "initiate-conference")
		}
		if len(k.others) > 1 {
			out = append(out, "delete-from-conference", "clear")
		}
		switch k.record {
		case "Recording":
			out = append(out, "pause-recording", "stop-recording")
		case "Paused":
			out = append(out, "resume-recording", "stop-recording")
		default:
			out = append(out, "start-recording")
		}
		return out
	case stateReleased:
		return []string{"complete"}
	}
	return []string{}
}

// take lets an event of the device change the call, and says what about it changed; "" when nothing that desktops see.
func (k *call) take(ev *voice.CallEvent) (about string) {
	k.seq = ev.Seq
	k.kind, k.uuid = ev.CallType, ev.CallUUID
	if ev.CallType == voice.CallConsult && ev.PreviousConnID != k.id {
		k.parent = ev.PreviousConnID
	}
	if ev.ANI != "" {
		k.ani = ev.ANI
	}
	if ev.DNIS != "" {
		k.dnis = ev.DNIS
	}
	if ev.UserDataVersion > 0 || ev.UserData != nil {
		k.data = ev.UserData
	}
	if len(ev.Extensions) > 0 {
		k.extras = ev.Extensions
	}
	if state, ok := stateAfter[ev.ID]; ok {
		if k.state != state {
			k.state, k.since = state, ev.Time
		}
		k.meet(ev)
		return aboutState
	}
	switch ev.ID {
	case voice.EventPartyChanged, voice.EventPartyAdded, voice.EventPartyDeleted:
		k.regroup(ev)
		return aboutParticipants
	case voice.EventAttachedDataChanged:
		return aboutData
	case voice.EventPrivateInfo:
		if ev.Recording == nil || ev.Recording.State == k.record {
			return ""
		}
		k.record = ev.Recording.State
		return aboutRecording
	}
	return ""
}

// stateAfter is the state of a call after an event of the device.
var stateAfter = map[voice.EventName]string{
	voice.EventDialing: stateDialing, voice.EventRinging: stateRinging, voice.EventEstablished: stateEstablished,
	voice.EventHeld: stateHeld, voice.EventRetrieved: stateEstablished,
	voice.EventReleased: stateReleased, voice.EventAbandoned: stateReleased, voice.EventDiverted: stateReleased,
}

// meet notes the other party of an event about the device's own state: who was dialled may be another than who answers.
func (k *call) meet(ev *voice.CallEvent) {
	if ev.OtherDN == "" || len(k.others) > 1 { // a conference keeps whom it has
		return
	}
	k.others = []participant{{ev.OtherDN, ev.OtherDNRole}}
}

// regroup follows those who come, go and take another's place.
func (k *call) regroup(ev *voice.CallEvent) {
	switch ev.ID {
	case voice.EventPartyDeleted:
		k.drop(first(ev.ThirdPartyDN, ev.OtherDN))
	case voice.EventPartyAdded:
		newcomer := ev.OtherDN
		role := voice.RoleNewParty
		if ev.ThirdPartyDNRole == voice.RoleNewParty {
			newcomer = ev.ThirdPartyDN
		}
		if ev.ThirdPartyDNRole == voice.RoleObserverDN || ev.OtherDNRole == voice.RoleObserverDN {
			role = voice.RoleObserverDN
		}
		k.add(newcomer, role)
	case voice.EventPartyChanged:
		if ev.CallState == voice.StateConferenced {
			k.add(ev.ThirdPartyDN, voice.RoleConferenceMember)
			k.add(ev.OtherDN, voice.RoleConferenceMember)
			return
		}
		k.drop(ev.ThirdPartyDN)
		if len(k.others) == 1 {
			k.others = nil // whoever it was, it is OtherDN now
		}
		k.add(ev.OtherDN, first2(ev.OtherDNRole, voice.RoleDestination))
	}
}

func first2(a, b voice.DNRole) voice.DNRole {
	if a != "" {
		return a
	}
	return b
}

func (k *call) add(number string, role voice.DNRole) {
	const most = 64 // participants shown
	if number == "" || len(k.others) >= most || slices.ContainsFunc(k.others, func(p participant) bool { return p.Number == number }) {
		return
	}
	k.others = append(k.others, participant{number, role})
}

func (k *call) drop(number string) {
	k.others = slices.DeleteFunc(k.others, func(p participant) bool { return p.Number == number })
}

// callOf is a call in progress as the device dn sees it; ok is false when it is no party of it.
func callOf(c voice.Call, dn string) (k *call, ok bool) {
	k = &call{
		id: c.ConnID, uuid: c.CallUUID, kind: c.CallType, ani: c.ANI, dnis: c.DNIS, data: c.UserData, record: c.Recording, seq: c.Seq,
	}
	if c.CallType == voice.CallConsult {
		k.parent = c.PreviousConnID
	}
	for _, p := range c.Parties {
		if p.DN != dn {
			k.add(p.DN, p.Role)
			continue
		}
		if p.State == voice.PartyQueued {
			continue // a route point is nobody's device
		}
		k.state, k.since, ok = string(p.State), p.Since, true
	}
	return k, ok
}
