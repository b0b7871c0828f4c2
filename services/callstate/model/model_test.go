package model

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"testing"
	"time"

	"parley/internal/voice"
)

var epoch = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// rig is a model with a clock that stands still until it is told to go on.
type rig struct {
	*Model
	clock time.Time
	pos   uint64
}

func newRig() *rig {
	r := &rig{clock: epoch}
	r.Model = New(Options{Now: func() time.Time { return r.clock }})
	return r
}

// give applies copies of events, since the model keeps what it is given.
func (r *rig) give(events ...*voice.CallEvent) {
	for _, e := range events {
		own := *e
		r.pos++
		r.Apply(&own, r.pos, r.clock)
	}
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	r.clock = r.clock.Add(d)
	r.Tick()
}

// found returns the kinds of the violations so far, as many times as each was found.
func (r *rig) found() map[Kind]int64 {
	counts, _ := r.Violations()
	maps.DeleteFunc(counts, func(_ Kind, n int64) bool { return n == 0 })
	return counts
}

func (r *rig) wantNone(t *testing.T) {
	t.Helper()
	if _, list := r.Violations(); len(list) > 0 {
		t.Fatalf("%d violations, the first: %v", len(list), list[0])
	}
}

func (r *rig) wantOnly(t *testing.T, kind Kind) {
	t.Helper()
	if got := r.found(); !maps.Equal(got, map[Kind]int64{kind: 1}) {
		_, list := r.Violations()
		t.Fatalf("violations %v, want one %s: %v", got, kind, list)
	}
}

// picture is the calls in progress, one line each.
func picture(calls []voice.Call) []string {
	var out []string
	for _, c := range calls {
		line := fmt.Sprintf("%s %s %s v%d:", c.CallUUID, c.ConnID, c.CallThreadID, c.Version)
		var parties []string
		for _, p := range c.Parties {
			if p.Trunk == "" {
				parties = append(parties, fmt.Sprintf(" %s %s %s", p.DN, p.Role, p.State))
			}
		}
		sort.Strings(parties)
		for _, p := range parties {
			line += p
		}
		out = append(out, line)
	}
	sort.Strings(out)
	return out
}

// picture is the same of the world's own books.
func (w *world) picture() []string {
	var calls []voice.Call
	for _, c := range w.calls {
		v := voice.Call{CallUUID: c.uuid, ConnID: c.conn, CallThreadID: c.thread, Version: c.version}
		ours := false
		for _, p := range c.members {
			v.Parties = append(v.Parties, voice.Party{DN: p.dn, Role: p.role, State: p.state, Trunk: p.trunk})
			ours = ours || p.trunk == ""
		}
		if ours {
			calls = append(calls, v)
		}
	}
	return picture(calls)
}

func TestLegalHistories(t *testing.T) {
	for seed := range uint64(300) {
		w, r := newWorld(seed), newRig()
		for step := range 40 {
			w.act()
			r.give(w.out...)
			w.out = nil
			calls, total := r.Find(Query{Limit: 1000})
			if got, want := picture(calls), w.picture(); !slices.Equal(got, want) || total != len(want) {
				t.Fatalf("seed %d, step %d: %d calls\n%q\nwant\n%q", seed, step, total, got, want)
			}
		}
		for _, c := range w.calls {
			w.hangUp(c)
		}
		r.give(w.out...)
		r.pass(defaultPatience)
		r.wantNone(t)
		if calls, threads := r.Count(); calls != 0 || threads != 0 {
			t.Fatalf("seed %d: %d calls in %d threads are left", seed, calls, threads)
		}
		r.pass(defaultKeep + time.Second)
		r.wantEmpty(t)
	}
}

// wantEmpty holds that nothing of any call stays in memory.
func (r *rig) wantEmpty(t *testing.T) {
	t.Helper()
	n := len(r.calls) + len(r.conns) + len(r.dns) + len(r.threads) + len(r.nodes) + len(r.quiet) + len(r.waiting) + r.live
	if n != 0 {
		t.Fatalf("left: %d calls, %d ConnIDs, %d DNs, %d threads, %d nodes, %d quiet, %d waiting, %d live",
			len(r.calls), len(r.conns), len(r.dns), len(r.threads), len(r.nodes), len(r.quiet), len(r.waiting), r.live)
	}
}

// TestCallsHaveNoOrderBetweenThem gives whole histories with the events of different calls shifted against each other.
func TestCallsHaveNoOrderBetweenThem(t *testing.T) {
	for seed := range uint64(300) {
		w, r := newWorld(seed), newRig()
		for range 40 {
			w.act()
		}
		want := w.picture()
		r.give(w.spread()...)
		r.wantNone(t)
		calls, _ := r.Find(Query{Limit: 1000})
		if got := picture(calls); !slices.Equal(got, want) {
			t.Fatalf("seed %d:\n%q\nwant\n%q", seed, got, want)
		}
	}
}

// TestIllegalHistories spoils one event of a legal history and wants exactly the violation that it is.
func TestIllegalHistories(t *testing.T) {
	for seed := range uint64(300) {
		w := newWorld(seed)
		for range 20 {
			w.act()
		}
		for _, c := range w.calls {
			w.hangUp(c)
		}
		at := w.r.IntN(len(w.out))
		e := w.out[at]
		next := slices.IndexFunc(w.out, func(o *voice.CallEvent) bool { return o.CallUUID == e.CallUUID && o.Seq == e.Seq+1 })
		for name, spoil := range map[Kind]func() []*voice.CallEvent{
			Doubled: func() []*voice.CallEvent { return slices.Insert(slices.Clone(w.out), at+1, e) },
			Disorder: func() []*voice.CallEvent {
				out := slices.Clone(w.out)
				out[at], out[next] = out[next], out[at]
				return out
			},
			Missing: func() []*voice.CallEvent { return slices.Delete(slices.Clone(w.out), at, at+1) },
		} {
			if next < 0 && name != Doubled { // nothing tells that the last one is missing, but that its call does not end
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				r := newRig()
				r.give(spoil()...)
				r.pass(defaultPatience)
				r.wantOnly(t, name)
			})
		}
	}
}

// TestImpossible gives parties events that make no sense in their state; the call goes on, and nothing else is wrong with it.
func TestImpossible(t *testing.T) {
	for _, c := range []struct {
		name  string
		who   func(w *world, c *played) *member
		event voice.EventName
	}{
		{"retrieved, and not held", second, voice.EventRetrieved},
		{"abandoned, and answered", second, voice.EventAbandoned},
		{"diverted, and answered", first, voice.EventDiverted},
		{"rings, and is in the call", second, voice.EventRinging},
		{"dials, and is in the call", first, voice.EventDialing},
		{"held, and not in the call", stranger, voice.EventHeld},
		{"established, and not in the call", stranger, voice.EventEstablished},
		{"released, and not in the call", stranger, voice.EventReleased},
		{"user data of somebody who is not in the call", stranger, voice.EventAttachedDataChanged},
		{"treatment of a phone", second, voice.EventTreatmentApplied},
		{"comes from nowhere", stranger, voice.EventPartyChanged},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r := newWorld(3), newRig()
			call := w.open(voice.CallInternal, nil)
			a := &member{dn: w.dn()}
			w.answer(call, a, w.ring(call, a))
			p := c.who(w, call)
			w.event(call, c.event, p, nil)
			if ends(c.event) {
				call.leave(p)
			}
			w.change(call)
			r.give(w.out...)
			r.wantOnly(t, Impossible)
			if _, list := r.Violations(); list[0].Event != c.event || list[0].CallUUID != call.uuid {
				t.Errorf("it speaks of %+v", list[0])
			}
		})
	}
}

func first(_ *world, c *played) *member    { return c.members[0] }
func second(_ *world, c *played) *member   { return c.members[1] }
func stranger(w *world, _ *played) *member { return &member{dn: w.dn(), role: voice.RoleDestination} }

func TestPartyOfACallThatNeverCame(t *testing.T) {
	w, r := newWorld(1), newRig()
	c := w.talk()
	p := stranger(w, c)
	w.event(c, voice.EventPartyChanged, p, func(e *voice.CallEvent) { e.PreviousConnID = "00000000000000ff" })
	w.change(c)
	r.give(w.out...)
	r.wantNone(t)
	if r.Waiting() != 1 {
		t.Fatalf("%d calls wait, want 1", r.Waiting())
	}
	r.pass(defaultPatience)
	r.wantOnly(t, Impossible)
	if got, _ := r.Find(Query{CallUUID: c.uuid, Limit: 1}); got[0].Version != c.version {
		t.Errorf("the events behind it were not taken: %+v", got[0])
	}
}

func TestFind(t *testing.T) {
	w, r := newWorld(5), newRig()
	c1 := w.open(voice.CallInternal, nil)
	a, b := &member{dn: "1001", role: voice.RoleOrigination}, &member{dn: "1002", role: voice.RoleDestination}
	c1.members = []*member{a}
	w.event(c1, voice.EventDialing, a, nil)
	c1.members = append(c1.members, b)
	w.event(c1, voice.EventRinging, b, nil)
	w.answer(c1, a, b)
	c2, b2, c := w.consult(c1, b, true)
	r.give(w.out...)
	w.out = nil
	want := func(q Query, uuids ...string) {
		t.Helper()
		q.Limit = 10
		calls, total := r.Find(q)
		var got []string
		for _, v := range calls {
			got = append(got, v.CallUUID)
		}
		if !slices.Equal(got, uuids) || total != len(uuids) {
			t.Fatalf("%+v finds %v of %d, want %v", q, got, total, uuids)
		}
	}
	want(Query{Tenant: "demo", DN: "1002"}, c1.uuid, c2.uuid)
	want(Query{DN: "1002"}, c1.uuid, c2.uuid)
	want(Query{Tenant: "demo", ThreadID: c1.thread}, c1.uuid, c2.uuid)
	want(Query{Tenant: "demo", DN: "1002", ConnID: c2.conn}, c2.uuid)
	want(Query{Node: "n1"}, c1.uuid, c2.uuid)
	want(Query{Node: "n2"})
	want(Query{Tenant: "other"})
	want(Query{Tenant: "other", CallUUID: c1.uuid})
	if calls, threads := r.Count(); calls != 2 || threads != 1 {
		t.Errorf("%d calls in %d threads, want 2 in 1", calls, threads)
	}

	c1.leave(b)
	w.event(c1, voice.EventReleased, b, nil)
	c2.leave(b2)
	w.event(c2, voice.EventReleased, b2, nil)
	w.event(c1, voice.EventPartyChanged, a, nil)
	w.join(c1, c2, c, b, voice.StateTransferred)
	r.give(w.out...)
	want(Query{Tenant: "demo", ConnID: c2.conn}, c1.uuid) // a former ConnID
	want(Query{Tenant: "demo", DN: "1002"})
	want(Query{Tenant: "demo", DN: c.dn}, c1.uuid)
	r.pass(2 * defaultKeep)
	want(Query{Tenant: "demo", ConnID: c2.conn}, c1.uuid) // also when the other call is forgotten
	r.wantNone(t)
}

// TestSomebodyTwiceInACall has b consult a, who is in the call, and make a conference of it; then a is taken in once more.
func TestSomebodyTwiceInACall(t *testing.T) {
	w, r := newWorld(2), newRig()
	c1, c2 := w.open(voice.CallInternal, nil), (*played)(nil)
	a, b := &member{dn: "1001", role: voice.RoleOrigination, state: voice.PartyDialing}, &member{dn: "1002", role: voice.RoleDestination}
	c1.members = []*member{a}
	w.event(c1, voice.EventDialing, a, nil)
	c1.members = append(c1.members, b)
	w.event(c1, voice.EventRinging, b, nil)
	w.answer(c1, a, b)
	c2 = w.open(voice.CallConsult, c1)
	b2, again := &member{dn: "1002", role: voice.RoleOrigination}, &member{dn: "1001", role: voice.RoleDestination, state: voice.PartyRinging}
	c2.members = []*member{b2, again}
	w.event(c1, voice.EventHeld, b, nil)
	w.event(c2, voice.EventDialing, b2, nil)
	w.event(c2, voice.EventRinging, again, nil)
	w.answer(c2, b2, again)
	c2.leave(b2)
	w.event(c2, voice.EventReleased, b2, nil)
	b.state = voice.PartyEstablished
	w.event(c1, voice.EventRetrieved, b, nil)
	w.join(c1, c2, again, b, voice.StateConferenced)
	third := &member{dn: "1001", role: voice.RoleDestination, state: voice.PartyRinging}
	c1.members = append(c1.members, third)
	w.event(c1, voice.EventRinging, third, func(e *voice.CallEvent) { e.CallState = voice.StateConferenced })
	r.give(w.out...)
	w.out = nil
	r.wantNone(t)
	calls, _ := r.Find(Query{Limit: 10})
	if got, want := picture(calls), w.picture(); !slices.Equal(got, want) {
		t.Fatalf("%q\nwant\n%q", got, want)
	}
	c1.leave(third)
	w.event(c1, voice.EventAbandoned, third, nil)
	w.hangUp(c1)
	r.give(w.out...)
	r.wantNone(t)
	if n, _ := r.Count(); n != 0 {
		t.Fatalf("%d calls are left", n)
	}
}

func TestSomebodyBeyondATrunk(t *testing.T) {
	w, r := newWorld(2), newRig()
	c := w.open(voice.CallInbound, nil)
	a := &member{dn: "0123", trunk: "acme"}
	b := w.ring(c, a)
	r.give(w.out...)
	w.out = nil
	call := func() voice.Call {
		got, _ := r.Find(Query{CallUUID: c.uuid, Limit: 1})
		return got[0]
	}
	outside := func(state voice.PartyState) {
		t.Helper()
		p := call().Parties
		if len(p) != 2 || p[1].DN != "0123" || p[1].Trunk != "acme" || p[1].State != state {
			t.Fatalf("parties %+v, want 0123 of acme, %s", p, state)
		}
	}
	outside(voice.PartyDialing)
	w.answer(c, a, b)
	r.give(w.out...)
	outside(voice.PartyEstablished)
	r.wantNone(t)
}

func TestReplayFromAMark(t *testing.T) {
	for seed := range uint64(100) {
		w, whole := newWorld(seed), newRig()
		for range 60 {
			w.act()
		}
		stopped := len(w.out) / 2
		whole.give(w.out[:stopped]...)
		mark, ok := whole.Mark()
		if !ok {
			t.Fatal("no mark")
		}
		again := newRig()
		again.pos = mark.Pos - 1
		stored := epoch.Add(-time.Second) // before the new one began
		for _, e := range w.out[mark.Pos-1:] {
			own := *e
			again.pos++
			again.Apply(&own, again.pos, stored)
		}
		whole.give(w.out[stopped:]...)
		again.wantNone(t)
		a, _ := whole.Find(Query{Limit: 1000})
		b, _ := again.Find(Query{Limit: 1000})
		if !reflect.DeepEqual(picture(a), picture(b)) {
			t.Fatalf("seed %d: from the mark at %d of %d\n%q\nwant\n%q", seed, mark.Pos, len(w.out), picture(b), picture(a))
		}
	}
}

func TestStuck(t *testing.T) {
	const grace = 30 * time.Second
	w, r := newWorld(4), newRig()
	c := w.talk()
	r.give(w.out...)
	w.out = nil
	if s := r.Suspects(grace); len(s) != 0 {
		t.Fatalf("suspects %v before their time", s)
	}
	r.pass(grace)
	if s := r.Suspects(grace); !slices.Equal(s["n1"], []string{c.uuid}) {
		t.Fatalf("suspects %v, want %s", s, c.uuid)
	}
	r.Confirm(c.uuid, "n1")
	if s := r.Suspects(grace); len(s) != 0 {
		t.Fatalf("suspects %v after the node said that it has it", s)
	}
	r.Deny(c.uuid, "n1", NoDialog, grace, "no dialog")
	r.pass(grace - time.Second)
	r.Deny(c.uuid, "n1", NoDialog, grace, "no dialog")
	r.wantNone(t)
	w.change(c) // a node that publishes has the call, whatever it said
	r.give(w.out...)
	w.out = nil
	r.Deny(c.uuid, "n1", NoDialog, grace, "no dialog")
	r.pass(grace)
	r.wantNone(t)
	r.Deny(c.uuid, "n1", NoDialog, grace, "no dialog")
	r.wantOnly(t, NoDialog)
	if _, total := r.Find(Query{Limit: 1}); total != 0 {
		t.Error("a call that is stuck is found")
	}
	w.change(c) // it lives after all
	r.give(w.out...)
	if _, total := r.Find(Query{Limit: 1}); total != 1 {
		t.Error("a call that has an event again is not found")
	}
	r.Confirm(c.uuid, "n2")
	if _, total := r.Find(Query{Node: "n2", Limit: 1}); total != 1 {
		t.Error("the call is not with the node that has it now")
	}
	r.wantOnly(t, NoDialog)
}
