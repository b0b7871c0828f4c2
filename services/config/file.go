package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"parley/internal/voice"
)

// Limits of a provisioning file, checked on its tokens before they are parsed: the parser is recursive, so that a deep
// enough nesting would end the process, and takes time with the square of the keys of a mapping and of entries left empty.
const (
	maxFile    = 16 << 20 // bytes; 100,000 numbers take about 9 MB
	maxNesting = 32       // of flow collections and of lists on one line
	maxKeys    = 1024     // of one mapping
	maxEmpty   = 1024     // entries of lists with nothing in them
)

// file is a provisioning file, parsed but not yet understood.
type file struct {
	name  string
	kinds kinds
	files map[string][]byte // what it refers to
	root  ast.Node          // nil: empty
}

// parseFile reads YAML. A file that is none is one problem in out.
func parseFile(name string, text []byte, files map[string][]byte, kinds kinds, out *problems) *file {
	f := &file{name: name, kinds: kinds, files: files}
	at := voice.FieldError{File: name, Field: "(file)"}
	if len(text) > maxFile {
		out.add(at, "has %d bytes; want at most %d", len(text), maxFile)
		return f
	}
	tokens := lexer.Tokenize(string(text))
	if t, why := unreasonable(tokens); t != nil {
		at.Line, at.Column = t.Position.Line, t.Position.Column
		out.add(at, "%s", why)
		return f
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // reported by us, with what else is wrong
	if err != nil {
		reason := "it cannot be read" // the error's own text would quote the file, passwords included
		if y, ok := errors.AsType[yaml.Error](err); ok {
			reason = y.GetMessage()
			if t := y.GetToken(); t != nil && t.Position != nil {
				at.Line, at.Column = t.Position.Line, t.Position.Column
			}
		}
		out.add(at, "is not valid YAML: %s", reason)
		return f
	}
	for _, doc := range tree.Docs {
		switch {
		case doc.Body == nil:
		case f.root != nil:
			out.add(f.position(doc.Body, "(file)"), "holds more than one document; keep one")
		default:
			f.root = doc.Body
		}
	}
	return f
}

// unreasonable returns the token at which a file passes a limit, and which.
func unreasonable(tokens token.Tokens) (at *token.Token, why string) {
	flow, onLine, line, empty := 0, 0, 0, 0
	keys := map[int]int{} // of the block mapping that is open at a column
	tokens = slices.DeleteFunc(slices.Clone(tokens), func(t *token.Token) bool { return t.Type == token.CommentType })
	for i, t := range tokens {
		if t.Position.Line != line {
			onLine, line = 0, t.Position.Line
			if flow == 0 {
				closeDeeper(keys, t.Position.Column)
			}
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.MappingKeyType:
			return t, "has a complex key ('?'), which is not understood here"
		case token.DocumentEndType, token.DirectiveType:
			return t, "has a document end or a directive, which are not understood here"
		case token.DocumentHeaderType:
			if i > 0 {
				return t, "holds more than one document; keep one"
			}
		case token.SequenceEntryType, token.AnchorType, token.TagType:
			onLine++
		case token.MappingValueType:
			if flow == 0 && i > 0 {
				onLine++
				keys[tokens[i-1].Position.Column]++
			}
			if i > 0 && keys[tokens[i-1].Position.Column] > maxKeys {
				return t, fmt.Sprintf("has more than %d keys in one mapping", maxKeys)
			}
		}
		if flow == 0 && isEmpty(tokens, i) {
			empty++
		}
		switch {
		case flow > maxNesting || onLine > maxNesting:
			return t, fmt.Sprintf("is nested more than %d deep here", maxNesting)
		case empty > maxEmpty:
			return t, fmt.Sprintf("has more than %d keys or list entries with nothing behind them", maxEmpty)
		}
	}
	return nil, ""
}

// isEmpty tells whether token i begins a list entry or the value of a key that holds nothing.
func isEmpty(tokens token.Tokens, i int) bool {
	t := tokens[i]
	if t.Type != token.SequenceEntryType && t.Type != token.MappingValueType {
		return false
	}
	if i+1 == len(tokens) {
		return true
	}
	next := tokens[i+1]
	if next.Position.Line == t.Position.Line {
		return false
	}
	if t.Type == token.MappingValueType && i > 0 {
		t = tokens[i-1] // the key
		if next.Type == token.SequenceEntryType && next.Position.Column == t.Position.Column {
			return false // its list
		}
	}
	return next.Position.Column <= t.Position.Column
}

// closeDeeper forgets the mappings that a line beginning at column ends.
func closeDeeper(keys map[int]int, column int) {
	for c := range keys {
		if c > column {
			delete(keys, c)
		}
	}
}

func (f *file) position(n ast.Node, field string) voice.FieldError {
	at := voice.FieldError{File: f.name, Field: field}
	switch m := n.(type) { // the token of a block mapping is its first colon; people look for where it begins
	case nil:
		return at
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			n = m.Values[0].Key
		}
	case *ast.MappingValueNode:
		n = m.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		at.Line, at.Column = t.Position.Line, t.Position.Column
	}
	return at
}

// inFile is the place of a resource that stands in a file.
type inFile struct {
	file *file
	node ast.Node
	path string
}

// at finds the position of a field below the resource, or of the nearest thing above it that is there.
func (f inFile) at(field string) voice.FieldError {
	n := f.node
	for rest := field; rest != "" && n != nil; {
		var next ast.Node
		next, rest = step(n, rest)
		if next == nil {
			break
		}
		n = next
	}
	return f.file.position(n, join(f.path, field))
}

// step goes from n one name or index down the path. Names may hold dots: the longest that fits is taken.
func step(n ast.Node, path string) (ast.Node, string) {
	if s, ok := n.(*ast.SequenceNode); ok {
		inner, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
		i, err := strconv.Atoi(inner)
		if err != nil || i < 0 || i >= len(s.Values) {
			return nil, ""
		}
		return s.Values[i], strings.TrimPrefix(rest, ".")
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		return nil, ""
	}
	var best ast.Node
	longest := -1
	rest := ""
	for it := m.MapRange(); it.Next(); {
		name, ok := scalar(it.Key())
		if !ok || len(name) <= longest || !strings.HasPrefix(path, name) {
			continue
		}
		if after := path[len(name):]; after == "" || after[0] == '.' || after[0] == '[' {
			best, longest, rest = it.Value(), len(name), strings.TrimPrefix(after, ".")
		}
	}
	return best, rest
}
