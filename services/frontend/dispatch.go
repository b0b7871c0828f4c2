package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// Ask serves contract.Ask. Whoever reaches the door may ask for any DN; what people may is checked where they come in.
func (s *Service) Ask(ctx context.Context, req *voice.Request) (*contract.RequestAnswer, error) {
	t, ok := s.tenantOf(req.Tenant)
	if !ok {
		return nil, voice.Errorf(voice.ErrNotFound, "there is no tenant %.64q", req.Tenant)
	}
	r := *req // the caller's, and it may ask others
	r.Tenant = t.Name
	if r.Name != "" && !strings.HasPrefix(string(r.Name), "Request") {
		r.Name = "Request" + r.Name
	}
	s.metrics.requests.WithLabelValues(t.Name).Inc()
	a := s.answer(ctx, &r)
	a.ReferenceID = r.ReferenceID
	s.metrics.answered(t.Name, a)
	return a, nil
}

// tenantOf is the tenant of that name, or the default one for "".
func (s *Service) tenantOf(name string) (*contract.TenantRecord, bool) {
	if name == "" {
		return s.dir.TenantByHost("")
	}
	return s.dir.Tenant(name)
}

func refuse(e *voice.TError) *contract.RequestAnswer { return &contract.RequestAnswer{Error: e} }

// answer does what a request asks for, within the limits of requests in progress.
func (s *Service) answer(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	sh, e := shapeOf(r)
	if e != nil {
		return refuse(e)
	}
	if e := s.knows(r); e != nil {
		return refuse(e)
	}
	leave, e := s.busy.enter(r.Tenant, r.User)
	if e != nil {
		return refuse(e)
	}
	defer leave()
	switch sh.at {
	case atNew:
		return s.newCall(ctx, r)
	case atAgent:
		return s.forAgent(ctx, r)
	case atQuery:
		return s.queryCall(ctx, r)
	case atDevice:
		return s.device(ctx, r)
	case atStream:
		return refuse(voice.TErrorf(voice.TErrUnsupported,
			"%s chooses the events of a WebSocket: send it there; over REST, GET /events takes the parameter dn", r.Name))
	}
	return s.ofCall(ctx, r)
}

// knows checks the DN that a request is made for. Those who ask about a call without one are told by the call.
func (s *Service) knows(r *voice.Request) *voice.TError {
	if r.ThisDN == "" {
		return nil
	}
	rec, ok := s.dir.DN(r.Tenant, r.ThisDN)
	switch {
	case !ok:
		return voice.TErrorf(voice.TErrDNNotConfigured, "tenant %s has no number %s", r.Tenant, r.ThisDN)
	case rec.IsTrunk():
		return voice.TErrorf(voice.TErrInvalidCallingDN, "%s is a %s, which makes no requests", r.ThisDN, rec.Type)
	}
	return nil
}

// newCall asks the best node. Another one is asked only where it is sure that nobody heard the request: a call is not made twice.
func (s *Service) newCall(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	for _, node := range s.nodes.forNew(s.having(ctx, r.Tenant, r.ThisDN)) {
		a, err := s.askNode(ctx, node, r)
		if err == nil {
			if a.Error == nil {
				s.nodes.gave(node)
			}
			return a
		}
		if !errors.Is(err, voice.ErrUnavailable) {
			return refuse(s.failure(node, err))
		}
	}
	return refuse(voice.TErrorf(voice.TErrNoSwitch, "no SIP node takes new calls now; try again in a moment"))
}

// forAgent asks a node that has calls of the agent's DN, else the best for new ones.
func (s *Service) forAgent(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	if _, ok := s.dir.DN(r.Tenant, r.OtherDN); !ok {
		return refuse(voice.TErrorf(voice.TErrTargetInvalid, "tenant %s has no number %s to be monitored", r.Tenant, r.OtherDN))
	}
	for _, node := range s.nodes.forNew(s.having(ctx, r.Tenant, r.OtherDN)) {
		a, err := s.askNode(ctx, node, r)
		if err == nil {
			return a
		}
		if !errors.Is(err, voice.ErrUnavailable) {
			return refuse(s.failure(node, err))
		}
	}
	return refuse(voice.TErrorf(voice.TErrNoSwitch, "no SIP node answers now; try again in a moment"))
}

// ofCall asks the node that has the call. A call may have moved to another node a moment ago, so a node that does not
// know it is believed only when all nodes were asked.
func (s *Service) ofCall(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	first, ok := s.recorded(ctx, r)
	if ok {
		a, err := s.askNode(ctx, first, r)
		if err == nil && (a.Error == nil || a.Error.Code != voice.TErrInvalidConnID) {
			return a
		}
		if err != nil && !errors.Is(err, voice.ErrUnavailable) {
			return refuse(s.failure(first, err))
		}
	}
	node, silent := s.searched(ctx, r)
	switch {
	case node != "" && (node != first || !ok):
		a, err := s.askNode(ctx, node, r)
		if err != nil {
			return refuse(s.failure(node, err))
		}
		return a
	case node == "" && len(silent) > 0:
		return refuse(voice.TErrorf(voice.TErrNoSwitch, "call %s is not found, and not every SIP node answers: %s", r.ConnID, strings.Join(silent, ", ")))
	}
	return refuse(voice.TErrorf(voice.TErrInvalidConnID, "there is no call %s in progress", r.ConnID))
}

// recorded is the node that has the call, by call state.
func (s *Service) recorded(ctx context.Context, r *voice.Request) (node string, ok bool) {
	res, err := fabric.Call(ctx, s.f, contract.FindCalls, contract.FindCallsRequest{Tenant: r.Tenant, ConnID: r.ConnID, Limit: 1})
	if err != nil || len(res.Calls) == 0 {
		return "", false
	}
	return res.Calls[0].Node, true
}

// maxSearched is how many calls of a node are looked through.
const maxSearched = 1000

// searched asks all nodes whether they have the call. It may be younger than what call state knows.
func (s *Service) searched(ctx context.Context, r *voice.Request) (node string, silent []string) {
	answers, silent := contract.AskNodes(ctx, s.f, contract.Calls, s.nodes.all(), contract.CallsRequest{Tenant: r.Tenant, Limit: maxSearched})
	for _, a := range answers {
		for _, c := range a.Calls {
			if c.ConnID == r.ConnID {
				return c.Node, silent
			}
		}
	}
	return "", silent
}

// having are the nodes that have calls of a DN.
func (s *Service) having(ctx context.Context, tenant, dn string) []string {
	const several = 8
	res, err := fabric.Call(ctx, s.f, contract.FindCalls, contract.FindCallsRequest{Tenant: tenant, DN: dn, Limit: several})
	if err != nil {
		return nil // then any node is as good
	}
	var out []string
	for _, c := range res.Calls {
		if !slices.Contains(out, c.Node) {
			out = append(out, c.Node)
		}
	}
	return out
}

// queryCall answers from call state, and asks the node where that does not know the call.
func (s *Service) queryCall(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	res, err := fabric.Call(ctx, s.f, contract.FindCalls, contract.FindCallsRequest{Tenant: r.Tenant, ConnID: r.ConnID, Limit: 1})
	if err == nil && len(res.Calls) > 0 {
		c := res.Calls[0]
		return &contract.RequestAnswer{ConnID: c.ConnID, CallUUID: c.CallUUID, Call: &c}
	}
	return s.ofCall(ctx, r)
}

// askNode passes a request on and measures it.
func (s *Service) askNode(ctx context.Context, node string, r *voice.Request) (*contract.RequestAnswer, error) {
	began := time.Now()
	s.metrics.nodeRequests.WithLabelValues(node, r.Tenant).Inc()
	a, err := fabric.CallNode(ctx, s.f, contract.AskNode, node, r)
	if err == nil && a == nil {
		err = fmt.Errorf("node %s answered nothing", node)
	}
	s.metrics.nodeAnswered(node, r.Tenant, statusOf(a, err), time.Since(began))
	return a, err
}

// failure is what a client is told when a node could not be asked.
func (s *Service) failure(node string, err error) *voice.TError {
	switch {
	case errors.Is(err, voice.ErrUnavailable):
		return voice.TErrorf(voice.TErrNoSwitch, "SIP node %s does not answer", node)
	case errors.Is(err, voice.ErrTimeout):
		return voice.TErrorf(voice.TErrTimeout, "SIP node %s did not answer in time; the request may still have an effect, which events will tell", node)
	case errors.Is(err, voice.ErrOverloaded):
		return voice.TErrorf(voice.TErrTooManyRequests, "SIP node %s has too many requests in progress", node)
	case errors.Is(err, context.Canceled):
		return voice.TErrorf(voice.TErrUnknown, "the request was given up")
	}
	s.log.Error("request to a SIP node", slog.String("sip_node", node), slog.Any("err", err))
	return voice.TErrorf(voice.TErrInternal, "SIP node %s failed; its log says why", node)
}
