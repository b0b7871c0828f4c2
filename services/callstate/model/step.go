package model

import (
	"slices"
	"time"

	"parley/internal/voice"
)

// step does what an event says.
func (m *Model) step(c *call, e *voice.CallEvent) {
	c.seq, c.last = e.Seq, m.now()
	if e.Node != c.node {
		m.nodeOf(c, e.Node)
	}
	if c.stuck != "" { // it was thought dead
		c.stuck, c.quiet = "", time.Time{}
		m.live++
	}
	c.deny = time.Time{}
	m.about(c, e)
	p := c.of(e)
	if p == nil {
		if to := c.moved[e.ThisDN]; to != nil { // told late, since calls have no order between them
			if p = to.of(e); p != nil && !ends(e.ID) {
				m.party(to, p, e, true)
			}
			return
		}
	}
	switch e.ID {
	case voice.EventDialing, voice.EventRinging, voice.EventQueued:
		m.enter(c, p, e)
		return
	case voice.EventPrivateInfo:
		c.records(e)
		return
	case voice.EventError: // why a request came to nothing; whoever asked need not be in the call
		return
	case voice.EventPartyChanged:
		if m.arrives(c, e) {
			if came := m.arrive(c, e); came != nil {
				p = came
			}
		}
	}
	if !known(e.ID) {
		return
	}
	if p == nil {
		m.impossible(c, e, "%s is not in the call", e.ThisDN)
		if ends(e.ID) {
			return
		}
		m.came(c, party{dn: e.ThisDN, role: e.ThisDNRole, began: guess(e), answered: e.ID != voice.EventNetworkReached && guess(e) != voice.PartyQueued, queue: e.ThisQueue, since: e.Time})
		p = c.of(e)
		if p == nil {
			return // too many
		}
		m.party(c, p, e, true)
		return
	}
	m.party(c, p, e, false)
}

// known tells whether an event says something about a party. Others count, and change nothing.
func known(id voice.EventName) bool { return slices.Contains(partyEvents[:], id) }

var partyEvents = [...]voice.EventName{
	voice.EventNetworkReached, voice.EventEstablished, voice.EventReleased, voice.EventAbandoned, voice.EventDestinationBusy,
	voice.EventHeld, voice.EventRetrieved, voice.EventDiverted, voice.EventPartyChanged, voice.EventPartyAdded,
	voice.EventPartyDeleted, voice.EventAttachedDataChanged, voice.EventCallInfoChanged, voice.EventDTMFSent, voice.EventMuteOn,
	voice.EventMuteOff, voice.EventListenDisconnected, voice.EventListenReconnected, voice.EventRouteRequest,
	voice.EventRouteUsed, voice.EventTreatmentApplied, voice.EventTreatmentNotApplied, voice.EventTreatmentEnd,
}

func ends(id voice.EventName) bool {
	return id == voice.EventReleased || id == voice.EventAbandoned || id == voice.EventDiverted
}

// guess is how somebody came of whom an event speaks as if he were there.
func guess(e *voice.CallEvent) voice.PartyState {
	switch {
	case e.ThisQueue != "" && e.ThisQueue == e.ThisDN:
		return voice.PartyQueued
	case e.ThisDNRole == voice.RoleOrigination:
		return voice.PartyDialing
	}
	return voice.PartyRinging
}

// about takes what each event says of the call as a whole.
func (m *Model) about(c *call, e *voice.CallEvent) {
	if e.ConnID != c.conn {
		old := c.conn
		if c.into == nil && !slices.Contains(c.former, old) {
			m.formerly(c, old)
		}
		c.conn = e.ConnID
		m.conns[c.conn] = c
		if e.PreviousConnID != old {
			m.impossible(c, e, "its ConnID was %s and is %s without a word of it", old, e.ConnID)
		}
	}
	if c.prev == "" && e.CallType == voice.CallConsult {
		c.prev = e.PreviousConnID
	}
	if e.CallType != voice.CallUnknown {
		c.kind = e.CallType
	}
	if e.ID == voice.EventCallInfoChanged || c.ani == "" && c.dnis == "" {
		c.ani, c.dnis = e.ANI, e.DNIS
	}
	if e.UserDataVersion > c.version || e.UserDataVersion == 0 && c.version == 0 && len(e.UserData) > 0 {
		c.version, c.data = e.UserDataVersion, e.UserData
	}
	for _, conn := range [...]string{e.TransferConnID, e.ConferenceConnID} {
		if conn != "" && conn != c.conn {
			m.merged(c, conn)
		}
	}
}

// merged notes that the call of another ConnID becomes part of c.
func (m *Model) merged(c *call, conn string) {
	from := m.conns[conn]
	if from == nil || from == c || from.into != nil || c.into == from {
		return
	}
	from.into = c
	m.formerly(c, conn)
	for _, f := range from.former {
		m.formerly(c, f)
	}
}

func (m *Model) formerly(c *call, conn string) {
	if len(c.former) < maxFormer && !slices.Contains(c.former, conn) {
		c.former = append(c.former, conn)
	}
}

// enter is a party that begins. p is the party of that name that is there already, or nil.
func (m *Model) enter(c *call, p *party, e *voice.CallEvent) {
	began := voice.PartyDialing
	switch e.ID {
	case voice.EventRinging:
		began = voice.PartyRinging
	case voice.EventQueued:
		began = voice.PartyQueued
	}
	again := e.CallState == voice.StateConferenced || e.CallState == voice.StateTransferred // somebody in the call takes another place in it
	if p != nil && p.role == e.ThisDNRole && !again {
		m.impossible(c, e, "%s begins for %s, who is in the call and %s", e.ID, e.ThisDN, p.state())
		return
	}
	if e.ID == voice.EventQueued && e.ThisQueue != e.ThisDN {
		m.impossible(c, e, "EventQueued of %s names another route point, %q", e.ThisDN, e.ThisQueue)
	}
	m.came(c, party{dn: e.ThisDN, role: e.ThisDNRole, began: began, queue: e.ThisQueue, since: e.Time})
	if e.OtherDNRole == voice.RoleOrigination { // a DN of ours that calls was there before
		c.somebody(e.OtherDN, e.OtherDNRole, e.ThisTrunk, voice.PartyDialing, e.Time)
	}
}

// arrive takes a party over from the call that it was in.
func (m *Model) arrive(c *call, e *voice.CallEvent) *party {
	from := m.conns[e.PreviousConnID]
	if e.PreviousConnID == "" || from == nil || from == c {
		return nil
	}
	p := from.of(e)
	if p == nil {
		return nil
	}
	mine := *p
	mine.role = e.ThisDNRole
	m.went(from, p)
	if from.moved == nil {
		from.moved = map[string]*call{}
	}
	from.moved[e.ThisDN] = c
	m.merged(c, e.PreviousConnID)
	if m.came(c, mine); c.parties[len(c.parties)-1] != mine {
		return nil // too many
	}
	return &c.parties[len(c.parties)-1]
}

// party does what an event says of a party that is in the call. lenient: its state is a guess.
func (m *Model) party(c *call, p *party, e *voice.CallEvent, lenient bool) {
	if why := cannot(p, e); why != "" && !lenient {
		m.impossible(c, e, "%s of %s, who is %s: %s", e.ID, e.ThisDN, p.state(), why)
	}
	if e.ThisDNRole != "" && !ends(e.ID) {
		p.role = e.ThisDNRole
	}
	switch e.ID {
	case voice.EventReleased, voice.EventAbandoned, voice.EventDiverted:
		m.went(c, p)
	case voice.EventNetworkReached:
		c.somebody(e.OtherDN, e.OtherDNRole, e.ThisTrunk, voice.PartyRinging, e.Time)
	case voice.EventEstablished:
		c.established(p, e)
	case voice.EventHeld:
		p.held, p.since = true, e.Time
	case voice.EventRetrieved:
		p.held, p.since = false, e.Time
	case voice.EventPartyChanged:
		c.nobody(e.ThirdPartyDN)
		if p.answered && e.OtherDN != "" && c.party(e.OtherDN, e.OtherDNRole) == nil {
			c.others = nil
			c.somebody(e.OtherDN, e.OtherDNRole, e.ThisTrunk, voice.PartyEstablished, e.Time)
		}
	case voice.EventPartyAdded:
		p.held = p.held && e.CallState != voice.StateConferenced // who makes the conference is in it
		if dn, role := named(e, voice.RoleNewParty); dn != "" {
			c.somebody(dn, role, "", voice.PartyEstablished, e.Time)
		}
	case voice.EventPartyDeleted:
		if dn, _ := named(e, voice.RoleDeletedParty); dn != "" {
			c.nobody(dn)
		}
	case voice.EventMuteOn:
		p.muted = true
	case voice.EventMuteOff:
		p.muted = false
	}
}

// named is the other party that has a role in an event.
func named(e *voice.CallEvent, role voice.DNRole) (string, voice.DNRole) {
	switch role {
	case e.OtherDNRole:
		return e.OtherDN, voice.RoleConferenceMember
	case e.ThirdPartyDNRole:
		return e.ThirdPartyDN, voice.RoleConferenceMember
	}
	return "", ""
}

func (c *call) established(p *party, e *voice.CallEvent) {
	if !p.answered && !p.held {
		p.since = e.Time
	}
	p.answered = true
	if c.answer.IsZero() {
		c.answer = e.Time
	}
	for i := range c.others {
		if o := &c.others[i]; !o.answered {
			o.answered, o.since = true, e.Time
		}
	}
	if e.ThisTrunk != "" && e.ThisDNRole == voice.RoleOrigination && c.party(e.OtherDN, e.OtherDNRole) == nil {
		c.nobody(e.OtherDN)
		c.somebody(e.OtherDN, e.OtherDNRole, e.ThisTrunk, voice.PartyEstablished, e.Time)
	}
}

// cannot says why a party does not get an event in its state, "" when it may.
func cannot(p *party, e *voice.CallEvent) string {
	queued := p.began == voice.PartyQueued && !p.answered
	switch e.ID {
	case voice.EventRouteRequest, voice.EventRouteUsed, voice.EventTreatmentApplied, voice.EventTreatmentNotApplied, voice.EventTreatmentEnd:
		if !queued {
			return "no call is queued there"
		}
	case voice.EventEstablished:
		if queued {
			return "a route point diverts a call and answers none"
		}
	case voice.EventReleased:
		if queued {
			return "a call leaves a route point diverted or abandoned"
		}
	case voice.EventAbandoned, voice.EventDiverted:
		if p.answered || p.began == voice.PartyDialing {
			return "only what rings or is queued can be left"
		}
	case voice.EventDestinationBusy, voice.EventNetworkReached:
		if queued || p.began == voice.PartyRinging && !p.answered {
			return "it has called nobody"
		}
	case voice.EventHeld:
		switch {
		case queued || p.began == voice.PartyRinging && !p.answered:
			return "it has no call to hold"
		case p.held:
			return "it holds the call already"
		}
	case voice.EventRetrieved:
		if !p.held {
			return "it holds nothing"
		}
	case voice.EventPartyAdded, voice.EventPartyDeleted, voice.EventMuteOn, voice.EventMuteOff, voice.EventDTMFSent:
		if queued {
			return "a route point talks to nobody"
		}
	}
	return ""
}

func (c *call) records(e *voice.CallEvent) {
	switch {
	case e.Recording == nil:
	case e.Recording.State == "Stopped":
		c.recording = ""
	default:
		c.recording = e.Recording.State
	}
}

// impossible notes what cannot be, unless it is not known what was before.
func (m *Model) impossible(c *call, e *voice.CallEvent, format string, args ...any) {
	if !c.lossy {
		m.wrong(Impossible, c, e, format, args...)
	}
}
