package script

import (
	"strings"

	"parley/internal/scxml"
	"parley/internal/scxml/markup"
)

// chart is the states of a document as the checks look at them. It is made of the text and not of a program, so that a
// document with errors is looked at too; what it refers to that is not there is passed over.
type chart struct {
	states []*state // in document order; the first is the document
	byID   map[string]*state
	left   int // visits that an enter may still make: documents with errors may lead in circles
}

type state struct {
	node        *markup.Node
	kind        string // scxml, state, parallel, final, history
	id          string
	parent      *state
	children    []*state // without histories
	initial     []*state // of a compound state, or the default of a history
	start       *markup.Node
	transitions []*transition
	entry       []*markup.Node
	reached     bool
}

type transition struct {
	node    *markup.Node
	from    *state
	events  []string // nil = eventless
	cond    string
	targets []*state
	dead    bool
}

func newChart(root *markup.Node) *chart {
	if root.Name != "scxml" || root.Space != scxml.Namespace {
		return nil
	}
	c := &chart{byID: map[string]*state{}}
	c.add(root, nil)
	for _, s := range c.states {
		c.link(s)
	}
	return c
}

func (c *chart) add(n *markup.Node, parent *state) {
	s := &state{node: n, kind: n.Name, parent: parent}
	s.id, _ = n.Attr("id")
	c.states = append(c.states, s)
	if s.id != "" && parent != nil {
		c.byID[s.id] = s
	}
	for _, child := range n.Elements() {
		if child.Space != scxml.Namespace {
			continue
		}
		switch child.Name {
		case "state", "parallel", "final", "history":
			c.add(child, s)
		case "onentry":
			s.entry = append(s.entry, child)
		case "transition":
			s.transitions = append(s.transitions, &transition{node: child, from: s})
		case "initial":
			for _, t := range child.Elements() {
				s.start = t
			}
		}
	}
	if parent != nil && s.kind != "history" {
		parent.children = append(parent.children, s)
	}
}

func (c *chart) link(s *state) {
	for _, t := range s.transitions {
		if attr, ok := t.node.Attr("event"); ok {
			t.events = words(attr)
		}
		t.cond, _ = t.node.Attr("cond")
		t.targets = c.find(t.node, "target")
	}
	switch {
	case s.kind == "history":
		for _, t := range s.transitions {
			s.initial = append(s.initial, t.targets...)
		}
		s.transitions = nil
	case s.start != nil:
		s.initial = c.find(s.start, "target")
	default:
		s.initial = c.find(s.node, "initial")
	}
	if len(s.initial) == 0 && (s.kind == "state" || s.kind == "scxml") && len(s.children) > 0 {
		s.initial = s.children[:1]
	}
}

func (c *chart) find(n *markup.Node, attr string) []*state {
	text, _ := n.Attr(attr)
	var out []*state
	for _, id := range strings.Fields(text) {
		if s := c.byID[id]; s != nil {
			out = append(out, s)
		}
	}
	return out
}

// enter walks the states that are entered when target is, from those that are in common with from inwards: visit hears of each, in
// document order, and of those without states inside where it comes to rest.
func (c *chart) enter(from, target *state, visit func(s *state)) {
	c.left = 4*len(c.states) + 10
	c.walk(from, target, visit)
}

func (c *chart) walk(from, target *state, visit func(s *state)) {
	var above []*state
	for a := target.parent; a != nil && a.kind != "scxml" && !within(from, a); a = a.parent {
		above = append(above, a)
	}
	last := target
	for i := range above { // from the inside: the regions beside the way are entered by default
		a := above[i]
		if a.kind == "parallel" {
			for _, region := range a.children {
				if !within(last, region) {
					c.descend(region, visit)
				}
			}
		}
		last = a
	}
	for i := len(above) - 1; i >= 0; i-- {
		visit(above[i])
	}
	c.descend(target, visit)
}

// descend enters a state and what it begins with.
func (c *chart) descend(s *state, visit func(*state)) {
	if c.left--; c.left < 0 {
		return
	}
	if s.kind != "history" {
		visit(s)
	}
	if s.kind == "parallel" {
		for _, region := range s.children {
			c.descend(region, visit)
		}
		return
	}
	for _, t := range s.initial {
		if s.kind == "history" {
			c.walk(s.parent, t, visit)
			continue
		}
		var between []*state
		for a := t.parent; a != nil && a != s; a = a.parent {
			between = append(between, a)
		}
		for i := len(between) - 1; i >= 0; i-- {
			visit(between[i])
		}
		c.descend(t, visit)
	}
}

// within tells whether s is a or inside of it.
func within(s, a *state) bool {
	for ; s != nil; s = s.parent {
		if s == a {
			return true
		}
	}
	return false
}

func (s *state) atomic() bool {
	return len(s.children) == 0 && s.kind != "history" && s.kind != "scxml"
}

// name is how a message speaks of it.
func (s *state) name() string {
	if s.id == "" {
		return "this " + s.kind
	}
	return s.kind + " " + `"` + s.id + `"`
}
