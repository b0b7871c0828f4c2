package frontend

import (
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/internal/voice"
)

// member is one member of a request, as a bit.
type member uint16

const (
	thisDN member = 1 << iota
	connID
	heldConnID
	otherDN
	thirdPartyDN
	userData
	key
	digits
	privateID
	forwardMode
	monitorType
	mergeType
	treatmentType
)

// memberNames are what clients call them, in the order of the bits.
var memberNames = [...]string{
	"ThisDN", "ConnID", "HeldConnID", "OtherDN", "ThirdPartyDN", "UserData", "Key", "DTMFDigits", "PrivateMsgID", "ForwardMode",
	"MonitorNextCallType", "MergeType", "TreatmentType",
}

// has tells whether a request has a member.
func has(r *voice.Request, m member) bool {
	switch m {
	case thisDN:
		return r.ThisDN != ""
	case connID:
		return r.ConnID != ""
	case heldConnID:
		return r.HeldConnID != ""
	case otherDN:
		return r.OtherDN != ""
	case thirdPartyDN:
		return r.ThirdPartyDN != ""
	case userData:
		return len(r.UserData) > 0
	case key:
		return r.Key != ""
	case digits:
		return r.Digits != ""
	case privateID:
		return r.PrivateID != 0
	case forwardMode:
		return r.Forward != ""
	case monitorType:
		return r.Monitor != ""
	case mergeType:
		return r.Merge != ""
	case treatmentType:
		return r.TreatmentType != voice.TreatmentUnknown
	}
	return false
}

// place is who does what a request asks for.
type place uint8

const (
	atCall   place = iota // the node that has the call of ConnID
	atNew                 // a node for a new call, best one that has calls of ThisDN
	atAgent               // a node that has calls of OtherDN, else any
	atQuery               // call state, or the node that has the call
	atDevice              // here
	atStream              // the event stream that it came by
)

// shape is what a request of a name must be like.
type shape struct {
	needs member
	at    place
	check func(*voice.Request) *voice.TError // of what it has; may be nil
}

const (
	ofCall  = thisDN | connID
	ofCalls = ofCall | heldConnID
)

// shapes are the requests that are understood.
var shapes = map[voice.RequestName]shape{
	voice.RequestMakeCall:             {thisDN | otherDN, atNew, notOneself},
	voice.RequestAnswerCall:           {ofCall, atCall, nil},
	voice.RequestReleaseCall:          {ofCall, atCall, nil},
	voice.RequestClearCall:            {ofCall, atCall, nil},
	voice.RequestHoldCall:             {ofCall, atCall, nil},
	voice.RequestRetrieveCall:         {ofCall, atCall, nil},
	voice.RequestAlternateCall:        {ofCalls, atCall, twoCalls},
	voice.RequestReconnectCall:        {ofCalls, atCall, twoCalls},
	voice.RequestRedirectCall:         {ofCall | otherDN, atCall, notOneself},
	voice.RequestInitiateTransfer:     {ofCall | otherDN, atCall, notOneself},
	voice.RequestCompleteTransfer:     {ofCalls, atCall, twoCalls},
	voice.RequestMuteTransfer:         {ofCall | otherDN, atCall, notOneself},
	voice.RequestSingleStepTransfer:   {ofCall | otherDN, atCall, notOneself},
	voice.RequestInitiateConference:   {ofCall | otherDN, atCall, notOneself},
	voice.RequestCompleteConference:   {ofCalls, atCall, twoCalls},
	voice.RequestSingleStepConference: {ofCall | otherDN, atCall, notOneself},
	voice.RequestDeleteFromConference: {ofCall | thirdPartyDN, atCall, nil},
	voice.RequestMergeCalls:           {ofCalls | mergeType, atCall, merging},
	voice.RequestSendDTMF:             {ofCall | digits, atCall, keys},
	voice.RequestSetMuteOn:            {ofCall, atCall, nil},
	voice.RequestSetMuteOff:           {ofCall, atCall, nil},
	voice.RequestListenDisconnect:     {ofCall | thirdPartyDN, atCall, nil},
	voice.RequestListenReconnect:      {ofCall | thirdPartyDN, atCall, nil},
	voice.RequestRouteCall:            {ofCall, atCall, routing},
	voice.RequestApplyTreatment:       {ofCall | treatmentType, atCall, nil},
	voice.RequestAttachUserData:       {ofCall | userData, atCall, nil},
	voice.RequestUpdateUserData:       {ofCall | userData, atCall, nil},
	voice.RequestDeletePair:           {ofCall | key, atCall, nil},
	voice.RequestDeleteUserData:       {ofCall, atCall, nil},
	voice.RequestSetCallInfo:          {ofCall, atCall, nil},
	voice.RequestPrivateService:       {ofCall | privateID, atCall, private},
	voice.RequestQueryCall:            {connID, atQuery, nil},

	voice.RequestMonitorNextCall:     {thisDN | otherDN | monitorType, atAgent, monitoring},
	voice.RequestCancelMonitoring:    {thisDN | otherDN, atAgent, nil},
	voice.RequestDistributeUserEvent: {thisDN | userData, atDevice, nil},
	voice.RequestCallForwardSet:      {thisDN | otherDN | forwardMode, atDevice, forwarding},
	voice.RequestCallForwardCancel:   {thisDN, atDevice, forwarding},
	voice.RequestSetDNDOn:            {thisDN, atDevice, nil},
	voice.RequestSetDNDOff:           {thisDN, atDevice, nil},
	voice.RequestQueryAddress:        {thisDN, atDevice, nil},
	voice.RequestRegisterAddress:     {thisDN, atStream, nil},
	voice.RequestUnregisterAddress:   {thisDN, atStream, nil},
}

// shapeOf is the shape of a request, or why it cannot be done.
func shapeOf(r *voice.Request) (shape, *voice.TError) {
	sh, ok := shapes[r.Name]
	if !ok {
		if r.Name == "" {
			return sh, voice.TErrorf(voice.TErrInvalidValue, `the request has no name; say which it is in "request", such as RequestMakeCall`)
		}
		return sh, voice.TErrorf(voice.TErrUnsupported, "there is no request %.64q", string(r.Name))
	}
	if e := missing(r, sh.needs); e != nil {
		return sh, e
	}
	if e := texts(r); e != nil {
		return sh, e
	}
	if sh.check != nil {
		return sh, sh.check(r)
	}
	return sh, nil
}

// missing names the members that are not there.
func missing(r *voice.Request, needs member) *voice.TError {
	var names []string
	for rest := needs; rest != 0; rest &= rest - 1 {
		if m := rest & -rest; !has(r, m) {
			names = append(names, memberNames[bits.TrailingZeros16(uint16(m))])
		}
	}
	if len(names) == 0 {
		return nil
	}
	return voice.TErrorf(voice.TErrInvalidValue, "%s needs %s", r.Name, strings.Join(names, " and "))
}

// Limits of the texts of a request, in bytes.
const (
	maxNumber = 64
	maxID     = 64
	maxKey    = 256
	maxDigits = 128
)

// texts checks the length and letters of what goes into subjects, SIP messages and logs.
func texts(r *voice.Request) *voice.TError {
	for _, t := range [...]struct {
		name, text string
		limit      int
	}{
		{"ThisDN", r.ThisDN, maxNumber}, {"OtherDN", r.OtherDN, maxNumber}, {"ThirdPartyDN", r.ThirdPartyDN, maxNumber},
		{"ConnID", r.ConnID, maxID}, {"HeldConnID", r.HeldConnID, maxID}, {"Key", r.Key, maxKey},
		{"Location", r.Location, maxKey},
	} {
		if t.text == "" {
			continue
		}
		if len(t.text) > t.limit || !utf8.ValidString(t.text) || strings.ContainsFunc(t.text, unicode.IsControl) {
			return voice.TErrorf(voice.TErrInvalidValue, "%s is not at most %d bytes of printable text", t.name, t.limit)
		}
	}
	return nil
}

func notOneself(r *voice.Request) *voice.TError {
	if r.OtherDN == r.ThisDN {
		return voice.TErrorf(voice.TErrInvalidDestination, "%s cannot be the destination of its own request", r.ThisDN)
	}
	return nil
}

func twoCalls(r *voice.Request) *voice.TError {
	if r.ConnID == r.HeldConnID {
		return voice.TErrorf(voice.TErrInvalidConnID, "ConnID and HeldConnID name the same call; want the active and the held one")
	}
	return nil
}

func merging(r *voice.Request) *voice.TError {
	if r.Merge != voice.MergeForTransfer && r.Merge != voice.MergeForConference {
		return voice.TErrorf(voice.TErrInvalidValue, "MergeType %.32q is neither %s nor %s", r.Merge, voice.MergeForTransfer, voice.MergeForConference)
	}
	return twoCalls(r)
}

// keys checks digits: those of RFC 4733 §3.2 and the comma.
func keys(r *voice.Request) *voice.TError {
	if len(r.Digits) > maxDigits || strings.Trim(r.Digits, "0123456789*#ABCDabcd,") != "" {
		return voice.TErrorf(voice.TErrInvalidValue, "DTMFDigits are at most %d of 0-9, *, #, A-D and the comma, which is a pause", maxDigits)
	}
	return nil
}

func routing(r *voice.Request) *voice.TError {
	switch r.RouteType {
	case voice.RouteUnknown, voice.RouteDirect:
		return missing(r, otherDN)
	case voice.RouteDefault, voice.RouteReject, voice.RouteDisconnect:
		return nil
	}
	return voice.TErrorf(voice.TErrInvalidValue, "RouteType %d is not supported; want 0 or 6 with OtherDN, 1 (default), 7 (reject) or 14 (disconnect)", r.RouteType)
}

func private(r *voice.Request) *voice.TError {
	if r.PrivateID < voice.PrivateRecordStart || r.PrivateID > voice.PrivateRecordResume {
		return voice.TErrorf(voice.TErrUnsupported, "PrivateMsgID %d means nothing here; want 3013 (start recording), 3014 (stop), 3015 (pause) or 3016 (resume)", r.PrivateID)
	}
	return nil
}

func monitoring(r *voice.Request) *voice.TError {
	if r.Monitor != voice.MonitorOneCall && r.Monitor != voice.MonitorAllCalls {
		return voice.TErrorf(voice.TErrInvalidValue, "MonitorNextCallType %.32q is neither %s nor %s", r.Monitor, voice.MonitorOneCall, voice.MonitorAllCalls)
	}
	switch mode := r.Extensions.Text(voice.ExtMonitorMode); mode {
	case "", "normal", "mute", "coach", "connect":
	default:
		return voice.TErrorf(voice.TErrInvalidValue, "%s %.32q is none of normal, mute, coach and connect", voice.ExtMonitorMode, mode)
	}
	switch scope := r.Extensions.Text(voice.ExtMonitorScope); scope {
	case "", "call", "agent":
	default:
		return voice.TErrorf(voice.TErrInvalidValue, "%s %.32q is neither call nor agent", voice.ExtMonitorScope, scope)
	}
	return notOneself(r)
}

func forwarding(r *voice.Request) *voice.TError {
	switch r.Forward {
	case voice.ForwardUnconditional, voice.ForwardOnBusy, voice.ForwardOnNoAnswer, voice.ForwardOnBusyAndNoAnswer, voice.ForwardSendAllCalls:
	case "", voice.ForwardNone:
		if r.Name == voice.RequestCallForwardSet {
			return voice.TErrorf(voice.TErrInvalidValue, "ForwardMode None forwards nothing; ask RequestCallForwardCancel")
		}
	default:
		return voice.TErrorf(voice.TErrInvalidValue, "ForwardMode %.32q is none of Unconditional, OnBusy, OnNoAnswer, OnBusyAndNoAnswer and SendAllCalls", r.Forward)
	}
	if r.Name == voice.RequestCallForwardSet {
		return notOneself(r)
	}
	return nil
}
