package phone

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// T2 is the longest wait between two repetitions, but of an INVITE (RFC 3261 §17.1.2.1).
const T2 = 4 * time.Second

// Agent is a phone that makes and takes calls. It reads its line on a goroutine of its own, repeats what is lost as RFC 3261
// says, and answers what it is asked. Its methods may be called by any goroutine.
type Agent struct {
	Incoming chan *Call    // calls that come; one that nobody takes rings in vain
	T1       time.Duration // set before the first call; 500 ms

	p    *Phone
	done chan struct{} // closed when the line is read no more

	mu      sync.Mutex // guards what follows, and p
	clients map[string]chan *Message
	servers map[string]*server
	calls   map[string]*Call
	acks    map[string]string // the ACK to a 2xx, by Call-ID and CSeq, for when the 2xx comes again
	closed  bool
}

// server is a request that came, and what it was answered.
type server struct {
	req   *Message
	last  string        // the last response
	final bool          // it is final
	acked chan struct{} // of an INVITE: closed by the ACK
	call  *Call
}

// NewAgent takes over a phone and its line until Close.
func NewAgent(p *Phone) *Agent {
	a := &Agent{
		Incoming: make(chan *Call, 256), T1: 500 * time.Millisecond, p: p, done: make(chan struct{}),
		clients: map[string]chan *Message{}, servers: map[string]*server{}, calls: map[string]*Call{}, acks: map[string]string{},
	}
	go a.read()
	return a
}

// Close ends the agent and its line.
func (a *Agent) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.p.Line.Close()
	<-a.done
}

// Number is the account's.
func (a *Agent) Number() string { return a.p.User }

func (a *Agent) read() {
	defer close(a.done)
	for {
		raw, err := a.p.Line.Read(time.Now().Add(24 * time.Hour))
		if err == nil {
			if m, err := ParseMessage(raw); err == nil {
				a.handle(m)
			}
			continue
		}
		a.mu.Lock()
		closed := a.closed
		a.mu.Unlock()
		// A datagram socket tells of peers that refused something; a stream that fails has ended.
		if closed || errors.Is(err, net.ErrClosed) || a.p.Line.Transport() != "UDP" {
			return
		}
	}
}

func (a *Agent) send(text string) { _ = a.p.Line.Write([]byte(text)) } // what cannot be sent is lost, and repeated

func (a *Agent) handle(m *Message) {
	if m.Status > 0 {
		a.response(m)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.Method == "ACK" {
		a.acknowledged(m)
		return
	}
	key := m.branch() + " " + m.Method
	if s := a.servers[key]; s != nil { // again
		if s.last != "" {
			a.send(s.last)
		}
		return
	}
	s := &server{req: m, acked: make(chan struct{}), call: a.calls[m.Get("call-id")]}
	a.servers[key] = s
	switch {
	case m.Method == "CANCEL":
		a.respond(s, 200, "", "")
		if inv := a.servers[m.branch()+" INVITE"]; inv != nil && !inv.final {
			inv.call.cancelled = true
			a.final(inv, 487, "", "")
			inv.call.end()
		}
	case param(m.Get("to"), "tag") == "" && m.Method == "INVITE":
		a.newCall(s)
	case param(m.Get("to"), "tag") == "":
		a.respond(s, 200, "", "")
	case s.call == nil:
		a.respond(s, 481, "", "")
	default:
		s.call.within(s)
	}
}

// acknowledged ends the repetition of a final response to an INVITE.
func (a *Agent) acknowledged(m *Message) {
	id := m.Get("call-id")
	n, _ := m.CSeq()
	for _, s := range a.servers {
		if k, _ := s.req.CSeq(); s.req.Method == "INVITE" && s.req.Get("call-id") == id && k == n && s.final {
			select {
			case <-s.acked:
			default:
				close(s.acked)
				if m.Body != "" && s.call != nil {
					s.call.remoteSDP = m.Body
				}
			}
		}
	}
}

func (a *Agent) response(m *Message) {
	n, method := m.CSeq()
	a.mu.Lock()
	ch := a.clients[m.branch()+" "+method]
	ack := a.acks[fmt.Sprint(m.Get("call-id"), n)]
	a.mu.Unlock()
	if ack != "" && method == "INVITE" && m.Status/100 == 2 {
		a.send(ack)
		return
	}
	if ch != nil {
		select {
		case ch <- m:
		default: // more repetitions than anybody reads
		}
	}
}

// request sends a request, repeats it until it is answered, and gives its responses to on until a final one came. It fails
// when none does within 64 T1; an INVITE that is answered provisionally waits on.
func (a *Agent) request(text string, on func(*Message)) error {
	m, err := ParseMessage([]byte(text))
	if err != nil {
		return err
	}
	key, invite, udp := m.branch()+" "+m.Method, m.Method == "INVITE", a.p.Line.Transport() == "UDP"
	ch := make(chan *Message, 64)
	a.mu.Lock()
	a.clients[key] = ch
	a.mu.Unlock()
	a.send(text)
	wait := a.T1
	again, life := time.NewTimer(wait), time.NewTimer(64*a.T1)
	defer again.Stop()
	defer life.Stop()
	for {
		select {
		case res := <-ch:
			on(res)
			if res.Status >= 200 {
				return nil
			}
			if invite {
				again.Stop()
				life.Reset(5 * time.Minute)
			}
		case <-again.C:
			if udp {
				a.send(text)
			}
			if wait *= 2; !invite {
				wait = min(wait, T2)
			}
			again.Reset(wait)
		case <-life.C:
			return fmt.Errorf("%w to %s %s", ErrNoAnswer, m.Method, m.URI)
		case <-a.done:
			return net.ErrClosed
		}
	}
}

// Register registers for so many seconds, or fails.
func (a *Agent) Register(expires int) error {
	for range 3 {
		var res *Message
		a.mu.Lock()
		text := a.p.registerRequest(expires)
		a.mu.Unlock()
		if err := a.request(text, func(m *Message) { res = m }); err != nil {
			return err
		}
		switch {
		case res.Status == 200:
			return nil
		case res.Status != 401 || !a.challenged(res, "www-authenticate"):
			return fmt.Errorf("REGISTER of %s: %d %s", a.p.User, res.Status, res.Reason)
		}
	}
	return fmt.Errorf("REGISTER of %s: the credentials are refused", a.p.User)
}

// challenged takes the challenge of a response; false when there is none this phone can answer.
func (a *Agent) challenged(res *Message, header string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.p.pick(&Response{Headers: map[string][]string{"www-authenticate": res.Headers[header]}})
	if ok {
		a.p.nonce, a.p.nc = c, 0
	}
	return ok
}

// respond answers a request; a.mu is held. body and extra header lines may be "".
func (a *Agent) respond(s *server, status int, extra, body string) {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", status, map[bool]string{true: "OK", false: "Answer"}[status == 200])
	for _, name := range []string{"Via", "Record-Route"} {
		for _, v := range s.req.Headers[strings.ToLower(name)] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	to := s.req.Get("to")
	if param(to, "tag") == "" && status > 100 {
		tag := "none"
		if s.call != nil {
			tag = s.call.tag
		}
		to += ";tag=" + tag
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n", s.req.Get("from"), to, s.req.Get("call-id"), s.req.Get("cseq"))
	if s.req.Method == "INVITE" && status > 100 && status < 300 {
		fmt.Fprintf(&b, "Contact: <%s>\r\n", a.contact())
	}
	b.WriteString(extra)
	if body != "" {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	s.last, s.final = b.String(), status >= 200
	a.send(s.last)
}

// final answers an INVITE, and repeats that until the ACK comes (RFC 3261 §13.3.1.4, §17.2.1); a.mu is held.
func (a *Agent) final(s *server, status int, extra, body string) {
	a.respond(s, status, extra, body)
	text := s.last
	go func() {
		wait, deadline := a.T1, time.After(64*a.T1)
		for {
			again := time.NewTimer(wait)
			select {
			case <-again.C:
				a.send(text)
				wait = min(2*wait, T2)
				continue
			case <-s.acked:
			case <-deadline:
			case <-a.done:
			}
			again.Stop()
			return
		}
	}()
}

func (a *Agent) contact() string {
	if a.p.Contact != "" {
		return a.p.Contact
	}
	return fmt.Sprintf("sip:%s@%s;transport=%s", a.p.User, a.p.Line.Local(), strings.ToLower(a.p.Line.Transport()))
}
