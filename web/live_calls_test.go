package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

// fakeNode stands in for a SIP node: calls in a map, and events about what becomes of them.
type fakeNode struct {
	h     *house
	mu    sync.Mutex // guards what follows
	calls map[string]contract.LiveCall
	seq   map[string]uint64
	asked int      // calls to the door
	ended []string // by hand
}

func (h *house) sipNode() *fakeNode {
	n := &fakeNode{h: h, calls: map[string]contract.LiveCall{}, seq: map[string]uint64{}}
	handle(h.t, h.t.Context(), h.f, contract.Calls, n.list)
	handle(h.t, h.t.Context(), h.f, contract.HangUp, func(_ context.Context, req contract.HangUpRequest) (struct{}, error) {
		n.mu.Lock()
		_, ok := n.calls[req.CallUUID]
		n.mu.Unlock()
		if !ok {
			return struct{}{}, voice.ErrNotFound
		}
		n.end(req.CallUUID)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.ended = append(n.ended, req.CallUUID+" by "+req.By)
		return struct{}{}, nil
	})
	return n
}

func (n *fakeNode) list(_ context.Context, req contract.CallsRequest) (contract.CallsResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	out := contract.CallsResponse{Calls: []contract.LiveCall{}}
	for _, c := range n.calls {
		if req.Tenant != "" && c.Tenant != req.Tenant {
			continue
		}
		out.Total++
		if len(req.CallUUIDs) == 0 || slices.Contains(req.CallUUIDs, c.CallUUID) {
			out.Calls = append(out.Calls, c)
		}
	}
	slices.SortFunc(out.Calls, func(a, b contract.LiveCall) int { return a.Start.Compare(b.Start) })
	out.Calls = out.Calls[:min(len(out.Calls), cmp.Or(req.Limit, 100))]
	return out, nil
}

// begin makes a call that was begun so long ago, and says so.
func (n *fakeNode) begin(uuid, caller, dialled string, ago time.Duration) {
	n.change(uuid, voice.EventDialing, caller, func(c *contract.LiveCall) {
		*c = contract.LiveCall{CallUUID: uuid, Tenant: "demo", Node: n.h.f.Node(), Type: "internal", State: "routing", Caller: caller, Dialled: dialled,
			SIPCallID: uuid + "@phone", Start: time.Now().Add(-ago).UTC()}
	})
}

// change makes something of a call, and publishes the event.
func (n *fakeNode) change(uuid string, id voice.EventName, dn string, fn func(*contract.LiveCall)) {
	n.h.t.Helper()
	n.mu.Lock()
	c := n.calls[uuid]
	fn(&c)
	n.calls[uuid] = c
	n.seq[uuid]++
	seq := n.seq[uuid]
	n.mu.Unlock()
	n.h.publishEvents(voice.CallEvent{ID: id, Server: "sip", ThisDN: dn, CallUUID: uuid, ANI: c.Caller, DNIS: c.Dialled, Tenant: "demo", Seq: seq, Time: time.Now(), Node: n.h.f.Node()})
}

func (n *fakeNode) ring(uuid, callee string) {
	n.change(uuid, voice.EventRinging, callee, func(c *contract.LiveCall) {
		c.State, c.Callee, c.Ringing = "alerting", callee, c.Start.Add(time.Second)
	})
}

func (n *fakeNode) answer(uuid string, after time.Duration) {
	n.change(uuid, voice.EventEstablished, "x", func(c *contract.LiveCall) { c.State, c.Answer = "talking", c.Start.Add(after) })
}

func (n *fakeNode) end(uuid string) {
	n.mu.Lock()
	c := n.calls[uuid]
	delete(n.calls, uuid)
	seq := n.seq[uuid] + 1
	n.mu.Unlock()
	n.h.publishEvents(voice.CallEvent{ID: voice.EventReleased, Server: "sip", ThisDN: c.Caller, CallUUID: uuid, Tenant: "demo", Seq: seq, Time: time.Now(), Node: n.h.f.Node()})
}

func (n *fakeNode) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// some is a morning's calls, one of each kind.
func (n *fakeNode) some() {
	n.begin("c1", "1001", "1002", 4*time.Minute)
	n.ring("c1", "1002")
	n.answer("c1", 6*time.Second)
	n.change("c1", voice.EventHeld, "1001", func(*contract.LiveCall) {})
	n.begin("c2", "+493012345678", "9000", 95*time.Second)
	n.ring("c2", "1004")
	n.change("c2", voice.EventEstablished, "1004", func(c *contract.LiveCall) {
		c.State, c.TrunkIn, c.Type, c.Answer = "talking", "gw1", "inbound", c.Start.Add(14*time.Second)
	})
	n.begin("c3", "1003", "0004930987654", 22*time.Second)
	n.change("c3", voice.EventNetworkReached, "1003", func(c *contract.LiveCall) {
		c.State, c.TrunkOut, c.Type, c.Ringing = "alerting", "carrier-with-a-long-name", "outbound", c.Start.Add(2*time.Second)
	})
	n.begin("c4", "1005", "1006", time.Second)
	n.begin("c5", "1007", "1008", 92*time.Minute)
	n.ring("c5", "1008")
	n.answer("c5", 20*time.Second)
}

func TestLiveCallsPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	n := h.sipNode()
	n.some()
	sven, anna := h.signIn("sven"), h.signIn("anna.admin")
	a := sven.get("/t/demo/calls")
	for _, want := range []string{`data-call="c1"`, "On hold", "in gw1", "out carrier-with-a-long-name", "Setting up", `<dd data-count="calls">5</dd>`, "1:32:0", "/t/demo/calls/c1"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "hangup") {
		t.Error("a supervisor is offered to hang up")
	}
	if a := sven.get("/t/demo/calls?q=gw1"); strings.Count(a.body, "data-call=") != 1 || !strings.Contains(a.body, `data-call="c2"`) {
		t.Errorf("a search for the trunk:\n%s", a.body)
	}
	if a := sven.get("/t/demo/calls?q=nobody"); !strings.Contains(a.body, "No call in progress matches") {
		t.Errorf("a search for nobody:\n%s", a.body)
	}
	if a := anna.get("/t/demo/calls/c1/hangup"); a.status != 200 || !strings.Contains(a.body, "1001 and 1002 are cut off") {
		t.Errorf("the question: %d\n%s", a.status, a.body)
	}
	if a := sven.post("/t/demo/calls", "/t/demo/calls/c1/hangup"); a.status != 403 {
		t.Errorf("a supervisor hangs up: %d", a.status)
	}
	if a := anna.post("/t/demo/calls", "/t/demo/calls/c1/hangup"); a.location != "/t/demo/calls?done=hung-up" || !slices.Equal(n.ended, []string{"c1 by anna.admin"}) {
		t.Errorf("hanging up: %d %s, ended %v", a.status, a.location, n.ended)
	}
	for _, again := range []answer{anna.post("/t/demo/calls", "/t/demo/calls/c1/hangup"), anna.get("/t/demo/calls/c1/hangup")} {
		if again.location != "/t/demo/calls?done=over" {
			t.Errorf("hanging up once more: %d %s", again.status, again.location)
		}
	}
	until(t, "the call is gone from the page", func() bool { return !strings.Contains(sven.get("/t/demo/calls").body, `data-call="c1"`) })
	if a := h.signIn("alice").get("/t/demo/calls"); a.status != 403 {
		t.Errorf("an agent: %d", a.status)
	}
}

// feedOf is the feed of the tenant demo, looked at by nobody else.
func feedOf(t *testing.T, h *house) *callFeed {
	t.Helper()
	f, err := h.web.calls.follow(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFeedFollowsEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	n := h.sipNode()
	n.begin("old", "1001", "1002", time.Hour)
	n.answer("old", 3*time.Second)
	n.change("old", voice.EventHeld, "1002", func(*contract.LiveCall) {}) // before anybody looks
	f := feedOf(t, h)
	state := func(uuid string) string {
		for _, c := range f.list("") {
			if c.CallUUID == uuid {
				word, _ := c.state()
				return word
			}
		}
		return "gone"
	}
	expect := func(uuid, want string) {
		t.Helper()
		until(t, uuid+" is "+want, func() bool { return state(uuid) == want })
	}
	expect("old", "On hold")
	n.begin("new", "1003", "1004", 0)
	expect("new", "Setting up")
	n.ring("new", "1004")
	expect("new", "Ringing")
	n.answer("new", time.Second)
	expect("new", "Talking")
	n.change("new", voice.EventHeld, "1003", func(*contract.LiveCall) {})
	expect("new", "On hold")
	n.change("new", voice.EventRetrieved, "1003", func(*contract.LiveCall) {})
	expect("new", "Talking")
	n.end("new")
	expect("new", "gone")

	// A call whose last event was lost goes when its record comes.
	n.mu.Lock()
	delete(n.calls, "old")
	n.mu.Unlock()
	if err := h.f.Publish(fabric.Event{Subject: fabric.Subject("cdr", "demo", "old"), MsgID: "old", Payload: voice.CDR{CallUUID: "old", Tenant: "demo", Node: h.f.Node()}}); err != nil {
		t.Fatal(err)
	}
	expect("old", "gone")
}

func TestFeedDropsTheCallsOfADeadNode(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	n := h.sipNode()
	n.begin("c1", "1001", "1002", 0)
	n.mu.Lock()
	c := n.calls["c1"]
	c.Node = "dead"
	n.calls["c1"] = c
	n.mu.Unlock()
	f := feedOf(t, h)
	until(t, "the call of a node that is not there is gone", func() bool { return len(f.list("")) == 0 })
}

func TestFeedEndsWhenNobodyLooks(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.sipNode()
	f := feedOf(t, h)
	st, err := h.web.hub.Open("s", live.Topic{Kind: topicCalls, Name: "demo"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	later := func(d time.Duration) {
		h.web.calls.mu.Lock()
		f.used = f.used.Add(-d)
		h.web.calls.mu.Unlock()
		h.web.calls.tidy()
	}
	later(time.Hour)
	if feedOf(t, h) != f {
		t.Error("a feed that a page follows has ended")
	}
	st.Close()
	later(time.Hour)
	if feedOf(t, h) == f {
		t.Error("a feed that nobody follows goes on")
	}
}

// TestThousandCalls: with a thousand calls in progress, a hundred are shown, one change is one row, and many changes are few
// questions to the node.
func TestThousandCalls(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	n := h.sipNode()
	for i := range 1500 {
		uuid := fmt.Sprintf("call-%04d", i)
		n.calls[uuid] = contract.LiveCall{CallUUID: uuid, Tenant: "demo", Node: h.f.Node(), State: "talking", Caller: fmt.Sprint(20000 + i), Dialled: "1002",
			Start: time.Now().Add(time.Duration(i-2000) * time.Second), Answer: time.Now()}
	}
	f := feedOf(t, h)
	calls, counts := h.web.callsShown(f, "")
	if len(calls) != maxCallRows || counts.Total != 1500 || counts.Shown != maxCallRows {
		t.Errorf("%d rows, %+v", len(calls), counts)
	}
	v := &request{Server: h.web, ctx: t.Context(), who: voice.Principal{Tenant: "demo", Roles: []voice.Role{voice.RoleSupervisor}}}
	lv, err := h.web.liveCalls(v, "demo", "")
	if err != nil {
		t.Fatal(err)
	}
	render := func() (u callsUpdate, size int) {
		t.Helper()
		data, err := lv.render(t.Context(), calledList)
		if err != nil {
			t.Fatal(err)
		}
		if data != nil {
			if err := json.Unmarshal(data, &u); err != nil {
				t.Fatal(err)
			}
		}
		return u, len(data)
	}
	if u, _ := render(); len(u.Order) != maxCallRows || len(u.Rows) != maxCallRows {
		t.Errorf("at first %d rows of %d", len(u.Rows), len(u.Order))
	}
	if _, size := render(); size > 0 {
		t.Errorf("%d bytes though nothing has changed", size)
	}
	newest := calls[0].CallUUID
	n.change(newest, voice.EventEstablished, "1002", func(c *contract.LiveCall) { c.Callee = "1009" })
	until(t, "the change is known", func() bool { l := f.list("1009"); return len(l) == 1 })
	if u, size := render(); len(u.Rows) != 1 || !strings.Contains(u.Rows[newest], "1009") || size > 8000 {
		t.Errorf("one change is %d rows, %d bytes", len(u.Rows), size)
	}
	before := n.questions()
	for i := range 600 {
		n.end(fmt.Sprintf("call-%04d", 1499-i))
	}
	until(t, "they are gone", func() bool { return f.total() == 900 })
	if asked := n.questions() - before; asked > 200 {
		t.Errorf("600 ends were %d questions to the node", asked)
	}
	if u, _ := render(); len(u.Order) != maxCallRows {
		t.Errorf("%d rows after most have ended", len(u.Order))
	}
}

// browseLiveCalls sees calls come, change and end on a page that is never loaded again.
func browseLiveCalls(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	n := h.sipNode()
	b := newBrowser(t, chromium, h)
	b.do(prefer("light"), desktop())
	b.signIn("anna.admin")
	b.do(chromedp.Click(`nav a[href$="/calls"]`))
	b.at("/t/demo/calls")
	b.see("[data-calls-empty]", "Nobody is calling")
	b.see("[data-live-state]", "Live")
	b.shoot("live-none")
	eval[bool](b, `window.stayed = true`)
	n.begin("b1", "1001", "1002", 0)
	b.see(`[data-call="b1"]`, "Setting up")
	n.ring("b1", "1002")
	b.see(`[data-call="b1"]`, "Ringing")
	n.begin("b2", "1003", "1004", 0)
	b.wait("the newer call is above", `document.querySelector("[data-calls] tbody tr").dataset.call === "b2"`)
	n.answer("b1", 2*time.Second)
	b.see(`[data-call="b1"] .badge`, "Talking")
	b.see(`[data-count="calls"]`, "2")
	b.wait("its time goes on", `parseInt(document.querySelector('[data-call="b1"] .lasts').textContent.split(":")[1]) >= 2`)
	b.wait("its bar grows from now to the left", `(() => { const r = [...document.querySelectorAll('[data-call="b1"] rect.talk')].pop(); return Math.abs(r.x.baseVal.value + r.width.baseVal.value - 300) < 0.2 && r.x.baseVal.value < 300; })()`)
	n.end("b2")
	b.wait("the call that ended is gone", `document.querySelector('[data-call="b2"]') === null && document.querySelector('[data-call="b1"]') !== null`)
	if !eval[bool](b, `window.stayed === true`) {
		t.Error("the page was loaded again")
	}
	b.do(chromedp.Click(`[data-call="b1"] .danger`)) // the button came with the update
	b.see("h1", "Hang up this call?")
	b.do(chromedp.Click("button.danger"))
	b.see("[role=status]", "being ended")
	b.see("[data-calls-empty]", "Nobody is calling")
	if !slices.Equal(n.ended, []string{"b1 by anna.admin"}) {
		t.Errorf("ended by hand: %v", n.ended)
	}
}

// BenchmarkLiveCalls is what one page costs for each update, with a thousand calls in progress of which ten have changed.
func BenchmarkLiveCalls(b *testing.B) {
	h := newHouse(b, setUp{})
	n := h.sipNode()
	for i := range 1000 {
		uuid := fmt.Sprintf("call-%04d", i)
		n.calls[uuid] = contract.LiveCall{CallUUID: uuid, Tenant: "demo", Node: h.f.Node(), State: "talking", Caller: fmt.Sprint(20000 + i), Dialled: "1002",
			Start: time.Now().Add(time.Duration(i-2000) * time.Second), Answer: time.Now()}
	}
	f, err := h.web.calls.follow(b.Context(), "demo")
	if err != nil {
		b.Fatal(err)
	}
	v := &request{Server: h.web, ctx: b.Context(), who: voice.Principal{Tenant: "demo", Roles: []voice.Role{voice.RoleAdmin}}}
	lv, err := h.web.liveCalls(v, "demo", "")
	if err != nil {
		b.Fatal(err)
	}
	size := 0
	for b.Loop() {
		f.mu.Lock()
		for i := range 10 {
			uuid := fmt.Sprintf("call-%04d", 999-i)
			c := *f.calls[uuid]
			c.change++
			f.calls[uuid] = &c
		}
		f.mu.Unlock()
		data, err := lv.render(b.Context(), calledList)
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
	}
	b.ReportMetric(float64(size), "bytes/update")
}
