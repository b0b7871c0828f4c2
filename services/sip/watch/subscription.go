package watch

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua/object"
)

// subscription is one dialog with a subscriber. Its line's lock guards it.
type subscription struct {
	w    *Watcher
	line *line
	who  key // the subscriber

	callID  string
	tag     string // ours
	peerTag string
	local   string // our From
	remote  string // our To
	target  sip.Uri
	routes  []string
	entity  string
	domain  string
	event   string // value of Event
	seq     uint32
	peerSeq uint32

	ends    time.Time
	expiry  *time.Timer
	version uint32 // of the next document

	full     bool // the next one is the whole state
	pending  map[string]*dialog
	reason   string // of its end; "" = it goes on
	told     bool   // the last NOTIFY went out
	inFlight bool
	last     time.Time   // of the last NOTIFY
	pace     *time.Timer // of the next, when it has to wait
	moved    bool        // the registrar was asked where the phone is, since a NOTIFY last got through
}

// over tells whether nothing goes out any more.
func (s *subscription) over() bool { return s.told }

// changed notes what the next NOTIFY has to say.
func (s *subscription) changed(dialogs []*dialog) {
	if s.full {
		return
	}
	for _, d := range dialogs {
		s.pending[d.conn] = d
	}
}

// end is the last that is said.
func (s *subscription) end(reason string) {
	if s.reason == "" {
		s.reason, s.full = reason, true
	}
}

// next is the NOTIFY that may go out now, nil when there is none. The line is locked.
func (s *subscription) next(now time.Time) *sip.Request {
	if s.inFlight || s.told || !s.full && len(s.pending) == 0 {
		return nil
	}
	// An answer to SUBSCRIBE and the end wait for nothing.
	if wait := s.w.limits.Interval - now.Sub(s.last); !s.full && wait > 0 {
		if s.pace == nil {
			s.pace = time.AfterFunc(wait, s.paced)
		}
		return nil
	}
	if s.pace != nil {
		s.pace.Stop()
		s.pace = nil
	}
	s.inFlight, s.last = true, now
	s.told = s.reason != ""
	return s.notify(now)
}

func (s *subscription) paced() {
	s.line.mu.Lock()
	s.pace = nil
	req := s.next(time.Now())
	s.line.mu.Unlock()
	s.send(req)
}

// notify composes a NOTIFY with what is to be said, which is then said.
func (s *subscription) notify(now time.Time) *sip.Request {
	dialogs := s.line.dialogs
	if !s.full {
		dialogs = make([]*dialog, 0, len(s.pending))
		for _, d := range s.pending {
			dialogs = append(dialogs, d)
		}
		slices.SortFunc(dialogs, func(a, b *dialog) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.conn, b.conn)) })
	}
	body := document(s.version, s.full, s.entity, dialogs, s.uri)
	s.version++
	s.full = false
	clear(s.pending)
	state := "terminated;reason=" + s.reason
	if s.reason == "" {
		state = "active;expires=" + strconv.Itoa(max(int(s.ends.Sub(now).Round(time.Second)/time.Second), 0))
	}
	s.seq++
	req := sip.NewRequest(sip.NOTIFY, s.target)
	add := func(name, value string) { req.AppendHeader(sip.NewHeader(name, value)) }
	add("Via", "SIP/2.0/UDP "+host+";branch=z9hG4bK"+random())
	add("Max-Forwards", "70")
	for _, r := range s.routes {
		add("Route", r)
	}
	add("From", s.local)
	add("To", s.remote)
	add("Call-ID", s.callID)
	add("CSeq", strconv.FormatUint(uint64(s.seq), 10)+" NOTIFY")
	add("Contact", s.w.contact())
	add("Event", s.event)
	add("Subscription-State", state)
	add("Content-Type", ContentType)
	req.SetBody(body)
	return req
}

func (s *subscription) uri(number string) string { return "sip:" + s.w.user(number) + "@" + s.domain }

// send sends a NOTIFY; nil is none. The line must not be locked.
func (s *subscription) send(req *sip.Request) {
	if req == nil {
		return
	}
	err := s.w.world.Notify(req, func(res *sip.Response, err error) {
		if err == nil && res.StatusCode < 200 {
			return
		}
		go s.answered(res, err) // the caller may hold what we need
	})
	if err != nil {
		go s.answered(nil, err)
	}
}

// answered takes what became of a NOTIFY.
func (s *subscription) answered(res *sip.Response, err error) {
	status := 0
	if err == nil {
		status = res.StatusCode
	}
	s.w.m.notified(status)
	s.line.mu.Lock()
	s.inFlight = false
	switch {
	case s.told:
		s.line.mu.Unlock()
		s.w.drop(s)
		return
	case status/100 == 2:
		s.moved = false
	case lost(status) && !s.moved: // the phone may have another connection
		s.moved, s.inFlight = true, true
		s.line.mu.Unlock()
		s.w.world.Bindings(s.who.tenant, s.who.number, s.found)
		return
	case status < 300 || forgotten(status) || lost(status):
		s.told = true
		s.line.mu.Unlock()
		s.w.drop(s)
		return
	} // anything else is about this NOTIFY alone (RFC 5057 §5.1)
	req := s.next(time.Now())
	s.line.mu.Unlock()
	s.send(req)
}

// lost tells whether an answer says that the way to the phone is no more: RFC 5626 §5.3.1, or nothing came at all.
func lost(status int) bool {
	switch status {
	case 0, 408, 430, 480, 503:
		return true
	}
	return false
}

// forgotten tells whether an answer ends the subscription (RFC 5057 §5.1, RFC 6665 §4.2.2).
func forgotten(status int) bool {
	switch status {
	case 404, 405, 410, 416, 481, 482, 483, 484, 485, 489, 501, 604:
		return true
	}
	return false
}

// found goes on where the phone is now, with the whole state, since nobody knows what it missed.
func (s *subscription) found(bindings []contract.Binding, err error) {
	route, at := "", -1
	if err == nil {
		if at = s.phoneAmong(bindings); at >= 0 {
			route = s.w.world.Route(&bindings[at])
		}
	}
	s.line.mu.Lock()
	s.inFlight = false
	if route == "" {
		s.told = true
		s.line.mu.Unlock()
		s.w.drop(s)
		return
	}
	b := &bindings[at]
	var target sip.Uri
	if sip.ParseUri(b.Contact, &target) == nil {
		s.target = target
	}
	s.routes = append([]string{route}, b.Path...)
	s.full = true
	req := s.next(time.Now())
	s.line.mu.Unlock()
	s.send(req)
}

// phoneAmong is the binding of the phone that subscribed: of the same contact, or the only one there is.
func (s *subscription) phoneAmong(bindings []contract.Binding) int {
	for i := range bindings {
		var u sip.Uri
		if sip.ParseUri(bindings[i].Contact, &u) == nil && u.User == s.target.User && u.Host == s.target.Host && u.Port == s.target.Port {
			return i
		}
	}
	if len(bindings) == 1 {
		return 0
	}
	return -1
}

// begin takes from a SUBSCRIBE what makes its dialog (RFC 3261 §12.1.1).
func (s *subscription) begin(req *sip.Request) {
	s.callID = req.CallID().Value()
	s.peerTag, _ = req.From().Params.Get("tag")
	s.local, s.remote = req.To().Value()+";tag="+s.tag, req.From().Value()
	for rr := range object.Values(req, "Record-Route") {
		s.routes = append(s.routes, rr)
	}
	s.event = object.Value(req, "Event")
	s.refresh(req)
}

// refresh takes what a SUBSCRIBE says anew.
func (s *subscription) refresh(req *sip.Request) {
	s.peerSeq = req.CSeq().SeqNo
	if c := req.Contact(); c != nil && c.Address.Host != "" {
		s.target = c.Address
	}
}

// renew lets the subscription last for d from now; not at all means that its end is said.
func (s *subscription) renew(now time.Time, d time.Duration) {
	s.ends, s.full, s.moved = now.Add(d), true, false
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	if d == 0 {
		s.end("timeout")
		return
	}
	s.expiry = time.AfterFunc(d, s.expired)
}

func (s *subscription) expired() {
	s.line.mu.Lock()
	if s.ends.After(time.Now()) { // renewed at the same moment
		s.line.mu.Unlock()
		return
	}
	s.end("timeout")
	req := s.next(time.Now())
	s.line.mu.Unlock()
	s.send(req)
}

// halt stops the timers.
func (s *subscription) halt() {
	for _, t := range []*time.Timer{s.expiry, s.pace} {
		if t != nil {
			t.Stop()
		}
	}
}
