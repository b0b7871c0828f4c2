package sip

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/media/prompt"
	"parley/internal/voice"
	"parley/services/sip/room"
)

// meeting is a stage with rooms.
func meeting(t *testing.T) *stage {
	s := carried(t)
	s.meets()
	return s
}

// meets gives the stage rooms.
func (s *stage) meets() {
	t := s.t
	t.Helper()
	prompts, err := prompt.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.rooms = room.New(room.Options{Node: "n1", Prompts: prompts, Registry: prometheus.NewRegistry()})
	t.Cleanup(s.rooms.Close)
}

func people(s *stage) (ids []string) {
	for _, c := range s.rooms.List(contract.ConferencesRequest{}) {
		for _, p := range c.Participants {
			ids = append(ids, p.Number)
		}
	}
	return ids
}

// Two who talk enter a conference. One holds meanwhile, which is no reason for music; they leave it, and hold music is back;
// the call ends in another one.
func TestConference(t *testing.T) {
	s := meeting(t)
	_, b := s.talk()
	join := &contract.JoinConferenceRequest{Tenant: s.c.id.tenant, CallUUID: s.c.id.uuid, Room: "r"}
	if err := s.c.joinRoom(join); err != nil {
		t.Fatal(err)
	}
	if got := people(s); len(got) != 2 || got[0] != "1001" || got[1] != "1002" {
		t.Errorf("in the room are %v", got)
	}
	if err := s.c.joinRoom(join); !errors.Is(err, voice.ErrConflict) {
		t.Errorf("joining twice: %v", err)
	}
	if got := people(s); len(got) != 2 || !s.c.inRoom {
		t.Errorf("after that in the room are %v", got)
	}
	s.callerSays("INVITE", 2, offer+"a=sendonly\r\n")
	s.last("INVITE", "b").answer(200, sdpAnswer+"a=recvonly\r\n")
	s.callerSays("ACK", 2, "")
	if !s.c.leaveRoom() || s.c.leaveRoom() {
		t.Error("leaving does not say who was there")
	}
	join.Room = "other"
	if err := s.c.joinRoom(join); err != nil {
		t.Fatal(err)
	}
	s.overBy(b)
	if got := people(s); len(got) != 0 {
		t.Errorf("after the call in the room are %v", got)
	}
	s.check("conference")
}

// A caller at a route point: a treatment gives way to the conference, the conference to the next treatment. In a conference nobody
// has to route the call; out of it, somebody has.
func TestConferenceAtRoutePoint(t *testing.T) {
	s := newStage(t)
	s.meets()
	s.queueing(nil)
	s.call("9000")
	s.callerSays("ACK", 1, "")
	join := &contract.JoinConferenceRequest{Tenant: s.c.id.tenant, CallUUID: s.c.id.uuid, Room: "r"}
	enters := func() {
		t.Helper()
		s.line("router", "node", "into the conference")
		if err := s.c.joinRoom(join); err != nil {
			t.Fatal(err)
		}
		if got := people(s); len(got) != 1 || got[0] != "1001" {
			t.Errorf("in the room are %v", got)
		}
	}
	s.treat(voice.TreatmentPlayAnnouncement, 1, prompts("welcome"))
	enters()
	s.pass(5 * time.Minute)
	s.treat(voice.TreatmentMusic, 2, nil)
	if got := people(s); len(got) != 0 || s.c.inRoom {
		t.Errorf("during a treatment in the room are %v", got)
	}
	enters()
	s.line("router", "node", "out of the conference")
	s.c.leaveRoom()
	enters()
	s.phone("1002", "b")
	s.routes("1002", 3)
	if err := s.c.joinRoom(join); !errors.Is(err, voice.ErrConflict) {
		t.Errorf("joining twice: %v", err)
	}
	b := s.last("INVITE", "b")
	b.answer(200, sdpAnswer)
	if got := people(s); len(got) != 0 || s.c.inRoom {
		t.Errorf("after the answer in the room are %v", got)
	}
	s.overBy(b)
	s.check("route-point-conference")
}

func TestNoConference(t *testing.T) {
	s := meeting(t)
	s.phone("1002", "b")
	s.call("1002")
	req := &contract.JoinConferenceRequest{Tenant: s.c.id.tenant, CallUUID: s.c.id.uuid, Room: "r"}
	if err := s.c.joinRoom(req); !errors.Is(err, voice.ErrConflict) {
		t.Errorf("a call that rings: %v", err)
	}
	direct := newStage(t)
	direct.talk()
	if err := direct.c.joinRoom(req); !errors.Is(err, voice.ErrConflict) {
		t.Errorf("a call whose audio goes from phone to phone: %v", err)
	}
	s = meeting(t)
	s.talk()
	req.Room = "no room!"
	if err := s.c.joinRoom(req); !errors.Is(err, voice.ErrInvalid) || s.c.inRoom || len(people(s)) != 0 {
		t.Errorf("a room with a bad name: %v", err)
	}
}

// A request that cannot be done leaves a caller at a route point with what he hears.
func TestRefusedConferenceAtRoutePoint(t *testing.T) {
	s := newStage(t)
	s.meets()
	s.queueing(nil)
	s.call("9000")
	s.callerSays("ACK", 1, "")
	s.treat(voice.TreatmentPlayAnnouncementAndDigits, 1, with(prompts("menu"), "MAX_DIGITS", 1))
	heard := s.playing
	req := &contract.JoinConferenceRequest{Tenant: s.c.id.tenant, CallUUID: s.c.id.uuid, Room: "../x"}
	if err := s.c.joinRoom(req); !errors.Is(err, voice.ErrInvalid) || s.c.inRoom {
		t.Errorf("joined: %v, %v", err, s.c.inRoom)
	}
	if s.playing != heard || heard == nil || s.c.desk.running == nil {
		t.Errorf("the caller hears %v and has treatment %v", s.playing, s.c.desk.running)
	}
}
