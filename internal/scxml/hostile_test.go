package scxml

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// run1 runs code as the script of a document and returns where the session ends: caught if error.execution was raised.
func run1(t *testing.T, opts Options, code string) (*Session, string) {
	t.Helper()
	doc := fmt.Sprintf(`<scxml xmlns="%s" version="1.0"><state id="s"><onentry><script><![CDATA[%s]]></script></onentry>
	<transition event="error.execution" target="caught"/><transition event="go" target="through"/></state><state id="caught"/><state id="through"/></scxml>`, Namespace, code)
	e, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Compile("hostile.scxml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	s := e.Start(p, StartOptions{ID: "s"})
	s.Run(epoch)
	_ = s.Post(Event{Name: "go"}) // a session that was stopped refuses it
	s.Run(epoch)
	return s, strings.Join(s.Atomic(), " ")
}

// Each of these would hold a processor, take all memory or end the process if nothing stopped it.
func TestHostileScriptsAreStopped(t *testing.T) {
	for _, c := range []struct{ name, code string }{
		{"endless loop", `while (true) {}`},
		{"loop that catches", `while (true) { try { while (true) {} } catch (e) {} finally {} }`},
		{"deep recursion", `function f() { return f() + 1 } f()`},
		{"recursion by getters", `var o = {get x() { return this.x }}; o.x`},
		{"recursion by conversion", `var o = {toString: function () { return '' + o }}; '' + o`},
		{"memory by doubling", `var s = 'xxxxxxxxxxxxxxxx'; while (true) { s += s }`},
		{"memory by pushing", `var a = []; while (true) { a.push({x: [1, 2, 3], y: 'abc' + a.length}) }`},
		{"huge text", `'x'.repeat(1 << 30)`},
		{"huge padding", `''.padEnd(1e9, 'ab')`},
		{"huge replacement", `'x'.repeat(1e6).replace(/x/g, 'y'.repeat(1e6))`},
		{"huge array", `new Array(4e9).fill(0)`},
		{"long array", `var a = []; a.length = 4294967295; a.indexOf(1)`},
		{"long array by name", `var a = []; a['len' + 'gth'] = 4294967295; a.indexOf(1)`},
		{"array-like", `Array.prototype.indexOf.call({length: 9007199254740991}, 1)`},
		{"array of array-like", `Array.from({length: 1e9})`},
		{"arguments of array-like", `Math.max.apply(null, {length: 1e9})`},
		{"raw memory", `new ArrayBuffer(4e9)`},
		{"regular expression", `/^(a+)+$/.exec('a'.repeat(40) + 'b'); /(?=(a+)+$)(a+)+\1$/.exec('a'.repeat(40) + 'b'); for (;;) {}`},
		{"deep code", `eval('('.repeat(400000))`},
		{"deep code by constructor", `(function () {}).constructor('('.repeat(400000))`},
		{"deep code by generator", `(function* () {}).constructor('('.repeat(400000))`},
		{"deep code by async", `(async function () {}).constructor('('.repeat(400000))`},
		{"deep data", `JSON.parse('['.repeat(3000000) + ']'.repeat(3000000))`},
		{"deep object", `var p = {}; for (var i = 0; i < 20000; i++) { p = {a: p} } JSON.stringify(p)`},
		{"wide object", `var p = 'x'; for (var i = 0; i < 40; i++) { p = [p, p] } JSON.stringify(p)`},
		{"deep list", `var p = []; for (var i = 0; i < 20000; i++) { p = [p] } String(p)`},
		{"system variable", `'use strict'; _sessionid = 'x'`},
		{"system variable, sloppy", `_event = 1`},
		{"system variable, by definition", `Object.defineProperty(this, '_sessionid', {value: 1})`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, got := run1(t, Options{Limits: Limits{StepTime: 100 * time.Millisecond, GrowthBytes: 64 << 20}}, c.code)
			if err := s.Err(); got != "caught" && !errors.Is(err, ErrRunaway) {
				t.Errorf("in %q, err %v, want caught", got, err)
			}
		})
	}
}

// What a script does to its own runtime is its own matter.
func TestPrototypesAreOnesOwn(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	hostile := `Object.prototype.cond = true; Array.prototype.push = null; String.prototype.toString = function () { throw 1 };
	Object.defineProperty(Object.prototype, 'data', {get: function () { throw new Error('trap') }}); JSON.parse = undefined; Math.max = 1;
	delete this.Object; this.Date = null; Function.prototype.call = null; Object.freeze(this)`
	doc := `<scxml xmlns="` + Namespace + `" version="1.0"><datamodel><data id="x" expr="({a: [1]})"/></datamodel><script><![CDATA[%s]]></script><state id="s">
	<transition event="e" cond="x.a[0] === 1 &amp;&amp; _event.data.b === 'c'" target="t"/></state><state id="t"/></scxml>`
	for _, script := range []string{hostile, ""} {
		p, err := e.Compile("p.scxml", []byte(strings.Replace(doc, "%s", script, 1)))
		if err != nil {
			t.Fatal(err)
		}
		s := e.Start(p, StartOptions{ID: "s"})
		s.Run(epoch)
		if err := s.Post(Event{Name: "e", Data: map[string]any{"b": "c", "__proto__": map[string]any{"cond": 1.0}}}); err != nil {
			t.Fatal(err)
		}
		s.Run(epoch)
		if got := s.Atomic(); script == "" && got[0] != "t" {
			t.Errorf("another session is in %v, want t", got)
		}
	}
}

func TestRunawaysEnd(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"eventless", `<state id="a"><transition target="b"/></state><state id="b"><transition target="a"/></state>`, "microsteps"},
		{"internal", `<state id="a"><onentry><raise event="x"/></onentry><transition event="x"><raise event="x"/></transition></state>`, "microsteps"},
		{"queue", `<state id="a"><onentry><raise event="x"/></onentry><transition event="x"><raise event="x"/><raise event="x"/></transition></state>`, "internal queue"},
		{"loops in handlers", `<state id="a"><onentry><script>while (true) {}</script></onentry><transition event="error.execution" target="a"/></state>`, "were stopped"},
		{"growing data", `<datamodel><data id="d" expr="[]"/></datamodel><state id="a"><transition event="*"><script><![CDATA[for (var i = 0; i < 300; i++) d.push('some text ' + i + d.length)]]></script></transition></state>`, "data model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines bytes.Buffer
			e, err := New(Options{Limits: Limits{StepTime: 200 * time.Millisecond, DataBytes: 100 << 10}, Log: slog.New(slog.NewTextHandler(&lines, nil))})
			if err != nil {
				t.Fatal(err)
			}
			p, err := e.Compile("runaway.scxml", []byte(`<scxml xmlns="`+Namespace+`" version="1.0">`+c.body+`</scxml>`))
			if err != nil {
				t.Fatal(err)
			}
			s := e.Start(p, StartOptions{ID: "bad"})
			s.Run(epoch)
			for range 600 {
				if s.Post(Event{Name: "more"}) != nil {
					break
				}
				s.Run(epoch)
			}
			if err := s.Err(); !errors.Is(err, ErrRunaway) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Err = %v, want a runaway because of %s", err, c.want)
			}
			if text := lines.String(); !strings.Contains(text, "session=bad") || !strings.Contains(text, "runaway.scxml") {
				t.Errorf("the log does not say who: %s", text)
			}
		})
	}
}

// A session that sends to itself without end gives the others their turn.
func TestSelfSenderReturns(t *testing.T) {
	e, err := New(Options{Limits: Limits{Events: 50}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Compile("self.scxml", []byte(`<scxml xmlns="`+Namespace+`" version="1.0"><state id="a"><onentry><send event="x"/></onentry><transition event="x"><send event="x"/></transition></state></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	s := e.Start(p, StartOptions{ID: "s"})
	if !s.Run(epoch) {
		t.Error("Run = false, want true: there is more to do")
	}
	if due, ok := s.NextDue(); !ok || due.After(epoch) {
		t.Errorf("NextDue = %v, %v, want at once", due, ok)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	e, err := New(Options{Limits: Limits{Queue: 3, EventBytes: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Compile("q.scxml", []byte(`<scxml xmlns="`+Namespace+`" version="1.0"><state id="a"/></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	s := e.Start(p, StartOptions{ID: "s"})
	for range 3 {
		if err := s.Post(Event{Name: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Post(Event{Name: "x"}); !errors.Is(err, ErrQueueFull) {
		t.Errorf("Post = %v, want ErrQueueFull", err)
	}
	s.Run(epoch)
	for _, ev := range []Event{{Name: ""}, {Name: "a b"}, {Name: "big", Data: strings.Repeat("x", 2000)}} {
		if err := s.Post(ev); err == nil {
			t.Errorf("Post(%q) = nil, want an error", ev.Name)
		}
	}
}
