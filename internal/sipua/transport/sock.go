package transport

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// sock is a TCP connection whose Write never waits. What the kernel does not take at once is queued and sent by a
// goroutine that lives as long as there is a queue; a queue that would pass its limit ends the connection. TLS and
// WebSocket are built on top of it, so they never wait either, and a peer that does not read holds up nobody.
type sock struct {
	tcp  *net.TCPConn // not embedded: its ReadFrom would go round Write
	raw  syscall.RawConn
	conn *conn // whose bottom this is

	lastRead atomic.Int64 // when the last byte came, see Set.now
	stalled  atomic.Int64 // since when the peer has taken nothing of the queue; 0 = no queue

	// The reader's; see readReady. The function is kept, because a new one each time would be garbage.
	readFn func(fd uintptr) bool
	into   *framer
	readN  int
	readE  error

	mu      sync.Mutex // guards all below; held for a non-blocking system call, never while waiting
	queue   []byte     // what the kernel has not taken
	busy    bool       // the queue's goroutine runs
	closing bool       // close when the queue is empty
	dead    bool       // the connection is finished: nothing may be started for it any more
	err     error      // why nothing more can be sent
	writeFn func(fd uintptr) bool
	out     []byte
	wrote   int
	writeE  error
}

// queueChunk is written at once from the queue; each chunk the peer takes counts as progress.
const queueChunk = 16 << 10

func newSock(tcp *net.TCPConn, c *conn) (*sock, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &sock{tcp: tcp, raw: raw, conn: c}
	s.readFn, s.writeFn = s.readOnce, s.writeOnce
	return s, nil
}

// Read notes that the peer lives: TLS alerts and WebSocket pongs count as well as messages.
func (s *sock) Read(b []byte) (int, error) {
	n, err := s.tcp.Read(b)
	if n > 0 {
		s.lastRead.Store(s.conn.set.now())
	}
	return n, err
}

// Write takes all of b or fails for good.
func (s *sock) Write(b []byte) (int, error) {
	n, err := s.writeOrQueue(b)
	if errors.Is(err, ErrQueueFull) {
		s.conn.abort(ClosedSlow)
	}
	return n, err
}

func (s *sock) writeOrQueue(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case s.closing:
		return 0, ErrClosed
	case s.busy:
		return s.enqueueLocked(b)
	}
	if n, s.err = s.tryWriteLocked(b); s.err != nil || n == len(b) {
		return n, s.err
	}
	queued, err := s.enqueueLocked(b[n:])
	if err == nil {
		s.busy = true
		s.stalled.Store(max(s.conn.set.now(), 1))
		s.conn.set.work.Go(s.drainQueue) // its connection is not finished, so it still counts there
	}
	return n + queued, err
}

// enqueueLocked appends to the queue, unless the peer has let it grow too long.
func (s *sock) enqueueLocked(b []byte) (int, error) {
	s.conn.set.waits.Add(1)
	if len(s.queue)+len(b) > s.conn.set.limits.MaxQueue {
		s.err = ErrQueueFull
		return 0, s.err
	}
	s.queue = append(s.queue, b...)
	return len(b), nil
}

// drainQueue sends what is queued, in order, and ends when there is no more.
func (s *sock) drainQueue() {
	chunk := make([]byte, 0, queueChunk)
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || s.err != nil {
			s.busy, s.queue = false, nil
			s.stalled.Store(0)
			last := s.closing || s.err != nil
			s.mu.Unlock()
			if last {
				s.tcp.Close()
			}
			return
		}
		chunk = append(chunk[:0], s.queue[:min(len(s.queue), queueChunk)]...)
		s.queue = s.queue[len(chunk):]
		s.mu.Unlock()
		if _, err := s.tcp.Write(chunk); err != nil { // waits; the sweep ends it after WriteTimeout
			s.fail(err)
			continue
		}
		s.stalled.Store(max(s.conn.set.now(), 1))
	}
}

// fail says why nothing more can be sent; the first reason stays.
func (s *sock) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// start runs fn on a goroutine that Run waits for, unless the connection is finished.
func (s *sock) start(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return false
	}
	s.conn.set.work.Go(fn)
	return true
}

// Close closes the connection once what is queued has left.
func (s *sock) Close() error {
	s.mu.Lock()
	s.closing = true
	busy := s.busy
	s.mu.Unlock()
	var err error
	if !busy { // else drainQueue closes
		err = s.tcp.Close()
	}
	s.conn.lostBeforeReady()
	return err
}

// abort closes the connection at once, whatever is queued.
func (s *sock) abort() {
	s.fail(ErrClosed)
	s.tcp.SetLinger(0) // the kernel forgets what the peer did not take
	s.tcp.Close()
}

// finish closes for good: after it no goroutine is started for this connection.
func (s *sock) finish() {
	s.mu.Lock()
	s.dead = true
	if s.err == nil {
		s.err = ErrClosed
	}
	s.mu.Unlock()
	s.tcp.Close()
}

// LocalAddr is our address.
func (s *sock) LocalAddr() net.Addr { return s.tcp.LocalAddr() }

// RemoteAddr is the peer's address.
func (s *sock) RemoteAddr() net.Addr { return s.tcp.RemoteAddr() }

// SetReadDeadline is for net/http, until a WebSocket is ready.
func (s *sock) SetReadDeadline(t time.Time) error { return s.tcp.SetReadDeadline(t) }

// SetWriteDeadline does nothing: Write does not wait, and the queue has its own time limit.
func (s *sock) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the read deadline, for the same reason.
func (s *sock) SetDeadline(t time.Time) error { return s.tcp.SetReadDeadline(t) }
