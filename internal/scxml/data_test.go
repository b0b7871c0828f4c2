package scxml

import (
	"reflect"
	"testing"
	"time"
)

func TestDataTellsVariables(t *testing.T) {
	const doc = `<scxml xmlns="http://www.w3.org/2005/07/scxml"><datamodel><data id="n" expr="1"/><data id="o" expr="({a:[1,'x']})"/><data id="f" expr="function(){}"/></datamodel>
<state id="a"><transition event="go" target="b"><assign location="n" expr="n + 1"/></transition></state><final id="b"/></scxml>`
	for _, keep := range []bool{true, false} {
		e, err := New(Options{KeepData: keep})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Compile("d", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		s := e.Start(p, StartOptions{ID: "S"})
		if got := s.Data(); len(got) != 0 {
			t.Errorf("before the start there are %v", got)
		}
		s.Run(time.Time{})
		if err := s.Sleep(); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"n": 1.0, "o": map[string]any{"a": []any{1.0, "x"}}}
		if got := s.Data(); !reflect.DeepEqual(got, want) {
			t.Errorf("Data = %v, want %v", got, want)
		}
		if err := s.Post(Event{Name: "go"}); err != nil {
			t.Fatal(err)
		}
		s.Run(time.Time{})
		if got := s.Data()["n"]; keep && got != 2.0 || !keep && got != nil {
			t.Errorf("after the end, kept %v: n = %v", keep, got)
		}
	}
}
