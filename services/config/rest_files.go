package config

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/store"
	"parley/internal/voice"
)

// Change is one entry of the history.
type Change struct {
	voice.ConfigChanged
	Before any `json:"before,omitempty" doc:"The body before, without secrets"`
	After  any `json:"after,omitempty" doc:"The body after, without secrets"`
}

// HistoryPage is one page of the history, newest first.
type HistoryPage struct {
	Changes []Change `json:"changes" nullable:"false"`
	Next    int64    `json:"next,omitempty" doc:"The before of the next page; absent on the last one"`
}

type historyPage struct{ Body HistoryPage }

// HistoryFilter chooses changes.
type HistoryFilter struct {
	Kind   string `query:"kind" maxLength:"64" doc:"Only changes of this kind"`
	Key    string `query:"key" maxLength:"256" doc:"Only changes of resources with this key"`
	Before int64  `query:"before" minimum:"0" doc:"Only changes with a lower number: the next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Entries on a page"`
}

func (s *Service) registerHistory(api huma.API) {
	tags := []string{"history"}
	huma.Register(api, huma.Operation{
		OperationID: "history", Method: http.MethodGet, Path: apiBase + "/tenants/{tenant}/history", Tags: tags,
		Summary: "Changes of a tenant's resources, newest first",
	}, func(ctx context.Context, in *struct {
		TenantPath
		HistoryFilter
	}) (*historyPage, error) {
		if err := mayRead(ctx, id{tenant: in.Tenant}); err != nil {
			return nil, err
		}
		if _, err := s.tenant(ctx, in.Tenant); err != nil {
			return nil, httpapi.Problem(err)
		}
		return s.historyREST(ctx, in.Tenant, in.HistoryFilter)
	})
	huma.Register(api, huma.Operation{
		OperationID: "history-all", Method: http.MethodGet, Path: apiBase + "/history", Tags: tags,
		Summary: "Changes of everything, the tenants themselves included, newest first",
	}, func(ctx context.Context, in *struct{ HistoryFilter }) (*historyPage, error) {
		if !httpapi.PrincipalFrom(ctx).Has(voice.RoleSystem) {
			return nil, httpapi.Problem(voice.ErrForbidden)
		}
		return s.historyREST(ctx, "", in.HistoryFilter)
	})
}

func (s *Service) historyREST(ctx context.Context, tenant string, f HistoryFilter) (*historyPage, error) {
	res, err := s.History(ctx, contract.ConfigHistoryRequest{Tenant: tenant, Kind: voice.Kind(f.Kind), Key: f.Key, Before: f.Before, Limit: f.Limit})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	out := &historyPage{Body: HistoryPage{Changes: make([]Change, len(res.Changes)), Next: res.Next}}
	for i, c := range res.Changes {
		out.Body.Changes[i].ConfigChanged = c.ConfigChanged
		if len(c.Before) > 0 {
			out.Body.Changes[i].Before = c.Before
		}
		if len(c.After) > 0 {
			out.Body.Changes[i].After = c.After
		}
	}
	return out, nil
}

// ApplyInput is a provisioning file: its text, or as application/json a contract.ConfigApplyRequest, which can carry
// the files that the text refers to.
type ApplyInput struct {
	ContentType string `header:"Content-Type" doc:"application/yaml, or application/json for a file together with others it refers to"`
	DryRun      bool   `query:"dry_run" doc:"Change nothing, tell what would change"`
	Prune       bool   `query:"prune" doc:"Also delete what the file does not name, within the tenants and kinds it names"`
	File        string `query:"file" maxLength:"256" doc:"Name of the file, for messages"`
	RawBody     []byte `contentType:"application/yaml"`
}

func (s *Service) registerFiles(api huma.API) {
	tags := []string{"files"}
	huma.Register(api, huma.Operation{
		OperationID: "apply", Method: http.MethodPost, Path: apiBase + "/apply", Tags: tags,
		Summary:     "Make the configuration what a provisioning file says",
		Description: "All of the file is taken, or nothing. Applying it again changes nothing.", MaxBodyBytes: maxApply,
	}, s.applyREST)
	huma.Register(api, huma.Operation{
		OperationID: "export", Method: http.MethodGet, Path: apiBase + "/export", Tags: tags,
		Summary: "Everything, as a provisioning file",
		Responses: map[string]*huma.Response{"200": {
			Description: "A provisioning file", Content: map[string]*huma.MediaType{yamlType: {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, s.exportREST)
}

func (s *Service) applyREST(ctx context.Context, in *ApplyInput) (*struct {
	Body contract.ConfigApplyResponse
}, error) {
	req := contract.ConfigApplyRequest{File: in.File, YAML: in.RawBody, DryRun: in.DryRun, Prune: in.Prune}
	if strings.HasPrefix(in.ContentType, "application/json") {
		if err := json.Unmarshal(in.RawBody, &req); err != nil {
			return nil, httpapi.Problem(voice.Invalid(jsonProblem(err)))
		}
		req.DryRun, req.Prune = req.DryRun || in.DryRun, req.Prune || in.Prune
	}
	req.User = author(ctx, "")
	res, err := s.apply(ctx, req, rightsOf(httpapi.PrincipalFrom(ctx)))
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &struct {
		Body contract.ConfigApplyResponse
	}{res}, nil
}

// ExportInput chooses what is exported.
type ExportInput struct {
	Accept  string `header:"Accept" doc:"application/json for a contract.ConfigExportResponse instead of the file itself"`
	Tenant  string `query:"tenant" maxLength:"128" doc:"Only this tenant"`
	Secrets bool   `query:"secrets" doc:"With the hashes of passwords, so that an apply elsewhere keeps the passwords"`
}

type exportOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Service) exportREST(ctx context.Context, in *ExportInput) (*exportOutput, error) {
	if err := s.mayExport(ctx, in.Tenant, in.Secrets); err != nil {
		return nil, httpapi.Problem(err)
	}
	res, err := s.Export(ctx, contract.ConfigExportRequest{Tenant: in.Tenant, Secrets: in.Secrets})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	if in.Accept != "application/json" {
		return &exportOutput{yamlType, res.YAML}, nil
	}
	body, err := json.Marshal(res)
	if err != nil {
		return nil, fmt.Errorf("render export: %w", err)
	}
	return &exportOutput{"application/json", body}, nil
}

// mayExport asks for the right to read, and with secrets to write; the hashes of persons with the role system are for
// that role alone.
func (s *Service) mayExport(ctx context.Context, tenant string, secrets bool) error {
	who := httpapi.PrincipalFrom(ctx)
	if who.Has(voice.RoleSystem) {
		return nil
	}
	if tenant == "" || !who.MayRead(tenant) || secrets && !who.MayWrite(tenant) {
		return voice.ErrForbidden
	}
	if !secrets {
		return nil
	}
	holders, err := s.store.Referrers(ctx, tenant, store.Ref{Kind: claimSystem, Key: "system"}, 1)
	if err == nil && len(holders) > 0 {
		err = voice.Errorf(voice.ErrForbidden, "tenant %q has persons with the role system; only that role may export their hashes", tenant)
	}
	return err
}
