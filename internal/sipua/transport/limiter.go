package transport

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// rate is a token bucket written as the generic cell rate algorithm (GCRA): one number a bucket, the time by which it would
// be empty again. A message is let through while that time is not further ahead than the burst.
type rate struct {
	interval int64 // nanoseconds a message costs; 0 = no limit
	ahead    int64 // nanoseconds the bucket may run ahead: burst * interval
}

func newRate(perSecond, burst int) rate {
	if perSecond <= 0 {
		return rate{}
	}
	i := max(int64(time.Second)/int64(perSecond), 1)
	return rate{interval: i, ahead: i * int64(max(burst, 1))}
}

// take moves the bucket *due by one message at time now and tells whether it went through.
func (r rate) take(due *int64, now int64) bool {
	next := max(*due, now) + r.interval
	if r.interval != 0 && next-now > r.ahead {
		return false
	}
	*due = next
	return true
}

// sharedBucket is a bucket for many goroutines.
type sharedBucket struct {
	rate rate
	due  atomic.Int64
}

func (b *sharedBucket) take(now int64) bool {
	for {
		old := b.due.Load()
		due := old
		if !b.rate.take(&due, now) {
			return false
		}
		if b.rate.interval == 0 || b.due.CompareAndSwap(old, due) {
			return true
		}
	}
}

// sourceKey stands for a source in the tables: an IPv4 address, or the /64 of an IPv6 one. 0 is no source.
type sourceKey uint64

func keyOf(a netip.Addr) sourceKey {
	if a.Is4() {
		b := a.As4()
		return sourceKey(0xffff<<32 | uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3]))
	}
	b := a.As16()
	var k uint64
	for _, c := range b[:8] {
		k = k<<8 | uint64(c)
	}
	return sourceKey(k | 1<<63) // never 0 and never an IPv4 key: no global prefix differs in the top bit alone
}

// ways is how many sources share a set of the table.
const ways = 8

// slot is what a table remembers of one source.
type slot struct {
	key      sourceKey
	due      int64  // the bucket, see rate; also when the source was seen last
	until    int64  // known sources: when that ends. Strangers: not used
	offences uint32 // strangers: since the last report
	reported uint32 // strangers: second of the last report
}

// sources is a set-associative table of a size fixed for good: a source belongs to one set of eight slots, and in a
// full set the slot worth least is given away. Nothing an attacker sends makes it larger, and the seed keeps him
// from choosing addresses that meet in one set.
type sources struct {
	seed  maphash.Seed
	shift uint
	sets  []sourceSet
}

type sourceSet struct {
	mu    sync.Mutex
	slots [ways]slot
}

// newSources makes a table for at least n sources.
func newSources(n int) *sources {
	sets := max((n+ways-1)/ways, 2)
	log := uint(bits.Len(uint(sets - 1)))
	return &sources{seed: maphash.MakeSeed(), shift: 64 - log, sets: make([]sourceSet, 1<<log)}
}

// set returns the set of k, locked. The caller unlocks it.
func (s *sources) set(k sourceKey) *sourceSet {
	set := &s.sets[maphash.Comparable(s.seed, k)>>s.shift]
	set.mu.Lock()
	return set
}

// find returns the slot of k, or nil. The set is locked.
func (s *sourceSet) find(k sourceKey) *slot {
	for i := range s.slots {
		if s.slots[i].key == k {
			return &s.slots[i]
		}
	}
	return nil
}

// claim returns the slot of k, given away by another source when there is none. The set is locked.
func (s *sourceSet) claim(k sourceKey, worth func(*slot) int64) *slot {
	if found := s.find(k); found != nil {
		return found
	}
	least := &s.slots[0]
	for i := range s.slots {
		if s.slots[i].key == 0 {
			least = &s.slots[i]
			break
		}
		if worth(&s.slots[i]) < worth(least) {
			least = &s.slots[i]
		}
	}
	*least = slot{key: k}
	return least
}

func lastSeen(s *slot) int64   { return s.due }
func knownUntil(s *slot) int64 { return s.until }

// limiter decides who may send how much; see Limits. Times are nanoseconds since the Set was made.
type limiter struct {
	known     *sources
	strangers *sources
	callers   *sources // sources of connections
	all       sharedBucket

	knownRate, strangerRate, connectRate rate
}

func newLimiter(l Limits) *limiter {
	return &limiter{
		known:        newSources(l.Known),
		strangers:    newSources(l.Strangers),
		callers:      newSources(l.Strangers),
		all:          sharedBucket{rate: newRate(l.StrangersRate, 2*l.StrangersRate)},
		knownRate:    newRate(l.KnownRate, 2*l.KnownRate),
		strangerRate: newRate(l.StrangerRate, l.StrangerBurst),
		connectRate:  newRate(l.ConnectRate, l.ConnectBurst),
	}
}

// vouch makes a source known until then.
func (l *limiter) vouch(a netip.Addr, until int64) {
	k := keyOf(a)
	set := l.known.set(k)
	defer set.mu.Unlock()
	s := set.claim(k, knownUntil)
	s.until = max(s.until, until)
}

// takeKnown charges a known source for a datagram.
func (l *limiter) takeKnown(k sourceKey, now int64) (known, ok bool) {
	set := l.known.set(k)
	defer set.mu.Unlock()
	s := set.find(k)
	if s == nil || s.until < now {
		return false, false
	}
	return true, l.knownRate.take(&s.due, now)
}

// isKnown tells whether a source has authenticated not long ago.
func (l *limiter) isKnown(a netip.Addr, now int64) bool {
	k := keyOf(a)
	set := l.known.set(k)
	defer set.mu.Unlock()
	s := set.find(k)
	return s != nil && s.until >= now
}

// takeStranger charges a source that is neither known nor trusted for a datagram.
func (l *limiter) takeStranger(k sourceKey, now int64) dropReason {
	set := l.strangers.set(k)
	ok := l.strangerRate.take(&set.claim(k, lastSeen).due, now)
	set.mu.Unlock()
	switch {
	case !ok:
		return dropSourceRate
	case !l.all.take(now):
		return dropStrangersRate
	}
	return accepted
}

// takeConnect charges a source for a connection, unless it is known.
func (l *limiter) takeConnect(a netip.Addr, now int64) bool {
	if l.isKnown(a, now) {
		return true
	}
	k := keyOf(a)
	set := l.callers.set(k)
	defer set.mu.Unlock()
	return l.connectRate.take(&set.claim(k, lastSeen).due, now)
}

// offend notes misbehaviour of a source. Once a second it returns the number of offences that are to be reported.
func (l *limiter) offend(a netip.Addr, now int64) (weight int) {
	k := keyOf(a)
	set := l.strangers.set(k)
	defer set.mu.Unlock()
	s := set.claim(k, lastSeen)
	s.due = max(s.due, now) // counts as seen, costs nothing
	s.offences++
	second := uint32(now/int64(time.Second)) + 1 // 0 is "never"
	if s.reported == second {
		return 0
	}
	weight, s.offences, s.reported = int(s.offences), 0, second
	return weight
}
