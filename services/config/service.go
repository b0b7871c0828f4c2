package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/store"
	"parley/internal/voice"
)

// Names of the health checks.
const (
	checkStore    = "store"        // the database answers
	checkAnnounce = "announcement" // changes reach the stream CONFIG
	checkDoors    = "doors"        // the doors are open
)

const (
	healthEvery = 5 * time.Second
	healthTime  = 2 * time.Second
)

// Options are what a Service needs.
type Options struct {
	Fabric   *fabric.Fabric
	Store    *store.Store // whoever opened it closes it, after Run has returned
	Registry *prometheus.Registry
	Health   *obs.Health      // nil = one of its own
	Verify   httpapi.Verifier // who stands behind a token of REST
	Log      *slog.Logger
	Version  string // for the OpenAPI document
}

// Service serves the configuration. See [New], [Service.Run] and [Service.Serve].
type Service struct {
	fabric   *fabric.Fabric
	store    *store.Store
	registry *prometheus.Registry
	health   *obs.Health
	verify   httpapi.Verifier
	log      *slog.Logger
	version  string
	now      func() time.Time

	kinds      kinds
	metrics    *metrics
	announcer  *announcer
	hashing    chan struct{} // a place for each password hash under way
	writers    sync.Mutex    // held by writers of this node that had to plan again
	checkBroke atomic.Bool   // the last health check panicked
	names      tenantNames
}

// New checks its arguments and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Store == nil || o.Registry == nil || o.Verify == nil || o.Log == nil {
		return nil, errors.New("config: Fabric, Store, Registry, Verify and Log are required")
	}
	if o.Health == nil {
		o.Health = obs.NewHealth()
	}
	for _, c := range []string{checkStore, checkAnnounce, checkDoors} {
		o.Health.Set(c, obs.LevelStarting, "starting")
	}
	s := &Service{
		fabric: o.Fabric, store: o.Store, registry: o.Registry, health: o.Health, verify: o.Verify, log: o.Log, version: o.Version,
		now: time.Now, kinds: newKinds(), hashing: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	s.announcer = newAnnouncer(s)
	s.metrics = newMetrics(o.Registry, s)
	return s, nil
}

// Run serves the doors and announces changes until ctx ends, then returns nil. Call it once.
func (s *Service) Run(ctx context.Context) error {
	stop, err := s.open(ctx)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	s.health.Set(checkDoors, obs.LevelPass, "")
	s.checkStore(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.announcer.run(ctx) })
	g.Go(func() error { return s.watchHealth(ctx) })
	err = g.Wait()
	stop()
	return err
}

// Serve answers REST on ln until ctx ends. Run must run as well.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	return s.server().Serve(ctx, ln)
}

func (s *Service) watchHealth(ctx context.Context) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.checkStore(ctx)
		}
	}
}

// checkStore asks the database. A check that itself breaks is told by a metric of its own.
func (s *Service) checkStore(ctx context.Context) {
	defer func() {
		r := recover()
		s.checkBroke.Store(r != nil)
		if r != nil {
			s.log.Error("health check broke", "panic", r)
			s.health.Set(checkStore, obs.LevelFail, "the check of the database broke; see the log")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	err := s.store.Ping(ctx)
	switch {
	case err == nil:
		s.health.Set(checkStore, obs.LevelPass, "")
	case !errors.Is(err, context.Canceled):
		s.health.Set(checkStore, obs.LevelFail, "the database does not answer: "+reason(err))
		s.log.Error("check database", "err", err)
	}
}

// tenantNames remembers which tenants there are, for the label of a metric.
type tenantNames struct {
	mu   sync.Mutex // guards what follows
	seen map[string]bool
	next time.Time // not asked before
}

// knownTenant tells whether a tenant of that name was there when last looked, at most a minute ago.
func (s *Service) knownTenant(name string) bool {
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	if s.names.seen[name] {
		return true
	}
	if now := s.now(); now.After(s.names.next) {
		s.names.next = now.Add(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), healthTime)
		defer cancel()
		seen := map[string]bool{}
		err := s.all(ctx, store.ListQuery{Tenant: voice.SystemTenant, Kind: voice.KindTenant, Limit: 1000}, func(r voice.Resource) error {
			seen[r.Key] = true
			return nil
		})
		if err == nil {
			s.names.seen = seen
		}
	}
	return s.names.seen[name]
}
