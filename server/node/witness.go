package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// A record expires some seconds after its node died, which is a long time for a call. A process that is killed loses its
// connections at once, and then nobody answers in its name: that is what a witness looks for.

const (
	witnessEvery = 300 * time.Millisecond
	witnessed    = 3                      // nodes that one watches: the next ones by id, so that each is watched by three
	doorWait     = 400 * time.Millisecond // for the front door of a node whose connection to the fabric is gone
)

// witness takes away the records of nodes that are dead. It does so only when two witnesses agree: the fabric, which has no
// connection of the node twice in a row, and its front door, whose host refuses connections. A node that hangs, one that is beyond a
// broken network, and one without a front door by TCP keeps its record until it expires; one whose record was taken wrongly writes
// it again.
type witness struct {
	f      *fabric.Fabric
	record *record
	log    *slog.Logger
}

// run watches until ctx ends.
func (w *witness) run(ctx context.Context) error {
	tick := time.NewTicker(witnessEvery)
	defer tick.Stop()
	missing := map[string]uint64{} // revision of the record of a node that did not answer last time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, id := range w.record.next(witnessed) {
			switch seen, before := missing[id], w.record.revision(id); {
			case w.answers(ctx, id):
				delete(missing, id)
			case seen == 0 || seen != before:
				missing[id] = before
			case ctx.Err() == nil && w.deaf(ctx, id):
				delete(missing, id)
				w.bury(ctx, id, seen)
			}
		}
	}
}

// answers tells whether a node is there, or may be: only the news that it has no connection to the fabric says otherwise.
func (w *witness) answers(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, witnessEvery)
	defer cancel()
	_, err := fabric.CallNode(ctx, w.f, contract.NodeAlive, id, struct{}{})
	return !errors.Is(err, voice.ErrUnavailable)
}

// deaf tells whether the front door of a node refuses connections. Silence is no refusal: the network between may be broken, and
// the node have its calls still.
func (w *witness) deaf(ctx context.Context, id string) bool {
	w.record.mu.Lock()
	peer := w.record.peers[id]
	w.record.mu.Unlock()
	if ok, _ := w.f.Connected(); !ok { // it is we who are alone
		return false
	}
	if peer.Proxy == nil || peer.Proxy.TCP == "" { // then there is no second witness
		return false
	}
	d := net.Dialer{Timeout: doorWait}
	conn, err := d.DialContext(ctx, "tcp", peer.Proxy.TCP)
	if err == nil {
		_ = conn.Close() // nothing was said
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// bury takes the record of a dead node away, unless it has written it again.
func (w *witness) bury(ctx context.Context, id string, revision uint64) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := w.record.bucket.Delete(ctx, fabric.Key(id), fabric.PutOptions{CAS: true, Revision: revision})
	switch {
	case err == nil:
		w.log.LogAttrs(ctx, slog.LevelWarn, "node found dead", slog.String("node", id))
	case !errors.Is(err, voice.ErrConflict):
		w.log.LogAttrs(ctx, slog.LevelWarn, "the record of a dead node stays until it expires", slog.String("node", id), slog.Any("err", err))
	}
}

// next lists the n nodes that follow this one by id, around the ring.
func (r *record) next(n int) []string {
	all := r.others()
	i, _ := slices.BinarySearch(all, r.own.ID)
	ring := slices.Concat(all[i:], all[:i])
	return ring[:min(n, len(ring))]
}

// revision is that of a node's record; 0 when there is none.
func (r *record) revision(id string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revs[id]
}
