package trail

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/contract"
	"parley/internal/scxml"
	"parley/internal/voice"
)

const document = `<scxml xmlns="http://www.w3.org/2005/07/scxml" initial="a">
<state id="a"><onentry><log label="in" expr="1"/></onentry><transition event="go" target="b1"/></state>
<state id="b"><state id="b1"><transition event="go" target="end"/></state></state>
<final id="end"/></scxml>`

// rig is an engine whose sessions are in a book.
type rig struct {
	*testing.T
	book *Book
	e    *scxml.Engine
	p    *scxml.Program
}

func newRig(t *testing.T, l Limits) *rig {
	t.Helper()
	b := New(l)
	e, err := scxml.New(scxml.Options{Trace: b.Trace})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Compile("chart.scxml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, b, e, p}
}

func (r *rig) start(id string) *scxml.Session {
	r.book.Open(contract.ScriptSession{ID: id, Tenant: "demo", Script: "chart", Start: time.Now()}, r.p, nil)
	s := r.e.Start(r.p, scxml.StartOptions{ID: id})
	s.Run(time.Now())
	return s
}

func (r *rig) post(s *scxml.Session, ev scxml.Event) {
	r.Helper()
	if err := s.Post(ev); err != nil {
		r.Fatal(err)
	}
	s.Run(time.Now())
}

func (r *rig) trace(req contract.SessionTraceRequest) contract.SessionTraceResponse {
	r.Helper()
	res, err := r.book.SessionTrace(r.Context(), req)
	if err != nil {
		r.Fatal(err)
	}
	return res
}

func TestTrailOfASession(t *testing.T) {
	r := newRig(t, Limits{})
	s := r.start("S1")
	r.book.Request("S1", time.Now(), "dialog.play", map[string]any{"language": "en-US"})
	first := r.trace(contract.SessionTraceRequest{ID: "S1", Tenant: "demo", Source: true, Chart: true})
	if !strings.Contains(first.Chart, `on" data-state="a"`) {
		t.Errorf("the chart does not show that a is active: %.300s", first.Chart)
	}
	if got := line(first.Steps); got != "enter a, log in 1, request dialog.play {\"language\":\"en-US\"}" {
		t.Errorf("steps = %s", got)
	}
	if string(first.Source) != document || fmt.Sprint(first.Active) != "[a]" {
		t.Errorf("source of %d bytes, active %v", len(first.Source), first.Active)
	}
	r.post(s, scxml.Event{Name: "go", Data: map[string]any{"nan": math.NaN(), "u": scxml.Undefined}})
	then := r.trace(contract.SessionTraceRequest{ID: "S1", After: 3})
	if fmt.Sprint(then.Active, then.Session.States) != "[b b1] [b1]" || then.Steps[0].Seq != 4 {
		t.Errorf("active %v, states %v, steps from %d", then.Active, then.Session.States, then.Steps[0].Seq)
	}
	r.post(s, scxml.Event{Name: "go"})
	last := r.trace(contract.SessionTraceRequest{ID: "S1", After: 7})
	if last.Session.End.IsZero() || !strings.HasSuffix(line(last.Steps), "end ") {
		t.Errorf("after the end: %+v, steps %s", last.Session, line(last.Steps))
	}
}

func line(steps []contract.SessionStep) string {
	var out []string
	for _, s := range steps {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %s %s", s.What, s.Name, s.Data), " "))
	}
	return strings.Join(out, ", ")
}

func TestWhoWaitsHearsOfTheNextStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Limits{})
		s := r.start("S1")
		got := make(chan contract.SessionTraceResponse)
		go func() { got <- r.trace(contract.SessionTraceRequest{ID: "S1", After: 2, Wait: time.Minute}) }()
		synctest.Wait()
		began := time.Now()
		if err := s.Post(scxml.Event{Name: "go"}); err != nil {
			t.Fatal(err)
		}
		s.Run(time.Now())
		if res := <-got; len(res.Steps) == 0 || time.Since(began) != 0 {
			t.Errorf("%d steps after %v", len(res.Steps), time.Since(began))
		}
		seq := r.book.record("S1").seq
		if res := r.trace(contract.SessionTraceRequest{ID: "S1", After: seq, Wait: time.Minute}); len(res.Steps) != 0 || time.Since(began) != longestWait {
			t.Errorf("nothing happened: %d steps after %v, want none after %v", len(res.Steps), time.Since(began), longestWait)
		}
	})
}

func TestBookIsBounded(t *testing.T) {
	r := newRig(t, Limits{Steps: 5, Ended: 2, Bytes: 100})
	r.start("S1")
	for i := range 100 {
		r.book.Request("S1", time.Now(), fmt.Sprint("r", i), strings.Repeat("x", 1000))
	}
	res := r.trace(contract.SessionTraceRequest{ID: "S1"})
	if n := len(res.Steps); n < 5 || n > 10 || !res.Lost || res.Steps[n-1].Seq != 102 {
		t.Errorf("%d steps kept, lost %v, last %d; want 5 to 10 up to 102", n, res.Lost, res.Steps[n-1].Seq)
	}
	for _, s := range res.Steps {
		if len(s.Data) > 110 {
			t.Errorf("step %d has %d bytes of data", s.Seq, len(s.Data))
		}
	}
	r.book.Request("S1", time.Now(), "deep", map[string]any{"a": []any{strings.Repeat("y", 200)}})
	if res := r.trace(contract.SessionTraceRequest{ID: "S1", After: 102}); string(res.Steps[0].Data) != `"`+heavy+`"` {
		t.Errorf("data = %s", res.Steps[0].Data)
	}
	for _, id := range []string{"E1", "E2", "E3"} {
		s := r.start(id)
		s.Cancel(time.Now())
	}
	if all, ended := r.book.Size(); all != 3 || ended != 2 {
		t.Errorf("%d sessions, %d of them ended; want 3 and 2", all, ended)
	}
}

func TestSessionsAreFound(t *testing.T) {
	r := newRig(t, Limits{})
	r.start("S1")
	r.start("S2").Cancel(time.Now())
	r.book.Update("S1", func(s *contract.ScriptSession) { s.CallUUID = "C1" })
	for want, req := range map[string]contract.SessionsRequest{
		"S1":   {Tenant: "demo"},
		"S1 ":  {Call: "C1"},
		"":     {Tenant: "other"},
		" ":    {Script: "none", Ended: true},
		"both": {Script: "chart", Ended: true},
	} {
		res, err := r.book.Sessions(t.Context(), req)
		var ids []string
		for _, s := range res.Sessions {
			ids = append(ids, s.ID)
		}
		if n := len(ids); err != nil || res.Total != n || want == "both" && n != 2 || want != "both" && strings.Join(ids, ",") != strings.TrimSpace(want) {
			t.Errorf("Sessions(%+v) = %v, %v", req, ids, err)
		}
	}
	_, err := r.book.SessionTrace(t.Context(), contract.SessionTraceRequest{ID: "S1", Tenant: "other"})
	_, err2 := r.book.SessionTrace(t.Context(), contract.SessionTraceRequest{ID: "nobody", Tenant: "other"})
	if !errors.Is(err, voice.ErrNotFound) || !errors.Is(err2, voice.ErrNotFound) {
		t.Errorf("of another tenant: %v; unknown: %v; want both not found", err, err2)
	}
	if _, err := json.Marshal(r.trace(contract.SessionTraceRequest{ID: "S2"})); err != nil {
		t.Error(err)
	}
}

// A step costs its lock, and the session some 100 bytes.
func BenchmarkTrace(b *testing.B) {
	book := New(Limits{})
	e, err := scxml.New(scxml.Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, err := e.Compile("chart.scxml", []byte(document))
	if err != nil {
		b.Fatal(err)
	}
	book.Open(contract.ScriptSession{ID: "S1"}, p, nil)
	data := map[string]any{"interactionid": "I1", "digits": "1"}
	b.ReportAllocs()
	for b.Loop() {
		book.Trace("S1", scxml.Trace{What: scxml.TraceEvent, Name: "dialog.playandcollect.done", Data: data})
	}
}
