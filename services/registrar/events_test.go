package registrar

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/contract"
	"parley/internal/voice"
)

const second = time.Second

func TestExpiry(t *testing.T) {
	n, p := newNode(t, nil)
	ev := p.events()
	ph := n.phone("1001")
	if resp := ph.register("600", "<"+a1+">;expires=60", a2); resp.Status != 200 {
		t.Fatal(resp)
	}
	ev.expect(t, "1001", "BackInService/registered")
	p.clock.Add(61 * second)
	eventually(t, "the first contact ends", func() bool { _, c := n.Totals(); return c == 1 })
	if got := ph.register(""); !slices.Equal(contactsOf(got), []string{a2}) {
		t.Errorf("in force: %q, want %q", contactsOf(got), a2)
	}
	if resp := ph.register("600", a2); resp.Status != 200 { // refreshed before it ends
		t.Fatal(resp)
	}
	p.clock.Add(550 * second)
	n.expire(t.Context())
	if got := ev.of("1001"); len(got) != 1 {
		t.Errorf("events after the refresh: %v", got)
	}
	p.clock.Add(60 * second)
	ev.expect(t, "1001", "BackInService/registered", "OutOfService/expired")
	if r, c := n.Totals(); r != 0 || c != 0 {
		t.Errorf("%d numbers with %d contacts, want none", r, c)
	}
	if resp := ph.register("600", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	ev.expect(t, "1001", "BackInService/registered", "OutOfService/expired", "BackInService/registered")
}

// TestRefreshAfterTheEnd is a phone that is a moment late: in service it was and is, so there is nothing to say.
func TestRefreshAfterTheEnd(t *testing.T) {
	p := newPlatform(t, t.TempDir())
	ev := p.events()
	writer := p.node("n1", nil)
	if resp := writer.phone("1001").register("60", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	writer.stop()
	n := p.node("n2", nil)
	p.clock.Add(62 * second) // ended, and not yet this node's to bury
	ph := n.phone("1001")
	ph.callID = "later"
	if resp := ph.register("60", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	if b := n.bindings("demo", "1001"); len(b) != 1 || time.Since(b[0].Since) > 0 {
		t.Errorf("bindings: %+v, want one that is new", b)
	}
	if resp := n.phone("1002").register("60", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	ev.expect(t, "1002", "BackInService/registered")
	ev.expect(t, "1001", "BackInService/registered")
}

func TestRemovals(t *testing.T) {
	n, p := newNode(t, nil)
	ev := p.events()
	for i := 1; i <= 5; i++ {
		ph := n.phone(strconv.Itoa(1000 + i))
		ph.change = func(r *contract.RegisterRequest) { r.Transport, r.Flow = "tcp", "flow"+strconv.Itoa(i/2) } // 2 and 3 share one
		if resp := ph.register("600", a1); resp.Status != 200 {
			t.Fatal(resp)
		}
	}
	// by hand, one contact and then the rest
	ph := n.phone("1001")
	if resp := ph.register("600", a2); resp.Status != 200 {
		t.Fatal(resp)
	}
	left, err := n.RemoveBindings(t.Context(), contract.RemoveBindingsRequest{Tenant: "demo", DN: "1001", Contact: a1 + ";x=y"})
	if err != nil || len(left.Bindings) != 1 || left.Bindings[0].Contact != a2 {
		t.Errorf("RemoveBindings of one = %+v, %v", left, err)
	}
	if left, err = n.RemoveBindings(t.Context(), contract.RemoveBindingsRequest{Tenant: "demo", DN: "1001"}); err != nil || len(left.Bindings) != 0 {
		t.Errorf("RemoveBindings of all = %+v, %v", left, err)
	}
	if _, err = n.RemoveBindings(t.Context(), contract.RemoveBindingsRequest{Tenant: "demo", DN: "1001"}); voice.CodeOf(err) != "not_found" {
		t.Errorf("RemoveBindings of nothing = %v, want not found", err)
	}
	ev.expect(t, "1001", "BackInService/registered", "OutOfService/removed")

	// a lost connection takes all that came over it, and nothing else
	if _, err := n.FlowClosed(t.Context(), contract.FlowClosedRequest{Node: "other", Flow: "flow1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.FlowClosed(t.Context(), contract.FlowClosedRequest{Node: "n1", Flow: "flow1"}); err != nil {
		t.Fatal(err)
	}
	ev.expect(t, "1002", "BackInService/registered", "OutOfService/connection-lost")
	ev.expect(t, "1003", "BackInService/registered", "OutOfService/connection-lost")

	// a number that is deleted, and one that gets a fixed contact
	p.tell(p.config.delete("demo", voice.KindDN, "1004"))
	ev.expect(t, "1004", "BackInService/registered", "OutOfService/removed")
	p.tell(p.config.putDN("demo", voice.DN{Number: "1005", Type: voice.DNExtension, Options: map[string]map[string]string{"TServer": {"contact": "sip:10.0.0.1"}}}))
	ev.expect(t, "1005", "BackInService/registered", "OutOfService/removed")
	if r, c := n.Totals(); r != 0 || c != 0 {
		t.Errorf("%d numbers with %d contacts, want none", r, c)
	}
	for i := range n.index.shards {
		if sh := &n.index.shards[i]; len(sh.flows)+len(sh.more)+len(sh.due) > 0 {
			t.Errorf("shard %d keeps %d flows, %d more, %d due", i, len(sh.flows), len(sh.more), len(sh.due))
		}
	}
}

// TestReconnect is a phone that comes back over a new connection before the old one is known to be gone.
func TestReconnect(t *testing.T) {
	n, p := newNode(t, nil)
	ev := p.events()
	ph := n.phone("1001")
	for _, flow := range []string{"old", "new"} {
		ph.change = func(r *contract.RegisterRequest) { r.Transport, r.Flow = "tls", flow }
		if resp := ph.register("600", `<sip:1001@10.0.0.7;transport=tls>;+sip.instance="<urn:uuid:7>";reg-id=1`); resp.Status != 200 {
			t.Fatal(resp)
		}
	}
	if _, err := n.FlowClosed(t.Context(), contract.FlowClosedRequest{Node: "n1", Flow: "old"}); err != nil {
		t.Fatal(err)
	}
	if b := n.bindings("demo", "1001"); len(b) != 1 || b[0].Flow != "new" || b[0].Instance != "<urn:uuid:7>" {
		t.Errorf("bindings: %+v, want one over the new connection", b)
	}
	ev.expect(t, "1001", "BackInService/registered")
}

// TestCluster has two nodes serve the same numbers: nothing is lost, and each event is published once.
func TestCluster(t *testing.T) {
	p := newPlatform(t, t.TempDir())
	ev := p.events()
	nodes := []*node{p.node("n1", nil), p.node("n2", nil)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ph := nodes[i%2].phone("1001")
			ph.callID = "call" + strconv.Itoa(i)
			ph.source = fmt.Sprintf("127.0.0.%d:5060", 10+i)
			if resp := ph.register("600", fmt.Sprintf("sip:1001@127.0.0.%d", 10+i)); resp.Status != 200 {
				t.Errorf("phone %d: %+v", i, resp)
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		eventually(t, "eight contacts on "+n.Service.node, func() bool { return len(n.bindings("demo", "1001")) == 8 })
	}
	ev.expect(t, "1001", "BackInService/registered")
	if a, b := nodes[0].bindings("demo", "1001"), nodes[1].bindings("demo", "1001"); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("the nodes differ:\n%v\n%v", a, b)
	}
	ph := nodes[1].phone("1001")
	if resp := ph.register("0", "*"); resp.Status != 200 {
		t.Fatal(resp)
	}
	eventually(t, "gone everywhere", func() bool { r, c := nodes[0].Totals(); return r == 0 && c == 0 })
	ev.expect(t, "1001", "BackInService/registered", "OutOfService/unregistered")

	// Both are past the end of it, both try; one event.
	if resp := ph.register("60", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	eventually(t, "known to both", func() bool { return len(nodes[0].bindings("demo", "1001")) == 1 })
	p.clock.Add(60*second + takeOver + second)
	wg.Go(func() { nodes[0].expire(t.Context()) })
	wg.Go(func() { nodes[1].expire(t.Context()) })
	wg.Wait()
	want := []string{"BackInService/registered", "OutOfService/unregistered", "BackInService/registered", "OutOfService/expired"}
	ev.expect(t, "1001", want...)
	if resp := nodes[0].phone("1002").register("60", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	ev.expect(t, "1002", "BackInService/registered") // what came before it on the stream is all there is
	ev.expect(t, "1001", want...)
}

// TestDeadNode: the node that wrote a registration dies; another says when it ends.
func TestDeadNode(t *testing.T) {
	p := newPlatform(t, t.TempDir())
	ev := p.events()
	one, two := p.node("n1", nil), p.node("n2", nil)
	if resp := one.phone("1001").register("60", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	eventually(t, "known to the other", func() bool { return len(two.bindings("demo", "1001")) == 1 })
	one.stop()
	p.clock.Add(61 * second)
	two.expire(t.Context())
	if got := ev.of("1001"); len(got) != 1 {
		t.Errorf("events before the other's time: %v", got)
	}
	if len(two.bindings("demo", "1001")) != 0 {
		t.Error("an ended contact is still shown")
	}
	p.clock.Add(takeOver)
	ev.expect(t, "1001", "BackInService/registered", "OutOfService/expired")
}

// TestRestart stops everything and starts it again on the same files: what is in force is still there, and what ended
// meanwhile, or was deleted, is said.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		n, _ := newNodeIn(t, dir)
		for i, lease := range []string{"7200", "60", "7200"} {
			if resp := n.phone(strconv.Itoa(1001+i)).register(lease, a1); resp.Status != 200 {
				t.Fatal(resp)
			}
		}
	})
	p := newPlatform(t, dir)
	p.clock.Add(time.Hour)
	p.config.delete("demo", voice.KindDN, "1003")
	ev := p.events()
	n := p.node("n1", nil)
	b := n.bindings("demo", "1001")
	if len(b) != 1 || b[0].Contact != a1 || b[0].Received != local || b[0].CallID != "call-1001" || b[0].UserAgent != "test/1.0" {
		t.Errorf("after the restart: %+v", b)
	}
	ev.expect(t, "1001", "BackInService/registered")
	ev.expect(t, "1002", "BackInService/registered", "OutOfService/expired")
	ev.expect(t, "1003", "BackInService/registered", "OutOfService/removed")
}

func newNodeIn(t testing.TB, dir string) (*node, *platform) {
	p := newPlatform(t, dir)
	return p.node("n1", nil), p
}

// TestEventOfTheDead: a node stored a registration and died before its event was. The next one to start publishes it.
func TestEventOfTheDead(t *testing.T) {
	p := newPlatform(t, t.TempDir())
	ev := p.events()
	p.mute = true
	mute := p.node("n1", nil)
	p.mute = false
	if resp := mute.phone("1001").register("600", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	mute.stop()
	if got := ev.of("1001"); len(got) != 0 {
		t.Fatalf("events of a mute node: %v", got)
	}
	p.node("n2", nil)
	ev.expect(t, "1001", "BackInService/registered")
	p.node("n3", nil) // and only once
	late := p.node("n4", nil)
	if resp := late.phone("1002").register("600", a1); resp.Status != 200 {
		t.Fatal(resp)
	}
	ev.expect(t, "1002", "BackInService/registered")
	ev.expect(t, "1001", "BackInService/registered")
}

// TestStorm ends many registrations in the same second.
func TestStorm(t *testing.T) {
	const count = 3000
	p := newPlatform(t, t.TempDir())
	ev := p.events()
	p.dir = newCrowd(count)
	n := p.node("n1", nil)
	fill(t, n.Service, count, time.Hour)
	if r, c := n.Totals(); r != count || c != count {
		t.Fatalf("%d numbers with %d contacts, want %d", r, c, count)
	}
	p.clock.Add(time.Hour + second)
	eventually(t, "all have ended", func() bool {
		ev.mu.Lock()
		defer ev.mu.Unlock()
		return len(ev.got) == 2*count
	})
	if r, c := n.Totals(); r != 0 || c != 0 {
		t.Errorf("%d numbers with %d contacts, want none", r, c)
	}
	if lost := testutil.ToFloat64(n.metrics.eventsLost); lost != 0 {
		t.Errorf("%v events lost", lost)
	}
}

func TestRegistrationPages(t *testing.T) {
	n, _ := newNode(t, nil)
	for i := range 10 {
		if resp := n.phone(strconv.Itoa(1001+i)).register("600", a1); resp.Status != 200 {
			t.Fatal(resp)
		}
	}
	acme := n.phone("1001")
	acme.host = "acme.example"
	if resp := acme.register("600", a1, a2); resp.Status != 200 {
		t.Fatal(resp)
	}
	tests := []struct {
		req   contract.RegistrationsRequest
		want  []string
		total int
		next  string
	}{
		{contract.RegistrationsRequest{Limit: 3}, []string{"acme/1001", "demo/1001", "demo/1002"}, 11, "demo/1002"},
		{contract.RegistrationsRequest{Limit: 3, After: "demo/1002"}, []string{"demo/1003", "demo/1004", "demo/1005"}, 11, "demo/1005"},
		{contract.RegistrationsRequest{Tenant: "demo", After: "demo/1008"}, []string{"demo/1009", "demo/1010"}, 10, ""},
		{contract.RegistrationsRequest{Tenant: "demo", Match: "10", Limit: 1, After: "demo/1009"}, []string{"demo/1010"}, 10, ""},
		{contract.RegistrationsRequest{Match: "1001"}, []string{"acme/1001", "demo/1001"}, 2, ""},
		{contract.RegistrationsRequest{Tenant: "nobody"}, nil, 0, ""},
	}
	for _, tt := range tests {
		got, err := n.Registrations(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, r := range got.Registrations {
			keys = append(keys, r.Tenant+"/"+r.DN)
		}
		if !slices.Equal(keys, tt.want) || got.Total != tt.total || got.Next != tt.next || got.Contacts != 12 {
			t.Errorf("Registrations(%+v) = %v, total %d, next %q, contacts %d; want %v, %d, %q, 12", tt.req, keys, got.Total, got.Next, got.Contacts, tt.want, tt.total, tt.next)
		}
	}
	for _, bad := range []contract.RegistrationsRequest{{Limit: -1}, {Limit: 1001}, {After: "x"}} {
		if _, err := n.Registrations(t.Context(), bad); voice.CodeOf(err) != "invalid" {
			t.Errorf("Registrations(%+v) = %v, want invalid", bad, err)
		}
	}
}

// TestWaitersAreBounded: requests for a number whose write hangs do not pile up.
func TestWaitersAreBounded(t *testing.T) {
	s := bareService(t, newCrowd(1), nil)
	a, _ := s.index.acquire(aorKey{s.index.tenant("demo"), "100000"}, -1)
	a.write.Lock()
	var wg sync.WaitGroup
	answers := make(chan int, 100)
	for i := range 100 {
		wg.Go(func() {
			r := benchRequest("100000", uint32(i+1))
			r.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 3, byte(i)}), 5060)
			sign(s, r, "100000")
			resp, _ := s.Register(t.Context(), r)
			answers <- resp.Status
		})
	}
	for range 100 - maxHolders + 1 { // a.write counts as one holder
		if got := <-answers; got != 503 {
			t.Errorf("status %d while the write hangs, want 503", got)
		}
	}
	a.write.Unlock()
	wg.Wait()
	s.index.release(a)
	if got := a.holders; got != 0 {
		t.Errorf("%d holders left", got)
	}
}
