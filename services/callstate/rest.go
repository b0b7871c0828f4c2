package callstate

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
	"parley/services/callstate/model"
)

// The shapes of the REST interface.
type (
	callsInput struct {
		Tenant   string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		ConnID   string `query:"conn_id" maxLength:"128" doc:"ConnID, the present one or one that the call had before a merger"`
		ThreadID string `query:"thread" maxLength:"128" doc:"CallThreadID"`
		DN       string `query:"dn" maxLength:"128" doc:"A party of the call"`
		Node     string `query:"node" maxLength:"128" doc:"The node that has it"`
		Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	callInput struct {
		Tenant string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		ID     string `path:"id" maxLength:"128" doc:"CallUUID, or ConnID"`
	}
	threadInput struct {
		Tenant string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		ID     string `path:"id" maxLength:"128" doc:"CallThreadID"`
	}
	dataInput struct {
		Tenant string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		ID     string `path:"id" maxLength:"128" doc:"CallUUID, or ConnID"`
		Body   DataChange
	}
	callsOutput      struct{ Body contract.FindCallsResponse }
	callOutput       struct{ Body voice.Call }
	dataOutput       struct{ Body contract.SetUserDataResponse }
	invariantsOutput struct{ Body contract.InvariantsResponse }
)

// DataChange is a change of user data.
type DataChange struct {
	ThisDN   string       `json:"ThisDN,omitempty" maxLength:"128" doc:"The party for which it is asked; absent: the first one of the call"`
	UserData voice.KVList `json:"UserData" doc:"Pairs to set; other pairs stay as they are"`
	Version  int64        `json:"UserDataVersion,omitempty" minimum:"0" doc:"Only if the user data are of this version; absent or 0: whatever it is"`
}

// Routes adds the operations to a REST interface. Calls are seen by who may read the tenant, and their data changed by who may
// write it; invariants concern the platform and are shown to the system role.
func (s *Service) Routes(api huma.API) {
	const base = "/api/v1/tenants/{tenant}"
	add := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"calls"}}
	}
	huma.Register(api, add("find-calls", http.MethodGet, base+"/calls", "Calls in progress on all nodes, the oldest first"), s.callsREST)
	huma.Register(api, add("get-call", http.MethodGet, base+"/calls/{id}", "A call in progress"), s.callREST)
	huma.Register(api, add("get-thread", http.MethodGet, base+"/threads/{id}", "The calls in progress that belong together"), s.threadREST)
	huma.Register(api, add("set-user-data", http.MethodPatch, base+"/calls/{id}/user-data", "Change the user data of a call; 409 when they are of another version"), s.dataREST)
	op := add("invariants", http.MethodGet, "/api/v1/invariants", "What may never happen to calls, how often it did, and to which")
	op.Tags = []string{"invariants"}
	huma.Register(api, op, s.invariantsREST)
}

func forbidden() error {
	return httpapi.Problem(voice.Errorf(voice.ErrForbidden, "your roles do not allow this"))
}

func (s *Service) findREST(ctx context.Context, req contract.FindCallsRequest) (*callsOutput, error) {
	if !httpapi.PrincipalFrom(ctx).MayRead(req.Tenant) {
		return nil, forbidden()
	}
	r, err := s.Find(ctx, req)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &callsOutput{r}, nil
}

func (s *Service) callsREST(ctx context.Context, in *callsInput) (*callsOutput, error) {
	return s.findREST(ctx, contract.FindCallsRequest{
		Tenant: in.Tenant, ConnID: in.ConnID, ThreadID: in.ThreadID, DN: in.DN, Node: in.Node, Limit: in.Limit,
	})
}

func (s *Service) threadREST(ctx context.Context, in *threadInput) (*callsOutput, error) {
	out, err := s.findREST(ctx, contract.FindCallsRequest{Tenant: in.Tenant, ThreadID: in.ID, Limit: maxCallsFound})
	if err == nil && out.Body.Total == 0 {
		return nil, httpapi.Problem(voice.Errorf(voice.ErrNotFound, "there is no call in progress of thread %.64s", in.ID))
	}
	return out, err
}

func (s *Service) callREST(ctx context.Context, in *callInput) (*callOutput, error) {
	if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
		return nil, forbidden()
	}
	c, err := s.oneByEither(in.Tenant, in.ID)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &callOutput{c}, nil
}

// oneByEither is a call by its CallUUID or ConnID.
func (s *Service) oneByEither(tenant, id string) (voice.Call, error) {
	c, err := s.one(tenant, id)
	if err == nil || id == "" {
		return c, err
	}
	if calls, _ := s.model.Find(model.Query{Tenant: tenant, ConnID: id, Limit: 1}); len(calls) > 0 {
		return calls[0], nil
	}
	return c, err
}

func (s *Service) dataREST(ctx context.Context, in *dataInput) (*dataOutput, error) {
	who := httpapi.PrincipalFrom(ctx)
	if !who.MayWrite(in.Tenant) {
		return nil, forbidden()
	}
	c, err := s.oneByEither(in.Tenant, in.ID)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	r, err := s.SetUserData(ctx, contract.SetUserDataRequest{
		Tenant: in.Tenant, CallUUID: c.CallUUID, ThisDN: in.Body.ThisDN, UserData: in.Body.UserData, Version: in.Body.Version, User: who.User,
	})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &dataOutput{r}, nil
}

func (s *Service) invariantsREST(ctx context.Context, _ *struct{}) (*invariantsOutput, error) {
	if !httpapi.PrincipalFrom(ctx).Has(voice.RoleSystem) {
		return nil, httpapi.Problem(voice.Errorf(voice.ErrForbidden, "invariants are shown to the role system"))
	}
	r, err := s.Invariants(ctx, struct{}{})
	return &invariantsOutput{r}, err
}
