package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	// gather is how long a call that changed waits for more to change: what an answered call does in its first
	// moment is written once.
	gather = 10 * time.Millisecond
	again  = 250 * time.Millisecond // after a write that failed
	drops  = 16                     // calls that ended whose snapshots are taken away at once
)

// Store is the bucket, as a Writer needs it.
type Store interface {
	Get(ctx context.Context, key string) (fabric.Entry, error)
	PutAsync(key string, value []byte, o fabric.PutOptions, done func(revision uint64, err error))
	Delete(ctx context.Context, key string, o fabric.PutOptions) error
}

// Options are what a Writer needs. Store, Owner and Lost are required.
type Options struct {
	Store Store
	Owner Owner
	Lost  func(uuid string) // another node has the call; called from any goroutine, once a call
	Wrote prometheus.Counter
	Log   *slog.Logger
}

// Writer keeps the snapshots of a node's calls. Its methods never wait but for Flush, and may be called by any goroutine.
type Writer struct {
	o    Options
	wake chan struct{}
	drop chan *state

	mu    sync.Mutex // guards what follows
	calls map[string]*state
	dirty []*state
	busy  int           // writes and drops under way, and what waits
	idle  chan struct{} // closed when busy is 0; nil = nobody waits
}

// state is one call's.
type state struct {
	uuid     string
	revision uint64
	epoch    int
	next     *Call // to be written
	queued   bool
	writing  bool
	doubt    bool // the last write may be stored or not
	ended    bool
	lost     bool
}

// New returns a Writer that writes once Run runs.
func New(o Options) *Writer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wrote == nil {
		o.Wrote = prometheus.NewCounter(prometheus.CounterOpts{Name: "unused"})
	}
	return &Writer{o: o, wake: make(chan struct{}, 1), drop: make(chan *state, 4096), calls: map[string]*state{}}
}

// Adopt makes the Writer go on with a call that was claimed with that revision and epoch.
func (w *Writer) Adopt(uuid string, revision uint64, epoch int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[uuid] = &state{uuid: uuid, revision: revision, epoch: epoch}
}

// Save has c written, unless a newer one comes first. c belongs to the Writer.
func (w *Writer) Save(c *Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.calls[c.UUID]
	if st == nil {
		st = &state{uuid: c.UUID, epoch: 1}
		w.calls[st.uuid] = st
	}
	if st.lost {
		return
	}
	st.next, st.ended = c, false
	w.queueLocked(st)
}

// End takes the snapshot of a call away; a call that was never written costs nothing. A later Save writes it again.
func (w *Writer) End(uuid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.calls[uuid]
	if st == nil || st.ended {
		return
	}
	st.ended, st.next = true, nil
	w.queueLocked(st)
}

// Knows tells whether a call is kept here, or its snapshot is still to be taken away.
func (w *Writer) Knows(uuid string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[uuid] != nil
}

// Forget has nothing more written of a call, and leaves its snapshot to whoever has it now.
func (w *Writer) Forget(uuid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if st := w.calls[uuid]; st != nil {
		st.lost, st.next = true, nil
		delete(w.calls, uuid)
	}
}

func (w *Writer) queueLocked(st *state) {
	if st.queued || st.writing {
		return // what is under way looks again when it is done
	}
	st.queued = true
	w.dirty = append(w.dirty, st)
	w.busy++
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range drops {
		wg.Go(func() { w.dropAll(ctx) })
	}
	tick := time.NewTimer(gather)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		tick.Reset(gather)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		w.mu.Lock()
		batch := w.dirty
		w.dirty = nil
		w.mu.Unlock()
		for _, st := range batch {
			w.write(ctx, st)
		}
	}
}

// write puts what a call has to say, or takes it away.
func (w *Writer) write(ctx context.Context, st *state) {
	w.mu.Lock()
	st.queued = false
	c, revision, ended := st.next, st.revision, st.ended
	st.next = nil
	switch {
	case st.lost, ended && revision == 0 && !st.doubt, !ended && c == nil:
		if ended {
			delete(w.calls, st.uuid)
		}
		w.doneLocked()
		w.mu.Unlock()
		return
	}
	st.writing = true
	if c != nil {
		c.Owner, c.Epoch = w.o.Owner, st.epoch
	}
	w.mu.Unlock()
	if ended {
		select {
		case w.drop <- st:
		case <-ctx.Done():
		}
		return
	}
	b, err := c.Encode()
	if err != nil {
		w.wrote(ctx, st, c, 0, voice.Errorf(voice.ErrInvalid, "%v", err))
		return
	}
	w.o.Store.PutAsync(Key(st.uuid), b, fabric.PutOptions{CAS: true, Revision: revision}, func(rev uint64, err error) {
		w.wrote(ctx, st, c, rev, err)
	})
}

// wrote takes the outcome of a write.
func (w *Writer) wrote(ctx context.Context, st *state, c *Call, revision uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st.writing = false
	defer w.doneLocked()
	switch {
	case err == nil:
		w.o.Wrote.Inc()
		st.revision, st.doubt = revision, false
		if c.Released {
			st.lost = true // it is anybody's
			delete(w.calls, st.uuid)
		}
		if st.next != nil || st.ended {
			w.queueLocked(st)
		}
	case errors.Is(err, voice.ErrConflict):
		w.busy++ // until it is known whose it is
		go w.settle(ctx, st, c)
	case errors.Is(err, voice.ErrInvalid):
		w.o.Log.LogAttrs(ctx, slog.LevelError, "a call cannot be saved", slog.String("call", st.uuid), slog.Any("err", err))
	default:
		st.doubt = true
		w.o.Log.LogAttrs(ctx, slog.LevelWarn, "a call was not saved, it is tried again", slog.String("call", st.uuid), slog.Any("err", err))
		w.retryLocked(st, c)
	}
}

func (w *Writer) retryLocked(st *state, c *Call) {
	if st.next == nil && !st.ended {
		st.next = c
	}
	w.busy++
	time.AfterFunc(again, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.queueLocked(st)
		w.doneLocked()
	})
}

// settle finds out whether a revision that is not the expected one is another node's, or that of a write of ours whose answer was lost.
func (w *Writer) settle(ctx context.Context, st *state, c *Call) {
	e, err := w.o.Store.Get(ctx, Key(st.uuid))
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.doneLocked()
	if err == nil && w.ours(e, st.epoch) {
		st.revision, st.doubt = e.Revision, false
		if st.next == nil && !st.ended {
			st.next = c
		}
		w.queueLocked(st)
		return
	}
	if err != nil && !errors.Is(err, voice.ErrNotFound) {
		if ctx.Err() == nil {
			w.retryLocked(st, c)
		}
		return
	}
	w.loseLocked(st)
}

// loseLocked has nothing more written of a call that another node has.
func (w *Writer) loseLocked(st *state) {
	delete(w.calls, st.uuid)
	if !st.lost {
		st.lost, st.next = true, nil
		go w.o.Lost(st.uuid)
	}
}

// ours tells whether what is stored was written here, in this epoch of the call.
func (w *Writer) ours(e fabric.Entry, epoch int) bool {
	found, err := Decode(e.Value)
	return err == nil && found.Owner.Same(w.o.Owner) && found.Epoch == epoch && !found.Released
}

var errTaken = errors.New("snapshot: another node has the call")

// takeAway deletes a snapshot that is ours; errTaken when it is another node's.
func (w *Writer) takeAway(ctx context.Context, uuid string, revision uint64, doubt bool, epoch int) error {
	if !doubt {
		err := w.o.Store.Delete(ctx, Key(uuid), fabric.PutOptions{CAS: true, Revision: revision})
		if !errors.Is(err, voice.ErrConflict) {
			return err
		}
	}
	e, err := w.o.Store.Get(ctx, Key(uuid))
	switch {
	case errors.Is(err, voice.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !w.ours(e, epoch):
		return errTaken
	}
	return w.o.Store.Delete(ctx, Key(uuid), fabric.PutOptions{CAS: true, Revision: e.Revision})
}

// dropAll takes snapshots of calls that ended away.
func (w *Writer) dropAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case st := <-w.drop:
			w.mu.Lock()
			revision, doubt, epoch := st.revision, st.doubt, st.epoch
			w.mu.Unlock()
			err := w.takeAway(ctx, st.uuid, revision, doubt, epoch)
			w.mu.Lock()
			st.writing = false
			switch {
			case errors.Is(err, errTaken):
				w.loseLocked(st)
			case err != nil && ctx.Err() == nil:
				w.retryLocked(st, nil)
			case !st.ended: // saved again in the meantime
				st.revision, st.doubt = 0, false
				w.queueLocked(st)
			default:
				delete(w.calls, st.uuid)
			}
			w.doneLocked()
			w.mu.Unlock()
		}
	}
}

func (w *Writer) doneLocked() {
	if w.busy--; w.busy == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// Waiting is how much waits to be written, or is under way.
func (w *Writer) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

// Flush waits until everything is written that was to be written.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	if w.busy == 0 {
		w.mu.Unlock()
		return nil
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
