package registrar

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// The shapes of the REST interface.
type (
	registrationsInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
		Match  string `query:"match" maxLength:"64" doc:"Part of the number"`
		After  string `query:"after" maxLength:"256" doc:"The next of the page before"`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	registrationInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
		DN     string `path:"dn" maxLength:"128"`
	}
	removeInput struct {
		Tenant  string `path:"tenant" maxLength:"128"`
		DN      string `path:"dn" maxLength:"128"`
		Contact string `query:"contact" maxLength:"512" doc:"URI of the one contact to end; all when left out"`
	}
	registrationsOutput struct {
		Body contract.RegistrationsResponse
	}
	registrationOutput struct{ Body contract.Registration }
	bindingsOutput     struct{ Body contract.BindingsResponse }

	bansOutput struct{ Body contract.BansResponse }
	banOutput  struct{ Body contract.Ban }
	banInput   struct {
		Body struct {
			Source   string `json:"source" maxLength:"64" doc:"IP address; an IPv6 address stands for its /64"`
			Reason   string `json:"reason,omitempty" maxLength:"200"`
			Duration string `json:"duration,omitempty" maxLength:"32" doc:"How long, e.g. 1h30m; the configured duration when left out"`
		}
	}
	liftInput struct {
		Source string `path:"source" maxLength:"64"`
	}
)

// Routes adds the registrar's operations to a REST interface. Registrations may be read by who may read the tenant and
// ended by who may write it. Bans concern all tenants: administrators and supervisors read them, the system role
// changes them.
func (s *Service) Routes(api huma.API) {
	huma.Register(api, operation("listRegistrations", http.MethodGet, "/api/v1/tenants/{tenant}/registrations", "Registered numbers"), s.listRegistrations)
	huma.Register(api, operation("getRegistration", http.MethodGet, "/api/v1/tenants/{tenant}/registrations/{dn}", "Contacts of a number"), s.getRegistration)
	huma.Register(api, operation("removeRegistration", http.MethodDelete, "/api/v1/tenants/{tenant}/registrations/{dn}", "End the contacts of a number"), s.removeRegistration)
	huma.Register(api, operation("listBans", http.MethodGet, "/api/v1/bans", "Sources that are not served"), s.listBans)
	create := operation("addBan", http.MethodPost, "/api/v1/bans", "Ban a source")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, s.addBan)
	huma.Register(api, operation("liftBan", http.MethodDelete, "/api/v1/bans/{source}", "End a ban"), s.liftBan)
}

func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"registrar"}}
}

func forbidden() error {
	return httpapi.Problem(voice.Errorf(voice.ErrForbidden, "your roles do not allow this"))
}

func (s *Service) listRegistrations(ctx context.Context, in *registrationsInput) (*registrationsOutput, error) {
	p := httpapi.PrincipalFrom(ctx)
	if !p.MayRead(in.Tenant) {
		return nil, forbidden()
	}
	resp, err := s.Registrations(ctx, contract.RegistrationsRequest{Tenant: in.Tenant, Match: in.Match, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	if !p.Has(voice.RoleSystem) { // the count over all tenants is not for everybody
		resp.Contacts = 0
		if t, ok := s.index.known(in.Tenant); ok {
			resp.Contacts = int(t.contacts.Load())
		}
	}
	if resp.Registrations == nil {
		resp.Registrations = []contract.Registration{}
	}
	return &registrationsOutput{resp}, nil
}

func (s *Service) getRegistration(ctx context.Context, in *registrationInput) (*registrationOutput, error) {
	if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
		return nil, forbidden()
	}
	resp, err := s.Bindings(ctx, contract.BindingsRequest{Tenant: in.Tenant, DN: in.DN})
	if err == nil && len(resp.Bindings) == 0 {
		err = voice.Errorf(voice.ErrNotFound, "%s is not registered", in.DN)
	}
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &registrationOutput{contract.Registration{Tenant: in.Tenant, DN: in.DN, Bindings: resp.Bindings}}, nil
}

func (s *Service) removeRegistration(ctx context.Context, in *removeInput) (*bindingsOutput, error) {
	p := httpapi.PrincipalFrom(ctx)
	if !p.MayWrite(in.Tenant) {
		return nil, forbidden()
	}
	resp, err := s.RemoveBindings(ctx, contract.RemoveBindingsRequest{Tenant: in.Tenant, DN: in.DN, Contact: in.Contact})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	s.log.Info("registration ended by hand", "tenant", in.Tenant, "dn", in.DN, "user", p.User)
	if resp.Bindings == nil {
		resp.Bindings = []contract.Binding{}
	}
	return &bindingsOutput{resp}, nil
}

func (s *Service) listBans(ctx context.Context, _ *struct{}) (*bansOutput, error) {
	p := httpapi.PrincipalFrom(ctx)
	if !p.Has(voice.RoleSystem) && !p.Has(voice.RoleAdmin) && !p.Has(voice.RoleSupervisor) {
		return nil, forbidden()
	}
	resp, err := s.Bans(ctx, struct{}{})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &bansOutput{resp}, nil
}

func (s *Service) addBan(ctx context.Context, in *banInput) (*banOutput, error) {
	p := httpapi.PrincipalFrom(ctx)
	if !p.Has(voice.RoleSystem) {
		return nil, forbidden()
	}
	ban := contract.Ban{Reason: in.Body.Reason, By: p.User}
	source, err := netip.ParseAddr(in.Body.Source)
	if err != nil {
		return nil, httpapi.Problem(voice.Invalid(voice.FieldError{Field: "source", Reason: "is not an IP address"}))
	}
	ban.Source = source
	if in.Body.Duration != "" {
		d, err := time.ParseDuration(in.Body.Duration)
		if err != nil || d <= 0 || d > maxBan {
			return nil, httpapi.Problem(voice.Invalid(voice.FieldError{Field: "duration", Reason: "is not a time such as 1h30m, at most a year"}))
		}
		ban.Until = s.now().Add(d)
	}
	ban, err = s.AddBan(ctx, ban)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &banOutput{ban}, nil
}

func (s *Service) liftBan(ctx context.Context, in *liftInput) (*struct{}, error) {
	p := httpapi.PrincipalFrom(ctx)
	if !p.Has(voice.RoleSystem) {
		return nil, forbidden()
	}
	source, err := netip.ParseAddr(in.Source)
	if err != nil {
		return nil, httpapi.Problem(voice.Errorf(voice.ErrNotFound, "%q is not an IP address", in.Source))
	}
	if _, err := s.LiftBan(ctx, contract.LiftBanRequest{Source: source, User: p.User}); err != nil {
		return nil, httpapi.Problem(err)
	}
	return nil, nil
}
