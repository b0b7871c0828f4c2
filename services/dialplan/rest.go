package dialplan

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

type (
	resolveInput struct {
		Tenant  string    `path:"tenant" maxLength:"128"`
		Number  string    `query:"number" required:"true" maxLength:"64" doc:"As dialled"`
		From    string    `query:"from" maxLength:"64" doc:"Number of the calling extension; leave it out for a caller outside"`
		Trunk   string    `query:"trunk" maxLength:"64" doc:"Trunk that the call comes in by"`
		At      time.Time `query:"at" doc:"When, as RFC 3339 writes it; now when left out"`
		Explain bool      `query:"explain" doc:"Tell the steps that led to the answer"`
	}
	resolveOutput struct{ Body *contract.ResolveResponse }
)

// Routes adds the dial plan's operations to a REST interface. Who may read the tenant may ask what its numbers mean.
func (s *Service) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "resolveNumber", Method: http.MethodGet, Path: "/api/v1/tenants/{tenant}/resolve", Tags: []string{"dialplan"},
		Summary:     "What a dialled number means",
		Description: "Says where a call to a number would go. No call is made. A number that leads nowhere is an answer of kind reject, not an error.",
	}, s.resolveREST)
}

func (s *Service) resolveREST(ctx context.Context, in *resolveInput) (*resolveOutput, error) {
	if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
		return nil, httpapi.Problem(voice.Errorf(voice.ErrForbidden, "your roles do not allow this"))
	}
	resp, err := s.Resolve(ctx, &contract.ResolveRequest{
		Tenant: in.Tenant, From: in.From, Trunk: in.Trunk, Dialled: plus(in.Number), At: in.At, Explain: in.Explain,
	})
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &resolveOutput{resp}, nil
}

// plus gives a number its leading '+' back: in a query a '+' that is not escaped reads as a blank.
func plus(number string) string {
	if rest, ok := strings.CutPrefix(number, " "); ok {
		return "+" + rest
	}
	return number
}
