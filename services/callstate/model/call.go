package model

import (
	"slices"
	"time"

	"parley/internal/voice"
)

// Limits of one call.
const (
	maxParties = 200
	maxFormer  = 32 // ConnIDs it had
	maxAhead   = 64 // events that wait
	maxHoles   = 8
)

// call is what the events of a CallUUID have told.
type call struct {
	tenant, node, conn, prev, uuid, thread, ani, dnis string

	former        []string // ConnIDs of calls that became part of this one
	id            uint64
	kind          voice.CallType
	start, answer time.Time
	parties       []party
	others        []party // somebody without events: beyond a trunk
	data          voice.KVList
	version       int64
	recording     string

	seq   uint64    // of the last event taken
	first uint64    // position in the stream of the first event seen
	last  time.Time // when the last event was taken, by the clock of the model
	lossy bool      // events are missing: what its parties do is a guess

	ahead   []*voice.CallEvent // by seq; they came before their turn
	gap     bool               // the first of ahead is not the next: one before it is missing
	blocked string             // ConnID of the call that the first of ahead waits for
	held    time.Time          // since when ahead waits
	holes   []hole             // events given up

	moved map[string]*call // DN -> the call that it went to; nil: nobody did
	into  *call            // the call that this one became part of

	quiet time.Time // since when it is no call in progress: no party yet, none any more, or stuck; zero while it is one
	stuck Kind      // why it is none although it has parties
	asked time.Time // when its node was last asked
	deny  time.Time // when its node first said that there is no such call; zero = it did not
}

// hole is the events from and to, both included, which never came.
type hole struct{ from, to uint64 }

// party is one DN in a call.
type party struct {
	dn       string
	role     voice.DNRole
	began    voice.PartyState // Dialing, Ringing or Queued
	answered bool
	held     bool
	muted    bool
	queue    string
	trunk    string // of others
	since    time.Time
}

func (p *party) state() voice.PartyState {
	switch {
	case p.held:
		return voice.PartyHeld
	case p.answered:
		return voice.PartyEstablished
	}
	return p.began
}

// live tells whether the call is in progress.
func (c *call) live() bool { return c.quiet.IsZero() }

// of finds the party that an event is about. There may be several of its DN: who calls himself, or is taken into a
// conference that he is in. Then the role decides, and then whose state the event fits. nil: there is none.
func (c *call) of(e *voice.CallEvent) *party {
	var best *party
	rank := -1
	for i := range c.parties {
		p := &c.parties[i]
		if p.dn != e.ThisDN {
			continue
		}
		n := 0
		if p.role == e.ThisDNRole {
			n += 2
		}
		if cannot(p, e) == "" {
			n++
		}
		if n > rank {
			best, rank = p, n
		}
	}
	return best
}

// party finds a party by its DN, of several the one with a role. nil: there is none.
func (c *call) party(dn string, role voice.DNRole) *party {
	var found *party
	for i := range c.parties {
		p := &c.parties[i]
		if p.dn != dn {
			continue
		}
		if p.role == role {
			return p
		}
		if found == nil {
			found = p
		}
	}
	return found
}

func (c *call) remove(p *party) {
	for i := range c.parties {
		if &c.parties[i] == p {
			c.parties = slices.Delete(c.parties, i, i+1)
			return
		}
	}
}

// somebody notes a party without events of its own.
func (c *call) somebody(dn string, role voice.DNRole, trunk string, began voice.PartyState, since time.Time) {
	if dn == "" || c.party(dn, role) != nil || len(c.parties)+len(c.others) >= maxParties {
		return
	}
	for i := range c.others {
		if c.others[i].dn == dn {
			return
		}
	}
	c.others = append(c.others, party{dn: dn, role: role, trunk: trunk, began: began, since: since})
}

func (c *call) nobody(dn string) {
	c.others = slices.DeleteFunc(c.others, func(p party) bool { return p.dn == dn })
}

// view is the call as others see it.
func (c *call) view() voice.Call {
	v := voice.Call{
		Tenant: c.tenant, Node: c.node, ConnID: c.conn, PreviousConnID: c.prev, CallID: c.id, CallUUID: c.uuid, CallThreadID: c.thread,
		CallType: c.kind, ANI: c.ani, DNIS: c.dnis, Start: c.start, Answer: c.answer, UserData: c.data, Version: c.version,
		Recording: c.recording, Seq: c.seq, Parties: make([]voice.Party, 0, len(c.parties)+len(c.others)),
	}
	for _, list := range [...][]party{c.parties, c.others} {
		for i := range list {
			p := &list[i]
			v.Parties = append(v.Parties, voice.Party{
				DN: p.dn, Role: p.role, State: p.state(), Queue: p.queue, Trunk: p.trunk, Muted: p.muted, Since: p.since,
			})
		}
	}
	return v
}
