package frontend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"parley/internal/contract"
	"parley/internal/fabric"
)

// nominalCapacity stands for a node that sets no limit, so that its load can be compared with others.
const nominalCapacity = 10_000

// nodes is this process's copy of the SIP nodes in the bucket "nodes".
type nodes struct {
	log *slog.Logger

	mu   sync.Mutex // guards what follows
	byID map[string]*sipNode
}

// sipNode is a SIP node as its last record has it.
type sipNode struct {
	id       string
	capacity int // 0 = no limit
	calls    int // of the record, and those given to it since
	draining bool
}

func newNodes(log *slog.Logger) *nodes { return &nodes{log: log, byID: map[string]*sipNode{}} }

// watch keeps the copy current until ctx ends. synced is called when it is whole.
func (n *nodes) watch(ctx context.Context, f *fabric.Fabric, synced func()) error {
	if err := f.Bucket(fabric.BucketNodes).Watch(ctx, "", n.take, synced); err != nil {
		return fmt.Errorf("watch %s: %w", fabric.BucketNodes, err)
	}
	return nil
}

func (n *nodes) take(e fabric.Entry) {
	id := e.Key
	if tokens := fabric.SplitKey(e.Key); len(tokens) == 1 {
		id = tokens[0]
	}
	var rec contract.NodeRecord
	if e.Op == fabric.EntryPut {
		if err := json.Unmarshal(e.Value, &rec); err != nil {
			n.log.Error("record of a node cannot be read", "key", e.Key, "err", err)
			return
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if rec.SIP == nil { // gone, or it carries no calls
		delete(n.byID, id)
		return
	}
	n.byID[id] = &sipNode{id: id, capacity: rec.SIP.Capacity, calls: rec.SIP.Calls, draining: rec.SIP.Draining}
}

// all are the SIP nodes alive, by id.
func (n *nodes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]string, 0, len(n.byID))
	for id := range n.byID {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func (n *nodes) len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.byID)
}

// forNew are the nodes that may take a new call, the best first: those that have calls of the DN, then the others by what they
// have to do. A node that shall get no new calls still gets those of a DN that it has.
func (n *nodes) forNew(having []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []*sipNode
	for _, node := range n.byID {
		full := node.capacity > 0 && node.calls >= node.capacity
		if slices.Contains(having, node.id) || !node.draining && !full {
			list = append(list, node)
		}
	}
	rank := func(node *sipNode) int {
		if i := slices.Index(having, node.id); i >= 0 {
			return i
		}
		return len(having)
	}
	load := func(node *sipNode) float64 {
		return float64(node.calls) / float64(cmp.Or(node.capacity, nominalCapacity))
	}
	slices.SortFunc(list, func(a, b *sipNode) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(load(a), load(b)), cmp.Compare(a.id, b.id))
	})
	out := make([]string, len(list))
	for i, node := range list {
		out[i] = node.id
	}
	return out
}

// gave notes that a node was given a new call, which its record does not show yet.
func (n *nodes) gave(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if node := n.byID[id]; node != nil {
		node.calls++
	}
}
