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
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"parley/internal/voice"
)

// eventsAtOnce is how many sockets are asked for with one system call.
const eventsAtOnce = 256

// epollDriver spreads relays over a few pollers. The runtime's own poller watches nothing but their epoll sets, so a
// socket costs neither a goroutine nor a record in the runtime.
type epollDriver struct {
	dscp    int
	pollers []*poller
}

// poller moves the packets of its relays on one goroutine.
type poller struct {
	epfd  int
	file  *os.File // of epfd, for the runtime's poller
	raw   syscall.RawConn
	waitF func(uintptr) bool // waitOnce; kept because a new one each time would be garbage

	// The goroutine's own.
	events  [eventsAtOnce]unix.EpollEvent
	ready   [eventsAtOnce]*epollSocket
	n       int
	errno   syscall.Errno
	name    unix.RawSockaddrInet6 // IPv4 names fit in
	nameLen uint32
	data    [maxDatagram]byte

	mu      sync.Mutex // guards what follows; taken after a relay's lock
	sockets []*epollSocket
	free    []int32 // unused slots of sockets
	ended   bool
}

// epollSocket is a socket of a poller. The lock of its relay guards it: it is closed under it, so a number that the
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

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // which tells os.NewFile that it can be waited for
		return nil, errors.Join(err, unix.Close(fd))
	}
	p := &poller{epfd: fd, file: os.NewFile(uintptr(fd), "media epoll")}
	p.waitF = p.waitOnce
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

func (d *epollDriver) close() error {
	var errs []error
	for _, p := range d.pollers {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

func (p *poller) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	p.ended = true
	return p.file.Close() // which wakes run
}

func (d *epollDriver) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range d.pollers {
		g.Go(p.run)
	}
	g.Go(func() error {
		<-ctx.Done()
		return d.close()
	})
	return g.Wait()
}

// run handles what comes until the epoll set is closed.
func (p *poller) run() error {
	for {
		if err := p.raw.Read(p.waitF); err != nil {
			if p.over() {
				return nil
			}
			return fmt.Errorf("wait for media: %w", err)
		}
		if p.errno != 0 {
			return fmt.Errorf("wait for media: %w", p.errno)
		}
		for _, s := range p.resolve() {
			p.serve(s)
		}
	}
}

func (p *poller) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// waitOnce asks which sockets have something, without waiting.
func (p *poller) waitOnce(fd uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&p.events[0])), eventsAtOnce, 0, 0, 0)
	if errno == unix.EINTR {
		n, errno = 0, 0
	}
	p.n, p.errno = int(n), errno
	if errno != 0 {
		p.n = 0
		return true
	}
	return n > 0
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

// serve handles one datagram of a socket; if there are more, the socket is ready again at once.
func (p *poller) serve(s *epollSocket) {
	if s == nil {
		return
	}
	r := s.owner.relay
	r.mu.Lock()
	if s.fd >= 0 {
		if b, ok := p.receive(s.fd); ok {
			r.handleLocked(s.owner, b, addrPortOf(&p.name), r.plane.now())
		}
	}
	notes := r.takeNotes()
	r.mu.Unlock()
	r.tell(notes)
}

// receive reads a datagram into p.data and its source into p.name.
func (p *poller) receive(fd int) ([]byte, bool) {
	p.nameLen = unix.SizeofSockaddrInet6
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p.data[0])), maxDatagram,
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(unsafe.Pointer(&p.name)), uintptr(unsafe.Pointer(&p.nameLen)))
	if errno != 0 || n > maxDatagram { // with MSG_TRUNC n is the length the datagram had
		return nil, false
	}
	return p.data[:n], true
}

func (d *epollDriver) open(s *socket, bind netip.AddrPort) (socketIO, error) {
	p := d.pollers[int(s.relay.lane)%len(d.pollers)]
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
	if err := unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
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
