package tenant

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// guard counts failed sign-ins by name and by source, and locks out whoever fails too often.
//
// An attempt counts as failed from its start and is taken back when it succeeds, so a thousand attempts at once get
// no more guesses than a thousand in a row. Success clears the name but gives the source back only its own attempt:
// somebody with one good account must not win free guesses at the others.
type guard struct {
	mu      sync.Mutex // guards both tallies
	names   tally
	sources tally
}

func newGuard(l Lockout) *guard {
	return &guard{
		names:   newTally(l.NameFailures, l),
		sources: newTally(l.SourceFailures, l),
	}
}

// begin counts an attempt of name from source. ok is false when either is locked; the attempt is then not counted.
func (g *guard) begin(now time.Time, name, source string) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.names.locked(now, name) || g.sources.locked(now, source) {
		return false
	}
	g.names.add(now, name)
	g.sources.add(now, source)
	return true
}

// succeeded ends an attempt whose password was right.
func (g *guard) succeeded(name, source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.names.forget(name)
	g.sources.takeBack(source)
}

// undecided ends an attempt that could not be judged, e.g. because the configuration was away.
func (g *guard) undecided(name, source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.names.takeBack(name)
	g.sources.takeBack(source)
}

// lockedNow returns how many names and sources are locked.
func (g *guard) lockedNow(now time.Time) (names, sources int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.names.countLocked(now), g.sources.countLocked(now)
}

// sourceKey is the part of an address that one customer holds: all of an IPv4 address, the /64 of an IPv6 one.
func sourceKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// tally counts failures per key over a window, for a bounded number of keys.
type tally struct {
	limit    int
	window   time.Duration
	duration time.Duration
	remember int
	byKey    map[string]*list.Element // values are *failures
	order    *list.List               // most recently seen first
}

// failures is what one key did wrong.
type failures struct {
	key         string
	count       int
	first       time.Time // of the window that count is about
	lockedUntil time.Time
}

func newTally(limit int, l Lockout) tally {
	return tally{
		limit: limit, window: l.Window, duration: l.Duration, remember: l.Remember,
		byKey: map[string]*list.Element{}, order: list.New(),
	}
}

func (t *tally) locked(now time.Time, key string) bool {
	e, ok := t.byKey[key]
	return ok && now.Before(e.Value.(*failures).lockedUntil)
}

func (t *tally) add(now time.Time, key string) {
	e, ok := t.byKey[key]
	if !ok {
		if len(t.byKey) >= t.remember {
			oldest := t.order.Back()
			delete(t.byKey, oldest.Value.(*failures).key)
			t.order.Remove(oldest)
		}
		e = t.order.PushFront(&failures{key: key})
		t.byKey[key] = e
	}
	t.order.MoveToFront(e)
	f := e.Value.(*failures)
	if now.Sub(f.first) >= t.window {
		f.count, f.first = 0, now
	}
	f.count++
	if f.count >= t.limit {
		f.lockedUntil = now.Add(t.duration)
		f.count = 0
	}
}

// takeBack undoes one add. If that add was the one that locked the key, the lock goes too.
func (t *tally) takeBack(key string) {
	e, ok := t.byKey[key]
	if !ok {
		return
	}
	f := e.Value.(*failures)
	switch {
	case f.count > 0:
		f.count--
	case !f.lockedUntil.IsZero():
		f.lockedUntil = time.Time{}
		f.count = t.limit - 1
	}
}

func (t *tally) forget(key string) {
	if e, ok := t.byKey[key]; ok {
		t.order.Remove(e)
		delete(t.byKey, key)
	}
}

func (t *tally) countLocked(now time.Time) int {
	n := 0
	for _, e := range t.byKey {
		if now.Before(e.Value.(*failures).lockedUntil) {
			n++
		}
	}
	return n
}
