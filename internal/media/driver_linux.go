//go:build linux && (amd64 || arm64)

package media

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"parley/internal/voice"
)

// eventsAtOnce is how many sockets are asked for with one system call.
const eventsAtOnce = 256

// datagramsAtOnce is how many datagrams of a socket are read with one system call (recvmmsg).
//
// Audio is one packet every 20 ms on each socket, so nearly always one waits. Then a batch costs as much as a read of one
// does; with two waiting a datagram costs 0.7 of that, with eight the half (BenchmarkBatch). So the more the node is behind,
// the faster it reads. What goes out is spread over as many sockets as legs, one datagram at a time: to keep it back until
// a second one is there would delay it, and sendmmsg(2) was no cheaper for 2, 4 or 8 beyond what two runs differ by, since
// nearly all of the cost is the kernel's way to the other socket or the network, not the system call.
const datagramsAtOnce = 8

// Under load a poller gathers: rather than wake up for every packet it sleeps a moment and finds a hundred, and audio is
// later by one or two milliseconds, of which a phone's buffer has forty. CPU a packet relayed on a busy two-core
// machine, the least of three runs in turn; half of it is the kernel's sending over loopback (BenchmarkRelays):
//
//	                                  100 calls   1,000 calls
//	a goroutine a socket (netDriver)      27 µs        6.8 µs
//	pollers that never gather             13 µs        4.8 µs
//	pollers                               10 µs        4.2 µs
//
// Far above that rate the next packets are there before the last are dealt with, and there is little to gather.
const (
	gatherFrom = 2000                  // packets a second of one poller from which on it gathers
	gatherFor  = time.Millisecond      // how long
	rateWindow = 20 * time.Millisecond // over which the rate is taken
)

// epollDriver spreads legs over a few pollers. A socket costs neither a goroutine nor a record in the runtime.
type epollDriver struct {
	dscp    int
	pollers []*poller
}

// inbox is what recvmmsg(2) is given.
type inbox struct {
	headers [datagramsAtOnce]mmsghdr
	vectors [datagramsAtOnce]unix.Iovec
	names   [datagramsAtOnce]unix.RawSockaddrInet6 // IPv4 names fit in
	data    [datagramsAtOnce][maxDatagram]byte
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   uint32
}

func newInbox() *inbox {
	in := &inbox{}
	for i := range in.headers {
		h := &in.headers[i].hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&in.names[i])), unix.SizeofSockaddrInet6
		h.Iov = &in.vectors[i]
		h.SetIovlen(1)
		in.vectors[i].Base = &in.data[i][0]
		in.vectors[i].SetLen(maxDatagram)
	}
	return in
}

// read reads what waits on a socket, without waiting itself, and returns how many datagrams that were.
func (in *inbox) read(fd int) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.headers[0])), datagramsAtOnce, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// at is one datagram of those that were read, and where it came from. One that is too long is none.
func (in *inbox) at(i int) (b []byte, from netip.AddrPort, ok bool) {
	h := &in.headers[i]
	h.hdr.Namelen = unix.SizeofSockaddrInet6 // for the next read; the system wrote that of the name
	return in.data[i][:h.len], addrPortOf(&in.names[i]), h.hdr.Flags&unix.MSG_TRUNC == 0
}

// poller moves the packets of its legs on one goroutine. Its sockets are in one epoll set, and that is in another,
// the bell, which is all that the runtime's own poller watches. The bell rings once when the goroutine waits, and is
// silent while it works or gathers: without it every packet would wake up a thread of the runtime, gathering or not.
type poller struct {
	set   int
	bell  int
	file  *os.File // of bell, for the runtime's poller
	raw   syscall.RawConn
	waitF func(uintptr) bool // waitOnce; kept because a new one each time would be garbage

	// The goroutine's own.
	events [eventsAtOnce]unix.EpollEvent
	ready  [eventsAtOnce]*epollSocket
	n      int
	err    error
	armed  bool // the bell rings for the next packet
	inbox  *inbox
	since  time.Time // start of the window at hand, and the datagrams in it
	count  int
	busy   bool // the window before had so many that gathering pays

	mu      sync.Mutex // guards what follows; taken after a leg's lock
	sockets []*epollSocket
	free    []int32 // unused slots of sockets
	ended   bool
}

// epollSocket is a socket of a poller. The lock of its leg guards it: it is closed under it, so a number that the
// system gave to another socket meanwhile is never read or written.
type epollSocket struct {
	owner  *socket
	poller *poller
	slot   int32
	fd     int // -1 when closed
	v6     bool

	to     netip.AddrPort // what name holds
	name   unix.RawSockaddrInet6
	length uintptr
}

func newDriver(cfg Config) (driver, error) {
	n := cfg.Readers
	if n == 0 {
		n = max(1, runtime.GOMAXPROCS(0)/2)
	}
	d := &epollDriver{dscp: cfg.DSCP}
	for range n {
		p, err := newPoller()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open epoll set for media: %w", err), d.close())
		}
		d.pollers = append(d.pollers, p)
	}
	return d, nil
}

func newPoller() (_ *poller, err error) {
	p := &poller{set: -1, bell: -1, inbox: newInbox()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.closeSets())
		}
	}()
	if p.set, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if p.bell, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if err = unix.EpollCtl(p.bell, unix.EPOLL_CTL_ADD, p.set, &unix.EpollEvent{}); err != nil {
		return nil, err
	}
	if err = unix.SetNonblock(p.bell, true); err != nil { // which tells os.NewFile that it can be waited for
		return nil, err
	}
	p.file = os.NewFile(uintptr(p.bell), "media")
	p.waitF = p.waitOnce
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, err
	}
	return p, nil
}

// closeSets closes what newPoller opened. Closing the bell's file wakes run.
func (p *poller) closeSets() error {
	var errs []error
	if p.file != nil {
		errs = append(errs, p.file.Close())
	} else if p.bell >= 0 {
		errs = append(errs, unix.Close(p.bell))
	}
	if p.set >= 0 {
		errs = append(errs, unix.Close(p.set))
	}
	p.set, p.bell = -1, -1
	return errors.Join(errs...)
}

func (d *epollDriver) close() error {
	var errs []error
	for _, p := range d.pollers {
		errs = append(errs, p.closeSets())
	}
	return errors.Join(errs...)
}

// end wakes run and ends it.
func (p *poller) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	// A deadline wakes a wait and keeps the descriptor, which run may be about to use.
	_ = p.file.SetReadDeadline(time.Now()) // an error only for a closed file, which nobody waits for
}

func (d *epollDriver) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range d.pollers {
		g.Go(p.run)
		g.Go(func() error {
			<-ctx.Done()
			p.end()
			return nil
		})
	}
	return errors.Join(g.Wait(), d.close())
}

// run handles what comes until the poller is told to end.
func (p *poller) run() error {
	for !p.over() {
		if err := p.raw.Read(p.waitF); err != nil {
			if p.over() {
				return nil
			}
			return fmt.Errorf("wait for media: %w", err)
		}
		if p.err != nil {
			return fmt.Errorf("wait for media: %w", p.err)
		}
		for _, s := range p.resolve() {
			p.serve(s)
		}
		if p.gathers(time.Now()) && p.n < eventsAtOnce {
			time.Sleep(gatherFor)
		}
	}
	return nil
}

func (p *poller) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// gathers tells whether there are many datagrams at this time.
func (p *poller) gathers(now time.Time) bool {
	if took := now.Sub(p.since); took >= rateWindow {
		p.busy = float64(p.count)/took.Seconds() >= gatherFrom
		p.since, p.count = now, 0
	}
	return p.busy
}

// waitOnce asks which sockets have something, without waiting. When none has, it arms the bell and returns false, and
// the runtime calls it again when the bell rang; a packet that came in between rings it at once.
func (p *poller) waitOnce(uintptr) bool {
	var rung [1]unix.EpollEvent
	if p.armed {
		_, p.err = epollNow(p.bell, rung[:]) // which also keeps it from ringing again
		p.armed = false
	}
	if p.err == nil {
		p.n, p.err = epollNow(p.set, p.events[:])
	}
	if p.err == nil && p.n == 0 {
		p.err = unix.EpollCtl(p.bell, unix.EPOLL_CTL_MOD, p.set, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
		p.armed = true
	}
	return p.n > 0 || p.err != nil
}

// epollNow is epoll_wait(2) that does not wait, as a raw system call, since the runtime need not prepare for a wait.
func epollNow(fd int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return 0, errno
	}
	if errno == unix.EINTR {
		return 0, nil
	}
	return int(n), nil
}

// resolve turns events into sockets. One that was closed since is nil, or another one in its slot, which then finds
// nothing to read.
func (p *poller) resolve() []*epollSocket {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.n {
		p.ready[i] = p.sockets[p.events[i].Fd]
	}
	return p.ready[:p.n]
}

// serve handles what waits on a socket; if there is more than fits in one read, the socket is ready again at once, after
// the others. Its leg may be closed by the first of the datagrams.
func (p *poller) serve(s *epollSocket) {
	if s == nil {
		return
	}
	l := s.owner.leg
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.fd < 0 {
		return
	}
	now := l.plane.now()
	n := p.inbox.read(s.fd)
	for i := range n {
		if b, from, ok := p.inbox.at(i); ok {
			l.arrived(s.owner, b, from, now)
			l.mu.Lock()
		}
	}
	p.count += n
}

func (d *epollDriver) open(s *socket, bind netip.AddrPort) (socketIO, error) {
	p := d.pollers[int(s.leg.lane)%len(d.pollers)]
	es := &epollSocket{owner: s, poller: p, v6: bind.Addr().Is6() && !bind.Addr().Is4In6()}
	var err error
	if es.fd, err = d.bind(bind, es.v6); err != nil {
		return nil, bindError(err)
	}
	if err := p.add(es); err != nil {
		return nil, errors.Join(bindError(err), unix.Close(es.fd))
	}
	return es, nil
}

// bind makes a socket without the runtime's knowledge.
func (d *epollDriver) bind(to netip.AddrPort, v6 bool) (int, error) {
	domain, level, class := unix.AF_INET, unix.IPPROTO_IP, unix.IP_TOS
	var name unix.Sockaddr = &unix.SockaddrInet4{Port: int(to.Port())}
	if v6 {
		domain, level, class = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		name = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	} else {
		name.(*unix.SockaddrInet4).Addr = to.Addr().Unmap().As4()
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if v6 && to.Addr().IsUnspecified() {
		err = os.NewSyscallError("IPV6_V6ONLY", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0))
	}
	if err == nil && d.dscp != 0 {
		err = os.NewSyscallError("set DSCP", unix.SetsockoptInt(fd, level, class, d.dscp<<2))
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, name))
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// add begins to watch a socket.
func (p *poller) add(s *epollSocket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return voice.ErrUnavailable
	}
	s.slot = int32(len(p.sockets))
	if n := len(p.free); n > 0 {
		s.slot = p.free[n-1]
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: s.slot}
	if err := unix.EpollCtl(p.set, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if n := len(p.free); n > 0 {
		p.free = p.free[:n-1]
		p.sockets[s.slot] = s
	} else {
		p.sockets = append(p.sockets, s)
	}
	return nil
}

// close ends a socket; the system takes it out of the epoll set.
func (s *epollSocket) close() {
	if s.fd < 0 {
		return
	}
	p := s.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets[s.slot] = nil
	p.free = append(p.free, s.slot)
	_ = unix.Close(s.fd) // the descriptor is gone whatever close says
	s.fd = -1
}

// send sends a datagram without waiting. The address is kept as the system wants it, since the next one is the same.
func (s *epollSocket) send(b []byte, to netip.AddrPort) error {
	if s.fd < 0 {
		return os.ErrClosed
	}
	if to != s.to {
		s.setName(to)
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&s.name)), s.length)
	if errno != 0 {
		return errno
	}
	return nil
}

// setName writes an address for the socket's family. One of the other family makes the system refuse to send.
func (s *epollSocket) setName(to netip.AddrPort) {
	s.to = to
	port := to.Port()>>8 | to.Port()<<8 // network order, on machines that all are little-endian
	switch addr := to.Addr(); {
	case s.v6:
		s.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: addr.As16()}
		s.length = unix.SizeofSockaddrInet6
	case addr.Is4():
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&s.name)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: addr.As4()}
		s.length = unix.SizeofSockaddrInet4
	default:
		s.length = 0
	}
}

// addrPortOf reads what the system wrote.
func addrPortOf(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := sa.Port>>8 | sa.Port<<8 // at the same place in both families
	if sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port)
}
