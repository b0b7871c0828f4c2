package chart

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/internal/scxml"
)

var update = flag.Bool("update", false, "write the drawings anew")

func compile(t testing.TB, file, src string) *scxml.Program {
	t.Helper()
	e, err := scxml.New(scxml.Options{Elements: anyElement()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Compile(file, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// anyElement lets documents of the platform compile without its modules.
func anyElement() []scxml.Element {
	var out []scxml.Element
	for space, names := range map[string][]string{
		"dialog": {"playandcollect", "playsound", "play"}, "queue": {"submit", "cancel"}, "interaction": {"redirect", "terminate"},
	} {
		for _, name := range names {
			out = append(out, scxml.Element{
				Space: "http://www.genesyslab.com/modules/" + space, Name: name,
				Compile: func(*scxml.Builder) (scxml.Execute, error) { return nil, nil },
			})
		}
	}
	return out
}

// The drawings in testdata are looked at by people; the test says when they change.
func TestDrawings(t *testing.T) {
	charts, err := filepath.Glob("testdata/*.scxml")
	if err != nil || len(charts) == 0 {
		t.Fatalf("no charts in testdata: %v", err)
	}
	for _, file := range charts {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Draw(compile(t, filepath.Base(file), string(src)), Options{Style: true})
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".scxml") + ".svg"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the drawing is not that of %s; look at it and run with -update", golden)
			}
		})
	}
}

const nested = `<scxml xmlns="http://www.w3.org/2005/07/scxml" initial="a"><state id="a"><transition event="x" target="deep"/></state>
<parallel id="p"><state id="r1"><state id="deep"/></state><state id="r2"><transition event="y" target="a"/></state></parallel></scxml>`

// Boxes stand within their parents and not on each other.
func TestBoxesAreNested(t *testing.T) {
	m, err := newModel(compile(t, "n", nested))
	if err != nil {
		t.Fatal(err)
	}
	w, h := m.arrange()
	for _, b := range m.boxes {
		p := b.parent
		if p.id != "" && (b.x < p.x || b.y < p.y+titleBar/2 || b.x+b.w > p.x+p.w || b.y+b.h > p.y+p.h) {
			t.Errorf("%s at %.0f,%.0f sized %.0f,%.0f is not within %s at %.0f,%.0f sized %.0f,%.0f", b.id, b.x, b.y, b.w, b.h, p.id, p.x, p.y, p.w, p.h)
		}
		if b.x < 0 || b.y < 0 || b.x+b.w > w || b.y+b.h > h {
			t.Errorf("%s is outside of the drawing", b.id)
		}
		for _, o := range m.boxes {
			if o != b && o.parent == p && o.x < b.x+b.w && b.x < o.x+o.w && o.y < b.y+b.h && b.y < o.y+o.h {
				t.Errorf("%s and %s overlap", b.id, o.id)
			}
		}
	}
	for _, l := range m.links {
		if len(l.path) < 2 {
			t.Errorf("%s -> %s has no way", l.from.id, l.to.id)
		}
	}
}

func TestActiveStatesAreLit(t *testing.T) {
	got, err := Draw(compile(t, "n", nested), Options{Active: []string{"p", "r1", "deep"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(got, ` on"`); n != 3 || !strings.Contains(got, `class="chart-state state on" data-state="deep"`) {
		t.Errorf("%d states are lit, want 3: %s", n, got)
	}
}

func TestTooLargeChartsAreRefused(t *testing.T) {
	for _, many := range []string{strings.Repeat("<state/>", MaxStates+1), `<state id="a">` + strings.Repeat(`<transition event="x" target="a"/>`, MaxTransitions+1) + "</state>"} {
		if _, err := Draw(compile(t, "n", `<scxml xmlns="http://www.w3.org/2005/07/scxml">`+many+"</scxml>"), Options{}); err == nil {
			t.Error("it was drawn, want an error")
		}
	}
}

// Whatever a document says, its drawing is well-formed and shows each of its states.
func FuzzDraw(f *testing.F) {
	f.Add(nested)
	f.Add(`<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="&lt;b&quot;"><history id="h"><transition target="c"/></history><state id="c"><transition event="x" target="h"/><transition cond="1&lt;2" target="c"/></state></state></scxml>`)
	f.Add(`<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="a"><transition target="b"/><state id="b"><transition event="q" target="a z"/></state></state><parallel id="z"/></scxml>`)
	e, err := scxml.New(scxml.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		p, err := e.Compile("f", []byte(src))
		if err != nil {
			return
		}
		svg, err := Draw(p, Options{Style: true})
		if err != nil {
			return
		}
		dec := xml.NewDecoder(strings.NewReader(svg))
		states := 0
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
			if s, ok := tok.(xml.StartElement); ok {
				for _, a := range s.Attr {
					if a.Name.Local == "data-state" {
						states++
					}
				}
			}
		}
		if states != len(p.States()) {
			t.Fatalf("%d states are drawn, there are %d: %s", states, len(p.States()), svg)
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Fatalf("a place is no number: %s", svg)
		}
	})
}

func BenchmarkDraw(b *testing.B) {
	for _, n := range []int{10, 100, MaxStates} {
		var src strings.Builder
		src.WriteString(`<scxml xmlns="http://www.w3.org/2005/07/scxml">`)
		for i := range n {
			fmt.Fprintf(&src, `<state id="s%d"><transition event="next" target="s%d"/><transition event="error.x" target="s%d"/></state>`, i, (i+1)%n, n-1)
		}
		src.WriteString("</scxml>")
		p := compile(b, "b", src.String())
		b.Run(fmt.Sprint("states=", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Draw(p, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
