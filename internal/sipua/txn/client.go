package txn

import (
	"fmt"
	"time"

	"parley/internal/sipua/wire"
)

// Waiter hears what becomes of a request. Its methods run on the shard.
type Waiter interface {
	// Response gets every provisional response, the final one, and every 2xx to an INVITE, repeated ones included.
	Response(c *Client, m *Message)
	// Failed says that no final response will come: ErrTimeout or ErrSend. It is the last call.
	Failed(c *Client, err error)
}

// Client is one client transaction.
type Client struct {
	shard    *Shard
	key      string
	path     Path
	waiter   Waiter
	invite   bool
	reliable bool
	state    state
	heard    bool   // a provisional response came
	sent     []byte // the request; then the ACK, or nil
	interval time.Duration
	repeat   *Timer // Timer A or E
	life     *Timer // Timer B or F, then D, K or M

	Local any // the core's own state of this transaction
}

// Start sends a request, whose bytes are kept, and waits for its responses. branch is that of its top Via and unique.
// When it cannot be sent, the transaction is over and the error is returned; Failed is not called then.
func (s *Shard) Start(method, branch string, request []byte, path Path, w Waiter) (*Client, error) {
	c := &Client{
		shard: s, key: branch + " " + method, path: path, waiter: w, invite: method == "INVITE",
		reliable: path.Transport().Reliable(), sent: request,
	}
	if err := path.Send(request); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSend, err)
	}
	s.clients[c.key] = c
	s.l.clients.Add(1)
	s.l.m.clientsCreated.Inc()
	t := s.l.timers
	c.life = s.After(64*t.T1, c.timeout) // Timer B, Timer F
	if !c.reliable {
		c.interval = t.T1
		c.repeat = s.After(t.T1, c.again)
	}
	return c, nil
}

// response hands a response to the transaction that waits for it (RFC 3261 §17.1.3).
func (s *Shard) response(m *Message) {
	var via wire.ViaValue
	m.TopVia(&via)
	_, method := m.CSeq()
	s.key = append(append(append(s.key[:0], via.Branch...), ' '), method...)
	if c := s.clients[string(s.key)]; c != nil {
		c.response(m)
		return
	}
	s.l.core.Stray(m)
}

// Heard tells whether a provisional response came, so that the request may be cancelled (RFC 3261 §9.1).
func (c *Client) Heard() bool { return c.heard }

// Done tells whether a final response came or none ever will.
func (c *Client) Done() bool { return c.state != proceeding }

// Cancel sends the CANCEL of an INVITE that is heard and not done, with that Reason if there is one; nothing else.
func (c *Client) Cancel(reason string) {
	if !c.invite || !c.heard || c.state != proceeding {
		return
	}
	var invite wire.Message
	if wire.Scan(&invite, c.sent) != nil {
		return
	}
	branch := c.key[:len(c.key)-len(" INVITE")]
	if s := c.shard; s.clients[branch+" CANCEL"] == nil {
		// Whether it arrives shows in the INVITE's own answer; if it cannot be sent, neither can that.
		_, _ = s.Start("CANCEL", branch, wire.AppendCancel(nil, &invite, reason), c.path, silent{})
	}
	c.life.Stop()
	c.life = c.shard.After(64*c.shard.l.timers.T1, c.timeout) // §9.1: then it counts as cancelled
}

// silent waits for a CANCEL's answer, which means nothing.
type silent struct{}

func (silent) Response(*Client, *Message) {}
func (silent) Failed(*Client, error)      {}

// End forgets the transaction: what still comes is a stray.
func (c *Client) End() { c.end() }

func (c *Client) response(m *Message) {
	status := m.Status()
	switch {
	case c.state == completed:
		if c.invite && status >= 300 && c.sent != nil { // the ACK was lost
			c.sendAck()
		}
	case c.state == accepted:
		if status/100 == 2 {
			c.waiter.Response(c, m)
		}
	case c.state == ended:
	case status < 200:
		c.provisional()
		c.waiter.Response(c, m)
	default:
		c.final(m)
		c.waiter.Response(c, m)
	}
}

func (c *Client) provisional() {
	c.heard = true
	if c.invite { // from here on Timer C of the proxy decides
		c.repeat.Stop()
		c.repeat = nil
		c.life.Stop()
		c.life = c.shard.After(c.shard.l.timers.MaxAge, c.abandoned)
		return
	}
	c.interval = c.shard.l.timers.T2 // from the next repetition on (§17.1.2.2)
}

func (c *Client) final(m *Message) {
	t := c.shard.l.timers
	c.repeat.Stop()
	c.repeat = nil
	c.life.Stop()
	linger := t.T4 // Timer K
	switch {
	case c.invite && m.Status() < 300:
		c.state, c.sent, linger = accepted, nil, 64*t.T1 // Timer M
	case c.invite:
		c.state, linger = completed, max(64*t.T1, 32*time.Second) // Timer D
		c.acknowledge(m)
	default:
		c.state, c.sent = completed, nil
	}
	if c.reliable && c.state == completed {
		defer c.end()
		linger = 0
	}
	c.life = c.shard.After(linger, c.end)
}

// acknowledge sends the ACK to a final response of 300 or more (§17.1.1.3), and keeps it in place of the request.
func (c *Client) acknowledge(m *Message) {
	var invite wire.Message
	if wire.Scan(&invite, c.sent) != nil {
		c.sent = nil
		return
	}
	c.sent = wire.AppendAck(nil, &invite, m.Get(wire.To))
	c.sendAck()
}

// sendAck's errors mean that the peer repeats its response, and gets the next one.
func (c *Client) sendAck() { _ = c.path.Send(c.sent) }

// again repeats the request: Timer A doubles without bound, Timer E up to T2.
func (c *Client) again() {
	if err := c.path.Send(c.sent); err != nil {
		c.fail(fmt.Errorf("%w: %w", ErrSend, err))
		return
	}
	if c.interval *= 2; !c.invite {
		c.interval = min(c.interval, c.shard.l.timers.T2)
	}
	c.repeat.Reset(c.interval)
}

func (c *Client) timeout() { c.fail(ErrTimeout) }

func (c *Client) abandoned() {
	c.shard.l.m.swept.Inc()
	c.fail(ErrTimeout)
}

func (c *Client) fail(err error) {
	w := c.waiter
	if c.state == ended {
		return
	}
	c.end()
	w.Failed(c, err)
}

func (c *Client) end() {
	if c.state == ended {
		return
	}
	c.state, c.sent = ended, nil
	c.repeat.Stop()
	c.life.Stop()
	delete(c.shard.clients, c.key)
	c.shard.l.clients.Add(-1)
	c.shard.l.m.clientsDeleted.Inc()
}
