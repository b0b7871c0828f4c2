package workspace

import (
	"encoding/json"
	"strings"

	"parley/internal/voice"
)

// arguments are what stands in "data" of a verb; each verb reads its own.
type arguments struct {
	Destination  string  `json:"destination"`
	Location     string  `json:"location"`
	UserData     kvPairs `json:"userData"`
	Reasons      kvPairs `json:"reasons"`
	Extensions   kvPairs `json:"extensions"`
	CallerID     string  `json:"outboundCallerId"`
	ParentConnID string  `json:"parentConnId"`
	HeldConnID   string  `json:"heldConnId"`
	OtherConnID  string  `json:"otherConnId"`
	DNToDrop     string  `json:"dnToDrop"`
	Key          string  `json:"key"`
	Digits       string  `json:"dtmfDigits"`
	ForwardTo    string  `json:"forwardTo"`
	CallUUID     string  `json:"callUuid"`

	Monitored   string `json:"phoneNumberToMonitor"`
	PhoneNumber string `json:"phoneNumber"` // the same, of stop-monitoring
	Mode        string `json:"monitoringMode"`
	NextCall    string `json:"monitoringNextCallType"`
	Scope       string `json:"monitoringScope"`
}

// parameters is the body of a verb.
type parameters struct {
	OperationID string    `json:"operationId"`
	Data        arguments `json:"data"`
}

// parse reads the body of a verb; an empty one says nothing.
func parse(body []byte, into any) error {
	if len(body) > maxBody {
		return voice.TErrorf(voice.TErrBadParameter, "the body is larger than %d bytes", maxBody)
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return voice.TErrorf(voice.TErrBadParameter, "the body cannot be read: %v", err)
	}
	return nil
}

// verb is a request of T-Library under the name that desktops know.
type verb struct {
	name       voice.RequestName
	onCall     bool                                       // voice/calls/{id}/...; else voice/...
	supervisor bool                                       // agents may not
	fill       func(a *arguments, r *voice.Request) error // nil: there is nothing more to say
}

// verbs are the verbs by the last part of their path.
var verbs = map[string]verb{
	"make-call": {name: voice.RequestMakeCall, fill: func(a *arguments, r *voice.Request) error {
		if a.CallerID != "" {
			return voice.TErrorf(voice.TErrUnsupported, "outboundCallerId cannot be chosen for a call; leave it out")
		}
		r.Location = a.Location
		return destination(a, r)
	}},
	"answer":                 {name: voice.RequestAnswerCall, onCall: true},
	"hold":                   {name: voice.RequestHoldCall, onCall: true},
	"retrieve":               {name: voice.RequestRetrieveCall, onCall: true},
	"release":                {name: voice.RequestReleaseCall, onCall: true},
	"clear":                  {name: voice.RequestClearCall, onCall: true},
	"redirect":               {name: voice.RequestRedirectCall, onCall: true, fill: destination},
	"alternate":              {name: voice.RequestAlternateCall, onCall: true, fill: held},
	"reconnect":              {name: voice.RequestReconnectCall, onCall: true, fill: held},
	"initiate-transfer":      {name: voice.RequestInitiateTransfer, onCall: true, fill: destination},
	"complete-transfer":      {name: voice.RequestCompleteTransfer, onCall: true, fill: parent},
	"single-step-transfer":   {name: voice.RequestSingleStepTransfer, onCall: true, fill: destination},
	"initiate-conference":    {name: voice.RequestInitiateConference, onCall: true, fill: destination},
	"complete-conference":    {name: voice.RequestCompleteConference, onCall: true, fill: parent},
	"single-step-conference": {name: voice.RequestSingleStepConference, onCall: true, fill: destination},
	"delete-from-conference": {name: voice.RequestDeleteFromConference, onCall: true, fill: func(a *arguments, r *voice.Request) error {
		r.ThirdPartyDN = a.DNToDrop
		return need("dnToDrop", a.DNToDrop)
	}},
	// Merged calls become a conference: nobody leaves whom the desktop did not ask to leave.
	"merge": {name: voice.RequestMergeCalls, onCall: true, fill: func(a *arguments, r *voice.Request) error {
		r.HeldConnID, r.Merge = a.OtherConnID, voice.MergeForConference
		return need("otherConnId", a.OtherConnID)
	}},

	"attach-user-data": {name: voice.RequestAttachUserData, onCall: true, fill: userData},
	"update-user-data": {name: voice.RequestUpdateUserData, onCall: true, fill: userData},
	"delete-user-data-pair": {name: voice.RequestDeletePair, onCall: true, fill: func(a *arguments, r *voice.Request) error {
		r.Key = a.Key
		return need("key", a.Key)
	}},
	"send-dtmf": {name: voice.RequestSendDTMF, onCall: true, fill: func(a *arguments, r *voice.Request) error {
		r.Digits = a.Digits
		return need("dtmfDigits", a.Digits)
	}},
	"start-recording":  {name: voice.RequestPrivateService, onCall: true, fill: private(voice.PrivateRecordStart)},
	"stop-recording":   {name: voice.RequestPrivateService, onCall: true, fill: private(voice.PrivateRecordStop)},
	"pause-recording":  {name: voice.RequestPrivateService, onCall: true, fill: private(voice.PrivateRecordPause)},
	"resume-recording": {name: voice.RequestPrivateService, onCall: true, fill: private(voice.PrivateRecordResume)},

	"switch-to-listen-in": {name: voice.RequestSetMuteOn, onCall: true, supervisor: true, fill: mode("mute")},
	"switch-to-coaching":  {name: voice.RequestSetMuteOff, onCall: true, supervisor: true, fill: mode("coach")},
	"switch-to-barge-in":  {name: voice.RequestSetMuteOff, onCall: true, supervisor: true, fill: mode("connect")},
	"start-monitoring":    {name: voice.RequestMonitorNextCall, supervisor: true, fill: monitoring},
	"stop-monitoring": {name: voice.RequestCancelMonitoring, supervisor: true, fill: func(a *arguments, r *voice.Request) error {
		r.OtherDN = first(a.PhoneNumber, a.Monitored)
		return need("phoneNumber", r.OtherDN)
	}},

	"dnd-on":  {name: voice.RequestSetDNDOn},
	"dnd-off": {name: voice.RequestSetDNDOff},
	"set-forward": {name: voice.RequestCallForwardSet, fill: func(a *arguments, r *voice.Request) error {
		r.OtherDN, r.Forward = a.ForwardTo, voice.ForwardUnconditional
		return need("forwardTo", a.ForwardTo)
	}},
	"cancel-forward":  {name: voice.RequestCallForwardCancel},
	"send-user-event": {name: voice.RequestDistributeUserEvent, fill: userData},
}

// agentVerbs are those of agent state, which is not kept yet.
var agentVerbs = []string{"login", "logout", "ready", "not-ready"}

// request makes the request of a verb.
func (v verb) request(a *arguments) (*voice.Request, error) {
	r := &voice.Request{Name: v.name}
	for _, text := range []string{a.Destination, a.Location, a.ParentConnID, a.HeldConnID, a.OtherConnID, a.DNToDrop, a.Key, a.Digits,
		a.ForwardTo, a.CallUUID, a.Monitored, a.PhoneNumber} {
		if len(text) > maxText {
			return nil, voice.TErrorf(voice.TErrBadParameter, "a value is longer than %d bytes", maxText)
		}
	}
	for _, l := range []struct {
		from kvPairs
		to   *voice.KVList
		name string
	}{{a.UserData, &r.UserData, "userData"}, {a.Reasons, &r.Reasons, "reasons"}, {a.Extensions, &r.Extensions, "extensions"}} {
		list, err := l.from.list()
		if err != nil {
			return nil, voice.TErrorf(voice.TErrBadParameter, "%s: %v", l.name, err)
		}
		*l.to = list
	}
	if v.fill == nil {
		return r, nil
	}
	return r, v.fill(a, r)
}

func need(name, value string) error {
	if value == "" {
		return voice.TErrorf(voice.TErrBadParameter, "data.%s is missing", name)
	}
	return nil
}

func destination(a *arguments, r *voice.Request) error {
	r.OtherDN, r.Location = a.Destination, a.Location
	return need("destination", a.Destination)
}

func held(a *arguments, r *voice.Request) error {
	r.HeldConnID = a.HeldConnID
	return need("heldConnId", a.HeldConnID)
}

func parent(a *arguments, r *voice.Request) error {
	r.HeldConnID = a.ParentConnID
	return need("parentConnId", a.ParentConnID)
}

func userData(_ *arguments, r *voice.Request) error {
	if len(r.UserData) == 0 {
		return voice.TErrorf(voice.TErrBadParameter, "data.userData is missing")
	}
	return nil
}

func private(id int) func(*arguments, *voice.Request) error {
	return func(_ *arguments, r *voice.Request) error { r.PrivateID = id; return nil }
}

// extend sets an extension of a request, among those that the desktop gave.
func extend(r *voice.Request, key, value string) {
	if r.Extensions == nil {
		r.Extensions = voice.KVList{}
	}
	r.Extensions[key] = value
}

func mode(m string) func(*arguments, *voice.Request) error {
	return func(_ *arguments, r *voice.Request) error { extend(r, voice.ExtMonitorMode, m); return nil }
}

func monitoring(a *arguments, r *voice.Request) error {
	r.OtherDN = a.Monitored
	switch a.NextCall {
	case "", "OneCall":
		r.Monitor = voice.MonitorOneCall
	case "AllCalls":
		r.Monitor = voice.MonitorAllCalls
	default:
		return voice.TErrorf(voice.TErrBadParameter, "data.monitoringNextCallType is %.32q; want OneCall or AllCalls", a.NextCall)
	}
	switch a.Mode {
	case "", "Mute", "Coach", "Connect":
		extend(r, voice.ExtMonitorMode, strings.ToLower(first(a.Mode, "Mute")))
	default:
		return voice.TErrorf(voice.TErrBadParameter, "data.monitoringMode is %.32q; want Mute, Coach or Connect", a.Mode)
	}
	switch a.Scope {
	case "", "Call", "Agent":
		extend(r, voice.ExtMonitorScope, strings.ToLower(first(a.Scope, "Call")))
	default:
		return voice.TErrorf(voice.TErrBadParameter, "data.monitoringScope is %.32q; want Call or Agent", a.Scope)
	}
	return need("phoneNumberToMonitor", a.Monitored)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
