package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

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
	busy     map[net.Conn]bool
	draining bool
}

var tooManyConns = []byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: " + retryAfter + "\r\nContent-Length: 0\r\n\r\n")

// serve starts the goroutine of a new connection, or turns it away.
func (t *conns) serve(srv *fasthttp.Server, raw net.Conn) {
	c := &deadlineConn{raw}
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

func (t *conns) add(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy == nil {
		t.busy = map[net.Conn]bool{}
	}
	if t.draining || len(t.busy) >= maxConns {
		return false
	}
	t.busy[c] = false
	return true
}

func (t *conns) remove(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.busy, c)
}

// changed is fasthttp's hook: it tells when a request begins and ends on a connection. A hijacked connection
// (WebSocket) is no longer ours: whoever took it ends it when Stopping is closed.
func (t *conns) changed(c net.Conn, state fasthttp.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ours := t.busy[c]; !ours {
		return
	}
	switch state {
	case fasthttp.StateHijacked:
		delete(t.busy, c)
	case fasthttp.StateActive:
		t.busy[c] = true
	case fasthttp.StateIdle:
		t.busy[c] = false
		if t.draining {
			c.Close()
		}
	}
}

// close takes no more connections and closes the idle ones, or all.
func (t *conns) close(busyToo bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for c, busy := range t.busy {
		if busyToo || !busy {
			c.Close()
		}
	}
}

// deadlineConn gives every write its own deadline, so that a client who reads nothing is dropped while a response
// that goes on for hours (SSE) is not.
type deadlineConn struct{ net.Conn }

func (c *deadlineConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
