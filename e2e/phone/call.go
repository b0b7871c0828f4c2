package phone

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Call is one call of an Agent, made or taken.
type Call struct {
	ID       string        // its Call-ID
	Invite   *Message      // of a call that came
	Ringing  chan struct{} // of a call that was made: closed when the other side rings or answers
	Answered chan struct{} // of a call that was made: closed by a 2xx
	Ended    chan struct{} // closed when the call is over, whoever ended it
	Tells    chan *Message // INFO, MESSAGE and others that came within the call; beyond a few they are dropped

	a         *Agent
	tag       string
	srv       *server // of a call that came
	cancelled bool
	final     chan int // of a call that was made: its final status, once

	// The dialog; guarded by the agent's lock.
	local, remote, target string
	routes                []string
	cseq                  uint32
	branch                string // of the INVITE under way
	invited               string // the INVITE under way
	sdp, remoteSDP        string
	over, rang            bool
}

func (a *Agent) newCallOf(id string) *Call {
	c := &Call{ID: id, a: a, tag: token(), Ringing: make(chan struct{}), Answered: make(chan struct{}), Ended: make(chan struct{}), Tells: make(chan *Message, 16), final: make(chan int, 1)}
	a.calls[id] = c
	return c
}

// newCall is an INVITE that came; a.mu is held.
func (a *Agent) newCall(s *server) {
	c := a.newCallOf(s.req.Get("call-id"))
	c.Invite, c.srv, s.call = s.req, s, c
	c.local, c.remote = s.req.Get("to")+";tag="+c.tag, s.req.Get("from")
	c.target, c.routes, c.remoteSDP = uriOf(s.req.Get("contact")), s.req.Headers["record-route"], s.req.Body
	a.respond(s, 100, "", "")
	select {
	case a.Incoming <- c:
	default:
		a.final(s, 486, "", "")
	}
}

// Dial calls a number of the phone's domain with an offer. See [Call.Final].
func (a *Agent) Dial(number, sdp string) *Call {
	a.mu.Lock()
	c := a.newCallOf(token() + "@phone.invalid")
	c.local, c.remote = fmt.Sprintf("<sip:%s@%s>;tag=%s", a.p.User, a.p.Domain, c.tag), fmt.Sprintf("<sip:%s@%s>", number, a.p.Domain)
	c.target, c.sdp = fmt.Sprintf("sip:%s@%s", number, a.p.Domain), sdp
	a.mu.Unlock()
	go func() {
		status := 0
		for range 3 {
			var res *Message
			if err := a.request(c.invite(), func(m *Message) { res = m; c.provisional(m) }); err != nil {
				break
			}
			c.answer(res)
			if status = res.Status; status != 407 || !a.challenged(res, "proxy-authenticate") {
				break
			}
		}
		c.final <- status
		if status/100 == 2 {
			close(c.Answered)
		} else {
			a.mu.Lock()
			c.end()
			a.mu.Unlock()
		}
	}()
	return c
}

// invite makes the INVITE that begins the call, or changes it.
func (c *Call) invite() string {
	a := c.a
	a.mu.Lock()
	defer a.mu.Unlock()
	extra := fmt.Sprintf("Contact: <%s>\r\n", a.contact())
	if n := a.p.nonce; n.Nonce != "" && param(c.remote, "tag") == "" {
		a.p.nc++
		extra += "Proxy-Authorization: " + n.Answer("INVITE", c.target, a.p.User, a.p.Password, token(), a.p.nc) + "\r\n"
	}
	c.invited = c.compose("INVITE", extra, c.sdp)
	return c.invited
}

// compose makes a request of the dialog with the next CSeq; a.mu is held.
func (c *Call) compose(method, extra, sdp string) string {
	c.cseq++
	c.branch = "z9hG4bK" + token()
	return c.text(method, c.branch, c.cseq, extra, sdp)
}

func (c *Call) text(method, branch string, cseq uint32, extra, sdp string) string {
	var b strings.Builder
	l := c.a.p.Line
	fmt.Fprintf(&b, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;rport;branch=%s\r\nMax-Forwards: 70\r\n", method, c.target, l.Transport(), l.Local(), branch)
	for _, r := range c.routes {
		fmt.Fprintf(&b, "Route: %s\r\n", r)
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n%s", c.local, c.remote, c.ID, cseq, method, extra)
	if sdp != "" && !strings.Contains(extra, "Content-Type:") {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(sdp), sdp)
	return b.String()
}

func (c *Call) provisional(m *Message) {
	if m.Status > 100 && m.Status < 300 {
		c.a.mu.Lock()
		defer c.a.mu.Unlock()
		if !c.rang {
			c.rang = true
			close(c.Ringing)
		}
	}
}

// answer acknowledges the final response to an INVITE of ours, and learns the dialog from a 2xx (RFC 3261 §13.2.2.4).
func (c *Call) answer(m *Message) {
	a := c.a
	a.mu.Lock()
	defer a.mu.Unlock()
	n, _ := m.CSeq()
	if m.Status/100 != 2 { // the ACK is the transaction's
		old := c.remote
		c.remote = m.Get("to")
		ack := c.text("ACK", m.branch(), n, "", "")
		c.remote = old
		a.send(ack)
		a.absorb(m.branch(), ack)
		return
	}
	if param(c.remote, "tag") == "" {
		c.routes = slices.Clone(m.Headers["record-route"])
		slices.Reverse(c.routes)
	}
	c.remote = m.Get("to")
	c.target = uriOf(m.Get("contact"))
	if m.Body != "" {
		c.remoteSDP = m.Body
	}
	ack := c.text("ACK", "z9hG4bK"+token(), n, "", "")
	a.acks[fmt.Sprint(c.ID, n)] = ack
	a.send(ack)
}

// absorb repeats the ACK for each repetition of a refusal, for as long as one may come; a.mu is held.
func (a *Agent) absorb(branch, ack string) {
	ch := make(chan *Message, 64)
	a.clients[branch+" INVITE"] = ch
	go func() {
		deadline := time.After(64 * a.T1)
		for {
			select {
			case m := <-ch:
				if m.Status >= 300 {
					a.send(ack)
				}
			case <-deadline:
				return
			case <-a.done:
				return
			}
		}
	}()
}

// Final waits for the final status of a call that was made; 0 when there is none in time.
func (c *Call) Final(within time.Duration) int {
	select {
	case status := <-c.final:
		return status
	case <-time.After(within):
		return 0
	}
}

// Cancel gives up a call that was made and rings. Its final status still comes.
func (c *Call) Cancel() error {
	a := c.a
	a.mu.Lock()
	text := c.text("CANCEL", c.branch, c.cseq, "", "")
	a.mu.Unlock()
	return a.request(text, func(*Message) {})
}

// Ring says 180 to a call that came.
func (c *Call) Ring() {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	if !c.srv.final {
		c.a.respond(c.srv, 180, "", "")
	}
}

// Answer takes a call that came, and waits for the ACK. It fails when none comes, or when the caller has given up.
func (c *Call) Answer(sdp string) error {
	a, s := c.a, c.srv
	a.mu.Lock()
	if s.final {
		a.mu.Unlock()
		return fmt.Errorf("the call %s was given up", c.ID)
	}
	c.sdp = sdp
	a.final(s, 200, "", sdp)
	a.mu.Unlock()
	select {
	case <-s.acked:
		return nil
	case <-time.After(64 * a.T1):
		return fmt.Errorf("no ACK to the 200 of %s", c.ID)
	case <-a.done:
		return fmt.Errorf("closed before the ACK to the 200 of %s", c.ID)
	}
}

// Reject refuses a call that came; false when it was given up before.
func (c *Call) Reject(status int) bool {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	if c.srv.final {
		return false
	}
	c.a.final(c.srv, status, "", "")
	c.end()
	return true
}

// Cancelled tells whether the caller gave up a call that came.
func (c *Call) Cancelled() bool {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	return c.cancelled
}

// SDP is what the other side said last about its audio.
func (c *Call) SDP() string {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	return c.remoteSDP
}

// Reinvite changes the session, and returns the answer (RFC 3261 §14.1). A request that met another one (491) is made again
// after a moment, as that section wants it, a few times.
func (c *Call) Reinvite(sdp string) (*Message, error) {
	c.a.mu.Lock()
	c.sdp = sdp
	c.a.mu.Unlock()
	for tries := 0; ; tries++ {
		var res *Message
		if err := c.a.request(c.invite(), func(m *Message) { res = m }); err != nil {
			return nil, err
		}
		c.answer(res)
		if res.Status != 491 || tries == 5 {
			return res, nil
		}
		select {
		case <-time.After(c.a.T1 / 2):
		case <-c.Ended:
			return res, nil
		}
	}
}

// Request sends another request within the dialog, and returns its final response.
func (c *Call) Request(method, extra, body string) (*Message, error) {
	c.a.mu.Lock()
	text := c.compose(method, extra, body)
	c.a.mu.Unlock()
	var res *Message
	err := c.a.request(text, func(m *Message) { res = m })
	return res, err
}

// Bye hangs up, and waits for the answer. A call that the other side has just hung up as well is over all the same.
func (c *Call) Bye() error {
	res, err := c.Request("BYE", "", "")
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	c.end()
	if err == nil && res.Status != 200 && res.Status != 481 {
		err = fmt.Errorf("BYE of %s: %d %s", c.ID, res.Status, res.Reason)
	}
	return err
}

// Via makes what the call sends from now on go by the line of another agent of the same account, as that of a phone
// that has changed its way.
func (c *Call) Via(other *Agent) {
	c.a.mu.Lock()
	delete(c.a.calls, c.ID)
	c.a.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	other.calls[c.ID] = c
	c.a = other
}

// within answers a request of the dialog; a.mu is held.
func (c *Call) within(s *server) {
	a, m := c.a, s.req
	s.call = c
	switch {
	case c.over:
		a.respond(s, 481, "", "")
	case m.Method == "BYE":
		a.respond(s, 200, "", "")
		c.end()
	case m.Method == "INVITE":
		if m.Body != "" {
			c.remoteSDP = m.Body
		}
		c.target = uriOf(m.Get("contact"))
		a.final(s, 200, "", answerTo(c.sdp, m.Body))
		c.tell(m)
	case m.Method == "UPDATE" && m.Body != "":
		c.remoteSDP = m.Body
		a.respond(s, 200, fmt.Sprintf("Contact: <%s>\r\n", a.contact()), answerTo(c.sdp, m.Body))
		c.tell(m)
	default:
		a.respond(s, 200, "", "")
		c.tell(m)
	}
}

func (c *Call) tell(m *Message) {
	select {
	case c.Tells <- m:
	default:
	}
}

func (c *Call) end() {
	if !c.over {
		c.over = true
		close(c.Ended)
	}
}
