package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/script"
	"parley/internal/voice"
)

// desktopModules installs what the desktop of the tests needs, once for each list of it, and returns the folder. The list names
// the hash of every package.
func desktopModules(t *testing.T) string {
	t.Helper()
	const list = "testdata/workspace/package-lock.json"
	lock, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home
	}
	dir := filepath.Join(cache, "parley-e2e", fmt.Sprintf("desktop-%x", sha256.Sum256(lock))[:24])
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "installing-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh) // if it did not become dir
	writeFile(t, filepath.Join(fresh, "package-lock.json"), string(lock))
	plan, err := os.ReadFile("testdata/workspace/package.json")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(fresh, "package.json"), string(plan))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = fresh
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(modules); there != nil { // nor has another test put it there
			t.Fatal(err)
		}
	}
	return modules
}

// desktop is a running desktop of alice.
type desktop struct {
	*peer.Process
	t *testing.T
}

func newDesktop(t *testing.T, p *platform) desktop {
	t.Helper()
	modules := desktopModules(t)
	script, err := filepath.Abs("testdata/workspace/desktop.js")
	if err != nil {
		t.Fatal(err)
	}
	proc := peer.Start(t, p.dir, []string{
		"NODE_PATH=" + modules, "BASE=http://" + p.address("frontend", "http"), "USERNAME=alice", "PASSWORD=alice-at-her-desk",
	}, "node", script)
	return desktop{proc, t}
}

// do asks for something that is accepted; what it causes is awaited after it.
func (d desktop) do(line string) {
	d.t.Helper()
	d.Skip()
	d.Type(line)
}

// sees waits for a call in a state, and returns its id.
func (d desktop) sees(id, about, state, kind, others string) string {
	d.t.Helper()
	if id == "" {
		id = `\S+`
	}
	return d.Await(`^call (`+id+`) `+about+` `+state+` `+kind+` `+others+` `, 15*time.Second)[1]
}

// takes answers the next call to a phone.
func takes(p *script.Phone) *script.Dialog {
	d := p.AwaitCall()
	d.Reply(d.Invite, 180, "")
	d.Reply(d.Invite, 200, sdpOf(1), "Allow: INVITE, ACK, BYE, UPDATE")
	d.Request("ACK")
	return d
}

// letsGo waits until the platform hangs up on a phone.
func letsGo(d *script.Dialog) { d.Reply(d.Request("BYE"), 200, "") }

// TestDesktopControlsCalls is a day at a desk: the public client library signs in, makes calls, holds, retrieves, transfers
// in one step and in two, and releases, while scripted phones do what phones do.
func TestDesktopControlsCalls(t *testing.T) {
	t.Parallel()
	file := provision(t, fmt.Sprintf(`tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, password: %[1]s}
      - {number: "1002", type: extension, password: %[1]s}
      - {number: "1003", type: extension, password: %[1]s}
    places: [{name: desk-1, dns: ["1001"]}]
    persons:
      - {username: admin, password: basic-admin-secret, roles: [system]}
      - {username: alice, password: alice-at-her-desk, roles: [agent], agent_id: A1, place: desk-1}
`, basicSecret))
	p := start(t, "desktop", "", "--provision", file)
	a, b, c := scripted(t, p, "1001"), scripted(t, p, "1002"), scripted(t, p, "1003")
	d := newDesktop(t, p)
	d.Await(`^initialized alice A1$`, 30*time.Second)
	d.Await(`^dn 1001 Idle$`, 15*time.Second)

	// A call that is held, retrieved, marked, and released.
	d.do("makeCall 1002")
	atA := takes(a)
	id := d.sees("", "StateChange", "Dialing", "Internal", "1002")
	atB := takes(b)
	d.sees(id, "StateChange", "Established", "Internal", "1002")
	d.do("holdCall " + id)
	d.sees(id, "StateChange", "Held", "Internal", "1002")
	d.do("holdCall " + id)
	d.Await(`^refused holdCall 185 \S+`, 10*time.Second)
	d.do("retrieveCall " + id)
	d.sees(id, "StateChange", "Established", "Internal", "1002")
	d.do(`attachUserData ` + id + ` [{"key":"case","type":"str","value":"4711"}]`)
	d.Await(`^call `+id+` AttachedDataChanged Established Internal 1002 case=4711 `, 15*time.Second)
	d.do("releaseCall " + id)
	letsGo(atA)
	letsGo(atB)
	d.sees(id, "StateChange", "Released", "Internal", "1002")
	d.Await(`^dn 1001 Idle$`, 15*time.Second)

	// A transfer in two steps.
	d.do("makeCall 1002")
	atA = takes(a)
	id = d.sees("", "StateChange", "Dialing", "Internal", "1002")
	atB = takes(b)
	d.sees(id, "StateChange", "Established", "Internal", "1002")
	d.do("initiateTransfer " + id + " 1003")
	d.sees(id, "StateChange", "Held", "Internal", "1002")
	consult := d.sees("", "StateChange", "Dialing", "Consult", "1003")
	atC := takes(c)
	d.Await(`^call `+consult+` StateChange Established Consult 1003 .* parent `+id+`$`, 15*time.Second)
	d.do("completeTransfer " + consult + " " + id)
	letsGo(atA)
	d.sees(id, "StateChange", "Released", "Internal", "1002")
	d.sees(consult, "StateChange", "Released", "Consult", "1003")
	d.Await(`^dn 1001 Idle$`, 15*time.Second)
	hungUp(atB, atC)

	// A transfer in one step.
	d.do("makeCall 1002")
	atA = takes(a)
	id = d.sees("", "StateChange", "Dialing", "Internal", "1002")
	atB = takes(b)
	d.sees(id, "StateChange", "Established", "Internal", "1002")
	d.do("singleStepTransfer " + id + " 1003")
	letsGo(atA)
	d.sees(id, "StateChange", "Released", "Internal", "1002")
	atC = takes(c)
	hungUp(atC, atB)

	// What cannot be done is said: a call to oneself, and agent state, which is not kept yet.
	d.do("makeCall 1001")
	d.Await(`^refused makeCall 415 \S+`, 10*time.Second)
	d.do("ready")
	d.Await(`^refused ready 51 \S+`, 10*time.Second)
	d.do("quit")
	if code := d.Wait(15 * time.Second); code != 0 {
		t.Errorf("the desktop ended with %d:\n%s", code, d.Output())
	}
	peer.Poll(t, 15*time.Second, func() error {
		res, err := http.Get("http://" + p.address("frontend", "http") + "/metrics")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		page, err := io.ReadAll(res.Body)
		if err == nil && !strings.Contains(string(page), "\nparley_workspace_sessions 0\n") {
			err = errors.New("the session is still there")
		}
		return err
	})
	recorded(t, p, "1001", voice.OutcomeAnswered)
}
