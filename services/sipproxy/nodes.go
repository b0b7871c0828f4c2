package sipproxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
)

// nominalCapacity stands for a node that sets no limit, so that its load can be compared with others.
const nominalCapacity = 10_000

// sipNode is a SIP node as its last record has it. It is not changed once it is in a table, but for assigned.
type sipNode struct {
	id       string
	addr     netip.AddrPort // invalid for the node in this process
	capacity int            // 0 = no limit
	calls    int
	draining bool
	local    bool
	proxy    netip.AddrPort // its front door; invalid when it has none
	sip      bool           // it takes dialogs

	assigned atomic.Int64 // dialogs given to it since the record was written
}

// load is how much of the node is in use, 0 to 1 and beyond.
func (n *sipNode) load() float64 {
	return float64(n.calls+int(n.assigned.Load())) / float64(cmp.Or(n.capacity, nominalCapacity))
}

// free tells whether the node has room for one more call; one without limit always has.
func (n *sipNode) free() bool {
	return n.capacity == 0 || n.calls+int(n.assigned.Load()) < n.capacity
}

func (n *sipNode) takesCalls() bool { return n.sip && !n.draining && n.free() }

// nodeTable is this process's copy of the bucket "nodes". Readers take a snapshot without lock.
type nodeTable struct {
	self string
	cur  atomic.Pointer[nodeSnapshot]
	seen atomic.Bool // there was a SIP node once

	mu     sync.Mutex // guards writing cur
	inProc bool       // the SIP node self runs here, whatever the bucket says
}

type nodeSnapshot struct {
	byID   map[string]*sipNode
	list   []*sipNode // those with sip, by id
	byAddr map[netip.AddrPort]*sipNode
	doors  map[netip.AddrPort]bool // front doors of other nodes
	ips    map[netip.Addr]bool     // of nodes and front doors
}

func newNodeTable(self string, inProc bool) *nodeTable {
	t := &nodeTable{self: self, inProc: inProc}
	t.cur.Store(t.snapshot(map[string]*sipNode{}))
	return t
}

// snapshot indexes nodes. The node of this process is always among them.
func (t *nodeTable) snapshot(byID map[string]*sipNode) *nodeSnapshot {
	if t.inProc {
		if n := byID[t.self]; n == nil || !n.sip {
			byID[t.self] = &sipNode{id: t.self, local: true, sip: true}
		}
	}
	s := &nodeSnapshot{byID: byID, byAddr: map[netip.AddrPort]*sipNode{}, doors: map[netip.AddrPort]bool{}, ips: map[netip.Addr]bool{}}
	for _, n := range byID {
		if n.sip {
			s.list = append(s.list, n)
			t.seen.Store(true)
		}
		for _, a := range []netip.AddrPort{n.addr, n.proxy} {
			if a.IsValid() && n.id != t.self {
				s.ips[a.Addr()] = true
			}
		}
		if n.addr.IsValid() {
			s.byAddr[n.addr] = n
		}
		if n.proxy.IsValid() {
			s.doors[n.proxy] = true
		}
	}
	slices.SortFunc(s.list, func(a, b *sipNode) int { return cmp.Compare(a.id, b.id) })
	return s
}

// put replaces a node's record; the dialogs assigned before are in its number of calls now, or soon.
func (t *nodeTable) put(n *sipNode) {
	t.change(func(m map[string]*sipNode) { m[n.id] = n })
}

// drop takes a node out; it reports whether there was one that took dialogs.
func (t *nodeTable) drop(id string) (was bool) {
	t.change(func(m map[string]*sipNode) {
		n := m[id]
		was = n != nil && n.sip
		delete(m, id)
	})
	return was
}

func (t *nodeTable) change(fn func(map[string]*sipNode)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	byID := map[string]*sipNode{}
	for id, n := range t.cur.Load().byID {
		byID[id] = n
	}
	fn(byID)
	t.cur.Store(t.snapshot(byID))
}

// get returns a node that takes dialogs, full and draining ones included.
func (t *nodeTable) get(id string) *sipNode {
	if n := t.cur.Load().byID[id]; n != nil && n.sip {
		return n
	}
	return nil
}

// door is where the front door of a node is reached.
func (t *nodeTable) door(id string) (netip.AddrPort, bool) {
	n := t.cur.Load().byID[id]
	if n == nil || !n.proxy.IsValid() {
		return netip.AddrPort{}, false
	}
	return n.proxy, true
}

// trusts tells whether a is the address of another node: free of rate limits, nothing more.
func (t *nodeTable) trusts(a netip.Addr) bool { return t.cur.Load().ips[a] }

// isNode tells whether a message came from a SIP node, or from a front door that passes one's request on: from its very
// address over UDP, from its host over a stream, where the port is any.
func (t *nodeTable) isNode(source netip.AddrPort, stream bool) bool {
	s := t.cur.Load()
	if stream {
		return s.ips[source.Addr()]
	}
	return s.byAddr[source] != nil || s.doors[source]
}

// counts returns how many SIP nodes are known and how many of them take calls.
func (t *nodeTable) counts() (known, active int) {
	for _, n := range t.cur.Load().list {
		known++
		if !n.draining {
			active++
		}
	}
	return known, active
}

// choose picks the node for a new dialog: of two drawn at random, weighted by what they have free, the one less in
// use, and this process's own when both are equal. Two are enough to keep loads level and, unlike always taking the
// least loaded, do not send everybody to the same node until its next record comes. nil when no node takes calls.
func (t *nodeTable) choose(tried []string) *sipNode {
	var fit []*sipNode
	for _, n := range t.cur.Load().list {
		if n.takesCalls() && !slices.Contains(tried, n.id) {
			fit = append(fit, n)
		}
	}
	switch len(fit) {
	case 0:
		return nil
	case 1:
		return fit[0]
	}
	a := draw(fit)
	fit = slices.DeleteFunc(fit, func(n *sipNode) bool { return n == a })
	b := draw(fit)
	if la, lb := a.load(), b.load(); lb < la || lb == la && b.local {
		return b
	}
	return a
}

// draw picks one by weight of its free capacity.
func draw(from []*sipNode) *sipNode {
	weight := func(n *sipNode) float64 { return max(1-n.load(), 0.001) }
	sum := 0.0
	for _, n := range from {
		sum += weight(n)
	}
	x := rand.Float64() * sum
	for _, n := range from {
		if x -= weight(n); x < 0 {
			return n
		}
	}
	return from[len(from)-1]
}

// watchNodes follows the bucket until ctx ends.
func (s *Service) watchNodes(ctx context.Context) error {
	return s.f.Bucket(fabric.BucketNodes).Watch(ctx, "", func(e fabric.Entry) {
		if e.Op != fabric.EntryPut {
			if id := fabric.SplitKey(e.Key); len(id) == 1 && s.nodes.drop(id[0]) {
				s.log.LogAttrs(ctx, slog.LevelWarn, "SIP node gone", slog.String("node", id[0]))
				s.nodeGone(id[0])
			}
			return
		}
		n, err := s.readNode(ctx, e.Value)
		if err != nil {
			s.m.nodeRecordErrors.Inc()
			s.log.LogAttrs(ctx, slog.LevelWarn, "unreadable node record", slog.String("key", e.Key), slog.Any("err", err))
			return
		}
		s.nodes.put(n)
	}, nil)
}

func (s *Service) readNode(ctx context.Context, value []byte) (*sipNode, error) {
	var r contract.NodeRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	if r.ID == "" {
		return nil, fmt.Errorf("no id")
	}
	n := &sipNode{id: r.ID, local: r.ID == s.f.Node() && s.node != nil}
	var err error
	if r.SIP != nil {
		n.sip, n.capacity, n.calls, n.draining = true, r.SIP.Capacity, r.SIP.Calls, r.SIP.Draining
		if !n.local {
			if n.addr, err = resolve(ctx, r.SIP.Address); err != nil {
				return nil, err
			}
		}
	}
	if r.Proxy != nil && r.ID != s.f.Node() {
		if n.proxy, err = resolve(ctx, r.Proxy.Address); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// resolve turns host:port into an address. Nodes say addresses as a rule; a name is looked up once a record.
func resolve(ctx context.Context, hostPort string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(hostPort); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
	}
	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port of %q: %w", hostPort, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(addrs) == 0 {
		return netip.AddrPort{}, fmt.Errorf("no address for %q", host)
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(port)), nil
}
