package media

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/media/pace"
	"parley/internal/voice"
)

// sweepEvery is how often legs are looked at for silence, for telephone-events whose end was lost, and for reports that are due.
const sweepEvery = 250 * time.Millisecond

// Plane opens legs and moves their packets.
type Plane struct {
	cfg    Config
	pool   *Pool
	log    *slog.Logger
	driver driver
	clock  *pace.Clock // the turns of all that listens and plays
	now    func() time.Time

	opened atomic.Uint32

	joining sync.Mutex // held while legs are joined or parted, so that it is mutual; before any leg's lock
	mu      sync.Mutex // guards what follows
	legs    map[*Leg]struct{}
	done    counters // of legs that are closed
	ended   bool
}

// socket is one UDP port of a leg.
type socket struct {
	leg     *Leg
	control bool // for RTCP
	io      socketIO
}

// driver watches sockets and hands what comes to their leg's arrived.
type driver interface {
	// open binds a socket of s.leg; its packets are handled from then on, once run runs. The error wraps
	// errOccupied when somebody else has the port.
	open(s *socket, bind netip.AddrPort) (socketIO, error)
	// run moves packets until ctx ends, and waits for its goroutines.
	run(ctx context.Context) error
}

// socketIO is a socket that a driver opened. Both methods are called with the leg's lock held.
type socketIO interface {
	send(b []byte, to netip.AddrPort) error
	close()
}

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
	p := &Plane{cfg: pool.cfg, pool: pool, log: log, driver: d, clock: pace.New(runtime.GOMAXPROCS(0)), now: pool.now, legs: map[*Leg]struct{}{}}
	if err := reg.Register(collector{p}); err != nil {
		return nil, err
	}
	return p, nil
}

// Run moves packets until ctx ends, then closes what legs are still open and returns nil. Call it once.
func (p *Plane) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.driver.run(ctx) })
	g.Go(func() error { return p.clock.Run(ctx) })
	g.Go(func() error {
		defer p.closeAll()
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				for _, l := range p.open() {
					l.sweep(p.now())
				}
			}
		}
	})
	return g.Wait()
}

// closed forgets a leg, but not what it did.
func (p *Plane) closed(l *Leg, counts *counters) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.legs[l]; !known {
		return
	}
	delete(p.legs, l)
	p.done.add(counts)
}

// open lists the legs that are open now.
func (p *Plane) open() []*Leg {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.legs))
}

// closeAll closes every leg and lets no new one be.
func (p *Plane) closeAll() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	open := p.open()
	for _, l := range open {
		l.Close()
	}
	if len(open) > 0 {
		p.log.Warn("media ended while calls were open", "legs", len(open))
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
