package scxml

import (
	"errors"
	"fmt"
	"time"

	"parley/internal/scxml/markup"
)

type elementName struct{ space, name string }

// Element is executable content of somebody else's namespace.
type Element struct {
	Space, Name string
	// Compile reads the element once, when the document is compiled. It says what is wrong with [Builder.Errorf]
	// or as an error, and returns what is to be done each time the content is executed.
	Compile func(b *Builder) (Execute, error)
}

// Execute does what an element asks for, and returns soon. An error ends the block, and is error.execution, or
// error.communication where it wraps [ErrCommunication].
type Execute func(h *Handle) error

// Builder gives an element to its Compile function.
type Builder struct {
	c *compiler
	n *markup.Node
}

// Node is the element.
func (b *Builder) Node() *markup.Node { return b.n }

// Errorf reports an error in the document; compilation fails.
func (b *Builder) Errorf(format string, args ...any) { b.c.fail(b.n, format, args...) }

// Child is a builder of an element inside of this one.
func (b *Builder) Child(n *markup.Node) *Builder { return &Builder{c: b.c, n: n} }

// Attr is the text of an attribute.
func (b *Builder) Attr(name string) (string, bool) { return b.n.Attr(name) }

// Only reports attributes that are not among the names.
func (b *Builder) Only(names ...string) { b.c.only(b.n, names...) }

// Value is a compiled expression of an attribute; nil is absent.
type Value struct{ x *expr }

// Location is a compiled location of an attribute; nil is absent.
type Location struct{ l *location }

// Value compiles an attribute as an expression.
func (b *Builder) Value(attr string) *Value {
	if x := b.c.expr(b.n, attr); x != nil {
		return &Value{x}
	}
	return nil
}

// Constant tells the value of an expression that needs no session, for checks while compiling.
func (v *Value) Constant() (any, bool) { return v.x.value, v.x.constant }

// Location compiles an attribute as a location.
func (b *Builder) Location(attr string) *Location {
	if l := b.c.location(b.n, attr); l != nil {
		return &Location{l}
	}
	return nil
}

// Block compiles the executable content inside of the element.
func (b *Builder) Block() Execute {
	actions := b.c.block(b.n)
	return func(h *Handle) error { return runBlock(h.s, actions) }
}

// Params compiles namelist and the <param> inside of the element.
func (b *Builder) Params() func(h *Handle) ([]Param, error) {
	params := b.c.params(b.n)
	return func(h *Handle) ([]Param, error) { return h.s.values(params) }
}

// Payload compiles the <param> or <content> inside of the element to one value.
func (b *Builder) Payload() func(h *Handle) (any, error) {
	p := b.c.payload(b.n)
	return func(h *Handle) (any, error) {
		params, body, _, err := p.values(h.s)
		if p.content != nil {
			return body, err
		}
		return gather(params), err
	}
}

type customAction struct {
	pos Pos
	n   string
	do  Execute
}

func (c *compiler) custom(n *markup.Node) action {
	el, ok := c.engine.elements[elementName{n.Space, n.Name}]
	if !ok {
		c.fail(n, "namespace %q has no such action", n.Space)
		return nil
	}
	do, err := el.Compile(&Builder{c: c, n: n})
	if err != nil {
		c.fail(n, "%w", err)
		return nil
	}
	if do == nil {
		return nil
	}
	return &customAction{pos: n.Pos, n: n.Name, do: do}
}

func (a *customAction) run(s *Session) error {
	err := a.do(s.handle())
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: <%s>: %w", a.pos, a.n, err)
	if errors.Is(err, ErrCommunication) {
		return &raised{name: errCommunication, err: err}
	}
	return err
}

// Handle is how actions, processors and services reach their session. Post may be called at any time by anybody; all
// else only within the call that got the handle.
type Handle struct{ s *Session }

func (s *Session) handle() *Handle { return &Handle{s} }

// SessionID is that of the session.
func (h *Handle) SessionID() string { return h.s.id }

// RootID is that of the session at the top of the family, by which a host knows it.
func (h *Handle) RootID() string { return h.s.root().id }

// Program is the document of the session.
func (h *Handle) Program() *Program { return h.s.prog }

// Owner is what the host gave to Start or Restore.
func (h *Handle) Owner() any { return h.s.root().owner }

// Now is the time of the step.
func (h *Handle) Now() time.Time { return h.s.now }

// NewID makes an id that no other session has.
func (h *Handle) NewID(prefix string) string { return h.s.id + "." + h.s.newID(prefix) }

// Raise puts an event on the internal queue.
func (h *Handle) Raise(ev Event) error {
	if ev.Type == "" {
		ev.Type = Internal
	}
	ev.hasData = ev.Data != nil
	return h.s.raise(ev)
}

// Post puts an event on the external queue; somebody has to call Run of the root session then. It may be called
// from any goroutine.
func (h *Handle) Post(ev Event) error { return h.s.post(ev) }

// Done is the event that an invoked service ended.
func (h *Handle) Done(invokeID string, data any) error {
	return h.s.post(Event{Name: "done.invoke." + invokeID, Type: External, InvokeID: invokeID, Data: data})
}

// Send does what <send> does.
func (h *Handle) Send(m Message, delay time.Duration) error {
	if m.SendID == "" {
		m.SendID = h.s.newID("send")
	}
	if delay > 0 {
		return h.s.later(m, delay)
	}
	return h.s.dispatch(m)
}

// Eval evaluates an expression; of nil it is Undefined.
func (h *Handle) Eval(v *Value) (any, error) {
	if v == nil {
		return Undefined, nil
	}
	return h.s.eval(v.x)
}

// Text evaluates an expression to a string; of nil it is empty.
func (h *Handle) Text(v *Value) (string, error) {
	if v == nil {
		return "", nil
	}
	return h.s.evalString(v.x)
}

// Assign writes to a location; nil takes nothing.
func (h *Handle) Assign(l *Location, v any) error {
	if l == nil {
		return nil
	}
	return h.s.assignValue(l.l, v)
}

// Log writes what a <log> would.
func (h *Handle) Log(label string, v any) { h.s.log(label, v) }

// Processor is an Event I/O Processor (§6.2.5, Appendix C).
type Processor interface {
	// Types are the names under which documents know it, in send's type and in _ioprocessors.
	Types() []string
	// Location is where others reach the session through it.
	Location(session string) string
	// Send delivers a message. An error becomes error.communication. What fails later is posted through h as
	// an event error.communication with the message's SendID.
	Send(h *Handle, m Message) error
}

// Trace is something that happened in a session.
type Trace struct {
	At   time.Time
	What TraceKind
	Name string // of the state, the event or the label
	Data any    // of the event or the log line
}

// TraceKind says what happened.
type TraceKind string

// What happens in a session.
const (
	TraceEnter TraceKind = "enter"
	TraceExit  TraceKind = "exit"
	TraceEvent TraceKind = "event"
	TraceLog   TraceKind = "log"
	TraceError TraceKind = "error"
	TraceEnd   TraceKind = "end"
)
