package scxml

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/dop251/goja"

	"parley/internal/scxml/markup"
)

// unpack brings the variables back into a new runtime.
func (s *Session) unpack(image []byte) error {
	var in struct {
		Vars [][2]any
		Heap []map[string]any
	}
	if err := json.Unmarshal(image, &in); err != nil {
		return fmt.Errorf("data model: %w", err)
	}
	un := &unpacker{s: s, rt: s.model.rt, heap: make([]*goja.Object, len(in.Heap)), in: in.Heap}
	var uerr error
	err := s.within(&expr{pos: Pos{File: s.prog.file, Line: 1, Column: 1}, element: "scxml", attr: "snapshot"}, func(*model) {
		for i := range in.Heap {
			if uerr = un.make(i, 0); uerr != nil {
				return
			}
		}
		for i := range in.Heap {
			if uerr = un.fill(i); uerr != nil {
				return
			}
		}
		g := un.rt.GlobalObject()
		for _, v := range in.Vars {
			name, ok := v[0].(string)
			if !ok {
				uerr = errors.New("a variable has no name")
				return
			}
			if uerr = g.Set(name, un.value(v[1])); uerr != nil {
				return
			}
		}
	})
	return errors.Join(err, uerr)
}

type unpacker struct {
	s    *Session
	rt   *goja.Runtime
	heap []*goja.Object
	in   []map[string]any
}

func (un *unpacker) value(v any) goja.Value {
	m, ok := v.(map[string]any)
	if !ok {
		return toJS(un.rt, v)
	}
	if r, ok := m["r"].(float64); ok && int(r) >= 0 && int(r) < len(un.heap) && un.heap[int(r)] != nil {
		return un.heap[int(r)]
	}
	if text, ok := m["n"].(string); ok {
		f, _ := strconv.ParseFloat(text, 64)
		return un.rt.ToValue(f)
	}
	if text, ok := m["b"].(string); ok {
		if f, ok := goja.AssertFunction(un.rt.GlobalObject().Get("BigInt")); ok {
			if big, err := f(goja.Undefined(), un.rt.ToValue(text)); err == nil {
				return big
			}
		}
	}
	return goja.Undefined()
}

// make makes an object without what it holds.
func (un *unpacker) make(i, depth int) error {
	if un.heap[i] != nil {
		return nil
	}
	d := un.in[i]
	text := func(k string) string { v, _ := d[k].(string); return v }
	var v goja.Value
	switch {
	case d["g"] != nil:
		v = un.rt.GlobalObject().Get(text("g"))
	case d["f"] != nil:
		n, _ := d["f"].(float64)
		prog := un.s.prog.functions.program(int(n))
		if prog == nil {
			return fmt.Errorf("function %v is not in the document", d["f"])
		}
		f, err := un.rt.RunProgram(prog)
		if err != nil {
			return err
		}
		v = f
	case d["x"] != nil:
		n, err := markup.Parse("snapshot", []byte(text("x")), un.s.engine.opts.Markup)
		if err != nil {
			return err
		}
		v = element(un.rt, n)
	case d["a"] != nil:
		v = un.rt.NewArray()
	case d["d"] != nil:
		ms, err := strconv.ParseFloat(text("d"), 64)
		if err != nil {
			return err
		}
		v = construct(un.rt, "Date", un.rt.ToValue(ms))
	case d["e"] != nil:
		p, _ := d["e"].([]any)
		if len(p) != 3 {
			return errors.New("a regular expression is damaged")
		}
		v = construct(un.rt, "RegExp", un.value(p[0]), un.value(p[1]))
		if o, ok := v.(*goja.Object); ok {
			if err := o.Set("lastIndex", un.value(p[2])); err != nil {
				return err
			}
		}
	case d["t"] != nil:
		p, _ := d["t"].([]any)
		if len(p) != 2 {
			return errors.New("an error is damaged")
		}
		class, _ := p[0].(string)
		if c := un.rt.GlobalObject().Get(class); c == nil {
			class = "Error"
		}
		v = construct(un.rt, class, un.value(p[1]))
	case d["m"] != nil:
		v = construct(un.rt, "Map")
	case d["s"] != nil:
		v = construct(un.rt, "Set")
	case d["o"] != nil:
		return un.makePlain(i, d, depth)
	}
	o, ok := v.(*goja.Object)
	if !ok {
		return fmt.Errorf("object %d of the data model is damaged", i)
	}
	un.heap[i] = o
	return nil
}

func (un *unpacker) makePlain(i int, d map[string]any, depth int) error {
	var proto *goja.Object
	maker, has := d["p"]
	switch ref, _ := maker.(map[string]any); {
	case !has:
		un.heap[i] = un.rt.NewObject()
		return nil
	case maker != nil:
		r, ok := ref["r"].(float64)
		if !ok || int(r) < 0 || int(r) >= len(un.heap) || depth > 0 {
			return fmt.Errorf("object %d of the data model is damaged", i)
		}
		if err := un.make(int(r), depth+1); err != nil {
			return err
		}
		proto, _ = un.heap[int(r)].Get("prototype").(*goja.Object)
	}
	un.heap[i] = un.rt.CreateObject(proto)
	return nil
}

// fill puts into an object what it holds.
func (un *unpacker) fill(i int) error {
	d, o := un.in[i], un.heap[i]
	if list, ok := d["a"].([]any); ok {
		for k, e := range list {
			if m, ok := e.(map[string]any); ok && m["h"] != nil {
				continue
			}
			if err := o.Set(strconv.Itoa(k), un.value(e)); err != nil {
				return err
			}
		}
		return o.Set("length", len(list))
	}
	if fields, ok := d["o"].([]any); ok {
		for _, f := range fields {
			pair, _ := f.([]any)
			if len(pair) != 2 {
				return fmt.Errorf("object %d of the data model is damaged", i)
			}
			key, _ := pair[0].(string)
			if err := o.DefineDataProperty(key, un.value(pair[1]), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
				return err
			}
		}
	}
	return un.fillCollection(d, o)
}

func (un *unpacker) fillCollection(d map[string]any, o *goja.Object) error {
	call := func(name string, args ...goja.Value) error {
		f, ok := goja.AssertFunction(o.Get(name))
		if !ok {
			return fmt.Errorf("%s is no function any more", name)
		}
		_, err := f(o, args...)
		return err
	}
	if pairs, ok := d["m"].([]any); ok {
		for _, p := range pairs {
			pair, _ := p.([]any)
			if len(pair) != 2 {
				return errors.New("a map is damaged")
			}
			if err := call("set", un.value(pair[0]), un.value(pair[1])); err != nil {
				return err
			}
		}
	}
	if members, ok := d["s"].([]any); ok {
		for _, v := range members {
			if err := call("add", un.value(v)); err != nil {
				return err
			}
		}
	}
	return nil
}
