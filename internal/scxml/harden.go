package scxml

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/dop251/goja"
)

// What a runtime does inside of one call of its library cannot be interrupted, and when it runs out of stack the
// process ends. So calls that make something huge at once, work through something huge, or go down without end are
// bounded or taken away. Loops of a script, in contrast, end by the limit of time.
const (
	maxText    = 4 << 20 // characters that one call makes
	maxLength  = 1 << 20 // elements that one call works through
	maxNested  = 1000    // levels that one call goes down
	maxVisited = 200_000 // values that JSON.stringify meets
)

// removed are classes of raw memory and of traps, which snapshots could not keep either.
var removed = []string{
	"ArrayBuffer", "SharedArrayBuffer", "DataView", "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array",
	"Int32Array", "Uint32Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array", "Proxy", "WeakRef",
}

// library stands behind the global object in place of goja's own, and hands out what scripts may have when they ask
// for it, so that a runtime is small as long as it does little. The global object itself holds variables only.
type library struct {
	rt    *goja.Runtime
	own   *goja.Object
	bound map[string]goja.Value // what was wrapped
	all   bool                  // methods of arrays and text are wrapped
	depth int                   // of calls within calls that are counted
}

// harden prepares a new runtime for scripts of strangers. Sessions have runtimes of their own, so whatever a script
// does to prototypes is nobody else's matter. Wrapping all methods of arrays costs 60 KB a runtime, and is only needed
// where code could make an array, or what looks like one, of a length that it says itself: all tells.
func harden(rt *goja.Runtime, all bool) error {
	l := &library{rt: rt, own: rt.GlobalObject(), bound: map[string]goja.Value{}}
	text, list, code := prototype(rt, "String"), prototype(rt, "Array"), prototype(rt, "Function")
	if text == nil || list == nil || code == nil {
		return errors.New("the runtime has no String, Array or Function")
	}
	rt.SetGlobalObject(rt.CreateObject(rt.NewDynamicObject(l)))
	errs := []error{l.boundText(text, "repeat", "padStart", "padEnd"), l.boundMaker(list), l.boundCode(code)}
	if all {
		errs = append(errs, l.boundAll())
	}
	return errors.Join(errs...)
}

// riskyPattern finds code that sets a length or a computed place, or reaches for the means to do so in a roundabout
// way. It finds more than it has to, which costs memory only.
var riskyPattern = regexp.MustCompile(`\blength\s*([-+*/%&|^?<>]*=[^=]|['"\]]*\s*:|\+\+|--)|['"]length|\]\s*\(|\]\s*([-+*/%&|^?<>]*=([^=>]|$)|\+\+|--|of\b|in\b|[\]}]\s*=)|(\+\+|--)\s*[\w.$]+\[|\\[ux]|` +
	`\b(Array|constructor|Reflect|apply|call|bind|from|replace|replaceAll|assign|defineProperty|defineProperties|fromEntries|prototype|__proto__|setPrototypeOf|getPrototypeOf|getOwnPropertyDescriptors?|create)\b`)

func (l *library) boundAll() error {
	if l.all {
		return nil
	}
	l.all = true
	text, list, code := prototype(l.rt, "String"), prototype(l.rt, "Array"), prototype(l.rt, "Function")
	if text == nil || list == nil || code == nil {
		return errors.New("the runtime has no String, Array or Function")
	}
	return errors.Join(l.boundText(text, "replace", "replaceAll"), l.boundArrays(list),
		l.wrap(code, "apply", func(_ goja.Value, args []goja.Value) []goja.Value {
			l.atMost("apply", length(arg(args, 1)), maxLength)
			return args
		}))
}

// Get implements goja.DynamicObject.
func (l *library) Get(name string) goja.Value {
	if v, ok := l.bound[name]; ok {
		return v
	}
	if slices.Contains(removed, name) {
		return nil
	}
	v := l.own.Get(name)
	if o, ok := v.(*goja.Object); ok && (name == "JSON" || name == "Reflect") {
		if err := l.boundLazily(name, o); err != nil {
			return nil
		}
		l.bound[name] = o
	}
	return v
}

// Has implements goja.DynamicObject.
func (l *library) Has(name string) bool { return l.Get(name) != nil }

// Set implements goja.DynamicObject.
func (l *library) Set(string, goja.Value) bool { return false }

// Delete implements goja.DynamicObject.
func (l *library) Delete(string) bool { return false }

// Keys implements goja.DynamicObject.
func (l *library) Keys() []string { return nil }

func prototype(rt *goja.Runtime, class string) *goja.Object {
	c, ok := rt.GlobalObject().Get(class).(*goja.Object)
	if !ok {
		return nil
	}
	p, _ := c.Get("prototype").(*goja.Object)
	return p
}

func arg(args []goja.Value, i int) goja.Value {
	if i < len(args) {
		return args[i]
	}
	return goja.Undefined()
}

// refuse throws.
func (l *library) refuse(name, why string) {
	o, err := l.rt.New(l.own.Get("RangeError"), l.rt.ToValue(name+": "+why))
	if err != nil {
		panic(l.rt.NewTypeError(name + ": " + why))
	}
	panic(o)
}

func (l *library) atMost(name string, n int64, limit int) {
	if n > int64(limit) || n < 0 {
		l.refuse(name, fmt.Sprintf("more than %d at once", limit))
	}
}

// wrap replaces a method by one that looks at its call first, and counts calls within calls.
func (l *library) wrap(o *goja.Object, name string, check func(this goja.Value, args []goja.Value) []goja.Value) error {
	method, ok := goja.AssertFunction(o.Get(name))
	if !ok {
		return fmt.Errorf("the runtime has no %s", name)
	}
	return o.DefineDataProperty(name, l.rt.ToValue(func(call goja.FunctionCall) goja.Value {
		if l.depth++; l.depth > maxNested {
			l.depth--
			l.refuse(name, fmt.Sprintf("calls are nested more than %d deep", maxNested))
		}
		defer func() { l.depth-- }()
		v, err := method(call.This, check(call.This, call.Arguments)...)
		if err != nil {
			panic(err)
		}
		return v
	}), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// length of a string, or of what else has one.
func length(v goja.Value) int64 {
	switch v := v.(type) {
	case goja.String:
		return int64(v.Length())
	case *goja.Object:
		if n := v.Get("length"); n != nil {
			return n.ToInteger()
		}
	}
	return 0
}

func (l *library) boundText(text *goja.Object, names ...string) error {
	product := func(a, b int64) int64 {
		if a > 0 && b > 1<<40/a {
			return 1 << 40
		}
		return a * b
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, l.wrap(text, name, func(this goja.Value, args []goja.Value) []goja.Value {
			switch name {
			case "repeat":
				l.atMost(name, product(max(1, length(this)), arg(args, 0).ToInteger()), maxText)
			case "padStart", "padEnd":
				l.atMost(name, arg(args, 0).ToInteger(), maxText)
			default:
				if by, ok := arg(args, 1).(goja.String); ok && length(by) > 64 {
					l.atMost(name, product(length(this), length(by)), 16*maxText)
				}
			}
			return args
		}))
	}
	return errors.Join(errs...)
}

// boundArrays bounds the methods that work through an array by its length, which a script can set to anything.
func (l *library) boundArrays(list *goja.Object) error {
	var errs []error
	for _, name := range []string{
		"concat", "copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast", "findLastIndex", "flat", "flatMap",
		"forEach", "includes", "indexOf", "join", "lastIndexOf", "map", "reduce", "reduceRight", "reverse", "shift", "slice",
		"some", "sort", "splice", "toLocaleString", "unshift",
	} {
		errs = append(errs, l.wrap(list, name, func(this goja.Value, args []goja.Value) []goja.Value {
			n := length(this)
			l.atMost(name, n, maxLength)
			switch {
			case name == "join":
				l.atMost(name, n*length(arg(args, 0)), maxText)
				l.joined(this, n)
			case name == "flat" && arg(args, 0).ToInteger() > maxNested:
				return []goja.Value{l.rt.ToValue(maxNested)}
			}
			return args
		}))
	}
	return errors.Join(errs...)
}

// boundMaker bounds arrays that are made by their length.
func (l *library) boundMaker(list *goja.Object) error {
	original, ok := list.Get("constructor").(*goja.Object)
	if !ok {
		return errors.New("the runtime has no Array")
	}
	make, ok := goja.AssertFunction(original)
	if !ok {
		return errors.New("the runtime has no Array")
	}
	maker := l.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		if len(call.Arguments) == 1 {
			if _, text := call.Arguments[0].(goja.String); !text {
				l.atMost("Array", call.Arguments[0].ToInteger(), maxLength)
			}
		}
		v, err := make(goja.Undefined(), call.Arguments...)
		if err != nil {
			panic(err)
		}
		return v.(*goja.Object)
	}).(*goja.Object)
	l.bound["Array"] = maker
	return errors.Join(
		l.wrap(original, "from", func(_ goja.Value, args []goja.Value) []goja.Value {
			l.atMost("from", length(arg(args, 0)), maxLength)
			return args
		}),
		maker.SetPrototype(original), // isArray, from and of
		list.DefineDataProperty("constructor", maker, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE),
		maker.DefineDataProperty("prototype", list, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
}

// joined bounds the text that an array of strings becomes.
func (l *library) joined(this goja.Value, n int64) {
	o, ok := this.(*goja.Object)
	if !ok || o.ClassName() != "Array" || n < 64 {
		return
	}
	total := int64(0)
	l.rt.ForOf(o, func(v goja.Value) bool {
		if s, ok := v.(goja.String); ok {
			total += int64(s.Length())
		}
		return total <= 4*maxText
	})
	l.atMost("join", total, 4*maxText)
}

// boundCode bounds code that comes as text: eval, and the constructors of functions. Such code is global: it sees the
// data model, and no variables of the function that calls eval.
func (l *library) boundCode(function *goja.Object) error {
	eval, ok := goja.AssertFunction(l.own.Get("eval"))
	if !ok {
		return errors.New("the runtime has no eval")
	}
	l.bound["eval"] = l.rt.ToValue(func(call goja.FunctionCall) goja.Value {
		src, ok := call.Argument(0).(goja.String)
		if !ok {
			return call.Argument(0)
		}
		l.code("eval", src.String())
		v, err := eval(goja.Undefined(), call.Argument(0))
		if err != nil {
			panic(err)
		}
		return v
	})
	original, ok := function.Get("constructor").(*goja.Object)
	if !ok {
		return errors.New("the runtime has no Function")
	}
	maker := l.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		for _, a := range call.Arguments {
			l.code("Function", a.String())
		}
		o, err := l.rt.New(original, call.Arguments...)
		if err != nil {
			panic(err)
		}
		return o
	}).(*goja.Object)
	l.bound["Function"] = maker
	return errors.Join(l.hideMakers(function, maker),
		maker.DefineDataProperty("prototype", function, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
}

// hideMakers takes away the constructors that functions of each kind lead to.
func (l *library) hideMakers(function, maker *goja.Object) error {
	errs := []error{function.DefineDataProperty("constructor", maker, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)}
	for _, kind := range []*goja.Program{generatorKind, asyncKind} {
		v, err := l.rt.RunProgram(kind)
		if err != nil {
			return err
		}
		if p := v.(*goja.Object).Prototype(); p != nil && p != function {
			errs = append(errs, p.DefineDataProperty("constructor", goja.Undefined(), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
		}
	}
	return errors.Join(errs...)
}

var (
	generatorKind = goja.MustCompile("", "(function* () {})", false)
	asyncKind     = goja.MustCompile("", "(async function () {})", false)
)

func (l *library) code(name, src string) {
	if err := tooDeep(src); err != nil {
		panic(l.rt.NewTypeError(name + ": " + err.Error()))
	}
	if riskyPattern.MatchString(src) {
		if err := l.boundAll(); err != nil {
			panic(l.rt.NewGoError(err))
		}
	}
}

// boundLazily bounds what lives in an object that scripts get from the library only.
func (l *library) boundLazily(name string, o *goja.Object) error {
	if name == "Reflect" {
		list := func(i int) func(goja.Value, []goja.Value) []goja.Value {
			return func(_ goja.Value, args []goja.Value) []goja.Value {
				l.atMost(name, length(arg(args, i)), maxLength)
				return args
			}
		}
		return errors.Join(l.wrap(o, "apply", list(2)), l.wrap(o, "construct", list(1)))
	}
	return errors.Join(
		l.wrap(o, "parse", func(_ goja.Value, args []goja.Value) []goja.Value {
			if err := tooNested(arg(args, 0).String()); err != nil {
				l.refuse("JSON.parse", err.Error())
			}
			return args
		}),
		l.wrap(o, "stringify", func(_ goja.Value, args []goja.Value) []goja.Value {
			left, chars := maxVisited, 4*maxText
			l.survey(arg(args, 0), 0, &left, &chars)
			return args
		}))
}

// survey refuses values that JSON.stringify would go down or on for too long with. Cycles end at the limit of levels,
// where stringify would have refused them anyway.
func (l *library) survey(v goja.Value, level int, left, chars *int) {
	switch v := v.(type) {
	case goja.String:
		*chars -= v.Length()
	case *goja.Object:
		if live(v) || level == 0 && v.ClassName() == "Function" {
			return
		}
		if level > maxNested {
			l.refuse("JSON.stringify", fmt.Sprintf("it contains itself, or is nested more than %d deep", maxNested))
		}
		for _, k := range v.Keys() {
			if *left--; *left < 0 || *chars < 0 {
				l.refuse("JSON.stringify", "it is too large")
			}
			l.survey(v.Get(k), level+1, left, chars)
		}
	}
}

// tooNested is tooDeep for data, which may nest as deep as encoding/json lets it.
func tooNested(src string) error {
	depth := 0
	for i := range len(src) {
		switch src[i] {
		case '[', '{':
			if depth++; depth > maxNested {
				return fmt.Errorf("it is nested more than %d deep", maxNested)
			}
		case ']', '}':
			depth--
		}
	}
	return nil
}
