package cli_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/obs"
	"parley/internal/voice"
	"parley/server/cli"
	"parley/server/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parley runs a command line and returns what it printed and its exit status.
func parley(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Main(t.Context(), args, cli.Env{Stdout: &out, Stderr: &errs, Version: cli.Version{Module: "v1.2.3", Go: "go1", Platform: "a/b"}})
	return out.String(), errs.String(), code
}

// node answers on a control socket with what a test wants.
type node struct {
	apply   contract.ConfigApplyResponse
	err     error
	cluster control.Cluster
	dialled *contract.ResolveRequest
	script  control.ScriptRequest
}

func (n *node) Status(context.Context) contract.StatusReport { return n.cluster.Nodes[0] }
func (n *node) Cluster(context.Context) control.Cluster      { return n.cluster }
func (n *node) Apply(_ context.Context, req contract.ConfigApplyRequest) (contract.ConfigApplyResponse, error) {
	n.apply.DryRun = req.DryRun
	return n.apply, n.err
}
func (n *node) Export(context.Context, contract.ConfigExportRequest) (contract.ConfigExportResponse, error) {
	return contract.ConfigExportResponse{YAML: []byte("tenants: []\n")}, n.err
}
func (n *node) IssueToken(_ context.Context, req contract.IssueTokenRequest) (contract.Session, error) {
	return contract.Session{Token: "t0k", Principal: voice.Principal{Tenant: "demo", User: req.User}, Expires: time.Now().Add(req.TTL)}, n.err
}

func (n *node) Treat(_ context.Context, req *contract.TreatmentRequest) (*contract.RequestAnswer, error) {
	if req.ThisDN != "9000" {
		return nil, voice.Errorf(voice.ErrNotFound, "no call waits at route point %s", req.ThisDN)
	}
	if req.Type == voice.TreatmentIVR {
		return &contract.RequestAnswer{Error: voice.TErrorf(voice.TErrUnsupported, "treatment %s is not supported", req.Type)}, nil
	}
	return &contract.RequestAnswer{}, nil
}

func (n *node) Request(_ context.Context, req *voice.Request) (*contract.RequestAnswer, error) {
	if req.Name != voice.RequestMakeCall || req.ThisDN != "1001" || req.UserData.Text("vip") != "1" || req.ReferenceID != 7 || req.User == "" {
		return &contract.RequestAnswer{Error: voice.TErrorf(voice.TErrInvalidValue, "got %+v", req)}, nil
	}
	return &contract.RequestAnswer{ReferenceID: req.ReferenceID, ConnID: "c1"}, nil
}

func (n *node) Route(_ context.Context, req *contract.RouteCallRequest) (*contract.RequestAnswer, error) {
	if req.Destination != "1001" {
		return &contract.RequestAnswer{Error: voice.TErrorf(voice.TErrInvalidCalledDN, "%s: no such number", req.Destination)}, nil
	}
	return &contract.RequestAnswer{}, nil
}

func (n *node) Script(_ context.Context, req control.ScriptRequest) (control.ScriptAnswer, error) {
	n.script = req
	return control.ScriptAnswer{Versions: []contract.ScriptVersion{{Name: req.Name, Version: 7, Time: time.Unix(0, 0), User: "ann", Comment: "why", SCXML: "<scxml/>", Current: true}}}, n.err
}

func (n *node) Resolve(_ context.Context, req *contract.ResolveRequest) (*contract.ResolveResponse, error) {
	n.dialled = req
	return &contract.ResolveResponse{Kind: contract.RouteDevice, Number: "1002", Steps: []contract.ResolveStep{{Rule: "extension 1002", Result: "rings"}}}, n.err
}

// running starts n on a data directory and returns that.
func running(t *testing.T, n *node) string {
	t.Helper()
	dir := t.TempDir()
	ln, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.New(n, slog.New(slog.DiscardHandler)).Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dir
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	out, _, code := parley(t, "check", "--config", file(t, "node: {id: edge, services: [rq, config]}"))
	if code != 0 || !strings.Contains(out, "valid; node edge runs rq, config") {
		t.Errorf("check of a good file: exit %d: %s", code, out)
	}
	bad := file(t, "node: {idd: edge}\nlog: {level: loud}\n")
	_, errs, code := parley(t, "check", "--config", bad)
	if code != 1 || !strings.Contains(errs, "parley: "+bad+":1:8: node.idd: unknown key") || !strings.Contains(errs, "parley: "+bad+":2:14: log.level: unknown level") {
		t.Errorf("check of a bad file: exit %d:\n%s", code, errs)
	}
}

func TestServeStopsAtABadConfiguration(t *testing.T) {
	_, errs, code := parley(t, "serve", "--config", file(t, "node: {idd: edge}"))
	if code != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "node.idd") {
		t.Errorf("serve: exit %d:\n%s", code, errs)
	}
	taken := file(t, "no directory")
	if _, errs, code = parley(t, "serve", "--data-dir", taken, "--services", "rq"); code != 1 || !strings.Contains(errs, "node.data_dir") {
		t.Errorf("serve on a file: exit %d:\n%s", code, errs)
	}
}

func TestApplyPrintsWhatChanged(t *testing.T) {
	n := &node{apply: contract.ConfigApplyResponse{Unchanged: 4, Changes: []contract.AppliedChange{
		{Tenant: "demo", Kind: voice.KindDN, Key: "1001", Op: voice.OpCreate, Diff: []contract.FieldDiff{{Field: "type", After: "extension"}}},
		{Tenant: "demo", Kind: voice.KindDN, Key: "1002", Op: voice.OpUpdate, Diff: []contract.FieldDiff{{Field: "password", Before: "(changed)", After: "(changed)"}, {Field: "name", Before: "Bob"}}},
		{Tenant: "demo", Kind: voice.KindScript, Key: "old", Op: voice.OpDelete, Diff: []contract.FieldDiff{{Field: "scxml", Before: strings.Repeat("long ", 100)}}},
	}}}
	dir := running(t, n)
	out, errs, code := parley(t, "apply", "-f", file(t, "tenants: []"), "--dry-run", "--data-dir", dir)
	for _, want := range []string{
		"+ demo/dns/1001\n    type: extension\n", "~ demo/dns/1002\n    password: (changed) -> (changed)\n    name: Bob (removed)\n",
		"- demo/scripts/old\n", "would be 1 created, 1 updated, 1 deleted; 4 unchanged\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, output lacks %q:\n%s%s", code, want, out, errs)
		}
	}
}

func TestApplyListsEveryProblem(t *testing.T) {
	n := &node{err: voice.Invalid(
		voice.FieldError{File: "f.yaml", Line: 3, Column: 5, Field: "tenants[0].dns[0].type", Reason: `"extention" is unknown`},
		voice.FieldError{File: "f.yaml", Line: 9, Column: 1, Field: "tenants[1].name", Reason: "is missing"})}
	_, errs, code := parley(t, "apply", "-f", file(t, "tenants: []"), "--data-dir", running(t, n))
	want := "parley: nothing was changed: 2 problems\n  f.yaml:3:5: tenants[0].dns[0].type: \"extention\" is unknown\n  f.yaml:9:1: tenants[1].name: is missing\n"
	if code != 1 || errs != want {
		t.Errorf("exit %d:\n%s\nwant\n%s", code, errs, want)
	}
}

func TestTokenAloneIsOnStandardOutput(t *testing.T) {
	out, errs, code := parley(t, "token", "--user", "alice", "--ttl", "1h", "--data-dir", running(t, &node{}))
	if code != 0 || out != "t0k\n" || !strings.Contains(errs, "token of demo/alice, valid until") {
		t.Errorf("exit %d: %q, %q", code, out, errs)
	}
}

func TestExport(t *testing.T) {
	if out, _, code := parley(t, "export", "--data-dir", running(t, &node{})); code != 0 || out != "tenants: []\n" {
		t.Errorf("exit %d: %q", code, out)
	}
	dir := running(t, &node{err: errors.Join(voice.ErrUnavailable)})
	if _, errs, code := parley(t, "export", "--data-dir", dir); code != 1 || errs == "" {
		t.Errorf("exit %d: %q", code, errs)
	}
}

func TestDial(t *testing.T) {
	n := &node{}
	dir := running(t, n)
	out, errs, code := parley(t, "dial", "1002", "--from", "1001", "--trunk", "gw1", "--tenant", "demo", "--at", "2026-11-23T18:30:00Z", "--data-dir", dir)
	if code != 0 || out != " 1  extension 1002   rings\n\n=> device 1002 where it is registered\n" {
		t.Errorf("dial: exit %d: %s%s", code, out, errs)
	}
	if d := n.dialled; d.Dialled != "1002" || d.From != "1001" || d.Trunk != "gw1" || d.Tenant != "demo" || !d.Explain || d.At.IsZero() {
		t.Errorf("the node was asked for %+v", d)
	}
	if out, _, code = parley(t, "dial", "*21", "--json", "--data-dir", dir); code != 0 || !strings.Contains(out, `"kind": "device"`) || n.dialled.Dialled != "*21" || !n.dialled.At.IsZero() {
		t.Errorf("dial --json: exit %d: %s", code, out)
	}
	for word, args := range map[string][]string{
		"--at":          {"dial", "1", "--at", "noon", "--data-dir", dir},
		"--tenant":      {"dial", "1", "--url", "http://127.0.0.1:1", "--token", "x"},
		"no such thing": {"dial", "1", "--data-dir", dir},
	} {
		n.err = voice.Errorf(voice.ErrNotFound, "no such thing")
		if _, errs, code := parley(t, args...); code != 1 || !strings.Contains(errs, word) {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}

func TestStatus(t *testing.T) {
	started := time.Now().Add(-time.Minute)
	n := &node{cluster: control.Cluster{Silent: []string{"n3: no answer"}, Nodes: []contract.StatusReport{
		{Node: "n1", Version: "v1", Started: started, Level: obs.LevelDegraded, Registrations: 12, Contacts: 14, Bans: -1, Calls: 3, Services: []contract.ServiceStatus{
			{Name: "registrar", Level: obs.LevelPass, Address: []string{"http://127.0.0.1:11500"}},
			{Name: "config", Level: obs.LevelDegraded, Address: []string{}, Checks: []obs.Check{
				{Name: "store", Level: obs.LevelDegraded, Reason: "slow", Since: started}, {Name: "doors", Level: obs.LevelPass}}},
		}, CallState: &contract.InvariantsResponse{Threads: 5, Counts: map[string]int64{"missing": 1, "doubled": 0}, Violations: []contract.Violation{
			{Kind: "missing", Time: started, CallUUID: "U1", Node: "n2", Reason: "events 3 to 4 are missing"},
		}}},
		{Node: "n2", Version: "v1", Started: started, Level: obs.LevelPass, Calls: 4},
	}}}
	dir := running(t, n)
	out, errs, code := parley(t, "status", "--data-dir", dir)
	for _, want := range []string{"node n1: degraded, version v1, up 1m", "http://127.0.0.1:11500", "store is degraded for 1m", ": slow", "node n2: pass", "node n3: no answer",
		"registrations 12   contacts 14   calls 7   bans unknown   nodes 3   call threads 5",
		"1 invariants of calls did not hold", "missing  call U1 of node n2: events 3 to 4 are missing"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, output lacks %q:\n%s%s", code, want, out, errs)
		}
	}
	if strings.Contains(out, "doors") {
		t.Errorf("a check that passes is shown:\n%s", out)
	}
	if out, _, code = parley(t, "status", "--json", "--data-dir", dir); code != 0 || !strings.Contains(out, `"contacts": 14`) {
		t.Errorf("status --json: exit %d:\n%s", code, out)
	}
}

func TestNoNode(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"status"}, {"export"}, {"token", "--user", "x"}, {"apply", "-f", file(t, "{}")}} {
		_, errs, code := parley(t, append(args, "--data-dir", dir)...)
		if code != 1 || !strings.Contains(errs, "no node is running with data directory "+dir+"; start it with `parley serve`") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}

func TestUsage(t *testing.T) {
	if out, _, code := parley(t, "version"); code != 0 || out != "parley v1.2.3 (go1, a/b)\n" {
		t.Errorf("version: exit %d: %q", code, out)
	}
	if out, _, code := parley(t, "--help"); code != 0 || !strings.Contains(out, "parley serve") || !strings.Contains(out, "apply") {
		t.Errorf("--help: exit %d:\n%s", code, out)
	}
	if _, errs, code := parley(t, "frobnicate"); code != 2 || !strings.Contains(errs, "parley --help") {
		t.Errorf("an unknown command: exit %d: %s", code, errs)
	}
	if _, errs, code := parley(t, "apply", "-f", file(t, "{}"), "--url", "http://127.0.0.1:1"); code != 1 || !strings.Contains(errs, "--token") {
		t.Errorf("--url without a token: exit %d: %s", code, errs)
	}
}

func TestRequest(t *testing.T) {
	dir := running(t, &node{})
	out, errs, code := parley(t, "request", "MakeCall", "ThisDN=1001", "OtherDN=1002", "ReferenceID=7", `UserData={"vip":1,"of":"a, b"}`, "--data-dir", dir)
	if code != 0 || !strings.Contains(out, `"ConnID": "c1"`) {
		t.Errorf("request: exit %d: %s%s", code, out, errs)
	}
	for word, args := range map[string][]string{
		"error 53":     {"request", "RequestMakeCall", "ThisDN=1003", "--data-dir", dir},
		"NAME=VALUE":   {"request", "MakeCall", "1003", "--data-dir", dir},
		"Colour":       {"request", "MakeCall", "Colour=red", "--data-dir", dir},
		"is no number": {"request", "MakeCall", "ReferenceID=one", "--data-dir", dir},
	} {
		if _, errs, code := parley(t, args...); code != 1 || !strings.Contains(errs, word) {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}
