package sip

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// What the extension MonitorMode says, and MonitorScope.
const (
	modeNormal  = "normal"
	modeMute    = "mute"
	modeCoach   = "coach"
	modeConnect = "connect"

	scopeCall  = "call"
	scopeAgent = "agent"
)

// monitor is the wish of a supervisor to be in the next call of an agent, or in all.
type monitor struct {
	Tenant     string       `json:"tenant"`
	Supervisor string       `json:"supervisor"`
	Agent      string       `json:"agent"`
	Mode       string       `json:"mode"`
	Scope      string       `json:"scope"`
	All        bool         `json:"all"`
	Extensions voice.KVList `json:"extensions,omitempty"`
}

// monitors is this node's copy of the bucket "monitoring": an agent's next call may be on any node. One supervisor an agent.
type monitors struct {
	mu sync.RWMutex
	by map[agentKey]monitor
}

type agentKey struct{ tenant, dn string }

func (k agentKey) key() string { return fabric.Key(k.tenant, k.dn) }

// watch keeps the copy current until ctx ends.
func (m *monitors) watch(ctx context.Context, f *fabric.Fabric) error {
	return f.Bucket(fabric.BucketMonitoring).Watch(ctx, "", func(e fabric.Entry) {
		tokens := fabric.SplitKey(e.Key)
		if len(tokens) != 2 {
			return
		}
		k := agentKey{tokens[0], tokens[1]}
		var mon monitor
		m.mu.Lock()
		defer m.mu.Unlock()
		if e.Op != fabric.EntryPut || json.Unmarshal(e.Value, &mon) != nil {
			delete(m.by, k)
			return
		}
		m.by[k] = mon
	}, func() {})
}

// of is who wants to be in the calls of a DN.
func (m *monitors) of(tenant, dn string) (monitor, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	mon, ok := m.by[agentKey{tenant, dn}]
	return mon, ok
}

const monitorTimeout = 5 * time.Second

// askMonitor serves the two requests about supervision.
func (s *Service) askMonitor(r *request) {
	ctx, cancel := context.WithTimeout(s.run, monitorTimeout)
	defer cancel()
	if r.Name == voice.RequestCancelMonitoring {
		r.answer(s.cancelMonitor(ctx, r))
		return
	}
	r.answer(s.setMonitor(ctx, r))
}

func (s *Service) setMonitor(ctx context.Context, r *request) *voice.TError {
	for _, dn := range []string{r.ThisDN, r.OtherDN} {
		if rec, ok := s.dir.DN(r.Tenant, dn); !ok || rec.Type != voice.DNExtension {
			return voice.TErrorf(voice.TErrTargetInvalid, "%.64q is no extension of the tenant", dn)
		}
	}
	m := monitor{Tenant: r.Tenant, Supervisor: r.ThisDN, Agent: r.OtherDN, Mode: r.Extensions.Text(voice.ExtMonitorMode),
		Scope: r.Extensions.Text(voice.ExtMonitorScope), All: r.Monitor == voice.MonitorAllCalls, Extensions: r.Extensions}
	if m.Mode == "" {
		m.Mode = modeNormal
	}
	if m.Scope == "" {
		m.Scope = scopeCall
	}
	switch {
	case m.Agent == m.Supervisor:
		return voice.TErrorf(voice.TErrTargetInvalid, "%.64s would monitor itself", m.Agent)
	case !slices.Contains([]string{modeNormal, modeMute, modeCoach, modeConnect}, m.Mode) || m.Scope != scopeCall && m.Scope != scopeAgent:
		return voice.TErrorf(voice.TErrInvalidValue, "mode %.32q and scope %.32q: want normal, mute, coach or connect, and call or agent", m.Mode, m.Scope)
	}
	if old, ok := s.monitors.of(m.Tenant, m.Agent); ok && old.Supervisor != m.Supervisor {
		return voice.TErrorf(voice.TErrAlreadyInState, "%s is monitored by %s already", m.Agent, old.Supervisor)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return voice.TErrorf(voice.TErrInternal, "%v", err)
	}
	if _, err := s.f.Bucket(fabric.BucketMonitoring).Put(ctx, agentKey{m.Tenant, m.Agent}.key(), b, fabric.PutOptions{}); err != nil {
		return voice.TErrorf(voice.TErrResourceUnavailable, "the wish could not be stored; try again in a moment")
	}
	s.monitors.mu.Lock() // here at once: the agent's next call may come before the bucket tells
	s.monitors.by[agentKey{m.Tenant, m.Agent}] = m
	s.monitors.mu.Unlock()
	s.tellMonitor(&m, voice.EventMonitoringNextCall, r.Request)
	return nil
}

func (s *Service) cancelMonitor(ctx context.Context, r *request) *voice.TError {
	m, ok := s.monitors.of(r.Tenant, r.OtherDN)
	if !ok || m.Supervisor != r.ThisDN {
		return voice.TErrorf(voice.TErrAlreadyInState, "%.64s does not monitor %.64s", r.ThisDN, r.OtherDN)
	}
	if e := s.forget(ctx, &m); e != nil {
		return e
	}
	for _, c := range s.all() {
		c.must(func() { c.endSupervision(&m) })
	}
	s.tellMonitor(&m, voice.EventMonitoringCancelled, r.Request)
	return nil
}

// forget ends a wish.
func (s *Service) forget(ctx context.Context, m *monitor) *voice.TError {
	k := agentKey{m.Tenant, m.Agent}
	if err := s.f.Bucket(fabric.BucketMonitoring).Delete(ctx, k.key(), fabric.PutOptions{}); err != nil && !errors.Is(err, voice.ErrNotFound) {
		return voice.TErrorf(voice.TErrResourceUnavailable, "the wish could not be taken back; try again in a moment")
	}
	s.monitors.mu.Lock()
	delete(s.monitors.by, k)
	s.monitors.mu.Unlock()
	return nil
}

// tellMonitor publishes an event on DEVICES about the supervisor.
func (s *Service) tellMonitor(m *monitor, id voice.EventName, r *voice.Request) {
	e := voice.DeviceEvent{ID: id, Server: server, ThisDN: m.Supervisor, OtherDN: m.Agent, Tenant: m.Tenant, Time: time.Now(), Node: s.f.Node(), Extensions: m.Extensions}
	if r != nil {
		e.ReferenceID, e.Reasons = r.ReferenceID, r.Reasons
	}
	if err := s.f.Publish(fabric.Event{Subject: fabric.Subject("device", m.Tenant, m.Supervisor, string(id)), Payload: e}); err != nil {
		s.log.Error("event about supervision lost", "dn", m.Supervisor, "event", string(id), "err", err)
	}
}

// supervisionOver tells of the end of one that was for one call; that of all calls goes on.
func (o *outside) supervisionOver(m *monitor) {
	if !m.All {
		(*Service)(o).tellMonitor(m, voice.EventMonitoringCancelled, nil)
	}
}

func (o *outside) monitored(tenant, dn string) (monitor, bool) { return o.monitors.of(tenant, dn) }

func (o *outside) supervised(m *monitor) {
	if m.All {
		return
	}
	s := (*Service)(o)
	s.monitors.mu.Lock()
	delete(s.monitors.by, agentKey{m.Tenant, m.Agent}) // the next call is none that was meant
	s.monitors.mu.Unlock()
	go func() { // a call waits for no bucket
		ctx, cancel := context.WithTimeout(s.run, monitorTimeout)
		defer cancel()
		if e := s.forget(ctx, m); e != nil {
			s.log.Warn("a supervision of one call", "agent", m.Agent, "err", e)
		}
	}()
}
