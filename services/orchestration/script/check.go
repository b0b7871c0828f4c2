package script

import (
	"path/filepath"
	"slices"
	"strings"

	"parley/internal/scxml"
	"parley/internal/scxml/markup"
	"parley/services/orchestration/module"
	"parley/services/orchestration/module/all"
)

// Check reads a script and says what is wrong with it. load reads what it refers to, nil if nothing can be read.
func Check(file string, src []byte, load func(base, src string) ([]byte, error)) *Report {
	r := &Report{File: file, Problems: []Problem{}}
	opts := all.Options(nil)
	opts.Load = load
	e, err := scxml.New(opts)
	if err != nil {
		r.take(err)
		return r
	}
	root, err := markup.Parse(file, src, markup.Limits{})
	if err != nil {
		r.take(err)
		return r
	}
	p, err := e.Compile(file, src)
	if err != nil {
		r.take(err)
	} else {
		for _, w := range p.Warnings() {
			r.take(w) // an expression that is none: the session would meet it and fail
		}
		if r.Errors() == 0 {
			r.program = p
		}
	}
	if c := newChart(root); c != nil {
		r.States = len(c.states) - 1
		lint := &linter{Report: r, chart: c, actions: actionsOf(root)}
		lint.run()
	}
	r.sort()
	return r
}

// action is an element of a module in a document.
type action struct {
	node         *markup.Node
	module, name string
	events       string // first word of its events
}

func (a *action) full() string   { return a.module + "." + a.name }
func (a *action) failed() string { return "error." + a.events + "." + a.name }

// vocabulary is the actions of all modules, by namespace and name.
var vocabulary = func() func(n *markup.Node) *action {
	type key struct{ space, name string }
	known := map[key]action{}
	for _, m := range all.Modules() {
		for _, a := range m.Actions {
			events := a.Events
			if events == "" {
				events = m.Name
			}
			for _, space := range m.Spaces() {
				known[key{space, a.Name}] = action{module: m.Name, name: a.Name, events: events}
			}
		}
	}
	return func(n *markup.Node) *action {
		a, ok := known[key{n.Space, n.Name}]
		if !ok {
			return nil
		}
		a.node = n
		return &a
	}
}()

// modules are the modules that have actions.
func modules() []module.Module { return all.Modules() }

// actionsOf lists the actions below n.
func actionsOf(n *markup.Node) []*action {
	var out []*action
	for _, c := range n.Elements() {
		if a := vocabulary(c); a != nil {
			out = append(out, a)
		}
		out = append(out, actionsOf(c)...)
	}
	return out
}

// TestsOf is where the tests of a script are: NAME.test.yaml beside NAME.scxml.
func TestsOf(file string) string {
	return strings.TrimSuffix(file, filepath.Ext(file)) + ".test.yaml"
}

// words are the descriptors of an event attribute, without their wildcards; "" takes everything.
func words(attr string) []string {
	fields := strings.Fields(attr)
	for i, d := range fields {
		fields[i] = strings.TrimSuffix(strings.TrimSuffix(d, "*"), ".")
	}
	return fields
}

// takes tells whether a descriptor takes events of that name (§3.12.1).
func takes(descriptor, event string) bool {
	return descriptor == "" || event == descriptor || strings.HasPrefix(event, descriptor+".")
}

func takesAny(descriptors []string, event string) bool {
	return slices.ContainsFunc(descriptors, func(d string) bool { return takes(d, event) })
}
