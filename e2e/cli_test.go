package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// apply changes what it says, once; --dry-run and a file with one bad entry change nothing.
func TestApply(t *testing.T) {
	p := start(t, "apply", "")
	file := provision(t, `tenants:
  - name: demo
    skills: [{name: english}]
    dns:
      - {number: "2001", type: extension, password: first-secret, name: Lobby}
`)
	out, code := p.cli("apply", "-f", file, "--dry-run")
	if code != 0 || !strings.Contains(out, "2001") || strings.Contains(out, "first-secret") {
		t.Errorf("apply --dry-run: exit %d, want a readable diff without secrets:\n%s", code, out)
	}
	if out, _ := p.cli("export"); strings.Contains(out, "2001") {
		t.Error("--dry-run created 2001")
	}
	if out, code = p.cli("apply", "-f", file); code != 0 || !strings.Contains(out, "2001") {
		t.Errorf("apply: exit %d:\n%s", code, out)
	}
	if out, code = p.cli("apply", "-f", file); code != 0 || strings.Contains(out, "2001") {
		t.Errorf("the second apply of the same file changed something, exit %d:\n%s", code, out)
	}
	bad := provision(t, `tenants:
  - name: demo
    dns:
      - {number: "2002", type: extension, password: second-secret}
      - {number: "2003", type: extention}
`)
	out, code = p.cli("apply", "-f", bad)
	if code == 0 || !strings.Contains(out, "provision.yaml:5") || !strings.Contains(out, "type") || !strings.Contains(out, "extension") {
		t.Errorf("apply of a bad file: exit %d, want file, line, field and what is wanted:\n%s", code, out)
	}
	if out, _ := p.cli("export"); strings.Contains(out, "2002") {
		t.Error("a file with a bad entry was half applied")
	}
}

// What export writes is what apply takes, on another platform.
func TestExportMovesAPlatform(t *testing.T) {
	p, q := start(t, "from", ""), start(t, "to", "")
	exported, code := p.cli("export", "--secrets")
	if code != 0 {
		t.Fatalf("export: %s", exported)
	}
	if out, code := q.cli("apply", "-f", provision(t, exported)); code != 0 {
		t.Fatalf("apply of an export: %s", out)
	}
	again, _ := q.cli("export", "--secrets")
	if again != exported {
		t.Errorf("the export of the copy differs:\n--- from\n%s\n--- to\n%s", exported, again)
	}
}

// Every start that cannot work says which key is wrong and ends with status 1.
func TestStartErrors(t *testing.T) {
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	// Where the start gets as far as listening, nothing else may be in its way.
	const anyPorts = "\nhttp: {ports: {config: 0, registrar: 0, sipproxy: 0, rq: 0, tenant: 0, dialplan: 0, callstate: 0, cdr: 0, sip: 0, frontend: 0, orchestration: 0}}\nweb: {listen: \"127.0.0.1:0\"}\n"
	for name, c := range map[string]struct {
		yaml string
		want []string
	}{
		"port in use":         {`sip: {listen: ["udp://` + busy.LocalAddr().String() + `"]}` + anyPorts, []string{"sip.listen", "in use"}},
		"unknown key":         {"sip:\n  lisen: [x]\n", []string{"parley.yaml:", "lisen"}},
		"bad value":           {"log: {level: loud}\n", []string{"log.level", "loud"}},
		"bad port":            {"http: {ports: {config: 70000}}\n", []string{"http.ports.config", "70000"}},
		"no such certificate": {"sip: {listen: [\"tls://127.0.0.1:0\"], tls: {cert: nowhere.pem, key: nowhere.key}}" + anyPorts, []string{"sip.tls", "nowhere"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "parley.yaml")
			writeFile(t, file, c.yaml)
			out, code := command(t, dir, "serve", "--config", file, "--data-dir", filepath.Join(dir, "data"))
			if code != 1 {
				t.Errorf("exit status %d, want 1", code)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q is not in the message:\n%s", w, out)
				}
			}
			if n := strings.Count(strings.TrimSpace(out), "\n"); n > 8 {
				t.Errorf("%d lines of output for one mistake:\n%s", n+1, out)
			}
		})
	}
	if out, code := command(t, t.TempDir(), "serve", "--config", "absent.yaml"); code != 1 || !strings.Contains(out, "absent.yaml") {
		t.Errorf("absent configuration: exit %d: %s", code, out)
	}
}

// Two nodes on one data directory are refused; status and apply without a node say how to start one.
func TestDataDirectory(t *testing.T) {
	p := start(t, "alone", "")
	out, code := command(t, p.dir, p.args...)
	if code != 1 || !strings.Contains(out, "node.data_dir") {
		t.Errorf("second node on one data directory: exit %d: %s", code, out)
	}
	out, code = p.cli("status")
	if code != 0 || !strings.Contains(out, "registrar") || !strings.Contains(out, "pass") {
		t.Errorf("status: exit %d:\n%s", code, out)
	}
	empty := t.TempDir()
	out, code = command(t, empty, "status", "--data-dir", empty)
	if code != 1 || !strings.Contains(out, "parley serve") {
		t.Errorf("status without a node: exit %d: %s", code, out)
	}
}

// The passwords are printed once: neither a second start nor any file but the credential store has them.
func TestPasswordsArePrintedOnce(t *testing.T) {
	p := start(t, "once", "")
	secret := p.printedPassword("1001")
	p.proc.Stop()
	p.run()
	if strings.Contains(p.proc.Output(), secret) {
		t.Error("the second start prints passwords")
	}
	p.proc.Stop()
	err := filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type()&os.ModeSocket != 0 {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), secret) {
			t.Errorf("%s holds a password as typed", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
