package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/e2e/books"
	"parley/e2e/impair"
	"parley/e2e/peer"
	"parley/e2e/phone"
)

// What the phones of the chaos do with a call, by the last digit of the number that is called.
const (
	answersAndHangsUp = iota // the callee ends the call
	answers                  // the caller does
	answersAndHolds          // as answers, after a hold and back
	isBusy
	rings // until the caller gives up
	kinds
)

const (
	chaosCallers = 25 // each makes one call of each kind after the other, three times
	chaosRounds  = 3
	chaosT1      = 200 * time.Millisecond
)

// attempt is one call of the chaos as its caller saw it.
type attempt struct {
	id     string
	kind   int
	status int  // final; 0 = none in 64 T1
	deaf   bool // it never heard that it rang, so it did not give up: a 180 is said once
}

// Over a network that loses a tenth of all datagrams in each direction, doubles and reorders, calls are set up, changed and ended, or fail
// with a clear answer. None hangs, each has one record, and its events are complete and in order.
func TestCallsOverABadNetwork(t *testing.T) {
	t.Parallel()
	var dns strings.Builder
	for n := range chaosCallers + kinds {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", 2000+n, nodeSecret)
	}
	p := start(t, "chaos", "sipproxy: {t1: 200ms}\ncalls: {ring: 5s}\n",
		"--provision", provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
			"    persons: [{username: admin, password: chaos-admin-secret, roles: [system]}]\n"))
	relay, err := impair.Start(netip.MustParseAddrPort(p.sip("udp")),
		impair.Bad{Seed: 3, Loss: 0.1, Duplicate: 0.05, Reorder: 0.1, Delay: 20 * time.Millisecond, Late: 80 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	behind := func(number int) *phone.Agent {
		line, err := phone.Dial(t.Context(), "udp", relay.Address(), nil)
		if err != nil {
			t.Fatal(err)
		}
		a := phone.NewAgent(&phone.Phone{Line: line, User: fmt.Sprint(number), Password: nodeSecret, Domain: "demo.local"})
		a.T1 = chaosT1
		t.Cleanup(a.Close)
		peer.Poll(t, 60*time.Second, func() error { return a.Register(3600) }) // 64 T1 of nothing but losses can happen
		return a
	}

	ctx, stop := context.WithCancel(t.Context())
	var callees, callers sync.WaitGroup
	for kind := range kinds {
		a := behind(2000 + kind)
		callees.Go(func() { serveCalls(ctx, a, kind) })
	}
	var mu sync.Mutex // guards attempts
	var attempts []attempt
	for n := range chaosCallers {
		a := behind(2000 + kinds + n)
		callers.Go(func() {
			for i := range chaosRounds * kinds {
				kind := (n + i) % kinds
				got, err := tryCall(a, kind)
				mu.Lock()
				attempts = append(attempts, got)
				mu.Unlock()
				if err != nil {
					t.Errorf("call %d of %s: %v", i, a.Number(), err)
				}
			}
		})
	}
	callers.Wait()

	callsAt(t, p, exactly(0))
	peer.Poll(t, 60*time.Second, func() error {
		proxy := scrape(t, p, "sipproxy")
		for _, gauge := range []string{"sip_server_transactions_count", "sip_client_transactions_count", "sip_proxy_contexts_count"} {
			if !strings.Contains(proxy, "\n"+gauge+" 0\n") {
				return fmt.Errorf("%s does not come back to 0", gauge)
			}
		}
		return nil
	})
	if node := scrape(t, p, "sip"); !strings.Contains(node, "\nsips_calls 0\n") {
		t.Error("sips_calls is not 0")
	}
	stop()
	callees.Wait()

	results := map[string]int{}
	for _, a := range attempts {
		results[fmt.Sprintf("%d: %d", a.kind, a.status)]++
	}
	sent, lost, doubled := relay.Counts(impair.ToServer)
	t.Logf("%d calls, %v by kind and status; %d datagrams to Parley, %d lost, %d doubled", len(attempts), results, sent, lost, doubled)
	if wrong := unexpected(attempts); wrong*50 > len(attempts) {
		t.Errorf("%d of %d calls did not end as they should on a good network", wrong, len(attempts))
	}
	checkBooks(t, p, attempts)
}

// serveCalls does with calls what the kind says.
func serveCalls(ctx context.Context, a *phone.Agent, kind int) {
	sdp := phone.Offer(40000, 40001, "sendrecv") // nobody speaks
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		var c *phone.Call
		select {
		case c = <-a.Incoming:
		case <-ctx.Done():
			return
		}
		switch kind {
		case isBusy:
			c.Reject(486)
			continue
		case rings:
			c.Ring()
			continue
		}
		c.Ring()
		wg.Go(func() {
			if err := c.Answer(sdp); err == nil && kind == answersAndHangsUp {
				_ = c.Bye() // the caller sees whether the call ends
			}
		})
	}
}

// tryCall makes a call of a kind and sees it to its end. An error is a call that hangs.
func tryCall(a *phone.Agent, kind int) (attempt, error) {
	const patience = 90 * time.Second // far beyond all timers
	sdp := phone.Offer(40002, 40003, "sendrecv")
	c := a.Dial(fmt.Sprint(2000+kind), sdp)
	got := attempt{id: c.ID, kind: kind}
	if kind == rings {
		select {
		case <-c.Ringing:
			_ = c.Cancel() // whether it arrives shows in the final status
		case <-c.Ended:
			got.deaf = true
		case <-time.After(patience):
			return got, fmt.Errorf("%s neither rings nor fails", c.ID)
		}
	}
	select {
	case <-c.Ended:
	case <-c.Answered:
	case <-time.After(patience):
		return got, fmt.Errorf("%s gets no final answer", c.ID)
	}
	if got.status = c.Final(time.Second); got.status/100 != 2 {
		return got, nil
	}
	if kind == answersAndHolds {
		for _, direction := range []string{"sendonly", "sendrecv"} {
			if res, err := c.Reinvite(phone.Offer(40002, 40003, direction)); err != nil || res.Status != 200 {
				break // the call goes on as it was, or ends
			}
		}
	}
	if kind != answersAndHangsUp {
		_ = c.Bye() // an answer that is lost for 64 T1 leaves the call over all the same
	}
	select {
	case <-c.Ended:
		return got, nil
	case <-time.After(patience):
		return got, fmt.Errorf("%s is not hung up", c.ID)
	}
}

// unexpected counts the calls that the network spoiled.
func unexpected(attempts []attempt) (n int) {
	for _, a := range attempts {
		want := map[int]int{isBusy: 486, rings: 487}[a.kind]
		switch {
		case a.deaf:
			want = 480
		case want == 0:
			want = 200
		}
		if a.status != want {
			n++
		}
	}
	return n
}

// checkBooks stops the node and reads back what it wrote: one record a call, and of each call its events, complete and in order.
func checkBooks(t *testing.T, p *platform, attempts []attempt) {
	t.Helper()
	p.proc.Stop()
	b, err := books.Open(t.Context(), filepath.Join(p.dir, "data"), "chaos", "demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	recorded := map[string]bool{}
	outcomes := map[string]int{}
	for _, r := range b.Records {
		if recorded[r.SIPCallID] {
			t.Errorf("a second record of a call: %+v", r)
		}
		recorded[r.SIPCallID] = true
	}
	byID := map[string]attempt{}
	for _, a := range attempts {
		byID[a.id] = a
		if a.status != 0 && !recorded[a.id] { // one that was never answered may not have arrived
			t.Errorf("a call of kind %d that ended with %d has no record", a.kind, a.status)
		}
	}
	for _, r := range b.Records {
		a, ours := byID[r.SIPCallID]
		if !ours {
			t.Errorf("a record of a call that nobody made: %+v", r)
		}
		outcomes[fmt.Sprintf("%d: %s", a.kind, r.Outcome)]++
	}
	t.Logf("%d records, %d events; %v by kind and outcome", len(b.Records), len(b.Events), outcomes)
}
