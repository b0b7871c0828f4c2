package script

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/scxml"
	"parley/internal/scxml/markup"
)

// Severity is how bad a problem is.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is something that is wrong at a place in a script or in its tests.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Severity Severity `json:"severity"`
	Element  string   `json:"element,omitempty"`
	Text     string   `json:"text"`
}

func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Element != "" {
		where += "<" + p.Element + ">: "
	}
	return where + string(p.Severity) + ": " + p.Text
}

// Report is what is known of a script after a check.
type Report struct {
	File     string    `json:"file"`
	States   int       `json:"states"`
	Problems []Problem `json:"problems"`
	program  *scxml.Program
}

// Program is the compiled script, nil if there are errors.
func (r *Report) Program() *scxml.Program { return r.program }

// Errors is how many of the problems are errors.
func (r *Report) Errors() int {
	n := 0
	for _, p := range r.Problems {
		if p.Severity == Error {
			n++
		}
	}
	return n
}

func (r *Report) warn(at *markup.Node, format string, args ...any) {
	r.add(Problem{Line: at.Pos.Line, Column: at.Pos.Column, Severity: Warning, Element: at.Name, Text: fmt.Sprintf(format, args...)})
}

// maxProblems bounds what is reported of one script.
const maxProblems = 200

func (r *Report) add(p Problem) {
	p.File = r.File
	if len(r.Problems) < maxProblems && !slices.Contains(r.Problems, p) {
		r.Problems = append(r.Problems, p)
	}
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), strings.Compare(string(a.Severity), string(b.Severity)))
	})
}

// take spreads an error of the compiler, which may be several.
func (r *Report) take(err error) {
	var list interface{ Unwrap() []error }
	var doc *scxml.Error
	var text *markup.Error
	switch {
	case errors.As(err, &list) && !isPlaced(err):
		for _, e := range list.Unwrap() {
			r.take(e)
		}
	case errors.As(err, &doc):
		r.add(Problem{Line: doc.Pos.Line, Column: doc.Pos.Column, Severity: Error, Element: doc.Element, Text: oneLine(doc.Err)})
	case errors.As(err, &text):
		r.add(Problem{Line: text.Pos.Line, Column: text.Pos.Column, Severity: Error, Element: text.Element, Text: oneLine(text.Err)})
	default:
		r.add(Problem{Line: 1, Column: 1, Severity: Error, Text: oneLine(err)})
	}
}

// isPlaced tells whether err itself names a place.
func isPlaced(err error) bool {
	switch err.(type) { //nolint:errorlint // it is about err, not about what it wraps
	case *scxml.Error, *markup.Error:
		return true
	}
	return false
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
