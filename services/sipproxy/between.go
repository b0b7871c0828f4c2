package sipproxy

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// What front doors of one cluster give each other. A SIP node is reached through the front door of its process, a phone
// through the one it registered at; a request that is for another one goes there with a pass (sipua.Pass) as its topmost Route.
// The pass is signed with the cluster's key, counts for one Call-ID, and is taken only from a host that a node of the
// bucket "nodes" announces, so a stranger can neither make one nor play one back. Answers come back by Via as ever.

// passOf reads the pass of a request from another front door.
func (s *Service) passOf(m *wire.Message, from transport.Flow) (sipua.Pass, bool) {
	if s.nodes.alone() || !m.Has(wire.Route) || len(s.internal) > 0 && !s.isInternal(from) {
		return sipua.Pass{}, false
	}
	tokens := s.tokens.Load()
	top, _, _ := wire.Next(m.Get(wire.Route))
	user, ok := userOf(top)
	if tokens == nil || !ok {
		return sipua.Pass{}, false
	}
	p, err := tokens.DecodePass(user, m.Get(wire.CallID))
	if err != nil || p.To != s.f.Node() {
		return sipua.Pass{}, false
	}
	if !s.nodes.trusts(from.Remote().Addr()) {
		s.m.foreignPasses.Inc()
		s.log.LogAttrs(s.run, slog.LevelWarn, "request of another node from an address it does not announce",
			slog.String("node", p.From), slog.Any("source", from.Remote()))
		return sipua.Pass{}, false
	}
	return p, true
}

// isInternal tells whether a message came to a listener that is for nodes only.
func (s *Service) isInternal(f transport.Flow) bool {
	for _, a := range s.internal {
		if a.Port() == f.Local().Port() && (a.Addr().IsUnspecified() || a.Addr() == f.Local().Addr()) {
			return true
		}
	}
	return false
}

// notForUs tells whether a request came to a listener for nodes without being a node's.
func (s *Service) notForUs(m *wire.Message, f transport.Flow) bool {
	if len(s.internal) == 0 || !s.isInternal(f) {
		return false
	}
	_, ok := s.passOf(m, f)
	return !ok
}

// appendPass writes the Route that takes the request to the front door of another node.
func (f *forwarding) appendPass(dst []byte, tokens *sipua.Tokens, to *sipNode) []byte {
	p := sipua.Pass{From: f.s.f.Node(), To: to.id, Transport: transport.UDP}
	if f.route.direction == inbound {
		p.Transport, p.Source = f.req.Flow.Transport(), f.req.Flow.Remote()
	}
	at := to.udp
	if !at.IsValid() {
		at = to.tcp
	}
	dst = append(append(dst, "Route: <sip:"...), tokens.EncodePass(p, f.req.Get(wire.CallID))...)
	return append(at.AppendTo(append(dst, '@')), ";lr>\r\n"...)
}

// doorFlow is the datagram way to the front door of another node; false when the request is too large for it, or when one of us
// does not listen to datagrams.
func (f *forwarding) doorFlow(to *sipNode) (transport.Flow, bool) {
	if !to.udp.IsValid() || to.tcp.IsValid() && len(f.req.Data)+headroom > maxDatagram {
		return transport.Flow{}, false
	}
	flow, err := f.s.set.UDP(f.s.internalUDP(), to.udp)
	return flow, err == nil
}

// internalUDP is the listener that datagrams to other nodes leave by; invalid where any may be.
func (s *Service) internalUDP() netip.AddrPort {
	if len(s.internal) > 0 {
		return s.ownUDP
	}
	return netip.AddrPort{}
}

// toDoor sends the request to the front door of another node. Connecting happens off the shard.
func (b *branch) toDoor(to *sipNode) {
	b.door = to
	if flow, ok := b.f.doorFlow(to); ok {
		b.send(flow)
		return
	}
	s, shard := b.f.s, b.f.shard
	go func() {
		flow, err := s.dialDoor(to)
		shard.Do(func() {
			switch {
			case b.f.closed || b.done:
			case b.cancelOn: // cancelled before it was sent
				b.end()
				b.f.finish()
			case err == nil:
				b.send(flow)
			default:
				b.failed(err)
			}
		})
	}()
}

// dialDoor connects to the front door of another node. RFC 3261 §18.1.1: where no connection can be had, a datagram of any size
// is tried.
func (s *Service) dialDoor(to *sipNode) (transport.Flow, error) {
	ctx, cancel := context.WithTimeout(s.run, 5*time.Second)
	defer cancel()
	if to.tcp.IsValid() {
		flow, err := s.set.Dial(ctx, transport.TCP, to.tcp, "")
		if err == nil || !to.udp.IsValid() {
			return flow, err
		}
	}
	return s.set.UDP(s.internalUDP(), to.udp)
}

// ackToDoor sends an ACK to the front door of another node. One that cannot be sent is missed by the other side, which repeats
// its 2xx: the next one may get through.
func (f *forwarding) ackToDoor(to *sipNode, node string) {
	send := func(flow transport.Flow) {
		at := f.s.sideOf(flow, false)
		head := appendVia(nil, at, f.s.branch(f.s.loopMark(f.req)))
		_ = flow.Send(f.compose(head, hop{at: at, node: node, door: to}))
	}
	if flow, ok := f.doorFlow(to); ok {
		send(flow)
		return
	}
	go func() {
		if flow, err := f.s.dialDoor(to); err == nil {
			f.shard.Do(func() { send(flow) })
		}
	}()
}
