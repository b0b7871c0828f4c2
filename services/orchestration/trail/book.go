package trail

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/scxml"
)

// Limits bounds what a book keeps; zero fields take those of [DefaultLimits].
type Limits struct {
	Steps int // of one session
	Ended int // sessions
	Bytes int // of the data of one step, estimated
}

// DefaultLimits keeps a waiting session's trail at a few KB.
func DefaultLimits() Limits { return Limits{Steps: 300, Ended: 1000, Bytes: 4 << 10} }

// Book is the trails of a node's sessions.
type Book struct {
	lim Limits

	mu       sync.RWMutex // guards what follows
	sessions map[string]*record
	ended    []string // ids, the oldest first
}

// New returns an empty book.
func New(l Limits) *Book {
	d := DefaultLimits()
	l = Limits{Steps: cmp.Or(l.Steps, d.Steps), Ended: cmp.Or(l.Ended, d.Ended), Bytes: cmp.Or(l.Bytes, d.Bytes)}
	return &Book{lim: l, sessions: map[string]*record{}}
}

// record is the trail of one session.
type record struct {
	prog *scxml.Program

	mu     sync.Mutex // guards what follows
	info   contract.ScriptSession
	active []string
	steps  []step // the last ones
	seq    uint64 // of the last of them
	wake   chan struct{}
}

// step is a contract.SessionStep whose data is not written yet.
type step struct {
	at   time.Time
	what contract.StepKind
	name string
	data any
}

// Open begins the trail of a session: one that starts, or, with the states it is in, one that was taken over. info says
// what is known of it but its states and its end.
func (b *Book) Open(info contract.ScriptSession, p *scxml.Program, active []string) {
	info.Digest = p.Digest()
	r := &record{prog: p, info: info, active: slices.Clone(active)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[info.ID] = r
}

// Update changes what is known of a session, such as its call or its next timer.
func (b *Book) Update(id string, change func(*contract.ScriptSession)) {
	if r := b.record(id); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		change(&r.info)
	}
}

// Drop forgets a session that goes on elsewhere.
func (b *Book) Drop(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, id)
}

// Trace takes what the interpreter tells; it is made to be [scxml.Options].Trace. What sessions do that were invoked by one
// stands in the trail of that one, under their own names.
func (b *Book) Trace(session string, t scxml.Trace) {
	root, child, invoked := strings.Cut(session, ".")
	r := b.record(session)
	if r != nil {
		invoked = false
	} else if r = b.record(root); r == nil {
		return
	}
	name := t.Name
	if invoked {
		name = child + ": " + name
	}
	r.mu.Lock()
	if !invoked {
		r.follow(t)
	}
	r.add(step{t.At, contract.StepKind(t.What), name, weighed(t.Data, b.lim.Bytes)}, b.lim.Steps)
	r.mu.Unlock()
	if t.What == scxml.TraceEnd && !invoked {
		b.end(session)
	}
}

// Request notes what an action of a module asks for, such as queue.submit.
func (b *Book) Request(session string, at time.Time, name string, data any) {
	root, _, _ := strings.Cut(session, ".")
	r := cmp.Or(b.record(session), b.record(root))
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(step{at, contract.StepRequest, name, weighed(data, b.lim.Bytes)}, b.lim.Steps)
}

func (b *Book) record(id string) *record {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.sessions[id]
}

// end puts a session among those that are forgotten in their turn.
func (b *Book) end(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sessions[id] == nil {
		return
	}
	b.ended = append(b.ended, id)
	for len(b.ended) > b.lim.Ended {
		delete(b.sessions, b.ended[0])
		b.ended = b.ended[1:]
	}
}

// follow keeps the active states.
func (r *record) follow(t scxml.Trace) {
	switch t.What {
	case scxml.TraceEnter:
		if t.Name != "" && !slices.Contains(r.active, t.Name) {
			r.active = append(r.active, t.Name)
		}
	case scxml.TraceExit:
		if i := slices.Index(r.active, t.Name); i >= 0 {
			r.active = slices.Delete(r.active, i, i+1)
		}
	case scxml.TraceError:
		r.info.Error, _ = t.Data.(string)
	case scxml.TraceEnd:
		r.info.End = t.At
	}
}

func (r *record) add(s step, keep int) {
	r.seq++
	if len(r.steps) >= 2*keep { // moving half of them now and then is cheaper than a ring that is always full
		r.steps = append(r.steps[:0], r.steps[len(r.steps)-keep+1:]...)
	}
	r.steps = append(r.steps, s)
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// Size is how many sessions the book knows, and how many of them have ended.
func (b *Book) Size() (all, ended int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.sessions), len(b.ended)
}
