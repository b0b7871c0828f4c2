package sip

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	sound "parley/internal/media/audio"
	"parley/internal/voice"
	"parley/services/sip/room"
	"parley/services/sip/treatment"
)

// joinRoom puts the parties of the call into a room. What they say to each other goes on in it, and SIP knows nothing of it.
func (c *call) joinRoom(req *contract.JoinConferenceRequest) error {
	switch {
	case c.inRoom:
		return voice.Errorf(voice.ErrConflict, "call %s is in a conference already; take it out first", c.id.uuid)
	case c.desk != nil && (c.desk.ending || c.desk.route != nil):
		return voice.Errorf(voice.ErrConflict, "call %s leaves its route point just now", c.id.uuid)
	case c.phase == over, c.phase != talking && !c.taken:
		return voice.Errorf(voice.ErrConflict, "call %s is %s; a call enters a conference once it is answered", c.id.uuid, c.phase)
	case c.audio == nil || !c.audio.through():
		return voice.Errorf(voice.ErrConflict, "the audio of call %s goes from phone to phone and not through this node (media.mode)", c.id.uuid)
	}
	if d := c.desk; d != nil {
		if err := c.w.enterRoom(c.roomEntry(caller, req)); err != nil {
			return err // and he hears what he heard
		}
		c.inRoom = true
		c.stopTreatment(treatment.StatusCancelled) // and nobody has to route the call meanwhile
		d.stopHum()
		d.stopPatience()
		return nil
	}
	c.inRoom = true
	c.music() // which gives way
	for _, s := range []side{caller, callee} {
		if c.legs[s] == nil {
			continue
		}
		if err := c.w.enterRoom(c.roomEntry(s, req)); err != nil {
			c.leaveRoom()
			return err
		}
	}
	return nil
}

// roomEntry is a side as a participant.
func (c *call) roomEntry(s side, req *contract.JoinConferenceRequest) room.Entry {
	e := room.Entry{Tenant: c.id.tenant, Room: req.Room, ID: c.id.uuid, CallUUID: c.id.uuid, Number: c.standing(s).dn, Role: req.Role, Of: req.Of,
		Muted: req.Muted, Deaf: req.Deaf, Gain: req.Gain, Quiet: req.Quiet, Voice: c.audio.ends[s].leg}
	e.Muted = e.Muted || c.muted[s] != nil // what was agreed before holds among more, too
	if s == callee {
		e.ID = contract.CalleeOf(c.id.uuid)
	}
	if f := c.audio.ends[s].agreed; len(f) > 0 && strings.EqualFold(f[0].Encoding, "G722") {
		e.Rate = sound.Wide
	}
	return e
}

// leaveRoom takes the parties out of their room, and has them hear each other again; one at a route point waits for a router.
func (c *call) leaveRoom() bool {
	was := c.quitRoom()
	c.music()
	if d := c.desk; d != nil && !d.ending {
		c.hum()
		c.awaitRouter()
	}
	return was
}

// quitRoom takes the parties out of their room for something else that they will hear.
func (c *call) quitRoom() bool {
	was := c.inRoom && c.w.exitRoom(c.id.uuid)
	c.inRoom = false
	return was
}

func (o *outside) enterRoom(e room.Entry) error        { return o.rooms.Enter(e, o.now()) }
func (o *outside) exitRoom(callUUID string) (was bool) { return o.rooms.Leave(callUUID) }

// inCall has a call of the node do something, and waits for it.
func (s *Service) inCall(ctx context.Context, tenant, callUUID string, do func(*call) error) error {
	c := s.find(tenant, callUUID, "")
	if c == nil {
		return voice.Errorf(voice.ErrNotFound, "this node has no call %.64s in progress", callUUID)
	}
	done := make(chan error, 1)
	if !c.post(func() { done <- do(c) }) {
		return voice.Errorf(voice.ErrOverloaded, "too much waits for call %s already", callUUID)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return voice.Errorf(voice.ErrTimeout, "call %s did not answer in time", callUUID)
	}
}

// JoinConference serves contract.JoinConference.
func (s *Service) JoinConference(ctx context.Context, req contract.JoinConferenceRequest) (struct{}, error) {
	return struct{}{}, s.inCall(ctx, req.Tenant, req.CallUUID, func(c *call) error { return c.joinRoom(&req) })
}

// LeaveConference serves contract.LeaveConference.
func (s *Service) LeaveConference(ctx context.Context, req contract.LeaveConferenceRequest) (struct{}, error) {
	return struct{}{}, s.inCall(ctx, req.Tenant, req.CallUUID, func(c *call) error {
		if !c.inRoom || !c.leaveRoom() {
			return voice.Errorf(voice.ErrConflict, "call %s is in no room", c.id.uuid)
		}
		return nil
	})
}

// ChangeConference serves contract.ChangeConference.
func (s *Service) ChangeConference(_ context.Context, req contract.ChangeConferenceRequest) (struct{}, error) {
	return struct{}{}, s.rooms.Change(req)
}

// HearConference serves contract.HearConference.
func (s *Service) HearConference(_ context.Context, req contract.HearConferenceRequest) (struct{}, error) {
	return struct{}{}, s.rooms.Hear(req)
}

// RecordConference serves contract.RecordConference.
func (s *Service) RecordConference(_ context.Context, req contract.RecordConferenceRequest) (contract.RecordConferenceResponse, error) {
	file, err := s.rooms.Record(req, (*outside)(s).now())
	return contract.RecordConferenceResponse{File: file}, err
}

// Conferences serves contract.Conferences.
func (s *Service) Conferences(_ context.Context, req contract.ConferencesRequest) (contract.ConferencesResponse, error) {
	return contract.ConferencesResponse{Conferences: s.rooms.List(req)}, nil
}

// openRooms serves the doors of conferences until stop.
func (s *Service) openRooms(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	for _, open := range []func() (func(), error){
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.JoinConference, s.JoinConference) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.LeaveConference, s.LeaveConference) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.ChangeConference, s.ChangeConference) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.HearConference, s.HearConference) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.RecordConference, s.RecordConference) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.Conferences, s.Conferences) },
	} {
		f, err := open()
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, f)
	}
	return stop, nil
}

// The shapes of the REST interface.
type (
	roomsInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
	}
	roomsOutput struct{ Body contract.ConferencesResponse }
	roomInput   struct {
		Tenant string `path:"tenant" maxLength:"128"`
		Call   string `path:"call_uuid" maxLength:"64"`
		Body   struct {
			Room  string                  `json:"room" maxLength:"64"`
			Role  contract.ConferenceRole `json:"role,omitempty" enum:"talker,observer,coach"`
			Of    string                  `json:"of,omitempty" maxLength:"80" doc:"participant whom a coach coaches"`
			Muted bool                    `json:"muted,omitempty"`
			Deaf  bool                    `json:"deaf,omitempty"`
			Gain  float64                 `json:"gain,omitempty" minimum:"-60" maximum:"20" doc:"dB"`
			Quiet bool                    `json:"quiet,omitempty" doc:"no tone tells the others"`
		}
	}
	partyInput struct {
		Tenant      string `path:"tenant" maxLength:"128"`
		Participant string `path:"participant" maxLength:"80"`
		Body        struct {
			Role  contract.ConferenceRole `json:"role,omitempty" enum:"talker,observer,coach"`
			Of    string                  `json:"of,omitempty" maxLength:"80"`
			Muted *bool                   `json:"muted,omitempty"`
			Deaf  *bool                   `json:"deaf,omitempty"`
			Gain  *float64                `json:"gain,omitempty" minimum:"-60" maximum:"20"`
		}
	}
	recordInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
		Room   string `path:"room" maxLength:"64"`
		Body   struct {
			On bool `json:"on"`
		}
	}
	recordOutput struct {
		Body contract.RecordConferenceResponse
	}
)

// mayWrite is the right to change what happens to calls of a tenant.
func mayWrite(ctx context.Context, tenant string) error {
	if !httpapi.PrincipalFrom(ctx).MayWrite(tenant) {
		return forbidden()
	}
	return nil
}

// done is the answer to what has no content.
func done(err error) (*struct{}, error) {
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return nil, nil
}

// conferenceRoutes adds the operations on rooms of this node.
func (s *Service) conferenceRoutes(api huma.API) {
	tags := []string{"conferences"}
	huma.Register(api, huma.Operation{
		OperationID: "listConferences", Method: http.MethodGet, Path: "/api/v1/tenants/{tenant}/conferences", Tags: tags,
		Summary: "Conferences on this node, with those in them and who hears whom",
	}, func(ctx context.Context, in *roomsInput) (*roomsOutput, error) {
		if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
			return nil, forbidden()
		}
		r, err := s.Conferences(ctx, contract.ConferencesRequest{Tenant: in.Tenant})
		return &roomsOutput{r}, err
	})
	huma.Register(api, huma.Operation{
		OperationID: "joinConference", Method: http.MethodPut, Path: "/api/v1/tenants/{tenant}/calls/{call_uuid}/conference", Tags: tags,
		Summary: "Put the parties of a call into a conference", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *roomInput) (*struct{}, error) {
		if err := mayWrite(ctx, in.Tenant); err != nil {
			return nil, err
		}
		b := in.Body
		_, err := s.JoinConference(ctx, contract.JoinConferenceRequest{Tenant: in.Tenant, CallUUID: in.Call, Room: b.Room, Role: b.Role, Of: b.Of,
			Muted: b.Muted, Deaf: b.Deaf, Gain: b.Gain, Quiet: b.Quiet})
		return done(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "leaveConference", Method: http.MethodDelete, Path: "/api/v1/tenants/{tenant}/calls/{call_uuid}/conference", Tags: tags,
		Summary: "Take a call out of its conference", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *callInput) (*struct{}, error) {
		if err := mayWrite(ctx, in.Tenant); err != nil {
			return nil, err
		}
		_, err := s.LeaveConference(ctx, contract.LeaveConferenceRequest{Tenant: in.Tenant, CallUUID: in.Call})
		return done(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "changeParticipant", Method: http.MethodPatch, Path: "/api/v1/tenants/{tenant}/participants/{participant}", Tags: tags,
		Summary: "Change the role of a participant, mute, deafen, make louder or softer", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *partyInput) (*struct{}, error) {
		if err := mayWrite(ctx, in.Tenant); err != nil {
			return nil, err
		}
		b := in.Body
		_, err := s.ChangeConference(ctx, contract.ChangeConferenceRequest{Tenant: in.Tenant, Participant: in.Participant, Role: b.Role, Of: b.Of,
			Muted: b.Muted, Deaf: b.Deaf, Gain: b.Gain})
		return done(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "recordConference", Method: http.MethodPut, Path: "/api/v1/tenants/{tenant}/conferences/{room}/recording", Tags: tags,
		Summary: "Begin or end the recording of a conference",
	}, func(ctx context.Context, in *recordInput) (*recordOutput, error) {
		if err := mayWrite(ctx, in.Tenant); err != nil {
			return nil, err
		}
		r, err := s.RecordConference(ctx, contract.RecordConferenceRequest{Tenant: in.Tenant, Room: in.Room, On: in.Body.On})
		if err != nil {
			return nil, httpapi.Problem(err)
		}
		return &recordOutput{r}, nil
	})
}
