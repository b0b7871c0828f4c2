package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/books"
	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/voice"
)

// Calls go on when their node is killed: both phones are told where the other one is heard now, whoever has the other on hold
// still has, what phones ask afterwards reaches the node that has the call, and each has one record and events without holes.
func TestCallsSurviveTheirNode(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "")
	alice, bob := agent(t, a, "1001", "udp"), agent(t, a, "1002", "tcp")
	var standing []*talk
	for range 12 {
		standing = append(standing, connect(t, alice, bob))
	}
	held := standing[0]
	if res, err := held.out.Reinvite(held.caller.Offer("sendonly")); err != nil || res.Status != 200 {
		t.Fatalf("hold: %+v %v", res, err)
	}
	atB := callsAt(t, b, func(n int) bool { return n > 2 && n < 10 })
	callsAt(t, a, exactly(12-atB))
	saved(t, b)
	b.proc.Kill()
	callsAt(t, a, exactly(12))
	if res, err := held.out.Reinvite(held.caller.Offer("sendrecv")); err != nil || res.Status != 200 {
		t.Errorf("retrieve: %+v %v", res, err)
	}
	for i, k := range standing {
		k.heard()
		end := k.out
		if i%2 == 1 {
			end = k.in
		}
		if err := end.Bye(); err != nil {
			t.Error(err)
		}
		k.over()
	}
	for _, r := range records(t, a, 12) {
		if r.Outcome != voice.OutcomeAnswered || r.EndedBy == "system" {
			t.Errorf("a record says %s, ended by %s: %s", r.Outcome, r.EndedBy, r.Reason)
		}
	}
	callsAt(t, a, exactly(0))
	if got := scrape(t, a, "sip"); !strings.Contains(got, fmt.Sprintf("\nsipnode_redis_restored_calls_total %d\n", atB)) {
		t.Errorf("%d calls were at b; the metrics of a say otherwise", atB)
	}
	balanced(t, a, "a")
}

// A call that rings when its node is killed rings again under its name, and is answered.
func TestRingingCallSurvivesItsNode(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "")
	alice, bob := agent(t, a, "1001", "udp"), agent(t, a, "1002", "udp")
	var calls []*phone.Call
	atB := func() int { return callsAt(t, b, func(int) bool { return true }) }
	for len(calls) < 8 || atB() == 0 {
		calls = append(calls, alice.Dial("1002", phone.OpenAudio(t).Offer("sendrecv")))
		(<-bob.Incoming).Ring()
		<-calls[len(calls)-1].Ringing
	}
	n := atB()
	saved(t, b)
	b.proc.Kill()
	for range n {
		select {
		case in := <-bob.Incoming:
			in.Ring()
			if err := in.Answer(phone.OpenAudio(t).Offer("sendrecv")); err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a call does not ring again")
		}
	}
	answered := 0
	for _, c := range calls {
		select {
		case <-c.Answered:
			answered++
			if err := c.Bye(); err != nil {
				t.Error(err)
			}
		default:
			c.Cancel()
		}
	}
	if answered != n {
		t.Errorf("%d calls were answered, want the %d that rang again", answered, n)
	}
	records(t, a, len(calls))
	balanced(t, a, "a")
}

// saved waits until a node has written all there is to write of its calls.
func saved(t testing.TB, p *platform) {
	t.Helper()
	peer.Poll(t, 10*time.Second, func() error {
		if metrics := scrape(t, p, "sip"); !strings.Contains(metrics, "\nparley_sip_calls_unsaved 0\n") {
			return fmt.Errorf("calls wait to be written")
		}
		return nil
	})
}

// balanced stops the node and checks what it wrote down of all calls.
func balanced(t testing.TB, p *platform, id string) {
	t.Helper()
	p.proc.Terminate()
	if code := p.proc.Wait(30 * time.Second); code != 0 {
		t.Errorf("%s stopped with %d:\n%s", id, code, p.proc.Output())
	}
	b, err := books.Open(t.Context(), filepath.Join(p.dir, "data"), id, "demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
}
