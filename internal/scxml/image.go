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

// A data model is kept as JSON:
//
//	{"vars": [["name", value], …], "heap": [object, …]}
//
// Strings, finite numbers, booleans and null are themselves; {"r": n} is the n-th object of the heap, so that objects
// that two variables share, or that contain themselves, come back as they were. Other values have a letter each, see
// [imager.value] and [imager.object]. Functions that stand inside of no other are kept by number, since the program has
// their text and they see nothing but variables of the data model. What cannot be kept is an error that names the variable.

// errLive says what a value is that belongs to the running process.
var errLive = errors.New("a live object of the platform cannot be kept; copy from it what is needed")

// pack writes the variables of the session; nil if there is no runtime and nothing asleep.
func (s *Session) pack() ([]byte, error) {
	if s.model == nil {
		return s.asleep, nil
	}
	im := &imager{s: s, rt: s.model.rt, seen: map[*goja.Object]int{}}
	var out []byte
	var ierr error
	err := s.within(&expr{pos: Pos{File: s.prog.file, Line: 1, Column: 1}, element: "scxml", attr: "snapshot"}, func(*model) { out, ierr = im.all() })
	return out, errors.Join(err, ierr)
}

type imager struct {
	s          *Session
	rt         *goja.Runtime
	seen       map[*goja.Object]int
	queue      []*goja.Object // objects whose fields are to be written
	names      []string       // of the variables or fields through which they were found
	objects    *goja.Object   // Object.prototype
	array      *goja.Object
	globals    map[string]goja.Value
	descriptor goja.Callable // Object.getOwnPropertyDescriptor, where accessors are to be looked for
}

func (im *imager) all() ([]byte, error) {
	im.objects, im.array = prototype(im.rt, "Object"), prototype(im.rt, "Array")
	g := im.rt.GlobalObject()
	if im.s.prog.exotic {
		if o, ok := g.Get("Object").(*goja.Object); ok {
			im.descriptor, _ = goja.AssertFunction(o.Get("getOwnPropertyDescriptor"))
		}
	}
	b := []byte(`{"vars":[`)
	for i, name := range g.Keys() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = appendString(b, name)
		b = append(b, ',')
		var err error
		if b, err = im.field(b, g, name, name); err != nil {
			return nil, err
		}
		b = append(b, ']')
	}
	b = append(b, `],"heap":[`...)
	for i := 0; i < len(im.queue); i++ { // it grows on the way
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = im.object(b, im.queue[i], im.names[i]); err != nil {
			return nil, err
		}
		if limit := im.s.engine.opts.Limits.DataBytes; len(b) > 2*limit {
			return nil, fmt.Errorf("the data model of session %s is larger than %d bytes", im.s.id, limit)
		}
	}
	return append(b, `]}`...), nil
}

func (im *imager) fail(path string, err error) error {
	return fmt.Errorf("variable %s of session %s: %w", path, im.s.id, err)
}

// field writes the value of a property.
func (im *imager) field(b []byte, o *goja.Object, key, path string) ([]byte, error) {
	if im.descriptor != nil {
		d, err := im.descriptor(goja.Undefined(), o, im.rt.ToValue(key))
		if err != nil {
			return nil, err
		}
		if desc, ok := d.(*goja.Object); ok && desc.Get("get") != nil {
			return nil, im.fail(path, errors.New("a property with a getter or setter cannot be kept"))
		}
	}
	return im.value(b, o.Get(key), path)
}

func (im *imager) value(b []byte, v goja.Value, path string) ([]byte, error) {
	switch {
	case v == nil || goja.IsUndefined(v):
		return append(b, `{"u":1}`...), nil
	case goja.IsNull(v):
		return append(b, `null`...), nil
	}
	if o, ok := v.(*goja.Object); ok {
		n, known := im.seen[o]
		if !known {
			n = len(im.queue)
			im.seen[o] = n
			im.queue, im.names = append(im.queue, o), append(im.names, path)
		}
		return append(strconv.AppendInt(append(b, `{"r":`...), int64(n), 10), '}'), nil
	}
	if _, ok := v.(*goja.Symbol); ok { // its export would be a string
		return nil, im.fail(path, errors.New("a symbol cannot be kept"))
	}
	switch x := v.Export().(type) {
	case string:
		return appendString(b, x), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) || x == 0 && math.Signbit(x) {
			b = append(b, `{"n":`...)
			return append(appendString(b, strconv.FormatFloat(x, 'g', -1, 64)), '}'), nil
		}
		return strconv.AppendFloat(b, x, 'g', -1, 64), nil
	}
	return append(appendString(append(b, `{"b":`...), v.String()), '}'), nil // BigInt
}

func (im *imager) object(b []byte, o *goja.Object, path string) ([]byte, error) {
	if name, ok := im.global(o); ok {
		return append(appendString(append(b, `{"g":`...), name), '}'), nil
	}
	if _, ok := goja.AssertFunction(o); ok {
		return im.function(b, o, path)
	}
	if n, ok := nodeOf(o); ok {
		return append(appendString(append(b, `{"x":`...), n.XML()), '}'), nil
	}
	switch im.class(o) {
	case "Array":
		return im.list(b, o, path)
	case "Date":
		ms := "NaN"
		if t, ok := o.Export().(time.Time); ok {
			ms = strconv.FormatInt(t.UnixMilli(), 10)
		}
		return append(appendString(append(b, `{"d":`...), ms), '}'), nil
	case "RegExp":
		b = appendString(append(b, `{"e":[`...), o.Get("source").String())
		b = appendString(append(b, ','), o.Get("flags").String())
		return append(strconv.AppendInt(append(b, ','), o.Get("lastIndex").ToInteger(), 10), "]}"...), nil
	case "Error":
		b = appendString(append(b, `{"t":[`...), o.Get("name").String())
		return append(appendString(append(b, ','), o.Get("message").String()), "]}"...), nil
	case "Map", "Set":
		return im.collection(b, o, path)
	case "Object":
		if o.ExportType() == plainType {
			return im.plain(b, o, path)
		}
		return nil, im.fail(path, errLive)
	}
	return nil, im.fail(path, fmt.Errorf("a %s cannot be kept", o.ClassName()))
}

// class tells collections from other objects, which goja's name of the class does not.
func (im *imager) class(o *goja.Object) string {
	if p := o.Prototype(); p != nil && p != im.objects && p != im.array {
		for _, name := range []string{"Map", "Set"} {
			if p == prototype(im.rt, name) && o.ExportType() != plainType {
				return name
			}
		}
	}
	return o.ClassName()
}

func (im *imager) global(o *goja.Object) (string, bool) {
	if im.globals == nil {
		im.globals = map[string]goja.Value{}
		for name := range im.s.engine.opts.Globals {
			im.globals[name] = im.rt.GlobalObject().Get(name)
		}
	}
	for name, v := range im.globals {
		if v == goja.Value(o) {
			return name, true
		}
	}
	return "", false
}

// function is kept by its number in the program.
func (im *imager) function(b []byte, o *goja.Object, path string) ([]byte, error) {
	n, ok := im.s.prog.functions.find(o.String())
	if !ok {
		return nil, im.fail(path, errors.New("a function that stands inside of another function cannot be kept"))
	}
	if p, ok := o.Get("prototype").(*goja.Object); len(o.Keys()) > 0 || ok && len(p.Keys()) > 0 {
		return nil, im.fail(path, errors.New("a function with properties of its own, or of its prototype, cannot be kept"))
	}
	return append(strconv.AppendInt(append(b, `{"f":`...), int64(n), 10), '}'), nil
}

func (im *imager) list(b []byte, o *goja.Object, path string) ([]byte, error) {
	n := int(o.Get("length").ToInteger())
	if n > im.s.engine.opts.Limits.DataBytes/8 {
		return nil, im.fail(path, fmt.Errorf("an array of %d elements is too large to keep", n))
	}
	keys := o.Keys()
	if len(keys) != n || o.Prototype() != im.array {
		if len(keys) > n || o.Prototype() != im.array {
			return nil, im.fail(path, errors.New("an array with properties of its own cannot be kept"))
		}
	}
	present := map[string]bool{}
	if len(keys) < n {
		for _, k := range keys {
			present[k] = true
		}
	}
	b = append(b, `{"a":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		key := strconv.Itoa(i)
		if len(keys) < n && !present[key] {
			b = append(b, `{"h":1}`...) // a hole
			continue
		}
		var err error
		if b, err = im.field(b, o, key, path+"["+key+"]"); err != nil {
			return nil, err
		}
	}
	return append(b, "]}"...), nil
}

func (im *imager) collection(b []byte, o *goja.Object, path string) ([]byte, error) {
	b = append(b, `{"`...)
	if im.class(o) == "Map" {
		b = append(b, 'm')
	} else {
		b = append(b, 's')
	}
	b = append(b, `":[`...)
	var err error
	first := true
	im.rt.ForOf(o, func(v goja.Value) bool {
		if !first {
			b = append(b, ',')
		}
		first = false
		if pair, ok := v.(*goja.Object); ok && im.class(o) == "Map" {
			b = append(b, '[')
			if b, err = im.value(b, pair.Get("0"), path+" (key)"); err != nil {
				return false
			}
			b = append(b, ',')
			if b, err = im.value(b, pair.Get("1"), path+" (value)"); err != nil {
				return false
			}
			b = append(b, ']')
			return true
		}
		b, err = im.value(b, v, path+" (member)")
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return append(b, "]}"...), nil
}

// plain writes fields in their order, and the function that made the object where there is one.
func (im *imager) plain(b []byte, o *goja.Object, path string) ([]byte, error) {
	b = append(b, '{')
	switch p := o.Prototype(); {
	case p == im.objects:
	case p == nil:
		b = append(b, `"p":null,`...)
	default:
		maker, _ := p.Get("constructor").(*goja.Object)
		if maker == nil || maker.Get("prototype") != goja.Value(p) {
			return nil, im.fail(path, errors.New("an object with a prototype of its own cannot be kept"))
		}
		var err error
		if b, err = im.value(append(b, `"p":`...), maker, path+".constructor"); err != nil {
			return nil, err
		}
		b = append(b, ',')
	}
	b = append(b, `"o":[`...)
	for i, k := range o.Keys() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, '['), k)
		var err error
		if b, err = im.field(append(b, ','), o, k, path+"."+k); err != nil {
			return nil, err
		}
		b = append(b, ']')
	}
	return append(b, "]}"...), nil
}

// appendString writes a string of JSON.
func appendString(b []byte, v string) []byte {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(v)
			if err != nil {
				return append(b, `""`...) // a string does not fail
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), v...), '"')
}

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
