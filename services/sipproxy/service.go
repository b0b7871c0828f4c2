package sipproxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/txn"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
	"parley/internal/warm"
)

// Names of the health checks.
const (
	checkListeners = "listeners" // messages are being read
	checkSecret    = "flow-key"  // the cluster's key for flow tokens has been read
	checkRegistrar = "registrar" // the registrar answers
	checkNodes     = "sip-nodes" // only once there was a node: there is one that takes calls
)

// Options are what a Service needs. Fabric, Registry and Listen are required.
type Options struct {
	Fabric       *fabric.Fabric
	Directory    *contract.Directory // tenants by host; nil = every request is of no tenant
	Config       Config
	Listen       []string                // see transport.Options.Listen
	Internal     []string                // udp and tcp listeners for other nodes, and nobody else; none = they come to Listen
	ExternalHost string                  // name or address that peers see instead of the one listened on; "" = the latter
	Certificates *transport.Certificates // for tls and wss listeners
	Roots        *x509.CertPool          // what certificates of trunks are checked by; nil = those of the machine
	Node         sipua.Node              // the SIP node of this process; nil = none
	Verify       httpapi.Verifier        // nil = ask services/tenant by its door
	Registry     *prometheus.Registry
	Health       *obs.Health // nil = one of its own
	Log          *slog.Logger
	Version      string // for the OpenAPI document
}

// Service is one front door. See [New], [Service.Open], [Service.Run] and [Service.Serve].
type Service struct {
	f        *fabric.Fabric
	dir      *contract.Directory
	cfg      Config
	external string
	node     sipua.Node
	health   *obs.Health
	log      *slog.Logger
	reg      *prometheus.Registry
	verify   httpapi.Verifier
	version  string

	listen   int              // listeners for everybody, the first of the set
	internal []netip.AddrPort // listeners for other nodes; set by Open
	ownUDP   netip.AddrPort   // of them, or of all; invalid = none. As internal
	ownTCP   netip.AddrPort   //

	set    *transport.Set
	layer  *txn.Layer
	m      *metrics
	nodes  *nodeTable
	moves  moves
	bans   *bans
	abuse  abuse
	alive  *bindings
	trace  *trace // nil = nothing is remembered
	rate   obs.Rate
	tokens atomic.Pointer[sipua.Tokens] // nil until the key is there
	seed   maphash.Seed                 // of To tags and loop hashes: stable for the life of the process
	mark   string                       // what branches made by this process start with

	run         context.Context // of Run, for what handlers start; set before the first message is read
	workers     *warm.Pool[registerJob]
	registering atomic.Int64
	contexts    atomic.Int64
	draining    atomic.Bool
	registrarUp atomic.Bool
	scratch     sync.Pool // of *wire.Message, for readers
	closers     chan struct{}
}

// probeInterval is how often registrar and config service are asked whether they are there.
const probeInterval = 5 * time.Second

// maxIdleWorkers is how many goroutines wait for the next REGISTER; a burst has as many as it needs besides.
const maxIdleWorkers = 256

// maxClosers bounds the connections whose end is being told to the registrar at once.
const maxClosers = 64

// New checks its arguments and starts nothing.
func New(o Options) (*Service, error) {
	if o.Fabric == nil || o.Registry == nil || len(o.Listen) == 0 {
		return nil, errors.New("sipproxy: Fabric, Registry and Listen are required")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Health == nil {
		o.Health = obs.NewHealth()
	}
	for _, c := range []string{checkListeners, checkSecret, checkRegistrar} {
		o.Health.Set(c, obs.LevelStarting, "starting")
	}
	s := &Service{
		f: o.Fabric, dir: o.Directory, cfg: o.Config, external: o.ExternalHost, node: o.Node,
		health: o.Health, log: o.Log, reg: o.Registry, verify: o.Verify, version: o.Version,
		listen: len(o.Listen), bans: newBans(),
		alive: newBindings(o.Config.KeepAliveInterval, o.Config.MaxBindings),
		seed:  maphash.MakeSeed(), run: context.Background(), closers: make(chan struct{}, maxClosers),
	}
	var live func() sipua.Load
	if o.Node != nil {
		live = o.Node.Load
	}
	s.nodes = newNodeTable(o.Fabric.Node(), live)
	s.moves = newMoves(maxMoves)
	s.workers = warm.New(maxIdleWorkers, s.runRegister)
	s.trace = newTrace(o.Config.Trace)
	s.scratch.New = func() any { return new(wire.Message) }
	s.mark = wire.MagicCookie + hex(maphash.String(s.seed, "branch"))[:8]
	s.m = newMetrics(o.Registry, s)
	timers := txn.DefaultTimers()
	timers.T1, timers.MaxAge = o.Config.T1, 2*o.Config.TimerC+time.Minute
	s.layer = txn.New(txn.Options{
		Core: core{s}, Timers: timers, MaxServer: o.Config.MaxTransactions, Registerer: o.Registry, Log: o.Log,
	})
	var sent func(transport.Flow, []byte, time.Time)
	if s.trace != nil {
		sent = s.trace.sent
	}
	set, err := transport.New(transport.Options{
		Listen: slices.Concat(o.Listen, o.Internal), Handler: s.receive, Closed: s.closed, Sent: sent, Certificates: o.Certificates, Origins: o.Config.Origins,
		ClientTLS: clientTLS(o.Roots),
		Banned:    s.banned, Trusted: s.nodes.trusts, Abuse: s.abuse.report,
		Limits: o.Config.Limits, Sockets: o.Config.UDPSockets, Registerer: o.Registry, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("sipproxy: %w", err)
	}
	s.set = set
	return s, nil
}

// Open binds the listeners; messages wait in the kernel until Run.
func (s *Service) Open() error {
	if err := s.set.Open(); err != nil {
		return err
	}
	all := s.set.Addresses()
	ours := all[s.listen:]
	if len(ours) == 0 {
		ours = all
	}
	for _, a := range ours {
		scheme, rest, _ := strings.Cut(a, "://")
		at, err := netip.ParseAddrPort(rest)
		switch {
		case err != nil: // a path after it: no listener for nodes
			continue
		case scheme == string(transport.UDP) && !s.ownUDP.IsValid():
			s.ownUDP = at
		case scheme == string(transport.TCP) && !s.ownTCP.IsValid():
			s.ownTCP = at
		}
		if len(all) > s.listen {
			s.internal = append(s.internal, at)
		}
	}
	return nil
}

// banned tells whether a source is not to be served. Hosts of other nodes are, come what may: a forger who sends wrong
// passwords in their name must not part the cluster.
func (s *Service) banned(a netip.Addr) bool { return s.bans.Banned(a) && !s.nodes.trusts(a) }

// Close frees the listeners of a Service that was opened and never run.
func (s *Service) Close() error { return s.set.Close() }

// Addresses lists the listeners as URLs with their real ports; those for other nodes have a scheme of their own.
func (s *Service) Addresses() []string {
	all := s.set.Addresses()
	for i := s.listen; i < len(all); i++ {
		all[i] = InternalScheme + all[i]
	}
	return all
}

// InternalScheme begins the URL of a listener for other nodes only.
const InternalScheme = "internal+"

// ForNodes is where other nodes reach this front door once it is open: the internal listeners, or else the first for
// everybody. Either may be invalid.
func (s *Service) ForNodes() (udp, tcp netip.AddrPort) { return s.ownUDP, s.ownTCP }

// Address is where peers reach this front door: its first UDP listener for everybody, or TCP when there is none.
func (s *Service) Address() (at netip.AddrPort, ok bool) {
	all := s.set.Addresses()
	for _, want := range []transport.Transport{transport.UDP, transport.TCP} {
		for _, a := range all[:min(s.listen, len(all))] {
			if rest, found := strings.CutPrefix(a, string(want)+"://"); found {
				at, err := netip.ParseAddrPort(rest)
				return at, err == nil
			}
		}
	}
	return netip.AddrPort{}, false
}

// Run serves until ctx ends. Then it turns new requests away, waits up to Config.Drain for those in progress, closes
// what it opened and returns nil. Call it once, after Open.
func (s *Service) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.run = work
	stopTrace, err := fabric.Handle(work, s.f, contract.Trace, s.Trace)
	if err != nil {
		return fmt.Errorf("sipproxy: serve %s: %w", "trace", err)
	}
	defer stopTrace()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return s.layer.Run(work) })
	g.Go(func() error { return s.follow(work, "bans", s.watchBans) })
	g.Go(func() error { return s.follow(work, "nodes", s.watchNodes) })
	g.Go(func() error { return s.fetchKey(work) })
	g.Go(func() error { return s.abuse.run(work, s.f, s.m, s.log) })
	g.Go(func() error { return s.alive.run(work, s.ping) })
	g.Go(func() error { return every(work, time.Second, s.rate.Roll) })
	g.Go(func() error { return every(work, time.Second, s.watchCapacity) })
	g.Go(func() error { return every(work, probeInterval, func() { s.probe(work) }) })
	g.Go(func() error {
		s.health.Set(checkListeners, obs.LevelPass, "")
		defer s.health.Set(checkListeners, obs.LevelFail, "stopped")
		return s.set.Run(work)
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
			s.drain()
			stop()
		case <-work.Done():
		}
		return nil
	})
	err = g.Wait()
	stop()
	s.workers.Wait()
	return err
}

// drain turns new requests away and waits for those in progress to get their final response.
func (s *Service) drain() {
	s.draining.Store(true)
	deadline := time.Now().Add(s.cfg.Drain)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for (s.registering.Load() > 0 || s.contexts.Load() > 0) && time.Now().Before(deadline) {
		<-tick.C
	}
}

// follow keeps a watch going until ctx ends: one that breaks is counted and begun anew.
func (s *Service) follow(ctx context.Context, what string, watch func(context.Context) error) error {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, 30*time.Second) {
		err := watch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.m.watchErrors.Inc()
		s.log.LogAttrs(ctx, slog.LevelWarn, "watch broke", slog.String("bucket", what), slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

func (s *Service) watchBans(ctx context.Context) error {
	return s.bans.watch(ctx, s.f.Bucket(fabric.BucketBans), func(key string, err error) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "unreadable ban", slog.String("key", key), slog.Any("err", err))
	})
}

// fetchKey asks for the cluster's token key until it has it. Without the key the front door registers phones, but takes no
// dialogs: it could not recognise their requests again.
func (s *Service) fetchKey(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		key, err := fabric.Call(ctx, s.f, contract.ClusterSecret, sipua.TokenSecret)
		if err == nil && len(key) > 0 {
			s.tokens.Store(sipua.NewTokens(key))
			s.health.Set(checkSecret, obs.LevelPass, "")
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		s.health.Set(checkSecret, obs.LevelDegraded, "the config service does not answer: no calls until it does")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// every calls fn at once and then again and again until ctx ends.
func every(ctx context.Context, d time.Duration, fn func()) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		fn()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// probe asks registrar and config service for something small, so that health tells of them on a quiet day too.
func (s *Service) probe(ctx context.Context) {
	_, err := fabric.Call(ctx, s.f, contract.Bindings, contract.BindingsRequest{})
	s.registrarUp.Store(reachable(err))
	list, err := fabric.Call(ctx, s.f, contract.ConfigList, contract.ConfigListRequest{Kind: voice.KindTenant, Tenant: voice.SystemTenant, Limit: 1})
	if err == nil {
		s.m.tenants.Store(int64(list.Total))
	}
	s.m.configUp.Store(reachable(err))
	if ctx.Err() != nil {
		return
	}
	if s.registrarUp.Load() {
		s.health.Set(checkRegistrar, obs.LevelPass, "")
	} else {
		s.health.Set(checkRegistrar, obs.LevelDegraded, "the registrar does not answer: phones cannot register")
	}
}

// watchCapacity says by health whether there is a SIP node that takes calls, once there was one: a node of this process starts after
// its front door.
func (s *Service) watchCapacity() {
	if _, active := s.nodes.counts(); active > 0 {
		s.nodes.seen.Store(true)
		s.health.Set(checkNodes, obs.LevelPass, "")
	} else if s.nodes.seen.Load() {
		s.health.Set(checkNodes, obs.LevelDegraded, "no SIP node takes calls")
	}
}

// reachable tells whether somebody answered, if only to say no.
func reachable(err error) bool {
	return !errors.Is(err, voice.ErrUnavailable) && !errors.Is(err, voice.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded)
}

// closed is told of each connection that ended; if phones registered over it, the registrar hears of it. It may wait:
// the goroutine is that of the dead connection.
func (s *Service) closed(flow transport.Flow, _ transport.CloseReason) {
	if !s.alive.drop(flow) {
		return
	}
	s.closers <- struct{}{}
	defer func() { <-s.closers }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.run), 2*time.Second)
	defer cancel()
	_, err := fabric.Call(ctx, s.f, contract.FlowClosed, contract.FlowClosedRequest{Node: s.f.Node(), Flow: flow.ID()})
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "end of a connection not told to the registrar", slog.String("flow", flow.ID()), slog.Any("err", err))
	}
}

// ping keeps a NAT open.
func (s *Service) ping(flow transport.Flow) {
	b := []byte("\r\n\r\n")
	if s.cfg.KeepAlive == KeepAliveOptions {
		b = s.optionsRequest(flow)
	}
	if flow.Send(b) == nil {
		s.m.keepAlives.Inc()
	}
}
