package swarm

import (
	"net"
	"time"

	"parley/e2e/phone"
)

// phoneCall is a call as a phone sees it. The lock of its endpoint guards it.
type phoneCall struct {
	id, tag string
	invite  *phone.Message
	dialog  dialog
	last    string // response to the INVITE
	stop    func() // repeating it, or our BYE
	final   bool
	acked   bool
	over    bool
}

// answerWithin is how long a phone rings at most before it is answered.
const answerWithin = 200 * time.Millisecond

// atPhones handles what comes to the phones.
func (s *Swarm) atPhones(e *endpoint, m *phone.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := m.Get("call-id")
	c, _ := e.calls[id].(*phoneCall)
	switch {
	case m.Status != 0: // to our BYE
		if c != nil && m.Status >= 200 {
			c.end(e)
		}
	case m.Method == "INVITE" && c != nil: // again
		e.send(c.last)
	case m.Method == "INVITE":
		s.ring(e, id, m)
	case m.Method == "ACK":
		if c != nil {
			s.acked(e, c)
		}
	case m.Method == "CANCEL":
		e.send(respond(m, 200, token(), "", ""))
		if c != nil && !c.final {
			c.answer(e, 487, "")
		}
	case c == nil:
		e.send(respond(m, 481, token(), "", ""))
	default:
		e.send(respond(m, 200, c.tag, "", ""))
		if m.Method == "BYE" {
			c.end(e)
		}
	}
}

// ring does with a call what the phone does that is called.
func (s *Swarm) ring(e *endpoint, id string, m *phone.Message) {
	c := &phoneCall{id: id, tag: token(), invite: m, stop: func() {}}
	e.calls[id] = c
	c.dialog = dialog{local: m.Get("to") + ";tag=" + c.tag, remote: m.Get("from"), target: uri(m.Get("contact")), routes: m.Headers["record-route"]}
	if hostless(m.URI, busy) {
		c.answer(e, 486, "")
		return
	}
	c.last = respond(m, 180, c.tag, "sip:phone@"+e.addr, "")
	e.send(c.last)
	if hostless(m.URI, rings) {
		return
	}
	host, _, _ := net.SplitHostPort(e.addr)
	time.AfterFunc(s.upTo(answerWithin), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !c.final {
			c.answer(e, 200, sdp(host, PhonePort))
			s.speak(Phone, m)
		}
	})
}

// answer gives the final response, and repeats it until the ACK.
func (c *phoneCall) answer(e *endpoint, status int, text string) {
	c.final = true
	c.last = respond(c.invite, status, c.tag, "sip:phone@"+e.addr, text)
	e.send(c.last)
	c.stop = e.repeat(c.last)
	if status >= 300 {
		e.forget(c.id)
	}
}

func (s *Swarm) acked(e *endpoint, c *phoneCall) {
	if c.acked || !c.final {
		return
	}
	c.acked = true
	c.stop()
	if !hostless(c.invite.URI, hangsUp) {
		return
	}
	time.AfterFunc(s.upTo(s.o.Talk), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if c.over {
			return
		}
		text := c.dialog.request("BYE", c.id, e.addr, 1)
		e.send(text)
		c.stop = e.repeat(text)
	})
}

func (c *phoneCall) end(e *endpoint) {
	if !c.over {
		c.over = true
		c.stop()
		e.forget(c.id)
	}
}
