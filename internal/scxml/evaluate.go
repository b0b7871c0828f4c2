package scxml

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/dop251/goja"
)

// Expressions, scripts and data are evaluated here, each within the limits of a step.

func (s *Session) located(x *expr, err error) error {
	if ex, ok := errors.AsType[*goja.Exception](err); ok {
		err = errors.New(clip(ex.Value().String()))
	}
	return fmt.Errorf("%s: <%s>: %s: %w", x.pos, x.element, x.attr, err)
}

// guarded runs f within limits. A script that goes beyond them is interrupted, which no script can catch.
func (s *Session) guarded(m *model, f func() error) (err error) {
	if s.end != nil {
		return ErrEnded
	}
	g := s.engine.guard(m.rt)
	defer func() {
		if p := recover(); p != nil { // a library's panic is this session's error, not the end of the process
			err = fmt.Errorf("%v", p)
			if e, ok := p.(error); ok {
				err = e
			}
		}
		long, why := g.release()
		m.scripts++
		m.long = m.long || long
		if _, stopped := errors.AsType[*goja.InterruptedError](err); stopped || why != nil && err != nil {
			err = s.overrun(why)
		}
		if _, deep := errors.AsType[*goja.StackOverflowError](err); deep {
			err = fmt.Errorf("functions call each other more than %d deep", s.engine.opts.Limits.Calls)
		}
	}()
	return f()
}

// maxOverruns is how many scripts of one step may be stopped before the session is.
const maxOverruns = 3

func (s *Session) overrun(why error) error {
	if why == nil {
		why = errors.New("script interrupted")
	}
	s.overruns++
	s.engine.log.Warn("script stopped", slog.String("session", s.id), slog.String("document", s.prog.file), slog.Any("states", ids(s.states())), slog.Any("err", why))
	if s.overruns >= maxOverruns {
		s.abort(fmt.Errorf("%w: %d scripts of one step were stopped, the last one because: %w", ErrRunaway, s.overruns, why))
	}
	return why
}

// within runs f as a function of the runtime, so that what it throws, and what runs of a script in getters and
// conversions, ends in order.
func (s *Session) within(x *expr, f func(m *model)) error {
	m, err := s.js()
	if err != nil {
		return err
	}
	err = s.guarded(m, func() error {
		m.do = func() { f(m) }
		_, err := m.enter(goja.Undefined())
		return err
	})
	if err != nil {
		return s.located(x, err)
	}
	return nil
}

// value evaluates to a value of the runtime.
func (s *Session) value(x *expr) (goja.Value, error) {
	if x.err != nil {
		return nil, s.located(x, x.err)
	}
	m, err := s.js()
	if err != nil {
		return nil, err
	}
	if x.constant {
		return toJS(m.rt, x.value), nil
	}
	var v goja.Value
	err = s.guarded(m, func() (err error) {
		v, err = m.rt.RunProgram(x.prog)
		return err
	})
	if err != nil {
		return nil, s.located(x, err)
	}
	return v, nil
}

// holds evaluates a condition; an error is an event, and false (§5.9.1).
func (s *Session) holds(x *expr) bool {
	switch {
	case x.isIn:
		return s.in(x.value.(string))
	case x.constant && x.err == nil:
		return truthy(x.value)
	}
	v, err := s.value(x)
	if err != nil {
		s.fault(err)
		return false
	}
	return v.ToBoolean()
}

func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v != ""
	case float64:
		return v != 0
	}
	return false
}

// eval evaluates to a value that lives outside of the runtime.
func (s *Session) eval(x *expr) (any, error) {
	if x.constant && x.err == nil {
		return x.value, nil
	}
	v, err := s.value(x)
	if err != nil {
		return nil, err
	}
	if simple, ok := primitive(v); ok {
		return simple, nil
	}
	var out any
	var cerr error
	if err := s.within(x, func(m *model) { out, cerr = fromJS(m.rt, v, s.engine.opts.Limits.EventBytes) }); err != nil {
		return nil, err
	}
	if cerr != nil {
		return nil, s.located(x, cerr)
	}
	return out, nil
}

func (s *Session) evalString(x *expr) (string, error) {
	v, err := s.eval(x)
	if err != nil {
		return "", err
	}
	if isAbsent(v) {
		return "", s.located(x, fmt.Errorf("%q has no value", x.src))
	}
	return Text(v), nil
}

func isAbsent(v any) bool {
	_, none := v.(undefined)
	return none || v == nil
}

// set assigns a value of the runtime to a location.
func (s *Session) set(l *location, v goja.Value) error {
	if l.err != nil {
		return s.located(&l.expr, l.err)
	}
	m, err := s.js()
	if err != nil {
		return err
	}
	if l.variable != "" {
		g := m.rt.GlobalObject()
		if g.Get(l.variable) == nil {
			return s.located(&l.expr, fmt.Errorf("there is no variable %s", l.variable))
		}
		if err := g.Set(l.variable, v); err != nil {
			return s.located(&l.expr, err)
		}
		return nil
	}
	err = s.guarded(m, func() error {
		f, err := m.rt.RunProgram(l.prog)
		if err != nil {
			return err
		}
		assign, _ := goja.AssertFunction(f)
		_, err = assign(goja.Undefined(), v)
		return err
	})
	if err != nil {
		return s.located(&l.expr, err)
	}
	return nil
}

func (s *Session) assignValue(l *location, v any) error {
	if l.err != nil {
		return s.located(&l.expr, l.err)
	}
	m, err := s.js()
	if err != nil {
		return err
	}
	return s.set(l, toJS(m.rt, v))
}

func (s *Session) assignContent(l *location, c *content) error {
	v, err := s.contentJS(c)
	if err != nil {
		return err
	}
	return s.set(l, v)
}

func (s *Session) contentJS(c *content) (goja.Value, error) {
	switch {
	case c.err != nil:
		return nil, fmt.Errorf("%s: <%s>: %w", c.pos, c.name, c.err)
	case c.expr != nil:
		return s.value(c.expr)
	}
	m, err := s.js()
	if err != nil {
		return nil, err
	}
	return toJS(m.rt, c.fixed), nil
}

func (s *Session) contentValue(c *content) (any, error) {
	switch {
	case c.err != nil:
		return nil, fmt.Errorf("%s: <%s>: %w", c.pos, c.name, c.err)
	case c.expr != nil:
		return s.eval(c.expr)
	}
	return c.fixed, nil
}

func (s *Session) runScript(a *script) error {
	x := &expr{pos: a.pos, element: "script", attr: "code"}
	if a.err != nil {
		return s.located(x, a.err)
	}
	m, err := s.js()
	if err != nil {
		return err
	}
	err = s.guarded(m, func() error { _, err := m.rt.RunProgram(a.prog); return err })
	if err != nil {
		return s.located(x, err)
	}
	return nil
}

// initialiseAll binds <data> at the start: all values with early binding, those of the document with late (§5.3.3).
func (s *Session) initialiseAll() {
	if s.prog.null || len(s.prog.data) == 0 {
		return
	}
	m, err := s.js()
	if err != nil {
		s.fault(err)
		return
	}
	g := m.rt.GlobalObject()
	for _, d := range s.prog.data {
		if err := g.Set(d.id, goja.Undefined()); err != nil {
			s.fault(fmt.Errorf("%s: <data>: %w", d.pos, err))
		}
	}
	if s.prog.late {
		s.initialise(s.prog.states[0].data)
		return
	}
	s.initialise(s.prog.data)
}

// initialise binds some <data>; what was given by whoever started the session wins over what the document says, at
// the top of the document (§5.3.2, §6.4.4). An error leaves the variable undefined.
func (s *Session) initialise(list []*data) {
	for _, d := range list {
		if s.end != nil {
			return
		}
		v, err := s.dataValue(d)
		if err == nil {
			err = s.model.rt.GlobalObject().Set(d.id, v)
		}
		if err != nil {
			s.fault(err)
		}
	}
}

func (s *Session) dataValue(d *data) (goja.Value, error) {
	for i := len(s.given) - 1; i >= 0; i-- {
		if s.given[i].Name == d.id && slices.Contains(s.prog.states[0].data, d) {
			return toJS(s.model.rt, s.given[i].Value), nil
		}
	}
	return s.contentJS(d.value)
}

// each runs the body of a <foreach> over a copy of the array (§4.6).
func (s *Session) each(a *foreach) error {
	v, err := s.value(a.array)
	if err != nil {
		return err
	}
	var items []goja.Value
	err = s.within(a.array, func(m *model) {
		o, ok := v.(*goja.Object)
		if !ok || o.GetSymbol(goja.SymIterator) == nil {
			panic(m.rt.NewTypeError(strings.TrimSpace(a.array.src) + " is not iterable"))
		}
		m.rt.ForOf(o, func(item goja.Value) bool {
			if len(items) >= maxItems {
				panic(m.rt.NewTypeError(fmt.Sprintf("more than %d items", maxItems)))
			}
			items = append(items, item)
			return true
		})
	})
	if err != nil {
		return err
	}
	g := s.model.rt.GlobalObject()
	if len(items) == 0 { // the variables are declared all the same
		for _, name := range []string{a.item, a.index} {
			if name != "" && g.Get(name) == nil {
				_ = g.Set(name, goja.Undefined())
			}
		}
	}
	for i, item := range items {
		err := g.Set(a.item, item)
		if err == nil && a.index != "" {
			err = g.Set(a.index, i)
		}
		if err != nil {
			return s.located(a.array, err)
		}
		if err := runBlock(s, a.body); err != nil {
			return err
		}
		if s.end != nil {
			return ErrEnded
		}
		if s.steps++; s.steps > s.engine.opts.Limits.Microsteps {
			s.abort(fmt.Errorf("%w: more than %d microsteps and rounds of <foreach> follow one event", ErrRunaway, s.engine.opts.Limits.Microsteps))
			return ErrEnded
		}
	}
	return nil
}

// maxItems bounds the rounds of one <foreach>.
const maxItems = 100_000
