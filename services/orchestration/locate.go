package orchestration

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// atCall asks the node that has a call. When a node fails, its calls go on at others: where the node is not reached or does not
// know the call, the call is looked for, first in call state, which may be behind, then at all nodes. at is the node that
// answered last. A node that was not reached, and one that does not know the call, did nothing, so nothing is done twice.
func atCall[Req any](ctx context.Context, svc *Service, door fabric.Door[Req, *contract.RequestAnswer], tenant, call, node string, req Req) (ans *contract.RequestAnswer, at string, err error) {
	asked := []string{node}
	ans, err = fabric.CallNode(ctx, svc.f, door, node, req)
	for _, find := range []func(ctx context.Context, tenant, call string) string{svc.recorded, svc.searched} {
		if !elsewhere(ans, err) {
			break
		}
		other := find(ctx, tenant, call)
		if other == "" || slices.Contains(asked, other) {
			continue
		}
		asked, node = append(asked, other), other
		ans, err = fabric.CallNode(ctx, svc.f, door, node, req)
	}
	return ans, node, err
}

// elsewhere tells whether an answer may come from a call that has moved.
func elsewhere(ans *contract.RequestAnswer, err error) bool {
	if err != nil {
		return errors.Is(err, voice.ErrUnavailable)
	}
	return ans != nil && ans.Error != nil && ans.Error.Code == voice.TErrInvalidConnID
}

// recorded is the node that has a call, by call state; "" = not known.
func (svc *Service) recorded(ctx context.Context, tenant, call string) string {
	res, err := fabric.Call(ctx, svc.f, contract.FindCalls, contract.FindCallsRequest{Tenant: tenant, CallUUID: call, Limit: 1})
	if err != nil || len(res.Calls) == 0 {
		return ""
	}
	return res.Calls[0].Node
}

// searched asks all nodes for a call.
func (svc *Service) searched(ctx context.Context, tenant, call string) string {
	answers, _ := contract.AskNodes(ctx, svc.f, contract.Calls, svc.live.all(ctx, svc.f),
		contract.CallsRequest{Tenant: tenant, CallUUIDs: []string{call}, Limit: 1})
	for _, a := range answers {
		for _, c := range a.Calls {
			if c.CallUUID == call {
				return c.Node
			}
		}
	}
	return ""
}

// liveNodes are the nodes of the bucket nodes, kept for a moment: many calls are looked for at once when a node fails.
type liveNodes struct {
	mu    sync.Mutex // guards what follows, and is held while the bucket is read
	list  []string
	until time.Time
}

const (
	liveFresh = time.Second
	liveTime  = 2 * time.Second // that reading the bucket may take
)

func (l *liveNodes) all(ctx context.Context, f *fabric.Fabric) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.until) {
		return l.list
	}
	var list []string
	scan, cancel := context.WithTimeout(ctx, liveTime)
	defer cancel()
	// An error leaves those that were read; the next search reads again.
	_ = f.Bucket(fabric.BucketNodes).Watch(scan, "", func(e fabric.Entry) {
		id := e.Key
		if tokens := fabric.SplitKey(e.Key); len(tokens) == 1 {
			id = tokens[0]
		}
		list = slices.DeleteFunc(list, func(o string) bool { return o == id })
		if e.Op == fabric.EntryPut {
			list = append(list, id)
		}
	}, cancel)
	l.list, l.until = list, time.Now().Add(liveFresh)
	return list
}
