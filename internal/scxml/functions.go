package scxml

import (
	"reflect"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
)

// functions are those of a document that snapshots can refer to: they stand inside of no other function and no block,
// so that their text is all of them. A text that stands inside of one as well is ambiguous and left out.
type functions struct {
	index  map[string]int // by text
	list   []*goja.Program
	inside map[string]bool
}

// find gives the number of a function by its text.
func (f *functions) find(text string) (int, bool) {
	n, ok := f.index[text]
	return n, ok && !f.inside[text]
}

func (f *functions) program(n int) *goja.Program {
	if n < 0 || n >= len(f.list) {
		return nil
	}
	return f.list[n]
}

// collect notes the functions of some code; nil has none.
func (f *functions) collect(tree *ast.Program) {
	if tree == nil {
		return
	}
	if f.index == nil {
		f.index, f.inside = map[string]int{}, map[string]bool{}
	}
	for _, st := range tree.Body {
		f.walk(reflect.ValueOf(st), true)
	}
}

// walk looks through any node; free tells that only global names are in scope. goja has no walker of its own.
func (f *functions) walk(v reflect.Value, free bool) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			f.walk(v.Elem(), free)
		}
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return
		}
		f.fields(v.Elem(), f.enter(v.Interface(), free))
	case reflect.Slice:
		for i := range v.Len() {
			f.walk(v.Index(i), free)
		}
	case reflect.Struct:
		f.fields(v, free)
	}
}

// enter notes a function, and tells whether what is inside of the node is still free.
func (f *functions) enter(node any, free bool) bool {
	switch n := node.(type) {
	case *ast.FunctionLiteral:
		f.note(n.Source, free)
		return false
	case *ast.ArrowFunctionLiteral:
		f.note(n.Source, free)
		return false
	case *ast.ClassLiteral, *ast.BlockStatement, *ast.ForStatement, *ast.ForInStatement, *ast.ForOfStatement,
		*ast.CatchStatement, *ast.WithStatement, *ast.SwitchStatement:
		return false // they may have names of their own
	}
	return free
}

func (f *functions) fields(v reflect.Value, free bool) {
	for i := range v.NumField() {
		switch field := v.Type().Field(i); {
		case !field.IsExported(), field.Name == "DeclarationList", field.Name == "File":
		default:
			f.walk(v.Field(i), free)
		}
	}
}

func (f *functions) note(text string, free bool) {
	if !free {
		f.inside[text] = true
		return
	}
	if _, twice := f.index[text]; twice {
		return
	}
	prog, err := goja.Compile("", "("+text+"\n)", false)
	if err != nil {
		return // the short form of a method, which is no expression
	}
	f.index[text] = len(f.list)
	f.list = append(f.list, prog)
}
