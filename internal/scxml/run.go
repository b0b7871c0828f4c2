package scxml

import (
	"fmt"
	"log/slog"
	"time"
)

// Run drives the session and those it invoked until all of them wait: it starts what was not started, fires timers
// that are due at now, and handles events. It returns true if there is more to do at once, because the limit of events
// a call was reached. Calls of Run exclude each other.
func (s *Session) Run(now time.Time) (more bool) {
	s.run.Lock()
	defer s.run.Unlock()
	for budget := s.engine.opts.Limits.Events; budget > 0; {
		fired := s.fireNext(now)
		worked := 0
		s.eachMember(func(m *Session) {
			m.now = now
			if m.work() {
				worked++
			}
		})
		if worked == 0 && !fired {
			return false
		}
		budget -= max(worked, 1)
	}
	return true
}

// eachMember calls f for the session and all that it invoked, as they are at that moment.
func (s *Session) eachMember(f func(*Session)) {
	if len(s.invocations) == 0 {
		f(s)
		return
	}
	for _, m := range s.family(nil) {
		f(m)
	}
}

func (s *Session) family(list []*Session) []*Session {
	list = append(list, s)
	for _, run := range s.children() {
		list = run.family(list)
	}
	return list
}

// children lists the invoked sessions.
func (s *Session) children() []*Session {
	var out []*Session
	for _, run := range s.invoked() {
		if run.child != nil {
			out = append(out, run.child)
		}
	}
	return out
}

func (s *Session) members() int { return len(s.family(nil)) }

func (s *Session) find(id string) *Session {
	if s.id == id {
		return s
	}
	for _, child := range s.children() {
		if m := child.find(id); m != nil {
			return m
		}
	}
	return nil
}

// work starts the session or handles one event of its queue; false means that there was nothing to do.
func (s *Session) work() bool {
	if s.end != nil {
		return false
	}
	if !s.started {
		s.start()
		return true
	}
	ev, ok := s.take()
	if ok {
		s.handleEvent(ev)
	}
	return ok
}

func (s *Session) start() {
	s.started = true
	s.begin()
	s.initialiseAll()
	for _, sc := range s.prog.script {
		s.runHandler([]action{sc})
	}
	if s.end == nil {
		t := s.prog.initial
		s.runHandlerOf(t)
		s.macrostep()
	}
	s.rest()
}

// runHandlerOf enters the states where the document begins.
func (s *Session) runHandlerOf(t *transition) {
	start := &transition{source: s.prog.states[0], targets: t.targets, internal: true}
	s.runHandler(t.actions)
	s.enterStates([]*transition{start})
}

// handleEvent takes an external event through a macrostep.
func (s *Session) handleEvent(ev Event) {
	s.begin()
	s.trace(TraceEvent, ev.Name, ev.Data)
	s.event = &ev
	s.forgetEvent()
	s.beforeEvent(ev)
	if run := s.invocations[ev.InvokeID]; ev.InvokeID != "" && run != nil && ev.Name == "done.invoke."+ev.InvokeID {
		delete(s.invocations, ev.InvokeID) // it has ended by itself
	}
	if enabled := s.selectTransitions(&ev); len(enabled) > 0 {
		s.microstep(enabled)
	}
	s.macrostep()
	s.rest()
}

// begin starts the account of a step.
func (s *Session) begin() { s.steps, s.overruns = 0, 0 }

// macrostep goes on until neither an eventless transition nor an internal event enables anything, then invokes what
// the states that remain active ask for.
func (s *Session) macrostep() {
	for s.running && s.end == nil {
		if !s.settle() {
			break
		}
		if len(s.toInvoke) == 0 {
			return
		}
		s.invokeAll()
		if len(s.internal) == 0 {
			return
		}
	}
	if s.end == nil {
		s.exit()
	}
}

// settle handles eventless transitions and internal events; false means that the session does not go on.
func (s *Session) settle() bool {
	for s.running && s.end == nil {
		if s.steps++; s.steps > s.engine.opts.Limits.Microsteps {
			s.abort(fmt.Errorf("%w: more than %d microsteps follow one event", ErrRunaway, s.engine.opts.Limits.Microsteps))
			return false
		}
		enabled := s.selectTransitions(nil)
		if len(enabled) == 0 {
			if len(s.internal) == 0 {
				return s.running && s.end == nil
			}
			ev := s.internal[0]
			if s.internal = s.internal[1:]; len(s.internal) == 0 {
				s.internal = nil
			}
			s.trace(TraceEvent, ev.Name, ev.Data)
			s.event = &ev
			s.forgetEvent()
			enabled = s.selectTransitions(&ev)
		}
		if len(enabled) > 0 {
			s.microstep(enabled)
		}
	}
	return false
}

func (s *Session) invokeAll() {
	list := s.toInvoke
	s.toInvoke = nil
	for _, st := range list {
		for _, inv := range st.invokes {
			if err := s.startInvocation(inv); err != nil {
				s.fault(err)
			}
		}
	}
}

// exit is exitInterpreter: handlers run, invocations are cancelled, and whoever invoked this session is told.
func (s *Session) exit() {
	if s.end != nil {
		return
	}
	end := &ending{data: Undefined, states: s.states()}
	states := s.prog.states
	for i := s.config.prev(len(states) - 1); i >= 0; i = s.config.prev(i - 1) {
		st := states[i]
		for _, block := range st.exit {
			s.runHandler(block)
		}
		s.cancelInvocations(st)
		if st.kind == kindFinal && st.parent.kind == kindScxml {
			end.data = s.doneData(st)
		}
		if s.end != nil {
			return // a handler was a runaway
		}
	}
	end.vars = s.kept()
	if s.end != nil {
		return // reading them was too much
	}
	s.close(end)
	if s.parent != nil && !s.cancelled {
		s.tellParent(Event{Name: "done.invoke." + s.invokeID, Type: External, InvokeID: s.invokeID, Data: end.data, hasData: true})
	}
}

func (s *Session) tellParent(ev Event) {
	if err := s.parent.post(ev); err != nil {
		s.engine.log.Warn("end of an invoked session is not told", slog.String("session", s.id), slog.Any("err", err))
	}
}

// abort ends a session at once, without its handlers.
func (s *Session) abort(err error) {
	if s.end != nil {
		return
	}
	s.engine.log.Warn("session stopped", slog.String("session", s.id), slog.String("document", s.prog.file), slog.Any("states", ids(s.states())), slog.Any("err", err))
	end := &ending{data: Undefined, err: err, states: s.states()}
	for _, run := range s.invoked() {
		s.stopInvocation(run)
	}
	s.close(end)
	if s.parent != nil && !s.cancelled {
		s.tellParent(Event{Name: errExecution, Type: Platform, InvokeID: s.invokeID, Data: map[string]any{"message": err.Error()}, hasData: true})
		s.tellParent(Event{Name: "done.invoke." + s.invokeID, Type: External, InvokeID: s.invokeID})
	}
}

func (s *Session) close(end *ending) {
	s.end, s.running = end, false
	s.internal, s.timers, s.toInvoke, s.invocations, s.history, s.model, s.asleep, s.event = nil, nil, nil, nil, nil, nil, nil, nil
	s.mu.Lock()
	s.ended, s.external = true, nil
	s.mu.Unlock()
	s.trace(TraceEnd, "", end.data)
}

// Cancel ends the session from outside, with its handlers (the cancel event of Appendix D).
func (s *Session) Cancel(now time.Time) {
	s.run.Lock()
	defer s.run.Unlock()
	if s.end != nil {
		return
	}
	s.now = now
	s.begin()
	s.exit()
}
