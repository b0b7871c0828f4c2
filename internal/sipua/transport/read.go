package transport

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// serve reads a tcp or tls connection until its end.
func (c *conn) serve() {
	defer c.finish()
	if c.tls != nil {
		if err := c.tls.Handshake(); err != nil { // the sweep ends one that takes too long
			c.because(ClosedHandshake)
			c.set.log.Debug("TLS handshake failed", "source", c.remote, "err", err)
			return
		}
	}
	if !c.becomeReady() {
		return
	}
	c.readStream()
}

// readStream cuts the stream into messages. On a connection that is closed gently it reads on, to no use but to see
// the end: what is queued must leave first.
func (c *conn) readStream() {
	f := framer{maxMessage: c.set.limits.MaxMessage, maxHeaders: c.set.limits.MaxHeaders}
	defer f.recycle()
	for {
		n, err := c.readSome(&f)
		if n > 0 {
			f.grow(n)
			c.stats().receivedBytes.Add(uint64(n))
			if !c.consume(&f) {
				return
			}
		}
		if err != nil {
			c.lost(err)
			return
		}
	}
}

// readSome reads into f without holding a buffer while there is nothing to read.
func (c *conn) readSome(f *framer) (int, error) {
	if c.tls == nil {
		return c.sock.readReady(f)
	}
	if f.partial() {
		return c.tls.Read(f.space())
	}
	// TLS decrypts into a buffer of its own, so one byte is enough to wait for.
	n, err := c.tls.Read(c.one[:])
	if n > 0 {
		f.space()[0] = c.one[0]
	}
	return n, err
}

// consume hands on what is whole; false when the connection is to end at once.
func (c *conn) consume(f *framer) bool {
	for {
		if c.closing() {
			f.discard()
		}
		kind, msg, why := f.next()
		switch kind {
		case frameMore:
			c.notePartial(f.partial())
			f.release()
			return true
		case framePing:
			c.stats().keepAlives.Add(1)
			if err := c.write(crlfWord); err != nil {
				return false
			}
		case frameBad:
			c.garbage(why)
			return false
		case frameMessage:
			if !c.message(msg) {
				return false
			}
		}
	}
}

// notePartial starts the clock of a message that has begun.
func (c *conn) notePartial(begun bool) {
	if !begun {
		c.partial.Store(0)
	} else if c.partial.Load() == 0 {
		c.partial.Store(max(c.set.now(), 1))
	}
}

// message hands one message on; false when the connection is to end at once.
func (c *conn) message(b []byte) bool {
	s := c.set
	if s.bans(c.remote.Addr()) {
		c.stats().drop(dropBanned)
		c.because(ClosedBanned)
		return false
	}
	now := time.Now()
	if c.first.Load() == 0 {
		c.first.Store(max(s.since(now), 1))
	}
	c.partial.Store(0)
	if c.pace(s.since(now)); c.closing() {
		return true
	}
	c.shown = true
	c.stats().receivedMessages.Add(1)
	s.deliver(Message{Data: b, Flow: c.flow(), Received: now})
	return true
}

// pace holds the reader back on a connection that is too fast; the sender feels it through TCP.
func (c *conn) pace(now int64) {
	if c.trusted {
		return
	}
	r := c.set.streamRate
	if c.vouched.Load() >= now {
		r = c.set.limiter.knownRate
	}
	if r.take(&c.due, now) {
		c.flooding = c.flooding && c.due-now > r.ahead/2
		return
	}
	if !c.flooding { // once for each time it starts, not for each message
		c.flooding = true
		c.set.floods.Add(1)
		c.set.offence(c.remote.Addr(), "flood", time.Now())
	}
	c.due += r.interval
	c.set.pause(time.Duration(c.due - now - r.ahead))
}

// garbage ends a connection that carries no SIP. The source is proven, so the report may stand.
func (c *conn) garbage(why dropReason) {
	c.stats().drop(why)
	c.because(ClosedBadMessage)
	if !c.trusted {
		c.set.offence(c.remote.Addr(), dropNames[why], time.Now())
	}
}

// lost notes why reading failed.
func (c *conn) lost(err error) {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		c.because(ClosedByPeer)
	case errors.Is(err, net.ErrClosed):
		c.because(ClosedByUs)
	case !c.closing():
		c.because(ClosedError)
		c.fault()
		c.set.log.Debug("SIP connection failed", "transport", c.transport, "source", c.remote, "err", err)
	}
}

// fault counts an error of the network.
func (c *conn) fault() {
	if c.listener != nil {
		c.listener.errs.Add(1)
	} else {
		c.set.dialFaults[c.transport.index()].Add(1)
	}
}

func (c *conn) stats() *transportStats { return &c.set.stats[c.transport.index()] }
