package scxml

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/dop251/goja"

	"parley/internal/scxml/markup"
)

// toJS makes a value of the runtime.
func toJS(rt *goja.Runtime, v any) goja.Value {
	switch v := v.(type) {
	case nil:
		return goja.Null()
	case undefined:
		return goja.Undefined()
	case []any:
		items := make([]any, len(v))
		for i, e := range v {
			items[i] = toJS(rt, e)
		}
		return rt.NewArray(items...)
	case map[string]any:
		o := rt.NewObject()
		for _, k := range sortedKeys(v) {
			// Defined, not assigned: a field called __proto__ is a field.
			_ = o.DefineDataProperty(k, toJS(rt, v[k]), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
		}
		return o
	case time.Time:
		return construct(rt, "Date", rt.ToValue(v.UnixMilli()))
	case Pattern:
		return construct(rt, "RegExp", rt.ToValue(v.Source), rt.ToValue(v.Flags))
	case *markup.Node:
		return element(rt, v)
	case string, bool, float64, int, int64:
		return rt.ToValue(v)
	}
	// Somebody's own Go type: what JSON makes of it, so that scripts hold values and no methods of ours.
	b, err := json.Marshal(v)
	if err != nil {
		return goja.Undefined()
	}
	plain, err := decodeJSON(b)
	if err != nil {
		return goja.Undefined()
	}
	return toJS(rt, plain)
}

func construct(rt *goja.Runtime, class string, args ...goja.Value) goja.Value {
	o, err := rt.New(rt.GlobalObject().Get(class), args...)
	if err != nil {
		return goja.Undefined() // a script replaced the class by something that fails
	}
	return o
}

// primitive converts values that are no objects.
func primitive(v goja.Value) (any, bool) {
	switch {
	case v == nil || goja.IsUndefined(v):
		return Undefined, true
	case goja.IsNull(v):
		return nil, true
	}
	if _, ok := v.(*goja.Object); ok {
		return nil, false
	}
	switch x := v.Export().(type) {
	case string, bool, float64:
		return x, true
	case int64:
		return float64(x), true
	}
	return nil, false
}

const maxDepth = 64

// errFunction says what an object is that cannot leave its runtime.
var errFunction = errors.New("a function cannot be sent or kept")

// fromJS makes a value of our own; limit bounds its size. It calls getters, and so runs within the runtime.
func fromJS(rt *goja.Runtime, v goja.Value, limit int) (any, error) {
	c := &converter{rt: rt, limit: limit}
	return c.value(v, "", 0)
}

type converter struct {
	rt    *goja.Runtime
	limit int
	above []*goja.Object // those around the current one
}

func (c *converter) fail(path string, err error) error {
	if path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path[1:], err)
}

func (c *converter) value(v goja.Value, path string, depth int) (any, error) {
	if simple, ok := primitive(v); ok {
		c.limit -= 16
		if text, is := simple.(string); is {
			c.limit -= len(text)
		}
		if c.limit < 0 {
			return nil, c.fail(path, errors.New("the value is too large"))
		}
		return simple, nil
	}
	o, ok := v.(*goja.Object)
	if !ok {
		return v.String(), nil // BigInt, Symbol: there is nothing better
	}
	if depth > maxDepth {
		return nil, c.fail(path, fmt.Errorf("objects are nested more than %d deep", maxDepth))
	}
	for _, above := range c.above {
		if above == o {
			return nil, c.fail(path, errors.New("the object contains itself"))
		}
	}
	c.above = append(c.above, o)
	defer func() { c.above = c.above[:len(c.above)-1] }()
	return c.object(o, path, depth)
}

func (c *converter) object(o *goja.Object, path string, depth int) (any, error) {
	if _, is := goja.AssertFunction(o); is {
		return nil, c.fail(path, errFunction)
	}
	switch o.ClassName() {
	case "Array":
		n := int(o.Get("length").ToInteger())
		if n*16 > c.limit {
			return nil, c.fail(path, errors.New("the value is too large"))
		}
		out := make([]any, n)
		for i := range out {
			e, err := c.value(o.Get(strconv.Itoa(i)), path+"."+strconv.Itoa(i), depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = e
		}
		return out, nil
	case "Date":
		if ms := o.Export(); ms != nil {
			if t, ok := ms.(time.Time); ok {
				return t, nil
			}
		}
		return math.NaN(), nil
	case "RegExp":
		return Pattern{Source: o.Get("source").String(), Flags: o.Get("flags").String()}, nil
	case "Error":
		return map[string]any{"name": o.Get("name").String(), "message": o.Get("message").String()}, nil
	case "String", "Number", "Boolean":
		p, ok := primitive(c.rt.ToValue(o.Export()))
		if ok {
			return p, nil
		}
	}
	if n, ok := nodeOf(o); ok {
		return n, nil
	}
	out := map[string]any{}
	for _, k := range o.Keys() {
		e, err := c.value(o.Get(k), path+"."+k, depth+1)
		if errors.Is(err, errFunction) {
			continue // a method is no data
		}
		if err != nil {
			return nil, err
		}
		c.limit -= 16 + len(k)
		out[k] = e
	}
	return out, nil
}

// Text is a value as text: a string as it is, anything else as JSON.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return "undefined"
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case *markup.Node:
		return v.XML()
	}
	b, err := json.Marshal(defined(v))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// defined leaves out fields that are undefined, as JSON.stringify does.
func defined(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if _, none := e.(undefined); !none {
				out[k] = defined(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = defined(e)
		}
		return out
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return v
}
