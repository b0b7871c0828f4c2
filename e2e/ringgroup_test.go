package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"parley/internal/voice"
)

// Ring groups with scripted phones on real sockets: all at once, in turn with an overflow, and who is least loaded.
func TestRingGroups(t *testing.T) {
	t.Parallel()
	p, _ := basic(t, "groups")
	groups := provision(t, `tenants:
  - name: demo
    dns:
      - {number: "7001", type: ring-group, ring_group: {members: [{dn: "1002"}, {dn: "1003"}]}}
      - {number: "7002", type: ring-group, ring_group: {strategy: sequential, ring_seconds: 1, overflow: "1004", members: [{dn: "1002"}, {dn: "1003"}]}}
      - {number: "7003", type: ring-group, ring_group: {strategy: least-loaded, members: [{dn: "1002"}, {dn: "1003"}]}}
`)
	if out, code := p.cli("apply", "-f", groups); code != 0 {
		t.Fatalf("apply: %s", out)
	}
	a, b, c, d := scripted(t, p, "1001"), scripted(t, p, "1002"), scripted(t, p, "1003"), scripted(t, p, "1004")

	t.Run("all at once", func(t *testing.T) {
		out := a.Call("7001", sdpOf(1))
		one, two := b.AwaitCall(), c.AwaitCall()
		one.Reply(one.Invite, 180, "")
		out.Await(180)
		two.Reply(two.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		cancel := one.Request("CANCEL")
		if r := cancel.Get("Reason"); !strings.Contains(r, "completed elsewhere") {
			t.Errorf("the phone that lost reads Reason %q", r)
		}
		one.Reply(cancel, 200, "")
		one.Reply(one.Invite, 487, "")
		one.Request("ACK")
		two.Request("ACK")
		hungUp(out, two)
		if r := recorded(t, p, "1001", voice.OutcomeAnswered); r.Answered != "1003" || r.Dialled != "7001" {
			t.Errorf("record %+v", r)
		}
	})
	t.Run("in turn, and on", func(t *testing.T) {
		out := a.Call("7002", sdpOf(1))
		one := b.AwaitCall()
		one.Reply(one.Invite, 486, "")
		one.Request("ACK")
		two := c.AwaitCall()
		two.Reply(two.Invite, 180, "")
		cancel := two.Request("CANCEL") // after its second
		two.Reply(cancel, 200, "")
		two.Reply(two.Invite, 487, "")
		two.Request("ACK")
		last := d.AwaitCall()
		last.Reply(last.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		last.Request("ACK")
		hungUp(out, last)
	})
	t.Run("who is in a call is passed over", func(t *testing.T) {
		busy := watching(t, a, "1002")
		out, in := connected(t, d, b)
		busy.shows("recipient confirmed sip:1004@demo.local") // so the node knows
		call := a.Call("7003", sdpOf(1))
		two := c.AwaitCall()
		two.Reply(two.Invite, 200, sdpOf(1))
		call.Ack(call.Await(200), "")
		two.Request("ACK")
		hungUp(call, two)
		hungUp(out, in)
	})
	res, err := http.Get("http://" + p.address("sip", "http") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`call_ring_group_results_total{error="",has_balancer="false",mode="parallel",result="answered"} 1`,
		`call_ring_group_results_total{error="",has_balancer="false",mode="sequential",result="no_answer"} 1`,
		`call_ring_group_results_total{error="",has_balancer="true",mode="sequential",result="answered"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s", want)
		}
	}
}
