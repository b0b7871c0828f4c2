package settings

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"parley/internal/voice"
)

// decoder fills a Config and remembers where each key got its value. It walks the syntax tree itself rather than let
// the library decode: the library stops at the first mistake and forgets the positions of what it has read.
type decoder struct {
	root     reflect.Value // the Config
	places   map[string]voice.FieldError
	problems Problems
}

func newDecoder(cfg *Config) *decoder {
	return &decoder{root: reflect.ValueOf(cfg).Elem(), places: map[string]voice.FieldError{}}
}

// file reads YAML over what is there.
func (d *decoder) file(name string, text []byte) {
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // mapping reports those itself
	if err != nil {
		at := voice.FieldError{File: name, Field: "(file)", Reason: "not valid YAML: " + err.Error()}
		var y yaml.Error
		if errors.As(err, &y) && y.GetToken() != nil {
			at.Line, at.Column = y.GetToken().Position.Line, y.GetToken().Position.Column
			at.Reason = "not valid YAML: " + y.GetMessage()
		}
		d.problems = append(d.problems, at)
		return
	}
	if len(tree.Docs) > 1 {
		d.problems = append(d.problems, voice.FieldError{File: name, Field: "(file)", Reason: "holds more than one document; keep one"})
	}
	for _, doc := range tree.Docs[:min(1, len(tree.Docs))] {
		if doc.Body != nil {
			d.node(name, doc.Body, d.root, "")
		}
	}
}

// node decodes n into v, which has the given key.
func (d *decoder) node(file string, n ast.Node, v reflect.Value, key string) {
	pos := n.GetToken().Position
	d.places[key] = voice.FieldError{File: file, Line: pos.Line, Column: pos.Column}
	switch n := n.(type) {
	case *ast.NullNode, *ast.CommentGroupNode:
		return // "key:" and nothing behind it leaves the default
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.problem(key, "anchors, aliases and tags are not understood here; write the value out")
		return
	case ast.MapNode:
		if v.Kind() != reflect.Struct && v.Kind() != reflect.Map || isText(v) {
			d.problem(key, "a mapping stands here; want "+wanted(v))
			return
		}
		d.mapping(file, n, v, key)
		return
	case *ast.SequenceNode:
		if v.Kind() != reflect.Slice {
			d.problem(key, "a list stands here; want "+wanted(v))
			return
		}
		d.sequence(file, n, v, key)
		return
	}
	if v.Kind() == reflect.Struct && !isText(v) || v.Kind() == reflect.Map || v.Kind() == reflect.Slice {
		d.problem(key, fmt.Sprintf("the value %q stands here; want %s", scalar(n), wanted(v)))
		return
	}
	if err := setText(v, scalar(n)); err != nil {
		d.problem(key, err.Error())
	}
}

func (d *decoder) mapping(file string, n ast.MapNode, v reflect.Value, key string) {
	seen := map[string]bool{}
	for it := n.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		sub := join(key, name)
		pos := it.Key().GetToken().Position
		at := voice.FieldError{File: file, Line: pos.Line, Column: pos.Column, Field: sub}
		field, known := child(v, name)
		switch {
		case !known:
			at.Reason = "unknown key; known here: " + strings.Join(names(v), ", ")
			d.problems = append(d.problems, at)
			continue
		case seen[name]:
			at.Reason = "stands here a second time; keep one"
			d.problems = append(d.problems, at)
			continue
		}
		seen[name] = true
		d.node(file, it.Value(), field, sub)
		store(v, name, field)
	}
}

func (d *decoder) sequence(file string, n *ast.SequenceNode, v reflect.Value, key string) {
	if len(n.Values) == 0 {
		v.SetZero()
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Values), len(n.Values))
	for i, item := range n.Values {
		d.node(file, item, out.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
	v.Set(out)
}

// text sets one key from the environment or the command line; place is the variable or the flag.
func (d *decoder) text(key, value, place string) {
	for k := range d.places { // what the file said of the items of a list is gone with them
		if strings.HasPrefix(k, key+"[") {
			delete(d.places, k)
		}
	}
	d.places[key] = voice.FieldError{File: place}
	v := d.root
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		v, _ = child(v, part)
	}
	last := parts[len(parts)-1]
	field, _ := child(v, last)
	if err := setList(field, value); err != nil {
		d.problem(key, err.Error())
		return
	}
	store(v, last, field)
}

// keys lists every key that holds a value or a list of values.
func (d *decoder) keys() []string { return leaves(d.root, "") }

func leaves(v reflect.Value, key string) (out []string) {
	if v.Kind() != reflect.Struct && v.Kind() != reflect.Map || isText(v) {
		return []string{key}
	}
	for _, name := range names(v) {
		field, _ := child(v, name)
		out = append(out, leaves(field, join(key, name))...)
	}
	return out
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// names lists the keys of a struct, in its order, or those a map has by default.
func names(v reflect.Value) (out []string) {
	if v.Kind() == reflect.Map {
		for _, k := range v.MapKeys() {
			out = append(out, k.String())
		}
		slices.Sort(out)
		return out
	}
	for i := range v.NumField() {
		if name := fieldName(v.Type().Field(i)); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// fieldName is the key of a field; "" if it has no yaml tag and so is no setting.
func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// child finds the value of a key in a struct or map. The value of a map is a copy: see store.
func child(v reflect.Value, name string) (reflect.Value, bool) {
	if v.Kind() == reflect.Map {
		old := v.MapIndex(reflect.ValueOf(name))
		if !old.IsValid() {
			return reflect.Value{}, false
		}
		field := reflect.New(v.Type().Elem()).Elem()
		field.Set(old)
		return field, true
	}
	for i := range v.NumField() {
		if name != "" && fieldName(v.Type().Field(i)) == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// store puts a value that child took from a map back.
func store(v reflect.Value, name string, field reflect.Value) {
	if v.Kind() == reflect.Map {
		v.SetMapIndex(reflect.ValueOf(name), field)
	}
}

// isText tells whether v reads itself from text.
func isText(v reflect.Value) bool {
	return reflect.PointerTo(v.Type()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// scalar is the text of a plain value as it was written.
func scalar(n ast.Node) string {
	if lit, ok := n.(*ast.LiteralNode); ok {
		return lit.Value.Value
	}
	return n.GetToken().Value
}

// wanted says what a key takes.
func wanted(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Slice:
		return `a list such as ["a", "b"]`
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "a duration such as 30s, 5m or 12h"
	case isText(v), v.Kind() == reflect.String:
		return "a text"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.CanInt(), v.CanUint():
		return "a whole number"
	case v.CanFloat():
		return "a number"
	default:
		return "a mapping with the keys " + strings.Join(names(v), ", ")
	}
}

// setList is setText that also takes comma separated lists.
func setList(v reflect.Value, text string) error {
	if v.Kind() != reflect.Slice {
		return setText(v, text)
	}
	out := reflect.MakeSlice(v.Type(), 0, 4)
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if err := setText(e, item); err != nil {
			return err
		}
		out = reflect.Append(out, e)
	}
	v.Set(out)
	return nil
}

// setText reads a plain value. The error says what is wanted.
func setText(v reflect.Value, text string) error {
	bad := fmt.Errorf("%q is no value for this key; want %s", text, wanted(v))
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		t, err := time.ParseDuration(text)
		if err != nil {
			return bad
		}
		v.SetInt(int64(t))
	case isText(v):
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return bad
		}
		v.SetBool(b)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return bad
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return bad
		}
		v.SetUint(n)
	case v.CanFloat():
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return bad
		}
		v.SetFloat(f)
	default:
		return bad
	}
	return nil
}
