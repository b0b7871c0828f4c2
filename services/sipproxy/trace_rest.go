package sipproxy

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

type (
	traceInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
		Call   string `path:"call_uuid" maxLength:"64"`
	}
	traceOutput struct{ Body CallTrace }
)

// CallTrace is what the front doors of the platform remember of a call.
type CallTrace struct {
	Messages []contract.TraceMessage `json:"messages" nullable:"false" doc:"SIP messages in the order of their times, without credentials"`
	Lost     bool                    `json:"lost" doc:"Earlier messages of the call are forgotten already"`
	Silent   []string                `json:"silent,omitempty" doc:"Nodes that did not answer; their messages are missing"`
}

// traceRoutes adds the SIP messages of a call to the REST interface, for whoever may read the tenant.
func (s *Service) traceRoutes(api huma.API) {
	const path = "/api/v1/tenants/{tenant}/calls/{call_uuid}/sip"
	huma.Register(api, huma.Operation{
		OperationID: "trace-call", Method: http.MethodGet, Path: path, Summary: "SIP messages of a call",
		Description: "What the front doors of all nodes remember of a call, in progress or over. They remember for a while (sipproxy.trace).",
	}, func(ctx context.Context, in *traceInput) (*traceOutput, error) {
		c, err := s.traceCall(ctx, in)
		if err != nil {
			return nil, err
		}
		return &traceOutput{CallTrace{Messages: c.Messages, Lost: c.Lost, Silent: c.Silent}}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "trace-call-text", Method: http.MethodGet, Path: path + ".txt", Summary: "SIP messages of a call as text",
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, func(ctx context.Context, in *traceInput) (*huma.StreamResponse, error) {
		c, err := s.traceCall(ctx, in)
		if err != nil {
			return nil, err
		}
		return httpapi.Stream(strings.NewReader(c.Text()), "Content-Type", "text/plain; charset=utf-8"), nil
	})
}

func (s *Service) traceCall(ctx context.Context, in *traceInput) (contract.TracedCall, error) {
	if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
		return contract.TracedCall{}, httpapi.Problem(voice.Errorf(voice.ErrForbidden, "your roles do not allow this"))
	}
	c, err := contract.TraceCall(ctx, s.f, s.nodes.ids(), in.Tenant, in.Call)
	if err != nil {
		return c, httpapi.Problem(err)
	}
	return c, nil
}

// ids lists the nodes alive, this one among them.
func (t *nodeTable) ids() []string {
	out := []string{t.self}
	for id := range t.cur.Load().byID {
		if id != t.self {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
