package model

import (
	"slices"

	"parley/internal/voice"
)

// receive puts an event of c into its place.
func (m *Model) receive(c *call, e *voice.CallEvent) {
	switch {
	case e.Seq <= c.seq:
		m.late(c, e)
	case e.Seq == c.seq+1 && c.blocked == "":
		if len(c.ahead) == 0 && m.take(c, e) {
			m.woken(c)
			return
		}
		c.ahead = slices.Insert(c.ahead, 0, e) // it has to wait, or fills a hole
		m.drain(c)
	default:
		m.wait(c, e)
	}
}

// late is an event whose turn is over.
func (m *Model) late(c *call, e *voice.CallEvent) {
	for i, h := range c.holes {
		if e.Seq >= h.from && e.Seq <= h.to {
			c.holes = slices.Delete(c.holes, i, i+1)
			m.wrong(Disorder, c, e, "event %d came when the call was at event %d", e.Seq, c.seq)
			return
		}
	}
	m.wrong(Doubled, c, e, "event %d came again, at event %d", e.Seq, c.seq)
}

// wait keeps an event until those before it have come.
func (m *Model) wait(c *call, e *voice.CallEvent) {
	i, twice := slices.BinarySearchFunc(c.ahead, e.Seq, func(a *voice.CallEvent, seq uint64) int {
		switch {
		case a.Seq < seq:
			return -1
		case a.Seq > seq:
			return 1
		}
		return 0
	})
	if twice {
		m.wrong(Doubled, c, e, "event %d came again, at event %d", e.Seq, c.seq)
		return
	}
	c.ahead = slices.Insert(c.ahead, i, e)
	m.holdBack(c)
	if c.blocked == "" {
		c.gap = true
	}
	if len(c.ahead) > maxAhead {
		m.giveUp(c)
	}
}

func (m *Model) holdBack(c *call) {
	if _, already := m.waiting[c]; !already {
		c.held = m.now()
		m.waiting[c] = struct{}{}
	}
}

// drain takes the events that wait for nothing any more.
func (m *Model) drain(c *call) {
	for len(c.ahead) > 0 && c.ahead[0].Seq == c.seq+1 {
		e := c.ahead[0]
		if c.gap { // what was missing has come, after this or with it
			c.gap = false
			m.wrong(Disorder, c, e, "event %d came after event %d", e.Seq, c.ahead[len(c.ahead)-1].Seq)
		}
		if !m.take(c, e) {
			m.holdBack(c)
			return
		}
		c.ahead = c.ahead[1:]
	}
	if len(c.ahead) == 0 {
		c.ahead, c.gap = nil, false
		delete(m.waiting, c)
	} else {
		c.gap = true
		m.holdBack(c)
	}
	m.woken(c)
}

// giveUp goes on without what c waits for.
func (m *Model) giveUp(c *call) {
	delete(m.waiting, c)
	if len(c.ahead) == 0 {
		return
	}
	next := c.ahead[0]
	if c.blocked != "" {
		if from := m.conns[c.blocked]; from != nil && from != c && from.gap {
			m.giveUp(from) // which has c go on
			return
		}
		c.blocked = ""
		c.ahead = c.ahead[1:]
		m.step(c, next)
	} else {
		from, to := c.seq+1, next.Seq-1
		m.wrong(Missing, c, next, "events %d to %d are missing", from, to)
		if len(c.holes) == maxHoles {
			c.holes = slices.Delete(c.holes, 0, 1)
		}
		c.holes = append(c.holes, hole{from, to})
		c.seq, c.gap, c.lossy = to, false, true
	}
	m.drain(c)
}

// take takes an event whose turn it is, unless it has to wait for another call.
func (m *Model) take(c *call, e *voice.CallEvent) bool {
	if m.arrives(c, e) && !c.lossy {
		from := m.conns[e.PreviousConnID]
		switch {
		case from == nil || from == c || !from.lossy && !m.has(from, e.ThisDN) || from.gap:
			c.blocked = e.PreviousConnID
			m.holdBack(c)
			return false
		case from.lossy:
			c.lossy = true // what the party does is as much a guess here as there
		}
	}
	c.blocked = ""
	m.step(c, e)
	return true
}

// arrives tells whether an event has a party come from another call. The events of a consult call name the one it is about
// always, which says nothing of a party that is in it.
func (m *Model) arrives(c *call, e *voice.CallEvent) bool {
	return e.ID == voice.EventPartyChanged && e.PreviousConnID != "" && e.PreviousConnID != c.conn &&
		(!m.has(c, e.ThisDN) || e.PreviousConnID != c.prev)
}

// woken lets calls go on that waited for c.
func (m *Model) woken(c *call) {
	if len(m.waiting) == 0 {
		return
	}
	for other := range m.waiting {
		if other != c && other.blocked == c.conn {
			m.drain(other)
		}
	}
}
