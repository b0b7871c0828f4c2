package store

import "sync"

// countCache remembers totals as of one change number: paging through a list asks for the same one again and again.
type countCache struct {
	mu     sync.Mutex // guards what follows
	seq    int64
	totals map[ListQuery]int
}

// maxTotals bounds the filters remembered; beyond it all are forgotten.
const maxTotals = 256

func (c *countCache) get(seq int64, q ListQuery) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seq != seq {
		return 0, false
	}
	n, ok := c.totals[q]
	return n, ok
}

func (c *countCache) put(seq int64, q ListQuery, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq < c.seq {
		return // counted before a change that somebody else has counted after
	}
	if c.seq != seq || len(c.totals) >= maxTotals || c.totals == nil {
		c.seq, c.totals = seq, map[ListQuery]int{}
	}
	c.totals[q] = n
}
