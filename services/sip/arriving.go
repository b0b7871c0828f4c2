package sip

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/trunk"
)

// beginInbound begins a call that comes by a trunk. The tenant is the trunk's, whatever host the carrier wrote, and the
// caller who the carrier says he is (RFC 3325 §5: it is trusted).
func (s *Service) beginInbound(req *sip.Request, tx sipua.ServerTx, t *trunk.Trunk) {
	tn, ok := s.dir.Tenant(t.Tenant)
	if !ok {
		s.m.refused.WithLabelValues("no-tenant").Inc()
		tx.Respond(sip.NewResponseFromRequest(req, 404, "Not Found", nil))
		return
	}
	leave, ok := t.Enter()
	if !ok {
		s.m.refused.WithLabelValues("trunk-full").Inc()
		s.m.rejected.Add(1)
		tx.Respond(busy(req))
		return
	}
	from := party{trunk: t.DN, shown: t.Calling(assertedNumber(req)), display: displayName(req), leave: leave}
	from.dialled = t.Called(s.calledBy(req, t))
	if t.Type == voice.DNSoftswitch { // its extensions are ours
		from.number = s.behind(t, unescape(req.From().Address.User))
	}
	s.begin(req, tx, tn, from)
}

// calledBy is the number that a carrier calls. A provider calls the contact that we registered, and says in To whom he means.
func (s *Service) calledBy(req *sip.Request, t *trunk.Trunk) string {
	user := req.Recipient.User
	if s.trunks.Registered(t, user) && req.To() != nil {
		user = req.To().Address.User
	}
	return unescape(user)
}

// behind returns the number of an extension whose calls go through t, "" when it is none.
func (s *Service) behind(t *trunk.Trunk, number string) string {
	if r, ok := s.dir.DN(t.Tenant, number); ok && r.Type == voice.DNExtension {
		if o, err := r.Options(); err == nil && o["TServer"][voice.OptionSoftswitch] == t.DN {
			return number
		}
	}
	return ""
}

// assertedNumber is who calls, as a carrier says.
func assertedNumber(req *sip.Request) string {
	if h := req.GetHeader("P-Asserted-Identity"); h != nil {
		uri := h.Value()
		if _, rest, ok := strings.Cut(uri, "<"); ok {
			uri, _, _ = strings.Cut(rest, ">")
		}
		var u sip.Uri
		if sip.ParseUri(uri, &u) == nil && u.User != "" {
			return unescape(u.User)
		}
	}
	return unescape(req.From().Address.User)
}

// Trunks serves contract.Trunks.
func (s *Service) Trunks(_ context.Context, req contract.TrunksRequest) (contract.TrunksResponse, error) {
	return contract.TrunksResponse{Trunks: s.trunks.Status(req.Tenant, req.DN)}, nil
}

// The shapes of the REST interface of trunks.
type (
	trunksInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
		DN     string `query:"dn" maxLength:"64" doc:"one of them; empty: all"`
	}
	trunksOutput struct{ Body contract.TrunksResponse }
)

func (s *Service) trunkRoutes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "listTrunks", Method: http.MethodGet, Path: "/api/v1/tenants/{tenant}/trunks", Tags: []string{"trunks"},
		Summary: "Trunks and softswitches as this node sees them",
	}, func(ctx context.Context, in *trunksInput) (*trunksOutput, error) {
		if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
			return nil, forbidden()
		}
		r, err := s.Trunks(ctx, contract.TrunksRequest{Tenant: in.Tenant, DN: in.DN})
		return &trunksOutput{r}, err
	})
}
