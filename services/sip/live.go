package sip

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

func (p phase) String() string {
	return [...]string{"routing", "queued", "alerting", "answered", "talking", "over"}[p]
}

// show leaves a picture of the call for those who look from outside its mailbox.
func (c *call) show() {
	v := &contract.LiveCall{
		CallUUID: c.conv.id.uuid, Tenant: c.id.tenant, Node: c.id.node, Type: c.conv.id.kind.String(), State: c.phase.String(),
		Caller: c.from.shown, Dialled: c.dialled, Callee: c.rings, TrunkIn: c.from.trunk, TrunkOut: c.trunkOut(),
		SIPCallID: c.conv.sipID, Start: c.conv.times.start.UTC(), Ringing: c.conv.times.ring, Answer: c.conv.times.answer,
		CallerMOS: c.hearing.mos[caller], CalleeMOS: c.hearing.mos[callee],
	}
	c.queueView(v)
	c.view.Store(v)
	c.conv.followTape()
	c.conv.supervise()
	c.save()
}

// trunkOut is the trunk the call left by, or tried last.
func (c *call) trunkOut() string {
	last := ""
	for _, b := range c.branches {
		if b.trunk != "" {
			if last = b.trunk; b.leg == c.legs[callee] {
				break
			}
		}
	}
	return last
}

const (
	callsShown    = 100
	maxCallsShown = 1000
)

// Calls serves contract.Calls.
func (s *Service) Calls(_ context.Context, req contract.CallsRequest) (contract.CallsResponse, error) {
	resp := contract.CallsResponse{Calls: []contract.LiveCall{}}
	var only map[string]bool
	if len(req.CallUUIDs) > 0 {
		only = make(map[string]bool, len(req.CallUUIDs))
		for _, id := range req.CallUUIDs {
			only[id] = true
		}
	}
	for _, c := range s.all() {
		v := c.view.Load()
		if v == nil || v.State == over.String() || req.Tenant != "" && v.Tenant != req.Tenant {
			continue
		}
		resp.Total++
		if only == nil || only[v.CallUUID] {
			resp.Calls = append(resp.Calls, *v)
		}
	}
	slices.SortFunc(resp.Calls, func(a, b contract.LiveCall) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.CallUUID, b.CallUUID))
	})
	limit := min(cmp.Or(max(req.Limit, 0), callsShown), maxCallsShown)
	resp.Calls = resp.Calls[:min(len(resp.Calls), limit)]
	return resp, nil
}

// HangUp serves contract.HangUp.
func (s *Service) HangUp(_ context.Context, req contract.HangUpRequest) (struct{}, error) {
	c := s.find(req.Tenant, req.CallUUID, "")
	if c == nil {
		return struct{}{}, voice.Errorf(voice.ErrNotFound, "this node has no call %.64s in progress", req.CallUUID)
	}
	c.must(func() {
		why := "ended by " + clean(req.By)
		if c.conv == nil {
			c.fail(outcome{status: 480, reason: why})
			return
		}
		for _, c := range slices.Clone(c.conv.calls) {
			c.release(why, "system")
		}
	})
	return struct{}{}, nil
}

// openDoors serves the doors until stop.
func (s *Service) openDoors(ctx context.Context) (stop func(), err error) {
	stopCalls, err := fabric.Handle(ctx, s.f, contract.Calls, s.Calls)
	if err != nil {
		return nil, err
	}
	stopHangUp, err := fabric.Handle(ctx, s.f, contract.HangUp, s.HangUp)
	if err != nil {
		stopCalls()
		return nil, err
	}
	stopTrunks, err := fabric.Handle(ctx, s.f, contract.Trunks, s.Trunks)
	if err != nil {
		stopCalls()
		stopHangUp()
		return nil, err
	}
	stopRooms, err := s.openRooms(ctx)
	if err != nil {
		stopCalls()
		stopHangUp()
		stopTrunks()
		return nil, err
	}
	stopQueue, err := s.openQueueDoors(ctx)
	if err != nil {
		stopCalls()
		stopHangUp()
		stopTrunks()
		stopRooms()
		return nil, err
	}
	stopFind, err := fabric.Handle(ctx, s.f, contract.FindDialog, s.FindDialog)
	if err != nil {
		stopCalls()
		stopHangUp()
		stopTrunks()
		stopRooms()
		stopQueue()
		return nil, err
	}
	return func() {
		stopCalls()
		stopHangUp()
		stopTrunks()
		stopRooms()
		stopQueue()
		stopFind()
	}, nil
}

// The shapes of the REST interface.
type (
	callsInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	callsOutput struct{ Body contract.CallsResponse }
	callInput   struct {
		Tenant string `path:"tenant" maxLength:"128"`
		Call   string `path:"call_uuid" maxLength:"64"`
	}
)

func forbidden() error {
	return httpapi.Problem(voice.Errorf(voice.ErrForbidden, "your roles do not allow this"))
}

// Routes adds the node's operations to a REST interface: calls in progress may be seen by who may read the tenant and ended
// by who may write it.
func (s *Service) Routes(api huma.API) {
	s.trunkRoutes(api)
	s.conferenceRoutes(api)
	s.tapes.Routes(api)
	huma.Register(api, huma.Operation{
		OperationID: "listCalls", Method: http.MethodGet, Path: "/api/v1/tenants/{tenant}/calls", Tags: []string{"calls"},
		Summary: "Calls in progress on this node, the oldest first",
	}, func(ctx context.Context, in *callsInput) (*callsOutput, error) {
		if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
			return nil, forbidden()
		}
		r, err := s.Calls(ctx, contract.CallsRequest{Tenant: in.Tenant, Limit: in.Limit})
		return &callsOutput{r}, err
	})
	huma.Register(api, huma.Operation{
		OperationID: "hangUp", Method: http.MethodDelete, Path: "/api/v1/tenants/{tenant}/calls/{call_uuid}", Tags: []string{"calls"},
		Summary: "End a call", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *callInput) (*struct{}, error) {
		who := httpapi.PrincipalFrom(ctx)
		if !who.MayWrite(in.Tenant) {
			return nil, forbidden()
		}
		if _, err := s.HangUp(ctx, contract.HangUpRequest{Tenant: in.Tenant, CallUUID: in.Call, By: who.User}); err != nil {
			return nil, httpapi.Problem(err)
		}
		return nil, nil
	})
}
