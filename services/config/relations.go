package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"parley/internal/store"
	"parley/internal/voice"
)

// This file holds what must be true between resources: tenants, references, claims. Each check looks at the plan
// first and at the store for what the plan does not touch.

// maxReferrers is how many of those that still refer to a resource are named.
const maxReferrers = 20

// settleTenants finds out what the tenants of the plan will be, and keeps exactly one of all tenants the default.
func (p *planner) settleTenants(ctx context.Context) error {
	for _, w := range p.wants {
		if w.id.kind != voice.KindTenant {
			continue
		}
		t, _ := w.body.(*voice.Tenant)
		p.tenants[w.key] = t
		if t == nil {
			if err := p.checkTenantEmpty(ctx, w); err != nil {
				return err
			}
		}
	}
	if err := p.settleDefault(ctx); err != nil {
		return err
	}
	for _, w := range p.wants {
		if w.id.kind == voice.KindTenant {
			if err := p.checkRealm(ctx, w); err != nil {
				return err
			}
			continue
		}
		if t, known := p.tenants[w.tenant]; known {
			if t == nil && w.body != nil {
				w.report(&p.out).bad(w.kind.keyField, "its tenant %q is to be deleted", w.tenant)
			}
			continue
		}
		t, err := p.s.tenant(ctx, w.tenant)
		if err != nil {
			return err
		}
		p.tenants[w.tenant] = t
	}
	return nil
}

// tenant reads a tenant, or voice.ErrNotFound.
func (s *Service) tenant(ctx context.Context, name string) (*voice.Tenant, error) {
	r, err := s.store.Get(ctx, voice.SystemTenant, voice.KindTenant, name)
	if errors.Is(err, voice.ErrNotFound) {
		return nil, voice.Errorf(voice.ErrNotFound, "there is no tenant %.64q", name)
	}
	if err != nil {
		return nil, err
	}
	t := new(voice.Tenant)
	return t, json.Unmarshal(r.Body, t)
}

// checkTenantEmpty refuses to delete a tenant that still has resources.
func (p *planner) checkTenantEmpty(ctx context.Context, w *want) error {
	var left []voice.FieldError
	for _, k := range p.s.kinds.list {
		page, err := p.s.store.List(ctx, store.ListQuery{Tenant: w.key, Kind: k.name, Limit: 1})
		if err != nil {
			return err
		}
		if page.Total > 0 {
			left = append(left, voice.FieldError{Field: string(k.name), Reason: fmt.Sprintf("has %d left, %q among them", page.Total, page.Resources[0].Key)})
		}
	}
	if len(left) == 0 {
		return nil
	}
	e := voice.Errorf(voice.ErrReferenced, "tenant %q still has resources; delete them first", w.key)
	e.Fields = left
	return e
}

// settleDefault moves the mark of the default tenant: who gets it takes it from who has it, in the same write.
func (p *planner) settleDefault(ctx context.Context) error {
	holders, err := p.s.store.Referrers(ctx, voice.SystemTenant, store.Ref{Kind: claimDefault, Key: "default"}, 1)
	if err != nil {
		return err
	}
	holder := ""
	if len(holders) > 0 {
		holder = holders[0].Key
	}
	var next, losing *want
	touched := false
	for _, w := range p.wants {
		t, isTenant := w.body.(*voice.Tenant)
		switch {
		case isTenant && t.Default && next != nil:
			w.report(&p.out).bad("default", "tenants %q and %q cannot both be the default; mark one", next.key, w.key)
		case isTenant && t.Default:
			next = w
		case w.id.kind == voice.KindTenant && w.key == holder:
			losing = w
		}
		touched = touched || isTenant
	}
	switch {
	case next != nil && (holder == "" || holder == next.key || losing != nil):
		return nil // nobody had it, it stays, or the loser is in the plan
	case next != nil:
		return p.takeDefault(ctx, holder)
	case losing != nil:
		return p.checkDefaultLost(ctx, losing)
	case holder == "" && touched:
		for _, w := range p.wants {
			if w.id.kind == voice.KindTenant {
				w.report(&p.out).bad("default", "no tenant is the default one, which takes requests for any other host; set default: true on one")
				return nil
			}
		}
	}
	return nil
}

// takeDefault adds the change of the tenant that loses the mark to another.
func (p *planner) takeDefault(ctx context.Context, holder string) error {
	r, err := p.s.store.Get(ctx, voice.SystemTenant, voice.KindTenant, holder)
	if err != nil {
		return err
	}
	k := p.s.kinds.byName[voice.KindTenant]
	before, err := stored(k, r)
	if err != nil {
		return err
	}
	t := *before.(*voice.Tenant)
	t.Default = false
	w := &want{id: id{voice.SystemTenant, voice.KindTenant, holder}, kind: k, body: &t, version: anyVersion, place: inRequest{}, existing: &r, before: before}
	if len(t.Domains) == 0 {
		p.out.add(voice.FieldError{Field: "default"}, "tenant %q is the default and has no domain to be found by; give it one before another becomes the default", holder)
	}
	p.add(w)
	p.tenants[holder] = &t
	return nil
}

// checkDefaultLost allows the mark to go with the last tenant only.
func (p *planner) checkDefaultLost(ctx context.Context, w *want) error {
	page, err := p.s.store.List(ctx, store.ListQuery{Tenant: voice.SystemTenant, Kind: voice.KindTenant, Limit: 1})
	if err != nil {
		return err
	}
	if w.body == nil && page.Total == 1 {
		return nil
	}
	w.report(&p.out).bad("default", "tenant %q is the default one and some tenant must be; make another the default instead, which takes it from this one", w.key)
	return nil
}

// checkRealm keeps the realm of a tenant whose numbers have passwords: their digests contain it.
func (p *planner) checkRealm(ctx context.Context, w *want) error {
	t, _ := w.body.(*voice.Tenant)
	before, _ := w.before.(*voice.Tenant)
	if t == nil || before == nil || t.Realm == before.Realm {
		return nil
	}
	q := store.ListQuery{Tenant: w.key, Kind: voice.KindDN, Limit: 1000}
	for {
		page, err := p.s.store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Resources {
			var d voice.DN
			if err := json.Unmarshal(r.Body, &d); err != nil {
				return fmt.Errorf("number %q of tenant %q in the store: %w", r.Key, r.Tenant, err)
			}
			if d.Auth != nil {
				w.report(&p.out).bad("realm", "cannot change from %q to %q while numbers have passwords (%q has), since the realm is part of their digests", before.Realm, t.Realm, d.Number)
				return nil
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

// checkRefs reports fields that name what is not there.
func (p *planner) checkRefs(ctx context.Context) error {
	type use struct {
		w     *want
		field string
	}
	type group struct {
		tenant string
		kind   voice.Kind
	}
	open := map[group]map[string][]use{} // to be looked up in the store
	for _, w := range p.wants {
		if w.body == nil {
			continue
		}
		for _, ref := range w.kind.refs(w.body) {
			target, planned := p.byID[id{w.tenant, ref.to.Kind, ref.to.Key}]
			switch {
			case planned && target.body == nil:
				w.report(&p.out).bad(ref.field, "names %s, which is to be deleted", target.id)
			case !planned && w.changed: // what has not changed is right already
				g := group{w.tenant, ref.to.Kind}
				if open[g] == nil {
					open[g] = map[string][]use{}
				}
				open[g][ref.to.Key] = append(open[g][ref.to.Key], use{w, ref.field})
			}
		}
	}
	for g, uses := range open {
		keys := sortedKeys(uses)
		found, err := p.s.store.GetMany(ctx, g.tenant, g.kind, keys)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, ok := found[key]; ok {
				continue
			}
			for _, u := range uses[key] {
				u.w.report(&p.out).bad(u.field, "there is no %s in tenant %q", id{g.tenant, g.kind, key}, g.tenant)
			}
		}
	}
	return nil
}

// checkClaims reports what two resources claim and only one may have.
func (p *planner) checkClaims(ctx context.Context) error {
	first := map[id]*want{} // claim -> who of the plan has it
	for _, w := range p.wants {
		if w.body == nil || !w.changed {
			continue
		}
		for _, c := range w.kind.claims(w.body) {
			claim := id{w.tenant, c.Kind, c.Key}
			switch c.Kind {
			case claimDefault: // settleDefault has seen to it
				continue
			case claimSystem:
				if t := p.tenants[w.tenant]; t != nil && !t.Default {
					w.report(&p.out).bad("roles", "the role system is for persons of the default tenant; %q is not it", w.tenant)
				}
				continue
			}
			if other := first[claim]; other != nil {
				w.claimed(p, c, other.id)
				continue
			}
			first[claim] = w
			if err := p.checkHolder(ctx, w, c); err != nil {
				return err
			}
		}
	}
	return p.checkSystemPeople(ctx)
}

func (p *planner) checkHolder(ctx context.Context, w *want, c store.Ref) error {
	holders, err := p.s.store.Referrers(ctx, w.tenant, c, 2)
	if err != nil {
		return err
	}
	for _, h := range holders {
		holder := id{w.tenant, h.Kind, h.Key}
		if holder != w.id && !p.frees(holder, c) {
			w.claimed(p, c, holder)
		}
	}
	return nil
}

// frees tells whether the plan takes claim c away from holder.
func (p *planner) frees(holder id, c store.Ref) bool {
	w, planned := p.byID[holder]
	if !planned {
		return false
	}
	if w.body == nil {
		return true
	}
	for _, still := range w.kind.claims(w.body) {
		if still == c {
			return false
		}
	}
	return true
}

func (w *want) claimed(p *planner, c store.Ref, by id) {
	field := "agent_id"
	switch c.Kind {
	case claimProfile:
		field = claimedProfileField(w.body.(*voice.CallingProfile), c.Key)
	case claimDomain:
		field = "domains"
		for i, d := range w.body.(*voice.Tenant).Domains {
			if d == c.Key {
				field = index("domains", i)
			}
		}
	}
	w.report(&p.out).bad(field, "%q belongs to %s already", c.Key, by)
}

// checkSystemPeople keeps the mark of the default tenant where persons with the role system are.
func (p *planner) checkSystemPeople(ctx context.Context) error {
	for _, w := range p.wants {
		before, _ := w.before.(*voice.Tenant)
		after, _ := w.body.(*voice.Tenant)
		if before == nil || after == nil || !before.Default || after.Default {
			continue
		}
		holders, err := p.s.store.Referrers(ctx, w.key, store.Ref{Kind: claimSystem, Key: "system"}, maxReferrers)
		if err != nil {
			return err
		}
		for _, h := range holders {
			if !p.frees(id{w.key, h.Kind, h.Key}, store.Ref{Kind: claimSystem, Key: "system"}) {
				w.report(&p.out).bad("default", "tenant %q has persons with the role system (%q), which only the default tenant may have", w.key, h.Key)
				break
			}
		}
	}
	return nil
}

// checkReferrers refuses deletes that would leave a dangling reference, and names those who refer.
func (p *planner) checkReferrers(ctx context.Context) error {
	var stuck []id
	var fields []voice.FieldError
	for _, w := range p.wants {
		if w.body != nil || w.id.kind == voice.KindTenant {
			continue
		}
		holders, err := p.s.store.Referrers(ctx, w.tenant, store.Ref{Kind: w.id.kind, Key: w.key}, maxReferrers)
		if err != nil {
			return err
		}
		before := len(fields)
		for _, h := range holders {
			holder := id{w.tenant, h.Kind, h.Key}
			if _, planned := p.byID[holder]; planned {
				continue // deleted too, or its new references have been checked
			}
			fields = append(fields, voice.FieldError{Field: string(h.Kind) + "/" + h.Key, Reason: "refers to " + w.id.String()})
		}
		if len(fields) > before {
			stuck = append(stuck, w.id)
		}
		if len(fields) >= maxProblems {
			break
		}
	}
	if len(stuck) == 0 || p.out.any() {
		return nil
	}
	var who []string
	for _, f := range fields[:min(len(fields), maxReferrers)] {
		who = append(who, f.Field)
	}
	e := voice.Errorf(voice.ErrReferenced, "%s is still referred to by %s", stuck[0], strings.Join(who, ", "))
	e.Fields = fields
	return e
}
