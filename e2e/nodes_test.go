package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/voice"
)

const nodeSecret = "secret-of-the-phones"

// pair starts two nodes of one platform on this machine: "a" with everything, "b" with a front door and a SIP node. They differ in
// nothing but their data directories and ports. The numbers 1001 to 1009 are there.
func pair(t testing.TB, more string) (a, b *platform) {
	t.Helper()
	var dns strings.Builder
	for n := 1001; n < 1010; n++ {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", n, nodeSecret)
	}
	file := provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
		"    persons: [{username: admin, password: cluster-admin-secret, roles: [system]}]\n")
	const login = "user: node, password: between-nodes"
	a = start(t, "a", "fabric: {listen: \"127.0.0.1:0\", "+login+"}\n"+more, "--provision", file)
	b = prepare(t, "b", fmt.Sprintf("fabric: {url: \"nats://%s\", %s}\n", a.address("rq", "nats"), login)+more)
	b.env = append(b.env, "PARLEY_NODE_SERVICES=sipproxy,sip")
	b.run()
	for _, p := range []*platform{a, b} {
		peer.Poll(t, 15*time.Second, func() error {
			s, err := p.askStatus()
			if err == nil && len(s.Peers) != 1 {
				err = fmt.Errorf("%s knows %v", s.Node, s.Peers)
			}
			return err
		})
	}
	return a, b
}

// agent is a scripted phone registered at a node.
func agent(t testing.TB, p *platform, number, transport string) *phone.Agent {
	t.Helper()
	a := phone.NewAgent(&phone.Phone{Line: dial(t, p, transport), User: number, Password: nodeSecret, Domain: "demo.local"})
	t.Cleanup(a.Close)
	if err := a.Register(600); err != nil {
		t.Fatal(err)
	}
	return a
}

// talk is a call between two scripted phones that has been answered.
type talk struct {
	t              testing.TB
	out, in        *phone.Call
	caller, callee *phone.Audio
}

// connect makes from call to, which answers, and waits until the caller has it.
func connect(t testing.TB, from, to *phone.Agent) *talk {
	t.Helper()
	k := &talk{t: t, caller: phone.OpenAudio(t), callee: phone.OpenAudio(t)}
	k.out = from.Dial(to.Number(), k.caller.Offer("sendrecv"))
	select {
	case k.in = <-to.Incoming:
	case <-time.After(20 * time.Second):
		t.Fatalf("the call of %s does not reach %s: %d", from.Number(), to.Number(), k.out.Final(time.Millisecond))
	}
	k.in.Ring()
	if err := k.in.Answer(k.callee.Offer("sendrecv")); err != nil {
		t.Fatal(err)
	}
	if status := k.out.Final(20 * time.Second); status != 200 {
		t.Fatalf("the call of %s ended with %d", from.Number(), status)
	}
	return k
}

// heard checks that what one side says now reaches the other.
func (k *talk) heard() {
	k.t.Helper()
	for _, way := range []struct {
		from, to *phone.Audio
		sdp      string
	}{{k.caller, k.callee, k.out.SDP()}, {k.callee, k.caller, k.in.SDP()}} {
		rtp, _, err := phone.Ends(way.sdp)
		if err != nil {
			k.t.Fatal(err)
		}
		before := len(way.to.Got())
		peer.Poll(k.t, 10*time.Second, func() error {
			way.from.Say(rtp, make([]byte, 160))
			if len(way.to.Got()) == before {
				return fmt.Errorf("nothing heard at %v", rtp)
			}
			return nil
		})
	}
}

// over waits until both sides know that the call has ended.
func (k *talk) over() {
	k.t.Helper()
	for name, c := range map[string]*phone.Call{"caller": k.out, "callee": k.in} {
		select {
		case <-c.Ended:
		case <-time.After(20 * time.Second):
			k.t.Fatalf("the %s was not told that the call is over", name)
		}
	}
}

// records are the call records of the tenant, once there are n.
func records(t testing.TB, p *platform, n int) []voice.CDR {
	t.Helper()
	var page struct {
		Records []voice.CDR `json:"records"`
	}
	peer.Poll(t, 30*time.Second, func() error {
		if err := json.Unmarshal([]byte(rest(t, p, "cdr", http.MethodGet, "/api/v1/tenants/demo/cdrs?limit=1000", http.StatusOK)), &page); err != nil {
			return err
		}
		if len(page.Records) != n {
			return fmt.Errorf("%d records, want %d", len(page.Records), n)
		}
		return nil
	})
	return page.Records
}

// callsAt waits until a node has so many calls as ok wants.
func callsAt(t testing.TB, p *platform, ok func(int) bool) int {
	t.Helper()
	calls := -1
	peer.Poll(t, 15*time.Second, func() error {
		s, err := p.askStatus()
		if calls = s.Calls; err == nil && !ok(calls) {
			err = fmt.Errorf("%d calls at %s", calls, s.Node)
		}
		return err
	})
	return calls
}

func exactly(n int) func(int) bool { return func(m int) bool { return n == m } }

// Phones of different nodes call each other, whichever node has the call: audio, hold from either side, hanging up by either side and
// by the other node's front door.
func TestCallsAcrossNodes(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "")
	for _, transport := range []string{"udp", "tls"} {
		alice, bob := agent(t, a, "1001", transport), agent(t, b, "1002", "tcp")
		for i := range 6 {
			from, to := alice, bob
			if i%2 == 1 {
				from, to = bob, alice
			}
			k := connect(t, from, to)
			k.heard()
			if s, _ := a.cli("status"); i == 0 && !strings.Contains(s, "calls 1 ") {
				t.Errorf("the status of the cluster does not count the call:\n%s", s)
			}
			for _, side := range []struct {
				call, other *phone.Call
				audio       *phone.Audio
			}{{k.out, k.in, k.caller}, {k.in, k.out, k.callee}} {
				for _, direction := range []string{"sendonly", "sendrecv"} {
					res, err := side.call.Reinvite(side.audio.Offer(direction))
					if err != nil || res.Status != 200 {
						t.Fatalf("%s by re-INVITE: %+v %v", direction, res, err)
					}
					if !strings.Contains(side.other.SDP(), "a="+direction) {
						t.Errorf("the other side was not told %s: %s", direction, side.other.SDP())
					}
				}
			}
			k.heard()
			switch i {
			case 4: // by the front door the phone did not register at
				elsewhere := phone.NewAgent(&phone.Phone{Line: dial(t, b, transport), User: from.Number(), Domain: "demo.local"})
				t.Cleanup(elsewhere.Close)
				k.out.Via(elsewhere)
				fallthrough
			case 0, 1:
				if err := k.out.Bye(); err != nil {
					t.Error(err)
				}
			default:
				if err := k.in.Bye(); err != nil {
					t.Error(err)
				}
			}
			k.over()
		}
		for _, phone := range []*phone.Agent{alice, bob} {
			if err := phone.Register(0); err != nil {
				t.Error(err)
			}
		}
	}
	nodes := map[string]int{}
	for _, r := range records(t, a, 12) {
		nodes[r.Node]++
		if r.Outcome != voice.OutcomeAnswered {
			t.Errorf("a record says %s: %+v", r.Outcome, r)
		}
	}
	if nodes["a"] == 0 || nodes["b"] == 0 {
		t.Errorf("the calls were taken by %v; want both nodes to have had some", nodes)
	}
	for _, p := range []*platform{a, b} {
		callsAt(t, p, exactly(0))
	}
}

// Calls are spread over the nodes; one that stops gets no more and hands on those it has; those of one that is killed go on at the
// other.
func TestCallsWhenNodesStopAndDie(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "calls: {drain: 30s}\nmedia: {ports: 21000-28999}\n")
	alice, bob := agent(t, a, "1001", "udp"), agent(t, a, "1002", "tcp")
	spread := func(n int) (all []*talk) {
		for range n {
			all = append(all, connect(t, alice, bob))
		}
		return all
	}
	standing := spread(20)
	atB := callsAt(t, b, func(n int) bool { return n > 4 && n < 16 })
	callsAt(t, a, exactly(20-atB))

	b.proc.Terminate()
	peer.Poll(t, 10*time.Second, func() error {
		if metrics := scrape(t, a, "sipproxy"); !strings.Contains(metrics, "sipproxy_active_sip_nodes_count 1\n") {
			return fmt.Errorf("the front door of a still gives calls to b")
		}
		return nil
	})
	standing = append(standing, spread(6)...)
	callsAt(t, a, exactly(26))
	for _, k := range standing {
		k.heard()
		if err := k.out.Bye(); err != nil {
			t.Error(err)
		}
		k.over()
	}
	if code := b.proc.Wait(20 * time.Second); code != 0 {
		t.Errorf("b stopped with %d:\n%s", code, b.proc.Output())
	}
	for _, r := range records(t, a, 26) {
		if r.EndedBy != "caller" {
			t.Errorf("a call was ended by %s: %+v", r.EndedBy, r)
		}
	}

	b.run()
	carol := agent(t, b, "1003", "udp")
	peer.Poll(t, 15*time.Second, func() error {
		if !strings.Contains(scrape(t, a, "sipproxy"), "sipproxy_active_sip_nodes_count 2\n") {
			return fmt.Errorf("b is not back")
		}
		return nil
	})
	standing = spread(16)
	callsAt(t, b, func(n int) bool { return n > 2 && n < 14 })
	ringing := alice.Dial("1003", phone.OpenAudio(t).Offer("sendrecv")) // at the front door that dies
	<-carol.Incoming
	saved(t, b) // a call of some milliseconds would be one that is set up still
	b.proc.Kill()
	fresh := spread(4) // the record of b is still there: the first may lose a moment, none is lost
	for _, k := range fresh {
		k.heard()
	}
	if status := ringing.Final(20 * time.Second); status < 400 {
		t.Errorf("a call to a phone at the dead node ended with %d", status)
	}
	for _, k := range append(standing, fresh...) {
		res, err := k.out.Request("BYE", "", "")
		switch {
		case err != nil:
			t.Errorf("BYE: %v", err)
		case res.Status != 200:
			t.Errorf("BYE: %d", res.Status)
		}
	}
	callsAt(t, a, exactly(0))
	if status := alice.Dial("1003", phone.OpenAudio(t).Offer("sendrecv")).Final(20 * time.Second); status/100 != 4 {
		t.Errorf("calling a phone of the dead node: %d", status)
	}
	k := connect(t, alice, agent(t, a, "1003", "udp")) // it comes back at the other door
	if err := k.in.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
}

// scrape is what a service exposes to Prometheus.
func scrape(t testing.TB, p *platform, service string) string {
	t.Helper()
	return rest(t, p, service, http.MethodGet, "/metrics", http.StatusOK)
}
