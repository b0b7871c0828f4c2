package sipproxy

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/sipua/transport"
)

// bindings remembers which connections carry registrations, so that their end can be told to the registrar, and which
// UDP sources sit behind a NAT that must be kept open. It holds what this process learned since it started: a phone
// registered before is known again with its next refresh.
//
// Entries lie in as many slots as the interval has seconds, and each second one slot is visited: the packets of a
// hundred thousand phones spread evenly, and each slot has a lock of its own.
type bindings struct {
	seed  maphash.Seed
	max   int64
	n     atomic.Int64
	slots []bindingSlot
}

type bindingSlot struct {
	mu sync.Mutex // guards m
	m  map[bindingKey]binding
}

// bindingKey is a connection by its id, or a UDP source.
type bindingKey struct {
	flow   string
	source netip.AddrPort
}

type binding struct {
	flow  transport.Flow
	until time.Time
	ping  bool
}

func newBindings(interval time.Duration, most int) *bindings {
	b := &bindings{seed: maphash.MakeSeed(), max: int64(most), slots: make([]bindingSlot, max(1, int(interval/time.Second)))}
	for i := range b.slots {
		b.slots[i].m = map[bindingKey]binding{}
	}
	return b
}

func keyOf(f transport.Flow) bindingKey {
	if id := f.ID(); id != "" {
		return bindingKey{flow: id}
	}
	return bindingKey{source: f.Remote()}
}

func (b *bindings) slot(k bindingKey) *bindingSlot {
	return &b.slots[maphash.Comparable(b.seed, k)%uint64(len(b.slots))]
}

// hold remembers that f carries a registration until then, and whether it wants keep-alives; a time that has passed forgets it.
func (b *bindings) hold(f transport.Flow, until time.Time, ping bool) {
	k := keyOf(f)
	s := b.slot(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.m[k]
	if !until.After(time.Now()) {
		if known && k.flow == "" { // a connection stays known until it closes
			delete(s.m, k)
			b.n.Add(-1)
		}
		return
	}
	if !known {
		if b.n.Add(1) > b.max {
			b.n.Add(-1)
			return
		}
	}
	if known && old.until.After(until) { // several lines of one phone: the longest counts
		until = old.until
	}
	s.m[k] = binding{flow: f, until: until, ping: ping || known && old.ping}
}

// drop forgets a connection; held tells whether it carried a registration.
func (b *bindings) drop(f transport.Flow) (held bool) {
	k := keyOf(f)
	s := b.slot(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held = s.m[k]; held {
		delete(s.m, k)
		b.n.Add(-1)
	}
	return held
}

// counts returns how many bindings are remembered and how many of them are connections.
func (b *bindings) counts() (all, streams int) {
	for i := range b.slots {
		s := &b.slots[i]
		s.mu.Lock()
		for k := range s.m {
			if all++; k.flow != "" {
				streams++
			}
		}
		s.mu.Unlock()
	}
	return all, streams
}

// run visits one slot a second until ctx ends: bindings that ended are forgotten, the others pinged.
func (b *bindings) run(ctx context.Context, ping func(transport.Flow)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var due []transport.Flow
	for i := 0; ; i = (i + 1) % len(b.slots) {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			due = b.visit(&b.slots[i], now, due[:0])
		}
		for _, f := range due { // outside the lock: a send is a system call
			ping(f)
		}
	}
}

func (b *bindings) visit(s *bindingSlot, now time.Time, due []transport.Flow) []transport.Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, e := range s.m {
		switch {
		case !e.until.After(now):
			if k.flow == "" {
				delete(s.m, k)
				b.n.Add(-1)
			}
		case e.ping:
			due = append(due, e.flow)
		}
	}
	return due
}
