package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/media"
	"parley/internal/media/prompt"
	"parley/internal/media/secure"
	"parley/internal/obs"
	"parley/internal/sipua"
	"parley/internal/sipua/digest"
	"parley/internal/sipua/locate"
	"parley/internal/voice"
	"parley/internal/warm"
	"parley/services/sip/recording"
	"parley/services/sip/room"
	"parley/services/sip/snapshot"
	"parley/services/sip/trunk"
	"parley/services/sip/watch"
)

// Names of the health checks.
const (
	checkSecret   = "call-keys" // the cluster's secrets have been read
	checkDialplan = "dialplan"  // the dial plan answers
	checkFabric   = "fabric"
	checkPressure = "load" // goroutines get a processor in time
	checkTrunks   = "trunks"
)

// Options are what a Service needs. Fabric, Directory and Registry are required.
type Options struct {
	Fabric     *fabric.Fabric
	Directory  *contract.Directory
	Config     Config
	Media      *media.Plane    // ports for the audio of calls; nil = it always goes from phone to phone
	Prompts    *prompt.Library // what is said to callers; nil = what is built in
	Recordings string          // directory of what is recorded; "" = nothing can be
	Announced  string          // directory of what users record to be played to callers; "" = nothing can be
	Digest     digest.Policy   // how callers prove who they are
	Changed    func()          // is called when the node begins or ceases to take calls; nil = nobody wants to know
	Started    time.Time       // of the process, as its record in the bucket "nodes" has it
	Registry   *prometheus.Registry
	Locator    trunk.Locator // where the names of trunks lead; nil = by the name servers of the machine
	Health     *obs.Health   // nil = one of its own
	Log        *slog.Logger
}

// Service is one SIP node. See [New], [Service.Attach], [Service.ServeSIP] and [Service.Run].
type Service struct {
	f      *fabric.Fabric
	dir    *contract.Directory
	cfg    Config
	digest digest.Policy
	health *obs.Health
	log    *slog.Logger
	m      *metrics
	told   func() // Options.Changed

	pressure *pressure
	plane    *media.Plane
	keys     *secure.Identity // who we are in handshakes
	prompts  *prompt.Library
	rooms    *room.Rooms
	watch    *watch.Watcher
	tapes    *recording.Recordings
	monitors monitors

	announcements *announcements
	sender        sipua.Sender
	contact       string // host:port in our Contact
	keeper        atomic.Pointer[digest.Doorkeeper]
	tokens        atomic.Pointer[sipua.Tokens]
	run           context.Context // of Run, for what calls start
	trunks        *trunk.Table
	keeps         *snapshot.Writer
	over          *takeovers
	workers       *warm.Pool[*mailbox]
	drain         atomic.Bool
	calls         atomic.Int64
	moving        atomic.Int64  // takeovers of other nodes' calls, or of ours, under way
	number        atomic.Uint64 // CallID of the last call
	reports       chan contract.AbuseReport

	merging  sync.Mutex // held by the one who merges mailboxes
	mu       sync.Mutex // guards what follows
	dialogs  map[string]*call
	names    map[string]*call // by UUID, and by ConnID
	invites  map[sipua.ServerTx]*inviteTx
	byTenant map[string]int
	idle     chan struct{} // closed when the last call ends while draining; nil before
}

// inviteTx is an INVITE in progress: a CANCEL finds its call by it.
type inviteTx struct {
	sipua.ServerTx
	s *Service
	c *call
}

// Respond passes the response on; a final one ends what a CANCEL could do.
func (t *inviteTx) Respond(res *sip.Response) {
	if res.StatusCode >= 200 {
		t.s.mu.Lock()
		delete(t.s.invites, t.ServerTx)
		t.s.mu.Unlock()
	}
	t.ServerTx.Respond(res)
}

// maxIdleWorkers is how many goroutines wait for a call that has something to do; a burst has as many as it needs besides.
const maxIdleWorkers = 64

// work empties a mailbox on a goroutine that is kept.
func (s *Service) work(b *mailbox) { s.workers.Do(s.run, b) }

const maxReports = 256 // failures waiting to be reported; more are dropped, as the source goes on anyway

// New checks its arguments and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Directory == nil || o.Registry == nil {
		return nil, errors.New("sip: Fabric, Directory and Registry are required")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Prompts == nil {
		var err error
		if o.Prompts, err = prompt.New("", nil); err != nil {
			return nil, err
		}
	}
	if o.Health == nil {
		o.Health = obs.NewHealth()
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	for _, c := range []string{checkSecret, checkDialplan, checkFabric} {
		o.Health.Set(c, obs.LevelStarting, "starting")
	}
	s := &Service{
		f: o.Fabric, dir: o.Directory, cfg: o.Config, digest: o.Digest, plane: o.Media, prompts: o.Prompts, told: o.Changed, health: o.Health, log: o.Log,
		run: context.Background(), reports: make(chan contract.AbuseReport, maxReports),
		dialogs: map[string]*call{}, names: map[string]*call{}, invites: map[sipua.ServerTx]*inviteTx{}, byTenant: map[string]int{},
	}
	s.monitors.by = map[agentKey]monitor{}
	s.pressure = newPressure(o.Config.MaxWait)
	o.Health.Set(checkPressure, obs.LevelPass, "")
	var err error
	if o.Locator == nil {
		if o.Locator, err = locate.New(locate.Options{}); err != nil {
			return nil, fmt.Errorf("sip: %w", err)
		}
	}
	s.trunks, err = trunk.New(trunk.Options{Node: o.Fabric.Node(), Directory: o.Directory, Locator: o.Locator, Registry: o.Registry, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	if s.keys, err = secure.NewIdentity(); err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	s.announcements = newAnnouncements(o.Announced)
	s.workers = warm.New(maxIdleWorkers, (*mailbox).work)
	s.m = newMetrics(s, o.Registry)
	s.watch = watch.New(watch.Options{World: (*watching)(s), Limits: watch.DefaultLimits(), Escape: userPart, Registry: o.Registry, Log: o.Log})
	s.tapes, err = recording.New(recording.Options{Node: o.Fabric.Node(), Dir: o.Recordings, Config: o.Config.Recording,
		Registry: o.Registry, Health: o.Health, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	s.rooms = room.New(room.Options{Node: o.Fabric.Node(), Prompts: o.Prompts, Recordings: o.Recordings, Failed: s.tapes.Failed,
		Registry: o.Registry, Log: o.Log})
	s.over = newTakeovers(o.Fabric.Node(), o.Started)
	s.keeps = snapshot.New(snapshot.Options{Store: o.Fabric.Bucket(fabric.BucketCalls), Owner: s.over.me, Lost: s.lostCall, Wrote: s.m.haWrites, Log: o.Log})
	obs.Gauge(o.Registry, "parley_sip_calls_unsaved", "Calls whose state waits to be written, or is being written.", nil,
		func() float64 { return float64(s.keeps.Waiting()) })
	obs.HealthGauge(o.Registry, "sipnode_health_level", obs.ScaleLevel, o.Health)
	return s, nil
}

// Attach gives the node the front door of its process, before Run. host:port is where that is reached, for our Contact.
func (s *Service) Attach(sender sipua.Sender, host string) { s.sender, s.contact = sender, host }

// Run takes calls until ctx ends, then lets them end for a while and hangs up the rest.
func (s *Service) Run(ctx context.Context) error {
	if s.sender == nil {
		return errors.New("sip: the node has no front door: call Attach before Run")
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.run = work
	var wg sync.WaitGroup
	defer s.announcements.tapes.Wait()
	defer wg.Wait()
	defer s.tapes.Close() // what is recorded is on disk when Run returns
	defer s.rooms.Close()
	defer cancel()
	wg.Go(func() { s.reportAbuse(work) })
	wg.Go(func() { s.watchPressure(work) })
	wg.Go(func() { s.watchVoice(work) })
	wg.Go(func() { _ = s.keeps.Run(work) }) // it ends with work
	wg.Go(func() { _ = s.tapes.Run(work) }) // it gives none
	wg.Go(func() {
		if err := s.monitors.watch(work, s.f); err != nil && work.Err() == nil {
			s.log.Error("supervision of calls that other nodes were asked for is not known", "err", err)
		}
	})
	select { // nobody is known before
	case <-s.dir.Synced():
	case <-ctx.Done():
		return nil
	}
	s.dir.OnChange(s.trunks.Changed)
	s.trunks.Read()
	if ok, err := s.readSecrets(ctx); !ok || err != nil {
		return err
	}
	wg.Go(func() { s.trunks.Run(work) })
	wg.Go(func() { s.follow(ctx) }) // whose last words the front door still carries
	closeDoors, err := s.openDoors(work)
	if err != nil {
		return fmt.Errorf("sip: %w", err)
	}
	defer closeDoors()
	known := make(chan struct{})
	wg.Go(func() { s.watchNodes(work, sync.OnceFunc(func() { close(known) })) })
	wg.Go(func() {
		select {
		case <-known:
			s.lookForCalls() // a life of ours before this one may have left some
			s.takeOver(work)
		case <-work.Done():
		}
	})
	s.watchHealth(ctx)
	s.empty()
	s.flush(work)
	return nil
}

// readSecrets asks for the cluster's secrets until it gets them: the config service may start later.
func (s *Service) readSecrets(ctx context.Context) (ok bool, err error) {
	for first := true; ; first = false {
		flow, err := fabric.Call(ctx, s.f, contract.ClusterSecret, sipua.TokenSecret)
		if err == nil {
			var nonce []byte
			if nonce, err = fabric.Call(ctx, s.f, contract.ClusterSecret, "call-nonce"); err == nil {
				tokens := sipua.NewTokens(flow)
				if err = s.linkTrunks(ctx, tokens); err == nil {
					return true, s.admitCallers(tokens, nonce)
				}
			}
		}
		if first && !errors.Is(err, voice.ErrUnavailable) && ctx.Err() == nil {
			s.log.Warn("ask for the cluster's secrets", "err", err)
		}
		s.health.Set(checkSecret, obs.LevelStarting, "the config service does not give the cluster's secrets yet")
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(secretRetry):
		}
	}
}

const secretRetry = 200 * time.Millisecond

// admitCallers begins to take calls.
func (s *Service) admitCallers(tokens *sipua.Tokens, nonce []byte) error {
	p := s.digest
	p.Secret = nonce
	k, err := digest.NewDoorkeeper(p)
	if err != nil {
		return fmt.Errorf("sip: %w", err)
	}
	s.tokens.Store(tokens)
	s.keeper.Store(k)
	s.health.Set(checkSecret, obs.LevelPass, "")
	s.told()
	return nil
}

// Load implements sipua.Node.
func (s *Service) Load() sipua.Load {
	return sipua.Load{Calls: int(s.calls.Load()), Capacity: s.cfg.MaxCalls, Draining: s.drain.Load() || s.keeper.Load() == nil}
}

const healthTick = time.Second

func (s *Service) watchHealth(ctx context.Context) {
	tick := time.NewTicker(healthTick)
	defer tick.Stop()
	for {
		if ok, reason := s.f.Connected(); ok {
			s.health.Set(checkFabric, obs.LevelPass, "")
		} else {
			s.health.Set(checkFabric, obs.LevelFail, reason)
		}
		s.probeDialplan(ctx)
		s.m.calls.Roll()
		s.m.queues.treatments.Roll()
		s.health.Set(checkTrunks, obs.LevelPass, s.trunks.Trouble()) // for information: calls go by other trunks
		s.m.dialplan.asked.Roll()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// probeDialplan asks whether there is a dial plan; elsewhere by a number that no tenant has.
func (s *Service) probeDialplan(ctx context.Context) {
	if fabric.Local(s.f, contract.Resolve) {
		s.health.Set(checkDialplan, obs.LevelPass, "")
		s.m.dialplan.up.Store(true)
		return
	}
	_, err := fabric.Call(ctx, s.f, contract.Resolve, &contract.ResolveRequest{Tenant: "", Dialled: "0"})
	if err == nil || ctx.Err() != nil || !unavailable(err) {
		s.health.Set(checkDialplan, obs.LevelPass, "")
		s.m.dialplan.up.Store(true)
		return
	}
	s.m.dialplan.up.Store(false)
	s.health.Set(checkDialplan, obs.LevelFail, "no dial plan answers: calls get 503")
}

// empty ends the calls when the node stops.
func (s *Service) empty() {
	s.drain.Store(true)
	s.told()
	s.moving.Add(1)
	s.handOver(s.run)
	s.mu.Lock()
	s.idle = make(chan struct{})
	idle := s.idle
	if s.calls.Load() == 0 {
		close(idle)
		s.idle = nil
	}
	s.mu.Unlock()
	select {
	case <-idle:
		return
	case <-time.After(s.cfg.Drain):
	}
	for _, c := range s.all() {
		c.must(func() {
			if c.phase < answered {
				c.fail(outcome{status: 503, reason: "the node stops"})
			} else {
				c.hangUp("the node stops", "system", outcome{status: 200})
			}
		})
	}
	select {
	case <-idle:
	case <-time.After(lastWords):
		s.log.Warn("calls whose end was not confirmed when the node stopped", "calls", s.calls.Load())
	}
}

// lastWords is how long the answers to the BYEs of a stopping node are waited for.
const lastWords = 2 * time.Second

func (s *Service) all() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[*call]bool{}
	var out []*call
	for _, c := range s.dialogs {
		if !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	return out
}

// reportAbuse tells the registrar of failed credentials, which counts them and bans.
func (s *Service) reportAbuse(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.reports:
			if _, err := fabric.Call(ctx, s.f, contract.ReportAbuse, r); err != nil && ctx.Err() == nil {
				s.log.Debug("report of failed credentials", "err", err)
			}
		}
	}
}
