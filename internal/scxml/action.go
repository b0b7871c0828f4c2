package scxml

import (
	"errors"
	"fmt"
	"strings"

	"parley/internal/scxml/markup"
)

// action is a piece of executable content (§4). An error ends the block it stands in (§4.1).
type action interface {
	run(s *Session) error
}

// block compiles the executable content inside of n.
func (c *compiler) block(n *markup.Node) []action {
	var out []action
	for _, child := range n.Elements() {
		if a := c.action(child); a != nil {
			out = append(out, a)
		}
	}
	return out
}

func (c *compiler) action(n *markup.Node) action {
	if n.Space != Namespace {
		return c.custom(n)
	}
	switch n.Name {
	case "raise":
		c.only(n, "event")
		name := c.attr(n, "event")
		if name == "" || strings.ContainsAny(name, " \t\r\n") {
			c.fail(n, "event is %q, want one name", name)
		}
		return &raise{name: name}
	case "if":
		return c.choose(n)
	case "foreach":
		return c.foreach(n)
	case "log":
		c.only(n, "label", "expr")
		return &logAction{label: c.attr(n, "label"), expr: c.expr(n, "expr")}
	case "assign":
		return c.assign(n)
	case "script":
		if sc := c.script(n); sc != nil {
			return sc
		}
		return nil
	case "send":
		return c.send(n)
	case "cancel":
		c.only(n, "sendid", "sendidexpr")
		a := &cancel{id: c.attr(n, "sendid"), expr: c.expr(n, "sendidexpr")}
		if (a.id == "") == (a.expr == nil) {
			c.fail(n, "it needs one of sendid and sendidexpr")
		}
		return a
	case "else", "elseif":
		c.fail(n, "it has its place in <if> only")
	default:
		c.fail(n, "it is no executable content")
	}
	return nil
}

func runBlock(s *Session, actions []action) error {
	for _, a := range actions {
		if err := a.run(s); err != nil {
			return err
		}
	}
	return nil
}

type raise struct{ name string }

func (a *raise) run(s *Session) error {
	return s.raise(Event{Name: a.name, Type: Internal})
}

type branch struct {
	cond *expr // nil: else
	then []action
}

type choice struct{ branches []branch }

func (c *compiler) choose(n *markup.Node) action {
	c.only(n, "cond")
	a := &choice{branches: []branch{{cond: c.cond(n, "cond")}}}
	if a.branches[0].cond == nil {
		c.fail(n, "cond is missing")
	}
	closed := false
	for _, child := range n.Elements() {
		last := &a.branches[len(a.branches)-1]
		if child.Space == Namespace && (child.Name == "elseif" || child.Name == "else") {
			if closed {
				c.fail(child, "it stands behind <else>")
			}
			b := branch{}
			if child.Name == "elseif" {
				c.only(child, "cond")
				if b.cond = c.cond(child, "cond"); b.cond == nil {
					c.fail(child, "cond is missing")
				}
			} else {
				c.only(child)
				closed = true
			}
			if len(child.Elements()) > 0 {
				c.fail(child, "it is empty: what belongs to it follows it")
			}
			a.branches = append(a.branches, b)
			continue
		}
		if act := c.action(child); act != nil {
			last.then = append(last.then, act)
		}
	}
	return a
}

func (a *choice) run(s *Session) error {
	for _, b := range a.branches {
		if b.cond == nil || s.holds(b.cond) {
			return runBlock(s, b.then)
		}
	}
	return nil
}

type foreach struct {
	array       *expr
	item, index string
	body        []action
	bad         error
}

func (c *compiler) foreach(n *markup.Node) action {
	c.only(n, "array", "item", "index")
	a := &foreach{array: c.expr(n, "array"), item: c.attr(n, "item"), index: c.attr(n, "index"), body: c.block(n)}
	if a.array == nil {
		c.fail(n, "array is missing")
	}
	if a.item == "" {
		c.fail(n, "item is missing")
	}
	for _, name := range []string{a.item, a.index} {
		switch {
		case name == "":
		case systemVariables[name]:
			a.bad = fmt.Errorf("%s is a variable of the system and cannot be changed", name)
		case !identifier(name):
			a.bad = fmt.Errorf("%q is no name of a variable", name)
		}
	}
	if a.bad != nil {
		c.warn(n, a.bad)
	}
	return a
}

func (a *foreach) run(s *Session) error {
	if a.bad != nil {
		return s.located(a.array, a.bad)
	}
	return s.each(a)
}

type logAction struct {
	label string
	expr  *expr
}

func (a *logAction) run(s *Session) error {
	if a.expr == nil || s.prog.null {
		s.log(a.label, Undefined)
		return nil
	}
	v, err := s.eval(a.expr)
	if err != nil {
		return err
	}
	s.log(a.label, v)
	return nil
}

type assign struct {
	location *location
	value    *content
}

func (c *compiler) assign(n *markup.Node) action {
	c.only(n, "location", "expr", "attr", "type")
	a := &assign{location: c.location(n, "location"), value: c.content(n, false)}
	if a.location == nil {
		c.fail(n, "location is missing")
	}
	return a
}

func (a *assign) run(s *Session) error { return s.assignContent(a.location, a.value) }

func (a *script) run(s *Session) error { return s.runScript(a) }

type cancel struct {
	id   string
	expr *expr
}

func (a *cancel) run(s *Session) error {
	id := a.id
	if a.expr != nil {
		v, err := s.evalString(a.expr)
		if err != nil {
			return err
		}
		id = v
	}
	s.cancelSends(id)
	return nil
}

// param is <param> or a name of a namelist.
type param struct {
	name string
	expr *expr
	read *expr // of a location
}

func (c *compiler) params(n *markup.Node) []param {
	var out []param
	if list, ok := n.Attr("namelist"); ok {
		for _, name := range strings.Fields(list) {
			out = append(out, c.readable(n, "namelist", name, name))
		}
	}
	for _, child := range n.Elements() {
		if child.Space != Namespace || child.Name != "param" {
			continue
		}
		c.only(child, "name", "expr", "location")
		name := c.attr(child, "name")
		if name == "" {
			c.fail(child, "name is missing")
		}
		_, hasExpr := child.Attr("expr")
		loc, hasLoc := child.Attr("location")
		switch {
		case hasExpr == hasLoc:
			c.fail(child, "it needs one of expr and location")
		case hasExpr:
			out = append(out, param{name: name, expr: c.expr(child, "expr")})
		default:
			out = append(out, c.readable(child, "location", name, loc))
		}
	}
	return out
}

// readable is a parameter that reads a location.
func (c *compiler) readable(n *markup.Node, attr, name, loc string) param {
	p := param{name: name, read: &expr{src: loc, pos: n.Pos, element: n.Name, attr: attr}}
	if c.p.null {
		p.read.err = errors.New("the null data model has no variables")
	} else if p.read.err = p.read.compile(); p.read.err != nil {
		c.warn(n, fmt.Errorf("%s: %w", attr, p.read.err))
	}
	p.read.tree = nil
	return p
}

// values evaluates parameters in order.
func (s *Session) values(params []param) ([]Param, error) {
	if len(params) == 0 {
		return nil, nil
	}
	out := make([]Param, 0, len(params))
	for _, p := range params {
		x := p.expr
		if x == nil {
			x = p.read
		}
		v, err := s.eval(x)
		if err != nil {
			return nil, err
		}
		out = append(out, Param{Name: p.name, Value: v})
	}
	return out, nil
}

// Param is a named value of a message.
type Param struct {
	Name  string
	Value any
}

// payload is what <donedata> holds: parameters or content.
type payload struct {
	params  []param
	content *content
}

func (c *compiler) payload(n *markup.Node) *payload {
	p := &payload{params: c.params(n)}
	for _, child := range n.Elements() {
		switch {
		case child.Space == Namespace && child.Name == "param":
		case child.Space == Namespace && child.Name == "content" && p.content == nil:
			c.only(child, "expr")
			p.content = c.content(child, false)
		default:
			c.fail(child, "it has no place in <%s>", n.Name)
		}
	}
	if p.content != nil && len(p.params) > 0 {
		c.fail(n, "it has content or parameters, not both")
	}
	return p
}

// values evaluates the payload: named values, or one value with its text.
func (p *payload) values(s *Session) (params []Param, body any, text string, err error) {
	if p.content == nil {
		params, err = s.values(p.params)
		return params, Undefined, "", err
	}
	body, err = s.contentValue(p.content)
	return nil, body, p.content.text, err
}

// gather makes data of parameters; a name that stands twice gets the list of its values (§6.2.3).
func gather(params []Param) any {
	if len(params) == 0 {
		return Undefined
	}
	m := make(map[string]any, len(params))
	seen := map[string]int{}
	for _, p := range params {
		switch seen[p.Name]++; seen[p.Name] {
		case 1:
			m[p.Name] = p.Value
		case 2:
			m[p.Name] = []any{m[p.Name], p.Value}
		default:
			m[p.Name] = append(m[p.Name].([]any), p.Value)
		}
	}
	return m
}
