package scxml

// This file is the algorithm of Appendix D of the Recommendation. Names are those of its procedures.

// selectTransitions finds what an event enables; nil asks for eventless transitions.
func (s *Session) selectTransitions(ev *Event) []*transition {
	var enabled []*transition
	states := s.prog.states
	for i := s.config.next(0); i >= 0; i = s.config.next(i + 1) {
		if !states[i].atomic() {
			continue
		}
		if t := s.enabledFrom(states[i], ev); t != nil {
			enabled = appendNew(enabled, t)
		}
		if s.finished() {
			return nil // a condition was a runaway
		}
	}
	if len(enabled) > 1 {
		enabled = s.removeConflicting(enabled)
	}
	return enabled
}

// enabledFrom finds the first enabled transition of an atomic state or its ancestors.
func (s *Session) enabledFrom(st *state, ev *Event) *transition {
	for ; st != nil; st = st.parent {
		for _, t := range st.transitions {
			switch {
			case ev == nil && t.events != nil, ev != nil && !t.matches(ev.Name):
			case t.cond == nil || s.holds(t.cond):
				return t
			}
		}
	}
	return nil
}

func appendNew(list []*transition, t *transition) []*transition {
	for _, old := range list {
		if old == t {
			return list
		}
	}
	return append(list, t)
}

// removeConflicting keeps of transitions that would exit the same states the one of the descendant, or else the first.
func (s *Session) removeConflicting(enabled []*transition) []*transition {
	var filtered []*transition
	domains := map[*transition]*state{}
	for _, t := range enabled {
		domains[t] = s.domain(t)
	}
next:
	for _, t1 := range enabled {
		keep := make([]*transition, 0, len(filtered)+1)
		for _, t2 := range filtered {
			if !meet(domains[t1], domains[t2]) {
				keep = append(keep, t2)
			} else if !t1.source.below(t2.source) {
				continue next // t2 came first
			}
		}
		filtered = append(keep, t1)
	}
	return filtered
}

// meet tells whether two exit sets intersect. Exit sets are what is active below a domain, and below each domain
// something is active, so they intersect where one domain is within the other.
func meet(a, b *state) bool {
	return a != nil && b != nil && (a == b || a.below(b) || b.below(a))
}

// effectiveTargets replaces histories by what they stand for.
func (s *Session) effectiveTargets(t *transition, out []*state) []*state {
	for _, target := range t.targets {
		if target.kind != kindHistory {
			out = append(out, target)
		} else if kept, ok := s.history[target.index]; ok {
			out = append(out, kept...)
		} else {
			out = s.effectiveTargets(target.initial, out)
		}
	}
	return out
}

// domain is the state below which everything is exited; nil for a transition without targets.
func (s *Session) domain(t *transition) *state {
	if len(t.targets) == 0 {
		return nil
	}
	targets := s.effectiveTargets(t, nil)
	if t.internal && t.source.compound() && allBelow(targets, t.source) {
		return t.source
	}
	for a := t.source.parent; a != nil; a = a.parent { // the least common compound ancestor
		if a.compound() && allBelow(targets, a) {
			return a
		}
	}
	return s.prog.states[0]
}

func allBelow(states []*state, a *state) bool {
	for _, st := range states {
		if !st.below(a) {
			return false
		}
	}
	return true
}

func (s *Session) microstep(enabled []*transition) {
	s.exitStates(enabled)
	for _, t := range enabled {
		s.runHandler(t.actions)
	}
	s.enterStates(enabled)
}

func (s *Session) exitStates(enabled []*transition) {
	states := s.prog.states
	exit := newSet(len(states))
	for _, t := range enabled {
		if d := s.domain(t); d != nil {
			for i := s.config.next(d.index + 1); i >= 0 && i <= d.last; i = s.config.next(i + 1) {
				exit.add(states[i])
				s.toInvoke = without(s.toInvoke, states[i])
			}
		}
	}
	for i := exit.next(0); i >= 0; i = exit.next(i + 1) {
		for _, h := range states[i].history {
			s.remember(h)
		}
	}
	for i := exit.prev(len(states) - 1); i >= 0; i = exit.prev(i - 1) {
		s.leave(states[i])
	}
}

// remember keeps for a history what is active of its parent.
func (s *Session) remember(h *state) {
	var kept []*state
	for i := s.config.next(h.parent.index + 1); i >= 0 && i <= h.parent.last; i = s.config.next(i + 1) {
		st := s.prog.states[i]
		if h.deep && st.atomic() || !h.deep && st.parent == h.parent {
			kept = append(kept, st)
		}
	}
	if s.history == nil {
		s.history = map[int][]*state{}
	}
	s.history[h.index] = kept
}

func (s *Session) leave(st *state) {
	for _, block := range st.exit {
		s.runHandler(block)
	}
	s.cancelInvocations(st)
	s.config.remove(st)
	s.trace(TraceExit, st.id, nil)
}

// entrySet collects what a microstep enters.
type entrySet struct {
	enter     set
	defaults  set // compound states that begin with their initial transition
	histories map[*state]*transition
}

func (s *Session) enterStates(enabled []*transition) {
	n := len(s.prog.states)
	e := &entrySet{enter: newSet(n), defaults: newSet(n)}
	for _, t := range enabled {
		for _, target := range t.targets {
			s.addDescendants(target, e)
		}
		ancestor := s.domain(t)
		for _, target := range s.effectiveTargets(t, nil) {
			s.addAncestors(target, ancestor, e)
		}
	}
	for i := e.enter.next(0); i >= 0; i = e.enter.next(i + 1) {
		s.enter(s.prog.states[i], e)
	}
}

func (s *Session) addDescendants(st *state, e *entrySet) {
	if st.kind == kindHistory {
		s.addHistory(st, e)
		return
	}
	e.enter.add(st)
	switch {
	case st.compound():
		e.defaults.add(st)
		for _, target := range st.initial.targets {
			s.addDescendants(target, e)
		}
		for _, target := range s.effectiveTargets(st.initial, nil) {
			s.addAncestors(target, st, e)
		}
	case st.kind == kindParallel:
		s.addRegions(st, e)
	}
}

func (s *Session) addHistory(h *state, e *entrySet) {
	targets, kept := s.history[h.index]
	if !kept {
		if e.histories == nil {
			e.histories = map[*state]*transition{}
		}
		e.histories[h.parent] = h.initial
		targets = h.initial.targets
	}
	for _, target := range targets {
		s.addDescendants(target, e)
	}
	if !kept {
		targets = s.effectiveTargets(h.initial, nil)
	}
	for _, target := range targets {
		s.addAncestors(target, h.parent, e)
	}
}

// addRegions enters the children of a parallel that nothing was said about yet.
func (s *Session) addRegions(st *state, e *entrySet) {
	for _, child := range st.children {
		if !e.enter.between(child.index, child.last) {
			s.addDescendants(child, e)
		}
	}
}

func (s *Session) addAncestors(st, ancestor *state, e *entrySet) {
	for a := st.parent; a != nil && a != ancestor; a = a.parent {
		e.enter.add(a)
		if a.kind == kindParallel {
			s.addRegions(a, e)
		}
	}
}

func (s *Session) enter(st *state, e *entrySet) {
	if st.kind == kindScxml {
		return // the document is active as long as the session is
	}
	s.config.add(st)
	if len(st.invokes) > 0 {
		s.toInvoke = append(without(s.toInvoke, st), st)
	}
	s.trace(TraceEnter, st.id, nil)
	if s.prog.late && !s.entered.has(st) {
		s.entered.add(st)
		s.initialise(st.data)
	}
	for _, block := range st.entry {
		s.runHandler(block)
	}
	if e.defaults.has(st) {
		s.runHandler(st.initial.actions)
	}
	if t := e.histories[st]; t != nil {
		s.runHandler(t.actions)
	}
	if st.kind == kindFinal {
		s.reached(st)
	}
}

// reached raises the events that follow from entering a final state.
func (s *Session) reached(st *state) {
	parent := st.parent
	if parent.kind == kindScxml {
		s.running = false
		return
	}
	_ = s.raise(Event{Name: "done.state." + parent.id, Type: Internal, Data: s.doneData(st), hasData: true})
	if region := parent.parent; region != nil && region.kind == kindParallel {
		for _, child := range region.children {
			if !s.inFinal(child) {
				return
			}
		}
		_ = s.raise(Event{Name: "done.state." + region.id, Type: Internal})
	}
}

func (s *Session) inFinal(st *state) bool {
	switch {
	case st.compound():
		for _, child := range st.children {
			if child.kind == kindFinal && s.config.has(child) {
				return true
			}
		}
	case st.kind == kindParallel && len(st.children) > 0:
		for _, child := range st.children {
			if !s.inFinal(child) {
				return false
			}
		}
		return true
	}
	return false
}

// doneData evaluates <donedata>; what fails leaves the event without data (§5.7).
func (s *Session) doneData(st *state) any {
	if st.done == nil {
		return Undefined
	}
	params, body, _, err := st.done.values(s)
	if err != nil {
		s.fault(err)
		return Undefined
	}
	if st.done.content != nil {
		return body
	}
	return gather(params)
}

func without(list []*state, st *state) []*state {
	for i, old := range list {
		if old == st {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}
