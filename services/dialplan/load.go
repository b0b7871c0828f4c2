package dialplan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/voice"
)

const (
	pageSize  = 1000                   // resources asked for at once
	retryTime = 500 * time.Millisecond // after a load that failed
	fullCheck = time.Minute            // how often everything is loaded anew, if anything was changed since
)

// everyTenant as the name of a tenant to load means all.
const everyTenant = ""

// stale is what must be loaded anew.
type stale struct {
	wake chan struct{} // something is in tenants; capacity 1

	mu      sync.Mutex // guards tenants
	tenants map[string]bool
}

func (s *stale) add(tenant string) {
	s.mu.Lock()
	s.tenants[tenant] = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // told already
	}
}

// take returns what is stale and forgets it.
func (s *stale) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Sorted(maps.Keys(s.tenants))
	clear(s.tenants)
	if len(out) > 0 && out[0] == everyTenant {
		out = out[:1]
	}
	return out
}

// heard takes a notice of CONFIG. Numbers and tenants are told of by the Directory, when it knows them.
func (s *Service) heard(m fabric.Message) {
	if len(m.Subject) < 3 { // config, tenant, kind, key
		return
	}
	switch voice.Kind(m.Subject[2]) {
	case voice.KindPartition, voice.KindCallingProfile:
		s.stale.add(m.Subject[1])
	}
}

// directoryChanged takes a change that the Directory shows already.
func (s *Service) directoryChanged(c contract.DirectoryChange) {
	switch {
	case c.Tenant == "":
		s.numbers.forget("", "")
		s.stale.add(everyTenant)
	case c.Number == "":
		s.stale.add(c.Tenant)
	default:
		s.numbers.forget(c.Tenant, c.Number)
		rec, ok := s.dir.DN(c.Tenant, c.Number)
		held := ok && (rec.Type == voice.DNRoutingPoint || rec.Type == voice.DNTrunk || rec.Type == voice.DNSoftswitch || rec.Type == voice.DNRingGroup)
		if held || s.plan(c.Tenant).has(c.Number) {
			s.stale.add(c.Tenant)
		}
	}
}

// follow keeps the plans current until ctx ends.
func (s *Service) follow(ctx context.Context, loaded int64) {
	check := time.NewTicker(s.fullCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stale.wake:
			for _, tenant := range s.stale.take() {
				if _, ok := s.loadUntil(ctx, tenant); !ok {
					return
				}
			}
		case <-check.C:
			newest, err := s.newest(ctx)
			if err != nil {
				s.log.Warn("compare the dial plan with the store", "err", err)
				continue
			}
			if newest == loaded {
				continue
			}
			var ok bool
			if loaded, ok = s.loadUntil(ctx, everyTenant); !ok {
				return
			}
		}
	}
}

// loadUntil loads a tenant, or all, until it succeeds; seq is the newest change that it surely includes. It is false
// when ctx ended before. What was loaded earlier holds meanwhile.
func (s *Service) loadUntil(ctx context.Context, tenant string) (seq int64, ok bool) {
	for first := true; ; first = false {
		seq, err := s.load(ctx, tenant)
		if err == nil {
			s.health.Set(checkPlans, obs.LevelPass, "")
			return seq, true
		}
		if ctx.Err() != nil {
			return 0, false
		}
		if first && !errors.Is(err, voice.ErrUnavailable) { // nobody serving yet is how every start looks
			s.log.Warn("load the dial plan", "err", err)
		}
		if s.plans.Load() != nil {
			s.health.Set(checkPlans, obs.LevelDegraded, "the config service does not answer, so changes have no effect yet")
		}
		select {
		case <-ctx.Done():
			return 0, false
		case <-time.After(retryTime):
		}
	}
}

// load replaces the plan of a tenant, or all plans.
func (s *Service) load(ctx context.Context, tenant string) (seq int64, err error) {
	if seq, err = s.newest(ctx); err != nil {
		return 0, err
	}
	found := map[string]*material{}
	of := func(tenant string) *material {
		if found[tenant] == nil {
			found[tenant] = &material{}
		}
		return found[tenant]
	}
	// Profiles before the partitions they name: what a profile names exists, so it is found.
	for _, list := range []struct {
		kind voice.Kind
		typ  voice.DNType
		into func(*material) *[]voice.Resource
	}{
		{voice.KindCallingProfile, "", func(m *material) *[]voice.Resource { return &m.profiles }},
		{voice.KindPartition, "", func(m *material) *[]voice.Resource { return &m.partitions }},
		{voice.KindDN, voice.DNTrunk, func(m *material) *[]voice.Resource { return &m.dns }},
		{voice.KindDN, voice.DNSoftswitch, func(m *material) *[]voice.Resource { return &m.dns }},
		{voice.KindDN, voice.DNRoutingPoint, func(m *material) *[]voice.Resource { return &m.dns }},
		{voice.KindDN, voice.DNRingGroup, func(m *material) *[]voice.Resource { return &m.dns }},
	} {
		err := s.pages(ctx, contract.ConfigListRequest{Tenant: tenant, Kind: list.kind, Type: string(list.typ)}, func(r voice.Resource) {
			to := list.into(of(r.Tenant))
			*to = append(*to, r)
		})
		if err != nil {
			return 0, err
		}
	}
	s.replace(tenant, found)
	return seq, nil
}

// replace shows the plans made of what was found. One goroutine does it.
func (s *Service) replace(tenant string, found map[string]*material) {
	plans := map[string]*plan{}
	if old := s.plans.Load(); old != nil && tenant != everyTenant {
		maps.Copy(plans, *old)
		delete(plans, tenant)
	}
	for name, m := range found {
		p, problems := newPlan(m)
		for _, err := range problems {
			s.log.Error("left out of the dial plan", "tenant", name, "err", err)
		}
		plans[name] = p
	}
	s.plans.Store(&plans)
	s.metrics.loads.Inc()
}

func (s *Service) pages(ctx context.Context, req contract.ConfigListRequest, each func(voice.Resource)) error {
	req.Limit = pageSize
	for {
		page, err := fabric.Call(ctx, s.fabric, contract.ConfigList, req)
		if err != nil {
			return fmt.Errorf("list %s: %w", req.Kind, err)
		}
		for _, r := range page.Resources {
			each(r)
		}
		if page.Next == "" {
			return nil
		}
		req.After = page.Next
	}
}

// newest asks for the number of the newest change, 0 when there was none yet.
func (s *Service) newest(ctx context.Context) (int64, error) {
	h, err := fabric.Call(ctx, s.fabric, contract.ConfigHistory, contract.ConfigHistoryRequest{Limit: 1})
	if err != nil {
		return 0, fmt.Errorf("read the newest change: %w", err)
	}
	if len(h.Changes) == 0 {
		return 0, nil
	}
	return h.Changes[0].Seq, nil
}
