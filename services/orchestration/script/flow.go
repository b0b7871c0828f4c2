package script

import (
	"strings"

	"parley/internal/scxml"
	"parley/internal/scxml/markup"
)

// hears is what a caller may hear: a set.
type hears uint8

const (
	noCaller hears = 1 << iota // there is none yet, or the session has no control of him
	nothing                    // silence, and nothing that is under way will end it
	finite                     // an announcement, or a question: it ends
	lasting                    // music and the like, until something else is played
	moving                     // he is being sent on: what he hears is another's matter
	gone                       // he has been sent on, or has hung up
)

// flow follows what the caller hears. For each atomic state it keeps what he may hear when the session rests there; the sets
// grow until nothing changes. Conditions are not looked at, so all ways count; <if> may be done or not.
type flow struct {
	l    *linter
	at   map[*state]hears
	todo []*state
}

func (l *linter) silence() {
	if !l.handlesCalls() {
		return
	}
	f := &flow{l: l, at: map[*state]hears{}}
	c := l.chart
	f.rest(noCaller, func(visit func(*state)) {
		c.left = 4*len(c.states) + 10
		c.descend(c.states[0], visit)
	})
	for len(f.todo) > 0 {
		s := f.todo[0]
		f.todo = f.todo[1:]
		f.leave(s)
	}
	for _, s := range c.states[1:] {
		f.judge(s)
	}
}

// handlesCalls tells whether the script is one that callers are given to.
func (l *linter) handlesCalls() bool {
	for _, s := range l.chart.states {
		for _, t := range s.transitions {
			for _, d := range t.events {
				if d == "interaction" || strings.HasPrefix(d, "interaction.present") || strings.HasPrefix(d, "interaction.added") {
					return true
				}
			}
		}
	}
	return false
}

// leave follows the transitions of a state and of those around it.
func (f *flow) leave(s *state) {
	for a := s; a != nil; a = a.parent {
		for _, t := range a.transitions {
			if t.dead {
				continue
			}
			out := f.done(t, f.at[s])
			out = f.content(t.node, out)
			if len(t.targets) == 0 {
				f.put(s, out)
				continue
			}
			for _, target := range t.targets {
				f.rest(out, func(visit func(*state)) { f.l.chart.enter(a, target, visit) })
			}
		}
	}
}

// rest enters states and puts what is heard into those in which the session comes to rest.
func (f *flow) rest(v hears, entered func(visit func(*state))) {
	var leaves []*state
	entered(func(s *state) {
		for _, block := range s.entry {
			v = f.content(block, v)
		}
		if s.atomic() {
			leaves = append(leaves, s)
		}
	})
	for _, s := range leaves {
		f.put(s, v)
	}
}

func (f *flow) put(s *state, v hears) {
	if old := f.at[s]; old|v != old {
		f.at[s] = old | v
		f.todo = append(f.todo, s)
	}
}

// done is what is heard after the event of a transition.
func (f *flow) done(t *transition, v hears) hears {
	if t.events == nil {
		return v
	}
	out := hears(0)
	for _, d := range t.events {
		out |= after(d, v)
	}
	return out
}

// after is what is heard when an event came that a descriptor takes.
func after(d string, v hears) hears {
	parts := strings.Split(d, ".")
	bad := parts[0] == "error"
	if bad {
		parts = append(parts[1:], "") // a plain "error" has no more
	}
	last := parts[len(parts)-1]
	if d == "" && v&finite != 0 { // any event may be that of its end
		v = v&^finite | nothing
	}
	switch {
	case d == "interaction.deleted" || d == "interaction.notcontrolled":
		return gone
	case strings.HasPrefix(d, "interaction.present"), strings.HasPrefix(d, "interaction.added"):
		if v&noCaller != 0 {
			v = v&^noCaller | nothing
		}
		return v
	case bad && strings.HasPrefix(d, "error.interaction.terminate"):
		return gone // nothing else is left to be done for him
	case bad && (parts[0] == "interaction" || parts[0] == "queue" || parts[0] == ""):
		if v&moving != 0 {
			v = v&^moving | nothing
		}
		return v
	case last == "done" && (parts[0] == "queue" || parts[0] == "interaction"):
		if v&moving != 0 || parts[0] == "queue" || parts[1] == "redirect" || parts[1] == "terminate" {
			return gone
		}
		return v
	case parts[0] == "dialog":
		if v&finite != 0 {
			v = v&^finite | nothing
		}
		return v
	}
	return v
}

// content is what is heard after executable content.
func (f *flow) content(n *markup.Node, v hears) hears {
	for _, c := range n.Elements() {
		if c.Space == scxml.Namespace && (c.Name == "if" || c.Name == "foreach") {
			v |= f.content(c, v)
			continue
		}
		if a := vocabulary(c); a != nil {
			v = begin(a, v)
		}
	}
	return v
}

// begin is what is heard after an action has been asked for.
func begin(a *action, v hears) hears {
	only := func(w hears) hears { return v&(noCaller|gone) | w }
	if v&^(noCaller|gone) == 0 && v&noCaller == 0 {
		return v // nobody is there to hear it
	}
	switch a.full() {
	case "dialog.playsound":
		_, ends := a.node.Attr("duration")
		kind, _ := a.node.Attr("type")
		switch {
		case strings.Trim(strings.TrimSpace(kind), `'"`) == "silence":
			return only(nothing)
		case ends:
			return only(finite)
		}
		return only(lasting)
	case "dialog.play", "dialog.collect", "dialog.playandcollect", "dialog.createann", "dialog.start":
		return only(finite)
	case "dialog.stop":
		return only(nothing)
	case "interaction.redirect", "interaction.terminate", "interaction.transfer", "voice.singlesteptransfer":
		return only(moving)
	}
	return v
}

// judge warns of states in which a caller is left.
func (f *flow) judge(s *state) {
	v := f.at[s]
	if v == 0 {
		return
	}
	if s.kind == "final" {
		if s.parent.kind == "scxml" && v&(nothing|finite|lasting) != 0 {
			f.l.warn(s.node, "the script may end in %s while the caller still waits: nobody sends him on, so he is left to the default destination", s.name())
		}
		return
	}
	if f.passing(s) || f.accompanied(s) {
		return
	}
	switch {
	case v&nothing != 0:
		f.l.warn(s.node, "a caller may hear nothing in %s: nothing is played there, and nothing that was begun before lasts", s.name())
	case v&finite != 0 && !waitsForDialog(s):
		f.l.warn(s.node, "a caller hears nothing in %s once what is played has ended: no transition waits for its end", s.name())
	}
}

// passing tells whether the session does not rest in s: it is left at once, by a transition without event or by an event
// that it raises itself.
func (f *flow) passing(s *state) bool {
	for a := s; a != nil; a = a.parent {
		for _, t := range a.transitions {
			if t.events == nil && t.cond == "" {
				return true
			}
		}
	}
	for _, block := range s.entry {
		for _, c := range block.Elements() {
			_, later := c.Attr("delay")
			_, computed := c.Attr("delayexpr")
			if c.Name == "raise" || c.Name == "send" && !later && !computed {
				return true
			}
		}
	}
	return exhaustive(s)
}

// exhaustive tells whether the eventless transitions of s leave no case open: a condition and its plain opposite.
func exhaustive(s *state) bool {
	seen := map[string]bool{}
	for _, t := range s.transitions {
		if t.events != nil {
			continue
		}
		cond := strings.Join(strings.Fields(t.cond), "")
		if seen["!("+cond+")"] || seen["!"+cond] || seen[strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(cond, "!"), "("), ")")] && strings.HasPrefix(cond, "!") {
			return true
		}
		seen[cond] = true
	}
	return false
}

// accompanied tells whether another region of a parallel around s plays something.
func (f *flow) accompanied(s *state) bool {
	for a := s; a.parent != nil; a = a.parent {
		if a.parent.kind != "parallel" {
			continue
		}
		for _, region := range a.parent.children {
			if region == a {
				continue
			}
			for _, other := range actionsOf(region.node) {
				if other.module == "dialog" || other.full() == "interaction.redirect" {
					return true
				}
			}
		}
	}
	return false
}

// waitsForDialog tells whether something happens in s when a treatment ends.
func waitsForDialog(s *state) bool {
	for ; s != nil; s = s.parent {
		for _, t := range s.transitions {
			for _, d := range t.events {
				if d == "" || strings.HasPrefix(d, "dialog") {
					return true
				}
			}
		}
	}
	return false
}
