package scxml

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/dop251/goja"
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
