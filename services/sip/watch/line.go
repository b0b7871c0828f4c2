package watch

import (
	"slices"
	"sync"
	"time"

	"parley/internal/voice"
)

// Dialog states of RFC 4235 §3.7.1.
const (
	trying     = "trying"
	early      = "early"
	confirmed  = "confirmed"
	terminated = "terminated"
)

// Directions.
const (
	initiator = "initiator"
	recipient = "recipient"
)

// key names a line.
type key struct{ tenant, number string }

// dialog is one call of a line.
type dialog struct {
	conn      string // ConnID, and the id in documents
	direction string
	state     string
	why       string // event of a terminated one; "" = none that says more
	other     string // who is at the other end
	held      bool
	at        time.Time // of what was heard last
}

// line is a number and what it does.
type line struct {
	key

	mu      sync.Mutex // guards what follows
	gone    bool       // out of the table: whoever found it looks again
	dialogs []*dialog  // the oldest first
	ended   []ended
	subs    map[*subscription]struct{}
}

// ended remembers a call that is over for as long as callstate may still have it.
type ended struct {
	conn string
	at   time.Time
}

// lag is how far callstate may be behind what is heard here.
const lag = 5 * time.Second

// maxDialogs is how many calls of a line are followed; a route point may have more.
const maxDialogs = 32

func (l *line) find(conn string) *dialog {
	for _, d := range l.dialogs {
		if d.conn == conn {
			return d
		}
	}
	return nil
}

// enter finds the dialog of a call, or makes it; nil when there are too many.
func (l *line) enter(conn string) *dialog {
	if d := l.find(conn); d != nil {
		return d
	}
	if len(l.dialogs) >= maxDialogs {
		return nil
	}
	d := &dialog{conn: conn, direction: recipient, state: trying}
	l.dialogs = append(l.dialogs, d)
	return d
}

// leave takes a call out of the line; the dialog that is returned says that it ended, nil = it was not there.
func (l *line) leave(conn, why string, now time.Time) *dialog {
	l.ended = slices.DeleteFunc(l.ended, func(e ended) bool { return now.Sub(e.at) > lag })
	if len(l.ended) < maxDialogs {
		l.ended = append(l.ended, ended{conn, now})
	}
	i := slices.IndexFunc(l.dialogs, func(d *dialog) bool { return d.conn == conn })
	if i < 0 {
		return nil
	}
	d := *l.dialogs[i]
	d.state, d.why, d.held = terminated, why, false
	l.dialogs = slices.Delete(l.dialogs, i, i+1)
	return &d
}

// idle tells whether nothing needs the line.
func (l *line) idle() bool { return len(l.dialogs) == 0 && len(l.subs) == 0 }

// event is what is read of an event on CALLS.
type event struct {
	ID             voice.EventName
	ThisDN         string
	ThisDNRole     voice.DNRole
	OtherDN        string
	ConnID         string
	PreviousConnID string
	CallState      voice.CallState
}

// concerns tells whether an event of that name says something about a line.
func concerns(name voice.EventName) bool {
	switch name {
	case voice.EventDialing, voice.EventNetworkReached, voice.EventRinging, voice.EventQueued, voice.EventEstablished, voice.EventHeld,
		voice.EventRetrieved, voice.EventPartyChanged, voice.EventPartyAdded, voice.EventReleased, voice.EventAbandoned, voice.EventDiverted:
		return true
	}
	return false
}

// hear applies an event about the line; it returns the dialogs that changed.
func (l *line) hear(e *event, now time.Time) (changed []*dialog) {
	switch e.ID {
	case voice.EventReleased, voice.EventAbandoned, voice.EventDiverted:
		if d := l.leave(e.ConnID, whyEnded(e), now); d != nil {
			changed = append(changed, d)
		}
		return changed
	case voice.EventPartyChanged, voice.EventPartyAdded:
		if e.PreviousConnID != e.ConnID && l.find(e.ConnID) == nil {
			if was := l.find(e.PreviousConnID); was != nil { // the call goes on as another
				d := *was
				changed = append(changed, l.leave(e.PreviousConnID, "", now))
				d.conn = e.ConnID
				l.dialogs = append(l.dialogs, &d)
			}
		}
	}
	d := l.enter(e.ConnID)
	if d == nil {
		return changed
	}
	before := *d
	d.at = now
	if e.OtherDN != "" {
		d.other = e.OtherDN
	}
	d.take(e)
	if d.same(&before) {
		return changed
	}
	return append(changed, d)
}

// take moves the dialog on.
func (d *dialog) take(e *event) {
	if e.ThisDNRole == voice.RoleOrigination {
		d.direction = initiator
	}
	switch e.ID {
	case voice.EventDialing:
		d.direction = initiator
	case voice.EventRinging:
		d.direction, d.state = recipient, early
	case voice.EventNetworkReached:
		d.ring()
	case voice.EventHeld:
		d.state, d.held = confirmed, true
	case voice.EventRetrieved, voice.EventEstablished, voice.EventQueued:
		d.state, d.held = confirmed, false
	default: // a party that changed is in a call that lasts, unless it still rings
		if d.state == trying {
			d.state = confirmed
		}
	}
}

// ring notes that the far end rings.
func (d *dialog) ring() {
	if d.state == trying {
		d.state = early
	}
}

// same tells whether a document would say the same of both.
func (d *dialog) same(o *dialog) bool {
	return d.conn == o.conn && d.direction == o.direction && d.state == o.state && d.other == o.other && d.held == o.held
}

// whyEnded is the event of a terminated dialog (RFC 4235 §4.1.1), where T-Library says as much.
func whyEnded(e *event) string {
	switch {
	case e.ID == voice.EventAbandoned:
		return "cancelled"
	case e.CallState == voice.StatePickedUp:
		return "replaced"
	case e.CallState == voice.StateBusy:
		return "rejected"
	case e.CallState == voice.StateNoAnswer:
		return "timeout"
	}
	return ""
}

// agree brings the line to what callstate knows, except for what was heard here a moment ago; it returns the dialogs that changed.
func (l *line) agree(calls []voice.Call, now time.Time) (changed []*dialog) {
	known := map[string]bool{}
	for i := range calls {
		known[calls[i].ConnID] = true
		if d := l.learn(&calls[i], now); d != nil {
			changed = append(changed, d)
		}
	}
	for _, d := range slices.Clone(l.dialogs) {
		if !known[d.conn] && now.Sub(d.at) > lag {
			changed = append(changed, l.leave(d.conn, "", now))
		}
	}
	return changed
}

// learn adds a call that the line does not know yet.
func (l *line) learn(c *voice.Call, now time.Time) *dialog {
	if l.find(c.ConnID) != nil || slices.ContainsFunc(l.ended, func(e ended) bool { return e.conn == c.ConnID && now.Sub(e.at) <= lag }) {
		return nil
	}
	i := slices.IndexFunc(c.Parties, func(p voice.Party) bool { return p.DN == l.number })
	if i < 0 {
		return nil
	}
	d := l.enter(c.ConnID)
	if d == nil {
		return nil
	}
	d.at = now
	if c.Parties[i].Role == voice.RoleOrigination {
		d.direction = initiator
	}
	switch c.Parties[i].State {
	case voice.PartyDialing:
	case voice.PartyRinging:
		d.state = early
	case voice.PartyHeld:
		d.state, d.held = confirmed, true
	default:
		d.state = confirmed
	}
	for j := range c.Parties {
		if j != i {
			d.other = c.Parties[j].DN
			break
		}
	}
	return d
}
