package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// session is one desktop: who it is, its device, the calls of that, and the clients of its push channel.
type session struct {
	key    string // what its cookie says
	token  string // of the tenant service; the session ends with it
	tenant string
	person voice.Person

	mu           sync.Mutex // guards what follows
	gone         bool
	seen         time.Time // of the last request or poll
	dn           string    // "" = no device
	turn         uint64    // counts how often dn was set
	checked      time.Time // when dn was last found to be the person's
	place        string
	dnd          bool
	forward      string
	autoComplete bool
	loading      bool              // events are kept in early until it is known which calls there are
	early        []voice.CallEvent //
	calls        map[string]*call  // by ConnID
	order        []string          // of calls, oldest first
	clients      []*client         // oldest first
	pending      int               // requests under way
	operations   map[int64]string  // ReferenceID -> operation id, of requests whose outcome may still be told
	references   []int64           // of operations, oldest first

	followed     string // guarded by Service.mu: the device under which byDN has the session; "" = none
	followedTurn uint64 // guarded by Service.mu: the turn of that
}

// dnView is the Dn object of the interface. Agent state is not kept, so nobody is logged in.
type dnView struct {
	Number       string   `json:"number"`
	AgentID      string   `json:"agentId,omitempty"`
	AgentState   string   `json:"agentState"`
	Capabilities []string `json:"capabilities"`
	Available    bool     `json:"available"`
	DND          bool     `json:"dnd"`
	ForwardTo    string   `json:"forwardTo,omitempty"`
	Activity     string   `json:"activity"`
	Timestamp    int64    `json:"timestamp"` // milliseconds since 1970
}

func (x *session) dnViewLocked(now time.Time) dnView {
	v := dnView{
		Number: x.dn, AgentID: x.person.AgentID, AgentState: "LoggedOut", Available: !x.dnd, DND: x.dnd, ForwardTo: x.forward,
		Activity: x.activityLocked(), Timestamp: now.UnixMilli(), Capabilities: []string{"make-call", "send-user-event"},
	}
	v.Capabilities = append(v.Capabilities, choose(x.dnd, "dnd-off", "dnd-on"), choose(x.forward != "", "cancel-forward", "set-forward"))
	return v
}

func choose(c bool, yes, no string) string {
	if c {
		return yes
	}
	return no
}

// activityLocked says in a word what the device does; what is talked in counts for more than what is on hold.
func (x *session) activityLocked() string {
	best, out := 0, "Idle"
	for _, id := range x.order {
		k := x.calls[id]
		rank, name := 0, ""
		switch k.state {
		case stateEstablished:
			rank, name = 4, "Handling"+kindName(k.kind)+"Call"
		case stateDialing:
			rank, name = 3, "InitiatingCall"
		case stateRinging:
			rank, name = 2, "ReceivingCall"
		case stateHeld:
			rank, name = 1, "CallOnHold"
		}
		if rank > best {
			best, out = rank, name
		}
	}
	return out
}

// viewLocked is a call as the desktop sees it.
func (x *session) viewLocked(k *call, now time.Time) callView {
	p := x.calls[k.parent]
	return k.view(k.parent != "" && p != nil && p.state == stateHeld, now)
}

func (x *session) callViewsLocked(now time.Time) []callView {
	out := make([]callView, 0, len(x.order))
	for _, id := range x.order {
		out = append(out, x.viewLocked(x.calls[id], now))
	}
	return out
}

func (x *session) keepLocked(k *call) {
	x.calls[k.id] = k
	x.order = append(x.order, k.id)
	if len(x.order) > maxCalls {
		x.forgetLocked(x.order[0])
	}
}

func (x *session) forgetLocked(id string) {
	delete(x.calls, id)
	x.order = slices.DeleteFunc(x.order, func(o string) bool { return o == id })
}

// dropDeviceLocked forgets the device and its calls. What follows needs the new turn.
func (x *session) dropDeviceLocked() (turn uint64) {
	x.turn++
	x.checked = time.Time{}
	x.dn, x.place, x.dnd, x.forward, x.loading = "", "", false, "", false
	x.early, x.order, x.calls = nil, nil, map[string]*call{}
	return x.turn
}

// loaded takes the calls that the device had when it was taken, and what happened since.
func (x *session) loaded(dn string, calls []voice.Call, push func(channel string, data any), now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dn != dn || !x.loading {
		return // another device meanwhile, or none
	}
	for _, c := range calls {
		if k, ok := callOf(c, dn); ok {
			x.keepLocked(k)
		}
	}
	x.loading = false
	early := x.early
	x.early = nil
	push(channelVoice, x.deviceMessageLocked(now))
	for _, id := range x.order {
		push(channelVoice, x.callMessageLocked(x.calls[id], aboutState, now))
	}
	for i := range early {
		x.takeLocked(&early[i], push, now)
	}
}

// take lets an event of the device change the session.
func (x *session) take(ev *voice.CallEvent, push func(channel string, data any), now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone || x.dn != ev.ThisDN {
		return
	}
	if x.loading {
		if len(x.early) < maxQueue {
			x.early = append(x.early, *ev)
		}
		return
	}
	x.takeLocked(ev, push, now)
}

func (x *session) takeLocked(ev *voice.CallEvent, push func(channel string, data any), now time.Time) {
	if ev.ID == voice.EventError {
		push(channelVoice, x.errorMessageLocked(ev.ReferenceID, ev.ConnID, int(ev.ErrorCode), ev.ErrorMessage))
		return
	}
	k := x.calls[ev.ConnID]
	if k == nil && ev.ID == voice.EventPartyChanged && ev.PreviousConnID != "" {
		k = x.renameLocked(ev)
	}
	if k == nil {
		state, tells := stateAfter[ev.ID]
		if !tells || state == stateReleased {
			return // of a call that is over, or not the device's yet
		}
		k = &call{id: ev.ConnID}
		x.keepLocked(k)
	}
	if ev.Seq <= k.seq {
		return
	}
	about := k.take(ev)
	if about == "" {
		return
	}
	push(channelVoice, x.callMessageLocked(k, about, now))
	if k.state == stateReleased && x.autoComplete {
		x.forgetLocked(k.id)
	}
	if about == aboutState {
		x.parentsLocked(k, push, now)
		push(channelVoice, x.deviceMessageLocked(now))
	}
}

// renameLocked follows a call that became part of another: its ConnID is another one from now on.
func (x *session) renameLocked(ev *voice.CallEvent) *call {
	k := x.calls[ev.PreviousConnID]
	if k == nil {
		return nil
	}
	i := slices.Index(x.order, k.id)
	delete(x.calls, k.id)
	k.previous, k.parent, k.id, k.seq = k.id, "", ev.ConnID, 0
	x.order[i], x.calls[k.id] = k.id, k
	return k
}

// parentsLocked tells of a consult call anew when the call it is about was held or retrieved: what it can do changed.
func (x *session) parentsLocked(changed *call, push func(channel string, data any), now time.Time) {
	for _, id := range x.order {
		if k := x.calls[id]; k.parent == changed.id && k.state != stateReleased {
			push(channelVoice, x.callMessageLocked(k, aboutState, now))
		}
	}
}

// device lets an event about the device itself change the session.
func (x *session) device(ev *voice.DeviceEvent, push func(channel string, data any), now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone || x.dn != ev.ThisDN {
		return
	}
	switch ev.ID {
	case voice.EventDNDOn, voice.EventDNDOff:
		x.dnd = ev.ID == voice.EventDNDOn
	case voice.EventForwardSet:
		x.forward = ev.OtherDN
	case voice.EventForwardCancel:
		x.forward = ""
	case voice.EventUserEvent:
		push(channelVoice, map[string]any{"messageType": "EventUserEvent", "dn": ev.ThisDN, "userData": pairsOf(ev.UserData),
			"extensions": pairsOf(ev.Extensions)})
		return
	case voice.EventMonitoringNextCall, voice.EventMonitoringCancelled:
		push(channelVoice, map[string]any{"messageType": "MonitoringStateChanged", "dn": ev.ThisDN, "otherDn": ev.OtherDN,
			"monitoringState": choose(ev.ID == voice.EventMonitoringNextCall, "Monitoring", "NotMonitoring"),
			"monitoringMode":  ev.Extensions.Text(voice.ExtMonitorMode)})
		return
	case voice.EventDNOutOfService, voice.EventDNBackInService:
	default:
		return
	}
	push(channelVoice, x.deviceMessageLocked(now))
}

func (x *session) deviceMessageLocked(now time.Time) any {
	return map[string]any{"messageType": "DnStateChanged", "dn": x.dnViewLocked(now)}
}

func (x *session) callMessageLocked(k *call, about string, now time.Time) any {
	return map[string]any{
		"messageType": "CallStateChanged", "notificationType": about, "call": x.viewLocked(k, now), "timestamp": now.UnixMilli(),
	}
}

func (x *session) errorMessageLocked(reference int64, connID string, code int, text string) any {
	m := map[string]any{"messageType": "EventError", "error": map[string]any{"errorCode": code, "errorMessage": text}}
	if connID != "" {
		m["connId"] = connID
	}
	if op := x.operations[reference]; op != "" {
		m["operationId"] = op
	}
	return m
}

// begin counts a request under way and notes what the desktop calls it; end takes it back.
func (x *session) begin(reference int64, operation string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pending >= maxPending {
		return voice.TErrorf(voice.TErrTooManyRequests, "%d requests are under way; wait for one to be answered", maxPending)
	}
	x.pending++
	if operation == "" {
		return nil
	}
	x.operations[reference] = operation
	x.references = append(x.references, reference)
	if len(x.references) > maxOps {
		delete(x.operations, x.references[0])
		x.references = x.references[1:]
	}
	return nil
}

func (x *session) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pending--
}

// pushLocked returns what puts a message into the queue of each client that follows its channel.
func (s *Service) pushLocked(x *session) func(channel string, data any) {
	return func(channel string, data any) {
		var text json.RawMessage
		for _, c := range slices.Clone(x.clients) {
			if !c.follows(channel) {
				continue
			}
			if text == nil {
				text = s.render(channel, data)
			}
			s.putLocked(x, c, text)
		}
	}
}

// tellLocked puts a message into the queue of one client.
func (s *Service) tellLocked(x *session, c *client, channel string, data any) {
	s.putLocked(x, c, s.render(channel, data))
}

func (s *Service) putLocked(x *session, c *client, text json.RawMessage) {
	if text == nil {
		return
	}
	s.metrics.messages.Inc()
	if !c.putLocked(text) {
		s.dropClientLocked(x, c, dropSlow)
	}
}

func (s *Service) render(channel string, data any) json.RawMessage {
	text, err := json.Marshal(map[string]any{"channel": channel, "data": data})
	if err != nil {
		s.log.Error("render a message for a desktop", "channel", channel, "err", err)
		return nil
	}
	return text
}

// activate gives the session a device and loads its calls.
func (s *Service) activate(ctx context.Context, x *session, dn, place string, autoComplete bool) error {
	x.mu.Lock()
	turn := x.dropDeviceLocked()
	x.dn, x.place, x.autoComplete, x.loading = dn, place, autoComplete, true
	x.mu.Unlock()
	s.follow(x, turn, dn)
	found, err := s.o.Calls(ctx, contract.FindCallsRequest{Tenant: x.tenant, DN: dn, Limit: maxCalls})
	if errors.Is(err, voice.ErrUnavailable) || errors.Is(err, voice.ErrTimeout) {
		// Better without the calls there were than without those to come; their next events show them.
		s.log.Warn("a desktop begins without the calls its device has", "dn", dn, "err", err)
		err = nil
	}
	if err != nil {
		s.dropDevice(x, turn)
		return tErrorOf(err)
	}
	x.loaded(dn, found.Calls, s.pushLocked(x), s.o.Now())
	return nil
}

// deactivate takes the device away again.
func (s *Service) deactivate(x *session) {
	x.mu.Lock()
	turn := x.dropDeviceLocked()
	x.mu.Unlock()
	s.follow(x, turn, "")
}

// dropDevice takes the device of a turn away, unless the session has another since.
func (s *Service) dropDevice(x *session, turn uint64) {
	x.mu.Lock()
	if x.dn == "" || x.turn != turn {
		x.mu.Unlock()
		return
	}
	turn = x.dropDeviceLocked()
	x.mu.Unlock()
	s.follow(x, turn, "")
}
