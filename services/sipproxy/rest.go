package sipproxy

import (
	"context"
	"net"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// Serve answers REST on ln until ctx ends: what the front door knows of SIP nodes, of flows and of
// calls. Run must run as well.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	verify := s.verify
	if verify == nil {
		verify = func(ctx context.Context, token string) (voice.Principal, error) {
			return fabric.Call(ctx, s.f, contract.VerifyToken, token)
		}
	}
	server := httpapi.New(httpapi.Options{
		Service: "sipproxy", Title: "Parley SIP front door", Version: s.version,
		Registry: s.reg, Health: s.health, Log: s.log, Verify: verify,
	})
	huma.Register(server.API(), huma.Operation{
		OperationID: "list-sip-nodes", Method: http.MethodGet, Path: "/api/v1/nodes", Summary: "SIP nodes this front door knows",
	}, s.listNodes)
	huma.Register(server.API(), huma.Operation{
		OperationID: "count-flows", Method: http.MethodGet, Path: "/api/v1/flows", Summary: "How many connections, bindings and transactions there are",
	}, s.countFlows)
	s.traceRoutes(server.API())
	return server.Serve(ctx, ln)
}

// NodeView is one SIP node as REST shows it.
type NodeView struct {
	ID        string `json:"id"`
	Address   string `json:"address,omitempty" doc:"Where it takes SIP; empty for the node in this process"`
	Local     bool   `json:"local"`
	Capacity  int    `json:"capacity" doc:"Calls it takes; 0 is no limit"`
	Calls     int    `json:"calls" doc:"Calls it said it has"`
	Assigned  int64  `json:"assigned" doc:"Dialogs given to it since it said so"`
	Draining  bool   `json:"draining"`
	Available bool   `json:"available" doc:"It takes new calls"`
}

type nodesOutput struct {
	Body struct {
		Nodes []NodeView `json:"nodes"`
	}
}

// FlowCounts is what GET /api/v1/flows answers.
type FlowCounts struct {
	Listeners          []string `json:"listeners"`
	Bindings           int      `json:"bindings" doc:"Connections and NATed sources known to carry registrations"`
	Connections        int      `json:"connections" doc:"Of them, connections"`
	Registering        int64    `json:"registering" doc:"REGISTER requests at the registrar"`
	Contexts           int64    `json:"contexts" doc:"Requests being forwarded"`
	ServerTransactions int      `json:"server_transactions"`
	ClientTransactions int      `json:"client_transactions"`
	Draining           bool     `json:"draining"`
}

type flowsOutput struct{ Body FlowCounts }

// mayLook refuses those who may not see what belongs to all tenants.
func mayLook(ctx context.Context) error {
	if p := httpapi.PrincipalFrom(ctx); !p.Has(voice.RoleSystem) && !p.Has(voice.RoleAdmin) {
		return httpapi.Problem(voice.ErrForbidden)
	}
	return nil
}

func (s *Service) listNodes(ctx context.Context, _ *struct{}) (*nodesOutput, error) {
	if err := mayLook(ctx); err != nil {
		return nil, err
	}
	out := &nodesOutput{}
	out.Body.Nodes = []NodeView{}
	for _, n := range s.nodes.cur.Load().list {
		l := n.now()
		v := NodeView{ID: n.id, Local: n.local, Capacity: l.Capacity, Calls: l.Calls, Assigned: n.assigned.Load(), Draining: l.Draining, Available: !l.Draining && free(l)}
		if n.udp.IsValid() {
			v.Address = n.udp.String()
		} else if n.tcp.IsValid() {
			v.Address = n.tcp.String()
		}
		out.Body.Nodes = append(out.Body.Nodes, v)
	}
	return out, nil
}

func (s *Service) countFlows(ctx context.Context, _ *struct{}) (*flowsOutput, error) {
	if err := mayLook(ctx); err != nil {
		return nil, err
	}
	all, streams := s.alive.counts()
	return &flowsOutput{Body: FlowCounts{
		Listeners: s.Addresses(), Bindings: all, Connections: streams,
		Registering: s.registering.Load(), Contexts: s.contexts.Load(),
		ServerTransactions: s.layer.Servers(), ClientTransactions: s.layer.Clients(), Draining: s.draining.Load(),
	}}, nil
}
