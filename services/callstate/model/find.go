package model

import (
	"cmp"
	"maps"
	"slices"

	"parley/internal/voice"
)

// Query asks for calls in progress that fit all that is given.
type Query struct {
	Tenant, ConnID, CallUUID, ThreadID, DN, Node string
	Limit                                        int
}

// Find returns calls in progress, the oldest first, and how many fit. What it returns is read only.
func (m *Model) Find(q Query) (calls []voice.Call, total int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var fit []*call
	for _, c := range m.candidates(q) {
		if c != nil && c.live() && c.fits(q) {
			fit = append(fit, c)
		}
	}
	slices.SortFunc(fit, func(a, b *call) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.uuid, b.uuid))
	})
	total = len(fit)
	calls = make([]voice.Call, 0, min(total, q.Limit))
	for _, c := range fit[:min(total, q.Limit)] {
		calls = append(calls, c.view())
	}
	return calls, total
}

// candidates are the calls among which those are that fit, found by the index that leaves the fewest.
func (m *Model) candidates(q Query) []*call {
	switch {
	case q.CallUUID != "":
		return []*call{m.calls[q.CallUUID]}
	case q.ConnID != "":
		return []*call{m.byConn(q.ConnID)}
	case q.Tenant != "" && q.DN != "":
		return m.dns[place{q.Tenant, q.DN}]
	case q.Tenant != "" && q.ThreadID != "":
		return m.threads[place{q.Tenant, q.ThreadID}]
	case q.Node != "":
		return slices.Collect(maps.Keys(m.nodes[q.Node]))
	}
	return slices.Collect(maps.Values(m.calls))
}

// byConn is the call that has a ConnID, or the one that it became part of.
func (m *Model) byConn(conn string) *call {
	c := m.conns[conn]
	for hops := 0; c != nil && !c.live() && c.into != nil && hops < maxFormer; hops++ {
		c = c.into
	}
	return c
}

func (c *call) fits(q Query) bool {
	return (q.Tenant == "" || q.Tenant == c.tenant) &&
		(q.CallUUID == "" || q.CallUUID == c.uuid) &&
		(q.ConnID == "" || q.ConnID == c.conn || slices.Contains(c.former, q.ConnID)) &&
		(q.ThreadID == "" || q.ThreadID == c.thread) &&
		(q.Node == "" || q.Node == c.node) &&
		(q.DN == "" || slices.ContainsFunc(c.parties, func(p party) bool { return p.dn == q.DN }))
}

// Count returns how many calls and call threads are in progress.
func (m *Model) Count() (calls, threads int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, list := range m.threads {
		if slices.ContainsFunc(list, (*call).live) {
			threads++
		}
	}
	return m.live, threads
}

// Waiting returns how many calls have events that wait for others.
func (m *Model) Waiting() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.waiting)
}

// Mark is the event from which on a stream must be read to know all calls in progress, and those that are remembered: it
// is the first one of its call.
type Mark struct {
	Tenant   string `json:"tenant"`
	CallUUID string `json:"CallUUID"`
	Pos      uint64 `json:"pos"` // in the stream
}

// Mark returns the mark; ok is false while there was no event.
func (m *Model) Mark() (at Mark, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.latest == nil {
		return Mark{}, false
	}
	oldest := m.latest
	for _, c := range m.calls {
		if c.first < oldest.first {
			oldest = c
		}
	}
	return Mark{oldest.tenant, oldest.uuid, oldest.first}, true
}
