package orchestration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module/all"
	"parley/services/orchestration/trail"
)

// Options are what the service is made of.
type Options struct {
	Fabric   *fabric.Fabric
	Config   Config
	Registry prometheus.Registerer // may be nil
	Health   *obs.Health           // nil: one of its own
	Log      *slog.Logger          // nil: discard
	Now      func() time.Time      // nil: time.Now
}

// Service runs routing scripts. See [New] and [Service.Run].
type Service struct {
	cfg    Config
	f      *fabric.Fabric
	health *obs.Health
	log    *slog.Logger
	now    func() time.Time
	m      *metrics
	owner  string // this process
	trail  *trail.Book
	fetch  *fetcher
	book   *book
	engine *scxml.Engine
	slots  chan struct{} // for requests under way
	live   liveNodes
	killed atomic.Bool // by a test: what ends leaves no trace
	wg     sync.WaitGroup

	baseMu sync.Mutex
	ctx    context.Context // of Run; what is under way may outlive it for a moment
	closed bool            // Run has ended: nothing begins any more

	mu       sync.Mutex // guards what follows
	sessions map[string]*session
	making   map[string]struct{}      // ids of sessions whose record is just being written here, to begin or to be taken over
	remains  map[string]struct{}      // ids of sessions that ended here, whose records could not be removed
	calls    map[[2]string][]*session // by tenant and call
	texts    map[string]struct{}      // digests of documents that are in the bucket
}

const checkFabric = "fabric"

// maxUnderWay bounds requests to doors and services at once.
const maxUnderWay = 2000

// New checks its options and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil {
		return nil, errors.New("orchestration: needs a fabric")
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
	svc := &Service{
		cfg: o.Config, f: o.Fabric, health: o.Health, log: o.Log, now: o.Now, trail: trail.New(trail.DefaultLimits()),
		owner: o.Fabric.Node() + "/" + strconv.FormatInt(time.Now().UnixNano(), 36), slots: make(chan struct{}, maxUnderWay),
		sessions: map[string]*session{}, making: map[string]struct{}{}, remains: map[string]struct{}{}, calls: map[[2]string][]*session{}, texts: map[string]struct{}{}, ctx: context.Background(),
	}
	svc.fetch = newFetcher(o.Config)
	svc.book = newBook(o.Fabric, svc.fetch, o.Config)
	eo := all.Options(o.Log)
	eo.Trace = func(session string, t scxml.Trace) {
		switch t.What {
		case scxml.TraceEnter:
			svc.m.entered.Inc()
		case scxml.TraceError:
			svc.m.scriptErrors.Inc()
		}
		svc.trail.Trace(session, t)
	}
	eo.Deliver = svc.deliver
	eo.Load = func(_, src string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(svc.base(), o.Config.FetchTimeout)
		defer cancel()
		return svc.book.load(ctx, src)
	}
	var err error
	if svc.engine, err = scxml.New(eo); err != nil {
		return nil, err
	}
	svc.book.engine = svc.engine
	svc.m = newMetrics(o.Registry, svc, o.Health)
	return svc, nil
}

// base is the context of what sessions do.
func (svc *Service) base() context.Context {
	svc.baseMu.Lock()
	defer svc.baseMu.Unlock()
	return svc.ctx
}

// Run takes work and continues sessions until ctx ends; then it returns nil, and what it ran is others' to continue. Call it once.
func (svc *Service) Run(ctx context.Context) error {
	open := context.WithoutCancel(ctx)
	work, stopWork := context.WithCancel(open) // of sessions: they may finish what they are at
	defer stopWork()
	svc.baseMu.Lock()
	svc.ctx = work
	svc.baseMu.Unlock()
	stop, err := svc.serve(open)
	if err != nil {
		return fmt.Errorf("orchestration: %w", err)
	}
	defer stop()
	if err := svc.renew(ctx); err != nil && ctx.Err() == nil {
		svc.log.Warn("no lease yet", "err", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	g.Go(func() error {
		return svc.f.Subscribe(ctx, fabric.StreamCalls, "", fabric.From{New: true, Ready: sync.OnceFunc(func() { close(ready) })}, svc.follow)
	})
	g.Go(func() error {
		return svc.f.Subscribe(ctx, fabric.StreamConfig, "", fabric.From{New: true}, func(fabric.Message) { svc.book.forget() })
	})
	g.Go(func() error { svc.keepLease(ctx); return nil })
	g.Go(func() error { return svc.watchLeases(ctx, ready) })
	g.Go(func() error {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		svc.health.Set(checkFabric, obs.LevelPass, "")
		return svc.f.Consume(ctx, fabric.Durable{
			Stream: fabric.StreamWork, Name: "orchestration", Batch: workBatch, Linger: time.Millisecond, Patience: 10 * time.Second,
		}, svc.takeAll)
	})
	err = g.Wait()
	if !svc.killed.Load() {
		svc.leave()
	}
	stopWork()
	svc.baseMu.Lock()
	svc.closed = true
	svc.baseMu.Unlock()
	svc.wg.Wait()
	if err != nil {
		return fmt.Errorf("orchestration: %w", err)
	}
	return nil
}

const workBatch = 32

// serve opens the doors.
func (svc *Service) serve(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range slices.Backward(stops) {
			s()
		}
	}
	add := func(s func(), failed error) {
		if s != nil {
			stops = append(stops, s)
		}
		err = errors.Join(err, failed)
	}
	add(fabric.Handle(ctx, svc.f, contract.Sessions, svc.trail.Sessions))
	add(fabric.Handle(ctx, svc.f, contract.SessionTrace, svc.trail.SessionTrace))
	add(fabric.Handle(ctx, svc.f, contract.QueueAnswer, svc.QueueAnswer))
	add(fabric.Handle(ctx, svc.f, contract.SessionCommand, svc.command))
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// leave lets go of all sessions, so that others continue them at once.
func (svc *Service) leave() {
	svc.mu.Lock()
	list := make([]*session, 0, len(svc.sessions))
	for _, s := range svc.sessions {
		list = append(list, s)
	}
	svc.mu.Unlock()
	var done sync.WaitGroup
	for _, s := range list {
		done.Add(1)
		s.do(func() {
			defer done.Done()
			if err := s.save(); err != nil {
				s.log.Warn("session not written down at the end", "err", err)
			}
			s.let(false)
		})
	}
	waited := make(chan struct{})
	go func() { done.Wait(); close(waited) }()
	select {
	case <-waited:
	case <-time.After(leaveTime):
	}
	ctx, cancel := context.WithTimeout(svc.base(), time.Second)
	defer cancel()
	if err := svc.f.Bucket(fabric.BucketLeases).Delete(ctx, leaseKey(svc.owner), fabric.PutOptions{}); err != nil {
		svc.log.Debug("lease stays until it expires", "err", err)
	}
}

const leaveTime = 3 * time.Second

// background runs fn apart from the session that wants it, or else, when too much is under way.
func (svc *Service) background(fn func(ctx context.Context), full func()) {
	select {
	case svc.slots <- struct{}{}:
	default:
		full()
		return
	}
	ctx := svc.base()
	svc.spawn(func() {
		defer func() { <-svc.slots }()
		fn(ctx)
	})
}

// spawn runs fn on a goroutine that Run waits for, unless it has ended.
func (svc *Service) spawn(fn func()) {
	svc.baseMu.Lock()
	defer svc.baseMu.Unlock()
	if !svc.closed {
		svc.wg.Go(fn)
	}
}

// session finds one that runs here.
func (svc *Service) session(tenant, id string) *session {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	s := svc.sessions[id]
	if s == nil || s.rec.Tenant != tenant {
		return nil
	}
	return s
}

// add makes a session known here. It is false when it is already.
func (svc *Service) add(s *session) bool {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if svc.sessions[s.rec.ID] != nil {
		return false
	}
	svc.sessions[s.rec.ID] = s
	for _, i := range s.rec.Items {
		key := [2]string{s.rec.Tenant, i.ID}
		svc.calls[key] = append(svc.calls[key], s)
	}
	return true
}

// reserve keeps others here from making the session of that id. It is false when it runs here, is being made, or has ended here.
func (svc *Service) reserve(id string) bool {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if svc.hasLocked(id) {
		return false
	}
	svc.making[id] = struct{}{}
	return true
}

// has tells whether there is nothing to be done here about a record of this process's own; see reserve.
func (svc *Service) has(id string) bool {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	return svc.hasLocked(id)
}

func (svc *Service) hasLocked(id string) bool {
	_, making := svc.making[id]
	_, ended := svc.remains[id]
	return making || ended || svc.sessions[id] != nil
}

func (svc *Service) release(id string) {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	delete(svc.making, id)
}

func (svc *Service) forget(s *session) {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if svc.sessions[s.rec.ID] == s {
		delete(svc.sessions, s.rec.ID)
	}
	for _, i := range s.rec.Items {
		svc.unfollowLocked(s, i.ID)
	}
}

func (svc *Service) unfollow(s *session, call string) {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	svc.unfollowLocked(s, call)
}

func (svc *Service) unfollowLocked(s *session, call string) {
	key := [2]string{s.rec.Tenant, call}
	list := slices.DeleteFunc(slices.Clone(svc.calls[key]), func(o *session) bool { return o == s })
	if svc.calls[key] = list; len(list) == 0 {
		delete(svc.calls, key)
	}
}

// Running is how many sessions this node has.
func (svc *Service) Running() int {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	return len(svc.sessions)
}

// interactions is how many its sessions have.
func (svc *Service) interactions() (n int) {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	for _, list := range svc.calls {
		n += len(list)
	}
	return n
}

// deliver brings an event of one session to another of the same tenant on this node. For the sender there is no difference between
// one of another tenant and none.
func (svc *Service) deliver(id string, ev scxml.Event) error {
	from, _, _ := strings.Cut(strings.TrimPrefix(ev.Origin, "#_scxml_"), ".") // what it invoked has its id and a dot first
	svc.mu.Lock()
	s, sender := svc.sessions[id], svc.sessions[from]
	svc.mu.Unlock()
	if s == nil || sender == nil || s.rec.Tenant != sender.rec.Tenant {
		return voice.Errorf(voice.ErrNotFound, "no session %s on this node", id)
	}
	s.do(func() { s.post(ev) })
	return nil
}
