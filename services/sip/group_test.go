package sip

import (
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// group makes 7000 a ring group of 1002, 1003 and 1004, with the phones b, c and d.
func (s *stage) group(strategy voice.RingStrategy, overflow string) {
	g := &contract.RingGroup{Strategy: strategy}
	for _, m := range []struct{ dn, phone string }{{"1002", "b"}, {"1003", "c"}, {"1004", "d"}} {
		s.phone(m.dn, m.phone)
		member := contract.GroupMember{Weight: 1}
		member.Kind, member.Number, member.RingSeconds = contract.RouteDevice, m.dn, 10
		g.Members = append(g.Members, member)
	}
	s.plans["7000"] = &contract.ResolveResponse{Kind: contract.RouteGroup, Number: "7000", RingSeconds: 20, OnNoAnswer: overflow, Group: g}
}

// hungUp ends a call that c answered, and checks who has it.
func (s *stage) groupTalked(t *testing.T, name, answered string, b *sentRequest) {
	t.Helper()
	s.callerSays("ACK", 1, "")
	s.callerSays("BYE", 2, "")
	s.last("BYE", b.to).answer(200, "")
	s.check(name)
	if r := s.records[0]; r.Answered != answered || r.Dialled != "7000" || r.Outcome != voice.OutcomeAnswered {
		t.Errorf("record %+v", r)
	}
}

func TestGroupRingsAtOnce(t *testing.T) {
	s := newStage(t)
	s.group(voice.RingSimultaneous, "")
	s.call("7000")
	b, c, d := s.last("INVITE", "b"), s.last("INVITE", "c"), s.last("INVITE", "d")
	b.answer(180, "")
	c.answer(180, "")
	d.answer(180, "")
	b.answer(603, "") // declines for himself alone
	d.answer(200, sdpAnswer)
	c.answer(487, "")
	s.groupTalked(t, "group-rings-at-once", "1004", d)
}

func TestGroupAbandoned(t *testing.T) {
	s := newStage(t)
	s.group(voice.RingSimultaneous, "")
	in := s.call("7000")
	b, c, d := s.last("INVITE", "b"), s.last("INVITE", "c"), s.last("INVITE", "d")
	b.answer(180, "")
	c.answer(180, "")
	s.c.must(func() { s.c.cancelled(in, "") })
	s.settle()
	for _, r := range []*sentRequest{b, c, d} {
		r.answer(487, "")
	}
	s.check("group-abandoned")
}

func TestGroupOverflows(t *testing.T) {
	s := newStage(t)
	s.group(voice.RingSimultaneous, "1005")
	s.phone("1005", "e")
	s.call("7000")
	b, c, d := s.last("INVITE", "b"), s.last("INVITE", "c"), s.last("INVITE", "d")
	b.answer(180, "")
	c.answer(180, "")
	s.pass(20 * time.Second)
	for _, r := range []*sentRequest{b, c, d} {
		r.answer(487, "")
	}
	e := s.last("INVITE", "e")
	e.answer(200, sdpAnswer)
	s.groupTalked(t, "group-overflows", "1005", e)
}

func TestGroupRingsInTurn(t *testing.T) {
	s := newStage(t)
	s.group(voice.RingSequential, "")
	s.loads = map[string]load{"1003": {calls: 1}} // is passed over
	s.call("7000")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	s.pass(10 * time.Second)
	b.answer(487, "")
	d := s.last("INVITE", "d")
	d.answer(180, "")
	d.answer(200, sdpAnswer)
	s.groupTalked(t, "group-rings-in-turn", "1004", d)
}

func TestGroupNobodyAnswersInTurn(t *testing.T) {
	s := newStage(t)
	s.group(voice.RingSequential, "")
	in := s.call("7000")
	for _, phone := range []string{"b", "c", "d"} {
		s.last("INVITE", phone).answer(180, "")
		s.last("INVITE", phone).answer(486, "")
	}
	s.check("group-nobody-in-turn")
	if in.last.StatusCode != 480 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
}

func TestGroupRingsLeastLoaded(t *testing.T) {
	s := newStage(t)
	s.group(voice.RingLeastLoaded, "")
	s.plans["7000"].Group.RingBusy = true
	s.loads = map[string]load{"1002": {calls: 1}, "1003": {free: s.clock.Add(-time.Minute)}, "1004": {free: s.clock.Add(-time.Hour)}}
	s.call("7000")
	s.last("INVITE", "d").answer(486, "")
	s.last("INVITE", "c").answer(486, "")
	b := s.last("INVITE", "b")
	b.answer(200, sdpAnswer)
	s.groupTalked(t, "group-least-loaded", "1002", b)
}

func TestGroupWithNobodyThere(t *testing.T) {
	s := newStage(t)
	s.group(voice.RingSimultaneous, "")
	clear(s.phones)
	if in := s.call("7000"); in.last.StatusCode != 480 {
		t.Errorf("the caller got %d", in.last.StatusCode)
	}
	s.check("group-nobody-there")
}
