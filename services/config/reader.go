package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"parley/internal/voice"
)

// entry is one tenant of the file with what belongs to it.
type entry struct {
	name  string
	wants []*want
	kinds []voice.Kind // that the file names, with or without content
}

// read understands the file. It may be called again and gives new values each time.
func (f *file) read(out *problems) []entry {
	r := reader{file: f, out: out}
	if f.root == nil {
		if !out.any() {
			out.add(voice.FieldError{File: f.name, Field: "tenants"}, "is missing; a provisioning file begins with tenants:")
		}
		return nil
	}
	var entries []entry
	r.mapping(f.root, "(file)", func(name string, key, value ast.Node) {
		if name != "tenants" {
			out.add(f.position(key, join("", name)), "is not known here; a provisioning file has tenants only")
			return
		}
		r.sequence(value, "tenants", func(i int, n ast.Node) {
			if e, ok := r.tenant(n, index("tenants", i)); ok {
				entries = append(entries, e)
			}
		})
	})
	return entries
}

// reader decodes nodes and tells what is wrong with them. It walks the syntax tree itself, because the library's
// decoder stops at the first problem.
type reader struct {
	*file
	out *problems
}

// tenant reads one tenant: its own fields, and a list for each kind.
func (r *reader) tenant(n ast.Node, path string) (entry, bool) {
	var e entry
	t := &voice.Tenant{}
	said := map[string]bool{}
	var lists []*kind
	nodes := map[*kind]ast.Node{}
	ok := r.mapping(n, path, func(name string, key, value ast.Node) {
		k := r.kinds.byName[voice.Kind(name)]
		if k != nil && k.name != voice.KindTenant {
			lists, nodes[k] = append(lists, k), value
			return
		}
		said[name] = true
		r.field(reflect.ValueOf(t).Elem(), name, key, value, path)
	})
	if !ok {
		return e, false
	}
	e.name = t.Name
	e.wants = append(e.wants, &want{
		id: id{voice.SystemTenant, voice.KindTenant, t.Name}, kind: r.kinds.byName[voice.KindTenant], body: t, version: anyVersion,
		place: inFile{r.file, n, path}, fill: fillTenant(said),
	})
	for _, k := range lists {
		e.kinds = append(e.kinds, k.name)
		r.sequence(nodes[k], path+"."+string(k.name), func(i int, n ast.Node) {
			path := index(path+"."+string(k.name), i)
			body := k.empty()
			if r.decode(n, reflect.ValueOf(body).Elem(), path) {
				e.wants = append(e.wants, &want{
					id: id{t.Name, k.name, *k.key(body)}, kind: k, body: body, version: anyVersion, place: inFile{r.file, n, path},
				})
				r.include(body, n, path)
			}
		})
	}
	return e, true
}

// fillTenant lets a tenant keep what its entry does not mention: an entry is also what its resources stand under, and
// one that only adds numbers must not take the domains away.
func fillTenant(said map[string]bool) func(body, existing any) {
	return func(body, existing any) {
		t := body.(*voice.Tenant)
		old, ok := existing.(*voice.Tenant)
		if !ok {
			return
		}
		if !said["domains"] {
			t.Domains = slices.Clone(old.Domains)
		}
		if !said["default"] {
			t.Default = old.Default
		}
		if !said["options"] {
			t.Options = old.Options
		}
		if t.Realm == "" {
			t.Realm = old.Realm
		}
	}
}

// include puts the text of scxml_file in place.
func (r *reader) include(body any, n ast.Node, path string) {
	s, ok := body.(*voice.Script)
	if !ok || s.SCXMLFile == "" {
		return
	}
	at := inFile{r.file, n, path}.at("scxml_file")
	text, sent := r.files[s.SCXMLFile]
	switch {
	case s.SCXML != "":
		r.out.add(at, "give scxml or scxml_file, not both")
	case !sent:
		r.out.add(at, "%q did not come along with the file", s.SCXMLFile)
	default:
		s.SCXML, s.SCXMLFile = string(text), ""
	}
	if s.SCXMLFile != "" { // told already; the checks need not say it again
		s.SCXML, s.SCXMLFile = "<scxml/>", ""
	}
}

// mapping calls fn for each pair of n, once for each name. It tells whether n is a mapping.
func (r *reader) mapping(n ast.Node, path string, fn func(name string, key, value ast.Node)) bool {
	m, ok := n.(ast.MapNode)
	if !ok {
		r.wrong(n, path, "a mapping of names to values")
		return false
	}
	seen := map[string]int{}
	for it := m.MapRange(); it.Next(); {
		key := it.Key()
		name, ok := scalar(key)
		if !ok {
			r.out.add(r.position(key, path), "has a key that is not a plain name")
			continue
		}
		if line, twice := seen[name]; twice {
			r.out.add(r.position(key, join(path, name)), "is there twice; the first is in line %d", line)
			continue
		}
		seen[name] = r.position(key, "").Line
		fn(name, key, it.Value())
	}
	return true
}

func (r *reader) sequence(n ast.Node, path string, fn func(i int, n ast.Node)) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, null := n.(*ast.NullNode); !null { // "dns:" with nothing behind it is an empty list
			r.wrong(n, path, "a list")
		}
		return
	}
	for i, item := range s.Values {
		fn(i, item)
	}
}

// decode reads n into v, which stands at path, and tells whether v has the right shape, if not the right content.
func (r *reader) decode(n ast.Node, v reflect.Value, path string) bool {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return r.decode(n, v.Elem(), path)
	case reflect.Struct:
		return r.mapping(n, path, func(name string, key, value ast.Node) { r.field(v, name, key, value, path) })
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		return r.mapping(n, path, func(name string, _, value ast.Node) {
			item := reflect.New(v.Type().Elem()).Elem()
			if r.decode(value, item, join(path, name)) {
				v.SetMapIndex(reflect.ValueOf(name), item)
			}
		})
	case reflect.Slice:
		r.sequence(n, path, func(i int, n ast.Node) {
			item := reflect.New(v.Type().Elem()).Elem()
			if r.decode(n, item, index(path, i)) {
				v.Set(reflect.Append(v, item))
			}
		})
		return true
	}
	return r.plain(n, v, path)
}

// field reads one field of a struct by its JSON name.
func (r *reader) field(v reflect.Value, name string, key, value ast.Node, path string) {
	path = join(path, name)
	i := fieldIndex(v.Type(), name)
	if i < 0 {
		r.out.add(r.position(key, path), "is not a field of this kind; known are %s", strings.Join(fieldNames(v.Type()), ", "))
		return
	}
	if text, ok := scalar(value); ok && text == "" && name == "password" {
		r.out.add(r.position(value, path), "must not be empty; leave it out to keep the one there is")
		return
	}
	r.decode(value, v.Field(i), path)
}

// plain reads a single value.
func (r *reader) plain(n ast.Node, v reflect.Value, path string) bool {
	text, ok := scalar(n)
	if !ok {
		r.wrong(n, path, wanted(v.Type()))
		return false
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return true
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return true
		}
	case reflect.Int:
		_, isInt := n.(*ast.IntegerNode)
		if i, err := strconv.Atoi(text); isInt && err == nil {
			v.SetInt(int64(i))
			return true
		}
	}
	r.wrong(n, path, wanted(v.Type()))
	return false
}

// wrong says that n is not what stands at path.
func (r *reader) wrong(n ast.Node, path, want string) {
	is := "something else"
	switch n := n.(type) {
	case nil, *ast.NullNode:
		is = "nothing"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		is = "an anchor, alias or tag, which are not understood here"
	case ast.MapNode:
		is = "a mapping"
	case *ast.SequenceNode:
		is = "a list"
	default:
		if text, ok := scalar(n); ok {
			is = fmt.Sprintf("%.40q", text)
			if path == "password" || strings.HasSuffix(path, ".password") {
				is = "a plain value"
			}
		}
	}
	r.out.add(r.position(n, path), "is %s; want %s", is, want)
}

// scalar returns the text of a plain value as it was written: 0800 stays 0800.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func join(path, name string) string {
	if name == "" {
		name = `""`
	}
	if path == "" || path == "(file)" {
		return name
	}
	return path + "." + name
}

// wanted describes a Go type to somebody who writes YAML or JSON.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	}
	return "a mapping of names to values"
}

func fieldIndex(t reflect.Type, name string) int {
	for i := range t.NumField() {
		if jsonName(t.Field(i)) == name {
			return i
		}
	}
	return -1
}

func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = jsonName(t.Field(i))
	}
	return names
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
