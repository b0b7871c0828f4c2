package scxml

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// Session is one run of a program.
type Session struct {
	engine *Engine
	prog   *Program
	id     string
	owner  any

	parent    *Session
	invokeID  string // by which the parent knows this one
	cancelled bool   // the parent wants to hear nothing more
	given     []Param

	run     sync.Mutex // of the root: guards the whole family but for what mu guards
	now     time.Time
	started bool
	running bool
	end     *ending

	config      set
	entered     set // states that late binding has seen
	history     map[int][]*state
	internal    []Event
	event       *Event // _event
	toInvoke    []*state
	invocations map[string]*invocation
	timers      []timer
	ids         uint64 // of what the session names: sends, invocations, timers
	steps       int    // microsteps since the last external event
	overruns    int    // scripts stopped since the last external event
	model       *model // made when it is first needed

	asleep []byte // the data model while there is no runtime

	mu       sync.Mutex
	external []Event // guarded by mu
	ended    bool    // guarded by mu
}

// ending is what remains of a session that ended.
type ending struct {
	states []*state
	data   any
	err    error
	vars   map[string]any // see Options.KeepData
}

// ErrEnded says that a session takes no more events.
var ErrEnded = errors.New("the session has ended")

// ErrQueueFull says that an event was not taken.
var ErrQueueFull = errors.New("the queue of the session is full")

// ErrRunaway is wrapped by [Session.Err] of sessions that were stopped because they went beyond their limits.
var ErrRunaway = errors.New("runaway session")

// StartOptions are what a session begins with.
type StartOptions struct {
	ID     string         // _sessionid, and where events for it go
	Params map[string]any // values for <data> at the top of the document
	Owner  any            // for actions, processors and globals
}

// Start makes a session. It does nothing before the first Run.
func (e *Engine) Start(p *Program, opts StartOptions) *Session {
	s := e.session(p, opts.ID)
	s.owner = opts.Owner
	for name, v := range opts.Params {
		s.given = append(s.given, Param{Name: name, Value: v})
	}
	return s
}

func (e *Engine) session(p *Program, id string) *Session {
	s := &Session{engine: e, prog: p, id: id, running: true, config: newSet(len(p.states))}
	if p.late {
		s.entered = newSet(len(p.states))
	}
	return s
}

// ID is the session's id.
func (s *Session) ID() string { return s.id }

// Program is the document of the session.
func (s *Session) Program() *Program { return s.prog }

// Owner is what the host gave to Start or Restore.
func (s *Session) Owner() any { return s.owner }

func (s *Session) location() string { return "#_scxml_" + s.id }

func (s *Session) root() *Session {
	for s.parent != nil {
		s = s.parent
	}
	return s
}

// newID makes an id that the session has not given yet.
func (s *Session) newID(prefix string) string {
	s.ids++
	return prefix + strconv.FormatUint(s.ids, 10)
}

// Post puts an event on the external queue. It may be called from any goroutine, also while the session runs; the
// event is handled by the next Run, or by the one that is under way.
func (s *Session) Post(ev Event) error {
	if err := ev.check(s.engine.opts.Limits); err != nil {
		return err
	}
	if ev.Type == "" {
		ev.Type = External
	}
	return s.post(ev)
}

func (s *Session) post(ev Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return fmt.Errorf("session %s: %w", s.id, ErrEnded)
	}
	if len(s.external) >= s.engine.opts.Limits.Queue {
		return fmt.Errorf("session %s: %w", s.id, ErrQueueFull)
	}
	s.external = append(s.external, ev)
	return nil
}

// enqueue puts an event of this session on the queue of one of its family.
func (s *Session) enqueue(other *Session, ev Event, m Message) error {
	if s.cancelled && other == s.parent {
		return nil // §6.4.3: nothing of a cancelled session is heard
	}
	if err := other.post(ev); err != nil {
		return s.sendError(errCommunication, m, err, true)
	}
	return nil
}

func (s *Session) enqueueOwn(ev Event, m Message) error {
	if s.finished() {
		return nil // it is ending: nobody would take it
	}
	return s.enqueue(s, ev, m)
}

func (s *Session) take() (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.external) == 0 || s.ended {
		return Event{}, false
	}
	ev := s.external[0]
	if len(s.external) == 1 {
		s.external = nil // a waiting session keeps no queue
	} else {
		s.external[0] = Event{}
		s.external = s.external[1:]
	}
	return ev, true
}

// raise puts an event on the internal queue.
func (s *Session) raise(ev Event) error {
	if len(s.internal) >= s.engine.opts.Limits.Queue {
		err := fmt.Errorf("%w: more than %d events wait in the internal queue", ErrRunaway, s.engine.opts.Limits.Queue)
		s.abort(err)
		return err
	}
	s.internal = append(s.internal, ev)
	return nil
}

// raised is an error that becomes an event of its own name.
type raised struct {
	name   string
	sendID string
	err    error
}

func (r *raised) Error() string { return r.err.Error() }
func (r *raised) Unwrap() error { return r.err }

// sendError makes an error of a message: error.execution ends the block, while error.communication is raised and the
// block goes on, as it would if the message had failed later.
func (s *Session) sendError(name string, m Message, err error, named bool) error {
	r := &raised{name: name, err: err}
	if named {
		r.sendID = m.SendID
	}
	if name == errExecution {
		return r
	}
	s.fault(r)
	return nil
}

// fault puts the event of an error on the internal queue.
func (s *Session) fault(err error) {
	var r *raised
	if errors.As(err, &r) && r.name == errCommunication {
		s.communication(err, r.sendID)
	} else if r != nil {
		s.execution(err, r.sendID)
	} else {
		s.execution(err, "")
	}
}

func (s *Session) execution(err error, sendID string) { s.errorEvent(errExecution, err, sendID) }
func (s *Session) communication(err error, sendID string) {
	s.errorEvent(errCommunication, err, sendID)
}

func (s *Session) errorEvent(name string, err error, sendID string) {
	if s.end != nil {
		return
	}
	s.trace(TraceError, name, err.Error())
	s.engine.log.Debug("script error", slog.String("session", s.id), slog.String("document", s.prog.file), slog.String("event", name), slog.Any("err", err))
	_ = s.raise(Event{Name: name, Type: Platform, SendID: sendID, Data: map[string]any{"message": err.Error()}, hasData: true})
}

// runHandler runs a block; its error is an event.
func (s *Session) runHandler(actions []action) {
	if len(actions) == 0 || s.end != nil {
		return
	}
	if err := runBlock(s, actions); err != nil {
		s.fault(err)
	}
}

func (s *Session) log(label string, v any) {
	s.trace(TraceLog, label, v)
	s.engine.log.Debug("script log", slog.String("session", s.id), slog.String("label", label), slog.String("value", clip(Text(v))))
}

// clip keeps log lines short.
func clip(v string) string {
	if len(v) > 1000 {
		return v[:1000] + "…"
	}
	return v
}

func (s *Session) trace(what TraceKind, name string, data any) {
	if t := s.engine.opts.Trace; t != nil {
		t(s.id, Trace{At: s.now, What: what, Name: name, Data: data})
	}
}

func (s *Session) finished() bool { return s.end != nil }

// Done tells whether the session has ended.
func (s *Session) Done() bool {
	r := s.root()
	r.run.Lock()
	defer r.run.Unlock()
	return s.end != nil
}

// Err is why a session ended that was not allowed to reach its end, else nil.
func (s *Session) Err() error {
	r := s.root()
	r.run.Lock()
	defer r.run.Unlock()
	if s.end == nil {
		return nil
	}
	return s.end.err
}

// Result is the donedata of the final state that a session ended in.
func (s *Session) Result() any {
	r := s.root()
	r.run.Lock()
	defer r.run.Unlock()
	if s.end == nil {
		return Undefined
	}
	return s.end.data
}

// Configuration lists the ids of active states in document order; of a session that ended, those it ended in.
func (s *Session) Configuration() []string { return s.active(func(*state) bool { return true }) }

// Atomic lists the active states that have no states inside.
func (s *Session) Atomic() []string { return s.active((*state).atomic) }

func (s *Session) active(want func(*state) bool) []string {
	r := s.root()
	r.run.Lock()
	defer r.run.Unlock()
	var out []string
	for _, st := range s.states() {
		if want(st) {
			out = append(out, st.id)
		}
	}
	return out
}

func (s *Session) states() []*state {
	if s.end != nil {
		return s.end.states
	}
	var out []*state
	for i := s.config.next(0); i >= 0; i = s.config.next(i + 1) {
		out = append(out, s.prog.states[i])
	}
	return out
}
