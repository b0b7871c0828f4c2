package fabric

import (
	"fmt"
	"sync"
	"time"

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

const (
	// gatherFor is how long an event that nobody waits for may wait for others to share its fsync with. At a few hundred
	// records a second each would have one of its own, which costs more than anything else done with it.
	gatherFor = 20 * time.Millisecond

	// gatherMost is how many wait together at the most, far below publishWindow.
	gatherMost = 256
)

// groupSync lets the acknowledged events of one stream share an fsync: while one runs, those that come wait together
// for the next, and as long as nobody waits for any of them, gatherFor on top. Its goroutine exists while there is one to run.
type groupSync struct {
	server Syncer
	stream string
	hurry  chan struct{} // capacity 1: do not gather any longer
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	waiting []func(error)
	urgent  bool // somebody waits for one of them
	running bool
	closed  bool
}

func newGroupSync(server Syncer, stream string) *groupSync {
	return &groupSync{server: server, stream: stream, hurry: make(chan struct{}, 1)}
}

// then calls done once, when what the JetStream has acknowledged by now is on disk, or with an error. done must not
// block. urgent says that somebody waits for it. There is no bound of its own: the publisher lets no more than publishWindow
// events be under way.
func (g *groupSync) then(urgent bool, done func(error)) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		done(errClosed)
		return
	}
	g.waiting = append(g.waiting, done)
	g.urgent = g.urgent || urgent || len(g.waiting) >= gatherMost
	now := g.urgent
	if !g.running {
		g.running = true
		g.wg.Go(g.run)
	}
	g.mu.Unlock()
	if now {
		g.ring()
	}
}

// ring ends a gathering.
func (g *groupSync) ring() {
	select {
	case g.hurry <- struct{}{}:
	default:
	}
}

func (g *groupSync) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		g.mu.Lock()
		if len(g.waiting) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		gather := !g.urgent && !g.closed
		g.mu.Unlock()
		if gather {
			timer.Reset(gatherFor)
			select {
			case <-g.hurry:
			case <-timer.C:
			}
		}
		g.mu.Lock()
		batch := g.waiting
		g.waiting, g.urgent = nil, false
		select {
		case <-g.hurry: // it was for these
		default:
		}
		g.mu.Unlock()
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
	g.ring()
	g.wg.Wait()
}
