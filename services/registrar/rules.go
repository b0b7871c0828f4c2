package registrar

import (
	"strings"

	"parley/internal/contract"
)

// registration is one REGISTER on its way through RFC 3261 §10.3, steps 6 to 8. It is a planner: plan may run more
// than once, and decides for all contacts together or for none.
type registration struct {
	cfg      *Config
	req      *contract.RegisterRequest
	star     bool
	contacts []wish
	received string // where the request came from, ip:port
	path     string // values of Path joined by '\n'

	refused refusal // why plan changed nothing
}

// wish is one contact of the request and how long it is to last.
type wish struct {
	contact
	leaseMS int64 // 0 ends it
}

// refusal is a reason to change nothing.
type refusal uint8

const (
	refusedNot      refusal = iota
	refusedOrder            // a CSeq that is not higher: an old request that arrives late
	refusedTooMany          // more contacts than the number may have
	refusedContact          // a contact that cannot be read
	refusedBrief            // a lease shorter than the shortest
	refusedWildcard         // "*" with other contacts, or without Expires: 0
)

func (r *registration) reset() {
	clear(r.contacts)
	*r = registration{contacts: r.contacts[:0]}
}

// read takes the contacts and leases from the request (§10.3 step 6, and step 7 as far as it needs no bindings).
func (r *registration) read() refusal {
	req := r.req
	header := parseSeconds(req.Expires)
	if len(req.Contacts) == 1 && strings.TrimSpace(req.Contacts[0]) == "*" {
		r.star = true
		if header != 0 {
			return refusedWildcard
		}
		return refusedNot
	}
	if len(req.Contacts) > r.cfg.Contacts.Max {
		return refusedTooMany
	}
	for _, value := range req.Contacts {
		if strings.TrimSpace(value) == "*" {
			return refusedWildcard
		}
		c, err := parseContact(value)
		if err != nil {
			return refusedContact
		}
		lease, ok := r.lease(c.expires, header)
		if !ok {
			return refusedBrief
		}
		r.contacts = append(r.contacts, wish{c, lease})
	}
	return refusedNot
}

// lease is how long a contact lasts, in milliseconds: its own expires, else the header's, else the default; cut to
// the longest. ok is false when it is too short.
func (r *registration) lease(own, header int64) (ms int64, ok bool) {
	e := &r.cfg.Expires
	seconds := own
	if seconds < 0 {
		seconds = header
	}
	switch {
	case seconds < 0:
		return e.Default.Milliseconds(), true
	case seconds == 0:
		return 0, true
	}
	ms = seconds * 1000
	if ms < e.Min.Milliseconds() {
		return 0, false
	}
	return min(ms, e.Max.Milliseconds()), true
}

// reason is why a number goes out of service by a REGISTER.
func (r *registration) reason() string { return reasonUnregistered }

// plan works out the contacts that will be in force.
func (r *registration) plan(j *job, nowMS int64) bool {
	r.refused = refusedNot
	if r.star {
		return r.planStar(j)
	}
	j.next = append(j.next, j.old...)
	change := false
	for i := range r.contacts {
		done, refused := r.place(j, &r.contacts[i], nowMS)
		if refused != refusedNot {
			r.refused = refused
			return false
		}
		change = change || done
	}
	return change
}

// planStar ends all contacts, if the request is newer than each of them (§10.3 step 6).
func (r *registration) planStar(j *job) bool {
	for i := range j.old {
		if j.old[i].callID == r.req.CallID && r.req.CSeq <= j.old[i].cseq {
			r.refused = refusedOrder
			return false
		}
	}
	return len(j.old) > 0
}

// place puts one contact into j.next, or takes it out (§10.3 step 7).
func (r *registration) place(j *job, w *wish, nowMS int64) (change bool, refused refusal) {
	at := w.find(j.next)
	if at >= 0 {
		if b := &j.next[at]; b.callID == r.req.CallID {
			if r.req.CSeq < b.cseq {
				return false, refusedOrder
			}
			if r.req.CSeq == b.cseq { // a retransmission, whose first copy did all this: the same answer
				return false, refusedNot
			}
		}
	}
	if w.leaseMS == 0 {
		if at < 0 {
			return false, refusedNot // ending what is not there: it has ended
		}
		j.next = append(j.next[:at], j.next[at+1:]...)
		return true, refusedNot
	}
	since := nowMS
	if at >= 0 {
		since = j.next[at].since
		j.next[at] = r.binding(w, nowMS, since)
		r.dropTwins(j, at)
		return true, refusedNot
	}
	if len(j.next) >= r.cfg.Contacts.Max && !r.makeRoom(j) {
		return false, refusedTooMany
	}
	j.next = append(j.next, r.binding(w, nowMS, since))
	return true, refusedNot
}

// find returns which binding the contact replaces: the one of the same instance and reg-id, as the same phone over
// a new flow (RFC 5626 §6), else the one with the same URI; -1 if none.
func (w *wish) find(bs []binding) int {
	if w.instance != "" && w.regID != 0 {
		for i := range bs {
			if bs[i].regID == w.regID && bs[i].instance == w.instance {
				return i
			}
		}
	}
	for i := range bs {
		if sameURI(bs[i].contact, w.uri) {
			return i
		}
	}
	return -1
}

// dropTwins removes another binding with the URI that j.next[at] now has: it was found by its instance.
func (r *registration) dropTwins(j *job, at int) {
	for i := range j.next {
		if i != at && sameURI(j.next[i].contact, j.next[at].contact) {
			j.next = append(j.next[:i], j.next[i+1:]...)
			return
		}
	}
}

// makeRoom takes out the contact that would end first, if the configuration wants that and it is not of this request.
func (r *registration) makeRoom(j *job) bool {
	if r.cfg.Contacts.WhenFull != FullReplace {
		return false
	}
	first := -1
	for i := range j.next {
		b := &j.next[i]
		ours := b.callID == r.req.CallID && b.cseq == r.req.CSeq
		if !ours && (first < 0 || b.expires < j.next[first].expires) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	j.next = append(j.next[:first], j.next[first+1:]...)
	return true
}

func (r *registration) binding(w *wish, nowMS, sinceMS int64) binding {
	return binding{
		expires:   nowMS + w.leaseMS,
		since:     sinceMS,
		q:         w.q,
		cseq:      r.req.CSeq,
		regID:     w.regID,
		transport: r.req.Transport,
		contact:   w.uri,
		received:  r.received,
		node:      r.req.Node,
		flow:      r.req.Flow,
		callID:    r.req.CallID,
		instance:  w.instance,
		userAgent: agentOf(r.req.UserAgent),
		path:      r.path,
	}
}

const maxAgent = 128 // bytes of User-Agent that are kept

// agentOf is the User-Agent as it is kept and shown.
func agentOf(s string) string {
	if !printable(s) {
		return ""
	}
	if len(s) > maxAgent {
		s = strings.ToValidUTF8(s[:maxAgent], "")
	}
	return s
}
