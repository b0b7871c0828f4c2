package orchestration

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
	"parley/services/orchestration/module/dialog"
)

// follow gives the events of calls to the sessions that have them.
func (svc *Service) follow(m fabric.Message) {
	if len(m.Subject) < 4 {
		return
	}
	key := [2]string{m.Subject[1], m.Subject[2]}
	svc.mu.Lock()
	list := slices.Clone(svc.calls[key])
	svc.mu.Unlock()
	if len(list) == 0 {
		return
	}
	var ev voice.CallEvent
	if err := json.Unmarshal(m.Data, &ev); err != nil {
		svc.log.Error("unreadable event on CALLS", "seq", m.Seq, "err", err)
		return
	}
	for _, s := range list {
		s.do(func() { s.hear(&ev) })
	}
}

// maxHistory bounds the events of a call that are read back.
const maxHistory = 2000

// history reads what the stream has of a call.
func (svc *Service) history(tenant, call string) ([]*voice.CallEvent, error) {
	ctx, cancel := context.WithTimeout(svc.base(), 5*time.Second)
	defer cancel()
	list, err := svc.f.Read(ctx, fabric.StreamCalls, fabric.Filter("call", tenant, call, fabric.Rest), maxHistory)
	if err != nil {
		return nil, err
	}
	var out []*voice.CallEvent
	for _, m := range list {
		var ev voice.CallEvent
		if err := json.Unmarshal(m.Data, &ev); err == nil {
			out = append(out, &ev)
		}
	}
	return out, nil
}

// catchUp takes the events of a call that were missed, and tells which requests its events show to have been heard.
func (s *session) catchUp(i *item) (heard map[int64]bool) {
	events, err := s.svc.history(s.rec.Tenant, i.ID)
	if err != nil {
		s.log.Warn("events of a call cannot be read back", "call", i.ID, "err", err)
		return nil
	}
	heard = map[int64]bool{}
	for _, ev := range events {
		if ev.ReferenceID != 0 {
			heard[ev.ReferenceID] = true
		}
		if ev.Seq > i.Seq && !s.gone {
			s.take(i, ev)
			s.step()
		}
	}
	return heard
}

// hear is an event of a call as it comes: each once, and none before those that come first.
func (s *session) hear(ev *voice.CallEvent) {
	i := s.item(ev.CallUUID)
	if i == nil || ev.Seq <= i.Seq {
		return
	}
	if ev.Seq > i.Seq+1 {
		s.catchUp(i)
		if ev.Seq <= i.Seq || s.item(ev.CallUUID) != i {
			return
		}
	}
	s.take(i, ev)
}

// take changes what is known of the interaction, and tells the script.
func (s *session) take(i *item, ev *voice.CallEvent) {
	i.Seq, i.Node = ev.Seq, ev.Node
	s.svc.m.callEvents.Inc()
	old := ev.Seq < i.From // before the call came here
	s.know(i, ev)
	if old {
		return
	}
	tell := func(name string, data map[string]any) {
		if data == nil {
			data = map[string]any{}
		}
		data["interactionid"] = i.ID
		s.post(scxml.Event{Name: name, Data: data})
	}
	switch ev.ID {
	case voice.EventQueued:
		if ev.Seq == i.From {
			s.svc.m.opened.Inc()
			tell("interaction.added", nil)
		} else { // another route point has it now, with a session of its own
			s.part(i)
		}
	case voice.EventRouteRequest:
		if !i.Present {
			i.Present = true
			tell("interaction.present", map[string]any{"ani": i.Voice.ANI, "dnis": i.Voice.DNIS, "dn": i.At})
		}
	case voice.EventTreatmentApplied, voice.EventTreatmentNotApplied, voice.EventTreatmentEnd:
		s.treated(ev)
	case voice.EventRouteUsed:
		if ev.ReferenceID == 0 || s.byRef(ev.ReferenceID) == nil {
			s.svc.m.redirected.Inc()
		}
	case voice.EventError:
		if a := s.byRef(ev.ReferenceID); a != nil {
			s.notRouted(a, refusal(&voice.TError{Code: ev.ErrorCode, Message: ev.ErrorMessage}))
		}
	case voice.EventDiverted:
		s.diverted(i, ev)
	case voice.EventAttachedDataChanged:
		tell("interaction.udata.changed", map[string]any{"udata": i.UserData})
	case voice.EventPartyAdded:
		tell("interaction.partyadded", map[string]any{"dn": ev.OtherDN})
	case voice.EventPartyDeleted:
		tell("interaction.partydeleted", map[string]any{"dn": ev.OtherDN})
	case voice.EventDialing, voice.EventRinging, voice.EventEstablished, voice.EventHeld, voice.EventRetrieved, voice.EventPartyChanged:
		tell("interaction.partystatechanged", map[string]any{"dn": ev.ThisDN, "state": stateWord(ev.ID)})
	case voice.EventAbandoned:
		s.part(i)
	case voice.EventReleased:
		if len(i.Parties) == 0 && i.At == "" && ev.CallState != voice.StateTransferred && ev.CallState != voice.StateConferenced {
			s.part(i)
		} else {
			tell("interaction.partydeleted", map[string]any{"dn": ev.ThisDN})
		}
	}
}

// part ends the session's part in an interaction: it is over, or another session's.
func (s *session) part(i *item) {
	i.At, i.Present, i.State = "", false, "gone"
	s.svc.m.cleared.Inc()
	s.post(scxml.Event{Name: "interaction.deleted", Data: map[string]any{"interactionid": i.ID}})
	s.post(scxml.Event{Name: "interaction.notcontrolled", Data: map[string]any{"interactionid": i.ID}})
	s.rec.Items = slices.DeleteFunc(s.rec.Items, func(j *item) bool { return i == j })
	s.cancelWishes(i.ID)
	s.rec.Asked = slices.DeleteFunc(s.rec.Asked, func(a *asked) bool { return a.Interaction == i.ID && a.Interaction != "" })
	s.svc.unfollow(s, i.ID)
	if s.chart == nil && s.failed {
		s.remove()
		s.let(true)
	}
}

// know keeps the model of the call as its events tell it.
func (s *session) know(i *item, ev *voice.CallEvent) {
	v := i.Voice
	if v == nil {
		v = &module.Voice{}
		i.Voice = v
	}
	v.CallID, v.ConnID, v.Type = ev.CallID, ev.ConnID, ev.CallType.String()
	if ev.ANI != "" {
		v.ANI = ev.ANI
	}
	if ev.DNIS != "" {
		v.DNIS = ev.DNIS
	}
	if ev.UserData != nil {
		i.UserData = ev.UserData
	}
	switch ev.ID {
	case voice.EventQueued:
		i.At, i.State, v.RoutePoint = ev.ThisDN, "queued", ev.ThisDN
	case voice.EventDiverted:
		i.At, i.State = "", "routed"
	case voice.EventAbandoned:
		i.At, i.Parties = "", nil
	case voice.EventReleased:
		i.Parties = slices.DeleteFunc(i.Parties, func(p module.Party) bool { return p.DN == ev.ThisDN })
	case voice.EventDialing, voice.EventRinging, voice.EventEstablished, voice.EventHeld, voice.EventRetrieved:
		word := stateWord(ev.ID)
		at := slices.IndexFunc(i.Parties, func(p module.Party) bool { return p.DN == ev.ThisDN })
		if at < 0 {
			i.Parties = append(i.Parties, module.Party{DN: ev.ThisDN})
			at = len(i.Parties) - 1
		}
		i.Parties[at].State = word
		if i.At == "" {
			i.State = word
		}
	}
}

func stateWord(id voice.EventName) string {
	switch id {
	case voice.EventDialing:
		return "dialing"
	case voice.EventRinging:
		return "ringing"
	case voice.EventHeld:
		return "held"
	}
	return "established"
}

// treated is what became of a treatment.
func (s *session) treated(ev *voice.CallEvent) {
	a := s.byRef(ev.ReferenceID)
	if a == nil {
		return
	}
	kind, kv, _ := dialog.Treatment(&a.Request)
	switch {
	case ev.ID == voice.EventTreatmentNotApplied:
		s.answer(a, nil, refusal(&voice.TError{Code: ev.ErrorCode, Message: ev.ErrorMessage}))
	case ev.ID == voice.EventTreatmentEnd:
		data, err := dialog.Result(&a.Request, ev)
		s.answer(a, data, err)
	case dialog.Continuous(kind, kv):
		s.answer(a, nil, nil)
	default:
		s.post(a.Accepted())
	}
}

// diverted is a call that left its route point.
func (s *session) diverted(i *item, ev *voice.CallEvent) {
	a := s.byRef(ev.ReferenceID)
	if a == nil {
		s.cancelWishes(i.ID)
		return
	}
	s.routed(a, ev.ThirdPartyDN)
}

// refusal is a refusal of T-Library for scripts.
func refusal(e *voice.TError) *module.Refusal {
	what := module.Remote
	switch e.Code {
	case voice.TErrInvalidCalledDN, voice.TErrNoSuchDN, voice.TErrDNNotConfigured, voice.TErrTargetInvalid, voice.TErrInvalidDestination:
		what = module.InvalidDestination
	case voice.TErrInvalidConnID:
		what = module.InvalidInteraction
	case voice.TErrWrongState, voice.TErrDestinationState, voice.TErrTooManyRequests:
		what = module.InvalidState
	case voice.TErrUnsupported:
		what = module.Unsupported
	case voice.TErrBadParameter, voice.TErrInvalidValue:
		what = module.InvalidParameter
	case voice.TErrTimeout:
		what = module.Timeout
	case voice.TErrServiceUnavailable, voice.TErrNoSwitch, voice.TErrOutOfService:
		what = module.Unavailable
	case voice.TErrBusy:
		what = "busy"
	case voice.TErrNoAnswer:
		what = "noanswer"
	case voice.TErrRejected:
		what = "rejected"
	}
	return module.Refuse(what, "%s", e.Message)
}
