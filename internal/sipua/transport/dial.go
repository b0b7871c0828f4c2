package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// Addresses lists the listeners in the order of Options.Listen as URLs with their real ports.
func (s *Set) Addresses() []string { return append([]string(nil), s.bound...) }

// Address is where the first listener of t is bound; false when there is none.
func (s *Set) Address(t Transport) (netip.AddrPort, bool) {
	if t == UDP && len(s.udp) > 0 {
		return s.udp[0].bound, true
	}
	for _, l := range s.stream {
		if l.endpoint.transport == t {
			return l.bound, true
		}
	}
	return netip.AddrPort{}, false
}

// Flow finds an open connection by its id.
func (s *Set) Flow(id string) (Flow, bool) {
	boot, serial, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(serial, 36, 64)
	if boot != s.boot || err != nil {
		return Flow{}, false
	}
	if c := s.conns.find(n); c != nil {
		return c.flow(), true
	}
	return Flow{}, false
}

// UDP is a flow to an address. from chooses the listener and, where that is bound to all addresses, our address on
// it; the zero AddrPort takes the first listener that can reach the address, and the address the routes of the
// machine give. ErrNoRoute when no listener fits.
func (s *Set) UDP(from, to netip.AddrPort) (Flow, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	for _, l := range s.udp {
		switch {
		case !l.reaches(to.Addr()):
			continue
		case from.IsValid() && (l.bound.Port() != from.Port() || !l.wildcard && l.bound.Addr() != from.Addr()):
			continue
		}
		local := l.bound
		if l.wildcard {
			if from.IsValid() && !from.Addr().IsUnspecified() {
				local = from
			} else if addr, ok := s.routes.to(to.Addr()); ok {
				local = netip.AddrPortFrom(addr, l.bound.Port())
			}
		}
		return Flow{udp: l.sockets[0], remote: to, local: local}, nil
	}
	return Flow{}, fmt.Errorf("%w: udp from %s to %s", ErrNoRoute, from, to)
}

// routesMax bounds the cache of routes; it is emptied when it is full and every sweepRoutes.
const routesMax = 1024

// routes remembers which of our addresses the machine uses towards others.
type routes struct {
	mu    sync.Mutex // guards known; held over a look-up in the kernel, which takes microseconds
	known map[netip.Addr]netip.Addr
}

// to asks the kernel by connecting a UDP socket, which sends nothing.
func (r *routes) to(addr netip.Addr) (netip.Addr, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if local, ok := r.known[addr]; ok {
		return local, true
	}
	probe, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 9)))
	if err != nil {
		return netip.Addr{}, false
	}
	defer probe.Close()
	if r.known == nil || len(r.known) >= routesMax {
		r.known = make(map[netip.Addr]netip.Addr)
	}
	local := addrPort(probe.LocalAddr()).Addr()
	r.known[addr] = local
	return local, true
}

// forget empties the cache: routes change.
func (r *routes) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = nil
}

// dialer makes callers who want the same connection share one attempt.
type dialer struct {
	mu      sync.Mutex // guards pending
	pending map[peerKey]*attempt
}

func (d *dialer) init() { d.pending = make(map[peerKey]*attempt) }

// attempt is one connection in the making. flow and err are set before done is closed.
type attempt struct {
	done chan struct{}
	flow Flow
	err  error
}

// Dial returns a connection to an address by tcp or tls: one that is open already, or a new one; callers that ask
// for the same at once share one attempt, which HandshakeTimeout bounds and ctx does not. serverName is what the
// certificate must name (tls only; "" = the IP address). A connection the peer opened is reused too, except by tls,
// where it proves no name.
func (s *Set) Dial(ctx context.Context, t Transport, to netip.AddrPort, serverName string) (Flow, error) {
	return s.Connect(ctx, Peer{Transport: t, Addr: to, Name: serverName})
}

// Peer is somebody to connect to.
type Peer struct {
	Transport  Transport // tcp or tls
	Addr       netip.AddrPort
	Name       string // what the certificate must name; "" = the address. tls only
	Unverified bool   // any certificate will do; tls only
}

func (p Peer) key() peerKey {
	k := peerKey{transport: p.Transport, addr: netip.AddrPortFrom(p.Addr.Addr().Unmap(), p.Addr.Port())}
	if p.Transport == TLS {
		k.blind = p.Unverified
		if k.name = p.Name; k.name == "" {
			k.name = p.Addr.Addr().Unmap().String()
		}
	}
	return k
}

// Connected returns a connection to p that is open already, as Connect would.
func (s *Set) Connected(p Peer) (Flow, bool) {
	if c := s.conns.findPeer(p.key()); c != nil {
		return c.flow(), true
	}
	return Flow{}, false
}

// Connect is Dial with all there is to say about the peer. A connection whose certificate nobody looked at serves those alone
// who do not want it looked at.
func (s *Set) Connect(ctx context.Context, p Peer) (Flow, error) {
	t, to := p.Transport, p.Addr
	if t != TCP && t != TLS {
		return Flow{}, fmt.Errorf("%w: %s connections are opened by the peer only", ErrNoRoute, t)
	}
	a, flow, err := s.attempt(ctx, p.key())
	if a == nil {
		return flow, err
	}
	select {
	case <-a.done:
		return a.flow, a.err
	case <-ctx.Done():
		return Flow{}, fmt.Errorf("%s to %s: %w", t, to, ctx.Err())
	}
}

// attempt joins or starts an attempt; a nil one means that flow and err are the answer already.
func (s *Set) attempt(ctx context.Context, key peerKey) (*attempt, Flow, error) {
	s.dials.mu.Lock()
	defer s.dials.mu.Unlock()
	if c := s.conns.findPeer(key); c != nil {
		return nil, c.flow(), nil
	}
	if a := s.dials.pending[key]; a != nil {
		return a, Flow{}, nil
	}
	a := &attempt{done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.HandshakeTimeout)
	started := s.conns.start(&s.work, func() {
		defer cancel()
		a.flow, a.err = s.dial(ctx, key)
		s.dials.mu.Lock()
		delete(s.dials.pending, key)
		s.dials.mu.Unlock()
		close(a.done)
	})
	if !started {
		cancel()
		return nil, Flow{}, fmt.Errorf("%s to %s: %w", key.transport, key.addr, ErrClosed)
	}
	s.dials.pending[key] = a
	return a, Flow{}, nil
}

// dial opens a connection and starts its reader.
func (s *Set) dial(ctx context.Context, key peerKey) (Flow, error) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-s.stopped:
			cancel()
		case <-ctx.Done():
		}
	})
	fail := func(err error) (Flow, error) {
		s.dialFaults[key.transport.index()].Add(1)
		return Flow{}, fmt.Errorf("%s to %s: %w", key.transport, key.addr, err)
	}
	d := net.Dialer{KeepAliveConfig: keepAlive}
	nc, err := d.DialContext(ctx, "tcp", key.addr.String())
	if err != nil {
		return fail(err)
	}
	tcp := nc.(*net.TCPConn)
	c, why := s.newConn(key.transport, tcp, nil, key)
	if why != accepted {
		tcp.Close()
		return fail(ErrClosed)
	}
	if key.transport == TLS {
		c.tls = tls.Client(c.sock, s.clientTLS(key))
		if err := c.tls.HandshakeContext(ctx); err != nil {
			c.because(ClosedHandshake)
			c.finish()
			return fail(err)
		}
	}
	c.shown = true
	if !c.becomeReady() {
		return fail(ErrClosed)
	}
	go func() { // counted in Set.work since newConn, until it finishes
		defer c.finish()
		c.readStream()
	}()
	return c.flow(), nil
}

// clientTLS is the configuration for a server that must prove its name, or need not.
func (s *Set) clientTLS(key peerKey) *tls.Config {
	c := &tls.Config{}
	if s.opts.ClientTLS != nil {
		c = s.opts.ClientTLS.Clone()
	}
	c.ServerName, c.InsecureSkipVerify = key.name, key.blind
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}
