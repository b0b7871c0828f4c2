package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/voice"
)

// Directory is what the service knows of tenants and numbers; a [contract.Directory] is one.
type Directory interface {
	Synced() <-chan struct{}
	TenantByHost(host string) (*contract.TenantRecord, bool)
	Tenant(name string) (*contract.TenantRecord, bool)
	DN(tenant, number string) (*contract.DNRecord, bool)
	OnChange(fn func(contract.DirectoryChange))
}

// Options are what the service is made of.
type Options struct {
	Fabric    *fabric.Fabric
	Directory Directory
	Config    Config
	Registry  prometheus.Registerer // may be nil
	Health    *obs.Health           // nil: one of its own
	Log       *slog.Logger          // nil: discard
	Now       func() time.Time      // nil: time.Now
}

// The names of the health checks.
const (
	checkFabric    = "fabric"
	checkDirectory = "directory"
	checkEvents    = "events"
	checkNodes     = "sip-nodes"
)

var checks = [...]string{checkFabric, checkDirectory, checkEvents, checkNodes}

// maxReaders is how many clients read what they missed at once.
const maxReaders = 16

// Service is the front end of one node. See [New], [Service.Run] and [Service.Routes].
type Service struct {
	f       *fabric.Fabric
	dir     Directory
	cfg     Config
	health  *obs.Health
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics

	nodes   *nodes
	busy    *busy // requests
	hub     *hub
	open    *busy           // event streams
	gate    gate            // of event streams
	readers chan struct{}   // clients that read what they missed
	rest    *httpapi.Server // set by Routes
	people  *people
	changed *changed
}

// New checks its options and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Directory == nil {
		return nil, errors.New("frontend: needs a fabric and a directory")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
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
	for _, check := range checks {
		o.Health.Set(check, obs.LevelStarting, "")
	}
	s := &Service{
		f: o.Fabric, dir: o.Directory, cfg: o.Config, health: o.Health, log: o.Log, now: o.Now, metrics: newMetrics(),
		nodes: newNodes(o.Log), busy: newBusy("requests", o.Config.Requests, o.Config.RequestsPerUser),
		people: newPeople(o.Fabric, o.Now), changed: newChanged(), hub: newHub(o.Config.Buffer, o.Log),
		open: newBusy("event streams", o.Config.Streams, o.Config.StreamsPerUser), readers: make(chan struct{}, maxReaders),
	}
	s.registerMetrics(o.Registry)
	return s, nil
}

// Run serves the door and follows what the service must know, until ctx ends; then it returns nil. Call it once.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	known := make(chan struct{})
	g.Go(func() error { return s.nodes.watch(ctx, s.f, func() { close(known) }) })
	for src := range source(sources) {
		g.Go(func() error { return s.hub.follow(ctx, s.f, src) })
	}
	g.Go(func() error { s.openStreams(ctx); return nil })
	g.Go(func() error { s.watchHealth(ctx); return nil })
	g.Go(func() error { return s.serve(ctx, known) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("frontend: %w", err)
	}
	return nil
}

// serve answers when the numbers and the nodes are known.
func (s *Service) serve(ctx context.Context, known <-chan struct{}) error {
	for _, ready := range []<-chan struct{}{s.dir.Synced(), known, s.hub.ready} {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
	s.dir.OnChange(s.changed.note)
	// Requests under way may finish: what they need ends after Run.
	stop, err := fabric.Handle(context.WithoutCancel(ctx), s.f, contract.Ask, s.Ask)
	if err != nil {
		return err
	}
	defer stop()
	s.health.Set(checkDirectory, obs.LevelPass, "")
	s.health.Set(checkEvents, obs.LevelPass, "")
	s.lookAtNodes()
	<-ctx.Done()
	return nil
}

func (s *Service) lookAtNodes() {
	if s.nodes.len() == 0 {
		s.health.Set(checkNodes, obs.LevelDegraded, "no SIP node is alive, so no requests about calls can be done")
		return
	}
	s.health.Set(checkNodes, obs.LevelPass, "")
}

const healthTick = 2 * time.Second

// watchHealth keeps the health checks current.
func (s *Service) watchHealth(ctx context.Context) {
	tick := time.NewTicker(healthTick)
	defer tick.Stop()
	for {
		if ok, reason := s.f.Connected(); ok {
			s.health.Set(checkFabric, obs.LevelPass, "")
		} else {
			s.health.Set(checkFabric, obs.LevelFail, reason)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if fabric.Local(s.f, contract.Ask) {
				s.lookAtNodes()
			}
		}
	}
}

// event publishes what happened to a device.
func (s *Service) event(r *voice.Request, name voice.EventName, dn string, more func(*voice.DeviceEvent)) *voice.TError {
	e := voice.DeviceEvent{
		ID: name, Server: "frontend", ThisDN: dn, Tenant: r.Tenant, Time: s.now(), Node: s.f.Node(),
		ReferenceID: r.ReferenceID, Extensions: r.Extensions, Reasons: r.Reasons,
	}
	if more != nil {
		more(&e)
	}
	if err := s.f.Publish(fabric.Event{Subject: fabric.Subject("device", r.Tenant, dn, string(name)), Payload: e}); err != nil {
		s.log.Error("device event lost", slog.String("dn", dn), slog.String("event", string(name)), slog.Any("err", err))
		return voice.TErrorf(voice.TErrResourceUnavailable, "%s could not be published; try again in a moment", name)
	}
	return nil
}
