package scxml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// menu is of the size of a small application: variables, a script, timers, a loop of events.
const menu = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript" initial="welcome">
  <datamodel>
    <data id="caller" expr="{ani: '', tries: 0, path: []}"/><data id="digits" expr="''"/>
    <data id="menu">{"1": "sales", "2": "support", "3": "billing"}</data>
  </datamodel>
  <script>function pick(d) { return menu[d] || 'none' }</script>
  <state id="welcome">
    <onentry><assign location="caller.tries" expr="caller.tries + 1"/><send id="t" event="timeout" delay="30s"/></onentry>
    <onexit><cancel sendid="t"/></onexit>
    <transition event="digit" cond="pick(_event.data.digit) !== 'none'" target="routed">
      <assign location="digits" expr="_event.data.digit"/><script>caller.path = [pick(digits)]</script>
    </transition>
    <transition event="digit" target="welcome"/>
    <transition event="timeout" target="over"/>
  </state>
  <state id="routed">
    <transition event="back" target="welcome"/>
    <transition event="tick"/>
  </state>
  <final id="over"/>
</scxml>`

func benchEngine(b *testing.B) (*Engine, *Program) {
	b.Helper()
	e, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, err := e.Compile("menu.scxml", []byte(menu))
	if err != nil {
		b.Fatal(err)
	}
	return e, p
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func BenchmarkStart(b *testing.B) {
	e, p := benchEngine(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e.Start(p, StartOptions{ID: "s"}).Run(epoch)
		}
	})
}

// Each round is two events that go through conditions, assignments and a timer.
func BenchmarkEvents(b *testing.B) {
	e, p := benchEngine(b)
	data := map[string]any{"digit": "2"}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := e.Start(p, StartOptions{ID: "s"})
		s.Run(epoch)
		name := "digit"
		for pb.Next() {
			if err := s.Post(Event{Name: name, Data: data}); err != nil {
				b.Error(err)
			}
			s.Run(epoch)
			if name == "digit" {
				name = "back"
			} else {
				name = "digit"
			}
		}
	})
}

func BenchmarkWaiting(b *testing.B) {
	for _, c := range []struct {
		name  string
		sleep bool
	}{{"awake", false}, {"asleep", true}} {
		b.Run(c.name, func(b *testing.B) {
			e, p := benchEngine(b)
			for b.Loop() {
				const n = 1000
				all := make([]*Session, n)
				before := heapAfterGC()
				for i := range all {
					s := e.Start(p, StartOptions{ID: fmt.Sprintf("s%d", i)})
					s.Run(epoch)
					if c.sleep {
						if err := s.Sleep(); err != nil {
							b.Fatal(err)
						}
					}
					all[i] = s
				}
				b.ReportMetric(float64(heapAfterGC()-before)/n, "B/session")
				runtime.KeepAlive(all)
			}
		})
	}
}

func heapAfterGC() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkSnapshot(b *testing.B) {
	e, p := benchEngine(b)
	s := e.Start(p, StartOptions{ID: "s"})
	s.Run(epoch)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}

// Restoring includes the runtime, which an event makes.
func BenchmarkRestore(b *testing.B) {
	e, p := benchEngine(b)
	s := e.Start(p, StartOptions{ID: "s"})
	s.Run(epoch)
	image, err := s.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := e.Restore(p, image, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Post(Event{Name: "digit", Data: map[string]any{"digit": "1"}}); err != nil {
			b.Fatal(err)
		}
		r.Run(epoch)
		if got := r.Atomic(); got[0] != "routed" {
			b.Fatalf("in %v", got)
		}
	}
}

// large makes a document of n states with a condition and an assignment each.
func large(n int) []byte {
	var b strings.Builder
	b.WriteString(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><datamodel><data id="x" expr="0"/></datamodel>`)
	for i := range n {
		fmt.Fprintf(&b, `<state id="s%d"><transition event="next" cond="x &gt;= %d" target="s%d"><assign location="x" expr="x + 1"/></transition></state>`, i, i, (i+1)%n)
	}
	b.WriteString(`</scxml>`)
	return []byte(b.String())
}

func BenchmarkCompile2000(b *testing.B) {
	e, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	src := large(2000)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if _, err := e.Compile("large.scxml", src); err != nil {
			b.Fatal(err)
		}
	}
}
