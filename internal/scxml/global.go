package scxml

import (
	"fmt"

	"github.com/dop251/goja"
)

// Global makes a global object of a session, when its runtime is made; which happens again whenever the session was
// asleep or restored. Its value may hold [Func] and [View] besides what values are made of, and scripts cannot change
// it. The handle is valid while scripts of the session run.
type Global func(h *Handle) any

// Func is a function that scripts call. Its error is thrown.
type Func func(args []any) (any, error)

// View is a live object that scripts read. Keys lists what Get knows; Get of anything else is [Undefined].
type View interface {
	Get(key string) any
	Keys() []string
}

// globalJS is toJS for what belongs to us: objects are frozen.
func (s *Session) globalJS(rt *goja.Runtime, v any) goja.Value {
	switch v := v.(type) {
	case map[string]any:
		fields := make(map[string]goja.Value, len(v))
		for k, e := range v {
			fields[k] = s.globalJS(rt, e)
		}
		return frozen(rt, fields)
	case Func:
		return rt.ToValue(func(call goja.FunctionCall) goja.Value {
			args := make([]any, len(call.Arguments))
			for i, a := range call.Arguments {
				arg, err := fromJS(rt, a, s.engine.opts.Limits.EventBytes)
				if err != nil {
					panic(rt.NewTypeError(fmt.Sprintf("argument %d: %v", i+1, err)))
				}
				args[i] = arg
			}
			out, err := v(args)
			if err != nil {
				panic(rt.NewTypeError(err.Error()))
			}
			return s.globalJS(rt, out)
		})
	case View:
		return rt.NewDynamicObject(&viewed{s: s, rt: rt, v: v})
	}
	return toJS(rt, v)
}

// viewed shows a View to scripts.
type viewed struct {
	s  *Session
	rt *goja.Runtime
	v  View
}

// Get implements goja.DynamicObject.
func (d *viewed) Get(key string) goja.Value {
	v := d.v.Get(key)
	if _, none := v.(undefined); none {
		return nil // so that methods of Object.prototype are found
	}
	return d.s.globalJS(d.rt, v)
}

// Set implements goja.DynamicObject.
func (d *viewed) Set(string, goja.Value) bool { return false }

// Has implements goja.DynamicObject.
func (d *viewed) Has(key string) bool {
	_, none := d.v.Get(key).(undefined)
	return !none
}

// Delete implements goja.DynamicObject.
func (d *viewed) Delete(string) bool { return false }

// Keys implements goja.DynamicObject.
func (d *viewed) Keys() []string { return d.v.Keys() }
