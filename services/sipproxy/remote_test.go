package sipproxy

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// remoteNode is an answering user agent on a UDP socket, as the SIP node of another machine.
type remoteNode struct {
	t    testing.TB
	id   string
	conn *net.UDPConn
	done chan struct{}

	mu     sync.Mutex // guards what follows
	seen   []*wire.Message
	from   netip.AddrPort // of the last request: the front door
	mute   bool           // say nothing
	hold   bool           // ring, but do not answer
	status int            // answer INVITEs with this; 0 = 200
}

func newRemoteNode(t testing.TB, id string) *remoteNode {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n := &remoteNode{t: t, id: id, conn: conn, done: make(chan struct{})}
	go n.serve()
	t.Cleanup(func() {
		conn.Close()
		<-n.done
	})
	return n
}

func (n *remoteNode) addr() string { return n.conn.LocalAddr().String() }

func (n *remoteNode) serve() {
	defer close(n.done)
	buf := make([]byte, 65536)
	for {
		k, from, err := n.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		var m wire.Message
		if wire.Scan(&m, buf[:k]) != nil {
			n.t.Errorf("%s got no SIP: %q", n.id, buf[:k])
			continue
		}
		n.serveOne(m.Clone(), from)
	}
}

func (n *remoteNode) serveOne(m *wire.Message, from netip.AddrPort) {
	n.mu.Lock()
	n.seen, n.from = append(n.seen, m), from
	mute, hold, status := n.mute, n.hold, n.status
	n.mu.Unlock()
	switch method := string(m.Method()); {
	case mute, !m.IsRequest(), method == "ACK":
	case method == "CANCEL":
		n.respond(m, 200)
		n.finish(m, 487)
	case method != "INVITE":
		n.respond(m, 200)
	default:
		n.respond(m, 180)
		if status == 0 {
			status = 200
		}
		if !hold {
			n.respond(m, status)
		}
	}
}

// finish answers the INVITE of a dialog that rings.
func (n *remoteNode) finish(m *wire.Message, status int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, inv := range n.seen {
		if string(inv.Method()) == "INVITE" && string(inv.Get(wire.CallID)) == string(m.Get(wire.CallID)) {
			n.respond(inv, status)
			return
		}
	}
}

func (n *remoteNode) respond(m *wire.Message, status int) {
	out := wire.AppendAnswer(nil, m, status, "", netip.AddrPort{}, []byte("tag-"+n.id))
	for rr := range m.Values(wire.RecordRoute) {
		out = wire.AppendHeader(out, "Record-Route", string(rr))
	}
	out = wire.AppendHeader(out, "Contact", "<sip:node@"+n.addr()+">")
	var via wire.ViaValue
	m.TopVia(&via)
	to, ok := via.Source()
	if !ok {
		n.t.Errorf("%s: Via %q leads nowhere", n.id, m.Get(wire.Via))
		return
	}
	n.send(wire.AppendEnd(out), to)
}

func (n *remoteNode) send(b []byte, to netip.AddrPort) {
	_, _ = n.conn.WriteToUDPAddrPort(b, to) // a closed socket is a dead node
}

func (n *remoteNode) set(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn()
}

// passTo is the Route with which the node gives a request to the front door of h.
func (n *remoteNode) passTo(h *house, callID string) string {
	pass := sipua.Pass{From: n.id, To: h.f.Node(), Transport: transport.UDP}
	return "Route: <sip:" + h.s.tokens.Load().EncodePass(pass, []byte(callID)) + "@" + h.address("udp") + ";lr>"
}

// methods lists what came with a Call-ID, retransmissions left out, in order.
func (n *remoteNode) methods(callID string) (out []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var branches []string
	for _, m := range n.seen {
		var via wire.ViaValue
		m.TopVia(&via)
		key := string(via.Branch) + string(m.Method())
		if string(m.Get(wire.CallID)) == callID && m.IsRequest() && !slices.Contains(branches, key) {
			branches = append(branches, key)
			out = append(out, string(m.Method()))
		}
	}
	return out
}

// last is the newest request of a method.
func (n *remoteNode) last(method string) *wire.Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range slices.Backward(n.seen) {
		if string(m.Method()) == method {
			return m
		}
	}
	return nil
}

// announce writes a node's record into the bucket, as its node does, and waits until the front door has it.
func (h *house) announce(id, at string, r *contract.SIPNodeRecord) {
	h.t.Helper()
	b, err := json.Marshal(contract.NodeRecord{ID: id, SIP: r, Proxy: &contract.ProxyRecord{UDP: at}})
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.f.Bucket(fabric.BucketNodes).Put(context.Background(), fabric.Key(id), b, fabric.PutOptions{}); err != nil {
		h.t.Fatal(err)
	}
	eventually(h.t, "the front door knows "+id, func() bool {
		n := h.s.nodes.get(id)
		return n != nil && n.calls == r.Calls && n.capacity == r.Capacity && n.draining == r.Draining
	})
}

func (h *house) kill(id string) {
	h.t.Helper()
	if err := h.f.Bucket(fabric.BucketNodes).Delete(context.Background(), fabric.Key(id), fabric.PutOptions{}); err != nil {
		h.t.Fatal(err)
	}
}

// call is a dialog as its caller sees it.
type call struct {
	p      *phone
	id     string
	cseq   int
	to     string
	target string
	route  []string
}

func (p *phone) via(branch string) string {
	network := "UDP"
	if p.conn.LocalAddr().Network() == "tcp" {
		network = "TCP"
	}
	return "Via: SIP/2.0/" + network + " " + p.addr() + ";branch=z9hG4bK" + branch + ";rport"
}

// invite sends an INVITE.
func (p *phone) invite(id string, extra ...string) *call {
	c := &call{p: p, id: id, to: "<sip:9000@demo.local>", target: "sip:9000@demo.local"}
	c.request("INVITE", append([]string{"Contact: <sip:1001@" + p.addr() + ">"}, extra...)...)
	return c
}

// request sends a request of the dialog; its CSeq is one more than the last.
func (c *call) request(method string, extra ...string) {
	c.p.t.Helper()
	if method != "ACK" && method != "CANCEL" {
		c.cseq++
	}
	branch := c.id + "-" + itoa(c.cseq)
	if method == "ACK" {
		branch += "-ack"
	}
	lines := []string{method + " " + c.target + " SIP/2.0", c.p.via(branch), "Max-Forwards: 70"}
	for _, r := range c.route {
		lines = append(lines, "Route: "+r)
	}
	lines = append(lines, "From: <sip:1001@demo.local>;tag=caller", "To: "+c.to, "Call-ID: "+c.id, "CSeq: "+itoa(c.cseq)+" "+method)
	lines = append(lines, extra...)
	c.p.send(append(lines, "Content-Length: 0")...)
}

// answered reads up to the 200 and learns the dialog from it.
func (c *call) answered() *wire.Message {
	c.p.t.Helper()
	m := c.p.expect("200")
	c.learn(m)
	return m
}

func (c *call) learn(m *wire.Message) {
	c.to = string(m.Get(wire.To))
	var a wire.Address
	wire.ParseAddress(m.Get(wire.Contact), &a)
	c.target, c.route = string(a.URI), nil
	for rr := range m.Values(wire.RecordRoute) {
		c.route = append([]string{string(rr)}, c.route...)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
