package scxml

import (
	"reflect"

	"github.com/dop251/goja"

	"parley/internal/scxml/markup"
)

// dom shows a tree to scripts as the part of DOM Core that reads (§B.2.2). The tree belongs to the program or to an
// event and is shared, so scripts cannot change it.
type dom struct {
	rt *goja.Runtime
	n  *markup.Node
}

func element(rt *goja.Runtime, n *markup.Node) goja.Value {
	return rt.NewDynamicObject(&dom{rt: rt, n: n})
}

func nodeOf(o *goja.Object) (*markup.Node, bool) {
	if o.ExportType() != domType { // asked first: to export an object is to copy it with all that it holds
		return nil, false
	}
	d, ok := o.Export().(*dom)
	if !ok {
		return nil, false
	}
	return d.n, true
}

var domType, plainType = reflect.TypeFor[*dom](), reflect.TypeFor[map[string]any]()

// live tells whether an object is one of ours, whose fields scripts only look at.
func live(o *goja.Object) bool {
	t := o.ExportType()
	return t != nil && t.Implements(reflect.TypeFor[goja.DynamicObject]())
}

var domKeys = []string{
	"nodeType", "nodeName", "tagName", "localName", "namespaceURI", "nodeValue", "textContent", "childNodes", "children",
	"firstChild", "lastChild", "documentElement", "getAttribute", "hasAttribute", "getElementsByTagName", "toString",
}

// Get implements goja.DynamicObject.
func (d *dom) Get(key string) goja.Value {
	text := d.n.Name == ""
	switch key {
	case "nodeType":
		if text {
			return d.rt.ToValue(3)
		}
		return d.rt.ToValue(1)
	case "nodeName":
		if text {
			return d.rt.ToValue("#text")
		}
		return d.rt.ToValue(d.n.Name)
	case "nodeValue":
		if text {
			return d.rt.ToValue(d.n.Text)
		}
		return goja.Null()
	case "textContent":
		return d.rt.ToValue(d.n.TextContent())
	case "tagName", "localName":
		return d.rt.ToValue(d.n.Name)
	case "namespaceURI":
		if d.n.Space == "" {
			return goja.Null()
		}
		return d.rt.ToValue(d.n.Space)
	case "documentElement":
		return element(d.rt, d.n)
	}
	return d.members(key)
}

func (d *dom) members(key string) goja.Value {
	switch key {
	case "childNodes":
		return d.list(d.n.Children)
	case "children":
		return d.list(d.n.Elements())
	case "firstChild", "lastChild":
		if len(d.n.Children) == 0 {
			return goja.Null()
		}
		if key == "firstChild" {
			return element(d.rt, d.n.Children[0])
		}
		return element(d.rt, d.n.Children[len(d.n.Children)-1])
	case "getAttribute":
		return d.method(func(name string) goja.Value {
			if v, ok := d.n.Attr(name); ok {
				return d.rt.ToValue(v)
			}
			return goja.Null()
		})
	case "hasAttribute":
		return d.method(func(name string) goja.Value {
			_, ok := d.n.Attr(name)
			return d.rt.ToValue(ok)
		})
	case "getElementsByTagName":
		return d.method(func(name string) goja.Value { return d.list(named(d.n, name, nil)) })
	case "toString":
		return d.rt.ToValue(func(goja.FunctionCall) goja.Value { return d.rt.ToValue(d.n.XML()) })
	}
	return nil
}

func (d *dom) method(f func(name string) goja.Value) goja.Value {
	return d.rt.ToValue(func(call goja.FunctionCall) goja.Value { return f(call.Argument(0).String()) })
}

func (d *dom) list(nodes []*markup.Node) goja.Value {
	items := make([]any, len(nodes))
	for i, n := range nodes {
		items[i] = element(d.rt, n)
	}
	return d.rt.NewArray(items...)
}

func named(n *markup.Node, name string, out []*markup.Node) []*markup.Node {
	for _, c := range n.Children {
		if c.Name != "" && (name == "*" || c.Name == name) {
			out = append(out, c)
		}
		out = named(c, name, out)
	}
	return out
}

// Set implements goja.DynamicObject.
func (d *dom) Set(string, goja.Value) bool { return false }

// Has implements goja.DynamicObject.
func (d *dom) Has(key string) bool {
	for _, k := range domKeys {
		if k == key {
			return true
		}
	}
	return false
}

// Delete implements goja.DynamicObject.
func (d *dom) Delete(string) bool { return false }

// Keys implements goja.DynamicObject.
func (d *dom) Keys() []string { return domKeys }
