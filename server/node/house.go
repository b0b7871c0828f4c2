package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// house keeps what runs, in the order it was started, and stops it in reverse. It belongs to one goroutine.
type house struct {
	log    *slog.Logger
	rooms  []*room
	failed chan error // the first failure of a room; later ones are logged
}

// room is one thing that runs.
type room struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned
	err    error         // of run; read after done
}

func newHouse(log *slog.Logger) *house { return &house{log: log, failed: make(chan error, 1)} }

// start runs a room until stop. Its context does not end with the node's, because the order of stopping is ours.
func (h *house) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &room{name: name, cancel: cancel, done: make(chan struct{})}
	h.rooms = append(h.rooms, r)
	go func() {
		defer close(r.done)
		defer cancel()
		r.err = run(ctx)
		if ctx.Err() != nil && r.err == nil {
			return // asked to stop, and did
		}
		if r.err == nil {
			r.err = errors.New("ended by itself")
		}
		err := fmt.Errorf("%s: %w", name, r.err)
		select {
		case h.failed <- err:
		default:
			h.log.Error("service failed", slog.String("service", name), slog.Any("err", r.err))
		}
	}()
}

// stop ends the rooms in reverse order, each after the one before it is done. When drain is over the rest are
// stopped at once and given a last moment; what still runs then, and what failed on the way out, is in the error.
func (h *house) stop(drain time.Duration) error {
	const lastMoment = 500 * time.Millisecond
	timer := time.NewTimer(drain)
	defer timer.Stop()
	late := false
	var stuck []string
	for i := len(h.rooms) - 1; i >= 0; i-- {
		r := h.rooms[i]
		r.cancel()
		select {
		case <-r.done:
			continue
		case <-timer.C:
		}
		if !late {
			late = true
			for _, rest := range h.rooms[:i] {
				rest.cancel()
			}
		}
		timer.Reset(lastMoment)
		select {
		case <-r.done:
		case <-timer.C:
			stuck = append(stuck, r.name)
		}
		timer.Reset(0)
	}
	h.rooms = nil
	var err error
	if len(stuck) > 0 {
		err = fmt.Errorf("%s did not stop within %v", strings.Join(stuck, ", "), drain)
	}
	select {
	case failed := <-h.failed: // on the way out, or while nobody looked
		err = errors.Join(failed, err)
	default:
	}
	return err
}
