package orchestration

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// kill ends a node as kill -9 would: nothing is written, nothing is let go of, its lease runs out.
func (n *node) kill() {
	n.Service.killed.Store(true)
	n.stop()
}

const patient = `<datamodel><data id="r"/><data id="heard" expr="0"/></datamodel>
<state id="waiting"><transition event="interaction.present" target="playing"/></state>
<state id="playing"><onentry><dialog:play requestid="r"><dialog:prompts><dialog:prompt intid="'x'"/></dialog:prompts></dialog:play><send event="late" delay="1s"/></onentry>
  <transition event="interaction.udata.changed"><assign location="heard" expr="heard + 1"/></transition>
  <transition event="late" cond="heard === 3" target="going"/>
  <transition event="late"><send event="late" delay="300ms"/></transition></state>
<state id="going"><onentry><ixn:redirect destination="'1002'"/></onentry><transition event="interaction.redirect.done" target="end"/></state><final id="end"/>`

// Many sessions wait in treatments and timers when their node is killed. Another continues all of them, hears what happened
// meanwhile once, and asks for nothing twice.
func TestSessionsGoOnElsewhere(t *testing.T) {
	const calls = 60
	r := newRig(t)
	r.script(patient)
	first := r.node("a", nil)
	ids := make([]string, calls)
	for i := range ids {
		ids[i] = fmt.Sprintf("U%d", i)
		r.arrives(ids[i])
	}
	count := func(what string) map[string]int {
		r.mu.Lock()
		defer r.mu.Unlock()
		n := map[string]int{}
		for _, a := range r.asked {
			var call string
			if _, err := fmt.Sscanf(a, "%s", &call); err == nil && a == call+what {
				n[call]++
			}
		}
		return n
	}
	all := func(what string) {
		t.Helper()
		eventually(t, func() error {
			if n := count(what); len(n) != calls {
				return fmt.Errorf("%d calls of %d: %s", len(n), calls, what)
			}
			return nil
		})
	}
	all(" treat PlayAnnouncement")
	r.mu.Lock()
	refs := map[string]int64{}
	for i, a := range r.asked {
		var call string
		_, _ = fmt.Sscanf(a, "%s", &call)
		refs[call] = r.refs[i]
	}
	r.mu.Unlock()
	for _, id := range ids {
		r.says(id, voice.EventTreatmentApplied, ref(refs[id]))
		r.says(id, voice.EventAttachedDataChanged, nil)
	}
	eventually(t, func() error { // all of it was taken and written down
		for _, id := range ids {
			s := first.session("demo", idOf(&voice.WorkItem{Tenant: "demo", Kind: voice.WorkVoice, ID: id, Seq: 2}))
			if s == nil {
				return errNotYet
			}
			var seq uint64
			if err := s.inside(t.Context(), func() { seq = s.item(id).Seq }); err != nil || seq < 5 {
				return fmt.Errorf("%s is at event %d (%v)", id, seq, err)
			}
		}
		return nil
	})
	first.kill()
	for _, id := range ids { // nobody follows
		r.says(id, voice.EventAttachedDataChanged, nil)
	}
	second := r.node("b", nil)
	eventually(t, func() error {
		if n := second.Running(); n != calls {
			return fmt.Errorf("%d sessions were taken over", n)
		}
		return nil
	})
	for _, id := range ids {
		r.says(id, voice.EventAttachedDataChanged, nil)
	}
	all(" route 1002") // which each does only after exactly three events, and its timer
	r.mu.Lock()
	var last []int64
	routed := []string{}
	for i, a := range r.asked {
		var call string
		_, _ = fmt.Sscanf(a, "%s", &call)
		if a == call+" route 1002" {
			last, routed = append(last, r.refs[i]), append(routed, call)
		}
	}
	r.mu.Unlock()
	for i, id := range routed {
		r.says(id, voice.EventDiverted, func(e *voice.CallEvent) { e.ReferenceID, e.ThirdPartyDN = last[i], "1002" })
	}
	eventually(t, second.idle)
	for what, n := range map[string]map[string]int{"treated": count(" treat PlayAnnouncement"), "routed": count(" route 1002")} {
		for id, times := range n {
			if times != 1 {
				t.Errorf("%s was %s %d times", id, what, times)
			}
		}
	}
}

// A node that stops in order hands its sessions on at once.
func TestNodeThatStopsHandsOn(t *testing.T) {
	r := newRig(t)
	r.script(menu)
	first := r.node("a", func(c *Config) { c.Takeover = time.Minute })
	r.arrives("U1")
	asked := r.wants(1, "U1 treat PlayAnnouncementAndDigits")
	r.says("U1", voice.EventTreatmentApplied, ref(asked))
	second := r.node("b", func(c *Config) { c.Takeover = time.Minute })
	first.stop()
	eventually(t, func() error {
		if n := second.Running(); n != 1 {
			return fmt.Errorf("%d sessions were taken over", n)
		}
		return nil
	})
	r.says("U1", voice.EventTreatmentEnd, digits(asked, "1"))
	r.wants(2, "U1 route 1002")
}

// The answer to the write that makes a session may be lost: the work comes again and finds a record of this very process.
func TestRecordThatNobodyRuns(t *testing.T) {
	for what, again := range map[string]func(n *node, w *voice.WorkItem) error{
		"work comes again": func(n *node, w *voice.WorkItem) error { return n.take(t.Context(), w) },
		"sweep":            func(n *node, _ *voice.WorkItem) error { n.sweep(t.Context()); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			r.script(menu)
			n := r.node("a", nil)
			w := &voice.WorkItem{Tenant: "demo", Kind: voice.WorkVoice, ID: "U1", Queue: "9000", Seq: 2, Node: "sip1"}
			b, err := json.Marshal(record{Owner: n.owner, ID: idOf(w), Tenant: w.Tenant, Start: time.Now(), Items: []*item{{
				Interaction: module.Interaction{ID: w.ID, Tenant: w.Tenant, Media: "voice", State: "queued", Voice: &module.Voice{RoutePoint: w.Queue}},
				Node:        w.Node, From: w.Seq,
			}}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.f.Bucket(fabric.BucketSessions).Put(t.Context(), recordKey("demo", idOf(w)), b, fabric.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := again(n, w); err != nil {
					t.Fatal(err)
				}
			}
			if got := n.Running(); got != 1 {
				t.Errorf("%d sessions run, want 1", got)
			}
		})
	}
}

// BenchmarkCalls starts sessions and brings each to the end of its first step, its record written.
func BenchmarkCalls(b *testing.B) {
	r := newRig(b)
	r.script(menu)
	f := fabrictest.Connect(b, r.srv, "bench")
	cfg := DefaultConfig()
	cfg.MaxSessions = 1_000_000
	svc, err := New(Options{Fabric: f, Config: cfg})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		w := &voice.WorkItem{Tenant: "demo", Kind: voice.WorkVoice, ID: fmt.Sprintf("B%d", n), Queue: "9000", Seq: 1, Node: "sip1"}
		if err := svc.take(ctx, w); err != nil {
			b.Fatal(err)
		}
		s := svc.session("demo", idOf(w))
		if err := s.inside(ctx, func() {
			s.take(s.item(w.ID), &voice.CallEvent{ID: voice.EventQueued, ThisDN: "9000", CallUUID: w.ID, Seq: 1, Node: "sip1"})
			s.take(s.item(w.ID), &voice.CallEvent{ID: voice.EventRouteRequest, ThisDN: "9000", CallUUID: w.ID, Seq: 2, Node: "sip1"})
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "sessions/s")
}
