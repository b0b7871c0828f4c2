package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/store"
	"parley/internal/voice"
)

// anyVersion replaces or deletes whatever version there is, or creates.
const anyVersion = -1

// id names a resource.
type id struct {
	tenant string
	kind   voice.Kind
	key    string
}

func (i id) String() string {
	if i.kind == voice.KindTenant {
		return fmt.Sprintf("tenant %q", i.key)
	}
	word := strings.TrimSuffix(strings.ReplaceAll(string(i.kind), "_", " "), "s")
	return fmt.Sprintf("%s %q", strings.Replace(word, "boxe", "box", 1), i.key)
}

// want is one resource as somebody wants it to be.
type want struct {
	id
	kind    *kind
	body    any   // pointer to the type of the kind; nil: it is to go
	version int64 // the version it replaces, 0: it must not exist, anyVersion
	place   place
	fill    func(body, existing any) // takes over from what exists what a file left unsaid; may be nil

	// Set while planning.
	existing *voice.Resource
	before   any // existing body
	changed  bool
}

func (w *want) report(out *problems) *report { return &report{place: w.place, out: out} }

// change is a mutation that was planned, with what its answer shows.
type change struct {
	w        *want
	mutation store.Mutation
}

// planner turns wants into mutations of a store at one moment. It writes nothing. Everything wrong is in out.
//
// The order of its steps is that of dependence: what exists, the tenants (their realm is part of a password's digest),
// the bodies, then what holds between resources.
type planner struct {
	s     *Service
	basis int64 // number of the newest change the plan knows of
	user  string
	now   time.Time
	may   rights
	out   problems

	wants   []*want
	byID    map[id]*want
	tenants map[string]*voice.Tenant // as they will be; nil: will not exist
	hashes  *hashes
}

// add takes one more resource into the plan; one that is in it already is a problem.
func (p *planner) add(w *want) {
	if first, twice := p.byID[w.id]; twice {
		at := first.place.at(first.kind.keyField)
		where := ""
		if at.Line > 0 {
			where = fmt.Sprintf("; the first is in line %d", at.Line)
		}
		w.report(&p.out).bad(w.kind.keyField, "%s is there twice%s", w.id, where)
		return
	}
	p.byID[w.id] = w
	p.wants = append(p.wants, w)
}

// plan returns the changes that fulfil the wants, in their order. A plan with problems is an error that lists them.
func (p *planner) plan(ctx context.Context) ([]change, error) {
	for _, w := range p.wants {
		if w.body != nil && w.fill == nil {
			w.kind.check(w.report(&p.out), w.body)
		}
	}
	steps := []func(context.Context) error{p.load, p.allow, p.expect, p.settleTenants, p.seal, p.compare, p.checkRefs, p.checkClaims, p.checkReferrers}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.out.err(); err != nil {
		return nil, err
	}
	return p.changes()
}

// load reads what exists of everything wanted.
func (p *planner) load(ctx context.Context) error {
	type group struct {
		tenant string
		kind   voice.Kind
	}
	keys := map[group][]string{}
	for _, w := range p.wants {
		g := group{w.tenant, w.id.kind}
		keys[g] = append(keys[g], w.key)
	}
	for g, k := range keys {
		found, err := p.s.store.GetMany(ctx, g.tenant, g.kind, k)
		if err != nil {
			return err
		}
		for key, r := range found {
			w := p.byID[id{g.tenant, g.kind, key}]
			w.existing = &r
			if w.before, err = stored(w.kind, r); err != nil {
				return err
			}
		}
	}
	for _, w := range p.wants {
		if w.fill != nil {
			w.fill(w.body, w.before)
			w.kind.check(w.report(&p.out), w.body)
		}
	}
	return nil
}

// allow asks for the rights to everything in the plan.
func (p *planner) allow(context.Context) error {
	for _, w := range p.wants {
		if err := p.may.touch(w.id, w.before, w.body); err != nil {
			return err
		}
	}
	return nil
}

// expect holds the versions against those there are.
func (p *planner) expect(context.Context) error {
	for _, w := range p.wants {
		switch {
		case w.existing == nil && (w.version > 0 || w.body == nil):
			return voice.Errorf(voice.ErrNotFound, "there is no %s", w.id)
		case w.existing != nil && w.version == 0:
			return voice.Errorf(voice.ErrExists, "%s exists already", w.id)
		case w.existing != nil && w.version != anyVersion && w.version != w.existing.Version:
			return voice.Errorf(voice.ErrConflict, "%s has version %d by now (changed by %s), not %d; read it again",
				w.id, w.existing.Version, w.existing.UpdatedBy, w.version)
		}
	}
	return nil
}

// compare finds out what would change.
func (p *planner) compare(context.Context) error {
	for _, w := range p.wants {
		if w.existing == nil || w.body == nil {
			w.changed = true
			continue
		}
		was, err := encode(w.before)
		if err != nil {
			return err
		}
		is, err := encode(w.body)
		if err != nil {
			return err
		}
		w.changed = string(was) != string(is)
	}
	return nil
}

// changes renders what changes as mutations.
func (p *planner) changes() ([]change, error) {
	var out []change
	for _, w := range p.wants {
		if !w.changed {
			continue
		}
		if err := p.may.change(w.id); err != nil {
			return nil, err
		}
		m, err := w.mutation()
		if err != nil {
			return nil, err
		}
		m.Resource.UpdatedAt, m.Resource.UpdatedBy = p.now, p.user
		out = append(out, change{w, m})
	}
	return out, nil
}

func (w *want) mutation() (store.Mutation, error) {
	m := store.Mutation{Op: voice.OpCreate, Resource: voice.Resource{Tenant: w.tenant, Kind: w.id.kind, Key: w.key, Version: 1}}
	if w.existing != nil {
		m.Op, m.Resource.Version = voice.OpUpdate, w.existing.Version+1
	}
	var err error
	if m.Before, m.After, err = history(w.before, w.body); err != nil {
		return m, err
	}
	if w.body == nil {
		m.Op, m.Resource.Version = voice.OpDelete, w.existing.Version
		return m, nil
	}
	m.Type, m.Search = w.kind.typ(w.body), w.kind.search(w.body)
	for _, ref := range w.kind.refs(w.body) {
		m.Refs = append(m.Refs, ref.to)
	}
	m.Refs = append(m.Refs, w.kind.claims(w.body)...)
	m.Resource.Body, err = encode(w.body)
	return m, err
}

// answer is the change as apply tells it.
func (c change) answer() (contract.AppliedChange, error) {
	d, err := diff(c.mutation.Before, c.mutation.After)
	return contract.AppliedChange{Tenant: c.w.tenant, Kind: c.w.id.kind, Key: c.w.key, Op: c.mutation.Op, Diff: d}, err
}

// Attempts at writing a plan before giving up; each one that fails means that another write succeeded.
const maxAttempts = 50

// write makes plans until one is taken. build adds the wants and is called for each attempt.
func (s *Service) write(ctx context.Context, user string, may rights, dryRun bool, build func(context.Context, *planner) error) ([]change, *planner, error) {
	hashes := newHashes()
	for attempt := range maxAttempts {
		if attempt == 1 { // somebody was faster: do not let the writers of this node trip over each other
			s.writers.Lock()
			defer s.writers.Unlock()
		}
		basis, err := s.store.Seq(ctx)
		if err != nil {
			return nil, nil, err
		}
		p := &planner{s: s, basis: basis, user: user, now: s.now().UTC(), may: may, byID: map[id]*want{}, tenants: map[string]*voice.Tenant{}, hashes: hashes}
		if err := build(ctx, p); err != nil {
			return nil, p, err
		}
		changes, err := p.plan(ctx)
		if err != nil || dryRun || len(changes) == 0 {
			return changes, p, err
		}
		mutations := make([]store.Mutation, len(changes))
		for i, c := range changes {
			mutations[i] = c.mutation
		}
		_, err = s.store.Commit(ctx, basis, mutations)
		if err == nil {
			s.announcer.poke()
			return changes, p, nil
		}
		if !errors.Is(err, store.ErrStale) {
			return nil, p, err
		}
	}
	return nil, nil, voice.Errorf(voice.ErrOverloaded, "others kept changing the configuration; try again")
}
