package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/server/control"
	"parley/server/provision"
	"parley/server/settings"
)

// DrainTime is how long a node may take to stop, besides the time that calls get to end.
const DrainTime = 10 * time.Second

// Options are what a node is given besides its configuration.
type Options struct {
	Stdout    io.Writer // the panel
	Stderr    io.Writer // the log
	Version   string
	Provision string   // provisioning file to apply after the start; "" = none
	Warnings  []string // what the reader of the configuration has to say
	Ready     func(contract.StatusReport)
}

// Node is one running node.
type Node struct {
	cfg     settings.Config
	opts    Options
	logs    *obs.Logs
	log     *slog.Logger
	started time.Time
	dir     *dataDir
	house   *house
	fab     *fabric.Fabric // set once, before anything that uses it starts
	record  *record

	directory  *contract.Directory // as fab
	selfSigned string              // file of the certificate made here; "" when there is none

	mu       sync.Mutex // guards what follows
	services []*service
}

// service is one service of the node, as its status shows it.
type service struct {
	name   string
	reg    *prometheus.Registry
	health *obs.Health
	log    *slog.Logger
	http   net.Listener    // nil: its port is off
	scheme string          // of http
	others func() []string // addresses besides http; guarded by the node's lock
}

// Run runs a node until ctx ends or a service fails, and returns why it failed. See the package comment.
func Run(ctx context.Context, cfg settings.Config, opts Options) (err error) {
	level, err := obs.ParseLevel(cfg.Log.Level)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	logs := obs.NewLogs(opts.Stderr, level, cfg.Log.Format)
	n := &Node{cfg: cfg, opts: opts, logs: logs, log: logs.For("node", nil), started: time.Now()}
	for _, w := range opts.Warnings {
		n.log.Warn("configuration", slog.String("warning", w))
	}
	var provisioning *contract.ConfigApplyRequest
	if opts.Provision != "" {
		req, err := provision.Read(opts.Provision)
		if err != nil {
			return fmt.Errorf("--provision: %w", err)
		}
		provisioning = &req
	}

	if n.dir, err = openDataDir(cfg.Node.DataDir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.dir.Close()) }()
	n.house = newHouse(n.log)
	defer func() { err = errors.Join(err, n.stop()) }()

	ready := func() error {
		if err := n.build(ctx); err != nil {
			return err
		}
		return n.begin(ctx, provisioning)
	}
	if err := ready(); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it was starting
		}
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.house.failed:
		return err
	}
}

// begin makes what has to be there before the node is ready, and then says that it is.
func (n *Node) begin(ctx context.Context, provisioning *contract.ConfigApplyRequest) error {
	accounts, done, err := n.firstStart(ctx, provisioning)
	if err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	if provisioning != nil {
		if err := n.provision(ctx, *provisioning); err != nil {
			return fmt.Errorf("--provision: %w", err)
		}
	}
	if err := n.panel(ctx, accounts).Write(n.opts.Stdout); err != nil {
		return fmt.Errorf("print the panel: %w", err)
	}
	if err := done(); err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	report := n.Status(ctx)
	for _, s := range report.Services {
		n.log.Info("listening", slog.String("name", s.Name), slog.String("address", strings.Join(s.Address, " ")))
	}
	n.log.Info("ready", slog.String("node", n.cfg.Node.ID), slog.String("version", n.opts.Version), slog.Duration("took", time.Since(n.started)))
	if n.opts.Ready != nil {
		n.opts.Ready(report)
	}
	return nil
}

// stop ends everything that runs, and listeners that nothing came to use.
func (n *Node) stop() error {
	start := time.Now()
	n.log.Info("stopping")
	err := n.house.stop(DrainTime + n.cfg.Calls.Drain)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.services {
		if s.http != nil {
			if cerr := s.http.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
				err = errors.Join(err, cerr)
			}
		}
	}
	n.log.Info("stopped", slog.Duration("took", time.Since(start)))
	return err
}

// add makes the registry, health and logger of a service and opens its HTTP listener.
func (n *Node) add(name string) (*service, error) {
	reg := obs.NewRegistry(n.opts.Version)
	s := &service{name: name, reg: reg, health: obs.NewHealth(), scheme: "http", log: n.logs.For(name, reg), others: func() []string { return nil }}
	var err error
	if name == settings.Pages {
		if n.cfg.Web.TLS.Cert != "" {
			s.scheme = "https"
		}
		s.http, err = listenTCP("web.listen", n.cfg.Web.Listen, "web.listen")
	} else {
		s.http, err = listenHTTP(n.cfg.HTTP, name)
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.services = append(n.services, s)
	return s, nil
}

// run starts what a service does, and then what answers on its HTTP listener, so that the latter stops first.
func (n *Node) run(s *service, run func(context.Context) error, serve func(context.Context, net.Listener) error) {
	if run != nil {
		n.house.start(s.name, run)
	}
	if s.http != nil && serve != nil {
		n.house.start(s.name+" (http)", func(ctx context.Context) error { return serve(ctx, s.http) })
	}
}

// reachedAt says where a service is reached besides its HTTP listener.
func (n *Node) reachedAt(s *service, others func() []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.others = others
}

// settle waits until s is ready, a service fails, or a moment has passed: a service that waits for another node must
// not keep the others of this node from starting.
func (n *Node) settle(ctx context.Context, s *service) error {
	const moment = 5 * time.Second
	timeout := time.NewTimer(moment)
	defer timeout.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.health.Ready() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-n.house.failed:
			return err
		case <-timeout.C:
			level, checks := s.health.Report()
			n.log.Warn("not ready yet, starting the others", slog.String("name", s.name), slog.String("level", level.String()), slog.Any("checks", checks))
			return nil
		case <-tick.C:
		}
	}
}

// serveControl opens the control socket.
func (n *Node) serveControl() error {
	ln, err := control.Listen(n.dir.path)
	if err != nil {
		return fmt.Errorf("node.data_dir: cannot open the control socket: %w", err)
	}
	n.house.start("control socket", func(ctx context.Context) error { return control.New(n, n.log).Serve(ctx, ln) })
	return nil
}
