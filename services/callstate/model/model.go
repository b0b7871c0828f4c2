package model

import (
	"slices"
	"sync"
	"time"

	"parley/internal/voice"
)

// Options are what a model goes by.
type Options struct {
	Now      func() time.Time // required
	Patience time.Duration    // how long an event waits for those before it; 0 = 5 s
	Keep     time.Duration    // how long a call without parties is remembered; 0 = 10 min
	Found    func(Violation)  // told of each violation, while the model is locked; may be nil
}

const (
	defaultPatience = 5 * time.Second
	defaultKeep     = 10 * time.Minute
	maxQuiet        = 200_000 // calls without parties that are remembered
)

// Model is the calls of the platform. See [New].
type Model struct {
	now            func() time.Time
	patience, keep time.Duration
	found          func(Violation)
	began          time.Time

	mu      sync.RWMutex // guards what follows
	calls   map[string]*call
	conns   map[string]*call // by ConnID, former ones too
	dns     map[place][]*call
	threads map[place][]*call
	nodes   map[string]map[*call]struct{}
	quiet   []*call            // calls without parties, the oldest first; some have parties again
	waiting map[*call]struct{} // calls whose events wait
	live    int                // calls in progress
	whole   bool               // the first event was the first of the stream
	latest  *call              // that the last event was of
	counts  map[Kind]int64
	listed  []Violation
	names   map[string]string // of tenants and nodes, so that each is in memory once
}

// place is a name within a tenant.
type place struct{ tenant, name string }

// New makes a model without calls.
func New(o Options) *Model {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Keep == 0 {
		o.Keep = defaultKeep
	}
	return &Model{
		now: o.Now, patience: o.Patience, keep: o.Keep, found: o.Found, began: o.Now(),
		calls: map[string]*call{}, conns: map[string]*call{}, dns: map[place][]*call{}, threads: map[place][]*call{},
		nodes: map[string]map[*call]struct{}{}, waiting: map[*call]struct{}{}, counts: map[Kind]int64{}, names: map[string]string{},
	}
}

// Apply takes an event that [Read] has returned; it belongs to the model from then on. pos is its place in the stream, at
// when it was stored there.
func (m *Model) Apply(e *voice.CallEvent, pos uint64, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil {
		m.whole = pos == 1
	}
	c := m.calls[e.CallUUID]
	if c == nil {
		c = m.begin(e, pos)
		if e.Seq > 1 && !m.whole && at.Before(m.began) { // the stream has no more what was before, or nobody needed it
			c.seq, c.lossy = e.Seq-1, true
		}
	}
	m.latest = c
	m.receive(c, e)
	if len(m.quiet) > maxQuiet {
		m.forgetBefore(m.now(), len(m.quiet)-maxQuiet)
	}
}

// Tick has what was to happen by now happen: patience ends, calls are forgotten. It wants to be called every second or so.
func (m *Model) Tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for c := range m.waiting {
		if now.Sub(c.held) >= m.patience {
			m.giveUp(c)
		}
	}
	m.forgetBefore(now.Add(-m.keep), 0)
}

// begin makes a call of its first event. It is in progress when it has a party.
func (m *Model) begin(e *voice.CallEvent, pos uint64) *call {
	c := &call{
		tenant: m.name(e.Tenant), node: m.name(e.Node), conn: e.ConnID, uuid: e.CallUUID, thread: e.CallThreadID, id: e.CallID,
		kind: e.CallType, ani: e.ANI, dnis: e.DNIS, start: e.Time, first: pos, last: m.now(),
	}
	c.quiet = c.last
	m.quiet = append(m.quiet, c)
	if c.thread == c.uuid {
		c.thread = c.uuid // one string in memory
	}
	m.calls[c.uuid] = c
	m.conns[c.conn] = c
	t := place{c.tenant, c.thread}
	m.threads[t] = append(m.threads[t], c)
	m.nodeOf(c, c.node)
	return c
}

// name returns s as it is in memory already.
func (m *Model) name(s string) string {
	if known, ok := m.names[s]; ok {
		return known
	}
	const most = 10_000 // who makes up names costs memory for each call only
	if len(m.names) < most {
		m.names[s] = s
	}
	return s
}

// nodeOf gives the call to a node.
func (m *Model) nodeOf(c *call, node string) {
	m.leaveNode(c)
	c.node = m.name(node)
	if m.nodes[c.node] == nil {
		m.nodes[c.node] = map[*call]struct{}{}
	}
	m.nodes[c.node][c] = struct{}{}
}

// came adds a party.
func (m *Model) came(c *call, p party) {
	if len(c.parties) >= maxParties {
		return
	}
	c.nobody(p.dn)
	if !m.has(c, p.dn) {
		at := place{c.tenant, p.dn}
		m.dns[at] = append(m.dns[at], c)
	}
	c.parties = append(c.parties, p)
	if !c.quiet.IsZero() {
		c.quiet = time.Time{}
		m.live++
	}
}

func (m *Model) has(c *call, dn string) bool {
	return slices.ContainsFunc(c.parties, func(p party) bool { return p.dn == dn })
}

// went takes a party out; a call without parties is quiet.
func (m *Model) went(c *call, p *party) {
	dn := p.dn
	c.remove(p)
	if !m.has(c, dn) {
		without(m.dns, place{c.tenant, dn}, c)
	}
	if len(c.parties) == 0 && c.quiet.IsZero() {
		c.quiet = m.now()
		c.others = nil
		m.quiet = append(m.quiet, c)
		m.live--
	}
}

// without takes a call out of an index.
func without(index map[place][]*call, at place, c *call) {
	list := index[at]
	if i := slices.Index(list, c); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(index, at)
	} else {
		index[at] = list
	}
}

// forgetBefore forgets calls that are quiet since before then, and at least so many of the oldest.
func (m *Model) forgetBefore(then time.Time, least int) {
	n := 0
	for n < len(m.quiet) {
		c := m.quiet[n]
		if !c.quiet.IsZero() && n >= least && c.quiet.After(then) {
			break
		}
		n++
		if !c.quiet.IsZero() && m.calls[c.uuid] == c && (n <= least || !c.quiet.After(then)) {
			m.forget(c)
		}
	}
	if n > 0 {
		m.quiet = slices.Delete(m.quiet, 0, n)
	}
}

// forget takes a call out of everything.
func (m *Model) forget(c *call) {
	for len(c.parties) > 0 {
		dn := c.parties[0].dn
		c.parties = c.parties[1:]
		without(m.dns, place{c.tenant, dn}, c)
	}
	if c.quiet.IsZero() {
		c.quiet = m.now()
		m.live--
	}
	delete(m.calls, c.uuid)
	delete(m.waiting, c)
	without(m.threads, place{c.tenant, c.thread}, c)
	m.leaveNode(c)
	for _, conn := range append(c.former, c.conn) {
		if m.conns[conn] != c {
			continue
		}
		if into := c.into; into != nil && m.calls[into.uuid] == into {
			m.conns[conn] = into // it is one of its former ConnIDs
		} else {
			delete(m.conns, conn)
		}
	}
	c.moved, c.into = nil, nil
}

func (m *Model) leaveNode(c *call) {
	delete(m.nodes[c.node], c)
	if len(m.nodes[c.node]) == 0 {
		delete(m.nodes, c.node)
	}
}
