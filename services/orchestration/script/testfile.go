package script

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// TestFile is the tests of a script: NAME.test.yaml. What stands beside tests holds for each of them.
type TestFile struct {
	Scenario `yaml:",inline"`
	Tests    []Test `yaml:"tests"`
}

// Test is one of them.
type Test struct {
	Name     string `yaml:"name"`
	Scenario `yaml:",inline"`
	Expect   Expect `yaml:"expect"`
	line     int
	column   int
}

// Expect is what a test expects. What is absent is not looked at, but for errors, of which there must be none then.
type Expect struct {
	Requests []Expected     `yaml:"requests"` // all of them, in their order
	Includes []Expected     `yaml:"includes"` // some of them, in their order
	States   []string       `yaml:"states"`   // active at the end
	Visited  []string       `yaml:"visited"`  // entered, in this order, perhaps with others between
	Data     map[string]any `yaml:"data"`     // variables at the end
	Logs     []string       `yaml:"logs"`     // labels or texts of log lines, in this order
	Ended    *bool          `yaml:"ended"`
	Lasts    *time.Duration `yaml:"lasts"`
	Error    string         `yaml:"error"` // part of an error that the script meets
}

// Expected is a request that a test expects; only the arguments that are given are looked at.
type Expected struct {
	Request string         `yaml:"request"`
	Args    map[string]any `yaml:"args"`
	At      *time.Duration `yaml:"at"` // since the start
}

// Limits of test files.
const (
	maxTests = 500
	maxRuns  = 30 * time.Second // all tests of a file, by the clock on the wall
)

// ReadTests reads a file of tests.
func ReadTests(text []byte) (*TestFile, error) {
	var f TestFile
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	if len(f.Tests) == 0 || len(f.Tests) > maxTests {
		return nil, fmt.Errorf(" there are %d tests, want 1 to %d", len(f.Tests), maxTests)
	}
	places(text, f.Tests)
	var errs []error
	for i := range f.Tests {
		t := &f.Tests[i]
		if t.Name == "" {
			errs = append(errs, &placedError{t.line, t.column, "a test has no name"})
		}
		if err := t.over(f.Scenario).check(); err != nil {
			errs = append(errs, &placedError{t.line, t.column, oneLine(err)})
		}
	}
	return &f, errors.Join(errs...)
}

// places notes where the tests stand.
func places(text []byte, tests []Test) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return
	}
	for i := range tests {
		tests[i].line, tests[i].column = 1, 1
		path, err := yaml.PathString(fmt.Sprintf("$.tests[%d]", i))
		if err != nil {
			continue
		}
		if node, err := path.FilterFile(file); err == nil && node != nil && node.GetToken() != nil {
			tests[i].line, tests[i].column = node.GetToken().Position.Line, node.GetToken().Position.Column
		}
	}
}

// over is the scenario of the test within that of its file.
func (t *Test) over(file Scenario) *Scenario {
	s := t.Scenario.over(file)
	return &s
}

// Outcome is what a test came to.
type Outcome struct {
	Name     string    `json:"name"`
	Problems []Problem `json:"problems,omitempty"` // none = passed
	Result   *Result   `json:"-"`
}

// RunTests plays the tests of a script. The problems are of the file of tests itself.
func RunTests(file string, src []byte, testFile string, text []byte, load func(base, src string) ([]byte, error)) ([]Outcome, []Problem) {
	f, err := ReadTests(text)
	if err != nil {
		return nil, placed(testFile, err)
	}
	deadline := time.Now().Add(maxRuns)
	var out []Outcome
	for i := range f.Tests {
		t := &f.Tests[i]
		o := Outcome{Name: t.Name}
		fail := func(text string) {
			o.Problems = append(o.Problems, Problem{File: testFile, Line: t.line, Column: t.column, Severity: Error, Text: fmt.Sprintf("test %q: %s", t.Name, text)})
		}
		if time.Now().After(deadline) {
			fail(fmt.Sprintf("not run: the tests before it took more than %v", maxRuns))
			out = append(out, o)
			continue
		}
		if o.Result, err = Run(file, src, *t.over(f.Scenario), load); err != nil {
			fail(oneLine(err))
		} else {
			for _, d := range t.Expect.compare(o.Result) {
				fail(d)
			}
		}
		out = append(out, o)
	}
	return out, nil
}

// placed spreads an error over its places.
func placed(file string, err error) []Problem {
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) {
		var out []Problem
		for _, e := range list.Unwrap() {
			out = append(out, placed(file, e)...)
		}
		return out
	}
	p := Problem{File: file, Line: 1, Column: 1, Severity: Error, Text: oneLine(err)}
	var at *placedError
	if errors.As(err, &at) {
		p.Line, p.Column, p.Text = at.line, at.column, at.text
	}
	return []Problem{p}
}

// compare lists what is not as it was expected.
func (x *Expect) compare(r *Result) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if x.Requests != nil {
		out = append(out, sameRequests(x.Requests, r.Requests)...)
	}
	if len(x.Includes) > 0 {
		if missing := subsequence(x.Includes, r.Requests, func(want Expected, got Asked) bool { return len(want.differs(got)) == 0 }); missing >= 0 {
			say("request %d, %s, is not made (after those before it); made were %s", missing+1, x.Includes[missing], list(r.Requests))
		}
	}
	if x.States != nil && !sameSet(x.States, r.States) {
		say("at the end it is in %v, want %v", r.States, x.States)
	}
	var visited, logs []string
	var errs []string
	for _, s := range r.Steps {
		switch s.What {
		case "enter":
			visited = append(visited, s.Name)
		case "log":
			logs = append(logs, strings.TrimSpace(s.Name+" "+text(s.Data)))
		case "error":
			errs = append(errs, s.Name+": "+text(s.Data))
		}
	}
	if missing := subsequence(x.Visited, visited, func(a, b string) bool { return a == b }); missing >= 0 {
		say("state %q is not entered (after those before it); entered were %v", x.Visited[missing], visited)
	}
	if missing := subsequence(x.Logs, logs, func(a, b string) bool { return strings.Contains(b, a) }); missing >= 0 {
		say("%q is not logged (after those before it); logged were %q", x.Logs[missing], logs)
	}
	if r.Error != "" {
		errs = append(errs, r.Error)
	}
	switch {
	case x.Error == "" && len(errs) > 0:
		say("it meets an error: %s", errs[0])
	case x.Error != "" && !slices.ContainsFunc(errs, func(e string) bool { return strings.Contains(e, x.Error) }):
		say("it meets no error with %q; errors were %q", x.Error, errs)
	}
	if x.Ended != nil && *x.Ended != r.Ended {
		say("ended is %v, want %v", r.Ended, *x.Ended)
	}
	if x.Lasts != nil && *x.Lasts != r.Lasted {
		say("it lasts %v, want %v", r.Lasted, *x.Lasts)
	}
	return append(out, differences(plainValue(x.Data), r.Data, "data")...)
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// subsequence is the index of the first of want that is not in got after those before it, -1 if all are.
func subsequence[W, G any](want []W, got []G, same func(W, G) bool) int {
	at := 0
	for i, w := range want {
		n := slices.IndexFunc(got[at:], func(g G) bool { return same(w, g) })
		if n < 0 {
			return i
		}
		at += n + 1
	}
	return -1
}

func sameRequests(want []Expected, got []Asked) []string {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			return []string{fmt.Sprintf("request %d, %s, is not made; made were %s", i+1, want[i], list(got))}
		case i >= len(want):
			return []string{fmt.Sprintf("request %d, %s, is not expected", i+1, got[i])}
		}
		if d := want[i].differs(got[i]); len(d) > 0 {
			return []string{fmt.Sprintf("request %d, %s, is not as expected: %s", i+1, got[i], strings.Join(d, "; "))}
		}
	}
	return nil
}

// differs lists how a request is not the expected one.
func (e Expected) differs(got Asked) []string {
	if e.Request != got.Request {
		return []string{"want " + e.Request}
	}
	var out []string
	if e.At != nil && *e.At != got.At {
		out = append(out, fmt.Sprintf("made after %v, want %v", got.At, *e.At))
	}
	return append(out, differences(plainValue(e.Args), got.Args, "")...)
}

func (e Expected) String() string {
	if len(e.Args) == 0 {
		return e.Request
	}
	return e.Request + " " + text(plainValue(e.Args))
}

func (a Asked) String() string { return a.Request + " " + text(a.Args) }

func list(all []Asked) string {
	if len(all) == 0 {
		return "none"
	}
	var out []string
	for _, a := range all {
		out = append(out, a.Request)
	}
	return strings.Join(out, ", ")
}

// differences compares a value with what is wanted of it: of objects only the members that are named.
func differences(want, got any, path string) []string {
	switch w := want.(type) {
	case nil:
		return nil
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok && len(w) > 0 {
			return []string{fmt.Sprintf("%s is %s, want an object", path, text(got))}
		}
		var out []string
		for _, k := range keysOf(w) {
			at := strings.TrimPrefix(path+"."+k, ".")
			v, there := g[k]
			if w[k] == nil && there && v != nil {
				out = append(out, fmt.Sprintf("%s is %s, want none", at, text(v)))
				continue
			}
			out = append(out, differences(w[k], v, at)...)
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s is %s, want %s", path, text(got), text(want))}
		}
		var out []string
		for i := range w {
			out = append(out, differences(w[i], g[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
		return out
	}
	if !reflect.DeepEqual(want, got) {
		return []string{fmt.Sprintf("%s is %s, want %s", path, text(got), text(want))}
	}
	return nil
}
