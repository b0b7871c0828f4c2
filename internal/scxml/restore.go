package scxml

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// ErrOtherProgram says that a snapshot was taken of another text of the document.
var ErrOtherProgram = errors.New("the snapshot is of another version of the document")

// Restore brings back what [Session.Snapshot] wrote, in this or another process. p is the program it ran; timers that
// became due meanwhile fire in the next Run.
func (e *Engine) Restore(p *Program, snapshot []byte, owner any) (*Session, error) {
	var in saved
	if err := json.Unmarshal(snapshot, &in); err != nil {
		return nil, fmt.Errorf("restore session: %w", err)
	}
	if in.Version != snapshotVersion {
		return nil, fmt.Errorf("restore session %s: version %d of snapshots, this program reads %d", in.ID, in.Version, snapshotVersion)
	}
	s, err := e.restore(p, &in, nil, owner)
	if err != nil {
		return nil, fmt.Errorf("restore session %s: %w", in.ID, err)
	}
	return s, nil
}

func (e *Engine) restore(p *Program, in *saved, parent *Session, owner any) (*Session, error) {
	if in.Digest != p.digest {
		return nil, ErrOtherProgram
	}
	s := e.session(p, in.ID)
	s.owner, s.parent, s.invokeID = owner, parent, in.InvokeID
	s.now, s.started, s.ids = in.Now, in.Started, in.IDs
	s.asleep = []byte(in.Data)
	states, err := s.at(in.States)
	if err != nil {
		return nil, err
	}
	if in.End != nil {
		return s, s.restoreEnd(in.End, states)
	}
	for _, st := range states {
		s.config.add(st)
	}
	if err := s.restoreMemory(in); err != nil {
		return nil, err
	}
	if s.given, err = e.params(in.Given); err != nil {
		return nil, err
	}
	if s.internal, err = e.events(in.Internal); err != nil {
		return nil, err
	}
	if s.external, err = e.events(in.External); err != nil {
		return nil, err
	}
	if in.Event != nil {
		evs, err := e.events([]savedEvent{*in.Event})
		if err != nil {
			return nil, err
		}
		s.event = &evs[0]
	}
	if err := s.restoreTimers(in.Timers); err != nil {
		return nil, err
	}
	for _, inv := range in.Invocations {
		if err := s.restoreInvocation(inv); err != nil {
			return nil, fmt.Errorf("invocation %s: %w", inv.ID, err)
		}
	}
	return s, nil
}

func (s *Session) restoreEnd(end *savedEnd, states []*state) error {
	data, err := s.engine.unwrap(end.Data)
	if err != nil {
		return err
	}
	s.end = &ending{states: states, data: data}
	if end.Err != "" {
		s.end.err = fmt.Errorf("%w: %s", ErrRunaway, end.Err)
	}
	s.running, s.ended = false, true
	return nil
}

// at finds states by index.
func (s *Session) at(list []int) ([]*state, error) {
	out := make([]*state, 0, len(list))
	for _, i := range list {
		if i <= 0 || i >= len(s.prog.states) {
			return nil, fmt.Errorf("there is no state %d", i)
		}
		out = append(out, s.prog.states[i])
	}
	return out, nil
}

func (s *Session) restoreMemory(in *saved) error {
	seen, err := s.at(in.Entered)
	if err != nil {
		return err
	}
	if s.entered != nil {
		for _, st := range seen {
			s.entered.add(st)
		}
	}
	for key, list := range in.History {
		h, err := strconv.Atoi(key)
		if err != nil || h <= 0 || h >= len(s.prog.states) || s.prog.states[h].kind != kindHistory {
			return fmt.Errorf("there is no history %s", key)
		}
		if s.history == nil {
			s.history = map[int][]*state{}
		}
		if s.history[h], err = s.at(list); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) restoreTimers(list []savedTimer) error {
	for _, t := range list {
		params, err := s.engine.params(t.Params)
		if err != nil {
			return err
		}
		body, err := s.engine.unwrap(t.Body)
		if err != nil {
			return err
		}
		s.timers = append(s.timers, timer{due: t.Due, m: Message{
			Event: t.Event, Target: t.Target, Type: t.Type, SendID: t.SendID, Params: params, Body: body,
			HasBody: t.HasBody, Text: t.Text, named: t.Named,
		}})
	}
	return nil
}

func (s *Session) restoreInvocation(in savedInvocation) error {
	if in.Index < 0 || in.Index >= len(s.prog.invokes) {
		return fmt.Errorf("there is no <invoke> %d in the document", in.Index)
	}
	run := &invocation{id: in.ID, of: s.prog.invokes[in.Index], kind: in.Kind}
	if in.Child != nil {
		p := run.of.program
		var err error
		if p == nil {
			if p, err = s.engine.cached(in.Child.File, []byte(in.Child.Source)); err != nil {
				return err
			}
		}
		if run.child, err = s.engine.restore(p, in.Child, s, nil); err != nil {
			return err
		}
	} else {
		invoker := s.engine.invokers[in.Kind]
		if invoker == nil {
			return fmt.Errorf("there is no service of type %q", in.Kind)
		}
		var err error
		if run.service, err = invoker.Resume(s.handle(), in.ID, in.Service); err != nil {
			return err
		}
	}
	if s.invocations == nil {
		s.invocations = map[string]*invocation{}
	}
	s.invocations[in.ID] = run
	return nil
}

func (e *Engine) params(list []savedParam) ([]Param, error) {
	var out []Param
	for _, p := range list {
		v, err := e.unwrap(p.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, Param{p.Name, v})
	}
	return out, nil
}

func (e *Engine) events(list []savedEvent) ([]Event, error) {
	var out []Event
	for _, ev := range list {
		data, err := e.unwrap(ev.Data)
		if err != nil {
			return nil, err
		}
		out = append(out, Event{
			Name: ev.Name, Type: ev.Type, SendID: ev.SendID, Origin: ev.Origin, OriginType: ev.OriginType,
			InvokeID: ev.InvokeID, Data: data, hasData: ev.HasData, Raw: ev.Raw,
		})
	}
	return out, nil
}

// Sleep gives back the runtimes of a waiting session and of those it invoked; the next event that needs one makes it
// anew from what is kept as JSON. A session whose variables cannot be kept stays awake, and the error says why.
func (s *Session) Sleep() error {
	s.run.Lock()
	defer s.run.Unlock()
	var first error
	s.eachMember(func(m *Session) {
		if m.model == nil {
			return
		}
		image, err := m.pack()
		if err != nil {
			if first == nil {
				first = err
			}
			return
		}
		m.asleep, m.model = image, nil
	})
	return first
}
