package scxml

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const docHead = `<scxml xmlns="` + Namespace + `" version="1.0" datamodel="ecmascript">`

func begin(t *testing.T, l *lab, body string) {
	t.Helper()
	if err := l.start(t, "test.scxml", []byte(docHead+body+`</scxml>`), nil); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) send(t *testing.T, name string, data any) {
	t.Helper()
	if err := l.s.Post(Event{Name: name, Data: data}); err != nil {
		t.Fatal(err)
	}
	l.settle(t)
}

func (l *lab) in(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(l.s.Atomic(), " "); got != want {
		t.Fatalf("in %q, want %q; err %v, log %q", got, want, l.s.Err(), l.logs)
	}
}

func TestDataComesBackAsItWas(t *testing.T) {
	for _, c := range []struct{ name, script, cond string }{
		{"numbers", `var a = 0.1, b = -0, c = NaN, d = Infinity, e = 12345678901234567890, f = 7`, `a === 0.1 && 1 / b === -Infinity && c !== c && d === Infinity && e === 12345678901234567890 && f === 7`},
		{"text", `var a = '', b = 'ä\u2028"\\', c = '<&>'`, `a === '' && b === 'ä\u2028"\\' && c === '<&>'`},
		{"nothing", `var a, b = null, c = [undefined, , null]`, `a === undefined && b === null && c.length === 3 && c[0] === undefined && !(1 in c) && c[2] === null`},
		{"shared", `var a = {x: 1}, b = a, c = [a, a]`, `a === b && c[0] === c[1] && c[0] === b`},
		{"cycle", `var a = {}; a.self = a; var l = []; l.push(l)`, `a.self === a && l[0] === l`},
		{"order", `var a = {z: 1, y: 2, 3: 3}`, `Object.keys(a).join() === '3,z,y'`},
		{"no prototype", `var a = Object.create(null); a.x = 1`, `Object.getPrototypeOf(a) === null && a.x === 1`},
		{"date", `var a = new Date(86400000)`, `a instanceof Date && a.getTime() === 86400000`},
		{"pattern", `var a = /b+/gi; a.lastIndex = 2`, `a instanceof RegExp && a.source === 'b+' && a.flags === 'gi' && a.lastIndex === 2`},
		{"collections", `var m = new Map([['k', {v: 1}], [1, 2]]), s = new Set(['a', 1])`, `m.get('k').v === 1 && m.get(1) === 2 && m.size === 2 && s.has('a') && s.has(1) && s.size === 2`},
		{"error", `var e; try { null.x } catch (x) { e = x }`, `e instanceof TypeError && e.message.length > 0`},
		{"big", `var b = 123456789012345678901234567890n`, `b === 123456789012345678901234567890n`},
		{"function", `function f(x) { return x + 1 } var g = function () { return f(1) }, h = f`, `f(1) === 2 && g() === 2 && h === f`},
		{"class", `function P(x) { this.x = x } var p = new P(3)`, `p instanceof P && p.x === 3 && p.constructor === P`},
		{"let", `let a = 1; const b = 2`, `a === 1 && b === 2`},
		{"nested name", `var o = JSON.parse('{"__proto__": {"x": 1}, "r": 1, "u": 1}')`, `Object.keys(o).join() === '__proto__,r,u' && o.r === 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, Options{})
			l.moves = true
			begin(t, l, `<script><![CDATA[`+c.script+`]]></script><state id="a"><transition event="ask" cond="`+strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;").Replace(c.cond)+`" target="yes"/></state><state id="yes"/>`)
			l.send(t, "ask", nil)
			l.in(t, "yes")
		})
	}
}

func TestWhatCannotBeKeptIsNamed(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"closure", `var o = {}; (function () { var n = 0; o.count = function () { return n++ } })()`, "variable o.count"},
		{"getter", `var o = {get x() { return 1 }}`, "variable o.x"},
		{"symbol", `var list = [1, Symbol('a')]`, "variable list[1]"},
		{"prototype", `var o = Object.create({x: 1})`, "variable o of"},
		{"promise", `var p = Promise.resolve(1)`, "variable p of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, Options{})
			begin(t, l, `<script>`+c.script+`</script><state id="a"/>`)
			b, err := l.s.Snapshot()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Snapshot = %.80s, %v, want an error about %q", b, err, c.want)
			}
			if err := l.s.Sleep(); err == nil {
				t.Error("Sleep = nil, want the same error")
			}
			l.in(t, "a") // and it is still awake
		})
	}
}

// A whole life across processes: history, timers, an invoked document, queues.
func TestFamilyMovesWithTimersAndHistory(t *testing.T) {
	l := newLab(t, Options{})
	l.moves = true
	begin(t, l, `
	<datamodel><data id="heard" expr="[]"/></datamodel>
	<state id="work" initial="one">
	  <history id="back" type="deep"><transition target="one"/></history>
	  <invoke id="kid"><content><scxml version="1.0"><datamodel><data id="n" expr="0"/></datamodel>
	    <state id="k"><onentry><send event="beat" delay="1s"/></onentry>
	      <transition event="beat" target="k"><assign location="n" expr="n + 1"/><send target="#_parent" event="beat"><param name="n" expr="n"/></send></transition></state>
	  </scxml></content></invoke>
	  <state id="one"><transition event="next" target="two"/></state>
	  <state id="two"/>
	  <transition event="beat"><script>heard.push(_event.data.n)</script></transition>
	  <transition event="pause" target="paused"/>
	</state>
	<state id="paused"><onentry><send event="resume" delay="10s"/></onentry><transition event="resume" target="back"/>
	  <transition event="check" cond="heard.join() === '1,2,3'" target="good"/></state>
	<state id="good"><transition event="resume" target="back"/></state>`)
	l.in(t, "one")
	l.send(t, "next", nil)
	l.pass(t, 3500*time.Millisecond)
	l.send(t, "pause", nil)
	l.pass(t, 5*time.Second)
	l.in(t, "paused")
	l.send(t, "check", nil)
	l.in(t, "good")
	l.pass(t, 6*time.Second)
	l.in(t, "two")
}

func TestRestoreRefusesOtherDocuments(t *testing.T) {
	l := newLab(t, Options{})
	begin(t, l, `<state id="a"/>`)
	b, err := l.s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.engine.Compile("test.scxml", []byte(docHead+`<state id="b"/></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.engine.Restore(p, b, nil); !errors.Is(err, ErrOtherProgram) {
		t.Errorf("Restore = %v, want ErrOtherProgram", err)
	}
	for _, bad := range []string{"", "{}", `{"version":1}`, `{"version":99}`, strings.Replace(string(b), `"states":[1]`, `"states":[77]`, 1)} {
		if s, err := l.engine.Restore(l.s.Program(), []byte(bad), nil); err == nil {
			t.Errorf("Restore(%s) = %v, want an error", bad, s)
		}
	}
}

func TestSleepKeepsTheSession(t *testing.T) {
	l := newLab(t, Options{})
	begin(t, l, `<datamodel><data id="n" expr="1"/></datamodel><state id="a"><transition event="e" cond="n === 1" target="b"/></state><state id="b"/>`)
	if err := l.s.Sleep(); err != nil {
		t.Fatal(err)
	}
	if l.s.model != nil || l.s.asleep == nil {
		t.Fatal("it did not give back its runtime")
	}
	l.send(t, "e", nil)
	l.in(t, "b")
}

// What an event brings is in a snapshot too, while it waits in the queue.
func TestQueuedEventsMove(t *testing.T) {
	l := newLab(t, Options{})
	begin(t, l, `<state id="a"><transition event="e" cond="_event.data.when.getTime() === 5 &amp;&amp; _event.data.list[1] === undefined &amp;&amp; _event.data.pattern.test('xx')" target="b"/></state><state id="b"/>`)
	data := map[string]any{"when": time.UnixMilli(5), "list": []any{1.0, Undefined}, "pattern": Pattern{"x+", ""}}
	if err := l.s.Post(Event{Name: "e", Data: data}); err != nil {
		t.Fatal(err)
	}
	l.move(t)
	l.settle(t)
	l.in(t, "b")
}

func ExampleEngine() {
	e, err := New(Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := e.Compile("door.scxml", []byte(docHead+`<state id="shut"><transition event="push" target="open"/></state><state id="open"/></scxml>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	s := e.Start(p, StartOptions{ID: "door-1"})
	s.Run(time.Now())
	if err := s.Post(Event{Name: "push"}); err != nil {
		fmt.Println(err)
	}
	s.Run(time.Now())
	fmt.Println(s.Atomic())
	// Output: [open]
}
