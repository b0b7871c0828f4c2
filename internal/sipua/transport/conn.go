package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// conn is one stream connection, accepted or dialled.
//
// Its life: opened (in the table, counted against the caps and in Set.work) -> ready, when the handshake is done ->
// finished. One goroutine reads it and finishes it; while a WebSocket is not ready, net/http reads, and closing finishes.
// Times are watched by the sweep of the set and not by deadlines, which would break TLS and WebSocket in the middle.
type conn struct {
	set       *Set
	id        string
	serial    uint64
	transport Transport
	remote    netip.AddrPort
	local     netip.AddrPort
	listener  *streamListener // nil when dialled
	peer      peerKey         // under which Dial finds it; the zero key = not at all
	trusted   bool
	sock      *sock
	tls       *tls.Conn       // tls only; set before the connection is read
	ws        *websocket.Conn // ws and wss; set before it is ready

	phase   atomic.Int32
	opened  int64        // these times are of Set.now
	ready   atomic.Int64 // when the handshake was done
	first   atomic.Int64 // when the first message was whole; 0 = not yet
	partial atomic.Int64 // when the present message began; 0 = between messages
	vouched atomic.Int64 // until when somebody vouches for it; 0 = nobody ever did
	pinged  atomic.Int64 // when we sent the last ping
	reason  atomic.Pointer[CloseReason]

	// The reader's.
	shown    bool // the caller has seen this connection, so Closed is to be called
	due      int64
	flooding bool
	one      [1]byte
}

// The phases of a connection.
const (
	phaseHandshake int32 = iota
	phaseReady
	phaseFinished
)

// newConn enters a TCP connection in the table, which may refuse it. The caller sees to it that it is read.
func (s *Set) newConn(t Transport, tcp *net.TCPConn, l *streamListener, peer peerKey) (*conn, dropReason) {
	c := &conn{
		set: s, transport: t, listener: l, peer: peer, opened: s.now(),
		remote: addrPort(tcp.RemoteAddr()), local: addrPort(tcp.LocalAddr()),
	}
	c.trusted = l == nil || s.trusts(c.remote.Addr())
	var err error
	if c.sock, err = newSock(tcp, c); err != nil {
		return nil, dropConnections // it is gone already
	}
	c.sock.lastRead.Store(c.opened)
	if why := s.conns.add(c, s.limits, &s.work); why != accepted {
		return nil, why
	}
	c.id = s.boot + "-" + strconv.FormatUint(c.serial, 36)
	s.stats[t.index()].opened.Add(1)
	return c, accepted
}

// flow is c as the caller sees it.
func (c *conn) flow() Flow { return Flow{conn: c, remote: c.remote, local: c.local} }

// becomeReady says that the handshake is done; false when c was given up meanwhile.
func (c *conn) becomeReady() bool {
	c.ready.Store(c.set.now())
	return c.phase.CompareAndSwap(phaseHandshake, phaseReady)
}

func (c *conn) isReady() bool { return c.phase.Load() == phaseReady }

// send sends one message.
func (c *conn) send(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: nothing to send", ErrTooLarge)
	}
	if err := c.write(b); err != nil {
		if (errors.Is(err, net.ErrClosed) || c.closing()) && !errors.Is(err, ErrQueueFull) {
			err = ErrClosed // by whatever name TLS or WebSocket gave it
		}
		return fmt.Errorf("%s to %s: %w", c.transport, c.remote, err)
	}
	st := &c.set.stats[c.transport.index()]
	st.sentBytes.Add(uint64(len(b)))
	st.sentMessages.Add(1)
	return nil
}

// write sends bytes as one unit of the transport. It does not wait, since sock does not.
func (c *conn) write(b []byte) (err error) {
	switch {
	case c.ws != nil:
		kind := websocket.MessageText // RFC 7118 §4.2: text where it is UTF-8
		if !utf8.Valid(b) {
			kind = websocket.MessageBinary
		}
		err = c.ws.Write(context.Background(), kind, b)
	case c.tls != nil:
		_, err = c.tls.Write(b)
	default:
		_, err = c.sock.Write(b)
	}
	return err
}

// vouch is Flow.Vouch.
func (c *conn) vouch(until time.Time) {
	at := c.set.since(until)
	c.vouched.Store(at)
	c.set.limiter.vouch(c.remote.Addr(), at)
}

// because notes why c ends; the first reason stays.
func (c *conn) because(why CloseReason) { c.reason.CompareAndSwap(nil, &why) }

// closing tells whether c is to end.
func (c *conn) closing() bool { return c.reason.Load() != nil }

// closeGently closes c when what is queued has left.
func (c *conn) closeGently(why CloseReason) {
	c.because(why)
	switch {
	case !c.isReady():
		c.sock.Close()
	case c.ws != nil:
		// The closing handshake waits for the peer, five seconds at most. Not started: c is finished already.
		c.sock.start(func() { c.ws.Close(websocket.StatusGoingAway, "") })
	case c.tls != nil:
		c.tls.Close() // close_notify, then sock.Close
	default:
		c.sock.Close()
	}
}

// abort closes c at once, whatever is queued.
func (c *conn) abort(why CloseReason) {
	c.because(why)
	c.sock.abort()
	c.lostBeforeReady()
}

// lostBeforeReady finishes a WebSocket connection that net/http closed before it became one.
func (c *conn) lostBeforeReady() {
	if c.transport.web() && c.phase.CompareAndSwap(phaseHandshake, phaseFinished) {
		c.because(ClosedHandshake)
		c.release()
	}
}

// finish ends c; its reader calls it last.
func (c *conn) finish() {
	if c.phase.Swap(phaseFinished) == phaseFinished {
		return
	}
	c.because(ClosedByPeer)
	c.sock.finish()
	if c.ws != nil {
		c.ws.CloseNow()
	}
	c.release()
}

// release takes c out of the books.
func (c *conn) release() {
	s := c.set
	why := *c.reason.Load()
	s.conns.remove(c)
	s.stats[c.transport.index()].close(why)
	if c.shown && s.opts.Closed != nil {
		s.tellClosed(c.flow(), why)
	}
	s.work.Done()
}
