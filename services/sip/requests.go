package sip

import (
	"context"
	"slices"
	"strings"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// request is a T-Library request on its way: reply is called once, with what became of it.
type request struct {
	*voice.Request
	reply func(*contract.RequestAnswer)
}

func (r *request) answer(e *voice.TError) {
	r.reply(&contract.RequestAnswer{ReferenceID: r.ReferenceID, Error: e})
}

// made answers with a call that the request made.
func (r *request) made(c *call) {
	r.reply(&contract.RequestAnswer{ReferenceID: r.ReferenceID, ConnID: c.conv.id.conn, CallUUID: c.conv.id.uuid})
}

// AskNode serves contract.AskNode: requests about calls that this node has, and new ones.
func (s *Service) AskNode(ctx context.Context, req *voice.Request) (*contract.RequestAnswer, error) {
	said := make(chan *contract.RequestAnswer, 1) // of all replies the first counts
	r := &request{Request: req, reply: func(a *contract.RequestAnswer) {
		select {
		case said <- a:
		default:
		}
	}}
	s.take(r)
	select {
	case a := <-said:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take has a request done by the call that it is about.
func (s *Service) take(r *request) {
	if r.Name == voice.RequestMakeCall {
		s.makeCall(r)
		return
	}
	if r.Name == voice.RequestMonitorNextCall || r.Name == voice.RequestCancelMonitoring {
		s.askMonitor(r)
		return
	}
	do, ok := requests[r.Name]
	if !ok {
		r.answer(voice.TErrorf(voice.TErrUnsupported, "a SIP node knows no %.64s", r.Name))
		return
	}
	c := s.find(r.Tenant, "", r.ConnID)
	if c == nil {
		r.answer(voice.TErrorf(voice.TErrInvalidConnID, "this node has no call %.64s in progress", r.ConnID))
		return
	}
	if !c.post(func() { c.carryOut(r, do) }) {
		r.answer(voice.TErrorf(voice.TErrTooManyRequests, "too much waits for this call already"))
	}
}

// makeCall begins a call for somebody.
func (s *Service) makeCall(r *request) {
	tn, ok := s.dir.Tenant(r.Tenant)
	dn, known := s.dir.DN(r.Tenant, r.ThisDN)
	switch {
	case s.keeper.Load() == nil:
		r.answer(voice.TErrorf(voice.TErrServiceUnavailable, "this node does not take calls yet"))
		return
	case !ok || !known || dn.Type != voice.DNExtension:
		r.answer(voice.TErrorf(voice.TErrInvalidCallingDN, "%.64s is no extension of the tenant", r.ThisDN))
		return
	case r.OtherDN == "":
		r.answer(voice.TErrorf(voice.TErrInvalidCalledDN, "no destination was named"))
		return
	case r.OtherDN == r.ThisDN:
		r.answer(voice.TErrorf(voice.TErrInvalidDestination, "%.64s would call itself", r.ThisDN))
		return
	}
	id := random(16)
	c := &call{
		mailbox: &mailbox{start: s.work}, w: (*outside)(s), cfg: &s.cfg, domain: domainOf(tn), contact: "<sip:" + id + "@" + s.contact + ">",
		id: identity{uuid: id, conn: random(8), number: s.number.Add(1), tenant: tn.Name, node: s.f.Node(), kind: voice.CallInternal},
	}
	if err := s.admitMore(c); err != nil {
		r.answer(refusal(err))
		return
	}
	c.keep = s.keeps
	c.must(func() {
		c.makeCall(r.Request)
		r.made(c)
	})
}

// requests are those about a call there is. Each answers its request.
var requests = map[voice.RequestName]func(c *call, m member, r *request){
	voice.RequestAnswerCall:           (*call).askAnswer,
	voice.RequestReleaseCall:          (*call).askRelease,
	voice.RequestClearCall:            (*call).askClear,
	voice.RequestHoldCall:             (*call).askHold,
	voice.RequestRetrieveCall:         (*call).askRetrieve,
	voice.RequestAlternateCall:        (*call).askAlternate,
	voice.RequestReconnectCall:        (*call).askReconnect,
	voice.RequestRedirectCall:         (*call).askRedirect,
	voice.RequestInitiateTransfer:     (*call).askInitiate,
	voice.RequestInitiateConference:   (*call).askInitiate,
	voice.RequestCompleteTransfer:     (*call).askComplete,
	voice.RequestCompleteConference:   (*call).askConference,
	voice.RequestMergeCalls:           (*call).askMerge,
	voice.RequestMuteTransfer:         (*call).askSingleStep, // nobody is asked first in either
	voice.RequestSingleStepTransfer:   (*call).askSingleStep,
	voice.RequestSingleStepConference: (*call).askAddParty,
	voice.RequestDeleteFromConference: (*call).askDrop,
	voice.RequestSendDTMF:             (*call).askDigits,
	voice.RequestSetMuteOn:            (*call).askMute,
	voice.RequestSetMuteOff:           (*call).askUnmute,
	voice.RequestListenDisconnect:     (*call).askDeafen,
	voice.RequestListenReconnect:      (*call).askHear,
	voice.RequestAttachUserData:       (*call).askAttach,
	voice.RequestUpdateUserData:       (*call).askAttach,
	voice.RequestDeletePair:           (*call).askAttach,
	voice.RequestDeleteUserData:       (*call).askAttach,
	voice.RequestSetCallInfo:          (*call).askCallInfo,
	voice.RequestQueryCall:            (*call).askQuery,
	voice.RequestPrivateService:       (*call).askPrivate,
	voice.RequestRouteCall:            (*call).askRoute,
	voice.RequestApplyTreatment:       (*call).askTreatment,
}

// anybody may ask for these, about a call he is no party of.
var forAnybody = []voice.RequestName{
	voice.RequestClearCall, voice.RequestAttachUserData, voice.RequestUpdateUserData, voice.RequestDeletePair, voice.RequestDeleteUserData,
	voice.RequestSetCallInfo, voice.RequestQueryCall, voice.RequestRouteCall, voice.RequestApplyTreatment,
}

// carryOut finds the party that a request is for.
func (c *call) carryOut(r *request, do func(*call, member, *request)) {
	v := c.conv
	if v == nil || len(v.calls) == 0 {
		r.answer(voice.TErrorf(voice.TErrInvalidConnID, "the call is over"))
		return
	}
	if c.orphaned() && r.Name != voice.RequestQueryCall && r.Name != voice.RequestReleaseCall && r.Name != voice.RequestClearCall {
		r.answer(voice.TErrorf(voice.TErrWrongState, "the node of the call died, and the call waits for its caller"))
		return
	}
	m, ok := v.member(r.ThisDN)
	if !ok && !slices.Contains(forAnybody, r.Name) {
		if r.ThisDN == "" {
			r.answer(voice.TErrorf(voice.TErrBadParameter, "ThisDN is missing: for whom is it asked?"))
			return
		}
		r.answer(voice.TErrorf(voice.TErrInvalidConnID, "%.64s is no party of call %s", r.ThisDN, v.id.conn))
		return
	}
	if ok {
		c = m.c
	} else {
		c = v.calls[0]
	}
	do(c, m, r)
}

func (c *call) wrong(what string) *voice.TError {
	return voice.TErrorf(voice.TErrWrongState, "%s; the call is %s", what, c.phase)
}

func (c *call) askRelease(m member, r *request) {
	if m.s == callee && c.phase < answered && c.legs[callee] == nil { // a phone that rings declines
		c.byRequest(r.Request, func() { c.decline() })
		r.answer(nil)
		return
	}
	if c.watches == nil {
		m = m.unwatched()
		c = m.c
	}
	if len(c.conv.members()) > 2 && c.inRoom {
		m.drop("", r.Request)
		r.answer(nil)
		return
	}
	c.conv.request = r.Request
	v := c.conv
	c.releaseBy(m.s)
	v.request = nil
	r.answer(nil)
}

// releaseBy ends the call for side s, who is told first.
func (c *call) releaseBy(s side) {
	if c.phase < answered || c.borrowed {
		c.release("released by request", s.String())
		return
	}
	c.endConsult("released by request")
	for _, l := range c.legs {
		if l != nil {
			c.bye(l, "")
		}
	}
	c.released(s)
	c.finish(outcome{status: 200, reason: "released by request"}, s.String())
}

// decline is a called party that does not want the call.
func (c *call) decline() {
	c.groupGone()
	c.cancelBranches("")
	c.unreached(outcome{status: 603, reason: "declined by request"}, "", voice.StateOk)
}

func (c *call) askClear(_ member, r *request) {
	v := c.conv
	v.request = r.Request
	for _, c := range slices.Clone(v.calls) {
		c.release("cleared by request", "system")
	}
	v.request = nil
	r.answer(nil)
}

func (c *call) askHold(m member, r *request) {
	switch {
	case c.parked[m.s]:
		r.answer(c.wrong("it is on hold already"))
	case c.phase != talking || c.inRoom:
		r.answer(c.wrong("only a call in which two talk can be put on hold"))
	case c.audio == nil || !c.audio.through():
		r.answer(errDirect())
	default:
		c.park(m.s)
		c.byRequest(r.Request, func() { c.publish(voice.EventHeld, m.s, voice.StateOk, nil) })
		r.answer(nil)
	}
}

func (c *call) askRetrieve(m member, r *request) {
	switch {
	case !c.parked[m.s]:
		r.answer(c.wrong("it is not on hold"))
	case c.consult != nil && !c.consult.parked[caller]:
		r.answer(c.wrong("a consultation about it is going on; alternate, or reconnect"))
	case c.borrowed && c.about != nil && !c.about.parked[c.about.sideOf(c.legs[caller])]:
		r.answer(c.wrong("the call it is about is going on; alternate"))
	default:
		c.unpark(m.s)
		c.byRequest(r.Request, func() { c.publish(voice.EventRetrieved, m.s, voice.StateOk, nil) })
		r.answer(nil)
	}
}

func (c *call) sideOf(l *leg) side {
	if c.legs[callee] == l {
		return callee
	}
	return caller
}

// base finds the call that a consultation is about, from either of the two, and the side that consults. Without one, or for
// a party that does not consult, it is the call itself, which has no consultation of that party.
func (c *call) base(m member) (*call, side) {
	if c.about != nil && m.s == caller {
		return c.about, c.about.sideOf(c.legs[caller])
	}
	return c, m.s
}

// consults tells whether side s consults about the call.
func (c *call) consults(s side) bool { return c.consult != nil && c.legs[s] == c.consult.legs[caller] }

func (c *call) askAlternate(m member, r *request) {
	b, s := c.base(m)
	r.answer(b.alternate(s, r.Request))
}

func (c *call) askReconnect(m member, r *request) {
	b, s := c.base(m)
	r.answer(b.reconnect(s, r.Request))
}

func (c *call) askRedirect(m member, r *request) {
	switch {
	case m.s != callee:
		r.answer(c.wrong("only who is called can redirect it"))
	case r.OtherDN == "" || r.OtherDN == r.ThisDN:
		r.answer(voice.TErrorf(voice.TErrInvalidCalledDN, "%.64q is no destination", r.OtherDN))
	default:
		r.answer(c.redirect(r.Request))
	}
}

// destined refuses a request without a destination that makes sense.
func (r *request) destined() bool {
	switch r.OtherDN {
	case "":
		r.answer(voice.TErrorf(voice.TErrInvalidCalledDN, "no destination was named"))
	case r.ThisDN:
		r.answer(voice.TErrorf(voice.TErrInvalidDestination, "%.64s is itself the destination", r.OtherDN))
	default:
		return true
	}
	return false
}

func (c *call) askInitiate(m member, r *request) {
	if !r.destined() {
		return
	}
	if c.audio == nil || !c.audio.through() {
		r.answer(errDirect())
		return
	}
	n, bad := c.initiate(m.s, r.Request)
	if bad != nil {
		r.answer(bad)
		return
	}
	r.made(n)
}

func (c *call) askSingleStep(m member, r *request) {
	if r.destined() {
		r.answer(c.singleStep(m.s, r.OtherDN, r.Request))
	}
}

func (c *call) askAddParty(m member, r *request) {
	if r.destined() {
		r.answer(c.addParty(m.s, r.Request))
	}
}

func (c *call) askComplete(m member, r *request) {
	if b, s := c.base(m); b.consults(s) {
		r.answer(b.transferTo(s, b.consult, caller, r.Request))
		return
	}
	c.askMerge(m, r)
}

func (c *call) askConference(m member, r *request) {
	b, s := c.base(m)
	if !b.consults(s) {
		r.answer(c.wrong(r.ThisDN + " does not consult about it"))
		return
	}
	r.answer(b.conference(s, b.consult, r.Request))
}

// askMerge leaves those to each other whom ThisDN talks with in two calls, that need not have to do with each other.
func (c *call) askMerge(m member, r *request) {
	if b, s := c.base(m); b.consults(s) && r.Merge != voice.MergeForConference {
		r.answer(b.transferTo(s, b.consult, caller, r.Request))
		return
	} else if b.consults(s) {
		r.answer(b.conference(s, b.consult, r.Request))
		return
	}
	if r.Merge == voice.MergeForConference {
		r.answer(voice.TErrorf(voice.TErrCannotConference, "only a consultation becomes a conference"))
		return
	}
	held := c.w.named(c.id.tenant, r.HeldConnID)
	if held == nil {
		r.answer(voice.TErrorf(voice.TErrInvalidConnID, "this node has no call %.64q in progress", r.HeldConnID))
		return
	}
	c.w.merge(held.mailbox, c.mailbox, func() {
		if held.conv == nil || held.phase == over || c.phase == over {
			r.answer(voice.TErrorf(voice.TErrInvalidConnID, "one of the calls is over"))
			return
		}
		h, ok := held.conv.member(r.ThisDN)
		a, ok2 := c.conv.member(r.ThisDN)
		if !ok || !ok2 {
			r.answer(voice.TErrorf(voice.TErrInvalidConnID, "%.64s is not a party of both calls", r.ThisDN))
			return
		}
		r.answer(h.c.transferTo(h.s, a.c, a.s, r.Request))
	})
}

func (c *call) askDrop(_ member, r *request) {
	m, ok := c.conv.member(r.ThirdPartyDN)
	switch {
	case !ok:
		r.answer(voice.TErrorf(voice.TErrTargetInvalid, "%.64q is no party of the conference", r.ThirdPartyDN))
	case !c.inRoom:
		r.answer(c.wrong("it is no conference"))
	default:
		m.drop("", r.Request)
		r.answer(nil)
	}
}

const maxDigits = 64

func (c *call) askDigits(m member, r *request) {
	if n := len(r.Digits); n == 0 || n > maxDigits || strings.Trim(r.Digits, "0123456789*#ABCDabcd,") != "" {
		r.answer(voice.TErrorf(voice.TErrInvalidValue, "DTMFDigits is 1 to %d of 0-9 * # A-D and commas", maxDigits))
		return
	}
	if c.phase != talking || c.audio == nil || !c.audio.through() || c.audio.ends[m.s.other()].leg == nil {
		r.answer(c.wrong("nobody is there to hear keys"))
		return
	}
	if err := c.audio.ends[m.s.other()].leg.Press(strings.ToUpper(r.Digits)); err != nil {
		r.answer(voice.TErrorf(voice.TErrResourceUnavailable, "%v", err))
		return
	}
	c.byRequest(r.Request, func() {
		c.publish(voice.EventDTMFSent, m.s, voice.StateOk, func(e *voice.CallEvent) { e.DTMFDigits = r.Digits })
	})
	r.answer(nil)
}

// openRequests serves the door of requests until stop.
func (s *Service) openRequests(ctx context.Context) (stop func(), err error) {
	return fabric.Handle(ctx, s.f, contract.AskNode, s.AskNode)
}
