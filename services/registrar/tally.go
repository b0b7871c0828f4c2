package registrar

import (
	"sync"
	"sync/atomic"
)

// tallies counts events per key over a sliding window, within bounds: at most limit keys, the ones with the lowest
// counts giving way to new ones. So a flood from very many sources cannot take memory without end, nor
// wash out the one source among them that keeps coming.
//
// The window slides by halves that are weighted: a count is the one of the running window and that share of the one
// before which the window still covers.
type tallies[K comparable] struct {
	windowMS int64
	limit    int
	used     atomic.Int64 // keys with a count; lets clear be free while there is none

	mu    sync.Mutex // guards what follows
	at    map[K]int32
	slots []tally[K]
	hand  int // where to look for a slot to reuse
}

type tally[K comparable] struct {
	key   K
	taken bool
	start int64 // of the running window, ms since 1970
	now   int32 // count in it
	past  int32 // count in the window before
}

func newTallies[K comparable](windowMS int64, limit int) *tallies[K] {
	return &tallies[K]{windowMS: windowMS, limit: limit, at: map[K]int32{}}
}

// add counts n more for key and returns the count within the window.
func (t *tallies[K]) add(key K, n int, nowMS int64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.at[key]
	if !ok {
		i = t.slotLocked(nowMS)
		t.slots[i] = tally[K]{key: key, taken: true, start: nowMS}
		t.at[key] = i
		t.used.Store(int64(len(t.at)))
	}
	s := &t.slots[i]
	s.roll(nowMS, t.windowMS)
	s.now = int32(min(int64(s.now)+int64(n), 1<<30))
	return s.count(nowMS, t.windowMS)
}

// count is what add would return for n = 0, without making an entry.
func (t *tallies[K]) count(key K, nowMS int64) int {
	if t.used.Load() == 0 {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.at[key]
	if !ok {
		return 0
	}
	t.slots[i].roll(nowMS, t.windowMS)
	return t.slots[i].count(nowMS, t.windowMS)
}

// clear forgets key.
func (t *tallies[K]) clear(key K) {
	if t.used.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.at[key]; ok {
		t.slots[i] = tally[K]{}
		delete(t.at, key)
		t.used.Store(int64(len(t.at)))
	}
}

// slotLocked returns a free slot, taking one from another key if it must.
func (t *tallies[K]) slotLocked(nowMS int64) int32 {
	if len(t.slots) < t.limit {
		t.slots = append(t.slots, tally[K]{})
		return int32(len(t.slots) - 1)
	}
	const look = 8
	best, least := 0, 1<<31-1
	for range min(look, len(t.slots)) {
		t.hand = (t.hand + 1) % len(t.slots)
		s := &t.slots[t.hand]
		if !s.taken {
			return int32(t.hand)
		}
		s.roll(nowMS, t.windowMS)
		if c := s.count(nowMS, t.windowMS); c < least {
			best, least = t.hand, c
		}
	}
	delete(t.at, t.slots[best].key)
	return int32(best)
}

// roll begins a new window when the running one is over.
func (s *tally[K]) roll(nowMS, windowMS int64) {
	switch passed := nowMS - s.start; {
	case passed < windowMS:
	case passed < 2*windowMS:
		s.past, s.now, s.start = s.now, 0, s.start+windowMS
	default:
		s.past, s.now, s.start = 0, 0, nowMS
	}
}

func (s *tally[K]) count(nowMS, windowMS int64) int {
	left := windowMS - (nowMS - s.start)
	return int(int64(s.now) + int64(s.past)*max(left, 0)/windowMS)
}
