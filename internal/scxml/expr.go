package scxml

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
	"github.com/dop251/goja/token"

	"parley/internal/scxml/markup"
)

// systemVariables are bound by the interpreter and read-only (§5.10).
var systemVariables = map[string]bool{"_event": true, "_sessionid": true, "_name": true, "_ioprocessors": true, "_x": true}

// expr is a compiled expression. One that is no ECMAScript has err, and fails when it is evaluated.
type expr struct {
	src     string
	prog    *goja.Program
	err     error
	pos     Pos
	element string
	attr    string

	tree     *ast.Program // while it is compiled
	exotic   bool         // see exoticPattern
	constant bool         // the value needs no runtime
	value    any
	isIn     bool
	variable string // a name and nothing else
}

func (x *expr) text() string {
	if x == nil {
		return ""
	}
	return x.src
}

// location is a compiled left-hand side: prog makes a function that assigns to it.
type location struct {
	expr
	name string // of the variable it begins with
}

// script is compiled code of a <script>.
type script struct {
	prog *goja.Program
	err  error
	pos  Pos
}

var inPattern = regexp.MustCompile(`^\s*In\(\s*(?:'([^'\\]*)'|"([^"\\]*)"|([\pL_$][\pL\pN_.$-]*))\s*\)\s*;?\s*$`)

// noSourceMaps keeps goja from looking for source maps on disk.
var noSourceMaps = parser.WithDisableSourceMaps

func parse(name, src string) (*ast.Program, error) {
	return parser.ParseFile(nil, name, src, 0, noSourceMaps)
}

func compileJS(name, src string) (*ast.Program, *goja.Program, error) {
	tree, err := parse(name, src)
	if err != nil {
		return nil, nil, syntax(err)
	}
	prog, err := goja.CompileAST(tree, false)
	if err != nil {
		return nil, nil, syntax(err)
	}
	return tree, prog, nil
}

// syntax makes one line of what the parser says, without positions in the wrapped text.
func syntax(err error) error {
	var list parser.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		return fmt.Errorf("no ECMAScript: %s", list[0].Message)
	}
	return fmt.Errorf("no ECMAScript: %s", strings.TrimSpace(strings.SplitN(err.Error(), "\n", 2)[0]))
}

func (c *compiler) expr(n *markup.Node, attr string) *expr {
	src, ok := n.Attr(attr)
	if !ok {
		return nil
	}
	x := &expr{src: src, pos: n.Pos, element: n.Name, attr: attr}
	if c.p.null {
		x.err = errors.New("the null data model has no expressions")
		return x
	}
	if x.err = x.compile(); x.err != nil {
		c.warn(n, fmt.Errorf("%s: %w", attr, x.err))
	}
	c.p.functions.collect(x.tree)
	x.tree = nil
	c.p.exotic = c.p.exotic || x.exotic
	c.p.risky = c.p.risky || riskyPattern.MatchString(x.src)
	return x
}

// trimmed is the expression without the semicolons that authors put at its end.
func trimmed(src string) string { return strings.TrimRight(strings.TrimSpace(src), "; \t\r\n") }

func (x *expr) compile() error {
	if err := tooDeep(x.src); err != nil {
		return err
	}
	src := trimmed(x.src)
	// Parentheses make {a: 1} an object and function () {} a value; the line break ends a comment.
	tree, prog, err := compileJS(x.pos.String(), "("+src+"\n)")
	if err != nil {
		return err
	}
	if len(tree.Body) != 1 {
		return errors.New("no ECMAScript: one expression is wanted")
	}
	x.prog, x.tree = prog, tree
	x.exotic = exoticPattern.MatchString(x.src)
	if s, ok := tree.Body[0].(*ast.ExpressionStatement); ok {
		x.fold(s.Expression)
	}
	return nil
}

// fold notes values that need no runtime.
func (x *expr) fold(e ast.Expression) {
	switch e := e.(type) {
	case *ast.StringLiteral:
		x.constant, x.value = true, e.Value.String()
	case *ast.BooleanLiteral:
		x.constant, x.value = true, e.Value
	case *ast.NullLiteral:
		x.constant, x.value = true, nil
	case *ast.NumberLiteral:
		switch v := e.Value.(type) {
		case int64:
			x.constant, x.value = true, float64(v)
		case float64:
			x.constant, x.value = true, v
		}
	case *ast.Identifier:
		x.variable = e.Name.String()
	}
}

// cond compiles a condition; In('id') alone needs no runtime, and is all there is in the null data model.
func (c *compiler) cond(n *markup.Node, attr string) *expr {
	src, ok := n.Attr(attr)
	if !ok {
		return nil
	}
	m := inPattern.FindStringSubmatch(src)
	if m != nil && (m[3] == "" || c.p.null) {
		return &expr{src: src, pos: n.Pos, element: n.Name, attr: attr, isIn: true, value: m[1] + m[2] + m[3]}
	}
	x := c.expr(n, attr)
	if c.p.null {
		x.err = errors.New("the null data model knows In('id') only")
		c.warn(n, fmt.Errorf("%s: %w", attr, x.err))
	}
	return x
}

// location compiles a left-hand side. Strict mode makes assigning to what does not exist an error (§5.4).
func (c *compiler) location(n *markup.Node, attr string) *location {
	src, ok := n.Attr(attr)
	if !ok {
		return nil
	}
	return c.locationOf(n, attr, src)
}

func (c *compiler) locationOf(n *markup.Node, attr, src string) *location {
	l := &location{expr: expr{src: src, pos: n.Pos, element: n.Name, attr: attr}}
	if c.p.null {
		l.err = errors.New("the null data model has no variables")
		return l
	}
	if l.err = l.compileLocation(); l.err != nil {
		c.warn(n, fmt.Errorf("%s: %w", attr, l.err))
	}
	c.p.risky = c.p.risky || riskyPattern.MatchString(src+" = ")
	return l
}

func (l *location) compileLocation() error {
	if err := tooDeep(l.src); err != nil {
		return err
	}
	src := trimmed(l.src)
	tree, err := parse("", "("+src+"\n)")
	if err != nil || len(tree.Body) != 1 {
		return fmt.Errorf("%q is no location", l.src)
	}
	s, ok := tree.Body[0].(*ast.ExpressionStatement)
	if !ok {
		return fmt.Errorf("%q is no location", l.src)
	}
	root := s.Expression
	switch e := root.(type) {
	case *ast.Identifier:
		l.variable = e.Name.String()
	case *ast.DotExpression, *ast.BracketExpression:
	default:
		return fmt.Errorf("%q is no location", l.src)
	}
	for l.name == "" {
		switch e := root.(type) {
		case *ast.Identifier:
			l.name = e.Name.String()
		case *ast.DotExpression:
			root = e.Left
		case *ast.BracketExpression:
			root = e.Left
		default:
			l.name = "(expression)"
		}
	}
	if systemVariables[l.name] {
		return fmt.Errorf("%s is a variable of the system and cannot be changed", l.name)
	}
	_, l.prog, err = compileJS(l.pos.String(), "(function ($value) { 'use strict'; "+src+"\n = $value; })")
	return err
}

// identifier tells whether a variable may have the name: letters of a name, and no word of the language.
func identifier(name string) bool {
	tree, err := parse("", "var "+name+"\n;")
	if err != nil || len(tree.Body) == 0 {
		return false
	}
	v, ok := tree.Body[0].(*ast.VariableStatement)
	if !ok || len(v.List) != 1 || v.List[0].Initializer != nil {
		return false
	}
	id, ok := v.List[0].Target.(*ast.Identifier)
	return ok && id.Name.String() == strings.TrimSpace(name)
}

func (c *compiler) script(n *markup.Node) *script {
	c.only(n, "src")
	src := n.TextContent()
	name := n.Pos.String()
	if url, ok := n.Attr("src"); ok {
		if strings.TrimSpace(src) != "" {
			c.fail(n, "its code is given twice, at src and inside")
			return nil
		}
		// A document whose script cannot be had is rejected (§5.8).
		body, err := c.engine.load(c.p.file, url)
		if err != nil {
			c.fail(n, "src %q: %v", url, err)
			return nil
		}
		src, name = string(body), url
	}
	sc := &script{pos: n.Pos}
	if c.p.null {
		sc.err = errors.New("the null data model has no scripts")
	} else {
		sc.prog, sc.err = c.code(name, src)
	}
	if sc.err != nil {
		c.warn(n, sc.err)
	}
	return sc
}

// code compiles statements. let and const at the top become var: what a script declares there belongs to the
// data model, which all expressions see and which snapshots hold.
func (c *compiler) code(name, src string) (*goja.Program, error) {
	if err := tooDeep(src); err != nil {
		return nil, err
	}
	tree, err := parse(name, src)
	if err != nil {
		return nil, syntax(err)
	}
	c.p.exotic = c.p.exotic || exoticPattern.MatchString(src)
	c.p.risky = c.p.risky || riskyPattern.MatchString(src)
	text := []byte(src)
	changed := false
	for _, st := range tree.Body {
		switch st := st.(type) {
		case *ast.LexicalDeclaration:
			at := int(st.Idx) - 1
			if word := st.Token.String(); at >= 0 && at+len(word) <= len(text) && string(text[at:at+len(word)]) == word {
				copy(text[at:], (map[token.Token]string{token.LET: "var", token.CONST: "var  "})[st.Token])
				changed = true
			}
		case *ast.ClassDeclaration:
			return nil, errors.New("a class at the top of a script cannot be kept with the session; write a function, or keep it inside of one")
		}
	}
	if changed {
		if tree, err = parse(name, string(text)); err != nil {
			return nil, syntax(err)
		}
	}
	c.p.functions.collect(tree)
	prog, err := goja.CompileAST(tree, false)
	if err != nil {
		return nil, syntax(err)
	}
	return prog, nil
}

// exoticPattern finds code that may make what only a closer look at each property tells from plain data.
var exoticPattern = regexp.MustCompile(`\b(get|set)\s+[\pL_$\['"]|__define|define(Property|Properties|Getter|Setter)|\beval\b|Function`)

// The parser is recursive, and running out of stack ends the process. Brackets within brackets cost it most; chains
// of operators nest as deep as the text is long.
const (
	maxNesting = 500
	maxCode    = 512 << 10 // bytes of one expression or script
)

func tooDeep(src string) error {
	if len(src) > maxCode {
		return fmt.Errorf("it is %d bytes long, at most %d are compiled", len(src), maxCode)
	}
	depth := 0
	for i := range len(src) {
		switch src[i] {
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return fmt.Errorf("brackets are nested more than %d deep", maxNesting)
			}
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
	}
	return nil
}
