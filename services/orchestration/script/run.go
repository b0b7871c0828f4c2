package script

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"parley/internal/scxml"
	"parley/services/orchestration/lookup"
	"parley/services/orchestration/module"
	"parley/services/orchestration/module/all"
)

// Limits of a run.
const (
	MaxSteps     = 20_000
	defaultUntil = time.Hour
)

// defaultStart is a Monday at noon.
var defaultStart = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// Step is something that happened in a run.
type Step struct {
	At   time.Duration `json:"at"`   // since the start
	What string        `json:"what"` // enter, exit, event, request, data, log, error, end
	Name string        `json:"name,omitempty"`
	Data any           `json:"data,omitempty"`
}

// Asked is a request that a script made.
type Asked struct {
	At      time.Duration  `json:"at"`
	Request string         `json:"request"`
	Args    map[string]any `json:"args"`
}

// Result is what a run came to.
type Result struct {
	Steps    []Step         `json:"steps"`
	Requests []Asked        `json:"requests"`
	States   []string       `json:"states"` // active at the end, without those that have states inside
	Data     map[string]any `json:"data"`
	Ended    bool           `json:"ended"` // the session; else the run
	Error    string         `json:"error,omitempty"`
	Lasted   time.Duration  `json:"lasted"`
}

// run is a session in virtual time, and its host.
type run struct {
	sc     *Scenario
	tables *lookup.Tables
	start  time.Time
	now    time.Time
	s      *scxml.Session
	ixns   []*module.Interaction
	queue  []due
	seq    int
	data   map[string]any
	res    *Result
	full   bool
}

// due is something that will happen.
type due struct {
	at  time.Time
	seq int
	of  *module.Request // that it answers
	do  func() error
}

// Run plays a script. The error is about the script or the scenario; what goes wrong in the session is part of the result.
func Run(file string, src []byte, sc Scenario, load func(base, src string) ([]byte, error)) (*Result, error) {
	if err := sc.check(); err != nil {
		return nil, err
	}
	hours, lists, err := sc.tables()
	if err != nil {
		return nil, err
	}
	r := &run{sc: &sc, res: &Result{Steps: []Step{}, Requests: []Asked{}}}
	sc.Answers = slices.Clone(sc.Answers)
	for i := range sc.Answers {
		sc.Answers[i].used = false
	}
	if r.tables, err = lookup.New(hours, lists); err != nil {
		return nil, err
	}
	if r.start, err = sc.start(); err != nil {
		return nil, err
	}
	r.now = r.start
	opts := all.Options(nil)
	opts.Load, opts.KeepData, opts.Trace = load, true, r.trace
	e, err := scxml.New(opts)
	if err != nil {
		return nil, err
	}
	p, err := e.Compile(file, src)
	if err != nil {
		return nil, err
	}
	params, _ := plainValue(sc.Params).(map[string]any)
	r.s = e.Start(p, scxml.StartOptions{ID: "run", Params: params, Owner: r})
	r.arrive()
	r.plan()
	r.loop()
	r.finish()
	return r.res, nil
}

// arrive brings the interaction.
func (r *run) arrive() {
	if r.sc.None {
		return
	}
	c := Caller{ANI: "+49301234567", DNIS: "9000"}
	if r.sc.Interaction != nil {
		c = *r.sc.Interaction
	}
	udata, _ := plainValue(c.UserData).(map[string]any)
	i := &module.Interaction{
		ID: cmp.Or(c.ID, "I1"), Tenant: "run", Media: cmp.Or(c.Media, "voice"), State: "queued", UserData: udata,
		Parties: []module.Party{{DN: c.ANI, State: "queued"}},
	}
	if i.Media == "voice" {
		i.Voice = &module.Voice{ANI: c.ANI, DNIS: c.DNIS, CallID: 1, ConnID: "C1", Type: "inbound", RoutePoint: c.DNIS}
	}
	r.later(0, nil, func() error {
		r.ixns = []*module.Interaction{i}
		data := map[string]any{"interactionid": i.ID}
		return errors.Join(r.post("interaction.added", data), r.post("interaction.present", data))
	})
}

// plan puts the events of the scenario into their order.
func (r *run) plan() {
	at := time.Duration(0)
	for _, e := range r.sc.Events {
		if at += e.After; e.At > 0 {
			at = e.At
		}
		r.later(at, nil, func() error {
			if e.Hangup {
				return r.leave()
			}
			data, _ := plainValue(e.Data).(map[string]any)
			return r.post(e.Event, data)
		})
	}
}

// later does something that long from now. What answers a request is forgotten when the interaction leaves.
func (r *run) later(after time.Duration, of *module.Request, do func() error) {
	r.seq++
	d := due{at: r.now.Add(after), seq: r.seq, of: of, do: do}
	i, _ := slices.BinarySearchFunc(r.queue, d, func(a, b due) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) })
	r.queue = slices.Insert(r.queue, i, d)
}

func (r *run) post(name string, data map[string]any) error {
	if data == nil {
		data = map[string]any{}
	}
	return r.s.Post(scxml.Event{Name: name, Data: data})
}

// leave is that the interaction leaves the session.
func (r *run) leave() error {
	if len(r.ixns) == 0 {
		return nil
	}
	data := map[string]any{"interactionid": r.ixns[0].ID}
	r.ixns = nil
	r.queue = slices.DeleteFunc(r.queue, func(d due) bool { return d.of != nil && d.of.Interaction != "" })
	return errors.Join(r.post("interaction.deleted", data), r.post("interaction.notcontrolled", data))
}

// loop goes from one thing that happens to the next.
func (r *run) loop() {
	until := r.sc.Until
	if until <= 0 {
		until = defaultUntil
	}
	end := r.start.Add(until)
	r.drive()
	for !r.s.Done() && !r.full {
		at, waits := r.s.NextDue()
		if len(r.queue) > 0 && (!waits || r.queue[0].at.Before(at)) {
			at, waits = r.queue[0].at, true
		}
		if !waits {
			return
		}
		if at.After(end) {
			r.now = end
			return
		}
		if at.After(r.now) {
			r.now = at
		}
		if len(r.queue) > 0 && !r.queue[0].at.After(r.now) {
			d := r.queue[0]
			r.queue = r.queue[1:]
			if err := d.do(); err != nil && !errors.Is(err, scxml.ErrEnded) {
				r.add(Step{What: "error", Name: "event", Data: err.Error()})
			}
		}
		r.drive()
	}
}

// drive runs the session until it waits, and tells which variables have changed.
func (r *run) drive() {
	for r.s.Run(r.now) && !r.full {
	}
	data := r.s.Data()
	for _, name := range keysOf(data) {
		if was, had := r.data[name]; !had || !reflect.DeepEqual(was, data[name]) {
			if v := data[name]; had || v != scxml.Undefined && v != nil && v != "" {
				r.add(Step{What: "data", Name: name, Data: shown(v)})
			}
		}
	}
	if data != nil {
		r.data = data
	}
}

func keysOf(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (r *run) finish() {
	r.res.States, r.res.Ended, r.res.Lasted = r.s.Atomic(), r.s.Done(), r.now.Sub(r.start)
	r.res.Data = map[string]any{}
	for k, v := range r.data {
		r.res.Data[k] = shown(v)
	}
	if err := r.s.Err(); err != nil {
		r.res.Error = err.Error()
	}
	if r.full && r.res.Error == "" {
		r.res.Error = fmt.Sprintf("the run has more than %d steps; it was ended", MaxSteps)
	}
}

// trace takes what the interpreter tells.
func (r *run) trace(session string, t scxml.Trace) {
	name := t.Name
	if child, is := strings.CutPrefix(session, "run."); is {
		name = child + ": " + name
	}
	if t.What == scxml.TraceEnd && name != "" {
		return // of an invoked session: done.invoke tells it
	}
	r.add(Step{What: string(t.What), Name: name, Data: shown(t.Data)})
}

func (r *run) add(s Step) {
	if len(r.res.Steps) >= MaxSteps {
		r.full = true
		return
	}
	s.At = r.now.Sub(r.start)
	r.res.Steps = append(r.res.Steps, s)
}

// Ask implements module.Host.
func (r *run) Ask(_ *scxml.Handle, q *module.Request) error {
	args, _ := shown(q.Args).(map[string]any)
	r.add(Step{What: "request", Name: q.Name(), Data: args})
	if len(r.res.Requests) < MaxSteps {
		r.res.Requests = append(r.res.Requests, Asked{At: r.now.Sub(r.start), Request: q.Name(), Args: args})
	}
	r.begun(q)
	if a := r.find(q, args); a != nil {
		return r.answer(q, a)
	}
	return r.usual(q)
}

// Interactions implements module.Host.
func (r *run) Interactions() []*module.Interaction { return r.ixns }

// About implements module.Host.
func (r *run) About() module.About {
	params, _ := plainValue(r.sc.Params).(map[string]any)
	return module.About{ID: "run", Tenant: "run", Node: "run", Script: r.s.Program().File(), Params: params}
}

// Function implements module.Host.
func (r *run) Function(name string, args []any) (any, error) {
	if v, ok := r.sc.Functions[name]; ok {
		return plainValue(v), nil
	}
	v, known, err := r.tables.Call(name, args, r.now)
	if !known {
		return nil, fmt.Errorf("%s has no value in this run; give it one under functions", name)
	}
	return v, err
}

// plainValue makes values of scripts of what YAML gives.
func plainValue(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(raw, &out) != nil {
		return nil
	}
	return out
}

// shown is a value of a script as JSON has it, so that it may be compared and printed.
func shown(v any) any {
	switch v := v.(type) {
	case nil, string, bool, float64:
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if e != scxml.Undefined {
				out[k] = shown(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = shown(e)
		}
		return out
	}
	if v == scxml.Undefined {
		return nil
	}
	return scxml.Text(v)
}
