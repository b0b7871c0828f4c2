package cdr

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// The shapes of the REST interface.
type (
	// Filter chooses records; huma sees exported embedded structs only.
	Filter struct {
		Tenant  string    `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		Text    string    `query:"text" maxLength:"64" doc:"Part of the caller's number or name, or of the dialled or answered number; case does not matter"`
		Caller  string    `query:"caller" maxLength:"128" doc:"Who called, the whole number"`
		Dialled string    `query:"dialled" maxLength:"128" doc:"What was dialled, the whole number"`
		Trunk   string    `query:"trunk" maxLength:"128" doc:"The trunk that the call came or left by"`
		Outcome string    `query:"outcome" enum:"answered,abandoned,busy,no-answer,rejected,failed" doc:"How it ended"`
		Type    string    `query:"type" enum:"internal,inbound,outbound,consult" doc:"Which way it went"`
		From    time.Time `query:"from" doc:"Calls that began then or later (RFC 3339)"`
		Until   time.Time `query:"until" doc:"Calls that began before (RFC 3339)"`
		MaxMOS  float64   `query:"max_mos" minimum:"1" maximum:"5" doc:"Calls whose lowest mean opinion score, of either side and direction, is known and at most this"`
		MinTalk int       `query:"min_talk" minimum:"0" maximum:"31536000" doc:"Least time from answer to end, in seconds"`
	}
	listInput struct {
		Filter
		After string `query:"after" maxLength:"256" doc:"The next of the page before"`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Records on a page"`
	}
	getInput struct {
		Tenant   string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		CallUUID string `path:"call_uuid" maxLength:"128"`
	}
	listOutput struct{ Body List }
	getOutput  struct{ Body voice.CDR }
)

// List is one page of records, newest first.
type List struct {
	Records []voice.CDR `json:"records" nullable:"false"`
	Next    string      `json:"next,omitempty" doc:"The after of the next page; absent on the last one"`
}

// types are the call types that can be asked for.
var types = map[string]voice.CallType{
	"internal": voice.CallInternal, "inbound": voice.CallInbound, "outbound": voice.CallOutbound, "consult": voice.CallConsult,
}

// Routes adds the operations to a REST interface. Supervisors and administrators read the records of their tenant, the
// system role those of all.
func (s *Service) Routes(api huma.API) {
	const base = "/api/v1/tenants/{tenant}/cdrs"
	huma.Register(api, operation("list-cdrs", base, "Call detail records, newest first"), s.listREST)
	huma.Register(api, operation("get-cdr", base+"/{call_uuid}", "The record of one call attempt"), s.getREST)
	export := operation("export-cdrs", base+".csv", "Call detail records as CSV (RFC 4180), newest first")
	export.Description = "The first line names the columns. Times are UTC, durations seconds. A cell that a spreadsheet would take for a formula begins " +
		"with an apostrophe. A connection that breaks off before the end means that the rest could not be read."
	export.Responses = map[string]*huma.Response{"200": {
		Description: "OK", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	huma.Register(api, export, s.exportREST)
}

func operation(id, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Tags: []string{"cdrs"}}
}

// mayRead is the right to the records of a tenant.
func mayRead(ctx context.Context, tenant string) error {
	if !httpapi.PrincipalFrom(ctx).MayRead(tenant) {
		return httpapi.Problem(voice.Errorf(voice.ErrForbidden, "your roles do not allow this"))
	}
	return nil
}

func (f *Filter) query() contract.CDRQuery {
	return contract.CDRQuery{
		Tenant: f.Tenant, Text: f.Text, Caller: f.Caller, Dialled: f.Dialled, Trunk: f.Trunk, Outcome: voice.Outcome(f.Outcome), Type: types[f.Type],
		From: f.From, Until: f.Until, MinTalk: time.Duration(f.MinTalk) * time.Second, MaxMOS: f.MaxMOS,
	}
}

func (s *Service) listREST(ctx context.Context, in *listInput) (*listOutput, error) {
	if err := mayRead(ctx, in.Tenant); err != nil {
		return nil, err
	}
	q := in.query()
	q.After, q.Limit = in.After, in.Limit
	page, err := s.List(ctx, q)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	out := &listOutput{List{Records: page.Records, Next: page.Next}}
	if out.Body.Records == nil {
		out.Body.Records = []voice.CDR{}
	}
	return out, nil
}

func (s *Service) getREST(ctx context.Context, in *getInput) (*getOutput, error) {
	if err := mayRead(ctx, in.Tenant); err != nil {
		return nil, err
	}
	r, err := s.Get(ctx, contract.CDRKey{Tenant: in.Tenant, CallUUID: in.CallUUID})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &getOutput{r}, nil
}

func (s *Service) exportREST(ctx context.Context, in *struct{ Filter }) (*huma.StreamResponse, error) {
	if err := mayRead(ctx, in.Tenant); err != nil {
		return nil, err
	}
	body, err := contract.CDRCSV(ctx, s.List, in.query())
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return httpapi.Stream(body, "Content-Type", contract.CDRContentType,
		"Content-Disposition", fmt.Sprintf("attachment; filename=%q", strings.Map(fileRune, "cdrs-"+in.Tenant)+".csv")), nil
}

// fileRune keeps what every file system takes.
func fileRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
		return r
	}
	return '_'
}
