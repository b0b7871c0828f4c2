package node

import (
	"context"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// Treat applies a treatment to a call at a route point, wherever the call is. A request that names no call means the one that
// waits there longest.
func (n *Node) Treat(ctx context.Context, req *contract.TreatmentRequest) (*contract.RequestAnswer, error) {
	c, err := n.waiting(ctx, req.Tenant, req.ThisDN, req.CallUUID)
	if err != nil {
		return nil, err
	}
	req.Tenant, req.CallUUID = c.Tenant, c.CallUUID
	return fabric.CallNode(ctx, n.fab, contract.ApplyTreatment, c.Node, req)
}

// Route sends a call at a route point to a number, in the same way.
func (n *Node) Route(ctx context.Context, req *contract.RouteCallRequest) (*contract.RequestAnswer, error) {
	c, err := n.waiting(ctx, req.Tenant, req.ThisDN, req.CallUUID)
	if err != nil {
		return nil, err
	}
	req.Tenant, req.CallUUID = c.Tenant, c.CallUUID
	return fabric.CallNode(ctx, n.fab, contract.RouteCall, c.Node, req)
}

// maxWaiting is how many calls of a node are looked through.
const maxWaiting = 1000

// waiting finds a call at a route point.
func (n *Node) waiting(ctx context.Context, tenant, dn, uuid string) (contract.LiveCall, error) {
	nodes := append([]string{n.fab.Node()}, n.Status(ctx).Peers...)
	answers, _ := contract.AskNodes(ctx, n.fab, contract.Calls, nodes, contract.CallsRequest{Tenant: tenant, Limit: maxWaiting})
	var found contract.LiveCall
	for _, a := range answers {
		for _, c := range a.Calls {
			if c.Queue == dn && (uuid == "" || uuid == c.CallUUID) && (found.Start.IsZero() || c.Start.Before(found.Start)) {
				found = c
			}
		}
	}
	if found.CallUUID == "" {
		return found, voice.Errorf(voice.ErrNotFound, "no call waits at route point %.64s", dn)
	}
	return found, nil
}

// Request makes a T-Library request, for any number of any tenant: whoever reaches the control socket administers the node.
func (n *Node) Request(ctx context.Context, req *voice.Request) (*contract.RequestAnswer, error) {
	return fabric.Call(ctx, n.fab, contract.Ask, req)
}
