package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// Serve answers on ln until ctx ends, then lets requests in progress finish for a bounded time. It closes ln and
// returns nil after a stop that was asked for. Call it once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	base, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	s.base.Store(&base)
	s.app.Handler() // builds the tree of routes; ServeConn expects it

	stop := context.AfterFunc(ctx, func() { ln.Close() })
	err := s.accept(ctx, ln)
	close(s.stopping)
	if stop() {
		ln.Close() // ctx is still good, so nobody closed it: accept failed
	}
	return errors.Join(err, s.drain(kill))
}

// accept serves connections until the listener closes.
func (s *Server) accept(ctx context.Context, ln net.Listener) error {
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			s.conns.serve(s.app.Server(), c)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		default: // out of file descriptors, most likely: others may give some back
			s.log.Warn("accept", "addr", ln.Addr().String(), "err", err)
			if !pause(ctx, 100*time.Millisecond) {
				return nil
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// drain closes idle connections, gives busy ones drainTime, then cancels their contexts and closes them too.
func (s *Server) drain(kill context.CancelFunc) error {
	ended := make(chan struct{})
	s.conns.close(false)
	go func() {
		s.conns.wg.Wait()
		close(ended)
	}()
	if within(drainTime, ended) {
		return nil
	}
	s.log.Warn("requests still in progress are cut off", "after", drainTime)
	kill()
	s.conns.close(true)
	if !within(killTime, ended) {
		return errors.New("a request did not end when its context was cancelled")
	}
	return nil
}

func within(d time.Duration, ended <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ended:
		return true
	case <-t.C:
		return false
	}
}

// conns knows every connection of the listener and whether it is in the middle of a request.
type conns struct {
	wg sync.WaitGroup

	mu       sync.Mutex // guards what follows
	open     map[*conn]struct{}
	draining bool
}

var tooManyConns = []byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: " + retryAfter + "\r\nContent-Length: 0\r\n\r\n")

// serve starts the goroutine of a new connection, or turns it away.
func (t *conns) serve(srv *fasthttp.Server, raw net.Conn) {
	c := &conn{Conn: raw}
	if !t.add(c) {
		c.Write(tooManyConns) //nolint:errcheck // it is being turned away, and a fresh socket takes these few bytes
		c.Close()
		return
	}
	t.wg.Go(func() {
		defer t.remove(c)
		srv.ServeConn(c) //nolint:errcheck // what a client did to its own connection; already answered where possible
	})
}

func (t *conns) add(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*conn]struct{}{}
	}
	if t.draining || len(t.open) >= maxConns {
		return false
	}
	t.open[c] = struct{}{}
	return true
}

func (t *conns) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
}

// changed is fasthttp's hook. A hijacked connection (WebSocket) is no longer ours: whoever took it ends it when
// Stopping is closed.
func (t *conns) changed(nc net.Conn, state fasthttp.ConnState) {
	c, ours := nc.(*conn)
	if !ours {
		return
	}
	switch state {
	case fasthttp.StateHijacked:
		t.remove(c)
	case fasthttp.StateIdle: // a response is written
		t.mu.Lock()
		defer t.mu.Unlock()
		c.busy.Store(false)
		if t.draining {
			c.Conn.Close()
		}
	}
}

// close takes no more connections and closes the idle ones, or all.
func (t *conns) close(busyToo bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for c := range t.open {
		if busyToo || !c.busy.Load() {
			c.Conn.Close()
		}
	}
}

// conn is a connection with two differences.
//
// Every write has its own deadline, so that a client who reads nothing is dropped while a response that goes on for
// hours (SSE) is not. And a close after a request that was refused unread (413, 431) first takes in what is still
// coming for a moment: closing with bytes unread resets the connection, and the client would never see the answer.
type conn struct {
	net.Conn
	busy   atomic.Bool // bytes of a request were read, its response is not yet written
	linger atomic.Bool // set with the answer to a request that was not read to its end
}

const (
	lingerTime  = time.Second
	lingerBytes = 64 << 20
)

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.busy.Store(true)
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	tcp, ok := c.Conn.(*net.TCPConn)
	if ok && c.linger.Swap(false) {
		if tcp.CloseWrite() == nil && tcp.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			io.CopyN(io.Discard, tcp, lingerBytes) //nolint:errcheck // ends with the deadline, mostly
		}
	}
	return c.Conn.Close()
}

// lingerAfter marks the connection of a request that is refused with parts of it unread.
func lingerAfter(c *fiber.Ctx, status int) {
	if status != http.StatusRequestEntityTooLarge && status != http.StatusRequestHeaderFieldsTooLarge {
		return
	}
	if own, ok := c.Context().Conn().(*conn); ok {
		own.linger.Store(true)
	}
}
