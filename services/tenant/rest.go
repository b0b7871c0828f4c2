package tenant

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// Serve answers REST on ln until ctx ends: signing in and out, and who a token stands for. Run must run as well.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	return s.server().Serve(ctx, ln)
}

func (s *Service) server() *httpapi.Server {
	server := httpapi.New(httpapi.Options{
		Service: "tenant", Title: "Parley tenant service: sign-in and tokens", Version: s.version,
		Registry: s.reg, Health: s.health, Log: s.log,
		Verify: func(ctx context.Context, token string) (voice.Principal, error) {
			if !s.health.Ready() {
				return voice.Principal{}, voice.ErrUnavailable
			}
			return s.VerifyToken(ctx, token)
		},
	})
	s.openOperation(server)
	huma.Register(server.API(), huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: "/api/v1/token", Summary: "Sign out: end the token that is sent",
		DefaultStatus: http.StatusNoContent,
	}, s.signOut)
	huma.Register(server.API(), huma.Operation{
		OperationID: "userinfo", Method: http.MethodGet, Path: "/api/v1/userinfo", Summary: "Who the token that is sent stands for",
	}, s.userInfo)
	return server
}

// openOperation registers the one operation that needs no token, since it is how to get one. It has a huma API of its
// own on the same server and the same document, because every operation of server.API asks for a token.
func (s *Service) openOperation(server *httpapi.Server) {
	doc := server.API().OpenAPI()
	open := humafiber.New(server.App(), huma.Config{
		OpenAPI: doc, Formats: huma.DefaultFormats, DefaultFormat: "application/json",
		Transformers: []huma.Transformer{withoutEcho},
	})
	const path = "/api/v1/token"
	huma.Register(open, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: path, Summary: "Sign in: a bearer token for name and password",
		MaxBodyBytes: 8 << 10,
	}, s.signInREST)
	doc.Paths[path].Post.Security = []map[string][]string{}
}

// withoutEcho turns huma's complaint about a request into ours, without the value at fault: it may be a password.
func withoutEcho(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if e.Status >= http.StatusInternalServerError {
		return httpapi.Problem(voice.ErrInternal), nil
	}
	var fields []voice.FieldError
	for _, d := range e.Errors {
		fields = append(fields, voice.FieldError{Field: d.Location, Reason: d.Message})
	}
	if len(fields) == 0 {
		fields = append(fields, voice.FieldError{Field: "body", Reason: e.Detail})
	}
	err := httpapi.Problem(voice.Invalid(fields...))
	if p, ok := errors.AsType[*httpapi.ProblemDetails](err); ok {
		p.Status, p.Title = e.Status, http.StatusText(e.Status) // huma has chosen it already
	}
	return err, nil
}

type signInInput struct {
	Body struct {
		Tenant   string `json:"tenant,omitempty" maxLength:"128" doc:"Empty for the default tenant"`
		User     string `json:"user" minLength:"1" maxLength:"128"`
		Password string `json:"password" minLength:"1" maxLength:"1024"`
		TTL      int    `json:"ttl,omitempty" minimum:"1" maximum:"31536000" doc:"Life of the token in seconds; the service may cut it"`
	}
	source netip.Addr
}

// Resolve notes where the request came from.
func (in *signInInput) Resolve(ctx huma.Context) []error {
	if ap, err := netip.ParseAddrPort(ctx.RemoteAddr()); err == nil {
		in.source = ap.Addr().Unmap()
	}
	return nil
}

type sessionOutput struct {
	Body sessionBody
}

type sessionBody struct {
	Token   string    `json:"token" doc:"To be sent as: Authorization: Bearer <token>"`
	Expires time.Time `json:"expires"`
	userBody
}

type userBody struct {
	Tenant string       `json:"tenant"`
	User   string       `json:"user"`
	Roles  []voice.Role `json:"roles"`
}

func bodyOf(p voice.Principal) userBody {
	roles := p.Roles
	if roles == nil {
		roles = []voice.Role{}
	}
	return userBody{Tenant: p.Tenant, User: p.User, Roles: roles}
}

func (s *Service) signInREST(ctx context.Context, in *signInInput) (*sessionOutput, error) {
	if !s.health.Ready() {
		return nil, httpapi.Problem(voice.ErrUnavailable)
	}
	session, err := s.SignIn(ctx, contract.SignInRequest{
		Tenant: in.Body.Tenant, User: in.Body.User, Password: in.Body.Password,
		Source: in.source, TTL: time.Duration(in.Body.TTL) * time.Second,
	})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &sessionOutput{sessionBody{Token: session.Token, Expires: session.Expires, userBody: bodyOf(session.Principal)}}, nil
}

type tokenInput struct {
	Authorization string `header:"Authorization" hidden:"true"`
}

func (s *Service) signOut(ctx context.Context, in *tokenInput) (*struct{}, error) {
	_, token, _ := strings.Cut(in.Authorization, " ")
	_, err := s.RevokeToken(ctx, strings.TrimSpace(token))
	return nil, httpapi.Problem(err)
}

type userOutput struct {
	Body userBody
}

func (s *Service) userInfo(ctx context.Context, _ *struct{}) (*userOutput, error) {
	return &userOutput{bodyOf(httpapi.PrincipalFrom(ctx))}, nil
}
