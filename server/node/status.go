package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/voice"
	"parley/server/control"
)

// Status is what this node is and has.
func (n *Node) Status(ctx context.Context) contract.StatusReport {
	r := contract.StatusReport{
		Node: n.cfg.Node.ID, Version: n.opts.Version, Started: n.started, Level: obs.LevelPass,
		Registrations: -1, Contacts: -1, Bans: -1, Calls: -1, Peers: []string{},
	}
	n.mu.Lock()
	for _, s := range n.services {
		st := s.status()
		r.Level = min(r.Level, st.Level)
		r.Services = append(r.Services, st)
	}
	n.mu.Unlock()
	if n.record != nil {
		r.Peers = append(r.Peers, n.record.others()...)
	}
	if n.fab == nil {
		return r
	}
	if res, err := fabric.Call(ctx, n.fab, contract.Registrations, contract.RegistrationsRequest{Limit: 1}); err == nil {
		r.Registrations, r.Contacts = res.Total, res.Contacts
	}
	if res, err := fabric.Call(ctx, n.fab, contract.Bans, struct{}{}); err == nil {
		r.Bans = len(res.Bans)
	}
	if fabric.Local(n.fab, contract.Invariants) {
		if res, err := fabric.Call(ctx, n.fab, contract.Invariants, struct{}{}); err == nil {
			r.CallState = &res
		}
	}
	if fabric.Local(n.fab, contract.Calls) {
		if res, err := fabric.Call(ctx, n.fab, contract.Calls, contract.CallsRequest{Limit: 1}); err == nil {
			r.Calls = res.Total
		}
	}
	return r
}

// status is called with the node's lock held, which guards s.others.
func (s *service) status() contract.ServiceStatus {
	level, checks := s.health.Report()
	st := contract.ServiceStatus{Name: s.name, Level: level, Checks: checks, Address: []string{}}
	if s.http != nil {
		st.Address = append(st.Address, s.scheme+"://"+s.http.Addr().String())
	}
	st.Address = append(st.Address, s.others()...)
	return st
}

// Cluster asks every node alive for its status; this one comes first.
func (n *Node) Cluster(ctx context.Context) control.Cluster {
	c := control.Cluster{Nodes: []contract.StatusReport{n.Status(ctx)}}
	peers := c.Nodes[0].Peers
	reports := make([]contract.StatusReport, len(peers))
	errs := make([]error, len(peers))
	var wg sync.WaitGroup
	for i, id := range peers {
		wg.Go(func() { reports[i], errs[i] = fabric.CallNode(ctx, n.fab, contract.NodeStatus, id, struct{}{}) })
	}
	wg.Wait()
	for i, id := range peers {
		if errs[i] != nil {
			c.Silent = append(c.Silent, fmt.Sprintf("%s: %v", id, errs[i]))
			continue
		}
		c.Nodes = append(c.Nodes, reports[i])
	}
	return c
}

// applySeen bounds the wait for this node to see what was applied.
const applySeen = 5 * time.Second

// Apply makes the configuration what req says.
func (n *Node) Apply(ctx context.Context, req contract.ConfigApplyRequest) (contract.ConfigApplyResponse, error) {
	res, err := fabric.Call(ctx, n.fab, contract.ConfigApply, req)
	if err != nil || res.Seq == 0 || n.directory == nil {
		return res, err
	}
	// Whoever is told "applied" may register the next moment. What is applied stays so, even if this node is slow to see it.
	wait, cancel := context.WithTimeout(ctx, applySeen)
	defer cancel()
	if err := n.directory.Await(wait, res.Seq); err != nil {
		n.log.Warn("applied, but not seen on this node yet", slog.Any("err", err))
	}
	return res, nil
}

// Export gives back the configuration.
func (n *Node) Export(ctx context.Context, req contract.ConfigExportRequest) (contract.ConfigExportResponse, error) {
	return fabric.Call(ctx, n.fab, contract.ConfigExport, req)
}

// IssueToken makes a token for a person.
func (n *Node) IssueToken(ctx context.Context, req contract.IssueTokenRequest) (contract.Session, error) {
	s, err := fabric.Call(ctx, n.fab, contract.IssueToken, req)
	if strings.TrimSpace(req.User) == "" {
		err = voice.Invalid(voice.FieldError{Field: "user", Reason: "is empty; name a person"})
	}
	return s, err
}

// addresses lists where a service of this node is reached.
func (n *Node) addresses(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.services {
		if s.name == name {
			return s.status().Address
		}
	}
	return nil
}

type clusterOutput struct{ Body control.Cluster }

// nodesOperation shows the cluster over REST, to the system role: it is nobody's tenant.
func (n *Node) nodesOperation(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "nodes", Method: http.MethodGet, Path: "/api/v1/nodes", Tags: []string{"nodes"},
		Summary: "Services, health, addresses and registrations of every node, this one first",
	}, func(ctx context.Context, _ *struct{}) (*clusterOutput, error) {
		if !httpapi.PrincipalFrom(ctx).Has(voice.RoleSystem) {
			return nil, httpapi.Problem(voice.Errorf(voice.ErrForbidden, "the nodes are shown to the role system"))
		}
		return &clusterOutput{n.Cluster(ctx)}, nil
	})
}
