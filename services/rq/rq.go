package rq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric/blocksync"
)

const (
	startTime = 10 * time.Second // for listeners and the store
	pollTime  = 20 * time.Millisecond
	lameDuck  = 2 * time.Second // clients elsewhere get this long to move when a node of a cluster stops
	localUser = "parley"
)

// Service is the embedded server.
type Service struct {
	cfg     Config
	log     *slog.Logger
	bridge  *bridge
	metrics *metrics

	mu     sync.Mutex
	server *server.Server // nil before Start and after Stop
	lock   *os.File       // held while the server runs
	blocks *blocksync.Store
}

// New checks cfg and starts nothing.
func New(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Service, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Listen != "" && cfg.User == "" {
		cfg.User, cfg.Password = localUser, rand.Text()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, log: log, bridge: &bridge{log: log}}
	m, err := newMetrics(s, reg)
	if err != nil {
		return nil, fmt.Errorf("rq: %w", err)
	}
	s.metrics = m
	return s, nil
}

// Start starts the server and returns when it takes connections. In a cluster the JetStream may not be usable yet:
// that needs a majority of the nodes, see WaitReady.
func (s *Service) Start(ctx context.Context) error {
	opts, err := s.options()
	if err != nil {
		return fmt.Errorf("rq: %w", err)
	}
	lock, err := lockStore(s.cfg.StoreDir)
	if err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		lock.Close()
		return fmt.Errorf("rq: %w", err)
	}
	srv.SetLogger(s.bridge, false, false)
	srv.Start()
	if err := s.started(ctx, srv); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		lock.Close()
		return err
	}
	s.mu.Lock()
	s.server, s.lock = srv, lock
	s.blocks = blocksync.New(s.cfg.StoreDir, server.DEFAULT_GLOBAL_ACCOUNT)
	s.mu.Unlock()
	s.log.LogAttrs(ctx, slog.LevelInfo, "queue service started", slog.String("store", s.cfg.StoreDir), slog.String("listen", s.Address()))
	return nil
}

func (s *Service) options() (*server.Options, error) {
	opts := &server.Options{NoSigs: true}
	if err := opts.ProcessConfigString(s.cfg.render()); err != nil {
		return nil, err
	}
	opts.NoSigs = true
	opts.DontListen = s.cfg.Listen == "" && !s.cfg.Clustered()
	// The server's parser wants half a minute at least; a stop is bounded more tightly here.
	opts.LameDuckDuration, opts.LameDuckGracePeriod = lameDuck, lameDuck/4
	return opts, nil
}

// started waits for the listeners; a failed one is the server's fatal log message, and nothing else.
func (s *Service) started(ctx context.Context, srv *server.Server) error {
	deadline := time.Now().Add(startTime)
	for {
		if err := s.bridge.failure(); err != nil {
			return s.explain(err)
		}
		if srv.ReadyForConnections(pollTime) {
			if err := s.bridge.failure(); err != nil {
				return s.explain(err)
			}
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return errors.Join(errors.New("rq: the embedded nats-server does not come up"), ctx.Err())
		}
	}
}

// explain names the key behind the server's message.
func (s *Service) explain(err error) error {
	return fmt.Errorf("rq: embedded nats-server (fabric.listen %q, fabric.cluster.listen %q, fabric.store_dir %q): %w",
		s.cfg.Listen, s.cfg.ClusterListen, s.cfg.StoreDir, err)
}

// WaitReady returns when the JetStream takes writes: at once on a single node; in a cluster when the nodes have
// chosen a leader and this one has caught up, which takes a few seconds after a majority is up.
func (s *Service) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		ok, reason := s.Ready()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("rq: not ready: %s: %w", reason, ctx.Err())
		case <-tick.C:
		}
	}
}

// Ready tells whether the JetStream takes writes, and why not.
func (s *Service) Ready() (ok bool, reason string) {
	srv := s.running()
	switch {
	case srv == nil:
		return false, "the server is not running"
	case !srv.JetStreamEnabled():
		return false, "JetStream is off: see the log"
	case !s.cfg.Clustered():
		return true, ""
	}
	js, err := srv.Jsz(nil)
	if err != nil {
		return false, err.Error()
	}
	if js.Meta == nil || js.Meta.Leader == "" {
		return false, "the cluster has no leader: fewer than half of the nodes are in reach"
	}
	if !srv.JetStreamIsCurrent() && !srv.JetStreamIsLeader() {
		return false, "this node is catching up with the cluster"
	}
	return true, ""
}

// Stop shuts the server down and returns when it is gone. Clients should have drained before. In a cluster the
// leaderships of this node are handed over first.
func (s *Service) Stop() {
	s.mu.Lock()
	srv, lock := s.server, s.lock
	s.server, s.lock = nil, nil
	s.mu.Unlock()
	if srv == nil {
		return
	}
	if s.cfg.Clustered() {
		srv.LameDuckShutdown()
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	if err := lock.Close(); err != nil {
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "store not unlocked", slog.Any("err", err))
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "queue service stopped")
}

// InProcessConn gives internal/fabric a connection that never leaves the process.
func (s *Service) InProcessConn() (net.Conn, error) {
	srv := s.running()
	if srv == nil {
		return nil, errors.New("rq: the server is not running")
	}
	return srv.InProcessConn()
}

// SyncStream returns when everything the server has acknowledged for the stream is on disk; see [fabric.Syncer].
func (s *Service) SyncStream(stream string) error {
	s.mu.Lock()
	running, blocks := s.server != nil, s.blocks
	s.mu.Unlock()
	switch {
	case !running:
		return errors.New("rq: the server is not running")
	case s.cfg.syncAlways():
		return nil // it was on disk before it was acknowledged
	}
	if err := blocks.SyncStream(stream); err != nil {
		return fmt.Errorf("rq: stream %s: %w", stream, err)
	}
	return nil
}

// Sole tells whether the server is reached from nowhere but this process; see [fabric.Fabric.Sole].
func (s *Service) Sole() bool { return s.cfg.Listen == "" && s.cfg.ClusterListen == "" }

// Credentials are what clients of this server present; both are empty when it asks for none.
func (s *Service) Credentials() (user, password string) { return s.cfg.User, s.cfg.Password }

// Address is where clients outside the process connect, as host:port; "" if nowhere.
func (s *Service) Address() string {
	srv := s.running()
	if srv == nil || s.cfg.Listen == "" || srv.Addr() == nil {
		return ""
	}
	return srv.Addr().String()
}

// ClusterAddress is where the other nodes connect, as host:port; "" if nowhere.
func (s *Service) ClusterAddress() string {
	srv := s.running()
	if srv == nil || srv.ClusterAddr() == nil {
		return ""
	}
	return srv.ClusterAddr().String()
}

func (s *Service) running() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}
