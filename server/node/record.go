package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/server/settings"
)

const (
	renewEvery = 3 * time.Second
	recordTTL  = 10 * time.Second // three renewals may fail
)

// record keeps this node's entry in the bucket of nodes alive, and knows the others'.
type record struct {
	bucket *fabric.Bucket
	key    string
	log    *slog.Logger
	poke   chan struct{} // renew now

	mu    sync.Mutex // guards what follows
	own   contract.NodeRecord
	load  func() sipua.Load              // of the SIP node here; nil = none
	peers map[string]contract.NodeRecord // by id, this node among them
	revs  map[string]uint64              // of their records
}

// startRecord publishes what this node is, keeps it alive, follows the other nodes and serves the door node/status.
func (n *Node) startRecord(ctx context.Context) error {
	r := &record{
		bucket: n.fab.Bucket(fabric.BucketNodes), key: fabric.Key(n.cfg.Node.ID), log: n.log, poke: make(chan struct{}, 1),
		own:   contract.NodeRecord{ID: n.cfg.Node.ID, Version: n.opts.Version, Started: n.started, Services: n.cfg.Node.Running()},
		peers: map[string]contract.NodeRecord{}, revs: map[string]uint64{},
	}
	n.record = r
	alive, err := fabric.Handle(context.WithoutCancel(ctx), n.fab, contract.NodeAlive, func(context.Context, struct{}) (struct{}, error) {
		return struct{}{}, nil
	})
	if err != nil {
		return fmt.Errorf("serve that the node is alive: %w", err)
	}
	rev, err := r.put(ctx, fabric.PutOptions{TTL: recordTTL})
	if err != nil {
		alive()
		return fmt.Errorf("announce the node: %w", err)
	}
	stop, err := fabric.Handle(context.WithoutCancel(ctx), n.fab, contract.NodeStatus, func(ctx context.Context, _ struct{}) (contract.StatusReport, error) {
		return n.Status(ctx), nil
	})
	if err != nil {
		alive()
		return fmt.Errorf("serve the node's status: %w", err)
	}
	n.house.start("node record", func(ctx context.Context) error {
		defer alive()
		defer stop()
		return r.keep(ctx, rev)
	})
	known := make(chan struct{})
	n.house.start("node watch", func(ctx context.Context) error {
		if err := r.bucket.Watch(ctx, "", r.changed, func() { close(known) }); ctx.Err() == nil {
			return err
		}
		return nil
	})
	n.house.start("node witness", func(ctx context.Context) error {
		w := witness{f: n.fab, record: r, log: n.log}
		return w.run(ctx)
	})
	select {
	case <-known:
	case <-ctx.Done():
		return ctx.Err()
	case err := <-n.house.failed:
		return err
	}
	return n.checkStores()
}

// checkStores refuses a second config service on a store of its own: callers would be given now the one truth, now
// the other. Of two nodes that start together at least one sees the other's record, because it writes its own first.
func (n *Node) checkStores() error {
	dsn := n.cfg.Store.DSN.Reveal()
	if !n.cfg.Node.Runs(settings.Conf) || dsn != "" && !strings.HasPrefix(dsn, "sqlite:") {
		return nil
	}
	n.record.mu.Lock()
	defer n.record.mu.Unlock()
	for id, peer := range n.record.peers {
		if id != n.cfg.Node.ID && slices.Contains(peer.Services, settings.Conf) {
			return fmt.Errorf("store.dsn: node %s runs the config service too, and this node's store is a file of its own; "+
				"name the same PostgreSQL on both, or leave config out of node.services here", id)
		}
	}
	return nil
}

func (r *record) put(ctx context.Context, o fabric.PutOptions) (uint64, error) {
	r.mu.Lock()
	if r.load != nil {
		l := r.load()
		r.own.SIP = &contract.SIPNodeRecord{Capacity: l.Capacity, Calls: l.Calls, Draining: l.Draining}
	}
	b, err := json.Marshal(r.own)
	r.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return r.bucket.Put(ctx, r.key, b, o)
}

// keep renews the record by compare-and-set until ctx ends, then takes it away. It returns an error when another node
// of the same id was there first.
func (r *record) keep(ctx context.Context, rev uint64) error {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := r.bucket.Delete(last, r.key, fabric.PutOptions{CAS: true, Revision: rev}); err != nil && !errors.Is(err, voice.ErrConflict) {
				r.log.Warn("the node's record stays until it expires", slog.Any("err", err))
			}
			return nil
		case <-tick.C:
		case <-r.poke:
		}
		next, err := r.put(ctx, fabric.PutOptions{TTL: recordTTL, CAS: true, Revision: rev})
		if errors.Is(err, voice.ErrConflict) {
			next, err = r.contest(ctx)
			if errors.Is(err, errTwin) {
				return err
			}
		}
		switch {
		case err == nil:
			rev = next
		case ctx.Err() == nil:
			r.log.Warn("the node's record cannot be renewed", slog.Any("err", err))
		}
	}
}

var errTwin = errors.New("another node of this id is alive in the cluster; give this one its own")

// contest is called when the record is not what this node wrote last. It is gone, because the fabric was away for
// longer than it lives; or it is ours, and the answer to our write was lost; or another node has the same id, and of
// the two the one that started later has to go.
func (r *record) contest(ctx context.Context) (rev uint64, err error) {
	e, err := r.bucket.Get(ctx, r.key)
	if errors.Is(err, voice.ErrNotFound) {
		return r.put(ctx, fabric.PutOptions{TTL: recordTTL})
	}
	if err != nil {
		return 0, err
	}
	var found contract.NodeRecord
	if err := json.Unmarshal(e.Value, &found); err != nil {
		return 0, fmt.Errorf("the node's record cannot be read: %w", err)
	}
	switch started := r.own.Started; {
	case found.Started.Equal(started):
		return e.Revision, nil
	case found.Started.Before(started):
		return 0, fmt.Errorf("node.id: %q: %w", found.ID, errTwin)
	default:
		r.log.Error("a second node with this id has started; it will stop", slog.String("node", found.ID))
		return r.put(ctx, fabric.PutOptions{TTL: recordTTL})
	}
}

// update changes what the node says of itself, and says it at once.
func (r *record) update(change func(*contract.NodeRecord)) {
	r.mu.Lock()
	change(&r.own)
	r.mu.Unlock()
	r.renew()
}

// carriesCalls makes the record say how much the SIP node here has to do.
func (r *record) carriesCalls(load func() sipua.Load) {
	r.mu.Lock()
	r.load = load
	r.mu.Unlock()
	r.renew()
}

// renew says at once what the node is.
func (r *record) renew() {
	select {
	case r.poke <- struct{}{}:
	default: // a renewal is due anyway
	}
}

// changed takes news of a node.
func (r *record) changed(e fabric.Entry) {
	id := e.Key
	if t := fabric.SplitKey(e.Key); len(t) == 1 {
		id = t[0]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Op != fabric.EntryPut {
		delete(r.peers, id)
		delete(r.revs, id)
		return
	}
	var rec contract.NodeRecord
	if err := json.Unmarshal(e.Value, &rec); err != nil {
		r.log.Warn("a node's record cannot be read", slog.String("node", id), slog.Any("err", err))
		return
	}
	r.peers[id], r.revs[id] = rec, e.Revision
}

// others lists the ids of the other nodes alive.
func (r *record) others() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for id := range r.peers {
		if id != r.own.ID {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
