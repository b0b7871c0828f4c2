package media

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// sweepEvery is how often relays are looked at for silence and for telephone-events whose end was lost.
const sweepEvery = 250 * time.Millisecond

// Plane opens relays and moves their packets.
type Plane struct {
	cfg    Config
	pool   *Pool
	log    *slog.Logger
	driver driver
	now    func() time.Time

	opened atomic.Uint32

	mu     sync.Mutex // guards what follows
	relays map[*Relay]struct{}
	done   counters // of relays that are closed
	ended  bool
}

// socket is one UDP port of a relay.
type socket struct {
	relay   *Relay
	side    Side
	control bool // for RTCP
	io      socketIO
}

// driver watches sockets and hands what comes to their relay's handleLocked.
type driver interface {
	// open binds a socket of s.relay; its packets are handled from then on, once run runs. The error wraps
	// errOccupied when somebody else has the port.
	open(s *socket, bind netip.AddrPort) (socketIO, error)
	// run moves packets until ctx ends, and waits for its goroutines.
	run(ctx context.Context) error
}

// socketIO is a socket that a driver opened. Both methods are called with the relay's lock held.
type socketIO interface {
	send(b []byte, to netip.AddrPort) error
	close()
}

func (s *socket) send(b []byte, to netip.AddrPort) error { return s.io.send(b, to) }

// NewPlane returns a plane on the ports of pool, with its metrics on reg. Packets move only while Run runs, and Run
// has to be called for all to be given back in the end.
func NewPlane(pool *Pool, reg prometheus.Registerer, log *slog.Logger) (*Plane, error) {
	d, err := newDriver(pool.cfg)
	if err != nil {
		return nil, err
	}
	return newPlane(pool, d, reg, log)
}

func newPlane(pool *Pool, d driver, reg prometheus.Registerer, log *slog.Logger) (*Plane, error) {
	p := &Plane{cfg: pool.cfg, pool: pool, log: log, driver: d, now: pool.now, relays: map[*Relay]struct{}{}}
	if err := reg.Register(collector{p}); err != nil {
		return nil, err
	}
	return p, nil
}

// Run moves packets until ctx ends, then closes what relays are still open and returns nil. Call it once.
func (p *Plane) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.driver.run(ctx) })
	g.Go(func() error {
		defer p.closeAll()
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				for _, r := range p.open() {
					r.sweep(p.now())
				}
			}
		}
	})
	return g.Wait()
}

// Open takes two port pairs from the pool, binds them, and returns a relay that waits for its peers. The error wraps
// voice.ErrOverloaded when there are no ports to be had, and voice.ErrUnavailable when the plane has ended.
func (p *Plane) Open(hooks Hooks) (*Relay, error) {
	r := &Relay{plane: p, hooks: hooks, lane: p.opened.Add(1)}
	if err := r.bind(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	ended := p.ended
	if !ended {
		p.relays[r] = struct{}{}
	}
	p.mu.Unlock()
	if ended {
		r.Close()
		return nil, voice.Errorf(voice.ErrUnavailable, "this node carries no more media: it is shutting down")
	}
	return r, nil
}

// bind gives both sides their ports. The lock is held because packets may come from the first bind on.
func (r *Relay) bind() error {
	now := r.plane.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.legs {
		l := &r.legs[s]
		l.direction, l.expected = sdp.SendRecv, now
		l.rtp = &socket{relay: r, side: Side(s)}
		l.rtcp = &socket{relay: r, side: Side(s), control: true}
		port, err := r.plane.pool.acquire(func(port uint16) error { return r.plane.bindPair(l, port) })
		if err != nil {
			if Side(s) == B {
				r.closePair(&r.legs[A])
			}
			r.closed = true
			return err
		}
		l.port = port
	}
	return nil
}

// bindPair binds both sockets of a side, or none.
func (p *Plane) bindPair(l *leg, port uint16) (err error) {
	if l.rtp.io, err = p.driver.open(l.rtp, netip.AddrPortFrom(p.cfg.Bind, port)); err != nil {
		return err
	}
	if l.rtcp.io, err = p.driver.open(l.rtcp, netip.AddrPortFrom(p.cfg.Bind, port+1)); err != nil {
		l.rtp.io.close()
	}
	return err
}

// closePair closes the sockets of a side and returns its ports.
func (r *Relay) closePair(l *leg) {
	l.rtp.io.close()
	l.rtcp.io.close()
	r.plane.pool.put(l.port)
}

// closed forgets a relay, but not what it did.
func (p *Plane) closed(r *Relay, counts *[2]counters) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.relays[r]; !known {
		return
	}
	delete(p.relays, r)
	for s := range counts {
		p.done.add(&counts[s])
	}
}

// open lists the relays that are open now.
func (p *Plane) open() []*Relay {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.relays))
}

// closeAll closes every relay and lets no new one be.
func (p *Plane) closeAll() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	open := p.open()
	for _, r := range open {
		r.Close()
	}
	if len(open) > 0 {
		p.log.Warn("media ended while calls were open", "relays", len(open))
	}
}

// HostFor is the address to tell a peer in SDP: the configured external one; else the one the sockets are bound to;
// else, and for a peer of the other IP version, the one this host would send to the peer from. Nothing is sent.
func (p *Plane) HostFor(peer netip.Addr) (netip.Addr, error) {
	fits := func(a netip.Addr) bool { return a.IsValid() && (!peer.IsValid() || a.Is4() == peer.Unmap().Is4()) }
	switch {
	case fits(p.cfg.External):
		return p.cfg.External, nil
	case !p.cfg.Bind.IsUnspecified():
		return p.cfg.Bind, nil
	case !peer.IsValid():
		return netip.Addr{}, voice.Errorf(voice.ErrInvalid, "media has no address to tell: set media.external_host, or media.bind to one address")
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, discard)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find our address towards %v: %w", peer, err)
	}
	defer func() { _ = conn.Close() }() // nothing was sent, so nothing can be lost
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), nil
}

// discard is the port of the discard service, as good as any for asking the routing table.
const discard = 9

// ours tells whether an address is one that peers reach us at, as far as is known without asking the system.
func (p *Plane) ours(addr netip.Addr) bool {
	return addr == p.cfg.External || addr == p.cfg.Bind || addr.IsLoopback() && p.cfg.Bind.IsUnspecified()
}
