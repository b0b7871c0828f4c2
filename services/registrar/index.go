package registrar

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"parley/internal/contract"
)

const (
	shardCount = 64
	notDue     = -1 // aor.pos of an address-of-record that waits for nothing
)

// index is this node's copy of the bucket: every address-of-record with its record as it is stored, which of them
// are due to expire, and which connections they came over. It is fed by the bucket's watch and by this node's own
// writes; whichever brings a revision first wins, the other finds nothing to do.
type index struct {
	seed    maphash.Seed
	shards  [shardCount]shard
	tenants sync.Map // name -> *tenant
	newOne  func(name string) *tenant
}

// shard is a part of the index.
type shard struct {
	mu    sync.RWMutex // guards what follows and the fields of its aors that say so
	aors  map[aorKey]*aor
	due   []*aor          // a heap by aor.due
	flows map[uint64]*aor // hash of node and flow -> who came over it first; see flowHash
	more  map[uint64][]*aor
}

// tenant is what the registrar keeps for one tenant.
type tenant struct {
	name       string
	registered atomic.Int64 // numbers with a contact in force
	contacts   atomic.Int64
	metrics    tenantMetrics
}

type aorKey struct {
	tenant *tenant
	dn     string
}

// aor is one address-of-record. It is in its shard's map while it has a record or somebody holds it.
type aor struct {
	tenant *tenant
	dn     string

	// write is held from reading the record to its being stored anew, so that the writes of one number go one after
	// the other and their events in that order.
	write sync.Mutex
	entry *contract.DNRecord // guarded by write: the number for which allowed was worked out
	allow bool               // guarded by write: its options let it register

	// What follows is guarded by the shard's lock.
	holders int32  // acquired and not yet released
	alive   int32  // contacts in force when it was last looked at
	flowing bool   // a contact came over a connection
	pos     int32  // in the heap, or notDue
	due     int64  // ms since 1970: when to look whether something ended; may be too early, never too late
	rev     uint64 // revision of data
	data    string // the record as stored; "" when there is none
}

func newIndex(newTenant func(name string) *tenant) *index {
	x := &index{seed: maphash.MakeSeed(), newOne: newTenant}
	for i := range x.shards {
		x.shards[i].aors = map[aorKey]*aor{}
		x.shards[i].flows = map[uint64]*aor{}
		x.shards[i].more = map[uint64][]*aor{}
	}
	return x
}

// tenant returns what is kept for the tenant of that name, making it if need be. Names come from the configuration
// and from records, so their number is bounded by what was provisioned.
func (x *index) tenant(name string) *tenant {
	if t, ok := x.tenants.Load(name); ok {
		return t.(*tenant)
	}
	name = strings.Clone(name)
	t, _ := x.tenants.LoadOrStore(name, x.newOne(name))
	return t.(*tenant)
}

// known is tenant for a name that a caller made up: it makes nothing.
func (x *index) known(name string) (*tenant, bool) {
	t, ok := x.tenants.Load(name)
	if !ok {
		return nil, false
	}
	return t.(*tenant), true
}

func (x *index) shard(k aorKey) *shard {
	return &x.shards[maphash.Comparable(x.seed, k)%shardCount]
}

// acquire returns the address-of-record and keeps it from going away until release. With busy >= 0 it fails when
// that many hold it already.
func (x *index) acquire(k aorKey, busy int) (*aor, bool) {
	s := x.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.aors[k]
	if a == nil {
		a = &aor{tenant: k.tenant, dn: strings.Clone(k.dn), pos: notDue}
		s.aors[aorKey{k.tenant, a.dn}] = a
	}
	if busy >= 0 && int(a.holders) >= busy {
		return nil, false
	}
	a.holders++
	return a, true
}

func (x *index) release(a *aor) {
	s := x.shard(aorKey{a.tenant, a.dn})
	s.mu.Lock()
	defer s.mu.Unlock()
	a.holders--
	s.dropLocked(a)
}

// dropLocked forgets a if nothing keeps it. s.mu is held.
func (s *shard) dropLocked(a *aor) {
	if a.holders == 0 && a.data == "" {
		s.unscheduleLocked(a)
		delete(s.aors, aorKey{a.tenant, a.dn})
	}
}

// record returns the record of a number and its revision, "" and 0 when there is none.
func (x *index) record(k aorKey) (data string, rev uint64) {
	s := x.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.aors[k]; a != nil {
		return a.data, a.rev
	}
	return "", 0
}

// recordOf is record for an aor that the caller holds.
func (x *index) recordOf(a *aor) (data string, rev uint64) {
	s := x.shard(aorKey{a.tenant, a.dn})
	s.mu.RLock()
	defer s.mu.RUnlock()
	return a.data, a.rev
}

// update is a new state of a record, on its way into the index.
type update struct {
	rev   uint64
	data  string // "" when the key is gone
	bs    []binding
	dueMS int64 // when to look at it if it has no contact in force; 0 = never
}

// apply makes u what the index shows of k, unless it knows something newer. It tells whether it did.
func (x *index) apply(k aorKey, u update, nowMS int64) bool {
	s := x.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.aors[k]
	if a == nil {
		if u.data == "" {
			return false
		}
		a = &aor{tenant: k.tenant, dn: strings.Clone(k.dn), pos: notDue}
		s.aors[aorKey{k.tenant, a.dn}] = a
	}
	if u.rev <= a.rev {
		return false
	}
	x.unlinkFlowsLocked(s, a)
	a.rev, a.data = u.rev, u.data
	x.linkFlowsLocked(s, a, u.bs)
	alive, next := inForce(u.bs, nowMS)
	a.setAliveLocked(alive)
	switch {
	case alive > 0:
		s.scheduleLocked(a, next)
	case u.data != "" && u.dueMS > 0:
		s.scheduleLocked(a, u.dueMS)
	default:
		s.unscheduleLocked(a)
	}
	s.dropLocked(a)
	return true
}

// forget drops the record of a held number that the bucket does not have any more.
func (x *index) forget(a *aor) {
	s := x.shard(aorKey{a.tenant, a.dn})
	s.mu.Lock()
	defer s.mu.Unlock()
	x.forgetLocked(s, a)
}

func (x *index) forgetLocked(s *shard, a *aor) {
	x.unlinkFlowsLocked(s, a)
	a.data, a.flowing = "", false
	a.setAliveLocked(0)
	s.unscheduleLocked(a)
}

// inForce counts the contacts in force and tells when the first of them ends.
func inForce(bs []binding, nowMS int64) (alive int32, next int64) {
	for i := range bs {
		if bs[i].live(nowMS) {
			if alive == 0 || bs[i].expires < next {
				next = bs[i].expires
			}
			alive++
		}
	}
	return alive, next
}

// setAliveLocked keeps the tenant's counts in step. The shard's lock is held.
func (a *aor) setAliveLocked(n int32) {
	a.tenant.contacts.Add(int64(n - a.alive))
	if (n > 0) != (a.alive > 0) {
		if n > 0 {
			a.tenant.registered.Add(1)
		} else {
			a.tenant.registered.Add(-1)
		}
	}
	a.alive = n
}

// flowHash names a connection of a node. Two may collide; whoever looks one up reads the records it finds.
func (x *index) flowHash(node, flow string) uint64 {
	return maphash.Comparable(x.seed, [2]string{node, flow})
}

func (x *index) linkFlowsLocked(s *shard, a *aor, bs []binding) {
	a.flowing = false
	for i := range bs {
		if bs[i].flow == "" {
			continue
		}
		a.flowing = true
		h := x.flowHash(bs[i].node, bs[i].flow)
		switch first := s.flows[h]; {
		case first == nil:
			s.flows[h] = a
		case first != a && !slices.Contains(s.more[h], a):
			s.more[h] = append(s.more[h], a)
		}
	}
}

func (x *index) unlinkFlowsLocked(s *shard, a *aor) {
	if !a.flowing {
		return
	}
	_, bs, err := decodeRecord(a.data, nil)
	if err != nil {
		return // it was decoded before it came here
	}
	for i := range bs {
		if bs[i].flow == "" {
			continue
		}
		h := x.flowHash(bs[i].node, bs[i].flow)
		rest := slices.DeleteFunc(s.more[h], func(o *aor) bool { return o == a })
		if s.flows[h] == a {
			delete(s.flows, h)
			if len(rest) > 0 {
				s.flows[h], rest = rest[0], rest[1:]
			}
		}
		if len(rest) == 0 {
			delete(s.more, h)
		} else {
			s.more[h] = rest
		}
	}
}

// overFlow returns the numbers that may have a contact over that connection.
func (x *index) overFlow(node, flow string) []aorKey {
	h := x.flowHash(node, flow)
	var out []aorKey
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		if a := s.flows[h]; a != nil {
			out = append(out, aorKey{a.tenant, a.dn})
			for _, a := range s.more[h] {
				out = append(out, aorKey{a.tenant, a.dn})
			}
		}
		s.mu.RUnlock()
	}
	return out
}

// totals returns the numbers registered and the contacts in force, all tenants together.
func (x *index) totals() (registered, contacts int64) {
	x.tenants.Range(func(_, v any) bool {
		t := v.(*tenant)
		registered += t.registered.Load()
		contacts += t.contacts.Load()
		return true
	})
	return registered, contacts
}

// keys returns every number that has a record and that keep lets through.
func (x *index) keys(keep func(aorKey) bool) []aorKey {
	var out []aorKey
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		for k, a := range s.aors {
			if a.data != "" && keep(k) {
				out = append(out, k)
			}
		}
		s.mu.RUnlock()
	}
	return out
}
