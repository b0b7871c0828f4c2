package secure

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// queued is how many datagrams of a handshake may wait; more are dropped, and come again.
const queued = 16

// wire is what a handshake takes for its socket: what Handle gets goes in, and what is written leaves by reply.
type wire struct {
	in   chan []byte
	quit chan struct{} // closed by close

	mu      sync.Mutex // guards all below
	to      netip.AddrPort
	reply   func([]byte, netip.AddrPort) // nil: nothing is sent any more
	late    chan struct{}                // closed when the deadline for reading is over
	closed  bool
	expired bool
}

func newWire(to netip.AddrPort, reply func([]byte, netip.AddrPort)) *wire {
	return &wire{in: make(chan []byte, queued), quit: make(chan struct{}), to: to, reply: reply, late: make(chan struct{})}
}

// put gives a datagram to the handshake. Its bytes are copied.
func (w *wire) put(b []byte, from netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	w.mu.Lock()
	if w.reply != nil {
		w.to, w.reply = from, reply // with ICE a peer may move while it shakes hands
	}
	w.mu.Unlock()
	select {
	case w.in <- append([]byte(nil), b...):
	default:
	}
}

// mute ends all sending. A closing alert would make a browser end the call.
func (w *wire) mute() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reply = nil
}

// ReadFrom waits for the next datagram.
func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	w.mu.Lock()
	late := w.late
	w.mu.Unlock()
	select { // what is over is over, however much there is to read
	case <-w.quit:
		return 0, nil, net.ErrClosed
	case <-late:
		return 0, nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case <-w.quit:
		return 0, nil, net.ErrClosed
	case <-late:
		return 0, nil, os.ErrDeadlineExceeded
	case d := <-w.in:
		return copy(b, d), w.RemoteAddr(), nil
	}
}

// WriteTo sends to the peer, wherever it is at the moment, and without the lock, since reply has locks of its own.
func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.mu.Lock()
	reply, to := w.reply, w.to
	w.mu.Unlock()
	if reply != nil {
		reply(b, to)
	}
	return len(b), nil
}

// Close ends reading and sending.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed, w.reply = true, nil
		close(w.quit)
	}
	return nil
}

// LocalAddr has no meaning here.
func (w *wire) LocalAddr() net.Addr { return &net.UDPAddr{} }

// RemoteAddr is where the peer is.
func (w *wire) RemoteAddr() net.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return net.UDPAddrFromAddrPort(w.to)
}

// SetReadDeadline knows two kinds of deadline, since no others are asked for: one that is over, and none.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch over := !t.IsZero() && !t.After(time.Now()); {
	case over && !w.expired:
		w.expired = true
		close(w.late)
	case !over && w.expired:
		w.expired, w.late = false, make(chan struct{})
	}
	return nil
}

// SetWriteDeadline has nothing to do: writing does not wait.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (w *wire) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }
