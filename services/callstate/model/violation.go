package model

import (
	"fmt"
	"time"

	"parley/internal/voice"
)

// Kind says which invariant does not hold.
type Kind string

// The invariants.
const (
	NodeDead   Kind = "node_dead"  // the node of the call is gone, or started anew without it
	NoDialog   Kind = "no_dialog"  // the node of the call knows nothing of it
	Missing    Kind = "missing"    // an event of the call never came
	Disorder   Kind = "disorder"   // an event of the call came before one that was to be before it
	Doubled    Kind = "doubled"    // an event of the call came twice
	Impossible Kind = "impossible" // a party got an event that makes no sense in its state
	Unreadable Kind = "unreadable" // what came is no call event
)

// Kinds lists them all, in the order they are shown.
func Kinds() []Kind {
	return []Kind{NodeDead, NoDialog, Missing, Disorder, Doubled, Impossible, Unreadable}
}

// Violation is one time that an invariant did not hold.
type Violation struct {
	Kind     Kind            `json:"kind"`
	Time     time.Time       `json:"time"` // when it was found
	Tenant   string          `json:"tenant,omitempty"`
	Node     string          `json:"node,omitempty"`
	CallUUID string          `json:"CallUUID,omitempty"`
	ConnID   string          `json:"ConnID,omitempty"`
	DN       string          `json:"DN,omitempty"`
	Event    voice.EventName `json:"event,omitempty"`
	Seq      uint64          `json:"seq,omitempty"` // of the event in its call
	Reason   string          `json:"reason"`        // a sentence
}

// String says it on one line.
func (v Violation) String() string {
	return fmt.Sprintf("%s: call %s (node %s): %s", v.Kind, v.CallUUID, v.Node, v.Reason)
}

// maxListed is how many violations are listed; the oldest go first. All are counted.
const maxListed = 200

// Violations returns how many there were of each kind, with a zero for those that always held, and the latest of them.
func (m *Model) Violations() (counts map[Kind]int64, latest []Violation) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	counts = make(map[Kind]int64, len(m.counts))
	for _, k := range Kinds() {
		counts[k] = m.counts[k]
	}
	return counts, append([]Violation{}, m.listed...)
}

// Note counts what was found outside of the model: an event that cannot be read.
func (m *Model) Note(v Violation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noteLocked(v)
}

func (m *Model) noteLocked(v Violation) {
	v.Time = m.now().UTC()
	m.counts[v.Kind]++
	if len(m.listed) == maxListed {
		m.listed = append(m.listed[:0], m.listed[1:]...)
	}
	m.listed = append(m.listed, v)
	if m.found != nil {
		m.found(v)
	}
}

// wrong notes that something about an event of c is not as it must be.
func (m *Model) wrong(k Kind, c *call, e *voice.CallEvent, format string, args ...any) {
	m.noteLocked(Violation{
		Kind: k, Tenant: c.tenant, Node: e.Node, CallUUID: c.uuid, ConnID: e.ConnID, DN: e.ThisDN, Event: e.ID, Seq: e.Seq,
		Reason: fmt.Sprintf(format, args...),
	})
}
