package tenant

import (
	"context"
	"sync"
	"time"

	"parley/internal/fabric"
)

// revokedPrefix is the first token of the keys in the bucket "leases" that name revoked tokens.
const revokedPrefix = "revoked"

// revoked is the set of tokens that were ended before their time, the same on every node: each watches the bucket.
// A key goes when the token would have expired anyway, so the set is as large as the sign-outs of one token life.
type revoked struct {
	bucket *fabric.Bucket

	mu  sync.RWMutex // guards ids
	ids map[string]struct{}
}

func newRevoked(b *fabric.Bucket) *revoked {
	return &revoked{bucket: b, ids: map[string]struct{}{}}
}

// watch follows the bucket until ctx ends; synced is called when the set is complete.
func (r *revoked) watch(ctx context.Context, synced func()) error {
	return r.bucket.Watch(ctx, fabric.Key(revokedPrefix), r.entry, synced)
}

func (r *revoked) entry(e fabric.Entry) {
	tokens := fabric.SplitKey(e.Key)
	if len(tokens) != 2 || tokens[0] != revokedPrefix {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Op == fabric.EntryPut {
		r.ids[tokens[1]] = struct{}{}
	} else {
		delete(r.ids, tokens[1])
	}
}

// add revokes the token id everywhere and returns when it is stored; ttl is what was left of its life.
func (r *revoked) add(ctx context.Context, id string, ttl time.Duration) error {
	_, err := r.bucket.Put(ctx, fabric.Key(revokedPrefix, id), []byte("{}"), fabric.PutOptions{TTL: ttl})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[id] = struct{}{} // not waiting for our own watch: the next request may be here already
	return nil
}

func (r *revoked) has(id string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.ids[id]
	return ok
}

func (r *revoked) size() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.ids)
}
