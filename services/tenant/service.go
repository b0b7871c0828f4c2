package tenant

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
	"parley/internal/voice"
)

// Names of the health checks.
const (
	checkKey     = "signing-key" // the cluster secret has been read
	checkRevoked = "revocations" // the set of revoked tokens is complete
	checkDoors   = "doors"       // the doors are open
)

// Options are what a Service needs.
type Options struct {
	Fabric   *fabric.Fabric
	Config   Config
	Registry *prometheus.Registry
	Health   *obs.Health // nil = one of its own
	Log      *slog.Logger
	Version  string // for the OpenAPI document
}

// Service signs people in and checks tokens. See [New], [Service.Run] and [Service.Serve].
type Service struct {
	f       *fabric.Fabric
	cfg     Config
	health  *obs.Health
	log     *slog.Logger
	now     func() time.Time
	guard   *guard
	revoked *revoked
	checks  *checker
	metrics *metrics
	reg     *prometheus.Registry
	version string

	signer signer  // set by Run before the doors open
	people *people // the same
}

// New checks its arguments and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Registry == nil || o.Log == nil {
		return nil, errors.New("tenant: Fabric, Registry and Log are required")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Health == nil {
		o.Health = obs.NewHealth()
	}
	for _, c := range []string{checkKey, checkRevoked, checkDoors} {
		o.Health.Set(c, obs.LevelStarting, "starting")
	}
	s := &Service{
		f: o.Fabric, cfg: o.Config, health: o.Health, log: o.Log, now: time.Now,
		guard:   newGuard(o.Config.Lockout),
		revoked: newRevoked(o.Fabric.Bucket(fabric.BucketLeases)),
		reg:     o.Registry, version: o.Version,
	}
	s.metrics = newMetrics(o.Registry, s.guard, s.revoked, s.now)
	s.checks = newChecker(o.Config, s.metrics)
	return s, nil
}

// Run serves the doors until ctx ends, then returns nil. The doors open when the signing key is known and the set of
// revoked tokens is complete, so that a node that starts never takes a token that was revoked. Call Run once.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	synced := make(chan struct{})
	g.Go(func() error { return ended(ctx, s.revoked.watch(ctx, func() { close(synced) })) })
	g.Go(func() error {
		if err := s.prepare(ctx); err != nil {
			return ended(ctx, err)
		}
		all := fabric.Filter("config", fabric.Rest)
		g.Go(func() error {
			return ended(ctx, s.f.Subscribe(ctx, fabric.StreamConfig, all, fabric.From{New: true}, s.configChanged))
		})
		select {
		case <-synced:
			s.health.Set(checkRevoked, obs.LevelPass, "")
		case <-ctx.Done():
			return nil
		}
		stop, err := s.open(ctx)
		if err != nil {
			return err
		}
		defer stop()
		s.health.Set(checkDoors, obs.LevelPass, "")
		s.log.LogAttrs(ctx, slog.LevelInfo, "serving sign-in and tokens")
		<-ctx.Done()
		return nil
	})
	return g.Wait()
}

// prepare waits for the signing key and makes what depends on it.
func (s *Service) prepare(ctx context.Context) error {
	key, err := s.signingKey(ctx)
	if err != nil {
		return err
	}
	s.signer = signer{key}
	s.people = newPeople(s.f, s.signer.proof, s.now)
	s.health.Set(checkKey, obs.LevelPass, "")
	return nil
}

// ended turns the end of ctx, which is how everything here stops, into success.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// signingKey asks config for the key until it answers; config may start after us.
func (s *Service) signingKey(ctx context.Context) ([]byte, error) {
	const first, longest = 50 * time.Millisecond, 2 * time.Second
	for wait := first; ; wait = min(2*wait, longest) {
		key, err := fabric.Call(ctx, s.f, contract.ClusterSecret, "tokens")
		if err == nil {
			return key, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.health.Set(checkKey, obs.LevelStarting, "waiting for the configuration service: "+string(voice.CodeOf(err)))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

func (s *Service) configChanged(m fabric.Message) {
	if err := s.people.changed(m); err != nil {
		s.log.LogAttrs(context.Background(), slog.LevelError, "a change of configuration cannot be read", slog.Any("err", err))
	}
}

// open serves the doors; stop closes them and waits for requests in progress.
func (s *Service) open(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, one := range stops {
			one()
		}
	}
	for _, serve := range []func() (func(), error){
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.SignIn, s.SignIn) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.IssueToken, s.IssueToken) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.VerifyToken, s.VerifyToken) },
		func() (func(), error) { return fabric.Handle(ctx, s.f, contract.RevokeToken, s.RevokeToken) },
	} {
		one, err := serve()
		if err != nil {
			stop()
			return nil, fmt.Errorf("tenant: open a door: %w", err)
		}
		stops = append(stops, one)
	}
	return stop, nil
}
