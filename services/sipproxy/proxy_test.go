package sipproxy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// dialogMethods are what TestCall sends, as the node must see it.
var dialogMethods = []string{"INVITE", "ACK", "INVITE", "ACK", "INFO", "BYE"}

// talk makes a call, re-invites, sends an INFO and hangs up.
func talk(p *phone, id string) {
	c := p.invite(id)
	c.answered()
	c.request("ACK")
	c.request("INVITE", "Contact: <sip:1001@"+p.addr()+">")
	p.expect("200")
	c.request("ACK")
	c.request("INFO")
	p.expect("200")
	c.request("BYE")
	p.expect("200")
}

func TestCall(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run("local node, "+network, func(t *testing.T) {
			node := newLocalNode()
			h := start(t, func(o *Options) { o.Node = node })
			talk(dial(t, network, h.address(network)), "c1")
			eventually(t, "the node saw it in order", func() bool { return slices.Equal(node.methods("c1"), dialogMethods) })
			eventually(t, "contexts are closed", func() bool { return h.metric("sip_proxy_contexts_count") == 0 })
		})
		t.Run("remote node, "+network, func(t *testing.T) {
			h := start(t, nil)
			a, b := newRemoteNode(t, "a"), newRemoteNode(t, "b")
			h.announce("a", a.addr(), &contract.SIPNodeRecord{})
			h.announce("b", b.addr(), &contract.SIPNodeRecord{Draining: true})
			talk(dial(t, network, h.address(network)), "c1")
			eventually(t, "the node saw it in order", func() bool { return slices.Equal(a.methods("c1"), dialogMethods) })
			if got := b.methods("c1"); len(got) > 0 {
				t.Errorf("a draining node got %v", got)
			}
			want := 1 // one Record-Route where both sides are UDP, two where they differ (RFC 5658)
			if network == "tcp" {
				want = 2
			}
			n := 0
			for range a.last("INVITE").Values(wire.RecordRoute) {
				n++
			}
			if n > 0 { // the last INVITE is within the dialog
				t.Errorf("Record-Route within a dialog:\n%s", a.last("INVITE").Data)
			}
			first := a.seen[0]
			for range first.Values(wire.RecordRoute) {
				n++
			}
			if n != want {
				t.Errorf("%d Record-Route, want %d:\n%s", n, want, first.Data)
			}
		})
	}
}

func TestInviteIsAnswered100AtOnce(t *testing.T) {
	h := start(t, nil)
	a := newRemoteNode(t, "a")
	a.set(func() { a.mute = true })
	h.announce("a", a.addr(), &contract.SIPNodeRecord{})
	p := dial(t, "udp", h.address("udp"))
	p.invite("c1")
	if m := p.read(); m.Status() != 100 || m.Tag(wire.To) != nil {
		t.Errorf("first answer:\n%s", m.Data)
	}
}

func TestCancel(t *testing.T) {
	check := func(t *testing.T, h *house) {
		t.Helper()
		p := dial(t, "udp", h.address("udp"))
		c := p.invite("c1")
		p.expect("180")
		c.request("CANCEL")
		var got []int
		for range 2 {
			got = append(got, p.read().Status())
		}
		slices.Sort(got)
		if !slices.Equal(got, []int{200, 487}) {
			t.Errorf("after CANCEL: %v", got)
		}
		c.p.send("ACK sip:9000@demo.local SIP/2.0", p.via("c1-1"), "From: <sip:1001@demo.local>;tag=caller", "To: <sip:9000@demo.local>;tag=x", "Call-ID: c1", "CSeq: 1 ACK", "Content-Length: 0")
		p.silent(50 * time.Millisecond)
		c.request("CANCEL", "X-Again: for nothing")
		if m := p.read(); m.Status() != 200 { // still absorbed by the transaction
			t.Errorf("late CANCEL:\n%s", m.Data)
		}
	}
	t.Run("local node", func(t *testing.T) {
		node := newLocalNode()
		node.hold = true
		check(t, start(t, func(o *Options) { o.Node = node }))
	})
	t.Run("remote node", func(t *testing.T) {
		h := start(t, nil)
		a := newRemoteNode(t, "a")
		a.set(func() { a.hold = true })
		h.announce("a", a.addr(), &contract.SIPNodeRecord{})
		check(t, h)
		eventually(t, "the node got CANCEL and ACK", func() bool { return slices.Equal(a.methods("c1"), []string{"INVITE", "CANCEL", "ACK"}) })
	})
	t.Run("before the node rang", func(t *testing.T) {
		h := start(t, nil)
		a := newRemoteNode(t, "a")
		a.set(func() { a.mute = true })
		h.announce("a", a.addr(), &contract.SIPNodeRecord{})
		p := dial(t, "udp", h.address("udp"))
		c := p.invite("c1")
		p.expect("100")
		c.request("CANCEL")
		p.expect("200")
		eventually(t, "the INVITE arrived", func() bool { return len(a.methods("c1")) == 1 })
		a.set(func() { a.mute, a.hold = false, true })
		p.expect("487") // the node rings on the next retransmission, and only then may be told (RFC 3261 §9.1)
	})
}

func TestReselection(t *testing.T) {
	second := func(t *testing.T, h *house, p *phone, a, b *remoteNode) {
		t.Helper()
		m := p.expect("200")
		if tag := string(m.Tag(wire.To)); tag != "tag-b" {
			t.Errorf("answered by %s", tag)
		}
		if n := h.metric("sipproxy_requests_sip_node_reselected_total"); n != 1 {
			t.Errorf("reselected %v times", n)
		}
	}
	// a is the only node when the INVITE is sent, so that it comes first; then b appears.
	begin := func(t *testing.T, reselect time.Duration) (*house, *phone, *remoteNode, *remoteNode) {
		h := start(t, func(o *Options) { o.Config.Reselect = reselect })
		a, b := newRemoteNode(t, "a"), newRemoteNode(t, "b")
		h.announce("a", a.addr(), &contract.SIPNodeRecord{})
		return h, dial(t, "udp", h.address("udp")), a, b
	}
	t.Run("node says nothing", func(t *testing.T) {
		h, p, a, b := begin(t, 200*time.Millisecond)
		a.set(func() { a.mute = true })
		p.invite("c1")
		p.expect("100")
		h.announce("b", b.addr(), &contract.SIPNodeRecord{})
		second(t, h, p, a, b)
	})
	t.Run("node says 503", func(t *testing.T) {
		h, p, a, b := begin(t, 20*time.Second)
		a.set(func() { a.hold = true })
		p.invite("c1")
		p.expect("180")
		h.announce("b", b.addr(), &contract.SIPNodeRecord{})
		a.finish(a.last("INVITE"), 503)
		second(t, h, p, a, b)
		eventually(t, "a got its ACK", func() bool { return slices.Equal(a.methods("c1"), []string{"INVITE", "ACK"}) })
	})
	t.Run("node dies while it rings", func(t *testing.T) {
		h, p, a, b := begin(t, 20*time.Second)
		a.set(func() { a.hold = true })
		p.invite("c1")
		p.expect("180")
		h.announce("b", b.addr(), &contract.SIPNodeRecord{})
		h.kill("a")
		second(t, h, p, a, b)
	})
	t.Run("every node says 503", func(t *testing.T) {
		h, p, a, b := begin(t, 20*time.Second)
		a.set(func() { a.status = 503 })
		b.set(func() { b.status = 503 })
		h.announce("b", b.addr(), &contract.SIPNodeRecord{})
		p.invite("c1")
		p.expect("503")
	})
	t.Run("a refusal is not tried again", func(t *testing.T) {
		h, p, a, b := begin(t, 20*time.Second)
		a.set(func() { a.status = 486 })
		b.set(func() { b.status = 486 })
		h.announce("b", b.addr(), &contract.SIPNodeRecord{})
		p.invite("c1")
		p.expect("486")
		if n := len(a.methods("c1")) + len(b.methods("c1")); n > 2 { // INVITE and ACK of one node
			t.Errorf("a %v, b %v", a.methods("c1"), b.methods("c1"))
		}
	})
}

func TestCapacity(t *testing.T) {
	h := start(t, nil)
	a := newRemoteNode(t, "a")
	h.announce("a", a.addr(), &contract.SIPNodeRecord{Capacity: 3, Calls: 1})
	p := dial(t, "udp", h.address("udp"))
	for i, want := range []string{"200", "200", "503"} { // two more fit, though no new record came
		p.invite(fmt.Sprint("c", i))
		p.expect(want)
	}
	if v := h.metric("sipproxy_sip_node_is_capacity_available", "sip_node_id=a"); v != 0 {
		t.Errorf("capacity available = %v", v)
	}
	h.announce("a", a.addr(), &contract.SIPNodeRecord{Capacity: 3, Calls: 2})
	p.invite("c9")
	p.expect("200")
}

func TestChooseSpreadsByFreeCapacity(t *testing.T) {
	var own atomic.Int64
	table := newNodeTable("self", func() sipua.Load { return sipua.Load{Calls: int(own.Load()), Capacity: 1000} })
	table.put(&sipNode{id: "big", sip: true, capacity: 3000})
	table.put(&sipNode{id: "full", sip: true, capacity: 10, calls: 10})
	table.put(&sipNode{id: "leaving", sip: true, capacity: 1000, draining: true})
	if n := table.choose(nil); !n.local {
		t.Errorf("of equals %q was chosen, not the node of this process", n.id)
	}
	for range 2000 {
		if n := table.choose(nil); n.local {
			own.Add(1)
		} else {
			n.assigned.Add(1)
		}
	}
	self, big := own.Load(), table.get("big").assigned.Load()
	if self+big != 2000 || self < 400 || self > 600 {
		t.Errorf("self got %d, big %d; want a quarter and three", self, big)
	}
	if n := table.choose([]string{"self", "big"}); n != nil {
		t.Errorf("chose %q of what must not be chosen", n.id)
	}
	own.Store(1000)
	table.get("big").assigned.Store(3000)
	if n := table.choose(nil); n == nil || !n.local {
		t.Errorf("nobody has room, and %v is to say so; want the node of this process", n)
	}
	table.put(&sipNode{id: "big", sip: true, capacity: 3000})
	table.put(&sipNode{id: "mute", sip: true})
	table.get("mute").silent.Store(true)
	for range 100 {
		if n := table.choose(nil); n.id != "big" {
			t.Fatalf("chose %q, which is full or has just said nothing", n.id)
		}
	}
	if n := table.choose([]string{"self", "big"}); n == nil || n.id != "mute" {
		t.Errorf("chose %v; the silent one is better than none", n)
	}
}

// TestOrderWithinADialog floods many dialogs at once with requests that do not wait for answers.
func TestOrderWithinADialog(t *testing.T) {
	node := newLocalNode()
	h := start(t, func(o *Options) { o.Node = node })
	const dialogs, infos = 20, 30
	var wg sync.WaitGroup
	for d := range dialogs {
		p := dial(t, "tcp", h.address("tcp"))
		wg.Go(func() {
			c := p.invite(fmt.Sprint("d", d))
			c.answered()
			c.request("ACK")
			for range infos {
				c.request("INFO")
			}
			c.request("BYE")
			for range infos + 1 {
				p.expect("200")
			}
		})
	}
	wg.Wait()
	for d := range dialogs {
		id := fmt.Sprint("d", d)
		want := append([]string{"INVITE", "ACK"}, slices.Repeat([]string{"INFO"}, infos)...)
		if got := node.methods(id); !slices.Equal(got, append(want, "BYE")) {
			t.Fatalf("%s: %v", id, got)
		}
		last := uint32(0)
		node.mu.Lock()
		for _, r := range node.requests {
			if r.CallID().Value() == id && !r.IsAck() {
				if n := r.CSeq().SeqNo; n <= last {
					t.Errorf("%s: CSeq %d after %d", id, n, last)
				} else {
					last = n
				}
			}
		}
		node.mu.Unlock()
	}
}

func TestNodesAreToldWhoAsksAndStrangersCannotSayIt(t *testing.T) {
	node := newLocalNode()
	h := start(t, func(o *Options) { o.Node = node })
	p := dial(t, "tcp", h.address("tcp"))
	p.invite("c1", "X-Parley-Tenant: forged", "x-parley-source: forged", "Route: <sip:10.9.9.9;lr>")
	p.expect("200")
	node.mu.Lock()
	defer node.mu.Unlock()
	m := node.requests[0]
	if text := m.String(); strings.Contains(text, "forged") || m.GetHeader(sipua.HeaderSource).Value() != "tcp:"+p.addr() || m.Route() != nil {
		t.Errorf("the node got\n%s", text)
	}
	if m.MaxForwards().Val() != 69 {
		t.Errorf("Max-Forwards = %d", m.MaxForwards().Val())
	}
}

// callOut lets the local node call a phone by the token of its flow.
func callOut(t *testing.T, h *house, flow sipua.Flow, phoneAddr, id, method string, route []string, on func(*sip.Response, error)) sipua.ClientTx {
	t.Helper()
	req := outRequest(t, h, flow, phoneAddr, id, method, route)
	tx, err := h.s.Send(req, on)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func outRequest(t *testing.T, h *house, flow sipua.Flow, phoneAddr, id, method string, route []string) *sip.Request {
	t.Helper()
	if route == nil {
		route = []string{"<sip:" + h.s.tokens.Load().Encode(flow) + "@" + h.address("udp") + ";lr>"}
	}
	lines := []string{method + " sip:1001@" + phoneAddr + " SIP/2.0", "Via: SIP/2.0/UDP node.invalid;branch=z9hG4bKn" + id + method, "Max-Forwards: 70"}
	for _, r := range route {
		lines = append(lines, "Route: "+r)
	}
	to := "<sip:1001@demo.local>"
	if method != "INVITE" {
		to += ";tag=phone"
	}
	msg, err := sip.ParseMessage(text(append(lines, "From: <sip:9000@demo.local>;tag=n", "To: "+to, "Call-ID: "+id, "CSeq: 1 "+method, "Contact: <sip:node@127.0.0.1:1>", "Content-Length: 0")...))
	if err != nil {
		t.Fatal(err)
	}
	return msg.(*sip.Request)
}

// answer makes p answer m as a phone does.
func (p *phone) answer(m *wire.Message, status int, to string) {
	p.t.Helper()
	out := wire.AppendAnswer(nil, m, status, "", addrPort(to), []byte("phone"))
	for rr := range m.Values(wire.RecordRoute) {
		out = wire.AppendHeader(out, "Record-Route", string(rr))
	}
	out = wire.AppendHeader(out, "Contact", "<sip:1001@"+p.addr()+">")
	if _, err := p.conn.Write(wire.AppendEnd(out)); err != nil {
		p.t.Fatal(err)
	}
}

func TestNodeCallsPhone(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			node := newLocalNode()
			h := start(t, func(o *Options) { o.Node = node })
			p := dial(t, network, h.address(network))
			p.send(p.registerLines(1)...)
			p.expect("200")
			h.mu.Lock()
			r := h.registered[0]
			h.mu.Unlock()
			flow := sipua.Flow{Door: "n1", Transport: transport.Transport(r.Transport), ID: r.Flow, Remote: r.Source, Node: "n1"}
			answers := make(chan *sip.Response, 4)
			callOut(t, h, flow, p.addr(), "o1", "INVITE", nil, func(res *sip.Response, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				answers <- res
			})
			m := p.expect("INVITE")
			p.answer(m, 200, h.address(network))
			res := <-answers
			if res.StatusCode != 200 || res.Via() == nil || res.Via().Host != "node.invalid" {
				t.Fatalf("the node got\n%s", res)
			}
			var route []string
			for _, rr := range res.GetHeaders("Record-Route") {
				route = append([]string{rr.Value()}, route...)
			}
			if err := h.s.SendAck(outRequest(t, h, flow, p.addr(), "o1", "ACK", route)); err != nil {
				t.Fatal(err)
			}
			p.expect("ACK")
			// The phone hangs up by its route set: to the node of the dialog.
			c := &call{p: p, id: "o1", to: "<sip:9000@demo.local>;tag=n", target: "sip:node@127.0.0.1:1"}
			for rr := range m.Values(wire.RecordRoute) {
				c.route = append(c.route, string(rr))
			}
			c.request("BYE")
			p.expect("200")
			eventually(t, "the node got the BYE", func() bool { return slices.Equal(node.methods("o1"), []string{"BYE"}) })
		})
	}
}

func TestNodeCancelsItsCall(t *testing.T) {
	h := start(t, func(o *Options) { o.Node = newLocalNode() })
	p := dial(t, "udp", h.address("udp"))
	answers := make(chan int, 4)
	tx := callOut(t, h, sipua.Flow{Door: "n1", Transport: transport.UDP, Remote: addrPort(p.addr()), Node: "n1"}, p.addr(), "o1", "INVITE", nil,
		func(res *sip.Response, _ error) { answers <- res.StatusCode })
	invite := p.expect("INVITE")
	p.answer(invite, 180, h.address("udp"))
	if got := <-answers; got != 180 {
		t.Fatalf("first answer %d", got)
	}
	tx.Cancel("")
	p.answer(p.expect("CANCEL"), 200, h.address("udp"))
	p.answer(invite, 487, h.address("udp"))
	if got := <-answers; got != 487 {
		t.Errorf("after the CANCEL %d", got)
	}
	p.expect("ACK")
}

func TestRemoteNodeCallsPhone(t *testing.T) {
	h := start(t, nil)
	a := newRemoteNode(t, "a")
	h.announce("a", a.addr(), &contract.SIPNodeRecord{})
	p := dial(t, "tcp", h.address("tcp"))
	p.send(p.registerLines(1)...)
	p.expect("200")
	h.mu.Lock()
	r := h.registered[0]
	h.mu.Unlock()
	token := h.s.tokens.Load().Encode(sipua.Flow{Door: "n1", Transport: transport.TCP, ID: r.Flow, Remote: r.Source, Node: "a"})
	a.send(text("INVITE sip:1001@"+p.addr()+" SIP/2.0", "Via: SIP/2.0/UDP "+a.addr()+";branch=z9hG4bKout", a.passTo(h, "o2"), "Route: <sip:"+token+"@"+h.address("udp")+";lr>",
		"From: <sip:9000@demo.local>;tag=n", "To: <sip:1001@demo.local>", "Call-ID: o2", "CSeq: 1 INVITE", "X-Parley-Tenant: inside", "Content-Length: 0"), addrPort(h.address("udp")))
	m := p.expect("INVITE")
	if strings.Contains(string(m.Data), "X-Parley") {
		t.Errorf("the phone got\n%s", m.Data)
	}
	p.answer(m, 200, h.address("tcp"))
	eventually(t, "the node got the answer", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.ContainsFunc(a.seen, func(m *wire.Message) bool { return m.Status() == 200 })
	})
	c := &call{p: p, id: "o2", to: "<sip:9000@demo.local>;tag=n", target: "sip:node@" + a.addr()}
	for rr := range m.Values(wire.RecordRoute) {
		c.route = append(c.route, string(rr))
	}
	if len(c.route) != 2 {
		t.Errorf("Record-Route from UDP to TCP: %v", c.route)
	}
	c.request("BYE")
	p.expect("200")
	if got := a.methods("o2"); !slices.Equal(got, []string{"BYE"}) {
		t.Errorf("the node got %v", got)
	}
}

// TestNoRelay: a stranger gets nothing sent to anybody, whatever Route he writes.
func TestNoRelay(t *testing.T) {
	node := newLocalNode()
	h := start(t, func(o *Options) { o.Node = node })
	victim, p := dial(t, "udp", h.address("udp")), dial(t, "udp", h.address("udp"))
	foreign := sipua.NewTokens([]byte("another key")).Encode(sipua.Flow{Door: "n1", Transport: transport.UDP, Remote: addrPort(victim.addr())})
	ours := h.s.tokens.Load().Encode(sipua.Flow{Door: "n1", Transport: transport.UDP, Remote: addrPort(victim.addr()), Node: "n1"})
	for i, route := range []string{"<sip:" + victim.addr() + ";lr>", "<sip:" + foreign + "@" + h.address("udp") + ";lr>", "<sip:" + ours + "@" + h.address("udp") + ";lr>"} {
		c := &call{p: p, id: fmt.Sprint("r", i), to: "<sip:x@" + victim.addr() + ">", target: "sip:x@" + victim.addr(), route: []string{route}}
		c.request("INVITE")
		p.expect("200") // from the node: that is where everything from outside goes
	}
	victim.silent(100 * time.Millisecond)
}

func TestLoopAndFlowFailure(t *testing.T) {
	node := newLocalNode()
	h := start(t, func(o *Options) { o.Node = node })
	a := newRemoteNode(t, "a")
	h.announce("a", a.addr(), &contract.SIPNodeRecord{})
	node.mu.Lock()
	node.load.Draining = true // so that a is chosen
	node.mu.Unlock()
	p := dial(t, "udp", h.address("udp"))
	a.set(func() { a.mute = true })
	p.invite("c1")
	p.expect("100")
	eventually(t, "the node has it", func() bool { return a.last("INVITE") != nil })
	// The node sends it back as it came: its own Via on top, and ours below.
	back := regexp.MustCompile(`Route: <sip:Ag[^\r]*\r\n`).ReplaceAllString(string(a.last("INVITE").Data), "")
	back = strings.Replace(back, "\r\nVia:", "\r\nVia: SIP/2.0/UDP "+a.addr()+";branch=z9hG4bKback\r\nVia:", 1)
	a.send([]byte(back), addrPort(h.address("udp")))
	eventually(t, "the loop is found", func() bool { return h.metric("parley_sipproxy_loops_total") == 1 })

	gone := make(chan int, 1)
	callOut(t, h, sipua.Flow{Door: "n1", Transport: transport.TCP, ID: "no-such-flow", Node: "n1"}, "127.0.0.1:9", "o1", "INVITE", nil,
		func(res *sip.Response, _ error) { gone <- res.StatusCode })
	if got := <-gone; got != 430 {
		t.Errorf("a flow that is gone: %d, want 430", got)
	}
}
