package control_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/voice"
	"parley/server/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a node that remembers what it was asked.
type fake struct {
	applied contract.ConfigApplyRequest
	token   contract.IssueTokenRequest
	dialled *contract.ResolveRequest
	err     error
}

func (f *fake) Status(context.Context) contract.StatusReport {
	return contract.StatusReport{Node: "n1", Contacts: 7}
}

func (f *fake) Cluster(ctx context.Context) control.Cluster {
	return control.Cluster{Nodes: []contract.StatusReport{f.Status(ctx)}, Silent: []string{"n2: no answer"}}
}

func (f *fake) Apply(_ context.Context, req contract.ConfigApplyRequest) (contract.ConfigApplyResponse, error) {
	f.applied = req
	return contract.ConfigApplyResponse{Unchanged: 3, DryRun: req.DryRun}, f.err
}

func (f *fake) Export(_ context.Context, req contract.ConfigExportRequest) (contract.ConfigExportResponse, error) {
	if req.Secrets {
		return contract.ConfigExportResponse{YAML: []byte("secrets of " + req.Tenant)}, f.err
	}
	return contract.ConfigExportResponse{YAML: []byte("tenants: []\n")}, f.err
}

func (f *fake) IssueToken(_ context.Context, req contract.IssueTokenRequest) (contract.Session, error) {
	f.token = req
	return contract.Session{Token: "t0k"}, f.err
}

func (f *fake) Script(_ context.Context, req control.ScriptRequest) (control.ScriptAnswer, error) {
	return control.ScriptAnswer{Versions: []contract.ScriptVersion{{Name: req.Name, Version: 7, User: req.User, Comment: req.Op}}}, nil
}

func (f *fake) Resolve(_ context.Context, req *contract.ResolveRequest) (*contract.ResolveResponse, error) {
	f.dialled = req
	return &contract.ResolveResponse{Kind: contract.RouteDevice, Number: "1002"}, f.err
}

func (f *fake) Treat(_ context.Context, req *contract.TreatmentRequest) (*contract.RequestAnswer, error) {
	return &contract.RequestAnswer{ReferenceID: req.ReferenceID, Error: voice.TErrorf(voice.TErrBadParameter, "%s of %s", req.Type, req.Parameters.List("PROMPT").List("1").Text("ID"))}, f.err
}

func (f *fake) Request(_ context.Context, req *voice.Request) (*contract.RequestAnswer, error) {
	return &contract.RequestAnswer{ReferenceID: req.ReferenceID, ConnID: req.ThisDN}, nil
}

func (f *fake) Route(_ context.Context, req *contract.RouteCallRequest) (*contract.RequestAnswer, error) {
	return &contract.RequestAnswer{ReferenceID: req.ReferenceID}, f.err
}

func TestTreatmentsThroughTheSocket(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, &fake{})
	l := control.NewLocal(dir)
	a, err := l.Treat(t.Context(), &contract.TreatmentRequest{Type: voice.TreatmentPlayAnnouncement, ReferenceID: 7,
		Parameters: voice.KVList{"PROMPT": voice.KVList{"1": voice.KVList{"ID": "welcome"}}}})
	if err != nil || a.ReferenceID != 7 || a.Error == nil || a.Error.Code != voice.TErrBadParameter || a.Error.Message != "PlayAnnouncement of welcome" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := l.Request(t.Context(), &voice.Request{Name: voice.RequestMakeCall, ThisDN: "1001", ReferenceID: 9}); err != nil || a.ReferenceID != 9 || a.ConnID != "1001" {
		t.Errorf("Request = %+v, %v", a, err)
	}
	if a, err := l.Route(t.Context(), &contract.RouteCallRequest{ReferenceID: 8}); err != nil || a.ReferenceID != 8 || a.Error != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

// serve runs a server for node in dir until the test ends.
func serve(t *testing.T, dir string, node control.Node) {
	t.Helper()
	ln, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.New(node, slog.New(slog.DiscardHandler)).Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if _, err := os.Stat(control.SocketPath(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
}

func TestCommandsReachTheNode(t *testing.T) {
	dir, node := t.TempDir(), &fake{}
	serve(t, dir, node)
	l := control.NewLocal(dir)

	c, err := l.Cluster(t.Context())
	if err != nil || len(c.Nodes) != 1 || c.Nodes[0].Contacts != 7 || len(c.Silent) != 1 {
		t.Errorf("Cluster = %+v, %v", c, err)
	}
	res, err := l.Apply(t.Context(), contract.ConfigApplyRequest{
		File: "a.yaml", YAML: []byte("x: 1"), Files: map[string][]byte{"s": []byte("<scxml/>")}, DryRun: true, User: "somebody else",
	})
	if err != nil || res.Unchanged != 3 || !res.DryRun {
		t.Errorf("Apply = %+v, %v", res, err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if node.applied.User != me.Username || string(node.applied.YAML) != "x: 1" || string(node.applied.Files["s"]) != "<scxml/>" {
		t.Errorf("the node got %+v, want the request in the name of %s", node.applied, me.Username)
	}
	out, err := l.Export(t.Context(), contract.ConfigExportRequest{Tenant: "demo", Secrets: true})
	if err != nil || string(out.YAML) != "secrets of demo" {
		t.Errorf("Export = %s, %v", out.YAML, err)
	}
	s, err := l.IssueToken(t.Context(), "demo", "alice", time.Hour)
	if err != nil || s.Token != "t0k" || node.token.User != "alice" || node.token.TTL != time.Hour || node.token.By != me.Username {
		t.Errorf("IssueToken = %+v, %v; the node got %+v", s, err, node.token)
	}
}

func TestDialReachesTheNode(t *testing.T) {
	dir, node := t.TempDir(), &fake{}
	serve(t, dir, node)
	at := time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)
	res, err := control.NewLocal(dir).Resolve(t.Context(), &contract.ResolveRequest{Tenant: "demo", From: "1001", Dialled: "+4930", At: at, Explain: true})
	if err != nil || res.Kind != contract.RouteDevice || res.Number != "1002" {
		t.Errorf("Resolve = %+v, %v", res, err)
	}
	if d := node.dialled; d == nil || d.Tenant != "demo" || d.From != "1001" || d.Dialled != "+4930" || !d.At.Equal(at) || !d.Explain {
		t.Errorf("the node was asked for %+v", d)
	}
	node.err = voice.Errorf(voice.ErrNotFound, "there is no tenant")
	if _, err := control.NewLocal(dir).Resolve(t.Context(), &contract.ResolveRequest{}); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("Resolve = %v, want ErrNotFound", err)
	}
}

func TestDialElsewhereIsREST(t *testing.T) {
	asked := make(chan string, 2)
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String() + " " + r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"kind":"device","number":"1002"}`)
	}))
	defer there.Close()
	r, err := control.NewRemote(there.URL, "t0k")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)
	for want, req := range map[string]contract.ResolveRequest{
		"/api/v1/tenants/demo/resolve?at=2026-11-23T11%3A00%3A00Z&explain=true&from=1001&number=%2B4930&trunk=gw1 Bearer t0k": {Tenant: "demo", From: "1001", Trunk: "gw1", Dialled: "+4930", At: at, Explain: true},
		"/api/v1/tenants/a%2Fb/resolve?explain=false&number=1 Bearer t0k":                                                     {Tenant: "a/b", Dialled: "1"},
	} {
		res, err := r.Resolve(t.Context(), &req)
		if err != nil || res.Number != "1002" {
			t.Errorf("Resolve = %+v, %v", res, err)
		}
		if got := <-asked; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	}
}

func TestErrorsTravel(t *testing.T) {
	dir := t.TempDir()
	node := &fake{err: voice.Invalid(voice.FieldError{File: "a.yaml", Line: 3, Column: 5, Field: "tenants[0].name", Reason: "is missing"})}
	serve(t, dir, node)
	_, err := control.NewLocal(dir).Apply(t.Context(), contract.ConfigApplyRequest{})
	var e *voice.Error
	if !errors.Is(err, voice.ErrInvalid) || !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0].Line != 3 {
		t.Errorf("Apply = %#v, want the field with its place", err)
	}
	node.err = voice.ErrUnavailable
	if _, err := control.NewLocal(dir).IssueToken(t.Context(), "", "x", 0); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("IssueToken = %v, want ErrUnavailable", err)
	}
}

func TestSocketIsOursAlone(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, &fake{})
	info, err := os.Stat(control.SocketPath(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v; want 0600", info.Mode(), err)
	}
	info, err = os.Stat(filepath.Dir(control.SocketPath(dir)))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("run mode %v, %v; want 0700", info.Mode(), err)
	}
}

// A socket address holds about a hundred bytes; data directories may be deeper.
func TestDeepDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	serve(t, dir, &fake{})
	if _, err := control.NewLocal(dir).Cluster(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoNodeSaysHowToStartOne(t *testing.T) {
	dir := t.TempDir()
	check := func(when string) {
		_, err := control.NewLocal(dir).Cluster(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no node is running with data directory "+dir) || !strings.Contains(err.Error(), "parley serve") {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("nothing there")
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "run"), 0o700), os.Rename(filepath.Join(dir, "s"), control.SocketPath(dir)), ln.Close()); err != nil {
		t.Fatal(err)
	}
	check("a killed node's socket")
	serve(t, dir, &fake{}) // and a new node takes its place
	if _, err := control.NewLocal(dir).Cluster(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestProfilesAndLimits(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, &fake{})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", control.SocketPath(dir))
	}}}
	for path, want := range map[string]int{
		"/debug/pprof/heap": http.StatusOK, "/status": http.StatusOK, "/export?secrets=maybe": http.StatusUnprocessableEntity,
		"/nothing": http.StatusNotFound,
	} {
		res, err := client.Get("http://node" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != want {
			t.Errorf("GET %s = %d, %v; want %d", path, res.StatusCode, err, want)
		}
	}
	res, err := client.Post("http://node/apply", "application/json", strings.NewReader(`{"Unknown": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("an unknown field: %d, %v; want 422", res.StatusCode, err)
	}
}
