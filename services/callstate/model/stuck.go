package model

import (
	"fmt"
	"time"
)

// maxSuspects is how many calls of a node are suspected at once: an answer about them fits, even if each is a conference.
const maxSuspects = 300

// Suspects returns, by node, the CallUUIDs of calls in progress that nothing was heard of for a while: no event, and no word
// of their node that it has them. Those whose node said that it has not are among them each time.
func (m *Model) Suspects(idle time.Duration) map[string][]string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	now, out := m.now(), map[string][]string{}
	for node, set := range m.nodes {
		for c := range set {
			if len(out[node]) == maxSuspects {
				break
			}
			heard := c.last
			if c.asked.After(heard) {
				heard = c.asked
			}
			if c.live() && (!c.deny.IsZero() || now.Sub(heard) >= idle) {
				out[node] = append(out[node], c.uuid)
			}
		}
	}
	return out
}

// Confirm notes that a node has the call. It may be another one than had it before.
func (m *Model) Confirm(uuid, node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.calls[uuid]
	if c == nil {
		return
	}
	c.asked, c.deny = m.now(), time.Time{}
	if c.node != node {
		m.nodeOf(c, node)
	}
}

// Deny notes that a node does not have a call of its. When that is so for longer than grace, and no event came meanwhile, the
// call is stuck: a violation of kind, and no call in progress any more.
func (m *Model) Deny(uuid, node string, kind Kind, grace time.Duration, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, now := m.calls[uuid], m.now()
	if c == nil || !c.live() || c.node != node {
		return
	}
	if c.deny.IsZero() {
		c.deny = now
	}
	if now.Sub(c.deny) < grace || now.Sub(c.last) < grace {
		return
	}
	c.stuck, c.quiet = kind, now
	m.quiet = append(m.quiet, c)
	m.live--
	v := Violation{
		Kind: kind, Tenant: c.tenant, Node: c.node, CallUUID: c.uuid, ConnID: c.conn, Seq: c.seq,
		Reason: fmt.Sprintf("%s; its last event was %d, %v ago", reason, c.seq, now.Sub(c.last).Round(time.Second)),
	}
	for i := range c.parties {
		if v.DN != "" {
			v.DN += " "
		}
		v.DN += c.parties[i].dn
	}
	m.noteLocked(v)
}
