package digest

import (
	"sync"
	"sync/atomic"
)

const (
	replayShards = 16
	windowBits   = 64 // nonce-counts below the highest that may still arrive, once each
)

// replayGuard remembers which counts of which nonces have been used, within bounds.
type replayGuard struct {
	floor  atomic.Int64 // unknown nonces made at or before this time (ms) are stale
	shards [replayShards]replayShard
}

// replayShard is a ring of entries in order of first use, and an index into it.
type replayShard struct {
	mu    sync.Mutex // guards all below
	index map[nonceID]int32
	ring  []usedNonce
	next  int // where the ring is overwritten once it is full
	limit int
}

// usedNonce is a nonce that was used at least once.
type usedNonce struct {
	id     nonceID
	top    uint32 // highest count seen
	window uint64 // bit i: count top-i was seen
	print  uint64 // of the request that brought top, to know its retransmission
}

func newReplayGuard(limit int, startMS int64) *replayGuard {
	g := &replayGuard{}
	g.floor.Store(startMS - 1)
	per := max(1, limit/replayShards)
	for i := range g.shards {
		g.shards[i].limit = per
		g.shards[i].index = make(map[nonceID]int32)
	}
	return g
}

// use records a correct use of a nonce and judges it: OK, Retransmission, Replayed, or Stale when it cannot
// be known whether it was used before.
func (g *replayGuard) use(id nonceID, count uint32, print uint64) Verdict {
	s := &g.shards[id[9]%replayShards] // low byte of the counter
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index[id]; ok {
		return s.ring[i].count(count, print)
	}
	if id.issuedMS() <= g.floor.Load() {
		return Stale
	}
	g.addLocked(s, usedNonce{id: id, top: count, window: 1, print: print})
	return OK
}

// addLocked stores a new entry, in place of the oldest when the shard is full. s.mu is held.
func (g *replayGuard) addLocked(s *replayShard, e usedNonce) {
	if len(s.ring) < s.limit {
		s.index[e.id] = int32(len(s.ring))
		s.ring = append(s.ring, e)
		return
	}
	old := &s.ring[s.next]
	delete(s.index, old.id)
	for at := old.id.issuedMS(); ; {
		floor := g.floor.Load()
		if floor >= at || g.floor.CompareAndSwap(floor, at) {
			break
		}
	}
	*old = e
	s.index[e.id] = int32(s.next)
	s.next = (s.next + 1) % s.limit
}

// count judges one more use of a known nonce.
func (u *usedNonce) count(n uint32, print uint64) Verdict {
	switch {
	case n > u.top:
		if d := n - u.top; d < windowBits {
			u.window <<= d
		} else {
			u.window = 0
		}
		u.window |= 1
		u.top, u.print = n, print
		return OK
	case n == u.top:
		if print == u.print {
			return Retransmission
		}
		return Replayed
	}
	d := u.top - n
	if d >= windowBits || u.window&(1<<d) != 0 {
		return Replayed
	}
	u.window |= 1 << d
	return OK
}
