package sipproxy

import (
	"bytes"
	"strings"
	"time"

	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/txn"
	"parley/internal/sipua/wire"
)

const (
	maxDatagram = 1300 // bytes that go over UDP where there is a choice (RFC 3261 §18.1.1)
	headroom    = 600  // what we add to a request: Via, Record-Route twice, a pass
)

// core is the Service as the transaction layer sees it.
type core struct{ *Service }

// Request implements txn.Core.
func (c core) Request(tx *txn.Server) {
	s, m := c.Service, tx.Request()
	r := s.routeOf(m, false)
	f := s.open(tx.Shard(), tx, m, r)
	tx.Local = f
	f.loop = s.loopMark(m)
	switch {
	case s.draining.Load() && !r.dialog && !r.passed: // what another door gives us, it could give to nobody else
		f.fail(503)
	case m.Hops() == 0:
		f.fail(483)
	case m.Has(wire.ProxyRequire):
		f.fail(420)
	case s.loops(m, f.loop):
		s.m.looped.Inc()
		f.fail(482)
	case r.status != 0:
		f.fail(r.status)
	default:
		f.start()
	}
}

// start answers an INVITE with 100, so that it is not repeated, and sends the request on its way.
func (f *forwarding) start() {
	s, r := f.s, f.route
	if tx, ok := f.up.(*txn.Server); ok && f.invite {
		if tx.Respond(100, s.ownResponse(f.req, 100)) != nil {
			f.close()
			return
		}
	}
	if r.direction == outbound {
		f.toFlow(r.flow)
		return
	}
	tenant, ok := s.tenantOf(f.req)
	if !ok {
		s.abuse.report(f.req.Flow.Remote().Addr(), "unknown-host", 1)
		f.fail(404)
		return
	}
	f.tenant = tenant
	if r.dialog {
		f.within()
		return
	} else if r.passed { // the other front door has chosen, and chooses again when this node says 503
		f.toNode(s.nodes.get(r.node), "true")
		return
	} else if f.invite {
		s.rate.Add()
	}
	n := s.nodes.choose(nil)
	if n == nil || s.tokens.Load() == nil {
		f.fail(503)
		return
	}
	f.toNode(n, "false")
}

// tenantOf finds the tenant by the host the request was sent to. A tel URI names no host: that of To decides, or the
// default tenant.
func (s *Service) tenantOf(m *txn.Message) (string, bool) {
	if s.dir == nil {
		return "", true
	}
	var (
		u wire.URI
		a wire.Address
	)
	if wire.ParseURI(m.URI(), &u) && !u.SIP() && wire.ParseAddress(m.Get(wire.To), &a) {
		wire.ParseURI(a.URI, &u) // no host then: the default tenant
	}
	t, ok := s.dir.TenantByHost(string(u.Host))
	if !ok {
		return "", false
	}
	return t.Name, true
}

// newDialog tells whether we want to stay on the path of what the request begins.
func (f *forwarding) newDialog() bool {
	return !f.route.dialog && (f.invite || f.method == "SUBSCRIBE" || f.method == "REFER")
}

// toNode sends the request to a SIP node.
func (f *forwarding) toNode(n *sipNode, cached string) {
	s := f.s
	b := &branch{f: f, node: n.id, cached: cached, started: time.Now()}
	f.branches = append(f.branches, b)
	f.tried = append(f.tried, n.id)
	if f.newDialog() && !n.local {
		n.assigned.Add(1)
		b.assigned = n
	}
	s.m.forwarded.WithLabelValues(f.method, inbound, n.id).Inc()
	b.arm(n)
	if n.local {
		b.toLocal()
		return
	}
	b.toDoor(n)
}

// arm starts the timers of a branch: an early one against other nodes (n) that are dead though their record is not gone,
// and Timer C.
func (b *branch) arm(n *sipNode) {
	f := b.f
	if n != nil && !n.local && !f.route.dialog {
		b.silence = f.shard.After(f.s.cfg.Reselect, func() { b.silent(n) })
	}
	if f.invite {
		b.timerC = f.shard.After(f.s.cfg.TimerC, b.timerCFired)
	}
}

// silent tries the next node beside one that said nothing. The first is not given up: should it answer after all, its
// response counts like any other branch's.
func (b *branch) silent(n *sipNode) {
	if !b.done && !b.heard {
		n.silent.Store(true)
		b.f.another(b)
	}
}

// toFlow sends the request to a phone over the way that a token names.
func (f *forwarding) toFlow(t sipua.Flow) {
	s := f.s
	b := &branch{f: f, node: t.Node, cached: "true", started: time.Now()}
	f.branches = append(f.branches, b)
	s.m.forwarded.WithLabelValues(f.method, outbound, t.Node).Inc()
	b.arm(nil)
	if t.Door != s.f.Node() {
		f.route.drop = 0 // the front door that has the flow finds the token itself
		if door := s.nodes.door(t.Door); door != nil {
			b.toDoor(door)
		} else {
			b.failed(txn.ErrSend)
		}
		return
	}
	flow, ok := s.flowOf(t)
	switch {
	case ok:
		b.send(flow)
	case ours(t):
		b.connect(t)
	default:
		s.m.flowFailed.Inc()
		b.failed(txn.ErrSend)
	}
}

// flowOf finds the way of a token made here.
func (s *Service) flowOf(t sipua.Flow) (transport.Flow, bool) {
	switch {
	case t.ID != "":
		return s.set.Flow(t.ID)
	case ours(t):
		return s.set.Connected(peerOf(t))
	}
	flow, err := s.set.UDP(t.Local, t.Remote)
	return flow, err == nil
}

// A request stays on the way its token names, whatever its size: a phone that registered by datagram is reached through its
// NAT by nothing else (RFC 5626 §5.3), and its INVITEs are above 1,300 bytes as a rule, so that asking for TCP first (RFC 3261
// §18.1.1) would cost each call a connection attempt. IP carries up to 64 KB in fragments; a trunk where they get lost is given
// ;transport=tcp in its contact.

// send composes the request for the way it goes (RFC 3261 §16.6) and starts its transaction.
func (b *branch) send(flow transport.Flow) {
	f := b.f
	id := f.s.branch(f.loop)
	at := f.s.sideOf(flow, f.route.direction == outbound && b.door == nil)
	head := appendVia(nil, at, id)
	client, err := f.shard.Start(string(f.req.Method()), id, f.compose(head, hop{at, b.node, b.door}), flow, b)
	if err != nil {
		b.failed(err)
		return
	}
	b.client = client
}

// hop is where a request goes next: at is our side of it, the zero side for the SIP node in this process.
type hop struct {
	at   side
	node string   // SIP node of the dialog
	door *sipNode // the other node whose front door gets it; nil = none
}

// compose writes the request as it leaves: head, our Record-Route when we want to stay on the path, a pass for another front
// door or what the SIP node of this process is told, and all else as it came.
func (f *forwarding) compose(head []byte, h hop) []byte {
	s, r := f.s, f.route
	tokens := s.tokens.Load()
	if tokens != nil && f.staysOnPath() {
		head = f.appendRecordRoutes(head, tokens, h.at, h.node)
	}
	var tail []byte
	switch {
	case h.door != nil && tokens != nil:
		head = f.appendPass(head, tokens, h.door)
	case r.direction == inbound:
		tail = wire.AppendHeader(tail, sipua.HeaderSource, f.source())
		if f.tenant != "" {
			tail = wire.AppendHeader(tail, sipua.HeaderTenant, f.tenant)
		}
	}
	return wire.AppendForward(make([]byte, 0, len(f.req.Data)+640), &f.req.Message, &wire.Forward{
		Head: head, Tail: tail, Source: f.req.Flow.Remote(), DropRoutes: r.drop, Hops: f.req.Hops() - 1,
	})
}

// source is where the request came from: to us, or to the front door that gave it to us.
func (f *forwarding) source() string {
	if p := &f.route.pass; f.route.passed {
		return string(p.Transport) + ":" + p.Source.String()
	}
	return string(f.req.Flow.Transport()) + ":" + f.req.Flow.Remote().String()
}

// staysOnPath tells whether we write a Record-Route: of two front doors, the one that has the phone does.
func (f *forwarding) staysOnPath() bool {
	r := &f.route
	if r.direction == outbound {
		return f.newDialog() && r.flow.Door == f.s.f.Node()
	}
	return f.newDialog() && !r.passed
}

// appendRecordRoutes writes the token of the phone's flow and of the node into our Record-Route. at is the side the request
// leaves by; the zero side is the node in this process, for which there is one side only: the phone's.
func (f *forwarding) appendRecordRoutes(dst []byte, tokens *sipua.Tokens, at side, node string) []byte {
	s, flow, in := f.s, f.route.flow, side{}
	if f.req.Flow.Valid() {
		in = s.sideOf(f.req.Flow, f.route.direction == inbound)
	}
	if f.route.direction == inbound {
		flow = sipua.Flow{
			Door: s.f.Node(), Transport: f.req.Flow.Transport(), ID: f.req.Flow.ID(),
			Local: f.req.Flow.Local(), Remote: f.req.Flow.Remote(),
		}
		flow.Node = node
	}
	token := tokens.Encode(flow)
	switch {
	case at == (side{}):
		return appendRecordRoute(dst, token, in)
	case in == (side{}):
		return appendRecordRoute(dst, token, at)
	}
	return recordRoutes(dst, token, at, in)
}

// Cancel implements txn.Core.
func (c core) Cancel(tx *txn.Server, m *txn.Message) {
	if f, ok := tx.Local.(*forwarding); ok {
		f.cancel(reasonIn(m))
	}
}

// reasonIn is what the Reason fields of a CANCEL say (RFC 3326): one a protocol.
func reasonIn(m *txn.Message) string {
	var all []string
	for i := range m.Headers {
		if h := &m.Headers[i]; h.ID == wire.Other && bytes.EqualFold(m.Name(h), []byte("Reason")) {
			all = append(all, string(m.Value(h)))
		}
	}
	return strings.Join(all, ", ")
}

// Ack implements txn.Core: the ACK to a 2xx goes the way of its dialog, without a transaction.
func (c core) Ack(m *txn.Message) { c.ack(m, false) }

func (s *Service) ack(m *txn.Message, local bool) {
	r := s.routeOf(m, local)
	if r.status != 0 || !r.dialog || m.Hops() == 0 {
		s.m.strays.Inc()
		return
	}
	f := &forwarding{s: s, shard: m.Shard, req: m, route: r, method: "ACK"}
	if !f.sendAck() {
		s.m.strays.Inc()
		return
	}
	s.m.forwarded.WithLabelValues("ACK", r.direction, r.node).Inc()
}

// sendAck sends the ACK on; false says that it has no way to go.
func (f *forwarding) sendAck() bool {
	s, r := f.s, &f.route
	switch {
	case r.direction == inbound:
		return f.ackWithin()
	case r.flow.Door != s.f.Node():
		door := s.nodes.door(r.flow.Door)
		if door == nil {
			return false
		}
		r.drop = 0
		f.ackToDoor(door, r.node)
	default:
		flow, ok := s.flowOf(r.flow)
		switch {
		case ok:
			f.ackOver(flow)
		case ours(r.flow):
			f.connectAck(r.flow)
		default:
			return false
		}
	}
	return true
}

// ackOver sends an ACK. One that cannot be sent is missed by the other side, which repeats its 2xx: the next one may get through.
func (f *forwarding) ackOver(flow transport.Flow) {
	at := f.s.sideOf(flow, true)
	_ = flow.Send(f.compose(appendVia(nil, at, f.s.branch(f.s.loopMark(f.req))), hop{at: at, node: f.route.node}))
}

// Stray implements txn.Core. RFC 6026 §8.4 forbids passing such a response on.
func (c core) Stray(*txn.Message) { c.m.strays.Inc() }

// Answer implements txn.Core.
func (c core) Answer(m *txn.Message, status int) {
	if status >= 300 {
		c.m.rejected.Inc()
	}
	c.m.self.of(m.KnownMethod()).Inc()
	name, value := "", ""
	if status == 503 {
		name, value = "Retry-After", c.retryAfter()
	}
	c.answer(m.Flow, &m.Message, status, "", name, value)
}

// ownResponse makes a response of ours to a request that has a transaction.
func (s *Service) ownResponse(m *txn.Message, status int) []byte {
	out := s.appendAnswer(make([]byte, 0, 512), m.Flow, &m.Message, status, "")
	switch status {
	case 503:
		out = wire.AppendHeader(out, "Retry-After", s.retryAfter())
	case 420:
		for v := range m.Values(wire.ProxyRequire) {
			out = wire.AppendHeader(out, "Unsupported", string(v))
		}
	}
	return wire.AppendEnd(out)
}

// optionsRequest is a keep-alive of the speaking kind. Its answer is a stray here, and that is all right.
func (s *Service) optionsRequest(flow transport.Flow) []byte {
	at := s.sideOf(flow, true)
	id := s.branch("0")
	b := append([]byte(nil), "OPTIONS sip:"+flow.Remote().String()+" SIP/2.0\r\n"...)
	b = appendVia(b, at, id)
	b = append(b, "Max-Forwards: 1\r\nFrom: <sip:"+at.host+">;tag="+id[len(s.mark):]+"\r\nTo: <sip:"+flow.Remote().String()+">\r\n"...)
	b = append(b, "Call-ID: "+id+"\r\nCSeq: 1 OPTIONS\r\n"...)
	return wire.AppendEnd(b)
}
