package node_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/httpapi/apitest"
	"parley/server/node"
	"parley/server/settings"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one clock for the header Date in a process, from the first response on.
		apitest.Clock())
}

// platform is a node running in this process.
type platform struct {
	t      *testing.T
	cfg    settings.Config
	status contract.StatusReport // as of its start
	stdout *output
	stderr *output
	cancel context.CancelFunc
	done   chan error

	stdoutOf *platform // the node that printed the accounts, if it was another one
}

// output is a buffer that a node writes while a test reads.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// config is a node that takes any free port on loopback, with its data in dir.
func config(id, dir string) settings.Config {
	cfg := settings.Default()
	cfg.Node.ID, cfg.Node.DataDir = id, dir
	cfg.SIP.Listen = []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0"}
	cfg.Web.Listen = "127.0.0.1:0"
	for name := range cfg.HTTP.Ports {
		cfg.HTTP.Ports[name] = 0
	}
	return cfg
}

// launch starts a node; it may fail to become ready.
func launch(t *testing.T, cfg settings.Config, opts node.Options) (*platform, <-chan contract.StatusReport) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &platform{t: t, cfg: cfg, stdout: &output{}, stderr: &output{}, cancel: cancel, done: make(chan error, 1)}
	ready := make(chan contract.StatusReport, 1)
	opts.Stdout, opts.Stderr, opts.Version = p.stdout, p.stderr, "v0.0.0-test"
	opts.Ready = func(s contract.StatusReport) { ready <- s }
	go func() { p.done <- node.Run(ctx, cfg, opts) }()
	t.Cleanup(func() { p.stop() })
	return p, ready
}

// start runs a node until the test ends, and waits until it is ready.
func start(t *testing.T, cfg settings.Config, opts node.Options) *platform {
	t.Helper()
	p, ready := launch(t, cfg, opts)
	select {
	case p.status = <-ready:
	case err := <-p.done:
		p.done <- err
		t.Fatalf("the node ended: %v\n%s", err, p.stderr)
	case <-time.After(60 * time.Second):
		t.Fatalf("the node is not ready after a minute:\n%s", p.stderr)
	}
	return p
}

// stop ends the node and fails the test if it did not end well.
func (p *platform) stop() {
	p.cancel()
	select {
	case err, open := <-p.done:
		if open && err != nil {
			p.t.Errorf("Run = %v\n%s", err, p.stderr)
		}
	case <-time.After(node.DrainTime + 10*time.Second):
		p.t.Errorf("the node does not stop:\n%s", p.stderr)
		return
	}
	p.done = make(chan error)
	close(p.done)
}

// wantError waits for a node that cannot start, and returns why.
func wantError(t *testing.T, cfg settings.Config, opts node.Options) string {
	t.Helper()
	p, ready := launch(t, cfg, opts)
	select {
	case <-ready:
		t.Fatal("the node is ready, want an error")
	case err := <-p.done:
		close(p.done)
		if err != nil {
			return err.Error()
		}
		t.Fatal("Run = nil, want an error")
	case <-time.After(60 * time.Second):
		t.Fatal("the node neither starts nor fails")
	}
	return ""
}
