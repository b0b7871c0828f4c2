package fabric

import (
	"fmt"
	"sync"

	"parley/internal/voice"
)

// Syncer is an embedded server that fsyncs what it has acknowledged only when it is asked to. services/rq provides it.
type Syncer interface {
	// SyncStream returns when everything acknowledged for the stream before the call is on disk. After an error it
	// may not be. It may be called at once from many goroutines.
	SyncStream(stream string) error
}

// errNotSynced is final: the JetStream would take a repetition for a duplicate, and what a failed fsync has left on disk
// is unknown.
var errNotSynced = voice.Errorf(voice.ErrUnavailable, "stored, but perhaps not on disk")

// groupSync lets the acknowledged events of one stream share an fsync: while one runs, those that come wait together
// for the next. Its goroutine exists while there is one to run.
type groupSync struct {
	server Syncer
	stream string
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	waiting []func(error)
	running bool
	closed  bool
}

// then calls done once, when what the JetStream has acknowledged by now is on disk, or with an error. done must not
// block. There is no bound of its own: the publisher lets no more than publishWindow events be under way.
func (g *groupSync) then(done func(error)) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		done(errClosed)
		return
	}
	g.waiting = append(g.waiting, done)
	if !g.running {
		g.running = true
		g.wg.Go(g.run)
	}
	g.mu.Unlock()
}

func (g *groupSync) run() {
	for {
		g.mu.Lock()
		batch := g.waiting
		g.waiting = nil
		g.running = len(batch) > 0
		g.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		err := g.server.SyncStream(g.stream)
		if err != nil {
			err = fmt.Errorf("%w: %w", errNotSynced, err)
		}
		for _, done := range batch {
			done(err)
		}
	}
}

// close ends it when those that wait have had their sync, and refuses the rest.
func (g *groupSync) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}
