package rq

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/voice"
)

func TestSingleNode(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Node, cfg.StoreDir = "n1", t.TempDir()
	reg := prometheus.NewRegistry()
	s, err := New(cfg, reg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds the store of the first
		start := time.Now()
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		up := time.Since(start)
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		f, err := fabric.Connect(t.Context(), fabric.Options{Node: "n1", Server: s})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("server up after %v, fabric after %v", up, time.Since(start))
		if _, err := reg.Gather(); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		s.Stop()
	}
}

func TestConfig(t *testing.T) {
	good := DefaultConfig()
	good.Node = "n1"
	if err := good.Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	cluster := good
	cluster.ClusterName, cluster.ClusterListen, cluster.Routes = "c", "127.0.0.1:6222", []string{"127.0.0.2:6222"}
	cluster.User, cluster.Password = "u", "p"
	if err := cluster.Validate(); err != nil {
		t.Errorf("a cluster: %v", err)
	}
	for name, c := range map[string]struct {
		from   Config
		change func(*Config)
		key    string
	}{
		"no node":             {good, func(c *Config) { c.Node = "" }, "node.id"},
		"a node with a blank": {good, func(c *Config) { c.Node = "a b" }, "node.id"},
		"no store":            {good, func(c *Config) { c.StoreDir = "" }, "fabric.store_dir"},
		"listen without port": {good, func(c *Config) { c.Listen = "localhost" }, "fabric.listen"},
		"listen on port -1":   {good, func(c *Config) { c.Listen = "localhost:-1" }, "fabric.listen"},
		"a quote in the host": {good, func(c *Config) { c.Listen = "a\"b:1" }, "fabric.listen"},
		"user alone":          {good, func(c *Config) { c.User = "u" }, "fabric.user"},
		"a bcrypt hash":       {cluster, func(c *Config) { c.Password = "$2a$10$x" }, "fabric.password"},
		"little memory":       {good, func(c *Config) { c.MaxMemory = 0 }, "fabric.max_memory"},
		"little store":        {good, func(c *Config) { c.MaxStore = 1 << 30 }, "fabric.max_store"},
		"routes alone":        {good, func(c *Config) { c.Routes = []string{"a:1"} }, "fabric.cluster.listen"},
		"no cluster name":     {cluster, func(c *Config) { c.ClusterName = "" }, "fabric.cluster.name"},
		"no routes":           {cluster, func(c *Config) { c.Routes = nil }, "fabric.cluster.routes"},
		"a bad route":         {cluster, func(c *Config) { c.Routes = append(c.Routes, "x") }, "fabric.cluster.routes[1]"},
		"no cluster password": {cluster, func(c *Config) { c.User, c.Password = "", "" }, "fabric.user"},
	} {
		cfg := c.from
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.key+":") {
			t.Errorf("%s: %v, want %s", name, err, c.key)
		}
		if _, err := New(cfg, nil, nil); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	var several Config
	if err := several.Validate(); strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("not every problem is reported: %v", err)
	}
}

// TestRender: what is written is what the server reads, whatever the texts hold.
func TestRender(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Node, cfg.StoreDir = "n.1", t.TempDir()+"/with blank \"and\" $ÄÖ # {"
	cfg.Listen, cfg.User, cfg.Password = "127.0.0.1:0", "us er", `p"a\s$s: {#`
	cfg.ClusterName, cfg.ClusterListen, cfg.Routes = "c", "127.0.0.1:0", []string{"127.0.0.1:1"}
	s, err := New(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.options()
	if err != nil {
		t.Fatal(err)
	}
	if o.ServerName != cfg.Node || o.StoreDir != cfg.StoreDir || o.Username != cfg.User || o.Password != cfg.Password ||
		o.Port != -1 || o.Cluster.Port != -1 || !o.SyncAlways || !o.NoSigs || o.DontListen ||
		o.JetStreamMaxMemory != cfg.MaxMemory || o.JetStreamMaxStore != cfg.MaxStore || o.JetStreamLimits.DefaultMaxConsumers == 0 {
		t.Errorf("options %+v", o)
	}
	if pw, _ := o.Routes[0].User.Password(); pw != cfg.Password {
		t.Errorf("route password %q", pw)
	}
}

// TestSyncInterval: only where somebody publishes who cannot ask for a sync does every write have its own.
func TestSyncInterval(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		listen string
		always bool
	}{"alone": {"", false}, "listens": {"127.0.0.1:0", true}} {
		cfg := DefaultConfig()
		cfg.Node, cfg.StoreDir, cfg.Listen = "n1", t.TempDir(), c.listen
		s, err := New(cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.options()
		if err != nil {
			t.Fatal(err)
		}
		if o.SyncAlways != c.always || o.SyncInterval != 2*time.Minute {
			t.Errorf("%s: sync always %v, interval %v", name, o.SyncAlways, o.SyncInterval)
		}
	}
}

// TestPromiseWithoutDisk: a record whose files cannot be synced is not reported as stored; presence is not held up.
func TestPromiseWithoutDisk(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.Listen = "" })
	ctx, cancel := context.WithTimeout(t.Context(), clusterTime)
	defer cancel()
	f, err := fabric.Connect(ctx, fabric.Options{Node: "n1", Server: s})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(kind string) error {
		_, err := f.PublishSync(ctx, fabric.Event{Subject: fabric.Subject(kind, "demo", "1", "E")})
		return err
	}
	if err := publish("cdr"); err != nil {
		t.Error(err)
	}
	streams := filepath.Join(s.cfg.StoreDir, "jetstream", "$G", "streams")
	if err := os.Rename(filepath.Join(streams, "CDR"), filepath.Join(streams, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := publish("cdr"); !errors.Is(err, voice.ErrUnavailable) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("PublishSync = %v, want that it may not be on disk", err)
	}
	for _, kind := range []string{"call", "voicemail"} {
		if err := publish(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := os.Rename(filepath.Join(streams, "elsewhere"), filepath.Join(streams, "CDR")); err != nil {
		t.Fatal(err)
	}
	if err := publish("cdr"); err != nil {
		t.Errorf("PublishSync after the files are back = %v", err)
	}
	if err := f.Close(ctx); err != nil {
		t.Logf("close: %v", err)
	}
	s.Stop()
	if err := s.SyncStream(fabric.StreamCDR); err == nil {
		t.Error("synced by a server that does not run")
	}
}

// start starts a node that listens on any port.
func start(t *testing.T, change func(*Config)) *Service {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Node, cfg.StoreDir, cfg.Listen = "n1", t.TempDir(), "127.0.0.1:0"
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, nil, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// TestListen: clients outside the process need the password, which is random when none is configured.
func TestListen(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	user, password := s.Credentials()
	if user == "" || len(password) < 20 {
		t.Errorf("credentials %q with %d bytes", user, len(password))
	}
	connect := func(password string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		f, err := fabric.Connect(ctx, fabric.Options{Node: "client", URL: "nats://" + s.Address(), User: user, Password: password})
		if err != nil {
			return err
		}
		return f.Close(ctx)
	}
	if err := connect(password); err != nil {
		t.Errorf("with the password: %v", err)
	}
	for _, wrong := range []string{"", "wrong"} {
		if err := connect(wrong); err == nil || !strings.Contains(err.Error(), "Authorization") {
			t.Errorf("with password %q: %v", wrong, err)
		}
	}
}

// TestCannotStart: a start that fails names the keys and leaves nothing behind.
func TestCannotStart(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := start(t, nil)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"port in use":           {func(c *Config) { c.Listen = ln.Addr().String() }, "fabric.listen"},
		"store under a file":    {func(c *Config) { c.StoreDir = filepath.Join(file, "x") }, "fabric.store_dir"},
		"store that is a file ": {func(c *Config) { c.StoreDir = file }, "fabric.store_dir"},
		"store in use":          {func(c *Config) { c.StoreDir = taken.cfg.StoreDir }, "in use by another node"},
	} {
		cfg := DefaultConfig()
		cfg.Node, cfg.StoreDir = "n1", t.TempDir()
		c.change(&cfg)
		s, err := New(cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if ok, reason := s.Ready(); ok || reason == "" {
			t.Errorf("%s: ready", name)
		}
		if _, err := s.InProcessConn(); err == nil {
			t.Errorf("%s: connected", name)
		}
		s.Stop()
	}
}

// TestRunMeasures: the probe's figures are there, and their sum is of this world.
func TestRunMeasures(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Node, cfg.StoreDir = "n1", t.TempDir()
	reg := prometheus.NewPedanticRegistry()
	s, err := New(cfg, reg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	f, err := fabric.Connect(t.Context(), fabric.Options{Node: "n1", Server: s})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, f) }()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := gather(t, reg)
		if got["rqnode_add_latency"] > 0 && got["rqnode_redis_latency"] > 1 {
			for name, want := range map[string]float64{"rqnode_clients": 1, "rqnode_streams": 19, "rqnode_redis_state": 2,
				"rqnode_active_master": 1, "rqnode_active_backup": 0, "rqnode_redis_disconnects": 0} {
				if v, ok := got[name]; !ok || v != want {
					t.Errorf("%s = %v, %v, want %v", name, v, ok, want)
				}
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing measured: %v", got)
		}
		<-time.After(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// gather returns values by name; of a histogram the number of samples.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, mf := range families {
		for _, m := range mf.GetMetric() {
			out[mf.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}
