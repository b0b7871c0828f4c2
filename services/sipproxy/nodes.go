package sipproxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
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
	"parley/internal/sipua"
)

// nominalCapacity stands for a node that sets no limit, so that its load can be compared with others.
const nominalCapacity = 10_000

// sipNode is a node as its last record has it: a SIP node, a front door, or both. It is not changed once it is in a table,
// but for what is atomic.
type sipNode struct {
	id       string
	started  time.Time
	capacity int // 0 = no limit
	calls    int
	draining bool
	sip      bool              // it takes dialogs
	local    bool              // it is this process
	live     func() sipua.Load // of the local one: better than its record

	udp, tcp netip.AddrPort // its front door; invalid where it has none
	hosts    []netip.Addr   // what it may send from besides

	assigned atomic.Int64 // dialogs given to it since the record was written
	silent   atomic.Bool  // it left a request without any answer since the record was written
}

// now is how much the node has to do: of a distant one, its record and what it was given since.
func (n *sipNode) now() sipua.Load {
	if n.live != nil {
		return n.live()
	}
	return sipua.Load{Calls: n.calls + int(n.assigned.Load()), Capacity: n.capacity, Draining: n.draining}
}

// load is how much of the node is in use, 0 to 1 and beyond.
func load(l sipua.Load) float64 {
	return float64(l.Calls) / float64(cmp.Or(l.Capacity, nominalCapacity))
}

// free tells whether there is room for one more call; there always is where no limit is.
func free(l sipua.Load) bool { return l.Capacity == 0 || l.Calls < l.Capacity }

// nodeTable is this process's copy of the bucket "nodes". Readers take a snapshot without lock.
type nodeTable struct {
	self string
	live func() sipua.Load // of the SIP node in this process, which is there whatever the bucket says; nil = none
	cur  atomic.Pointer[nodeSnapshot]
	seen atomic.Bool // there was a SIP node that took calls once

	mu   sync.Mutex           // guards writing cur, and what follows
	lost map[string]time.Time // when nodes died; for a while
}

type nodeSnapshot struct {
	byID   map[string]*sipNode
	list   []*sipNode                  // those with sip, by id
	byAddr map[netip.AddrPort]*sipNode // by the address of their front door
	hosts  map[netip.Addr]bool         // of other nodes
}

func newNodeTable(self string, live func() sipua.Load) *nodeTable {
	t := &nodeTable{self: self, live: live, lost: map[string]time.Time{}}
	t.cur.Store(t.snapshot(map[string]*sipNode{}))
	return t
}

// snapshot indexes nodes. The node of this process is always among them.
func (t *nodeTable) snapshot(byID map[string]*sipNode) *nodeSnapshot {
	if t.live != nil {
		if n := byID[t.self]; n == nil || !n.sip {
			byID[t.self] = &sipNode{id: t.self, local: true, sip: true, live: t.live}
		}
	}
	s := &nodeSnapshot{byID: byID, byAddr: map[netip.AddrPort]*sipNode{}, hosts: map[netip.Addr]bool{}}
	for _, n := range byID {
		if n.sip {
			s.list = append(s.list, n)
		}
		for _, a := range []netip.AddrPort{n.udp, n.tcp} {
			if !a.IsValid() {
				continue
			}
			s.byAddr[a] = n
			if !n.local {
				s.hosts[a.Addr()] = true
			}
		}
		for _, a := range n.hosts {
			if !n.local {
				s.hosts[a] = true
			}
		}
	}
	slices.SortFunc(s.list, func(a, b *sipNode) int { return cmp.Compare(a.id, b.id) })
	return s
}

// put replaces a node's record; the dialogs assigned before are in its number of calls now, or soon. It tells whether the
// node is another one than before under the same id: it was restarted, and all it had is gone.
func (t *nodeTable) put(n *sipNode) (restarted bool) {
	t.change(func(m map[string]*sipNode) {
		old := m[n.id]
		restarted = old != nil && !n.local && !old.started.Equal(n.started)
		m[n.id] = n
		if restarted {
			t.loseLocked(n.id)
		}
	})
	return restarted
}

// drop takes a node out; it reports whether there was one.
func (t *nodeTable) drop(id string) (was bool) {
	t.change(func(m map[string]*sipNode) {
		if was = m[id] != nil; was {
			t.loseLocked(id)
		}
		delete(m, id)
	})
	return was
}

// loseLocked notes that a node died.
func (t *nodeTable) loseLocked(id string) {
	maps.DeleteFunc(t.lost, func(_ string, at time.Time) bool { return time.Since(at) > notice })
	t.lost[id] = time.Now()
}

// dying tells whether a node died so short a time ago that its calls may still be on their way to others.
func (t *nodeTable) dying(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.lost[id]
	return ok && time.Since(at) < notice
}

func (t *nodeTable) change(fn func(map[string]*sipNode)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	byID := maps.Clone(t.cur.Load().byID)
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

// door returns a node whose front door can be reached.
func (t *nodeTable) door(id string) *sipNode {
	if n := t.cur.Load().byID[id]; n != nil && (n.udp.IsValid() || n.tcp.IsValid()) {
		return n
	}
	return nil
}

// isNode tells, for people who look at messages, whether the other end was another node, by the address of its front door.
func (t *nodeTable) isNode(a netip.AddrPort) bool {
	n := t.cur.Load().byAddr[a]
	return n != nil && !n.local
}

// alone tells that there is no other node.
func (t *nodeTable) alone() bool { return len(t.cur.Load().hosts) == 0 }

// trusts tells whether a is a host of another node: it is free of rate limits and not banned, and passes are taken from it.
func (t *nodeTable) trusts(a netip.Addr) bool { return t.cur.Load().hosts[a] }

// counts returns how many SIP nodes are known and how many of them take calls.
func (t *nodeTable) counts() (known, active int) {
	for _, n := range t.cur.Load().list {
		known++
		if !n.now().Draining {
			active++
		}
	}
	return known, active
}

// choose picks the node for a new dialog: of two drawn at random, weighted by what they have free, the one less in
// use, and this process's own when both are equal. Two are enough to keep loads level and, unlike always taking the
// least loaded, do not send everybody to the same node until its next record comes. A node that has just left a request
// without answer is taken only where there is no other. When nobody has room, the node of this process says so itself,
// and counts it; nil when there is none.
func (t *nodeTable) choose(tried []string) *sipNode {
	list := t.cur.Load().list
	if len(list) == 1 && list[0].local && len(tried) == 0 {
		return list[0]
	}
	var fit, silent []candidate
	var own *sipNode
	for _, n := range list {
		if slices.Contains(tried, n.id) {
			continue
		}
		if n.local {
			own = n
		}
		switch l := n.now(); {
		case l.Draining || !free(l):
		case n.silent.Load():
			silent = append(silent, candidate{n, load(l)})
		default:
			fit = append(fit, candidate{n, load(l)})
		}
	}
	if len(fit) == 0 {
		fit = silent
	}
	switch len(fit) {
	case 0:
		return own
	case 1:
		return fit[0].node
	}
	i := draw(fit)
	a := fit[i]
	fit = slices.Delete(fit, i, i+1)
	if b := fit[draw(fit)]; b.load < a.load || b.load == a.load && b.node.local {
		return b.node
	}
	return a.node
}

type candidate struct {
	node *sipNode
	load float64
}

// draw picks one by weight of its free capacity.
func draw(from []candidate) int {
	weight := func(c candidate) float64 { return max(1-c.load, 0.001) }
	sum := 0.0
	for _, c := range from {
		sum += weight(c)
	}
	x := rand.Float64() * sum
	for i, c := range from {
		if x -= weight(c); x < 0 {
			return i
		}
	}
	return len(from) - 1
}

// watchNodes follows the bucket until ctx ends.
func (s *Service) watchNodes(ctx context.Context) error {
	return s.f.Bucket(fabric.BucketNodes).Watch(ctx, "", func(e fabric.Entry) {
		if e.Op != fabric.EntryPut {
			if id := fabric.SplitKey(e.Key); len(id) == 1 && s.nodes.drop(id[0]) {
				s.log.LogAttrs(ctx, slog.LevelWarn, "node gone", slog.String("node", id[0]))
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
		if s.nodes.put(n) {
			s.log.LogAttrs(ctx, slog.LevelWarn, "node restarted, its calls are gone", slog.String("node", n.id))
			s.nodeGone(n.id)
		}
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
	n := &sipNode{id: r.ID, started: r.Started, local: r.ID == s.f.Node()}
	if n.local {
		n.live = s.nodes.live
	}
	if r.SIP != nil {
		n.sip, n.capacity, n.calls, n.draining = !n.local || s.node != nil, r.SIP.Capacity, r.SIP.Calls, r.SIP.Draining
	}
	if r.Proxy == nil {
		return n, nil
	}
	for _, at := range []struct {
		to   *netip.AddrPort
		text string
	}{{&n.udp, r.Proxy.UDP}, {&n.tcp, r.Proxy.TCP}} {
		if at.text == "" {
			continue
		}
		var err error
		if *at.to, err = resolve(ctx, at.text); err != nil {
			return nil, err
		}
	}
	for _, text := range r.Proxy.Hosts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		n.hosts = append(n.hosts, a.Unmap())
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
