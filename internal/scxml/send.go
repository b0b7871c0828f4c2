package scxml

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/internal/scxml/markup"
)

// The types of SCXML's own processor and of invoked documents, as documents write them.
const (
	TypeSCXML     = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"
	TypeBasicHTTP = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"
)

// text is an attribute that is given as it stands or as an expression.
type text struct {
	fixed string
	expr  *expr
}

// text compiles the pair name and nameexpr.
func (c *compiler) text(n *markup.Node, name, exprName string) text {
	t := text{fixed: c.attr(n, name), expr: c.expr(n, exprName)}
	if _, ok := n.Attr(name); ok && t.expr != nil {
		c.fail(n, "%s and %s are two ways to say one thing", name, exprName)
	}
	return t
}

func (t text) empty() bool { return t.fixed == "" && t.expr == nil }

func (t text) value(s *Session) (string, error) {
	if t.expr == nil {
		return t.fixed, nil
	}
	return s.evalString(t.expr)
}

type send struct {
	event, target, kind, delay text
	id                         string
	idLocation                 *location
	payload                    *payload
	pos                        Pos
}

func (c *compiler) send(n *markup.Node) action {
	c.only(n, "event", "eventexpr", "target", "targetexpr", "type", "typeexpr", "id", "idlocation", "delay", "delayexpr", "namelist")
	a := &send{
		event: c.text(n, "event", "eventexpr"), target: c.text(n, "target", "targetexpr"),
		kind: c.text(n, "type", "typeexpr"), delay: c.text(n, "delay", "delayexpr"),
		id: c.attr(n, "id"), idLocation: c.location(n, "idlocation"), payload: c.payload(n), pos: n.Pos,
	}
	if a.id != "" && a.idLocation != nil {
		c.fail(n, "id and idlocation are two ways to say one thing")
	}
	if a.event.empty() && a.payload.content == nil && a.payload.params == nil {
		c.fail(n, "it sends nothing: event, eventexpr, <content> or <param> is missing")
	}
	if a.delay.fixed != "" {
		d, err := parseDelay(a.delay.fixed)
		if err != nil {
			c.fail(n, "%v", err)
		}
		if d > 0 && a.target.fixed == "#_internal" {
			c.fail(n, "an event for #_internal cannot be delayed (§6.2.4)")
		}
	}
	return a
}

// parseDelay reads a duration of CSS2: a number with s or ms.
func parseDelay(v string) (time.Duration, error) {
	v = strings.TrimSpace(v)
	unit, digits := time.Second, v
	switch {
	case strings.HasSuffix(v, "ms"):
		unit, digits = time.Millisecond, v[:len(v)-2]
	case strings.HasSuffix(v, "s"):
		digits = v[:len(v)-1]
	case strings.HasSuffix(v, "m"): // not in CSS2, but in many documents
		unit, digits = time.Minute, v[:len(v)-1]
	case v == "0" || v == "":
		return 0, nil
	default:
		return 0, fmt.Errorf("delay %q: want a number with s or ms, as in 1.5s", v)
	}
	f, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(digits), "+"), 64)
	if err != nil || !(f >= 0) || f*float64(unit) > float64(maxDelay) {
		return 0, fmt.Errorf("delay %q: want a number with s or ms, as in 1.5s", v)
	}
	return time.Duration(f * float64(unit)), nil
}

// maxDelay is far beyond any session and within time.Duration.
const maxDelay = 100 * 365 * 24 * time.Hour

func (a *send) run(s *Session) error {
	m := Message{SendID: a.id}
	if a.idLocation != nil || a.id == "" {
		m.SendID = s.newID("send")
	}
	if a.idLocation != nil {
		if err := s.assignValue(a.idLocation, m.SendID); err != nil {
			return err
		}
	}
	delay, err := a.fill(s, &m)
	if err != nil {
		return s.sendError(errExecution, m, err, a.id != "" || a.idLocation != nil)
	}
	m.named = a.id != "" || a.idLocation != nil
	if delay > 0 {
		return s.later(m, delay)
	}
	return s.dispatch(m)
}

func (a *send) fill(s *Session, m *Message) (delay time.Duration, err error) {
	if m.Event, err = a.event.value(s); err != nil {
		return 0, err
	}
	if m.Target, err = a.target.value(s); err != nil {
		return 0, err
	}
	if m.Type, err = a.kind.value(s); err != nil {
		return 0, err
	}
	d, err := a.delay.value(s)
	if err != nil {
		return 0, err
	}
	if delay, err = parseDelay(d); err != nil {
		return 0, fmt.Errorf("%s: <send>: %w", a.pos, err)
	}
	m.Params, m.Body, m.Text, err = a.payload.values(s)
	m.HasBody = a.payload.content != nil
	return delay, err
}

// Message is what <send> gives to a processor.
type Message struct {
	Event   string
	Target  string
	Type    string
	SendID  string
	Params  []Param
	Body    any    // of <content>
	HasBody bool   // there is a <content>
	Text    string // of a <content> that stood in the document as text
	named   bool   // the document knows SendID
}

// Data is the message as the data of an event.
func (m *Message) Data() any {
	if m.HasBody {
		return m.Body
	}
	return gather(m.Params)
}

// encoded writes parameters as a form does; for _event.raw of names that stand twice.
func encoded(params []Param) string {
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.Name) + "=" + url.QueryEscape(Text(p.Value)))
	}
	return b.String()
}

// dispatch gives a message to its processor at once. Errors are events of the session, and end the block (§6.2).
func (s *Session) dispatch(m Message) error {
	kind := m.Type
	if kind == "" || kind == "scxml" || kind == TypeSCXML || kind+"#SCXMLEventProcessor" == TypeSCXML {
		return s.dispatchSCXML(m)
	}
	p := s.engine.processors[kind]
	if p == nil {
		return s.sendError(errExecution, m, fmt.Errorf("there is no event processor of type %q", kind), true)
	}
	if err := p.Send(s.handle(), m); err != nil {
		return s.sendError(errCommunication, m, err, true)
	}
	return nil
}

// dispatchSCXML is the SCXML Event I/O Processor (§C.1).
func (s *Session) dispatchSCXML(m Message) error {
	if m.Event == "" {
		return s.sendError(errExecution, m, fmt.Errorf("an event to a session needs a name"), true)
	}
	ev := Event{Name: m.Event, Type: External, Origin: s.location(), OriginType: TypeSCXML, Data: m.Data(), hasData: true}
	if m.named {
		ev.SendID = m.SendID
	}
	if len(m.Params) > 1 {
		if data, ok := ev.Data.(map[string]any); ok && len(data) < len(m.Params) {
			ev.Raw = encoded(m.Params)
		}
	}
	switch t := m.Target; {
	case t == "#_internal":
		ev.Type = Internal
		ev.Origin, ev.OriginType = "", ""
		return s.raise(ev)
	case t == "" || t == s.location():
		return s.enqueueOwn(ev, m)
	case t == "#_parent":
		if s.parent == nil {
			return s.sendError(errCommunication, m, fmt.Errorf("target #_parent: nobody invoked this session"), true)
		}
		ev.InvokeID = s.invokeID
		return s.enqueue(s.parent, ev, m)
	case strings.HasPrefix(t, "#_scxml_"):
		return s.toSession(strings.TrimPrefix(t, "#_scxml_"), ev, m)
	case strings.HasPrefix(t, "#_"):
		return s.toInvoked(strings.TrimPrefix(t, "#_"), ev, m)
	}
	return s.sendError(errExecution, m, fmt.Errorf("target %q: want #_internal, #_parent, #_scxml_ID, #_INVOKEID, or none", m.Target), true)
}

func (s *Session) toSession(id string, ev Event, m Message) error {
	if other := s.root().find(id); other != nil {
		if other == s.parent {
			ev.InvokeID = s.invokeID
		}
		return s.enqueue(other, ev, m)
	}
	if d := s.engine.opts.Deliver; d != nil {
		if err := d(id, ev); err != nil {
			return s.sendError(errCommunication, m, err, true)
		}
		return nil
	}
	return s.sendError(errCommunication, m, fmt.Errorf("there is no session %q", id), true)
}

func (s *Session) toInvoked(id string, ev Event, m Message) error {
	inv := s.invocations[id]
	if inv == nil {
		return s.sendError(errCommunication, m, fmt.Errorf("there is no invocation %q", id), true)
	}
	if inv.child != nil {
		return s.enqueue(inv.child, ev, m)
	}
	if err := inv.service.Send(ev); err != nil {
		return s.sendError(errCommunication, m, err, true)
	}
	return nil
}
