package scxml

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const ours = "urn:test:phone"

// ring is an action as modules add them: values, a location that receives an id, an answer that comes later.
func ring(asked *[]string) Element {
	return Element{Space: ours, Name: "ring", Compile: func(b *Builder) (Execute, error) {
		b.Only("number", "requestid")
		number, id := b.Value("number"), b.Location("requestid")
		if number == nil {
			return nil, errors.New("number is missing")
		}
		params := b.Params()
		return func(h *Handle) error {
			n, err := h.Text(number)
			if err != nil {
				return err
			}
			if n == "dead" {
				return fmt.Errorf("%w: no line", ErrCommunication)
			}
			given, err := params(h)
			if err != nil {
				return err
			}
			request := h.NewID("ring")
			*asked = append(*asked, n+Text(gather(given)))
			if err := h.Assign(id, request); err != nil {
				return err
			}
			return h.Post(Event{Name: "phone.ring.done", Data: map[string]any{"requestid": request}})
		}, nil
	}}
}

func TestCustomActions(t *testing.T) {
	var asked []string
	l := newLab(t, Options{Elements: []Element{ring(&asked)}})
	begin(t, l, `<datamodel><data id="req"/><data id="to" expr="'100'"/></datamodel>
	<state id="a"><onentry><p:ring xmlns:p="`+ours+`" number="to + '1'" requestid="req"><param name="x" expr="2"/></p:ring></onentry>
	  <transition event="phone.ring.done" cond="_event.data.requestid === req" target="b"/></state>
	<state id="b"><onentry><p:ring xmlns:p="`+ours+`" number="'dead'"/></onentry><transition event="error.communication" target="c"/></state>
	<state id="c"><onentry><p:ring xmlns:p="`+ours+`" number="nothing"/></onentry><transition event="error.execution" target="d"/></state><state id="d"/>`)
	l.in(t, "d")
	if got := strings.Join(asked, ";"); got != `1001{"x":2}` {
		t.Errorf("asked for %s", got)
	}
	for body, want := range map[string]string{
		`<state id="a"><onentry><p:ring xmlns:p="` + ours + `"/></onentry></state>`:                  "<ring>: number is missing",
		`<state id="a"><onentry><p:ring xmlns:p="` + ours + `" number="1" x="2"/></onentry></state>`: "unknown attribute x",
		`<state id="a"><onentry><p:sing xmlns:p="` + ours + `"/></onentry></state>`:                  "no such action",
	} {
		if _, err := l.engine.Compile("c.scxml", []byte(docHead+body+`</scxml>`)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compile = %v, want %q", err, want)
		}
	}
}

// desk is a live view.
type desk struct{ calls *int }

func (d desk) Keys() []string { return []string{"number"} }
func (d desk) Get(key string) any {
	if key != "number" {
		return Undefined
	}
	*d.calls++
	return float64(*d.calls)
}

func TestGlobalsAreLiveAndReadOnly(t *testing.T) {
	calls := 0
	l := newLab(t, Options{Globals: map[string]Global{"_desk": func(h *Handle) any {
		return map[string]any{"live": desk{&calls}, "id": h.SessionID(), "twice": Func(func(args []any) (any, error) {
			n, ok := args[0].(float64)
			if !ok {
				return nil, errors.New("want a number")
			}
			return 2 * n, nil
		})}
	}}})
	l.moves = true
	begin(t, l, `<datamodel><data id="first" expr="_desk.live.number"/><data id="root" expr="_desk"/></datamodel>
	<state id="a"><onentry><script>_desk.id = 'x'; _desk.live.number = 77</script></onentry>
	  <transition event="go" cond="_desk.live.number &gt; first &amp;&amp; _desk.id === 's1' &amp;&amp; _desk.twice(21) === 42 &amp;&amp; root === _desk" target="b"/></state>
	<state id="b"><onentry><log expr="_desk.twice('x')"/></onentry><transition event="error.execution" target="c"/></state><state id="c"/>`)
	l.send(t, "go", nil)
	l.in(t, "c")
	if err := l.s.Post(Event{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	p, err := l.engine.Compile("live.scxml", []byte(docHead+`<datamodel><data id="kept" expr="_desk.live"/></datamodel><state id="a"/></scxml>`))
	if err != nil {
		t.Fatal(err)
	}
	s := l.engine.Start(p, StartOptions{ID: "s2"})
	s.Run(epoch)
	if _, err := s.Snapshot(); err == nil || !strings.Contains(err.Error(), "variable kept") {
		t.Errorf("Snapshot = %v, want an error about kept", err)
	}
}

// echo is a service that answers what it is sent, and counts.
type echo struct {
	h  *Handle
	id string
	n  byte
}

func (e *echo) Invoke(h *Handle, call Call) (Service, error) {
	if call.Src == "none" {
		return nil, errors.New("no such service")
	}
	return &echo{h: h, id: call.ID}, nil
}
func (e *echo) Resume(h *Handle, id string, saved []byte) (Service, error) {
	return &echo{h: h, id: id, n: saved[0]}, nil
}
func (e *echo) Send(ev Event) error {
	if e.n++; e.n == 3 {
		return e.h.Done(e.id, float64(e.n))
	}
	return e.h.Post(Event{Name: "echo." + ev.Name, InvokeID: e.id})
}
func (e *echo) Cancel()               {}
func (e *echo) Save() ([]byte, error) { return []byte{e.n}, nil }

func TestInvokedServicesMove(t *testing.T) {
	l := newLab(t, Options{Invokers: map[string]Invoker{"echo": &echo{}}})
	l.moves = true
	begin(t, l, `<state id="a"><invoke type="echo" id="e"/>
	  <transition event="call"><send target="#_e" event="x"/></transition>
	  <transition event="done.invoke.e" cond="_event.data === 3" target="b"/></state>
	<state id="b"><invoke type="echo" src="none"/><transition event="error.execution" target="c"/></state><state id="c"/>`)
	for range 3 {
		l.in(t, "a")
		l.send(t, "call", nil)
	}
	l.in(t, "c")
}

func TestErrorsNameThePlace(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, doc, want string }{
		{"target", "\n<state id='a'>\n  <transition event='x' target='b'/></state>", `d.scxml:3:3: <transition>: there is no state "b" to go to`},
		{"twice", "<state id='a'/>\n<state id='a'/>", `d.scxml:2:1: <state>: id "a" is that of the state in line 1 too`},
		{"attribute", "<state id='a' final='x'/>", "unknown attribute final"},
		{"element", "<stat id='a'/>", "<stat>: it has no place in <scxml>"},
		{"apart", "<state id='a'><transition event='e' target='b c'/></state><state id='b'/><state id='c'/>", "cannot be active at the same time"},
		{"initial", "<state id='a' initial='b'><state id='c'/></state><state id='b'/>", `initial of "a" leads to "b"`},
		{"history", "<state id='a'><history id='h'/><state id='b'/></state>", "<history>: a history needs a <transition>"},
		{"loop", "<state id='a'><transition/></state>", "it would be taken for ever"},
		{"delay", "<state id='a'><onentry><send event='x' delay='soon'/></onentry></state>", `delay "soon"`},
		{"content", "<state id='a'><onentry><assign location='x' expr='1'>2</assign></onentry></state>", "given twice"},
		{"empty", "", "there is no state"},
		{"unclosed", "<state>", "</scxml>"},
		{"model", "<state id='a'/>", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := e.Compile("d.scxml", []byte(docHead+c.doc+"</scxml>"))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("Compile = %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("Compile = %v, %v, want an error with %q", p, err, c.want)
			}
		})
	}
	p, err := e.Compile("w.scxml", []byte(docHead+"<state id='a'>\n<transition event='x' cond='1 +'/></state></scxml>"))
	if err != nil {
		t.Fatal(err)
	}
	if w := p.Warnings(); len(w) != 1 || !strings.Contains(w[0].Error(), "w.scxml:2:1: <transition>: cond: no ECMAScript") {
		t.Errorf("Warnings = %v", w)
	}
}

func TestReadHTTP(t *testing.T) {
	for _, c := range []struct{ name, method, url, kind, body, event, data string }{
		{"form", "POST", "/s", "application/x-www-form-urlencoded", "_scxmleventname=call&a=1&b=x+y&b=z", "call", `{"a":"1","b":["x y","z"]}`},
		{"query", "GET", "/s?_scxmleventname=q&a=1", "", "", "q", `{"a":"1"}`},
		{"text", "POST", "/s", "text/plain", "some words", "HTTP.POST", "some words"},
		{"json", "PUT", "/s", "application/json", `{"n":[1]}`, "HTTP.PUT", `{"n":[1]}`},
		{"xml", "POST", "/s", "application/xml", `<a><b/></a>`, "HTTP.POST", `<a><b/></a>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.url, strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			ev, err := ReadHTTP(r, 1000)
			if err != nil || ev.Name != c.event || Text(ev.Data) != c.data || !strings.HasPrefix(ev.Raw, c.method+" /s") {
				t.Errorf("ReadHTTP = %+v, %v, want %s with %s", ev, err, c.event, c.data)
			}
		})
	}
	r := httptest.NewRequest(http.MethodPost, "/s", bytes.NewReader(make([]byte, 2000)))
	if _, err := ReadHTTP(r, 1000); err == nil {
		t.Error("a body beyond the limit was taken")
	}
}

// Events of a fuzzer go through conditions, conversions, a snapshot and back.
func FuzzEvent(f *testing.F) {
	f.Add("a.b", `{"x": [1, null, "y"]}`)
	f.Add("*", `"__proto__"`)
	f.Fuzz(func(t *testing.T, name, data string) {
		v, err := decodeJSON([]byte(data))
		if err != nil {
			v = data
		}
		e, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Compile("f.scxml", []byte(docHead+`<datamodel><data id="d"/></datamodel><state id="a"><transition event="*" cond="_event.name.length &gt; 0 &amp;&amp; JSON.stringify(_event.data) !== 1" target="b"><assign location="d" expr="_event.data"/></transition></state><state id="b"/></scxml>`))
		if err != nil {
			t.Fatal(err)
		}
		s := e.Start(p, StartOptions{ID: "s"})
		s.Run(epoch)
		if err := s.Post(Event{Name: name, Data: v}); err != nil {
			return
		}
		s.Run(epoch)
		if got := s.Atomic(); got[0] != "b" {
			t.Fatalf("in %v after %q with %s", got, name, data)
		}
		b, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Restore(p, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.Snapshot(); err != nil || !bytes.Equal(b, again) {
			t.Fatalf("%v\n%s\n%s", err, b, again)
		}
	})
}

// A document is a program or an error, never both, and a program can be started.
func FuzzCompile(f *testing.F) {
	f.Add(docHead + `<state id="a"><onentry><log expr="1 +"/></onentry><transition event="x" target="a"/></state></scxml>`)
	f.Add(docHead + `<parallel><state/><history id="h"><transition target="h"/></history></parallel></scxml>`)
	f.Add(menu)
	f.Fuzz(func(t *testing.T, doc string) {
		e, err := New(Options{Limits: Limits{StepTime: 20 * time.Millisecond, Microsteps: 100}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Compile("f.scxml", []byte(doc))
		if (p == nil) == (err == nil) {
			t.Fatalf("Compile = %v, %v", p, err)
		}
		if err != nil {
			return
		}
		s := e.Start(p, StartOptions{ID: "s"})
		s.Run(epoch)
		_ = s.Configuration()
	})
}
