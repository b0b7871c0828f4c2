package fabric

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// watchQueue is how many changes may wait for one watch before it holds back the bucket's feed.
const watchQueue = 1024

// feed is the one consumer a node has on a bucket, from the first Watch until Close. It keeps the set of keys (not
// the values), so that it can tell which keys are gone after a time without connection.
type feed struct {
	b *Bucket

	mu       sync.Mutex // guards what follows
	started  bool
	fresh    bool // nothing was delivered yet: a watch that joins now sees everything through the feed
	watchers map[*watcher]struct{}
}

// watcher is one Watch.
type watcher struct {
	prefix string
	queue  chan signal
	gone   chan struct{} // closed when the watch has ended
	whole  bool          // joined a fresh feed, needs no snapshot
}

// signal is an entry for a watch, or (synced) the news that the feed has delivered all that was there.
type signal struct {
	entry  Entry
	synced bool
}

func (d *feed) init(b *Bucket) {
	d.b = b
	d.watchers = map[*watcher]struct{}{}
}

// Watch calls fn for the current entry of every key and then for each change, in order, one at a time, until ctx
// ends; then it returns nil, and fn does not run any more. synced (may be nil) is called once when the current entries
// have been given. Changes that follow each other quickly may be seen as the last of them only. prefix is a key prefix
// of whole tokens, or "".
//
// However many watches a node has on a bucket, the JetStream sees one: a late watch reads the current entries through a
// consumer of its own and then shares the feed. No values are kept in memory for this. fn must not block for long: its
// queue is bounded, and when it is full the other watches of this bucket on this node wait too.
func (b *Bucket) Watch(ctx context.Context, prefix string, fn func(Entry), synced func()) error {
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return err
		}
	}
	ctx, cancel := b.f.bind(ctx)
	defer cancel()
	if b.f.ctx.Err() != nil {
		return errClosed
	}
	call := func(e Entry) { guard(b.f.log, "watch of "+b.name, func() { fn(e) }) }
	w := b.feed.join(prefix)
	defer b.feed.leave(w)
	var upTo uint64
	if !w.whole {
		upTo = b.snapshot(ctx, prefix, call)
		if ctx.Err() == nil && synced != nil {
			synced()
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-w.queue:
			switch {
			case s.synced:
				if w.whole && synced != nil {
					synced()
					synced = nil
				}
			case s.entry.Revision > upTo:
				call(s.entry)
			}
		}
	}
}

func (d *feed) join(prefix string) *watcher {
	w := &watcher{prefix: prefix, queue: make(chan signal, watchQueue), gone: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.started {
		d.started, d.fresh = true, true
		k := newKeyFollower(d.b, "")
		k.emit = d.emit
		k.synced = d.synced
		d.b.f.wg.Go(func() { k.w.run(d.b.f.ctx) })
	}
	w.whole = d.fresh
	d.watchers[w] = struct{}{}
	return w
}

func (d *feed) leave(w *watcher) {
	close(w.gone)
	d.mu.Lock()
	delete(d.watchers, w)
	d.mu.Unlock()
}

// emit gives e to every watch it concerns. Each gets a value of its own.
func (d *feed) emit(e Entry) {
	d.mu.Lock()
	d.fresh = false
	var to []*watcher
	for w := range d.watchers {
		if covers(w.prefix, e.Key) {
			to = append(to, w)
		}
	}
	d.mu.Unlock()
	for i, w := range to {
		own := e
		if i < len(to)-1 { // the last gets the original, when nobody copies from it any more
			own.Value = bytes.Clone(e.Value)
		}
		w.give(signal{entry: own})
	}
}

func (d *feed) synced() {
	d.mu.Lock()
	d.fresh = false
	to := slices.Collect(maps.Keys(d.watchers))
	d.mu.Unlock()
	for _, w := range to {
		w.give(signal{synced: true})
	}
}

func (w *watcher) give(s signal) {
	select {
	case w.queue <- s:
	case <-w.gone:
	}
}

// snapshot gives the current entries under prefix and returns the stream sequence up to which that is all.
func (b *Bucket) snapshot(ctx context.Context, prefix string, fn func(Entry)) uint64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k := newKeyFollower(b, prefix)
	k.emit = func(e Entry) {
		if ctx.Err() == nil {
			fn(e)
		}
	}
	k.synced = cancel
	k.w.run(ctx)
	return k.last
}

// Each calls fn for the current entry of every key under prefix, one at a time. Unlike a watch it costs nothing afterwards.
func (b *Bucket) Each(ctx context.Context, prefix string, fn func(Entry)) error {
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return err
		}
	}
	ctx, cancel := b.f.bind(ctx)
	defer cancel()
	if b.f.ctx.Err() != nil {
		return errClosed
	}
	b.snapshot(ctx, prefix, func(e Entry) {
		guard(b.f.log, "entries of "+b.name, func() { fn(e) })
	})
	if ctx.Err() != nil {
		return ctxError(ctx)
	}
	return nil
}

// keyFollower follows the last entries of a bucket and knows its keys. Whenever its consumer has to be made anew it
// reads all last entries again: it passes over those it gave before, and what it does not see any more is gone.
// Its fields belong to the follower, which calls one at a time.
type keyFollower struct {
	b      *Bucket
	w      *follower
	emit   func(Entry)
	synced func() // all current entries were emitted; called after each new consumer

	last  uint64            // highest stream sequence delivered
	keys  map[string]uint32 // keys that are there, with the round in which they were seen
	round uint32
	whole bool // the round is over
}

func newKeyFollower(b *Bucket, prefix string) *keyFollower {
	k := &keyFollower{b: b, w: newFollower(b.f, b.stream), keys: map[string]uint32{}}
	plan := consumerPlan{Policy: "last_per_subject", Filters: []string{b.prefix + Rest}}
	if prefix != "" {
		plan.Filters = []string{b.prefix + prefix, b.prefix + prefix + "." + Rest}
	}
	k.w.plan = func() consumerPlan { return plan }
	k.w.made = func(consumerInfo) { k.round++; k.whole = false }
	k.w.back = func(to uint64) { k.last = to } // every key is read again anyhow
	k.w.handle = k.handle
	k.w.quiet = k.quiet
	return k
}

func (k *keyFollower) handle(m *nats.Msg, meta msgMeta) {
	key := strings.TrimPrefix(m.Subject, k.b.prefix)
	e := entry(key, m.Data, m.Header, meta.stream, meta.time)
	_, known := k.keys[key]
	switch {
	case e.Op != EntryPut:
		delete(k.keys, key)
	case known:
		k.keys[key] = k.round // keeps the string it has
	default:
		k.keys[strings.Clone(key)] = k.round // without the subject around it
	}
	if meta.stream <= k.last {
		return // given before the consumer was made anew
	}
	k.last = meta.stream
	if e.Op == EntryPut || known {
		k.emit(e)
	}
}

// quiet ends a round: what was not seen in it is gone.
func (k *keyFollower) quiet(at uint64) {
	if k.whole {
		return
	}
	k.whole = true
	k.last = max(k.last, at)
	if k.round > 1 {
		for key, seen := range k.keys {
			if seen != k.round {
				delete(k.keys, key)
				k.emit(Entry{Key: key, Op: EntryDelete, Revision: k.last})
			}
		}
	}
	k.synced()
}
