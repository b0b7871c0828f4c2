package markup

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// Attr returns the value of an attribute without a namespace, and whether it is there.
func (n *Node) Attr(name string) (string, bool) {
	for _, a := range n.Attrs {
		if a.Name == name && a.Space == "" {
			return a.Value, true
		}
	}
	return "", false
}

// Elements returns the children that are elements.
func (n *Node) Elements() []*Node {
	out := make([]*Node, 0, len(n.Children))
	for _, c := range n.Children {
		if c.Name != "" {
			out = append(out, c)
		}
	}
	return out
}

// TextContent returns all text below the node, as it stands.
func (n *Node) TextContent() string {
	if n.Name == "" {
		return n.Text
	}
	if len(n.Children) == 1 {
		return n.Children[0].TextContent()
	}
	var b strings.Builder
	for _, c := range n.Children {
		b.WriteString(c.TextContent())
	}
	return b.String()
}

// XML writes the node as text that stands on its own.
func (n *Node) XML() string {
	var b strings.Builder
	n.write(&b, "")
	return b.String()
}

// InnerXML writes what is inside of the node.
func (n *Node) InnerXML() string {
	var b strings.Builder
	for _, c := range n.Children {
		c.write(&b, "")
	}
	return b.String()
}

// write appends the node; outer is the default namespace around it.
func (n *Node) write(b *strings.Builder, outer string) {
	if n.Name == "" {
		escape(b, n.Text)
		return
	}
	b.WriteString("<" + n.Name)
	if n.Space != outer {
		b.WriteString(` xmlns="`)
		escape(b, n.Space)
		b.WriteString(`"`)
	}
	for i, a := range n.Attrs {
		prefix := ""
		switch a.Space {
		case "":
		case "xml", "http://www.w3.org/XML/1998/namespace":
			prefix = "xml:"
		default:
			ns := "ns" + strconv.Itoa(i)
			b.WriteString(" xmlns:" + ns + `="`)
			escape(b, a.Space)
			b.WriteString(`"`)
			prefix = ns + ":"
		}
		b.WriteString(" " + prefix + a.Name + `="`)
		escape(b, a.Value)
		b.WriteString(`"`)
	}
	if len(n.Children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteString(">")
	for _, c := range n.Children {
		c.write(b, n.Space)
	}
	b.WriteString("</" + n.Name + ">")
}

func escape(b *strings.Builder, s string) { _ = xml.EscapeText(b, []byte(s)) } // a Builder does not fail
