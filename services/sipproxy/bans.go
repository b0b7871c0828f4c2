package sipproxy

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
)

// bans is this node's copy of the sources that are not served, fed by one watch on the bucket. The transport asks it
// for every datagram.
type bans struct {
	n    atomic.Int64 // len(till), so that the usual case, nobody banned, costs one load
	mu   sync.RWMutex // guards keys and till
	keys map[string]netip.Addr
	till map[netip.Addr]time.Time
}

func newBans() *bans {
	return &bans{keys: map[string]netip.Addr{}, till: map[netip.Addr]time.Time{}}
}

// Banned tells whether a is not to be served.
func (b *bans) Banned(a netip.Addr) bool {
	if b.n.Load() == 0 {
		return false
	}
	b.mu.RLock()
	until, ok := b.till[a.Unmap()]
	b.mu.RUnlock()
	return ok && time.Now().Before(until)
}

// watch follows the bucket until ctx ends; bad is told of records that cannot be read.
func (b *bans) watch(ctx context.Context, bucket *fabric.Bucket, bad func(key string, err error)) error {
	return bucket.Watch(ctx, "", func(e fabric.Entry) {
		if e.Op != fabric.EntryPut {
			b.lift(e.Key)
			return
		}
		var ban contract.Ban
		if err := json.Unmarshal(e.Value, &ban); err != nil {
			bad(e.Key, err)
			return
		}
		b.set(e.Key, ban)
	}, nil)
}

func (b *bans) set(key string, ban contract.Ban) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := ban.Source.Unmap()
	b.keys[key], b.till[a] = a, ban.Until
	b.n.Store(int64(len(b.till)))
}

func (b *bans) lift(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.till, b.keys[key])
	delete(b.keys, key)
	b.n.Store(int64(len(b.till)))
}
