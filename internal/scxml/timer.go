package scxml

import (
	"fmt"
	"slices"
	"time"
)

// timer is a delayed message. It is data: whoever drives the session asks for NextDue and calls Run then.
type timer struct {
	due time.Time
	m   Message
}

// later keeps a message until its time. Its values were evaluated already (§6.2.4).
func (s *Session) later(m Message, delay time.Duration) error {
	if m.Target == "#_internal" {
		return s.sendError(errExecution, m, fmt.Errorf("an event for #_internal cannot be delayed (§6.2.4)"), m.named)
	}
	if len(s.timers) >= s.engine.opts.Limits.Timers {
		return s.sendError(errExecution, m, fmt.Errorf("more than %d delayed events wait", s.engine.opts.Limits.Timers), m.named)
	}
	t := timer{due: s.now.Add(delay), m: m}
	// Equal times fire in the order they were sent.
	i, _ := slices.BinarySearchFunc(s.timers, t, func(a, b timer) int {
		if a.due.After(b.due) {
			return 1
		}
		return -1
	})
	s.timers = slices.Insert(s.timers, i, t)
	return nil
}

func (s *Session) cancelSends(id string) {
	s.timers = slices.DeleteFunc(s.timers, func(t timer) bool { return t.m.SendID == id })
}

// fireNext dispatches the earliest message of the family that is due.
func (s *Session) fireNext(now time.Time) bool {
	first := s.earliest()
	if first == nil || first.timers[0].due.After(now) {
		return false
	}
	m := first.timers[0].m
	if first.timers = first.timers[1:]; len(first.timers) == 0 {
		first.timers = nil
	}
	first.now = now
	if err := first.dispatch(m); err != nil {
		first.fault(err)
		first.begin()
		first.macrostep() // the error is an internal event, which nothing else would wake
	} else if len(first.internal) > 0 {
		first.begin()
		first.macrostep()
	}
	return true
}

// earliest is the member of the family whose timer fires first, nil if there is none.
func (s *Session) earliest() *Session {
	var first *Session
	s.eachMember(func(m *Session) {
		if len(m.timers) > 0 && (first == nil || m.timers[0].due.Before(first.timers[0].due)) {
			first = m
		}
	})
	return first
}

// NextDue is when Run has to be called next; false means that only an event can wake the session. A time that is past
// asks for a Run at once.
func (s *Session) NextDue() (time.Time, bool) {
	s.run.Lock()
	defer s.run.Unlock()
	pending := false
	s.eachMember(func(m *Session) { pending = pending || m.pending() })
	if pending {
		return s.now, true
	}
	if first := s.earliest(); first != nil {
		return first.timers[0].due, true
	}
	return time.Time{}, false
}

func (s *Session) pending() bool {
	if s.end != nil {
		return false
	}
	if !s.started {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.external) > 0
}
