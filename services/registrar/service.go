package registrar

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// Directory is what the registrar asks about tenants and numbers; a [contract.Directory] answers.
type Directory interface {
	TenantByHost(host string) (*contract.TenantRecord, bool)
	DN(tenant, number string) (*contract.DNRecord, bool)
	Synced() <-chan struct{}
	OnChange(fn func(contract.DirectoryChange))
}

// bucket is what the registrar asks of a key-value bucket; a [fabric.Bucket] answers.
type bucket interface {
	Get(ctx context.Context, key string) (fabric.Entry, error)
	Put(ctx context.Context, key string, value []byte, o fabric.PutOptions) (uint64, error)
	PutAsync(key string, value []byte, o fabric.PutOptions, done func(uint64, error))
	Delete(ctx context.Context, key string, o fabric.PutOptions) error
	Watch(ctx context.Context, prefix string, fn func(fabric.Entry), synced func()) error
}

// publisher is what the registrar asks of the event streams; a [fabric.Fabric] answers.
type publisher interface {
	Publish(ev fabric.Event) error
	Flush(ctx context.Context) error
}

// Options are what a registrar is made of.
type Options struct {
	Fabric    *fabric.Fabric
	Directory Directory
	Config    Config
	Registry  prometheus.Registerer // may be nil
	Health    *obs.Health           // nil: one of its own
	Log       *slog.Logger          // may be nil
	Now       func() time.Time      // nil: time.Now
}

// The names of the health checks.
const (
	checkFabric    = "fabric"
	checkIndex     = "registrations"
	checkDirectory = "directory"
	checkSecret    = "digest-secret"
)

// Service is the registrar of one node.
type Service struct {
	cfg    Config
	node   string
	door   *fabric.Fabric // for the doors
	fabric publisher
	sole   bool // nobody else writes to the buckets; see fabric.Fabric.Sole
	bucket bucket
	dir    Directory
	log    *slog.Logger
	health *obs.Health
	now    func() time.Time

	index   *index
	jobs    *sync.Pool
	keeper  atomic.Pointer[digest.Doorkeeper] // nil until the cluster's secret is known
	date    dateCache
	metrics *metrics

	banBucket bucket
	bans      *banList
	exempt    []netip.Prefix
	failures  *tallies[netip.Addr] // wrong answers by source
	guessed   *tallies[uint64]     // wrong answers by number
	seed      maphash.Seed

	changes changes
}

// New checks its options and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Directory == nil {
		return nil, errors.New("registrar: needs a fabric and a directory")
	}
	s, err := build(o, o.Fabric.Node())
	if err != nil {
		return nil, err
	}
	s.door, s.fabric, s.sole = o.Fabric, o.Fabric, o.Fabric.Sole()
	s.bucket, s.banBucket = o.Fabric.Bucket(fabric.BucketRegistrations), o.Fabric.Bucket(fabric.BucketBans)
	s.registerMetrics(o.Registry, o.Fabric)
	return s, nil
}

// build makes all of a Service but what talks to the fabric.
func build(o Options, node string) (*Service, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	exempt, err := o.Config.Bans.exempt()
	if err != nil {
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
	for _, check := range []string{checkFabric, checkIndex, checkDirectory, checkSecret} {
		o.Health.Set(check, obs.LevelStarting, "")
	}
	location := o.Config.Location
	if location == "" {
		location = node
	}
	window := o.Config.Bans.Window.Milliseconds()
	s := &Service{
		cfg: o.Config, node: node, dir: o.Directory, log: o.Log, health: o.Health, now: o.Now,
		jobs: newJobs(), metrics: newMetrics(location),
		bans: newBanList(o.Config.Bans.Max), exempt: exempt,
		failures: newTallies[netip.Addr](window, o.Config.Bans.Sources),
		guessed:  newTallies[uint64](window, o.Config.Bans.Sources),
		seed:     maphash.MakeSeed(),
	}
	s.index = newIndex(func(name string) *tenant { return &tenant{name: name, metrics: s.metrics.tenant(name)} })
	s.changes.wake = make(chan struct{}, 1)
	return s, nil
}

func (s *Service) nowMS() int64 { return s.now().UnixMilli() }

// Totals returns the numbers registered and the contacts in force on the whole platform, as this node knows them.
func (s *Service) Totals() (registered, contacts int) {
	r, c := s.index.totals()
	return int(r), int(c)
}

// BanCount returns the bans in force.
func (s *Service) BanCount() int { return int(s.bans.count.Load()) }

// Run loads the registrations, serves the doors and buries what ends, until ctx ends; then it returns nil. Call it
// once. Whoever made the fabric closes it after Run has returned.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	loaded, bansLoaded := make(chan struct{}), make(chan struct{})
	g.Go(func() error { return s.follow(ctx, func() { close(loaded) }) })
	g.Go(func() error { return s.followBans(ctx, func() { close(bansLoaded) }) })
	g.Go(func() error { return s.watchHealth(ctx) })
	g.Go(func() error {
		if !s.prepare(ctx, loaded, bansLoaded) {
			return nil
		}
		return s.serve(ctx)
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("registrar: %w", err)
	}
	return nil
}

// prepare waits for all that a REGISTER needs. It is false when ctx ended first.
func (s *Service) prepare(ctx context.Context, loaded, bansLoaded <-chan struct{}) bool {
	secret, ok := s.secret(ctx)
	if !ok {
		return false
	}
	if err := s.admit(secret); err != nil {
		s.log.Error("the cluster's secret cannot be used", "err", err)
		s.health.Set(checkSecret, obs.LevelFail, err.Error())
		<-ctx.Done()
		return false
	}
	s.health.Set(checkSecret, obs.LevelPass, "")
	wait := []struct {
		check string
		on    <-chan struct{}
	}{{checkIndex, loaded}, {checkIndex, bansLoaded}, {checkDirectory, s.dir.Synced()}}
	for _, w := range wait {
		select {
		case <-w.on:
			s.health.Set(w.check, obs.LevelPass, "")
		case <-ctx.Done():
			return false
		}
	}
	registered, contacts := s.Totals()
	s.log.Info("registrations loaded", "registered", registered, "contacts", contacts)
	return true
}

const secretRetry = 200 * time.Millisecond

// secret asks for the secret that nonces are signed with until it gets it: the config service may start later.
func (s *Service) secret(ctx context.Context) ([]byte, bool) {
	for first := true; ; first = false {
		secret, err := fabric.Call(ctx, s.door, contract.ClusterSecret, "digest-nonce")
		if err == nil {
			return secret, true
		}
		s.health.Set(checkSecret, obs.LevelStarting, "the config service does not give the cluster's secret yet")
		if first && !errors.Is(err, voice.ErrUnavailable) {
			s.log.Warn("ask for the cluster's secret", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(secretRetry):
		}
	}
}

// admit lets requests in: from now on credentials can be judged.
func (s *Service) admit(secret []byte) error {
	d := s.cfg.Digest
	offer, err := d.offer()
	if err != nil {
		return err
	}
	k, err := digest.NewDoorkeeper(digest.Policy{
		Options: digest.Options{Secret: secret, Lifetime: d.Lifetime, Remember: d.Remember, Legacy: d.Legacy, MatchURI: d.MatchURI, Now: s.now},
		Offer:   offer, MD5Only: d.MD5Only, BindSource: d.BindSource,
	})
	if err != nil {
		return err
	}
	s.keeper.Store(k)
	return nil
}

// serve answers the doors until ctx ends, then lets the requests under way finish.
func (s *Service) serve(ctx context.Context) error {
	var stops []func()
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	// Requests under way may finish: what they need ends after Run.
	open := context.WithoutCancel(ctx)
	err := errors.Join(
		handle(open, s.door, contract.Register, s.Register, &stops),
		handle(open, s.door, contract.Bindings, s.Bindings, &stops),
		handle(open, s.door, contract.Registrations, s.Registrations, &stops),
		handle(open, s.door, contract.RemoveBindings, s.RemoveBindings, &stops),
		handle(open, s.door, contract.FlowClosed, s.FlowClosed, &stops),
		handle(open, s.door, contract.ReportAbuse, s.ReportAbuse, &stops),
		handle(open, s.door, contract.Bans, s.Bans, &stops),
		handle(open, s.door, contract.AddBan, s.AddBan, &stops),
		handle(open, s.door, contract.LiftBan, s.LiftBan, &stops),
	)
	if err != nil {
		return err
	}
	s.dir.OnChange(s.changes.note)
	s.changes.note(contract.DirectoryChange{}) // numbers may have gone while nobody looked
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.expireLoop(ctx); return nil })
	g.Go(func() error { s.followDirectory(ctx); return nil })
	return g.Wait()
}

func handle[Req, Resp any](ctx context.Context, f *fabric.Fabric, door fabric.Door[Req, Resp], fn func(context.Context, Req) (Resp, error), stops *[]func()) error {
	stop, err := fabric.Handle(ctx, f, door, fn)
	if err == nil {
		*stops = append(*stops, stop)
	}
	return err
}

const healthTick = 2 * time.Second

// watchHealth keeps the check of the fabric current, and the list of bans short.
func (s *Service) watchHealth(ctx context.Context) error {
	tick := time.NewTicker(healthTick)
	defer tick.Stop()
	for {
		if ok, reason := s.door.Connected(); ok {
			s.health.Set(checkFabric, obs.LevelPass, "")
		} else {
			s.health.Set(checkFabric, obs.LevelFail, reason)
		}
		s.bans.prune(s.now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
