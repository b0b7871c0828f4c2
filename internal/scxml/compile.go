package scxml

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/scxml/markup"
)

// Error is what is wrong in a document, and where.
type Error struct {
	Pos     Pos
	Element string
	Err     error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: <%s>: %v", e.Pos, e.Element, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Compile makes a program of a document. The errors it joins each name file, line, column and element.
func (e *Engine) Compile(file string, src []byte) (*Program, error) {
	root, err := markup.Parse(file, src, e.opts.Markup)
	if err != nil {
		return nil, err
	}
	return e.compile(file, root, src)
}

func (e *Engine) compile(file string, root *markup.Node, src []byte) (*Program, error) {
	p := &Program{file: file, source: src, digest: digest(src), ids: map[string]*state{}, dataNames: map[string]bool{}}
	c := &compiler{engine: e, p: p}
	c.document(root)
	if err := c.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// maxErrors bounds what is reported of one document.
const maxErrors = 50

type compiler struct {
	engine *Engine
	p      *Program
	errs   []error
	order  int
}

func (c *compiler) err() error { return errors.Join(c.errs...) }

func (c *compiler) fail(n *markup.Node, format string, args ...any) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, &Error{Pos: n.Pos, Element: n.Name, Err: fmt.Errorf(format, args...)})
	}
}

func (c *compiler) warn(n *markup.Node, err error) {
	if len(c.p.warnings) < maxErrors {
		c.p.warnings = append(c.p.warnings, &Error{Pos: n.Pos, Element: n.Name, Err: err})
	}
}

func (c *compiler) attr(n *markup.Node, name string) string {
	v, _ := n.Attr(name)
	return v
}

// only complains about attributes that the element does not have; those of other namespaces are left alone.
func (c *compiler) only(n *markup.Node, names ...string) {
	for _, a := range n.Attrs {
		if a.Space == "" && !slices.Contains(names, a.Name) {
			c.fail(n, "unknown attribute %s (it has %s)", a.Name, strings.Join(names, ", "))
		}
	}
}

func (c *compiler) oneOf(n *markup.Node, name, def string, values ...string) string {
	v, ok := n.Attr(name)
	if !ok {
		return def
	}
	if !slices.Contains(values, v) {
		c.fail(n, "%s is %q, want %s", name, v, strings.Join(values, " or "))
	}
	return v
}

func (c *compiler) document(root *markup.Node) {
	if root.Name != "scxml" || root.Space != Namespace {
		c.fail(root, `the root is to be <scxml xmlns="%s">`, Namespace)
		return
	}
	c.only(root, "initial", "name", "version", "datamodel", "binding", "exmode", "profile")
	p := c.p
	p.name = c.attr(root, "name")
	if v := c.attr(root, "version"); v != "" && v != "1.0" {
		c.fail(root, "version is %q, want 1.0", v)
	}
	switch dm := c.oneOf(root, "datamodel", "ecmascript", "ecmascript", "null"); dm {
	case "null":
		p.null = true
	}
	p.late = c.oneOf(root, "binding", "early", "early", "late") == "late"

	s := c.state(root, nil, kindScxml)
	s.id = "" // the document is no state that In() could name
	if len(s.children) == 0 {
		c.fail(root, "there is no state")
		return
	}
	c.resolve()
	p.initial = s.initial
}

// state compiles the element and what is below it, in document order.
func (c *compiler) state(n *markup.Node, parent *state, kind stateKind) *state {
	s := &state{index: len(c.p.states), kind: kind, parent: parent, pos: n.Pos, id: c.attr(n, "id")}
	c.p.states = append(c.p.states, s)
	if s.id == "" && kind != kindScxml {
		s.id, s.generated = fmt.Sprintf("$%s%d", n.Name, s.index), true
	}
	if strings.ContainsAny(s.id, " \t\r\n") {
		c.fail(n, "id %q has blanks in it", s.id)
	}
	if old := c.p.ids[s.id]; old != nil {
		c.fail(n, "id %q is that of the state in line %d too", s.id, old.pos.Line)
	} else if s.id != "" {
		c.p.ids[s.id] = s
	}
	switch kind {
	case kindState:
		c.only(n, "id", "initial")
	case kindParallel, kindFinal:
		c.only(n, "id")
	case kindHistory:
		c.only(n, "id", "type")
		s.deep = c.oneOf(n, "type", "shallow", "shallow", "deep") == "deep"
	}
	var initial *markup.Node
	for _, child := range n.Elements() {
		if child.Space != Namespace {
			c.fail(child, "namespace %q has no elements here, only executable content has them", child.Space)
			continue
		}
		if child.Name == "initial" && kind == kindState {
			if initial != nil {
				c.fail(child, "a state has one <initial>")
			}
			initial = child
			continue
		}
		c.member(s, n, child)
	}
	s.last = len(c.p.states) - 1
	c.begin(s, n, initial)
	return s
}

// member compiles a child of a state.
func (c *compiler) member(s *state, n, child *markup.Node) {
	composite := s.kind == kindState || s.kind == kindParallel
	switch name := child.Name; {
	case name == "state" && (composite || s.kind == kindScxml):
		s.children = append(s.children, c.state(child, s, kindState))
	case name == "parallel" && (composite || s.kind == kindScxml):
		s.children = append(s.children, c.state(child, s, kindParallel))
	case name == "final" && (s.kind == kindState || s.kind == kindScxml):
		s.children = append(s.children, c.state(child, s, kindFinal))
	case name == "history" && composite:
		s.history = append(s.history, c.state(child, s, kindHistory))
	case name == "transition" && (composite || s.kind == kindScxml): // at the top it is no part of the Recommendation, but of many documents
		s.transitions = append(s.transitions, c.transition(child, s))
	case name == "transition" && s.kind == kindHistory:
		if s.initial != nil {
			c.fail(child, "a history has one transition")
		}
		s.initial = c.plain(child, s)
	case name == "onentry" && (composite || s.kind == kindFinal):
		c.only(child)
		s.entry = append(s.entry, c.block(child))
	case name == "onexit" && (composite || s.kind == kindFinal):
		c.only(child)
		s.exit = append(s.exit, c.block(child))
	case name == "datamodel" && (composite || s.kind == kindScxml):
		c.datamodel(child, s)
	case name == "invoke" && composite:
		s.invokes = append(s.invokes, c.invoke(child, s))
	case name == "donedata" && s.kind == kindFinal:
		c.only(child)
		s.done = c.payload(child)
	case name == "script" && s.kind == kindScxml:
		if sc := c.script(child); sc != nil {
			c.p.script = append(c.p.script, sc)
		}
	default:
		c.fail(child, "it has no place in <%s>", n.Name)
	}
}

// begin finds where a compound state starts: its attribute, its <initial>, or the first child (§3.3, §3.6).
func (c *compiler) begin(s *state, n, initial *markup.Node) {
	attr, has := n.Attr("initial")
	switch {
	case s.kind == kindHistory:
		if s.initial == nil {
			c.fail(n, "a history needs a <transition> that says where to go the first time")
			s.initial = &transition{source: s, pos: n.Pos}
		}
	case s.kind != kindState && s.kind != kindScxml:
	case len(s.children) == 0:
		if has || initial != nil {
			c.fail(n, "a state without children has no initial one")
		}
	case has && initial != nil:
		c.fail(n, "initial stands twice, as attribute and as element")
	case has:
		s.initial = &transition{source: s, names: strings.Fields(attr), pos: n.Pos}
		if len(s.initial.names) == 0 {
			c.fail(n, "initial is empty")
		}
	case initial != nil:
		c.only(initial)
		inner := initial.Elements()
		if len(inner) != 1 || inner[0].Name != "transition" || inner[0].Space != Namespace {
			c.fail(initial, "it holds one <transition>")
			return
		}
		s.initial = c.plain(inner[0], s)
	default:
		s.initial = &transition{source: s, targets: s.children[:1], pos: n.Pos}
	}
}

// plain is the transition of an <initial> or a <history>: without event and condition.
func (c *compiler) plain(n *markup.Node, s *state) *transition {
	c.only(n, "target", "type")
	t := &transition{source: s, names: strings.Fields(c.attr(n, "target")), pos: n.Pos}
	if len(t.names) == 0 {
		c.fail(n, "target is missing")
	}
	t.actions = c.block(n)
	return t
}

func (c *compiler) transition(n *markup.Node, s *state) *transition {
	c.only(n, "event", "cond", "target", "type")
	t := &transition{source: s, names: strings.Fields(c.attr(n, "target")), pos: n.Pos, order: c.order}
	c.order++
	if ev, ok := n.Attr("event"); ok {
		if t.events = descriptors(ev); len(t.events) == 0 {
			c.fail(n, "event is empty")
		}
	}
	if _, ok := n.Attr("target"); ok && len(t.names) == 0 {
		c.fail(n, "target is empty")
	}
	t.cond = c.cond(n, "cond")
	t.internal = c.oneOf(n, "type", "external", "internal", "external") == "internal"
	if t.events == nil && t.cond == nil && len(t.names) == 0 {
		c.fail(n, "it needs an event, a condition or a target, or it would be taken for ever")
	}
	t.actions = c.block(n)
	return t
}

func (c *compiler) datamodel(n *markup.Node, s *state) {
	c.only(n)
	for _, child := range n.Elements() {
		if child.Name != "data" || child.Space != Namespace {
			c.fail(child, "it has no place in <datamodel>")
			continue
		}
		c.only(child, "id", "src", "expr")
		d := &data{id: c.attr(child, "id"), pos: child.Pos}
		switch {
		case d.id == "":
			c.fail(child, "id is missing")
		case !identifier(d.id):
			c.fail(child, "id %q is no name of a variable", d.id)
		case systemVariables[d.id]:
			c.fail(child, "%s is a variable of the system", d.id)
		case c.p.dataNames[d.id]:
			c.fail(child, "there is a <data> called %q already", d.id)
		}
		c.p.dataNames[d.id] = true
		d.value = c.content(child, true)
		s.data = append(s.data, d)
		c.p.data = append(c.p.data, d)
	}
}

// resolve finds the targets of all transitions and checks them.
func (c *compiler) resolve() {
	for _, s := range c.p.states {
		if t := s.initial; t != nil {
			c.targets(t)
			for _, target := range t.targets {
				switch {
				case s.kind == kindHistory && target.kind == kindHistory:
					c.failAt(t.pos, "transition", "the default of history %q leads to a history, %q; name states", s.id, target.id)
				case s.kind == kindHistory && !target.below(s.parent):
					c.failAt(t.pos, "transition", "the default of history %q leads to %q, which is outside of its parent", s.id, target.id)
				case s.kind == kindHistory && !s.deep && target.parent != s.parent:
					c.failAt(t.pos, "transition", "the default of shallow history %q leads to %q, which is no child of its parent", s.id, target.id)
				case s.kind != kindHistory && !target.below(s):
					c.failAt(t.pos, "initial", "initial of %q leads to %q, which is not inside", s.id, target.id)
				}
			}
		}
		for _, t := range s.transitions {
			c.targets(t)
		}
	}
}

func (c *compiler) failAt(pos Pos, element, format string, args ...any) {
	c.fail(&markup.Node{Pos: pos, Name: element}, format, args...)
}

func (c *compiler) targets(t *transition) {
	for _, name := range t.names {
		s := c.p.ids[name]
		if s == nil {
			c.failAt(t.pos, "transition", "there is no state %q to go to", name)
			continue
		}
		t.targets = append(t.targets, s)
	}
	// A configuration holds several of the targets only where their paths part at a parallel (§3.11).
	for i, a := range t.targets {
		for _, b := range t.targets[:i] {
			if a == b || a.below(b) || b.below(a) {
				continue
			}
			if meet := lca(a, b); meet.kind != kindParallel {
				c.failAt(t.pos, "transition", "%q and %q cannot be active at the same time", b.id, a.id)
			}
		}
	}
}

// lca is the least common ancestor, which may be parallel.
func lca(a, b *state) *state {
	for s := a.parent; s != nil; s = s.parent {
		if b.below(s) {
			return s
		}
	}
	return nil
}
