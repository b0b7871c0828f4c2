package scxml

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dop251/goja"
)

// model is the ECMAScript data model of a session: a runtime whose global object holds the variables (§B.2).
type model struct {
	rt    *goja.Runtime
	event goja.Value // _event, once something asked for it
	enter goja.Callable
	do    func() // what enter runs

	scripts int  // run since the size was estimated
	long    bool // one of them ran for long
}

// js returns the model, made or woken when it is first needed.
func (s *Session) js() (*model, error) {
	if s.model != nil {
		return s.model, nil
	}
	m, err := s.newModel()
	if err != nil {
		return nil, err
	}
	s.model = m
	if image := s.asleep; image != nil {
		s.asleep = nil
		if err := s.unpack(image); err != nil {
			s.abort(fmt.Errorf("variables that were kept do not come back: %w", err)) // it must not go on without them
			return nil, err
		}
	}
	return m, nil
}

func (s *Session) newModel() (*model, error) {
	rt := goja.New()
	m := &model{rt: rt}
	rt.SetMaxCallStackSize(s.engine.opts.Limits.Calls)
	if err := harden(rt, s.prog.risky); err != nil {
		return nil, err
	}
	rt.SetParserOptions(noSourceMaps)
	m.enter, _ = goja.AssertFunction(rt.ToValue(func(goja.FunctionCall) goja.Value { m.do(); return goja.Undefined() }))
	g := rt.GlobalObject()
	system := func(name string, get func() goja.Value) error {
		return g.DefineAccessorProperty(name, rt.ToValue(func(goja.FunctionCall) goja.Value { return get() }),
			rt.ToValue(func(goja.FunctionCall) goja.Value {
				panic(rt.NewTypeError(name + " is a variable of the system and cannot be changed"))
			}), goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	var processors, x goja.Value
	err := errors.Join(
		system("_event", s.eventValue),
		system("_sessionid", func() goja.Value { return rt.ToValue(s.id) }),
		system("_name", func() goja.Value { return rt.ToValue(s.prog.name) }),
		system("_ioprocessors", func() goja.Value {
			if processors == nil {
				processors = s.processorsValue(rt)
			}
			return processors
		}),
		system("_x", func() goja.Value {
			if x == nil {
				x = frozen(rt, nil)
			}
			return x
		}),
		g.DefineDataProperty("In", rt.ToValue(func(call goja.FunctionCall) goja.Value {
			return rt.ToValue(s.in(call.Argument(0).String()))
		}), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE),
	)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(s.engine.opts.Globals) {
		v := s.globalJS(rt, s.engine.opts.Globals[name](s.handle()))
		if err := g.DefineDataProperty(name, v, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// frozen makes an object that scripts cannot change.
func frozen(rt *goja.Runtime, fields map[string]goja.Value) *goja.Object {
	o := rt.NewObject()
	for _, k := range sortedKeys(fields) {
		_ = o.DefineDataProperty(k, fields[k], goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE) // it is new: nothing forbids it
	}
	return o
}

func (s *Session) processorsValue(rt *goja.Runtime) goja.Value {
	all := map[string]goja.Value{}
	add := func(name, location string) {
		all[name] = frozen(rt, map[string]goja.Value{"location": rt.ToValue(location)})
	}
	add(TypeSCXML, s.location())
	add("scxml", s.location())
	for name, p := range s.engine.processors {
		add(name, p.Location(s.id))
	}
	return frozen(rt, all)
}

// forgetEvent makes _event anew when it is asked for.
func (s *Session) forgetEvent() {
	if s.model != nil {
		s.model.event = nil
	}
}

func (s *Session) eventValue() goja.Value {
	if s.event == nil {
		return goja.Undefined() // unbound until there is an event (§5.10)
	}
	m := s.model
	if m.event == nil {
		m.event = s.makeEvent(m.rt, s.event)
	}
	return m.event
}

func (s *Session) makeEvent(rt *goja.Runtime, ev *Event) goja.Value {
	o := rt.NewObject()
	put := func(name string, v goja.Value) {
		_ = o.DefineDataProperty(name, v, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE) // it is new: nothing forbids it
	}
	text := func(name, v string) {
		if v == "" {
			put(name, goja.Undefined())
		} else {
			put(name, rt.ToValue(v))
		}
	}
	text("name", ev.Name)
	text("type", string(ev.Type))
	text("sendid", ev.SendID)
	text("origin", ev.Origin)
	text("origintype", ev.OriginType)
	text("invokeid", ev.InvokeID)
	if ev.Data == nil && !ev.hasData {
		put("data", goja.Undefined())
	} else {
		put("data", toJS(rt, ev.Data))
	}
	if ev.Raw != "" {
		put("raw", rt.ToValue(ev.Raw))
	}
	return o
}

func (s *Session) in(id string) bool {
	st := s.prog.ids[id]
	return st != nil && s.config.has(st)
}
