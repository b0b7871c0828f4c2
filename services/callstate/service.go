package callstate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/voice"
	"parley/services/callstate/model"
)

// Options are what the service is made of.
type Options struct {
	Fabric   *fabric.Fabric
	Config   Config
	Mark     string                // file of the mark; "" = the stream is read from its beginning each time
	Registry prometheus.Registerer // may be nil
	Health   *obs.Health           // nil: one of its own
	Log      *slog.Logger          // nil: discard
	Now      func() time.Time      // nil: time.Now
}

// The names of the health checks.
const (
	checkFabric = "fabric"
	checkReplay = "replay"
)

// Service knows the calls of all nodes. See [New] and [Service.Run].
type Service struct {
	cfg     Config
	f       *fabric.Fabric
	mark    string
	health  *obs.Health
	log     *slog.Logger
	now     func() time.Time
	model   *model.Model
	metrics *metrics

	mu    sync.Mutex // guards nodes
	nodes map[string]*seenNode
}

// seenNode is what is known of a node that is or was in the bucket "nodes".
type seenNode struct {
	started time.Time
	gone    bool
}

// New checks its options and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil {
		return nil, errors.New("callstate: needs a fabric")
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
	o.Health.Set(checkFabric, obs.LevelStarting, "")
	o.Health.Set(checkReplay, obs.LevelStarting, "events of calls are being read")
	s := &Service{
		cfg: o.Config, f: o.Fabric, mark: o.Mark, health: o.Health, log: o.Log, now: o.Now, nodes: map[string]*seenNode{},
	}
	s.metrics = newMetrics()
	s.model = model.New(model.Options{Now: o.Now, Found: s.found})
	s.registerMetrics(o.Registry)
	return s, nil
}

// Run follows the calls and answers the doors until ctx ends; then it returns nil. Call it once.
func (s *Service) Run(ctx context.Context) error {
	from, err := s.begin(ctx)
	if err != nil {
		return fmt.Errorf("callstate: %w", err)
	}
	open := context.WithoutCancel(ctx) // questions under way may finish
	caught, synced := make(chan struct{}), make(chan struct{})
	from.Caught = func(uint64) { close(caught) }
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return s.f.Subscribe(ctx, fabric.StreamCalls, fabric.Filter("call", fabric.Rest), from, s.event)
	})
	g.Go(func() error {
		return s.f.Bucket(fabric.BucketNodes).Watch(ctx, "", s.node, func() { close(synced) })
	})
	g.Go(func() error {
		for _, ready := range []<-chan struct{}{caught, synced} {
			select {
			case <-ready:
			case <-ctx.Done():
				return nil
			}
		}
		stop, err := s.openDoors(open)
		if err != nil {
			return err
		}
		defer stop()
		s.health.Set(checkReplay, obs.LevelPass, "")
		s.watch(ctx)
		return nil
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("callstate: %w", err)
	}
	return nil
}

// openDoors serves the doors until stop.
func (s *Service) openDoors(ctx context.Context) (stop func(), err error) {
	find, err := fabric.Handle(ctx, s.f, contract.FindCalls, s.Find)
	if err != nil {
		return nil, err
	}
	data, err := fabric.Handle(ctx, s.f, contract.SetUserData, s.SetUserData)
	if err != nil {
		find()
		return nil, err
	}
	invariants, err := fabric.Handle(ctx, s.f, contract.Invariants, s.Invariants)
	if err != nil {
		find()
		data()
		return nil, err
	}
	return func() { find(); data(); invariants() }, nil
}

// event takes an event of a call.
func (s *Service) event(m fabric.Message) {
	e, err := model.Read(m.Data)
	if err != nil {
		s.model.Note(model.Violation{
			Kind: model.Unreadable, Reason: fmt.Sprintf("message %d on %s (%.200s): %v", m.Seq, fabric.StreamCalls, strings.Join(m.Subject, "."), err),
		})
		return
	}
	s.model.Apply(e, m.Seq, m.Time)
	s.metrics.events.Inc()
}

// found is told of a violation while the model is locked.
func (s *Service) found(v model.Violation) {
	s.metrics.violations.WithLabelValues(string(v.Kind)).Inc()
	s.log.LogAttrs(context.Background(), slog.LevelError, "an invariant of calls does not hold", slog.String("kind", string(v.Kind)),
		slog.String("call", v.CallUUID), slog.String("node", v.Node), slog.Uint64("seq", v.Seq), slog.String("reason", v.Reason))
}

const (
	callsFound    = 100
	maxCallsFound = 1000
)

// Find serves contract.FindCalls.
func (s *Service) Find(_ context.Context, req contract.FindCallsRequest) (contract.FindCallsResponse, error) {
	if req.Limit < 0 || req.Limit > maxCallsFound {
		return contract.FindCallsResponse{}, voice.Invalid(voice.FieldError{Field: "limit", Reason: fmt.Sprintf("is not between 1 and %d", maxCallsFound)})
	}
	if req.Limit == 0 {
		req.Limit = callsFound
	}
	calls, total := s.model.Find(model.Query(req))
	return contract.FindCallsResponse{Calls: calls, Total: total}, nil
}

// Invariants serves contract.Invariants.
func (s *Service) Invariants(context.Context, struct{}) (contract.InvariantsResponse, error) {
	counts, latest := s.model.Violations()
	r := contract.InvariantsResponse{Counts: make(map[string]int64, len(counts)), Violations: make([]contract.Violation, 0, len(latest))}
	r.Calls, r.Threads = s.model.Count()
	for k, n := range counts {
		r.Counts[string(k)] = n
	}
	for _, v := range latest {
		r.Violations = append(r.Violations, contract.Violation{
			Kind: string(v.Kind), Time: v.Time, Tenant: v.Tenant, Node: v.Node, CallUUID: v.CallUUID, ConnID: v.ConnID, DN: v.DN,
			Event: v.Event, Seq: v.Seq, Reason: v.Reason,
		})
	}
	return r, nil
}
