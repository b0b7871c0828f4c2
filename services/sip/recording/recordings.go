package recording

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
	"parley/internal/voice"
)

// healthCheck is the name of our check in the health of the node.
const healthCheck = "recordings"

// troubled is how long the check tells of a recording that failed.
const troubled = 10 * time.Minute

// Options are what Recordings need. Registry and Health are required.
type Options struct {
	Node     string
	Dir      string // "" = nothing can be recorded
	Config   Config
	Registry prometheus.Registerer
	Health   *obs.Health
	Log      *slog.Logger                    // nil = nowhere
	Free     func(dir string) (int64, error) // bytes free on the disk of dir; nil = what the system says
	Now      func() time.Time                // nil = time.Now
}

// Recordings are the store of a node, and what is recorded into it.
type Recordings struct {
	o    Options
	m    *metrics
	now  func() time.Time
	full atomic.Pointer[string] // why nothing more may be recorded; nil = it may

	mu     sync.Mutex // guards what follows
	tapes  map[string]*Tape
	last   trouble // the last recording that failed
	ctx    context.Context
	cancel context.CancelFunc
	closed bool
	tasks  sync.WaitGroup
}

// trouble is a recording that is not whole.
type trouble struct {
	at  time.Time
	why string
}

// New checks its arguments and starts nothing.
func New(o Options) (*Recordings, error) {
	if o.Registry == nil || o.Health == nil {
		return nil, errors.New("recording: Registry and Health are required")
	}
	if err := errors.Join(o.Config.Check()...); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Free == nil {
		o.Free = freeOn
	}
	r := &Recordings{o: o, now: o.Now, tapes: map[string]*Tape{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.m = newMetrics(r, o.Registry)
	o.Health.Set(healthCheck, obs.LevelPass, "")
	return r, nil
}

// Run completes what a process before left open, and tidies the store until ctx ends. Recordings under way go on: see Close.
func (r *Recordings) Run(ctx context.Context) error {
	if r.o.Dir == "" {
		return nil
	}
	r.look()
	r.recover(ctx)
	r.sweep(ctx)
	often, rarely := time.NewTicker(lookEvery), time.NewTicker(sweepEvery)
	defer often.Stop()
	defer rarely.Stop()
	for {
		select {
		case <-often.C:
			r.look()
		case <-rarely.C:
			r.sweep(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends all recordings and returns when they are on disk and their ends are told.
func (r *Recordings) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.tasks.Wait()
}

// Begin begins a recording, which hears nobody yet. done is told its complete ledger, once, at the end, whatever that is. An
// error says why there is none.
func (r *Recordings) Begin(call Call, done func(Ledger)) (*Tape, error) {
	fail := func(err error) (*Tape, error) {
		r.failed(err.Error())
		r.o.Log.Error("a recording cannot begin", "tenant", call.Tenant, "call", call.CallUUID, "err", err)
		return nil, err
	}
	if r.o.Dir == "" {
		return fail(voice.Errorf(voice.ErrUnavailable, "this node has no directory for recordings (media.recordings)"))
	}
	if why := r.full.Load(); why != nil {
		return fail(voice.Errorf(voice.ErrOverloaded, "%s", *why))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, voice.Errorf(voice.ErrUnavailable, "this node records no more: it is shutting down")
	case r.o.Config.MaxTapes > 0 && len(r.tapes) >= r.o.Config.MaxTapes:
		r.m.failed.Add(1)
		return nil, voice.Errorf(voice.ErrOverloaded, "%d calls are recorded on this node, which is the most (calls.recording.max_at_once)", len(r.tapes))
	}
	start := r.now().UTC()
	id := newID(start, call.CallUUID)
	for r.tapes[id] != nil { // of one call, in one millisecond
		start = start.Add(time.Millisecond)
		id = newID(start, call.CallUUID)
	}
	in := inStore(call.Tenant, id)
	if in == "" {
		return nil, voice.Errorf(voice.ErrInvalid, "%.70q is no identifier of a call", call.CallUUID)
	}
	t := &Tape{r: r, path: filepath.Join(r.o.Dir, in), done: done, wrote: make(chan struct{}, 1)}
	t.entry = Entry{Of: call, Node: r.o.Node, Left: []string{}, Right: []string{}, RecordingLedger: Ledger{
		ID: id, State: StateRecording, Reason: call.Reason, Start: start, File: in + soundEnding, LeftOut: r.o.Config.Pauses == LeaveOutPauses,
	}}
	r.tapes[id] = t
	r.m.begun.WithLabelValues(call.Reason).Inc()
	r.tasks.Go(func() { t.run(r.ctx) })
	return t, nil
}

// ended takes a tape out.
func (r *Recordings) ended(t *Tape, e *Entry) {
	r.mu.Lock()
	delete(r.tapes, e.ID)
	r.mu.Unlock()
	r.m.seconds.Add(e.Duration.Seconds())
	if e.Error != "" {
		r.failed(e.Error)
	}
	r.logEnd(e)
}

// Failed counts a recording that came to nothing, of a conference too, and has the health check tell.
func (r *Recordings) Failed(why string) { r.failed(why) }

func (r *Recordings) failed(why string) {
	r.m.failed.Add(1)
	r.mu.Lock()
	r.last = trouble{r.now(), why}
	r.mu.Unlock()
	r.tellHealth()
}

// tellHealth says whether calls are recorded as they should be. Calls go on in any case, so it is never worse than degraded.
func (r *Recordings) tellHealth() {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	switch why := r.full.Load(); {
	case why != nil:
		r.o.Health.Set(healthCheck, obs.LevelDegraded, *why)
	case last.why != "" && r.now().Sub(last.at) < troubled:
		r.o.Health.Set(healthCheck, obs.LevelDegraded, fmt.Sprintf("a recording failed at %s: %s", last.at.UTC().Format(time.TimeOnly), last.why))
	default:
		r.o.Health.Set(healthCheck, obs.LevelPass, "")
	}
}

// running is the tape of an identifier; nil = it is over, or never was.
func (r *Recordings) running(id string) *Tape {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tapes[id]
}

func (r *Recordings) all() []*Tape {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*Tape, 0, len(r.tapes))
	for _, t := range r.tapes {
		out = append(out, t)
	}
	return out
}
