package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/obs"
)

// binary is the platform under test, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "parley-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "parley")
	if out, err := exec.Command("go", "build", "-o", binary, "parley/server").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build parley: %v\n%s", err, out)
		os.Exit(1)
	}
	// Tests wait for other programs most of the time, and each has ports of its own: more of them at once than there are
	// processors is quicker. Whoever says -parallel has the last word.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("6"); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// platform is one running node.
type platform struct {
	t      testing.TB
	dir    string // holds parley.yaml and data
	args   []string
	env    []string // besides the test's own
	proc   *peer.Process
	status contract.StatusReport // as of its start
}

// baseConfig lets any number of nodes run on one machine: every port is free for the taking. For audio they have an address of
// their own each: else the phone of a node that was killed, which speaks on, is heard by the next node that has its port.
const baseConfig = `node: {id: %s, data_dir: %s}
sip: {listen: ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0"]}
http: {ports: {config: 0, registrar: 0, sipproxy: 0, rq: 0, tenant: 0, dialplan: 0, callstate: 0, cdr: 0, sip: 0, frontend: 0, orchestration: 0}}
web: {listen: "127.0.0.1:0"}
`

// start runs a node with baseConfig and more YAML after it, and waits until it is ready. args follow "serve --config FILE".
func start(t testing.TB, id, more string, args ...string) *platform {
	t.Helper()
	p := prepare(t, id, more, args...)
	p.run()
	return p
}

// prepare is start without the start.
func prepare(t testing.TB, id, more string, args ...string) *platform {
	t.Helper()
	p := &platform{t: t, dir: t.TempDir()}
	config := filepath.Join(p.dir, "parley.yaml")
	writeFile(t, config, fmt.Sprintf(baseConfig, id, filepath.Join(p.dir, "data"))+more)
	p.args = append([]string{"serve", "--config", config}, args...)
	if !strings.Contains(more, "bind:") {
		p.env = append(p.env, "PARLEY_MEDIA_BIND="+loopbackOf(p.dir))
	}
	return p
}

// loopbackOf is an address of loopback that hardly any other folder has.
func loopbackOf(dir string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir)) // never fails
	n := h.Sum32()
	return fmt.Sprintf("127.%d.%d.%d", 64+(n>>24)%64, (n>>16)%256, 1+n%254)
}

// run starts the node (again) on its data.
func (p *platform) run() {
	p.t.Helper()
	p.launch()
	p.awaitReady()
}

func (p *platform) launch() {
	p.t.Helper()
	p.proc = peer.Start(p.t, p.dir, p.env, binary, p.args...)
	proc := p.proc
	p.t.Cleanup(func() { // before the process is stopped; one that the test has ended cannot be asked any more
		if p.proc != proc {
			return
		}
		if s, err := p.askStatus(); err == nil {
			hold(p.t, s)
		}
	})
}

// awaitReady waits until every service passes.
func (p *platform) awaitReady() {
	p.t.Helper()
	p.proc.Await(`Parley .* is (ready|up)`, 90*time.Second) // up: in a cluster the others may still be on their way
	peer.Poll(p.t, 30*time.Second, func() error {
		status, err := p.askStatus()
		if err == nil && status.Level != obs.LevelPass {
			err = fmt.Errorf("level %v: %+v", status.Level, status.Services)
		}
		if err != nil {
			return fmt.Errorf("the node is not ready: %w\n%s", err, p.proc.Output())
		}
		p.status = status
		return nil
	})
}

// control is an HTTP client on the node's control socket.
func (p *platform) control() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(p.dir, "data", "run", "parley.sock"))
		},
	}}
}

func (p *platform) askStatus() (s contract.StatusReport, err error) {
	res, err := p.control().Get("http://node/status")
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return s, errors.New(res.Status)
	}
	return s, json.NewDecoder(res.Body).Decode(&s)
}

// address returns where a service listens with the given scheme, as host:port.
func (p *platform) address(service, scheme string) string {
	p.t.Helper()
	for _, s := range p.status.Services {
		for _, a := range s.Address {
			if rest, ok := strings.CutPrefix(a, scheme+"://"); ok && s.Name == service {
				return strings.TrimSuffix(rest, "/")
			}
		}
	}
	p.t.Fatalf("%s has no %s address: %+v", service, scheme, p.status.Services)
	return ""
}

// sip is where phones reach the node over a transport.
func (p *platform) sip(transport string) string { return p.address("sipproxy", transport) }

// cli runs a parley command against the node's data directory and returns its output and exit status.
func (p *platform) cli(args ...string) (out string, code int) {
	p.t.Helper()
	return command(p.t, p.dir, append(args, "--data-dir", filepath.Join(p.dir, "data"))...)
}

func command(t testing.TB, dir string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("parley %s: %v", strings.Join(args, " "), err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// printedPassword reads the password of an extension from the panel of the first start.
func (p *platform) printedPassword(number string) string {
	p.t.Helper()
	return p.proc.Await(`\b`+number+`\s+([a-z0-9]{12,})`, time.Second)[1]
}

// awaitContacts waits until the node counts n contacts.
func (p *platform) awaitContacts(n int) {
	p.t.Helper()
	peer.Poll(p.t, 15*time.Second, func() error {
		s, err := p.askStatus()
		if err == nil && s.Contacts != n {
			err = fmt.Errorf("%d contacts wanted, %d there", n, s.Contacts)
		}
		return err
	})
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
