package script

import (
	"slices"
	"strings"
)

// linter looks for what a session would get away with.
type linter struct {
	*Report
	chart   *chart
	actions []*action
}

func (l *linter) run() {
	l.deadTransitions()
	l.reach()
	l.foreignEvents()
	l.unhandledFailures()
	l.silence()
}

// deadTransitions finds those that another one, before them in the same state, always takes the events of, and those
// whose condition is a plain false.
func (l *linter) deadTransitions() {
	for _, s := range l.chart.states {
		var always *transition // eventless and without a condition: the state is left before it hears of any event
		for i, t := range s.transitions {
			if strings.TrimSpace(t.cond) == "false" {
				t.dead = true
				l.warn(t.node, "it never fires: its condition is false")
				continue
			}
			if always != nil {
				t.dead = true
				l.warn(t.node, "it never fires: the transition in line %d is taken first, whatever happens", always.node.Pos.Line)
				continue
			}
			if before := shadow(s.transitions[:i], t); before != nil {
				t.dead = true
				l.warn(t.node, "it never fires: the transition in line %d takes all of its events", before.node.Pos.Line)
			}
			if t.events == nil && t.cond == "" {
				always = t
				if len(t.targets) == 0 {
					if _, names := t.node.Attr("target"); !names {
						l.warn(t.node, "it goes on for ever: it has neither event, condition nor target")
					}
				}
			}
		}
	}
}

// shadow is an earlier transition that takes whatever t would.
func shadow(earlier []*transition, t *transition) *transition {
	if t.events == nil {
		return nil
	}
	for _, e := range earlier {
		if e.cond != "" || e.events == nil {
			continue
		}
		all := true
		for _, d := range t.events {
			// An event d.x fits t; it fits e too if a descriptor of e takes d itself.
			all = all && slices.ContainsFunc(e.events, func(of string) bool { return of == "" || d != "" && takes(of, d) })
		}
		if all {
			return e
		}
	}
	return nil
}

// reach finds the states that some way leads to, not looking at conditions.
func (l *linter) reach() {
	c := l.chart
	var todo []*state
	visit := func(s *state) {
		for ; s != nil && !s.reached; s = s.parent {
			s.reached = true
			todo = append(todo, s)
		}
	}
	c.left = 4*len(c.states) + 10
	c.descend(c.states[0], visit)
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		for _, t := range s.transitions {
			if t.dead {
				continue
			}
			for _, target := range t.targets {
				if target.kind == "history" {
					visit(target)
				}
				c.enter(s, target, visit)
			}
		}
	}
	for _, s := range c.states[1:] {
		if !s.reached && s.parent.reached {
			l.warn(s.node, "nothing leads to %s", s.name())
		}
	}
}

// foreignEvents finds transitions that wait for an answer to an action that the document does not have.
func (l *linter) foreignEvents() {
	has := map[string]bool{}
	for _, a := range l.actions {
		has[a.events+"."+a.name] = true
	}
	known := map[string]bool{}
	for _, m := range modules() {
		for _, a := range m.Actions {
			events := a.Events
			if events == "" {
				events = m.Name
			}
			known[events+"."+a.Name] = true
		}
	}
	for _, s := range l.chart.states {
		for _, t := range s.transitions {
			for _, d := range t.events {
				parts := strings.Split(strings.TrimPrefix(d, "error."), ".")
				answer := len(parts) == 3 && parts[2] == "done" || strings.HasPrefix(d, "error.") && len(parts) == 2
				if !answer || !slices.Contains([]string{"dialog", "queue", "voice", "interaction", "session", "statistic", "resource", "ws"}, parts[0]) {
					continue
				}
				switch name := parts[0] + "." + parts[1]; {
				case has[name]:
				case !known[name]:
					l.warn(t.node, "no event %s ever comes: there is no action %s", d, name)
				default:
					l.warn(t.node, "no event %s ever comes: the script has no <%s>", d, name)
				}
			}
		}
	}
}

// careless are actions whose failure changes nothing for the caller.
var careless = map[string]bool{
	"interaction.setuserdata": true, "interaction.udata": true, "interaction.attachuserdata": true, "interaction.deleteuserdata": true,
	"interaction.userevent": true, "interaction.detach": true, "session.response": true, "session.terminate": true, "dialog.stop": true,
	"dialog.setdefaultdestination": true, "queue.cancel": true, "queue.query": true, "queue.update": true,
}

// unhandledFailures finds actions whose error event no state takes that is active when it comes.
func (l *linter) unhandledFailures() {
	for _, s := range l.chart.states {
		if s.kind != "scxml" && !s.reached {
			continue
		}
		for _, block := range s.entry {
			for _, a := range actionsOf(block) {
				l.handled(a, []*state{s})
			}
		}
		for _, t := range s.transitions {
			places := t.targets
			if len(places) == 0 {
				places = []*state{s}
			}
			for _, a := range actionsOf(t.node) {
				l.handled(a, places)
			}
		}
	}
}

func (l *linter) handled(a *action, places []*state) {
	if careless[a.full()] {
		return
	}
	for _, s := range places {
		if s.kind == "final" || s.takes(a.failed()) || l.below(s, a.failed()) {
			continue
		}
		l.warn(a.node, "nobody handles %s in %s or around it", a.failed(), s.name())
	}
}

// takes tells whether the state or one around it has a transition for the event.
func (s *state) takes(event string) bool {
	for ; s != nil; s = s.parent {
		for _, t := range s.transitions {
			if takesAny(t.events, event) {
				return true
			}
		}
	}
	return false
}

// below tells whether a state inside of s takes the event.
func (l *linter) below(s *state, event string) bool {
	return slices.ContainsFunc(l.chart.states, func(c *state) bool {
		return c != s && within(c, s) && slices.ContainsFunc(c.transitions, func(t *transition) bool { return takesAny(t.events, event) })
	})
}
