package node

import (
	"context"

	"parley/internal/contract"
	"parley/internal/fabric"
)

// Resolve asks the dial plan, wherever it runs, what a dialled number means.
func (n *Node) Resolve(ctx context.Context, req *contract.ResolveRequest) (*contract.ResolveResponse, error) {
	return fabric.Call(ctx, n.fab, contract.Resolve, req)
}
