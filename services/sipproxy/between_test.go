package sipproxy

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// two is two nodes in one process, each a front door with a SIP node behind it, that know each other by the bucket.
type two struct {
	t    *testing.T
	a, b *house
	na   *localNode
	nb   *localNode
}

// startTwo runs nodes "a" and "b"; tweak may change the options of either.
func startTwo(t *testing.T, tweak func(id string, o *Options)) *two {
	t.Helper()
	w := &two{t: t, na: newLocalNode(), nb: newLocalNode()}
	server := fabrictest.Server(t, t.TempDir())
	run := func(id string, n *localNode) *house {
		return startOn(t, fabrictest.Connect(t, server, id), func(o *Options) {
			o.Node = n
			if tweak != nil {
				tweak(id, o)
			}
		})
	}
	w.a, w.b = run("a", w.na), run("b", w.nb)
	w.announce(w.a, false)
	w.announce(w.b, false)
	eventually(t, "the front doors know each other", func() bool {
		return w.a.s.nodes.door("b") != nil && w.b.s.nodes.door("a") != nil
	})
	return w
}

// announce writes the record of a node as its process does.
func (w *two) announce(h *house, draining bool) {
	w.t.Helper()
	udp, tcp := h.s.ForNodes()
	record := contract.NodeRecord{ID: h.f.Node(), SIP: &contract.SIPNodeRecord{Draining: draining}, Proxy: &contract.ProxyRecord{UDP: udp.String(), TCP: tcp.String()}}
	b, err := json.Marshal(record)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := h.f.Bucket(fabric.BucketNodes).Put(w.t.Context(), fabric.Key(record.ID), b, fabric.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// leaveToB makes b the only node for new calls.
func (w *two) leaveToB() {
	w.na.mu.Lock()
	defer w.na.mu.Unlock()
	w.na.load.Draining = true
}

// first is the first request a node got with a Call-ID.
func (n *localNode) first(callID string) *sip.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.requests {
		if r.CallID().Value() == callID {
			return r
		}
	}
	return nil
}

// A call that comes in at one node's front door is taken by the SIP node of the other, which is told who called; what follows
// finds that node from either door.
func TestCallAtTheOtherNode(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			w := startTwo(t, nil)
			w.leaveToB()
			p := dial(t, network, w.a.address(network))
			talk(p, "c1")
			eventually(t, "b saw it in order", func() bool { return slices.Equal(w.nb.methods("c1"), dialogMethods) })
			if got := w.na.methods("c1"); len(got) > 0 {
				t.Errorf("a, which takes no calls, got %v", got)
			}
			m := w.nb.first("c1")
			if got := m.GetHeader(sipua.HeaderSource); got == nil || got.Value() != network+":"+p.addr() {
				t.Errorf("b was told the call came from %v, want %s", got, p.addr())
			}
			if m.Route() != nil {
				t.Errorf("b sees the pass:\n%s", m)
			}

			c := p.invite("c2")
			c.answered()
			c.request("ACK")
			eventually(t, "b got the ACK", func() bool { return len(w.nb.methods("c2")) == 2 }) // two ways keep no order
			other := dial(t, network, w.b.address(network))                                     // the phone comes back by the other door
			back := &call{p: other, id: "c2", cseq: 1, to: c.to, target: c.target, route: c.route}
			back.request("BYE")
			other.expect("200")
			eventually(t, "b got the BYE", func() bool { return slices.Equal(w.nb.methods("c2"), []string{"INVITE", "ACK", "BYE"}) })
			eventually(t, "contexts are closed", func() bool {
				return w.a.metric("sip_proxy_contexts_count") == 0 && w.b.metric("sip_proxy_contexts_count") == 0
			})
		})
	}
}

// A SIP node calls a phone that registered at another node's front door; the phone hangs up by its own door, and by the other.
func TestNodeCallsPhoneAtTheOtherDoor(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			w := startTwo(t, nil)
			p := dial(t, network, w.a.address(network))
			p.send(p.registerLines(1)...)
			p.expect("200")
			w.a.mu.Lock()
			r := w.a.registered[0]
			w.a.mu.Unlock()
			flow := sipua.Flow{Door: "a", Transport: transport.Transport(r.Transport), ID: r.Flow, Remote: r.Source, Node: "b"}
			for i, door := range []*house{w.a, w.b} {
				id := "o" + itoa(i)
				answers := make(chan *sip.Response, 4)
				callOut(t, w.b, flow, p.addr(), id, "INVITE", nil, func(res *sip.Response, err error) {
					if err == nil {
						answers <- res
					}
				})
				m := p.expect("INVITE")
				if strings.Contains(string(m.Data), "X-Parley") || m.Has(wire.Route) {
					t.Errorf("the phone got\n%s", m.Data)
				}
				p.answer(m, 200, w.a.address(network))
				res := <-answers
				var route []string
				for _, rr := range res.GetHeaders("Record-Route") {
					route = append([]string{rr.Value()}, route...)
				}
				if err := w.b.s.SendAck(outRequest(t, w.b, flow, p.addr(), id, "ACK", route)); err != nil {
					t.Fatal(err)
				}
				p.expect("ACK")
				hang := p
				if door != w.a {
					hang = dial(t, network, door.address(network))
				}
				c := &call{p: hang, id: id, to: "<sip:9000@demo.local>;tag=n", target: "sip:node@127.0.0.1:1"}
				for rr := range m.Values(wire.RecordRoute) {
					c.route = append(c.route, string(rr))
				}
				c.request("BYE")
				hang.expect("200")
				eventually(t, "the node got the BYE", func() bool { return slices.Equal(w.nb.methods(id), []string{"BYE"}) })
			}
		})
	}
}

// What does not fit in a datagram goes from door to door by TCP.
func TestLargeRequestsBetweenNodesGoByTCP(t *testing.T) {
	w := startTwo(t, nil)
	w.leaveToB()
	p := dial(t, "udp", w.a.address("udp"))
	c := p.invite("big", "X-Filler: "+strings.Repeat("x", 1400))
	c.answered()
	c.request("ACK", "X-Filler: "+strings.Repeat("x", 1400))
	eventually(t, "b got the ACK", func() bool { return len(w.nb.methods("big")) == 2 }) // two ways keep no order
	c.request("BYE")
	p.expect("200")
	eventually(t, "b got everything", func() bool { return slices.Equal(w.nb.methods("big"), []string{"INVITE", "ACK", "BYE"}) })
	for network, want := range map[string]float64{"tcp": 2, "udp": 1} { // the BYE is small
		if n := w.b.metric("parley_sip_messages_received_total", "transport="+network); n != want {
			t.Errorf("b got %v messages by %s, want %v", n, network, want)
		}
	}
}

// A stranger with a pass is a stranger: one he made himself, one of another Call-ID, or one from where no node is.
func TestPassesAreForNodesOnly(t *testing.T) {
	w := startTwo(t, nil)
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, net.UDPAddrFromAddrPort(addrPort(w.a.address("udp"))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	far := &phone{t: t, conn: conn}
	near := dial(t, "udp", w.a.address("udp"))
	pass := func(key *sipua.Tokens, callID string) string {
		p := sipua.Pass{From: "b", To: "a", Transport: transport.UDP, Source: addrPort("10.0.0.9:5060")}
		return "<sip:" + key.EncodePass(p, []byte(callID)) + "@" + w.a.address("udp") + ";lr>"
	}
	ours := w.a.s.tokens.Load()
	for _, c := range []struct {
		id, route string
		p         *phone
		believed  bool
	}{
		{"node", pass(ours, "node"), near, true},
		{"forged", pass(sipua.NewTokens([]byte("another key")), "forged"), near, false},
		{"replayed", pass(ours, "another call"), near, false},
		{"far", pass(ours, "far"), far, false},
	} {
		call := &call{p: c.p, id: c.id, to: "<sip:9000@demo.local>", target: "sip:9000@demo.local", route: []string{c.route}}
		call.request("INVITE", "Contact: <sip:1001@"+c.p.addr()+">")
		c.p.expect("200")
		got := w.na.first(c.id)
		if got == nil {
			got = w.nb.first(c.id) // a stranger's call may be anybody's
		}
		source := got.GetHeader(sipua.HeaderSource).Value()
		if want := "udp:" + c.p.addr(); !c.believed && source != want {
			t.Errorf("%s: the node was told that it came from %s, want %s", c.id, source, want)
		}
		if c.believed && source != "udp:10.0.0.9:5060" {
			t.Errorf("%s: a node's word is not passed on: %s", c.id, source)
		}
	}
	if n := w.a.metric("parley_sipproxy_foreign_passes_total"); n < 1 {
		t.Errorf("the pass from far was counted %v times", n)
	}
	for _, h := range []*house{w.a, w.b} {
		h.s.bans.set("k", contract.Ban{Source: addrPort("127.0.0.1:1").Addr(), Until: time.Now().Add(time.Hour)})
	}
	if w.a.s.banned(addrPort("127.0.0.1:1").Addr()) {
		t.Error("a forger had a node banned")
	}
}

// Listeners for nodes speak to nodes only; with them the others take no passes.
func TestInternalListeners(t *testing.T) {
	w := startTwo(t, func(_ string, o *Options) { o.Internal = []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0"} })
	w.leaveToB()
	p := dial(t, "udp", w.a.address("udp"))
	talk(p, "c1")
	eventually(t, "b saw it in order", func() bool { return slices.Equal(w.nb.methods("c1"), dialogMethods) })
	udp, tcp := w.b.s.ForNodes()
	if public := w.b.address("udp"); udp.String() == public || tcp.String() == w.b.address("tcp") {
		t.Fatalf("nodes are told to come to %v and %v, where everybody comes", udp, tcp)
	}
	if at, ok := w.b.s.Address(); !ok || at.String() != w.b.address("udp") {
		t.Errorf("phones are told to come to %v, want %s", at, w.b.address("udp"))
	}
	for _, network := range []string{"udp", "tcp"} {
		at := map[string]string{"udp": udp.String(), "tcp": tcp.String()}[network]
		stranger := dial(t, network, at)
		stranger.send(stranger.registerLines(1)...)
		stranger.invite("s1")
		stranger.silent(100 * time.Millisecond)
	}
	public := sipua.Pass{From: "a", To: "b", Transport: transport.UDP, Source: addrPort("10.0.0.9:5060")}
	q := dial(t, "udp", w.b.address("udp"))
	c := &call{p: q, id: "s2", to: "<sip:9000@demo.local>", target: "sip:9000@demo.local",
		route: []string{"<sip:" + w.b.s.tokens.Load().EncodePass(public, []byte("s2")) + "@" + w.b.address("udp") + ";lr>"}}
	c.request("INVITE", "Contact: <sip:1001@"+q.addr()+">")
	q.expect("200")
	if got := w.nb.first("s2").GetHeader(sipua.HeaderSource).Value(); got != "udp:"+q.addr() {
		t.Errorf("a pass was taken where everybody comes: %s", got)
	}
}

// When a node dies, phones that its calls ring at another door are told to stop, and what waits for its phones fails at once.
func TestNodeDiesBetweenDoors(t *testing.T) {
	w := startTwo(t, nil)
	p := dial(t, "udp", w.a.address("udp"))
	here := sipua.Flow{Door: "a", Transport: transport.UDP, Remote: addrPort(p.addr()), Node: "b"}
	callOut(t, w.b, here, p.addr(), "o1", "INVITE", nil, func(*sip.Response, error) {})
	p.answer(p.expect("INVITE"), 180, w.a.address("udp"))

	failed := make(chan int, 4)
	q := dial(t, "udp", w.b.address("udp"))
	there := sipua.Flow{Door: "b", Transport: transport.UDP, Remote: addrPort(q.addr()), Node: "a"}
	callOut(t, w.a, there, q.addr(), "o2", "INVITE", nil, func(res *sip.Response, _ error) { failed <- res.StatusCode })
	q.answer(q.expect("INVITE"), 180, w.b.address("udp"))
	if got := <-failed; got != 180 {
		t.Fatalf("first answer %d", got)
	}
	if err := w.b.f.Bucket(fabric.BucketNodes).Delete(context.Background(), fabric.Key("b"), fabric.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect("CANCEL")
	if got := <-failed; got != 430 {
		t.Errorf("a call to a phone at a dead node failed with %d, want 430", got)
	}

	// A node that comes back before its record ends is another one: what it had is gone.
	w2 := startTwo(t, nil)
	p2 := dial(t, "udp", w2.a.address("udp"))
	here.Remote = addrPort(p2.addr())
	callOut(t, w2.b, here, p2.addr(), "o3", "INVITE", nil, func(*sip.Response, error) {})
	p2.answer(p2.expect("INVITE"), 180, w2.a.address("udp"))
	udp, _ := w2.b.s.ForNodes()
	record, err := json.Marshal(contract.NodeRecord{ID: "b", Started: time.Now(), SIP: &contract.SIPNodeRecord{}, Proxy: &contract.ProxyRecord{UDP: udp.String()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w2.b.f.Bucket(fabric.BucketNodes).Put(t.Context(), fabric.Key("b"), record, fabric.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	p2.expect("CANCEL")
}
