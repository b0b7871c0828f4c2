package swarm

import (
	"fmt"
	"net"
	"strings"
	"time"

	"parley/e2e/phone"
)

// callerCall is a call as its caller sees it. The lock of its endpoint guards it.
type callerCall struct {
	id, tag, branch string
	kind            Kind
	at              *endpoint
	dialog          dialog
	stop            func()      // repeating the request under way
	hangs           *time.Timer // patience
	ack             string      // to the final response
	status          int
	heard, giveUp   bool // a provisional response came; the caller has had enough
	cancelled, over bool
}

// giveUpWithin is how long who gives up waits at most; phones answer meanwhile, so some give up too late.
const giveUpWithin = 250 * time.Millisecond

// Call begins a call of a kind.
func (s *Swarm) Call(k Kind) {
	c := &callerCall{id: token() + "@swarm", tag: token(), branch: token(), kind: k, at: s.carrier}
	if k == Stranger {
		c.at = s.strange
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	c.at.mu.Lock()
	defer c.at.mu.Unlock()
	c.at.calls[c.id] = c
	text := s.invite(c)
	c.at.send(text)
	if k == Twice {
		c.at.send(text)
		c.at.send(text)
	}
	c.stop = c.at.repeat(text)
	c.hangs = time.AfterFunc(patience, func() { s.locked(c, func() { s.finish(c, true) }) })
	switch k {
	case Abandoned:
		time.AfterFunc(s.upTo(giveUpWithin), func() { s.locked(c, func() { c.giveUp = true; s.cancel(c) }) })
	case Stranger: // may be banned, and then hears nothing
		time.AfterFunc(2*time.Second, func() { s.locked(c, func() { s.finish(c, false) }) })
	}
}

func (s *Swarm) locked(c *callerCall, fn func()) {
	c.at.mu.Lock()
	defer c.at.mu.Unlock()
	if !c.over {
		fn()
	}
}

func (s *Swarm) invite(c *callerCall) string {
	host, _, _ := net.SplitHostPort(c.at.addr)
	c.dialog.local = "<sip:4930123@carrier.test>;tag=" + c.tag
	c.dialog.remote = "<sip:" + c.kind.number() + "@" + s.o.Domain + ">"
	c.dialog.target = "sip:" + c.kind.number() + "@" + s.o.Domain
	c.dialog.cseq = 1
	extra := ""
	if c.kind == Stranger {
		extra = `Proxy-Authorization: Digest username="2000", realm="` + s.o.Domain + `", nonce="` + token() + `", uri="` + c.dialog.target + `", response="` + token() + token() + "\"\r\n"
	}
	return fmt.Sprintf("INVITE %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\nContact: <sip:carrier@%s>\r\n%s",
		c.dialog.target, c.at.addr, c.branch, c.dialog.local, c.dialog.remote, c.id, c.at.addr, extra) + body(sdp(host, CallerPort))
}

// again makes a request with the branch of the INVITE: a CANCEL, or the ACK to a refusal.
func (c *callerCall) again(method, to string) string {
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n",
		method, c.dialog.target, c.at.addr, c.branch, c.dialog.local, to, c.id, method) + body("")
}

// cancel gives the call up, as soon as that is allowed (RFC 3261 §9.1).
func (s *Swarm) cancel(c *callerCall) {
	if !c.giveUp || !c.heard || c.cancelled || c.status != 0 {
		return
	}
	c.cancelled = true
	text := c.again("CANCEL", c.dialog.remote)
	c.at.send(text)
	c.stop = c.at.repeat(text)
}

// atCarrier handles what comes to the callers.
func (s *Swarm) atCarrier(e *endpoint, m *phone.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, _ := e.calls[m.Get("call-id")].(*callerCall)
	switch {
	case m.Method == "ACK":
	case m.Method == "BYE":
		e.send(respond(m, 200, "", "", ""))
		if c != nil && !c.over {
			s.finish(c, false)
		}
	case m.Method != "":
		e.send(respond(m, 200, token(), "", ""))
	case c == nil:
	case method(m) == "INVITE":
		s.toInvite(c, m)
	case method(m) == "BYE" && m.Status >= 200 && !c.over:
		s.finish(c, false)
	case method(m) == "CANCEL" && m.Status >= 200:
		c.stop()
	}
}

// atStranger hears refusals, if anything.
func (s *Swarm) atStranger(e *endpoint, m *phone.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, _ := e.calls[m.Get("call-id")].(*callerCall); c != nil && method(m) == "INVITE" {
		s.toInvite(c, m)
	}
}

// toInvite handles a response to the INVITE.
func (s *Swarm) toInvite(c *callerCall, m *phone.Message) {
	switch {
	case m.Status < 200:
		if !c.heard {
			c.stop()
			c.heard = true
		}
		s.cancel(c)
	case c.status != 0: // it did not get our ACK
		if c.kind != NoAck {
			c.at.send(c.ack)
		}
	case m.Status >= 300:
		c.stop()
		c.status = m.Status
		c.ack = c.again("ACK", m.Get("to"))
		c.at.send(c.ack)
		if !c.over {
			s.finish(c, false)
		}
	default:
		c.stop()
		c.status = m.Status
		s.answered(c, m)
	}
}

// answered is a 2xx.
func (s *Swarm) answered(c *callerCall, m *phone.Message) {
	d := &c.dialog
	d.remote, d.target, d.routes = m.Get("to"), uri(m.Get("contact")), reversed(m.Headers["record-route"])
	s.speak(Caller, m)
	c.ack = d.request("ACK", c.id, c.at.addr, 1)
	if c.kind == NoAck {
		return
	}
	c.at.send(c.ack)
	if c.kind == Twice {
		c.at.send(c.ack)
	}
	switch c.kind {
	case HungUp, NoBye:
	case Abandoned: // it crossed with our CANCEL
		s.bye(c)
	default:
		time.AfterFunc(s.upTo(s.o.Talk), func() { s.locked(c, func() { s.bye(c) }) })
	}
}

func (s *Swarm) bye(c *callerCall) {
	c.dialog.cseq++
	text := c.dialog.request("BYE", c.id, c.at.addr, c.dialog.cseq)
	c.at.send(text)
	if c.kind == Twice {
		c.at.send(text)
	}
	c.stop()
	c.stop = c.at.repeat(text)
}

// finish notes the end of a call, which goes on answering what is repeated for a while.
func (s *Swarm) finish(c *callerCall, hangs bool) {
	c.over = true
	c.stop()
	c.hangs.Stop()
	c.at.forget(c.id)
	s.done(Result{CallID: c.id, Kind: c.kind, Status: c.status, Hangs: hangs || c.status == 0 && c.kind != Stranger})
}

// hostless tells whether a URI's user is name.
func hostless(uri, name string) bool { return strings.HasPrefix(uri, "sip:"+name+"@") }
