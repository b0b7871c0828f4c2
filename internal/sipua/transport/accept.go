package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// keepAlive finds peers that vanished without a word, also where SIP is silent for an hour.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 45 * time.Second, Interval: 15 * time.Second, Count: 4}

// streamListener is one tcp, tls, ws or wss URL.
type streamListener struct {
	set      *Set
	endpoint endpoint
	bound    netip.AddrPort
	tcp      *net.TCPListener
	tls      *tls.Config  // tls and wss
	http     *http.Server // ws and wss
	errs     atomic.Uint64
}

func openStream(ctx context.Context, s *Set, e endpoint) (*streamListener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	ln, err := lc.Listen(ctx, e.network, e.bind(e.addr.Port()))
	if err != nil {
		return nil, listenError(e, err)
	}
	l := &streamListener{set: s, endpoint: e, tcp: ln.(*net.TCPListener), bound: addrPort(ln.Addr())}
	if e.transport.Secure() {
		l.tls = s.opts.Certificates.Config()
	}
	if e.transport.web() {
		l.http = l.webServer()
	}
	return l, nil
}

// close stops accepting; connections that are no WebSocket yet go with it.
func (l *streamListener) close() {
	l.tcp.Close()
	if l.http != nil {
		l.http.Close()
	}
}

// serve accepts connections until the set stops. An error is one the process should stop for.
func (l *streamListener) serve() error {
	if l.http != nil {
		return l.serveWeb()
	}
	for {
		c, err := l.accept()
		if err != nil {
			return l.ended(err)
		}
		if l.tls != nil {
			c.tls = tls.Server(c.sock, l.tls)
		}
		go c.serve() // counted in Set.work since newConn, until it finishes
	}
}

// ended tells the end of a listener by the set from one by a fault.
func (l *streamListener) ended(err error) error {
	if l.set.stopping.Load() {
		return nil
	}
	return fmt.Errorf("transport: %s: %w", l.endpoint.url, err)
}

// accept returns the next connection that is let in. It fails only when the listener is closed: what else may go
// wrong, such as too many open files, passes.
func (l *streamListener) accept() (*conn, error) {
	for backoff := 5 * time.Millisecond; ; {
		tcp, err := l.tcp.AcceptTCP()
		if err == nil {
			backoff = 5 * time.Millisecond
			if c := l.admit(tcp); c != nil {
				return c, nil
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		l.errs.Add(1)
		l.set.faults.log(l.set.log, "SIP accept failed", "listen", l.endpoint.url, "err", err)
		if !l.set.pause(backoff) {
			return nil, net.ErrClosed
		}
		backoff = min(2*backoff, time.Second)
	}
}

// admit lets a connection in, or closes it and returns nil.
func (l *streamListener) admit(tcp *net.TCPConn) *conn {
	s := l.set
	remote := addrPort(tcp.RemoteAddr())
	source := remote.Addr()
	why := accepted
	switch {
	case s.bans(source):
		why = dropBanned
	case !s.trusts(source) && !s.limiter.takeConnect(source, s.now()):
		why = dropConnectRate
	}
	var c *conn
	if why == accepted {
		var peer peerKey
		if l.endpoint.transport == TCP {
			peer = peerKey{transport: TCP, addr: remote}
		}
		c, why = s.newConn(l.endpoint.transport, tcp, l, peer)
	}
	if why == accepted {
		return c
	}
	s.stats[l.endpoint.transport.index()].drop(why)
	if why == dropConnectRate || why == dropPerSource {
		s.offence(source, dropNames[why], time.Now())
	}
	tcp.SetLinger(0) // a reset: nothing stays behind on our side
	tcp.Close()
	return nil
}
