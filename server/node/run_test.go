package node_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"parley/server/control"
	"parley/server/node"
	"parley/server/settings"
)

// Two whole platforms in one process: nothing is global.
func TestTwoPlatformsInOneProcess(t *testing.T) {
	a := start(t, config("a", t.TempDir()), node.Options{})
	b := start(t, config("b", t.TempDir()), node.Options{})
	if pa, pb := password(t, a, "1001"), password(t, b, "1001"); pa == pb {
		t.Errorf("both platforms made the password %s", pa)
	}
	if len(a.status.Peers)+len(b.status.Peers) != 0 {
		t.Errorf("the platforms see one another: %v, %v", a.status.Peers, b.status.Peers)
	}
	a.stop()
	b.register("udp", "1001", 300) // b goes on
	b.awaitContacts(1)
}

var passwordRow = regexp.MustCompile(`\b(\d{4})\s+([a-z2-9]{12,})`)

// password reads the password of an extension from the panel of the first start.
func password(t *testing.T, p *platform, number string) string {
	t.Helper()
	for _, m := range passwordRow.FindAllStringSubmatch(p.stdout.String(), -1) {
		if m[1] == number {
			return m[2]
		}
	}
	t.Fatalf("no password of %s on the panel:\n%s", number, p.stdout)
	return ""
}

// Everything on the panel is said once: the second start has the accounts and tells no passwords, and the log never does.
func TestFirstStartIsTheFirstOnly(t *testing.T) {
	dir := t.TempDir()
	p := start(t, config("n", dir), node.Options{})
	secret := password(t, p, "1001")
	numbers := map[string]bool{}
	for _, m := range passwordRow.FindAllStringSubmatch(p.stdout.String(), -1) {
		numbers[m[1]] = true
	}
	if len(numbers) != 10 {
		t.Errorf("%d extensions on the panel, want 10:\n%s", len(numbers), p.stdout)
	}
	if strings.Contains(p.stderr.String(), secret) {
		t.Error("a password is in the log")
	}
	p.stop()
	q := start(t, config("n", dir), node.Options{})
	if out := q.stdout.String(); passwordRow.MatchString(out) || !strings.Contains(out, "ready") {
		t.Errorf("the panel of the second start:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "first-start.json")); !os.IsNotExist(err) {
		t.Errorf("the passwords of the first start are still on disk: %v", err)
	}
}

// A start killed between writing the passwords down and showing them begins again with the same ones.
func TestFirstStartGoesOnAfterAKill(t *testing.T) {
	dir := t.TempDir()
	const left = `{"1001":"abcdefghijkmnp"}`
	if err := os.WriteFile(filepath.Join(dir, "first-start.json"), []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, config("n", dir), node.Options{})
	if got := password(t, p, "1001"); got != "abcdefghijkmnp" {
		t.Errorf("the password of 1001 is %q, want the one written down before the kill", got)
	}
	p.register("udp", "1001", 300)
}

// --provision is idempotent, and with tenants of its own there is no demo tenant.
func TestProvision(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "p.yaml")
	text := `tenants: [{name: acme, domains: [acme.test], default: true, dns: [{number: "2001", type: extension, password: a-password-of-2001}]}]`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p := start(t, config("n", filepath.Join(dir, "data")), node.Options{Provision: file})
		if out := p.stdout.String(); passwordRow.MatchString(out) {
			t.Errorf("a demo tenant was made:\n%s", out)
		}
		p.stop()
	}
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("tenants:\n  - name: acme\n    dns:\n      - {number: \"1\", type: extention}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if msg := wantError(t, config("n", filepath.Join(dir, "data")), node.Options{Provision: bad}); !strings.Contains(msg, "--provision") || !strings.Contains(msg, "extention") {
		t.Errorf("a bad provisioning file: %s", msg)
	}
}

// Whatever keeps a node from starting is said in one message that names the key and the cure, and leaves nothing running.
func TestStartErrors(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	port := busy.Addr().(*net.TCPAddr).Port
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*settings.Config)
		want []string
	}{
		"http port in use": {func(c *settings.Config) { c.HTTP.Ports["registrar"] = port }, []string{"http.ports.registrar", "in use", "another port"}},
		"web port in use":  {func(c *settings.Config) { c.Web.Listen = busy.Addr().String() }, []string{"web.listen", "in use", "another port"}},
		"sip port in use":  {func(c *settings.Config) { c.SIP.Listen = []string{"udp://" + udp.LocalAddr().String()} }, []string{"sip.listen", "in use"}},
		"foreign address":  {func(c *settings.Config) { c.HTTP.Bind = "192.0.2.1" }, []string{"http.bind", "no address of this machine"}},
		"no directory":     {func(c *settings.Config) { c.Node.DataDir = plain }, []string{"node.data_dir", plain, "another"}},
		"below a file":     {func(c *settings.Config) { c.Node.DataDir = plain + "/data" }, []string{"node.data_dir", "another"}},
		"no certificate":   {func(c *settings.Config) { c.SIP.TLS = settings.TLS{Cert: "nowhere.pem", Key: "nowhere.key"} }, []string{"sip.tls", "nowhere.pem"}},
		"no JetStream": {func(c *settings.Config) { c.Fabric.URL = "nats://127.0.0.1:1"; c.Node.Services = []string{"config"} },
			[]string{"fabric.url", "no servers", "check that"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config("n", t.TempDir())
			c.edit(&cfg)
			msg := wantError(t, cfg, node.Options{})
			for _, want := range c.want {
				if !strings.Contains(msg, want) {
					t.Errorf("%q is not in: %s", want, msg)
				}
			}
		})
	}
}

func TestDataDirectoryBelongsToOneNode(t *testing.T) {
	dir := t.TempDir()
	p := start(t, config("a", dir), node.Options{})
	msg := wantError(t, config("b", dir), node.Options{})
	if !strings.Contains(msg, "node.data_dir") || !strings.Contains(msg, "another node (process ") || !strings.Contains(msg, dir) {
		t.Errorf("the second node: %s", msg)
	}
	if _, err := control.NewLocal(dir).Cluster(t.Context()); err != nil {
		t.Errorf("the first node is disturbed: %v", err)
	}
	p.stop()
	start(t, config("b", dir), node.Options{}) // the lock is free again
}
