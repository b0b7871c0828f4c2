package scxml

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"parley/internal/scxml/markup"
)

// snapshotVersion is that of the form below.
const snapshotVersion = 1

// saved is a session as JSON.
type saved struct {
	Version     int               `json:"version,omitempty"`
	ID          string            `json:"id"`
	Digest      string            `json:"digest"`
	File        string            `json:"file,omitempty"`   // of a document that was loaded while the session ran
	Source      string            `json:"source,omitempty"` // its text
	InvokeID    string            `json:"invoke,omitempty"`
	Given       []savedParam      `json:"given,omitempty"`
	Now         time.Time         `json:"now"`
	Started     bool              `json:"started"`
	End         *savedEnd         `json:"end,omitempty"`
	States      []int             `json:"states"`
	Entered     []int             `json:"entered,omitempty"`
	History     map[string][]int  `json:"history,omitempty"`
	Internal    []savedEvent      `json:"internal,omitempty"`
	External    []savedEvent      `json:"external,omitempty"`
	Event       *savedEvent       `json:"event,omitempty"`
	Timers      []savedTimer      `json:"timers,omitempty"`
	IDs         uint64            `json:"ids"`
	Data        json.RawMessage   `json:"data,omitempty"`
	Invocations []savedInvocation `json:"invocations,omitempty"`
}

type savedEnd struct {
	Data any    `json:"data"`
	Err  string `json:"err,omitempty"`
}

type savedParam struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

type savedEvent struct {
	Name       string    `json:"name"`
	Type       EventType `json:"type"`
	SendID     string    `json:"sendid,omitempty"`
	Origin     string    `json:"origin,omitempty"`
	OriginType string    `json:"origintype,omitempty"`
	InvokeID   string    `json:"invokeid,omitempty"`
	Data       any       `json:"data"`
	HasData    bool      `json:"hasdata,omitempty"`
	Raw        string    `json:"raw,omitempty"`
}

type savedTimer struct {
	Due     time.Time    `json:"due"`
	Event   string       `json:"event,omitempty"`
	Target  string       `json:"target,omitempty"`
	Type    string       `json:"type,omitempty"`
	SendID  string       `json:"sendid"`
	Params  []savedParam `json:"params,omitempty"`
	Body    any          `json:"body"`
	HasBody bool         `json:"hasbody,omitempty"`
	Text    string       `json:"text,omitempty"`
	Named   bool         `json:"named,omitempty"`
}

type savedInvocation struct {
	ID      string `json:"id"`
	Index   int    `json:"index"` // of the <invoke> in its document
	Kind    string `json:"kind,omitempty"`
	Child   *saved `json:"child,omitempty"`
	Service []byte `json:"service,omitempty"`
}

// Snapshot writes the session and those it invoked, as they wait: what is kept is what [Engine.Restore] brings back.
// An error names the variable that cannot be kept.
func (s *Session) Snapshot() ([]byte, error) {
	s.run.Lock()
	defer s.run.Unlock()
	out, err := s.save()
	if err != nil {
		return nil, fmt.Errorf("snapshot of session %s: %w", s.id, err)
	}
	out.Version = snapshotVersion
	return json.Marshal(out)
}

func (s *Session) save() (*saved, error) {
	data, err := s.pack()
	if err != nil {
		return nil, err
	}
	out := &saved{
		ID: s.id, Digest: s.prog.digest, InvokeID: s.invokeID, Given: saveParams(s.given), Now: s.now, Started: s.started,
		States: indexes(s.states()), IDs: s.ids, Data: data,
	}
	if s.end != nil {
		out.End = &savedEnd{Data: wrap(s.end.data)}
		if s.end.err != nil {
			out.End.Err = s.end.err.Error()
		}
		return out, nil
	}
	if s.entered != nil {
		for i := s.entered.next(0); i >= 0; i = s.entered.next(i + 1) {
			out.Entered = append(out.Entered, i)
		}
	}
	for h, kept := range s.history {
		if out.History == nil {
			out.History = map[string][]int{}
		}
		out.History[strconv.Itoa(h)] = indexes(kept)
	}
	out.Internal = saveEvents(s.internal)
	s.mu.Lock()
	out.External = saveEvents(s.external)
	s.mu.Unlock()
	if s.event != nil {
		out.Event = &saveEvents([]Event{*s.event})[0]
	}
	for _, t := range s.timers {
		m := t.m
		out.Timers = append(out.Timers, savedTimer{
			Due: t.due, Event: m.Event, Target: m.Target, Type: m.Type, SendID: m.SendID, Params: saveParams(m.Params),
			Body: wrap(m.Body), HasBody: m.HasBody, Text: m.Text, Named: m.named,
		})
	}
	return out, s.saveInvocations(out)
}

func (s *Session) saveInvocations(out *saved) error {
	for _, run := range s.invoked() {
		in := savedInvocation{ID: run.id, Index: run.of.index, Kind: run.kind}
		var err error
		if run.child == nil {
			if in.Service, err = run.service.Save(); err != nil {
				return fmt.Errorf("invocation %s: %w", run.id, err)
			}
		} else {
			if in.Child, err = run.child.save(); err != nil {
				return err
			}
			if run.of.program == nil {
				in.Child.File, in.Child.Source = run.child.prog.file, string(run.child.prog.source)
			}
		}
		out.Invocations = append(out.Invocations, in)
	}
	return nil
}

func indexes(states []*state) []int {
	out := make([]int, len(states))
	for i, st := range states {
		out[i] = st.index
	}
	return out
}

func saveEvents(events []Event) []savedEvent {
	out := make([]savedEvent, 0, len(events))
	for _, ev := range events {
		out = append(out, savedEvent{
			Name: ev.Name, Type: ev.Type, SendID: ev.SendID, Origin: ev.Origin, OriginType: ev.OriginType,
			InvokeID: ev.InvokeID, Data: wrap(ev.Data), HasData: ev.hasData, Raw: ev.Raw,
		})
	}
	return out
}

func saveParams(params []Param) []savedParam {
	var out []savedParam
	for _, p := range params {
		out = append(out, savedParam{p.Name, wrap(p.Value)})
	}
	return out
}

// wrap makes plain JSON of a value. What JSON does not have becomes an object with one letter, and an object is
// {"o": …}, so that none is taken for the other.
func wrap(v any) any {
	switch v := v.(type) {
	case undefined:
		return map[string]any{"u": 1}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return map[string]any{"n": strconv.FormatFloat(v, 'g', -1, 64)}
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = wrap(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = wrap(e)
		}
		return map[string]any{"o": out}
	case time.Time:
		return map[string]any{"d": v.UnixMilli()}
	case Pattern:
		return map[string]any{"e": []any{v.Source, v.Flags}}
	case *markup.Node:
		return map[string]any{"x": v.XML()}
	case string:
		return strings.ToValidUTF8(v, "\ufffd") // what JSON would make of it, and a runtime did
	case nil, bool, int, int64:
	default:
		b, err := json.Marshal(v) // somebody's own type, which scripts see as JSON too
		if err != nil {
			return nil
		}
		plain, err := decodeJSON(b)
		if err != nil {
			return nil
		}
		return wrap(plain)
	}
	return v
}

var errDamaged = errors.New("a value of the snapshot is damaged")

func (e *Engine) unwrap(v any) (any, error) {
	if list, ok := v.([]any); ok {
		out := make([]any, len(list))
		for i, x := range list {
			var err error
			if out[i], err = e.unwrap(x); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return v, nil
	}
	for k, x := range m {
		switch x := x.(type) {
		case float64:
			if k == "u" {
				return Undefined, nil
			} else if k == "d" {
				return time.UnixMilli(int64(x)), nil
			}
		case string:
			if k == "n" {
				return strconv.ParseFloat(x, 64)
			} else if k == "x" {
				return markup.Parse("snapshot", []byte(x), e.opts.Markup)
			}
		case []any:
			if k == "e" && len(x) == 2 {
				src, _ := x[0].(string)
				flags, _ := x[1].(string)
				return Pattern{src, flags}, nil
			}
		case map[string]any:
			if k == "o" {
				out := make(map[string]any, len(x))
				for name, field := range x {
					var err error
					if out[name], err = e.unwrap(field); err != nil {
						return nil, err
					}
				}
				return out, nil
			}
		}
	}
	return nil, errDamaged
}
