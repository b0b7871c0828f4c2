package config

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

const (
	apiBase     = "/api/v1"
	yamlType    = "application/yaml"
	maxApply    = 22 << 20 // bytes of a request with a provisioning file: in JSON it grows by a third
	maxResource = 3 << 20  // bytes of a request with one resource
)

func (s *Service) server() *httpapi.Server {
	server := httpapi.New(httpapi.Options{
		Service: "config", Title: "Parley config service: tenants and what is provisioned for them", Version: s.version,
		Registry: s.registry, Health: s.health, Verify: s.verify, Log: s.log,
	})
	api := server.API()
	registerTenants(s, api)
	register[voice.DN](s, api, voice.KindDN, "directory number")
	register[voice.Skill](s, api, voice.KindSkill, "skill")
	register[voice.Place](s, api, voice.KindPlace, "place")
	register[voice.Person](s, api, voice.KindPerson, "person")
	register[voice.Script](s, api, voice.KindScript, "script")
	register[voice.BusinessHours](s, api, voice.KindBusinessHours, "set of business hours")
	register[voice.List](s, api, voice.KindList, "list")
	register[voice.VoicemailProfile](s, api, voice.KindVoicemailProfile, "voicemail profile")
	register[voice.Mailbox](s, api, voice.KindMailbox, "mailbox")
	register[voice.Partition](s, api, voice.KindPartition, "partition")
	register[voice.CallingProfile](s, api, voice.KindCallingProfile, "calling profile")
	s.registerScripts(api)
	s.registerHistory(api)
	s.registerFiles(api)
	return server
}

// Resource is a resource with the body of its kind.
type Resource[T any] struct {
	Tenant    string     `json:"tenant"`
	Kind      voice.Kind `json:"kind"`
	Key       string     `json:"key"`
	Version   int64      `json:"version" doc:"1 when created, one more with each change; also the ETag"`
	Body      T          `json:"body"`
	UpdatedAt time.Time  `json:"updated_at"`
	UpdatedBy string     `json:"updated_by"`
}

// List is one page of resources.
type List[T any] struct {
	Resources []Resource[T] `json:"resources" nullable:"false"`
	Next      string        `json:"next,omitempty" doc:"The after of the next page; absent on the last one"`
	Total     int           `json:"total" doc:"Entries on all pages"`
}

// TenantPath, ResourcePath, Filter and Conditions are pieces of inputs; huma sees exported ones only.
type (
	TenantPath struct {
		Tenant string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
	}
	ResourcePath struct {
		TenantPath
		Key string `path:"key" maxLength:"256" doc:"Number or name of the resource"`
	}
	Filter struct {
		httpapi.PageParams
		Match string `query:"match" maxLength:"128" doc:"Only what has this in its key or name; case does not matter"`
	}
	Conditions struct {
		IfMatch     string `header:"If-Match" doc:"The ETag of the version that is replaced; * for whatever there is"`
		IfNoneMatch string `header:"If-None-Match" doc:"* to create only"`
	}
	Precondition struct {
		IfMatch string `header:"If-Match" doc:"The ETag of the version that is deleted"`
	}
	Raw struct {
		RawBody []byte `contentType:"application/json"`
	}
)

func (p TenantPath) id() id                  { return id{voice.SystemTenant, voice.KindTenant, p.Tenant} }
func (p ResourcePath) id(kind voice.Kind) id { return id{p.Tenant, kind, p.Key} }

type one[T any] struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Resource[T]
}

type page[T any] struct{ Body List[T] }

func registerTenants(s *Service, api huma.API) {
	const name, word, base = voice.KindTenant, "tenant", apiBase + "/tenants"
	huma.Register(api, operation(name, "list", http.MethodGet, base, "List the tenants you may see"),
		func(ctx context.Context, in *struct{ Filter }) (*page[voice.Tenant], error) {
			return listREST[voice.Tenant](ctx, s, in.Filter, contract.ConfigListRequest{Tenant: voice.SystemTenant, Kind: name})
		})
	huma.Register(api, operation(name, "get", http.MethodGet, base+"/{tenant}", "Read a tenant"),
		func(ctx context.Context, in *struct{ TenantPath }) (*one[voice.Tenant], error) {
			return getREST[voice.Tenant](ctx, s, in.id())
		})
	huma.Register(api, putOperation(name, base+"/{tenant}", word),
		func(ctx context.Context, in *struct {
			TenantPath
			Conditions
			Raw
		}) (*one[voice.Tenant], error) {
			return putREST[voice.Tenant](ctx, s, in.id(), in.Conditions, in.RawBody)
		})
	describeBody[voice.Tenant](api, base+"/{tenant}")
	huma.Register(api, operation(name, "delete", http.MethodDelete, base+"/{tenant}", "Delete a tenant that has nothing left"),
		func(ctx context.Context, in *struct {
			TenantPath
			Precondition
		}) (*struct{}, error) {
			return nil, deleteREST(ctx, s, in.id(), in.IfMatch)
		})
}

// register adds the operations of one kind of a tenant's resources.
func register[T any](s *Service, api huma.API, name voice.Kind, word string) {
	base := apiBase + "/tenants/{tenant}/" + string(name)
	if name == voice.KindDN { // the one kind that has types
		huma.Register(api, operation(name, "list", http.MethodGet, base, "List directory numbers"),
			func(ctx context.Context, in *struct {
				TenantPath
				Filter
				Type string `query:"type" enum:"extension,routing-point,voicemail-access,trunk,softswitch,ring-group" doc:"Only numbers of this type"`
			}) (*page[T], error) {
				return listREST[T](ctx, s, in.Filter, contract.ConfigListRequest{Tenant: in.Tenant, Kind: name, Type: in.Type})
			})
	} else {
		huma.Register(api, operation(name, "list", http.MethodGet, base, "List "+strings.ReplaceAll(string(name), "_", " ")),
			func(ctx context.Context, in *struct {
				TenantPath
				Filter
			}) (*page[T], error) {
				return listREST[T](ctx, s, in.Filter, contract.ConfigListRequest{Tenant: in.Tenant, Kind: name})
			})
	}
	huma.Register(api, operation(name, "get", http.MethodGet, base+"/{key}", "Read a "+word),
		func(ctx context.Context, in *struct{ ResourcePath }) (*one[T], error) {
			return getREST[T](ctx, s, in.id(name))
		})
	huma.Register(api, putOperation(name, base+"/{key}", word),
		func(ctx context.Context, in *struct {
			ResourcePath
			Conditions
			Raw
		}) (*one[T], error) {
			return putREST[T](ctx, s, in.id(name), in.Conditions, in.RawBody)
		})
	describeBody[T](api, base+"/{key}")
	huma.Register(api, operation(name, "delete", http.MethodDelete, base+"/{key}", "Delete a "+word),
		func(ctx context.Context, in *struct {
			ResourcePath
			Precondition
		}) (*struct{}, error) {
			return nil, deleteREST(ctx, s, in.id(name), in.IfMatch)
		})
}

func operation(name voice.Kind, verb, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: verb + "-" + string(name), Method: method, Path: path, Summary: summary, Tags: []string{string(name)}}
}

func putOperation(name voice.Kind, path, word string) huma.Operation {
	op := operation(name, "put", http.MethodPut, path, "Create or replace a "+word)
	op.Description = "The body is the " + word + " itself, or a resource as it was read, whose version must then still be the present one. " +
		"A version may also be given as If-Match. A password is kept when none is given."
	op.SkipValidateBody, op.MaxBodyBytes = true, maxResource
	return op
}

// describeBody gives the document the type of a body that the operation reads for itself, strictly and with sentences.
func describeBody[T any](api huma.API, path string) {
	doc := api.OpenAPI()
	doc.Paths[path].Put.RequestBody.Content = map[string]*huma.MediaType{
		"application/json": {Schema: doc.Components.Schemas.Schema(reflect.TypeFor[T](), true, "")},
	}
}

func listREST[T any](ctx context.Context, s *Service, f Filter, req contract.ConfigListRequest) (*page[T], error) {
	who := httpapi.PrincipalFrom(ctx)
	req.Match, req.After, req.Limit = f.Match, f.After, f.Limit
	out := &page[T]{Body: List[T]{Resources: []Resource[T]{}}}
	var res contract.ConfigListResponse
	var err error
	switch {
	case req.Kind == voice.KindTenant && !who.Has(voice.RoleSystem): // his own is all he sees
		if !who.MayRead(who.Tenant) {
			return nil, httpapi.Problem(voice.ErrForbidden)
		}
		var own voice.Resource
		if own, err = s.Get(ctx, contract.ConfigKey{Tenant: req.Tenant, Kind: req.Kind, Key: who.Tenant}); err == nil && req.After == "" {
			res = contract.ConfigListResponse{Resources: []voice.Resource{own}, Total: 1}
		}
	case req.Kind != voice.KindTenant && !who.MayRead(req.Tenant):
		return nil, httpapi.Problem(voice.ErrForbidden)
	default:
		if req.Kind != voice.KindTenant {
			if _, err := s.tenant(ctx, req.Tenant); err != nil {
				return nil, httpapi.Problem(err)
			}
		}
		res, err = s.List(ctx, req)
	}
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	out.Body.Next, out.Body.Total = res.Next, res.Total
	for _, r := range res.Resources {
		typed, err := typedResource[T](r)
		if err != nil {
			return nil, err
		}
		out.Body.Resources = append(out.Body.Resources, typed)
	}
	return out, nil
}

func typedResource[T any](r voice.Resource) (Resource[T], error) {
	t := Resource[T]{Tenant: r.Tenant, Kind: r.Kind, Key: r.Key, Version: r.Version, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy}
	return t, json.Unmarshal(r.Body, &t.Body)
}

func answer[T any](r voice.Resource, status int, err error) (*one[T], error) {
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	typed, err := typedResource[T](r)
	return &one[T]{Status: status, ETag: httpapi.ETag(r.Version), Body: typed}, err
}

func getREST[T any](ctx context.Context, s *Service, what id) (*one[T], error) {
	if err := mayRead(ctx, what); err != nil {
		return nil, err
	}
	r, err := s.Get(ctx, contract.ConfigKey{Tenant: what.tenant, Kind: what.kind, Key: what.key})
	return answer[T](r, http.StatusOK, err)
}

func putREST[T any](ctx context.Context, s *Service, what id, cond Conditions, raw []byte) (*one[T], error) {
	if err := mayWrite(ctx, what); err != nil {
		return nil, err
	}
	version, given, err := httpapi.MatchVersion(cond.IfMatch, cond.IfNoneMatch)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	body, inner := unwrap(raw)
	switch {
	case !given && inner > 0:
		version = inner
	case !given:
		version = anyVersion
	}
	r, err := s.put(ctx, contract.ConfigPutRequest{
		Tenant: what.tenant, Kind: what.kind, Key: what.key, Version: version, Body: body, User: author(ctx, what.tenant),
	}, rightsOf(httpapi.PrincipalFrom(ctx)))
	if err != nil {
		return nil, precondition(err, given)
	}
	status := http.StatusOK
	if r.Version == 1 && version <= 0 {
		status = http.StatusCreated
	}
	return answer[T](r, status, nil)
}

// unwrap returns the body and the version of a resource that is sent back as it was read; other JSON is the body. No
// kind has a field named body.
func unwrap(raw []byte) (body json.RawMessage, version int64) {
	var envelope struct {
		Body    json.RawMessage `json:"body"`
		Version int64           `json:"version"`
	}
	if err := json.Unmarshal(raw, &envelope); err == nil && len(envelope.Body) > 0 {
		return envelope.Body, envelope.Version
	}
	return bytes.Clone(raw), 0 // raw is reused after the request
}

// precondition makes the conflict over a version that came as a header what HTTP says it is (RFC 9110 §13.1.1).
func precondition(err error, given bool) error {
	if code := voice.CodeOf(err); err != nil && given && (code == "conflict" || code == "exists") {
		return &httpapi.ProblemDetails{Title: http.StatusText(http.StatusPreconditionFailed), Status: http.StatusPreconditionFailed, Detail: err.Error(), Code: code}
	}
	return httpapi.Problem(err)
}

// mayRead and mayWrite are the rights to a resource's tenant; tenants themselves are for the role system to write.
func mayRead(ctx context.Context, what id) error {
	tenant := what.tenant
	if what.kind == voice.KindTenant {
		tenant = what.key
	}
	if !httpapi.PrincipalFrom(ctx).MayRead(tenant) {
		return httpapi.Problem(voice.ErrForbidden)
	}
	return nil
}

func mayWrite(ctx context.Context, what id) error {
	who := httpapi.PrincipalFrom(ctx)
	if what.kind == voice.KindTenant && !who.Has(voice.RoleSystem) || !who.Has(voice.RoleSystem) && !who.MayWrite(what.tenant) {
		return httpapi.Problem(voice.ErrForbidden)
	}
	return nil
}

// author is who stands in the history: the name, with the tenant where it is another one's.
func author(ctx context.Context, tenant string) string {
	who := httpapi.PrincipalFrom(ctx)
	if who.Tenant == tenant {
		return who.User
	}
	return who.User + "@" + who.Tenant
}

func deleteREST(ctx context.Context, s *Service, what id, ifMatch string) error {
	if err := mayWrite(ctx, what); err != nil {
		return err
	}
	version, given, err := httpapi.MatchVersion(ifMatch, "")
	if err != nil {
		return httpapi.Problem(err)
	}
	if !given {
		version = anyVersion
	}
	req := contract.ConfigDeleteRequest{Tenant: what.tenant, Kind: what.kind, Key: what.key, Version: version, User: author(ctx, what.tenant)}
	return precondition(s.delete(ctx, req, rightsOf(httpapi.PrincipalFrom(ctx))), given)
}
