package cdr

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
	"parley/internal/obs"
	"parley/internal/store/cdrs"
	"parley/internal/voice"
)

// table is what the service asks of the database; a [cdrs.Store] answers.
type table interface {
	Insert(ctx context.Context, records []voice.CDR) (added int64, err error)
	List(ctx context.Context, q cdrs.Query) (cdrs.Page, error)
	Get(ctx context.Context, tenant, callUUID string) (voice.CDR, error)
	Expire(ctx context.Context, before time.Time, limit int) (deleted int64, err error)
	Ping(ctx context.Context) error
	Shared() bool
}

// Options are what the service is made of.
type Options struct {
	Fabric   *fabric.Fabric
	Store    *cdrs.Store // whoever opened it closes it, after Run has returned
	Config   Config
	Registry prometheus.Registerer // may be nil
	Health   *obs.Health           // nil: one of its own
	Log      *slog.Logger          // nil: discard
	Now      func() time.Time      // nil: time.Now
}

// The names of the health checks.
const (
	checkFabric   = "fabric"
	checkDatabase = "database"
)

// Service keeps the call detail records. See [New] and [Service.Run].
type Service struct {
	cfg     Config
	f       *fabric.Fabric
	store   table
	place   fabric.Durable // in the stream
	health  *obs.Health
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	failed  failing
	tick    time.Duration // between looks at health
}

const (
	placeName = "cdr-sql"
	forget    = 7 * 24 * time.Hour // see the package comment
)

// New checks its options and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Store == nil {
		return nil, errors.New("cdr: needs a fabric and a store")
	}
	return build(o, o.Store)
}

func build(o Options, store table) (*Service, error) {
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
	o.Health.Set(checkFabric, obs.LevelStarting, "")
	o.Health.Set(checkDatabase, obs.LevelStarting, "")
	s := &Service{cfg: o.Config, f: o.Fabric, store: store, health: o.Health, log: o.Log, now: o.Now, tick: healthTick}
	s.place = fabric.Durable{
		Stream: fabric.StreamCDR, Name: placeName, Batch: o.Config.Batch, Linger: o.Config.Linger, Forget: forget,
		Patience: redelivery,
	}
	if !store.Shared() {
		s.place.Name += "-" + placeOf(o.Fabric.Node())
	}
	s.metrics = newMetrics(o.Registry, o.Fabric, o.Health)
	return s, nil
}

// Run writes records, answers the doors and deletes what is old, until ctx ends; then it returns nil. Call it once.
func (s *Service) Run(ctx context.Context) error {
	open := context.WithoutCancel(ctx) // questions under way may finish
	list, err := fabric.Handle(open, s.f, contract.CDRs, s.List)
	if err != nil {
		return fmt.Errorf("cdr: %w", err)
	}
	defer list()
	get, err := fabric.Handle(open, s.f, contract.CDRGet, s.Get)
	if err != nil {
		return fmt.Errorf("cdr: %w", err)
	}
	defer get()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.f.Consume(ctx, s.place, s.write) })
	g.Go(func() error { s.expire(ctx); return nil })
	g.Go(func() error { s.watch(ctx); return nil })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cdr: %w", err)
	}
	return nil
}

const (
	// redelivery is after how long a record that was on its way to a reader that stopped or died comes again. Two thirds
	// of it are what a database may take for a batch.
	redelivery = 10 * time.Second

	healthTick = 2 * time.Second
	trimEvery  = 15 // health ticks
)

// watch keeps the health checks current, knows how many records wait, and keeps room in the stream.
func (s *Service) watch(ctx context.Context) {
	tick := time.NewTicker(s.tick)
	defer tick.Stop()
	for n := 1; ; n++ {
		s.look(ctx)
		if n%trimEvery == 0 {
			s.trim(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, healthTick)
	defer cancel()
	if ok, reason := s.f.Connected(); ok {
		s.health.Set(checkFabric, obs.LevelPass, "")
	} else {
		s.health.Set(checkFabric, obs.LevelFail, reason)
	}
	if err := s.store.Ping(ctx); err != nil {
		s.health.Set(checkDatabase, obs.LevelFail, "the database does not answer; records wait in the stream")
	} else if since, bad := s.failed.since(); bad {
		s.health.Set(checkDatabase, obs.LevelFail, "records cannot be written since "+since.UTC().Format(time.TimeOnly)+" UTC; they wait in the stream")
	} else {
		s.health.Set(checkDatabase, obs.LevelPass, "")
	}
	if b, err := s.f.Backlog(ctx, s.place.Stream, s.place.Name); err == nil {
		s.metrics.waiting.Store(int64(b.Waiting) + int64(b.Held))
	} else {
		s.metrics.waiting.Store(-1)
	}
}

func (s *Service) trim(ctx context.Context) {
	n, err := s.f.Trim(ctx, fabric.StreamCDR)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("make room in the stream of call detail records", "err", err)
	}
	s.metrics.trimmed.Add(float64(n))
}

// List answers the door contract.CDRs.
func (s *Service) List(ctx context.Context, q contract.CDRQuery) (contract.CDRPage, error) {
	const defaultPage = 100
	if q.Tenant == "" {
		return contract.CDRPage{}, voice.Invalid(voice.FieldError{Field: "tenant", Reason: "is missing"})
	}
	if q.Limit < 0 || q.Limit > cdrs.MaxPage {
		return contract.CDRPage{}, voice.Invalid(voice.FieldError{Field: "limit", Reason: fmt.Sprintf("is not between 1 and %d", cdrs.MaxPage)})
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	page, err := s.store.List(ctx, cdrs.Query{
		Tenant: q.Tenant, Text: q.Text, Caller: q.Caller, Dialled: q.Dialled, Trunk: q.Trunk, Outcome: q.Outcome, Type: q.Type,
		From: q.From, Until: q.Until, MinTalk: q.MinTalk, MaxMOS: q.MaxMOS, After: q.After, Limit: q.Limit,
	})
	return contract.CDRPage{Records: page.Records, Next: page.Next}, err
}

// Get answers the door contract.CDRGet.
func (s *Service) Get(ctx context.Context, k contract.CDRKey) (voice.CDR, error) {
	return s.store.Get(ctx, k.Tenant, k.CallUUID)
}
