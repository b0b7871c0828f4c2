package dialplan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/voice"
)

// Directory is what the dial plan asks about tenants and numbers; a [contract.Directory] answers.
type Directory interface {
	Tenant(name string) (*contract.TenantRecord, bool)
	TenantByHost(host string) (*contract.TenantRecord, bool)
	DN(tenant, number string) (*contract.DNRecord, bool)
	Synced() <-chan struct{}
	OnChange(fn func(contract.DirectoryChange))
}

// Options are what a dial plan service is made of.
type Options struct {
	Fabric    *fabric.Fabric
	Directory Directory
	Registry  prometheus.Registerer // may be nil
	Health    *obs.Health           // nil: one of its own
	Log       *slog.Logger          // may be nil
	Now       func() time.Time      // nil: time.Now
}

// The names of the health checks.
const (
	checkFabric    = "fabric"
	checkDirectory = "directory"
	checkPlans     = "plans"
)

// Service is the dial plan of one node.
type Service struct {
	fabric  *fabric.Fabric
	dir     Directory
	log     *slog.Logger
	health  *obs.Health
	now     func() time.Time
	metrics *metrics

	numbers   *numbers
	plans     atomic.Pointer[map[string]*plan] // by tenant; nil until they were loaded
	stale     stale
	fullCheck time.Duration
}

// New checks its options and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Directory == nil {
		return nil, errors.New("dialplan: needs a fabric and a directory")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Health == nil {
		o.Health = obs.NewHealth()
	}
	for _, check := range []string{checkFabric, checkDirectory, checkPlans} {
		o.Health.Set(check, obs.LevelStarting, "")
	}
	s := &Service{
		fabric: o.Fabric, dir: o.Directory, log: o.Log, health: o.Health, now: o.Now, fullCheck: fullCheck,
		numbers: newNumbers(o.Directory, o.Log), metrics: newMetrics(o.Fabric.Node()),
		stale: stale{wake: make(chan struct{}, 1), tenants: map[string]bool{}},
	}
	s.registerMetrics(o.Registry)
	return s, nil
}

// Run loads the dial plans, keeps them current and serves the door, until ctx ends; then it returns nil. Call it once.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	subscribed := make(chan struct{})
	g.Go(func() error {
		from := fabric.From{New: true, Ready: func() { close(subscribed) }}
		err := s.fabric.Subscribe(ctx, fabric.StreamConfig, fabric.Filter("config", fabric.Rest), from, s.heard)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("follow %s: %w", fabric.StreamConfig, err)
		}
		return nil
	})
	g.Go(func() error { s.watchHealth(ctx); return nil })
	g.Go(func() error { return s.serve(ctx, subscribed) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("dialplan: %w", err)
	}
	return nil
}

// serve answers when everything is known, and follows what changes. What changes while it loads is heard of.
func (s *Service) serve(ctx context.Context, subscribed <-chan struct{}) error {
	for _, ready := range []<-chan struct{}{subscribed, s.dir.Synced()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
	s.health.Set(checkDirectory, obs.LevelPass, "")
	s.dir.OnChange(s.directoryChanged)
	loaded, ok := s.loadUntil(ctx, everyTenant)
	if !ok {
		return nil
	}
	// Requests under way may finish: what they need ends after Run.
	stop, err := fabric.Handle(context.WithoutCancel(ctx), s.fabric, contract.Resolve, s.Resolve)
	if err != nil {
		return err
	}
	defer stop()
	s.follow(ctx, loaded)
	return nil
}

// Resolve serves contract.Resolve.
func (s *Service) Resolve(_ context.Context, req *contract.ResolveRequest) (*contract.ResolveResponse, error) {
	began := time.Now()
	plans := s.plans.Load()
	if plans == nil {
		return nil, voice.Errorf(voice.ErrUnavailable, "the dial plan is not loaded yet")
	}
	tenant, ok := s.tenant(req.Tenant)
	if !ok {
		return nil, voice.Errorf(voice.ErrNotFound, "there is no tenant %.64q", req.Tenant)
	}
	at := req.At
	if at.IsZero() {
		at = s.now()
	}
	resp, refused := resolve(planOf(plans, tenant), s.numbers, tenant, req, at)
	s.metrics.resolved(tenant, req.Explain, resp.Status, refused, time.Since(began))
	return resp, nil
}

// tenant is the name of a tenant that exists; "" is the default one.
func (s *Service) tenant(name string) (string, bool) {
	var t *contract.TenantRecord
	var ok bool
	if name == "" {
		t, ok = s.dir.TenantByHost("")
	} else {
		t, ok = s.dir.Tenant(name)
	}
	if !ok {
		return "", false
	}
	return t.Name, true
}

// noPlan is that of a tenant with extensions only.
var noPlan = plan{}

func planOf(plans *map[string]*plan, tenant string) *plan {
	if plans != nil {
		if p := (*plans)[tenant]; p != nil {
			return p
		}
	}
	return &noPlan
}

// plan returns what a tenant has, never nil.
func (s *Service) plan(tenant string) *plan { return planOf(s.plans.Load(), tenant) }

const healthTick = 2 * time.Second

// watchHealth keeps the check of the fabric current.
func (s *Service) watchHealth(ctx context.Context) {
	tick := time.NewTicker(healthTick)
	defer tick.Stop()
	for {
		if ok, reason := s.fabric.Connected(); ok {
			s.health.Set(checkFabric, obs.LevelPass, "")
		} else {
			s.health.Set(checkFabric, obs.LevelFail, reason)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
