package markup

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Pos is a place in a document; both numbers count from 1, columns in bytes.
type Pos struct {
	File   string
	Line   int
	Column int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Attr is an attribute; Space is empty where it had no prefix.
type Attr struct {
	Space, Name, Value string
}

// Node is an element (Name is set) or a piece of text (Name is empty).
type Node struct {
	Space, Name string
	Attrs       []Attr
	Children    []*Node
	Text        string // of a piece of text
	Pos         Pos
}

// Limits bounds what [Parse] accepts; zero fields take those of [DefaultLimits].
type Limits struct {
	Bytes, Depth, Nodes int
}

// DefaultLimits is generous for documents that people write and tools generate.
func DefaultLimits() Limits { return Limits{Bytes: 4 << 20, Depth: 200, Nodes: 400_000} }

// Error is what is wrong with the text of a document.
type Error struct {
	Pos     Pos
	Element string // where it happened, "" outside any
	Err     error
}

func (e *Error) Error() string {
	if e.Element == "" {
		return fmt.Sprintf("%s: %v", e.Pos, e.Err)
	}
	return fmt.Sprintf("%s: <%s>: %v", e.Pos, e.Element, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge is wrapped by errors about a document beyond its [Limits].
var ErrTooLarge = errors.New("document too large")

// Parse reads the document called file and returns its root element.
func Parse(file string, src []byte, lim Limits) (*Node, error) {
	def := DefaultLimits()
	if lim.Bytes <= 0 {
		lim.Bytes = def.Bytes
	}
	if lim.Depth <= 0 {
		lim.Depth = def.Depth
	}
	if lim.Nodes <= 0 {
		lim.Nodes = def.Nodes
	}
	p := &parser{file: file, lim: lim, dec: xml.NewDecoder(bytes.NewReader(src))}
	if len(src) > lim.Bytes {
		return nil, p.fail(fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(src), lim.Bytes))
	}
	// Names of encodings other than UTF-8 are refused by the decoder unless a reader is given: SCXML documents are
	// UTF-8 here, and ASCII is part of it.
	p.dec.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		switch strings.ToLower(charset) {
		case "us-ascii", "ascii":
			return in, nil
		}
		return nil, fmt.Errorf("encoding %q is not read, save the document as UTF-8", charset)
	}
	return p.run()
}

type parser struct {
	file  string
	lim   Limits
	dec   *xml.Decoder
	stack []*Node
	root  *Node
	nodes int
}

func (p *parser) pos() Pos {
	line, column := p.dec.InputPos()
	return Pos{File: p.file, Line: line, Column: column}
}

func (p *parser) fail(err error) error {
	e := &Error{Pos: p.pos(), Err: err}
	if n := len(p.stack); n > 0 {
		e.Element = p.stack[n-1].Name
	}
	return e
}

func (p *parser) run() (*Node, error) {
	for {
		at := p.pos()
		tok, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
				err = errors.New(syntax.Msg) // its line is in our position
			}
			return nil, p.fail(err)
		}
		if err := p.take(tok, at); err != nil {
			return nil, err
		}
	}
	if p.root == nil {
		return nil, p.fail(errors.New("there is no element"))
	}
	return p.root, nil
}

func (p *parser) take(tok xml.Token, at Pos) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return p.open(t, at)
	case xml.EndElement:
		p.stack = p.stack[:len(p.stack)-1]
	case xml.CharData:
		return p.text(string(t), at)
	case xml.Directive:
		if bytes.Contains(bytes.ToUpper(t), []byte("ENTITY")) {
			return p.fail(errors.New("entities are not declared in documents here"))
		}
	}
	return nil
}

func (p *parser) open(t xml.StartElement, at Pos) error {
	n := &Node{Space: t.Name.Space, Name: t.Name.Local, Pos: at}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue // names carry their namespace
		}
		n.Attrs = append(n.Attrs, Attr{Space: a.Name.Space, Name: a.Name.Local, Value: a.Value})
	}
	for i, a := range n.Attrs {
		for _, b := range n.Attrs[:i] {
			if a.Name == b.Name && a.Space == b.Space {
				return &Error{Pos: at, Element: n.Name, Err: fmt.Errorf("attribute %s stands twice", a.Name)}
			}
		}
	}
	switch {
	case len(p.stack) > 0:
		if len(p.stack) >= p.lim.Depth {
			return p.fail(fmt.Errorf("%w: elements are nested more than %d deep", ErrTooLarge, p.lim.Depth))
		}
		if err := p.add(n); err != nil {
			return err
		}
	case p.root != nil:
		return &Error{Pos: at, Element: n.Name, Err: errors.New("a document has one root element, this is a second")}
	default:
		p.root = n
	}
	p.stack = append(p.stack, n)
	return nil
}

func (p *parser) text(s string, at Pos) error {
	if len(p.stack) == 0 {
		if strings.TrimSpace(strings.TrimPrefix(s, "\ufeff")) != "" {
			return p.fail(errors.New("text outside of the root element"))
		}
		return nil
	}
	if s == "" { // an empty CDATA section
		return nil
	}
	top := p.stack[len(p.stack)-1]
	if k := len(top.Children); k > 0 && top.Children[k-1].Name == "" { // a comment or CDATA lay between
		top.Children[k-1].Text += s
		return nil
	}
	return p.add(&Node{Text: s, Pos: at})
}

func (p *parser) add(n *Node) error {
	if p.nodes++; p.nodes > p.lim.Nodes {
		return p.fail(fmt.Errorf("%w: more than %d elements and texts", ErrTooLarge, p.lim.Nodes))
	}
	top := p.stack[len(p.stack)-1]
	top.Children = append(top.Children, n)
	return nil
}
