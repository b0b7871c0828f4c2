//go:build linux

// Package audio sends and receives the G.711 of very many calls (RFC 3550, RFC 3551): on one socket for all callers and one
// for all phones, 50 packets a second to each address it is given. It counts what arrives and how long that took. Packets go
// and come in batches, so that 100,000 a second fit on one core.
package audio

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	interval = 20 * time.Millisecond
	slots    = 20  // streams are spread over the interval
	payload  = 160 // bytes of G.711 in 20 ms
	size     = 12 + payload
	batch    = 64
	sampled  = 16 // of so many packets one is timed
)

// Generator is both ends of the audio.
type Generator struct {
	start time.Time
	ends  []*end
	sent  atomic.Uint64
	heard atomic.Uint64

	mu     sync.Mutex // guards delays
	delays []time.Duration
}

// end is one socket.
type end struct {
	conn *net.UDPConn
	raw  syscall.RawConn

	mu      sync.Mutex // guards streams
	streams [slots][]stream
	count   int
}

// stream is the audio towards one address.
type stream struct {
	to   unix.RawSockaddrInet4
	ssrc uint32
	seq  uint16
}

// New opens a socket at each address; their order is that of Add's side.
func New(at ...netip.AddrPort) (*Generator, error) {
	g := &Generator{start: time.Now()}
	for _, a := range at {
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(a))
		if err != nil {
			g.Close()
			return nil, err
		}
		_ = conn.SetReadBuffer(8 << 20) // what the kernel gives will do
		_ = conn.SetWriteBuffer(8 << 20)
		raw, err := conn.SyscallConn()
		if err != nil {
			g.Close()
			return nil, err
		}
		g.ends = append(g.ends, &end{conn: conn, raw: raw})
	}
	return g, nil
}

// Close closes the sockets, which ends Run.
func (g *Generator) Close() {
	for _, e := range g.ends {
		_ = e.conn.Close()
	}
}

// Add has a side send to an address from now on.
func (g *Generator) Add(side int, to netip.AddrPort) {
	e := g.ends[side]
	s := stream{to: unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}}
	port := (*[2]byte)(unsafe.Pointer(&s.to.Port))
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	e.mu.Lock()
	defer e.mu.Unlock()
	s.ssrc = uint32(side)<<24 | uint32(e.count)
	e.streams[e.count%slots] = append(e.streams[e.count%slots], s)
	e.count++
}

// Reset forgets all addresses.
func (g *Generator) Reset() {
	for _, e := range g.ends {
		e.mu.Lock()
		e.streams, e.count = [slots][]stream{}, 0
		e.mu.Unlock()
	}
}

// Run sends and receives until ctx ends.
func (g *Generator) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, e := range g.ends {
		wg.Go(func() { g.receive(ctx, e) })
	}
	var err error
	begun, tick := time.Now(), time.NewTicker(interval/slots)
	for n := 0; err == nil; {
		select {
		case <-ctx.Done():
			tick.Stop()
			for _, e := range g.ends {
				_ = e.conn.SetReadDeadline(time.Now())
			}
			wg.Wait()
			return nil
		case <-tick.C:
		}
		// A tick that was missed is made up for: the rate is what counts.
		for due := int(time.Since(begun) / (interval / slots)); n < due; n++ {
			for _, e := range g.ends {
				if err = g.sendSlot(e, n%slots); err != nil {
					err = fmt.Errorf("send audio: %w", err)
				}
			}
		}
	}
	return err
}

// mmsghdr is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   uint32
}

// messages are buffers for a batch.
type messages struct {
	headers [batch]mmsghdr
	vectors [batch]unix.Iovec
	data    [batch][2048]byte
}

func newMessages() *messages {
	m := &messages{}
	for i := range m.headers {
		m.vectors[i].Base = &m.data[i][0]
		m.vectors[i].SetLen(len(m.data[i]))
		m.headers[i].hdr.Iov = &m.vectors[i]
		m.headers[i].hdr.SetIovlen(1)
	}
	return m
}

var out = sync.Pool{New: func() any { return newMessages() }}

// sendSlot sends one packet of each stream of a slot.
func (g *Generator) sendSlot(e *end, slot int) error {
	m := out.Get().(*messages)
	defer out.Put(m)
	e.mu.Lock()
	defer e.mu.Unlock()
	for list := e.streams[slot]; len(list) > 0; {
		n := min(len(list), batch)
		for i := range n {
			s, b := &list[i], m.data[i][:size]
			s.seq++
			b[0], b[1] = 0x80, 0
			binary.BigEndian.PutUint16(b[2:], s.seq)
			binary.BigEndian.PutUint32(b[4:], uint32(s.seq)*payload)
			binary.BigEndian.PutUint32(b[8:], s.ssrc)
			binary.BigEndian.PutUint64(b[12:], uint64(time.Since(g.start)))
			m.vectors[i].SetLen(size)
			m.headers[i].hdr.Name, m.headers[i].hdr.Namelen = (*byte)(unsafe.Pointer(&s.to)), unix.SizeofSockaddrInet4
		}
		sent, err := e.do(unix.SYS_SENDMMSG, m, n, true)
		if err != nil {
			return err
		}
		g.sent.Add(uint64(sent))
		list = list[n:]
	}
	return nil
}

// do is one system call for a batch.
func (e *end) do(call uintptr, m *messages, n int, write bool) (done int, err error) {
	var errno syscall.Errno
	fn := func(fd uintptr) bool {
		r, _, en := unix.Syscall6(call, fd, uintptr(unsafe.Pointer(&m.headers[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		done, errno = int(r), en
		return en != unix.EAGAIN
	}
	if write {
		err = e.raw.Write(fn)
	} else {
		err = e.raw.Read(fn)
	}
	if err == nil && errno != 0 && errno != unix.ECONNREFUSED {
		err = errno
	}
	if errno != 0 {
		done = 0
	}
	return done, err
}

func (g *Generator) receive(ctx context.Context, e *end) {
	m := newMessages()
	for ctx.Err() == nil {
		n, err := e.do(unix.SYS_RECVMMSG, m, batch, false)
		if err != nil {
			return
		}
		now := time.Since(g.start)
		for i := range n {
			if m.headers[i].len != size {
				continue
			}
			if g.heard.Add(1)%sampled == 0 {
				g.note(now - time.Duration(binary.BigEndian.Uint64(m.data[i][12:])))
			}
		}
	}
}

func (g *Generator) note(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delays = append(g.delays, d)
}

// Figures are what was counted since the last call of Take.
type Figures struct {
	Sent, Heard uint64
	P50, P99    time.Duration // from sending to hearing
}

// Take returns what was counted, and begins anew.
func (g *Generator) Take() Figures {
	f := Figures{Sent: g.sent.Swap(0), Heard: g.heard.Swap(0)}
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.Sort(g.delays)
	if n := len(g.delays); n > 0 {
		f.P50, f.P99 = g.delays[n/2], g.delays[n*99/100]
	}
	g.delays = nil
	return f
}
