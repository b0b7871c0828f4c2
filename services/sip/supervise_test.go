package sip

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// supervising is a stage on which 1003 wants to be in the calls of 1002.
func supervising(t *testing.T, mode, scope string, all bool) *stage {
	s := stageOfCalls(t)
	s.meets()
	s.monitors = map[string]monitor{"1002": {Tenant: "demo", Supervisor: "1003", Agent: "1002", Mode: mode, Scope: scope, All: all}}
	return s
}

// hears is who hears whom in the room of the call, by numbers.
func (s *stage) hears() string {
	names := map[string]string{}
	rooms := s.rooms.List(contract.ConferencesRequest{})
	if len(rooms) != 1 {
		return fmt.Sprintf("%d rooms", len(rooms))
	}
	for _, p := range rooms[0].Participants {
		names[p.ID] = p.Number
	}
	of := map[string]map[string]bool{}
	for _, p := range rooms[0].Participants {
		of[p.Number] = map[string]bool{}
		for _, id := range p.Hears {
			of[p.Number][names[id]] = true
		}
	}
	out := ""
	for _, l := range []string{"1001", "1002", "1003"} {
		out += l + ":"
		for _, n := range []string{"1001", "1002", "1003"} {
			if of[l][n] {
				out += n[3:]
			}
		}
		out += " "
	}
	return out
}

func TestSupervision(t *testing.T) {
	for mode, want := range map[string]string{
		modeNormal:  "1001:2 1002:1 1003:12 ",
		modeCoach:   "1001:2 1002:13 1003:12 ",
		modeConnect: "1001:23 1002:13 1003:12 ",
	} {
		t.Run(mode, func(t *testing.T) {
			s := supervising(t, mode, scopeCall, false)
			a, _ := s.twoTalk()
			s.takes("c")
			if got := s.hears(); got != want {
				t.Errorf("who hears whom is %q, want %q", got, want)
			}
			s.pass(time.Minute)
			s.phoneSays(a, "BYE", 7, "")
			s.gone("c", "b")
			s.check("supervision-" + mode)
			if n := len(s.rooms.List(contract.ConferencesRequest{})); n != 0 {
				t.Errorf("%d rooms are left", n)
			}
			if len(s.monitors) != 0 {
				t.Errorf("the one call was it, and %v is left", s.monitors)
			}
		})
	}
}

// A supervisor whispers, speaks to all, only listens again, and hangs up; the two go on.
func TestSupervisorChangesMode(t *testing.T) {
	s := supervising(t, modeNormal, scopeCall, true)
	a, _ := s.twoTalk()
	c := s.takes("c")
	s.ask(voice.RequestSetMuteOff, "1003", "c1", func(r *voice.Request) { r.Extensions = voice.KVList{voice.ExtMonitorMode: modeCoach} })
	if got := s.hears(); got != "1001:2 1002:13 1003:12 " {
		t.Errorf("coaching: %q", got)
	}
	s.ask(voice.RequestSetMuteOff, "1003", "c1", nil)
	if got := s.hears(); got != "1001:23 1002:13 1003:12 " {
		t.Errorf("barging in: %q", got)
	}
	s.ask(voice.RequestSetMuteOn, "1003", "c1", nil)
	s.ask(voice.RequestSetMuteOn, "1003", "c1", nil)
	if got := s.hears(); got != "1001:2 1002:1 1003:12 " {
		t.Errorf("listening: %q", got)
	}
	s.phoneSays(c, "BYE", 7, "")
	if n := len(s.rooms.List(contract.ConferencesRequest{})); n != 0 {
		t.Errorf("two are left in %d rooms", n)
	}
	s.phoneSays(a, "BYE", 8, "")
	s.gone("b")
	s.check("supervision-modes")
}

// One who is hidden is not recorded, as nobody hears him; one who barges in is.
func TestSupervisorsAreRecordedWhereTheyAreHeard(t *testing.T) {
	s := supervising(t, modeNormal, scopeCall, false)
	s.recorded("1002")
	a, _ := s.twoTalk()
	s.takes("c")
	if got := s.tapes[0].heard; got != [2]string{"1001", "1002"} {
		t.Errorf("recorded are %q", got)
	}
	s.ask(voice.RequestSetMuteOff, "1003", "c1", nil)
	if got := s.tapes[0].heard; got != [2]string{"1001", "1002 and 1003"} {
		t.Errorf("recorded are %q", got)
	}
	s.phoneSays(a, "BYE", 8, "")
	s.gone("c", "b")
	s.check("supervision-recorded")
}

// A supervisor who does not answer costs the call nothing.
func TestSupervisorDoesNotAnswer(t *testing.T) {
	s := supervising(t, modeNormal, scopeCall, true)
	a, _ := s.twoTalk()
	c := s.last("INVITE", "c")
	c.answer(180, "")
	c.answer(486, "")
	s.phoneSays(a, "BYE", 7, "")
	s.gone("b")
	s.check("supervision-busy")
}
