package config

import (
	"context"

	"parley/internal/contract"
	"parley/internal/store"
	"parley/internal/voice"
)

// maxDiffBytes bounds the differences an answer shows; changes beyond are listed without.
const maxDiffBytes = 2 << 20

// Check tells what is wrong with a provisioning file as far as can be seen without a store: its form, every field, and
// what is there twice. Whether references are good depends on what is in the store already.
func Check(req contract.ConfigApplyRequest) error {
	var out problems
	k := newKinds()
	f := parseFile(req.File, req.YAML, req.Files, k, &out)
	p := &planner{byID: map[id]*want{}}
	for _, e := range f.read(&out) {
		for _, w := range e.wants {
			p.add(w)
			w.kind.check(w.report(&p.out), w.body)
		}
	}
	for _, more := range p.out.list {
		out.add(more, "%s", more.Reason)
	}
	out.more += p.out.more
	return out.err()
}

// Apply serves contract.ConfigApply.
func (s *Service) Apply(ctx context.Context, req contract.ConfigApplyRequest) (contract.ConfigApplyResponse, error) {
	return s.apply(ctx, req, everything)
}

func (s *Service) apply(ctx context.Context, req contract.ConfigApplyRequest, may rights) (contract.ConfigApplyResponse, error) {
	start := s.now()
	res := contract.ConfigApplyResponse{Changes: []contract.AppliedChange{}, DryRun: req.DryRun}
	var form problems
	f := parseFile(req.File, req.YAML, req.Files, s.kinds, &form)
	if err := form.err(); err != nil {
		return res, err
	}
	changes, p, err := s.write(ctx, req.User, may, req.DryRun, func(ctx context.Context, p *planner) error {
		if req.First {
			if err := s.noTenants(ctx); err != nil {
				return err
			}
		}
		for _, e := range f.read(&p.out) {
			for _, w := range e.wants {
				p.add(w)
			}
			if req.Prune {
				if err := p.prune(ctx, e); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return res, err
	}
	room := maxDiffBytes
	for _, c := range changes {
		a, err := c.answer()
		if err != nil {
			return res, err
		}
		for _, d := range a.Diff {
			room -= len(d.Field) + len(d.Before) + len(d.After)
		}
		if room < 0 {
			a.Diff = nil
		}
		res.Changes = append(res.Changes, a)
	}
	res.Unchanged = len(p.wants) - len(changes)
	if len(changes) > 0 && !req.DryRun {
		res.Seq = p.basis + int64(len(changes))
	}
	s.metrics.applied(s.now().Sub(start), req.DryRun)
	return res, nil
}

// noTenants fails if there is a tenant. What a write asks the store holds until it is committed, or the write begins anew.
func (s *Service) noTenants(ctx context.Context) error {
	page, err := s.store.List(ctx, store.ListQuery{Tenant: voice.SystemTenant, Kind: voice.KindTenant, Limit: 1})
	if err == nil && page.Total > 0 {
		err = voice.Errorf(voice.ErrConflict, "there is a tenant already")
	}
	return err
}

// prune adds the deletion of what the tenant has and its entry does not name, within the kinds the entry names.
func (p *planner) prune(ctx context.Context, e entry) error {
	for _, name := range e.kinds {
		k := p.s.kinds.byName[name]
		q := store.ListQuery{Tenant: e.name, Kind: name, Limit: 1000}
		for {
			page, err := p.s.store.List(ctx, q)
			if err != nil {
				return err
			}
			for _, r := range page.Resources {
				who := id{r.Tenant, r.Kind, r.Key}
				if _, named := p.byID[who]; !named {
					p.add(&want{id: who, kind: k, version: anyVersion, place: inRequest{}})
				}
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
	}
	return nil
}
