package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// udpBatch is how many datagrams one system call may read. Under load they come in tens; more than this does
	// not get cheaper.
	udpBatch = 32
	// udpBuffer holds the largest datagram there is.
	udpBuffer = 65536
	// udpPayload is the largest datagram that can be sent: 65,535 less the IPv4 and UDP headers.
	udpPayload = 65507
	// udpKernelBuffer is asked for in each direction; the kernel gives what net.core.[rw]mem_max allows.
	udpKernelBuffer = 4 << 20
)

// udpListener is one udp:// URL: one socket, or several that share the port.
type udpListener struct {
	endpoint endpoint
	bound    netip.AddrPort
	wildcard bool
	sockets  []*udpSocket
	errs     atomic.Uint64
}

// udpSocket is one socket. Reading is one goroutine's; sending is anybody's.
type udpSocket struct {
	set      *Set
	listener *udpListener
	conn     *net.UDPConn
	io       *udpIO // recv and send, as well as the system can do them
}

// packet is one datagram in the reader's buffers, valid until the next recv.
type packet struct {
	data      []byte
	from      netip.AddrPort
	to        netip.Addr // where it was sent to; the zero Addr when that is what the socket is bound to
	truncated bool
}

// openUDP binds the sockets of one listener.
func openUDP(ctx context.Context, s *Set, e endpoint, sockets int) (*udpListener, error) {
	l := &udpListener{endpoint: e, wildcard: e.addr.Addr().IsUnspecified()}
	if sockets > 1 && e.addr.Port() != 0 {
		// SO_REUSEPORT would let two programs share the port without a word, so ask for it alone first.
		probe, err := net.ListenPacket(e.network, e.bind(e.addr.Port()))
		if err != nil {
			return nil, listenError(e, err)
		}
		probe.Close()
	}
	lc := net.ListenConfig{Control: udpControl(sockets > 1)}
	port := e.addr.Port()
	for range sockets {
		pc, err := lc.ListenPacket(ctx, e.network, e.bind(port))
		if err != nil {
			l.close()
			return nil, listenError(e, err)
		}
		conn := pc.(*net.UDPConn)
		l.bound = addrPort(conn.LocalAddr())
		port = l.bound.Port() // port 0 is chosen once, by the first socket
		sock := &udpSocket{set: s, listener: l, conn: conn}
		l.sockets = append(l.sockets, sock)
		// A refusal is no reason not to start: the kernel's own sizes work, only bursts hurt earlier.
		if err := errors.Join(conn.SetReadBuffer(udpKernelBuffer), conn.SetWriteBuffer(udpKernelBuffer)); err != nil {
			s.log.Debug("UDP socket keeps its small buffers", "listen", e.url, "err", err)
		}
		if sock.io, err = newUDPIO(conn, l.wildcard); err != nil {
			l.close()
			return nil, listenError(e, err)
		}
	}
	return l, nil
}

func (l *udpListener) close() {
	for _, s := range l.sockets {
		s.conn.Close()
	}
}

// reaches tells whether this listener can send to addr: the family fits, and loopback goes with loopback.
func (l *udpListener) reaches(addr netip.Addr) bool {
	bound := l.bound.Addr()
	switch {
	case l.wildcard:
		return l.endpoint.network == "udp" || bound.Is4() == addr.Is4()
	case bound.Is4() != addr.Is4():
		return false
	}
	return bound.IsLoopback() == addr.IsLoopback()
}

// read hands datagrams to the set until the socket's read deadline is set to the past. A fault is counted and
// waited out, since a listener that gives up is worse than one that stutters.
func (u *udpSocket) read() {
	batch := newUDPBatch()
	for {
		n, err := u.io.recv(batch)
		switch {
		case err == nil:
		case u.set.stopping.Load():
			return
		default:
			u.listener.errs.Add(1)
			u.set.faults.log(u.set.log, "UDP read failed", "listen", u.listener.endpoint.url, "err", err)
			if errors.Is(err, net.ErrClosed) || !u.set.pause(10*time.Millisecond) {
				return
			}
			continue
		}
		now := time.Now()
		for i := range n {
			u.datagram(batch.packet(i), now)
		}
	}
}

// datagram takes one datagram through the guards.
func (u *udpSocket) datagram(p packet, now time.Time) {
	st := &u.set.stats[UDP.index()]
	st.receivedBytes.Add(uint64(len(p.data)))
	why := u.admit(p, now)
	if why != accepted {
		st.drop(why)
		return
	}
	if isKeepAlive(p.data) {
		st.keepAlives.Add(1)
		return
	}
	flow := Flow{udp: u, remote: p.from, local: u.localFor(p.to)}
	if isSTUN(p.data) {
		u.answerSTUN(flow, p.data)
		return
	}
	if why = u.check(p); why != accepted {
		st.drop(why)
		u.set.garbage(p.from.Addr(), why, now)
		return
	}
	st.receivedMessages.Add(1)
	u.set.deliver(Message{Data: p.data, Flow: flow, Received: now})
}

// admit asks only who sends, nothing of what is sent.
func (u *udpSocket) admit(p packet, now time.Time) dropReason {
	s := u.set
	addr := p.from.Addr()
	if s.opts.Banned != nil && s.opts.Banned(addr) {
		return dropBanned
	}
	k, at := keyOf(addr), s.since(now)
	if known, ok := s.limiter.takeKnown(k, at); known {
		if !ok {
			return dropSourceRate
		}
		return accepted
	}
	if s.opts.Trusted != nil && s.opts.Trusted(addr) {
		return accepted
	}
	why := s.limiter.takeStranger(k, at)
	if why == dropSourceRate {
		s.offence(addr, "flood", now)
	}
	return why
}

// check asks whether the bytes may be SIP.
func (u *udpSocket) check(p packet) dropReason {
	if p.truncated || len(p.data) > u.set.limits.MaxMessage {
		return dropOversize
	}
	return checkDatagram(p.data)
}

// localFor is our address for an answer to a datagram that was sent to addr.
func (u *udpSocket) localFor(addr netip.Addr) netip.AddrPort {
	if addr.IsValid() {
		return netip.AddrPortFrom(addr, u.listener.bound.Port())
	}
	return u.listener.bound
}

// send sends one datagram, from a given local address on a wildcard socket.
func (u *udpSocket) send(b []byte, local, remote netip.AddrPort) error {
	if len(b) > udpPayload {
		return fmt.Errorf("%w: %d bytes in one datagram", ErrTooLarge, len(b))
	}
	if len(b) == 0 || !remote.IsValid() {
		return fmt.Errorf("%w: %d bytes to %s", ErrNoRoute, len(b), remote)
	}
	var from netip.Addr
	if u.listener.wildcard && !local.Addr().IsUnspecified() {
		from = local.Addr()
	}
	if err := u.io.send(b, from, remote); err != nil {
		u.listener.errs.Add(1)
		return fmt.Errorf("udp to %s: %w", remote, err)
	}
	st := &u.set.stats[UDP.index()]
	st.sentBytes.Add(uint64(len(b)))
	st.sentMessages.Add(1)
	return nil
}
