package impair

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxPeers bounds the peers of a relay: a test has no more.
const maxPeers = 1000

// Relay is one impaired way to a server. Peers send to Address.
type Relay struct {
	bad    Bad
	server netip.AddrPort
	front  *net.UDPConn

	mu      sync.Mutex // guards what follows
	peers   map[netip.AddrPort]*peer
	flying  map[*time.Timer]struct{}
	closed  bool
	watch   func(d Direction, b []byte, at time.Time)
	readers sync.WaitGroup

	counts [2]counts // by direction
}

// peer is one who sends through the relay: the server sees him at back.
type peer struct {
	at   netip.AddrPort
	turn int
	back *net.UDPConn
	sent [2]uint64 // datagrams so far, by direction; each is one goroutine's
}

type counts struct{ sent, lost, doubled atomic.Uint64 }

// Start opens a relay to a server on loopback.
func Start(server netip.AddrPort, bad Bad) (*Relay, error) {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("impair: %w", err)
	}
	r := &Relay{bad: bad, server: server, front: front, peers: map[netip.AddrPort]*peer{}, flying: map[*time.Timer]struct{}{}}
	r.readers.Go(r.readPeers)
	return r, nil
}

// Address is where peers send to.
func (r *Relay) Address() string { return r.front.LocalAddr().String() }

// Watch has fn called with each datagram as it goes on, from the goroutine that sends it, in the order of arrival.
func (r *Relay) Watch(fn func(d Direction, b []byte, at time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = fn
}

// Counts tells how many datagrams were sent into one direction, and how many of them were lost or doubled.
func (r *Relay) Counts(d Direction) (sent, lost, doubled uint64) {
	c := &r.counts[d]
	return c.sent.Load(), c.lost.Load(), c.doubled.Load()
}

// Close stops the relay. What is under way is lost.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	for t := range r.flying {
		t.Stop()
	}
	clear(r.flying)
	r.front.Close()
	for _, p := range r.peers {
		p.back.Close()
	}
	r.mu.Unlock()
	r.readers.Wait()
}

func (r *Relay) readPeers() {
	buf := make([]byte, 65536)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if p := r.peer(from); p != nil {
			r.pass(p, ToServer, slices.Clone(buf[:n]))
		}
	}
}

// peer finds who sent, or makes a way for him.
func (r *Relay) peer(at netip.AddrPort) *peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[at]
	if p != nil || r.closed || len(r.peers) >= maxPeers {
		return p
	}
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.server))
	if err != nil {
		return nil
	}
	p = &peer{at: at, turn: len(r.peers), back: back}
	r.peers[at] = p
	r.readers.Go(func() { r.readServer(p) })
	return p
}

func (r *Relay) readServer(p *peer) {
	buf := make([]byte, 65536)
	for {
		n, err := p.back.Read(buf)
		if err != nil {
			r.mu.Lock()
			closed := r.closed
			r.mu.Unlock()
			if closed {
				return
			}
			continue // the server's port was closed for a moment
		}
		r.pass(p, ToPeer, slices.Clone(buf[:n]))
	}
}

// pass lets a datagram meet its fate.
func (r *Relay) pass(p *peer, d Direction, b []byte) {
	fate := r.bad.Fate(p.turn, d, p.sent[d])
	p.sent[d]++
	c := &r.counts[d]
	c.sent.Add(1)
	switch len(fate) {
	case 0:
		c.lost.Add(1)
	case 2:
		c.doubled.Add(1)
	}
	for _, after := range fate {
		if after == 0 {
			r.deliver(p, d, b)
		} else {
			r.later(after, func() { r.deliver(p, d, b) })
		}
	}
}

func (r *Relay) later(after time.Duration, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(after, func() {
		r.mu.Lock()
		_, ours := r.flying[t]
		delete(r.flying, t)
		r.mu.Unlock()
		if ours {
			do()
		}
	})
	r.flying[t] = struct{}{}
}

// deliver writes to the other end; who is not there loses it.
func (r *Relay) deliver(p *peer, d Direction, b []byte) {
	r.mu.Lock()
	watch := r.watch
	r.mu.Unlock()
	if watch != nil {
		watch(d, b, time.Now())
	}
	if d == ToServer {
		_, _ = p.back.Write(b)
		return
	}
	_, _ = r.front.WriteToUDPAddrPort(b, p.at)
}
