package scxml

import (
	"fmt"
	"slices"
	"strings"

	"parley/internal/scxml/markup"
)

// invoke is <invoke> (§6.4).
type invoke struct {
	index      int
	state      *state
	id         string
	idLocation *location
	kind, src  text
	payload    *payload // parameters and namelist; content apart
	content    *content
	program    *Program // of content that is a document, compiled with the one around it
	forward    bool
	finalize   []action
	hasFinal   bool
	pos        Pos
}

func (c *compiler) invoke(n *markup.Node, s *state) *invoke {
	c.only(n, "type", "typeexpr", "src", "srcexpr", "id", "idlocation", "namelist", "autoforward")
	inv := &invoke{
		index: len(c.p.invokes), state: s, id: c.attr(n, "id"), idLocation: c.location(n, "idlocation"),
		kind: c.text(n, "type", "typeexpr"), src: c.text(n, "src", "srcexpr"),
		forward: c.oneOf(n, "autoforward", "false", "true", "false") == "true", pos: n.Pos,
		payload: &payload{params: c.params(n)},
	}
	c.p.invokes = append(c.p.invokes, inv)
	if inv.id != "" && inv.idLocation != nil {
		c.fail(n, "id and idlocation are two ways to say one thing")
	}
	for _, child := range n.Elements() {
		switch {
		case child.Space != Namespace:
			c.fail(child, "it has no place in <invoke>")
		case child.Name == "param":
		case child.Name == "finalize":
			c.only(child)
			inv.hasFinal = true
			inv.finalize = c.block(child)
		case child.Name == "content" && inv.content == nil:
			c.only(child, "expr")
			inv.content = c.content(child, false)
			c.inline(inv)
		default:
			c.fail(child, "it has no place in <invoke>")
		}
	}
	if inv.content != nil && !inv.src.empty() {
		c.fail(n, "the invoked document is given twice, by src and by <content>")
	}
	return inv
}

// inline compiles a document inside of <content>, so that sessions share it.
func (c *compiler) inline(inv *invoke) {
	root, ok := inv.content.fixed.(*markup.Node)
	if !ok || root.Name != "scxml" {
		return
	}
	if root.Space == "" {
		root = adopt(root)
	}
	// It says its positions in the document around it, and it is told apart by its own text.
	p, err := c.engine.compile(c.p.file, root, []byte(root.XML()))
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	inv.program = p
	c.p.warnings = append(c.p.warnings, p.warnings...)
}

// adopt gives SCXML's namespace to a document that lost it on its way through a value.
func adopt(n *markup.Node) *markup.Node {
	m := *n
	if m.Name != "" && m.Space == "" {
		m.Space = Namespace
	}
	m.Children = make([]*markup.Node, len(n.Children))
	for i, child := range n.Children {
		m.Children[i] = adopt(child)
	}
	return &m
}

// invocation is a running one.
type invocation struct {
	id      string
	of      *invoke
	child   *Session // of a document
	service Service  // of anything else
	kind    string
}

// Invoker starts what an <invoke> of its type asks for.
type Invoker interface {
	// Invoke starts a service. What it has to tell comes as events through h; when it ends, it posts
	// done.invoke.ID with [Handle.Done].
	Invoke(h *Handle, call Call) (Service, error)
	// Resume takes over a service after a snapshot was restored, from what [Service.Save] gave.
	Resume(h *Handle, id string, saved []byte) (Service, error)
}

// Call is what an <invoke> asks for.
type Call struct {
	ID     string
	Type   string
	Src    string
	Params []Param
	Body   any // of <content>, else Undefined
}

// Service is what runs because of an <invoke>. Its methods are called by whoever drives the session, and return soon.
type Service interface {
	Send(ev Event) error   // an event for it: #_ID, or autoforward
	Cancel()               // the state was left; nothing it posts afterwards is seen
	Save() ([]byte, error) // for a snapshot
}

// startInvocation runs at the end of a macrostep (§6.4). Errors become error.execution, and nothing is invoked.
func (s *Session) startInvocation(inv *invoke) error {
	id := inv.id
	if id == "" {
		id = s.newID(inv.state.id + ".")
	}
	if inv.idLocation != nil {
		if err := s.assignValue(inv.idLocation, id); err != nil {
			return err
		}
	}
	kind, err := inv.kind.value(s)
	if err != nil {
		return err
	}
	call := Call{ID: id, Type: kind, Body: Undefined}
	if call.Src, err = inv.src.value(s); err != nil {
		return err
	}
	if call.Params, err = s.values(inv.payload.params); err != nil {
		return err
	}
	if inv.content != nil && inv.program == nil {
		if call.Body, err = s.contentValue(inv.content); err != nil {
			return err
		}
	}
	if s.invocations[id] != nil {
		return fmt.Errorf("%s: <invoke>: %q is running already", inv.pos, id)
	}
	run := &invocation{id: id, of: inv, kind: kind}
	if kind == "" || kind == "scxml" || strings.TrimSuffix(kind, "/") == "http://www.w3.org/TR/scxml" {
		run.child, err = s.invokeDocument(inv, call)
	} else if invoker := s.engine.invokers[kind]; invoker != nil {
		run.service, err = invoker.Invoke(s.handle(), call)
	} else {
		err = fmt.Errorf("there is no service of type %q", kind)
	}
	if err != nil {
		return fmt.Errorf("%s: <invoke>: %w", inv.pos, err)
	}
	if s.invocations == nil {
		s.invocations = map[string]*invocation{}
	}
	s.invocations[id] = run
	if run.child != nil {
		run.child.start()
	}
	return nil
}

// maxFamily bounds documents that invoke documents, in depth; [Limits].Children bounds them in number.
const maxFamily = 16

func (s *Session) invokeDocument(inv *invoke, call Call) (*Session, error) {
	depth := 0
	for p := s; p != nil; p = p.parent {
		depth++
	}
	if depth > maxFamily {
		return nil, fmt.Errorf("documents invoke each other more than %d deep", maxFamily)
	}
	if n := s.root().members(); n > s.engine.opts.Limits.Children {
		return nil, fmt.Errorf("a session and what it invokes are %d sessions already", n)
	}
	p, err := s.documentOf(inv, call)
	if err != nil {
		return nil, err
	}
	child := s.engine.session(p, s.id+"."+call.ID)
	child.parent, child.invokeID = s, call.ID
	child.now = s.now
	child.given = call.Params
	return child, nil
}

func (s *Session) documentOf(inv *invoke, call Call) (*Program, error) {
	switch {
	case inv.program != nil:
		return inv.program, nil
	case call.Src != "":
		body, err := s.engine.load(s.prog.file, call.Src)
		if err != nil {
			return nil, err
		}
		return s.engine.cached(call.Src, body)
	}
	switch v := call.Body.(type) {
	case *markup.Node:
		if v.Space == "" {
			v = adopt(v)
		}
		return s.engine.cached(inv.pos.String(), []byte(v.XML()))
	case string:
		return s.engine.cached(inv.pos.String(), []byte(v))
	}
	return nil, fmt.Errorf("there is no document to invoke: src or <content> is missing")
}

// cancelInvocations ends what a state invoked when it is left.
func (s *Session) cancelInvocations(st *state) {
	if len(st.invokes) == 0 {
		return
	}
	for _, run := range s.invoked() {
		if run.of.state == st {
			s.stopInvocation(run)
		}
	}
}

// invoked lists invocations in document order, so that nothing depends on the order of a map.
func (s *Session) invoked() []*invocation {
	if len(s.invocations) == 0 {
		return nil
	}
	out := make([]*invocation, 0, len(s.invocations))
	for _, run := range s.invocations {
		out = append(out, run)
	}
	slices.SortFunc(out, func(a, b *invocation) int {
		if a.of.index != b.of.index {
			return a.of.index - b.of.index
		}
		return strings.Compare(a.id, b.id)
	})
	return out
}

func (s *Session) stopInvocation(run *invocation) {
	delete(s.invocations, run.id)
	if run.service != nil {
		run.service.Cancel()
		return
	}
	run.child.cancelled = true
	run.child.exit()
}

// beforeEvent does what an external event means to invocations: <finalize> and autoforward (§6.4.3, §6.5).
func (s *Session) beforeEvent(ev Event) {
	for _, run := range s.invoked() {
		if ev.InvokeID != "" && run.id == ev.InvokeID && run.of.hasFinal {
			s.finalize(run.of, ev)
		}
		if run.of.forward {
			var err error
			if run.child != nil {
				err = run.child.post(ev)
			} else {
				err = run.service.Send(ev)
			}
			if err != nil {
				s.communication(fmt.Errorf("%s: <invoke>: event %s is not passed on: %w", run.of.pos, ev.Name, err), "")
			}
		}
	}
}

// finalize runs the handler; an empty one assigns what the event brings to the locations named as parameters.
func (s *Session) finalize(inv *invoke, ev Event) {
	if len(inv.finalize) > 0 {
		s.runHandler(inv.finalize)
		return
	}
	fields, ok := ev.Data.(map[string]any)
	if !ok {
		return
	}
	for _, p := range inv.payload.params {
		v, sent := fields[p.name]
		if !sent || p.read == nil {
			continue
		}
		l := &location{expr: expr{src: p.read.src, pos: inv.pos, element: "finalize", attr: "location"}}
		if l.err = l.compileLocation(); l.err == nil {
			l.err = s.assignValue(l, v)
		}
		if l.err != nil {
			s.execution(l.err, "")
			return
		}
	}
}
