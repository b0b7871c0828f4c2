package trunk

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua/locate"
	"parley/internal/voice"
)

// Trunk is one trunk or softswitch.
type Trunk struct {
	Tenant  string
	DN      string
	Type    voice.DNType
	Options voice.TrunkOptions

	table    *Table
	record   *contract.DNRecord
	counts   *counts
	contacts []contactURI
	account  *Account      // nil: it has none
	poke     chan struct{} // a target wants attention; capacity 1

	mu           sync.Mutex // guards what follows
	targets      map[targetKey]*target
	state        contract.TrunkState
	reason       string
	since        time.Time
	registration *contract.TrunkRegistration
}

// contactURI is a contact with what its name leads to.
type contactURI struct {
	text   string
	uri    locate.URI
	answer locate.Answer // guarded by Trunk.mu, as is what follows
	err    error
	asked  bool // it was looked up
}

// targetKey names a target: the same address may be reached by two contacts, which are two ways to write the request.
type targetKey struct {
	contact string
	at      locate.Target
}

// maxWatched bounds the targets of a trunk.
const maxWatched = 32

// newTrunk understands a record. old is what the trunk was before, nil if it is new.
func (t *Table) newTrunk(r *contract.DNRecord, old *Trunk) *Trunk {
	log := t.log.With("tenant", r.Tenant, "trunk", r.Number)
	all, err := r.Options()
	if err != nil {
		log.Error("options of a trunk cannot be read", "err", err)
	}
	options, problems := voice.ParseTrunkOptions(r.Number, all["TServer"])
	for _, p := range problems { // the config service refuses them, so another version wrote this
		log.Error("option of a trunk has its default", "option", p.Field, "why", p.Reason)
	}
	tr := &Trunk{
		Tenant: r.Tenant, DN: r.Number, Type: r.Type, Options: options, table: t, record: r, counts: &counts{},
		poke: make(chan struct{}, 1), targets: map[targetKey]*target{}, state: contract.TrunkUnwatched, since: time.Now(),
	}
	if options.AuthUser != "" {
		tr.account = NewAccount(tr.identity, log)
	}
	for _, c := range options.Contacts {
		u, err := locate.ParseURI(c)
		if err != nil {
			log.Error("contact of a trunk", "err", err)
			continue
		}
		tr.contacts = append(tr.contacts, contactURI{text: c, uri: u, err: errors.New(u.Host + " has not been resolved yet")})
	}
	if old != nil {
		tr.counts = old.counts
		old.mu.Lock()
		tr.state, tr.reason, tr.since = old.state, old.reason, old.since
		for k, g := range old.targets {
			copied := *g
			copied.asked, copied.check, copied.probe = time.Time{}, time.Time{}, 0
			if !tr.watched() {
				copied.state, copied.reason = contract.TrunkUnwatched, ""
			}
			tr.targets[k] = &copied
		}
		old.mu.Unlock()
	}
	for i := range tr.contacts { // addresses are known at once; names, and those that were known, are for resolve
		c := &tr.contacts[i]
		if _, err := netip.ParseAddr(c.uri.Host); err == nil {
			c.answer, c.err = t.locator.Locate(context.Background(), c.uri)
			c.asked = true
		} else if old != nil {
			for _, o := range old.contacts {
				if o.text == c.text {
					old.mu.Lock()
					c.answer, c.err, c.asked = o.answer, o.err, o.asked
					old.mu.Unlock()
				}
			}
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.retargetLocked()
	return tr
}

// watched tells whether something is known of how the targets are.
func (tr *Trunk) watched() bool { return tr.Options.OOSCheck > 0 || tr.Options.Recovery > 0 }

// start begins what has to be done for the trunk; stop ends it and waits for that.
func (tr *Trunk) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	wg := &sync.WaitGroup{}
	if slices.ContainsFunc(tr.contacts, func(c contactURI) bool { _, err := netip.ParseAddr(c.uri.Host); return err != nil }) {
		wg.Go(func() { tr.resolve(ctx) })
	}
	if tr.watched() {
		wg.Go(func() { tr.watch(ctx) })
	}
	if tr.Options.Register != "" {
		wg.Go(func() { tr.keepRegistered(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// Times of looking names up again.
const (
	resolveRetry = 5 * time.Second // after a failure
	resolveLeast = time.Second
	resolveMost  = 10 * time.Minute
)

// resolve looks the names of the contacts up, again and again as their records end. What was known stays good while name servers
// fail: better an old address than none.
func (tr *Trunk) resolve(ctx context.Context) {
	trouble := make([]string, len(tr.contacts)) // what was logged last
	for {
		wait := resolveMost
		changed := false
		for i := range tr.contacts {
			c := &tr.contacts[i]
			answer, err := tr.table.locator.Locate(ctx, c.uri)
			if ctx.Err() != nil {
				return
			}
			if !answer.Until.IsZero() {
				wait = min(wait, max(time.Until(answer.Until), resolveLeast))
			}
			tr.mu.Lock()
			c.asked = true
			if err != nil {
				wait = min(wait, resolveRetry)
				if trouble[i] != err.Error() {
					trouble[i] = err.Error()
					tr.table.log.Warn("look up a trunk", "tenant", tr.Tenant, "trunk", tr.DN, "err", err)
				}
			} else {
				trouble[i] = ""
			}
			if err == nil || errors.Is(err, locate.ErrNoTarget) || len(c.answer.Targets()) == 0 {
				c.answer, c.err = answer, err
			}
			changed = tr.retargetLocked() || changed
			tr.mu.Unlock()
		}
		if changed {
			tr.table.reindex()
			tr.attend()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// attend wakes who watches the targets.
func (tr *Trunk) attend() {
	select {
	case tr.poke <- struct{}{}:
	default:
	}
}

// retargetLocked makes the targets those that the contacts lead to, and tells whether they are others than before.
func (tr *Trunk) retargetLocked() (changed bool) {
	wanted := map[targetKey]bool{}
	for _, c := range tr.contacts {
		for _, at := range c.answer.Targets() {
			k := targetKey{c.text, at}
			if len(wanted) >= maxWatched {
				break
			}
			wanted[k] = true
			if tr.targets[k] == nil {
				changed = true
				tr.targets[k] = &target{key: k, state: contract.TrunkUnwatched, since: time.Now()}
			}
		}
	}
	for k := range tr.targets {
		if !wanted[k] {
			changed = true
			delete(tr.targets, k)
		}
	}
	tr.judgeLocked(time.Now())
	return changed
}

// orderLocked lists the targets in the order to try them; order is that of one contact.
func (tr *Trunk) orderLocked(order func(locate.Answer) []locate.Target) []*target {
	var out []*target
	for _, c := range tr.contacts {
		for _, at := range order(c.answer) {
			if g := tr.targets[targetKey{c.text, at}]; g != nil && !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	return out
}

// sources are the addresses that the trunk is known by.
func (tr *Trunk) sources() []locate.Target {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var out []locate.Target
	for k := range tr.targets {
		if !slices.Contains(out, k.at) {
			out = append(out, k.at)
		}
	}
	return out
}

// judgeLocked says how the trunk is, from how its targets are.
func (tr *Trunk) judgeLocked(now time.Time) {
	state, reason := contract.TrunkUnwatched, ""
	out := 0
	for _, g := range tr.targets {
		switch g.state {
		case contract.TrunkInService:
			state = contract.TrunkInService
		case contract.TrunkOutOfService:
			out++
			reason = fmt.Sprintf("%s: %s", g.key.at, g.reason)
		}
	}
	if len(tr.targets) == 0 {
		state, reason = contract.TrunkOutOfService, "it has no address"
		for _, c := range tr.contacts {
			if c.err != nil {
				reason = c.err.Error()
			}
			if !c.asked { // a moment after the start
				state = contract.TrunkUnwatched
			}
		}
	} else if out == len(tr.targets) {
		state = contract.TrunkOutOfService
	} else {
		reason = ""
	}
	if state == tr.state {
		tr.reason = reason
		return
	}
	if state == contract.TrunkOutOfService {
		tr.counts.oos.Add(1)
		tr.table.log.Warn("trunk is out of service", "tenant", tr.Tenant, "trunk", tr.DN, "reason", reason)
	} else if tr.state == contract.TrunkOutOfService {
		tr.table.log.Info("trunk is in service again", "tenant", tr.Tenant, "trunk", tr.DN)
	}
	tr.state, tr.reason, tr.since = state, reason, now
}
