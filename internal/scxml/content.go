package scxml

import (
	"encoding/json"
	"fmt"
	"strings"

	"parley/internal/scxml/markup"
)

// content is a value given in one of the ways of <data>, <assign> and <content>: expr, src, or what is inside.
type content struct {
	expr  *expr
	fixed any    // what stands inside or at src, as [interpret] reads it
	text  string // the same as text, for processors that send bodies
	err   error  // src could not be read: error.execution when the value is wanted
	pos   Pos
	name  string // of the element
}

// content compiles the value of n; src says whether the element has that attribute. nil means there is none.
func (c *compiler) content(n *markup.Node, src bool) *content {
	v := &content{pos: n.Pos, name: n.Name, fixed: Undefined}
	_, hasExpr := n.Attr("expr")
	url, hasSrc := n.Attr("src")
	inner := len(n.Elements()) > 0 || strings.TrimSpace(n.TextContent()) != ""
	switch {
	case hasExpr && (inner || hasSrc && src), hasSrc && src && inner:
		c.fail(n, "its value is given twice: one of expr, src and what is inside")
	case hasExpr:
		v.expr = c.expr(n, "expr")
	case hasSrc && src:
		body, err := c.engine.load(c.p.file, url)
		if err != nil {
			v.err = fmt.Errorf("src %q: %w", url, err)
			c.warn(n, v.err)
			return v
		}
		v.text = string(body)
		v.fixed = c.engine.interpret(v.text)
	case inner:
		v.fixed, v.text = inside(n)
	}
	return v
}

// inside reads what an element holds: XML as a tree, else JSON, else text with its blanks normalised (§B.2.2, §C.1).
func inside(n *markup.Node) (any, string) {
	if elements := n.Elements(); len(elements) == 1 && strings.TrimSpace(n.TextContent()) == strings.TrimSpace(elements[0].TextContent()) {
		return elements[0], strings.TrimSpace(n.InnerXML())
	} else if len(elements) > 0 {
		return n, strings.TrimSpace(n.InnerXML())
	}
	text := strings.TrimSpace(n.TextContent())
	return plain(text), text
}

// interpret reads text that came from elsewhere in the same way.
func (e *Engine) interpret(text string) any {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	if strings.HasPrefix(text, "<") {
		if root, err := markup.Parse("", []byte(text), e.opts.Markup); err == nil {
			return root
		}
	}
	return plain(text)
}

func plain(text string) any {
	if v, err := decodeJSON([]byte(text)); err == nil {
		return v
	}
	return strings.Join(strings.Fields(text), " ")
}

// decodeJSON reads one JSON value into our own kinds of values. encoding/json refuses to nest beyond 10,000 levels.
func decodeJSON(b []byte) (any, error) {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return v, nil
}
