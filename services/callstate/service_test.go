package callstate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/httpapi"
	"parley/internal/httpapi/apitest"
	"parley/internal/obs"
	"parley/internal/voice"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, apitest.Clock()) }

const patience = 15 * time.Second // for what happens on other goroutines

func eventually(t testing.TB, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// start runs a service on f until stop or the end of the test, and waits until it is ready.
func start(t testing.TB, f *fabric.Fabric, mark string) (s *Service, stop func()) {
	t.Helper()
	cfg := Config{Grace: 300 * time.Millisecond, Check: 100 * time.Millisecond}
	health := obs.NewHealth()
	s, err := New(Options{Fabric: f, Config: cfg, Mark: mark, Registry: prometheus.NewRegistry(), Health: health, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	eventually(t, func() error {
		if l, checks := health.Report(); l != obs.LevelPass {
			return fmt.Errorf("not ready: %+v", checks)
		}
		return nil
	})
	return s, stop
}

// publish has the events of a call between two DNs stored, from seq on.
func publish(t testing.TB, f *fabric.Fabric, call string, seq uint64, events ...string) {
	t.Helper()
	for i, text := range events {
		id, dn, _ := strings.Cut(text, " ")
		e := &voice.CallEvent{
			ID: voice.EventName(id), Server: "sip", ThisDN: dn, ThisDNRole: voice.RoleOrigination, ConnID: "c" + call, CallUUID: call, CallThreadID: call,
			CallType: voice.CallInternal, Tenant: "demo", Node: "n1", Seq: seq + uint64(i), Time: time.Now().UTC(), UserDataVersion: int64(seq) + int64(i),
			UserData: voice.KVList{"n": int64(seq) + int64(i)},
		}
		if dn == "1002" {
			e.ThisDNRole = voice.RoleDestination
		}
		if _, err := f.PublishSync(t.Context(), fabric.Event{Subject: fabric.Subject("call", "demo", call, id), Payload: e}); err != nil {
			t.Fatal(err)
		}
	}
}

var talking = []string{"EventDialing 1001", "EventRinging 1002", "EventEstablished 1001", "EventEstablished 1002"}

// alive announces a node that carries calls and has those named; the door tells so until the test ends.
func alive(t testing.TB, f *fabric.Fabric, has func() []string) {
	t.Helper()
	stop, err := fabric.Handle(context.Background(), f, contract.Calls, func(_ context.Context, req contract.CallsRequest) (contract.CallsResponse, error) {
		var r contract.CallsResponse
		for _, uuid := range has() {
			r.Calls = append(r.Calls, contract.LiveCall{CallUUID: uuid})
		}
		return r, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	record(t, f, f.Node())
}

func record(t testing.TB, f *fabric.Fabric, id string) {
	t.Helper()
	b, err := json.Marshal(contract.NodeRecord{ID: id, Started: time.Now().Add(-time.Hour), SIP: &contract.SIPNodeRecord{}})
	if err == nil {
		_, err = f.Bucket(fabric.BucketNodes).Put(t.Context(), fabric.Key(id), b, fabric.PutOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func find(t testing.TB, f *fabric.Fabric, req contract.FindCallsRequest) contract.FindCallsResponse {
	t.Helper()
	r, err := fabric.Call(t.Context(), f, contract.FindCalls, req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sum waits until n violations were found, and returns what is known then.
func sum(t testing.TB, f *fabric.Fabric, n int64) contract.InvariantsResponse {
	t.Helper()
	var r contract.InvariantsResponse
	eventually(t, func() (err error) {
		if r, err = fabric.Call(t.Context(), f, contract.Invariants, struct{}{}); err == nil && r.Sum() != n {
			err = fmt.Errorf("%d violations, want %d: %+v", r.Sum(), n, r.Violations)
		}
		return err
	})
	return r
}

func TestCallsAreFoundAndForgotten(t *testing.T) {
	f := fabrictest.New(t)
	alive(t, f, func() []string { return []string{"u1"} })
	start(t, f, "")
	publish(t, f, "u1", 1, talking...)
	eventually(t, func() error {
		r := find(t, f, contract.FindCallsRequest{Tenant: "demo", DN: "1002"})
		if r.Total != 1 || r.Calls[0].Seq != 4 || len(r.Calls[0].Parties) != 2 || r.Calls[0].Node != "n1" {
			return fmt.Errorf("found %+v", r)
		}
		return nil
	})
	publish(t, f, "u1", 5, "EventReleased 1001", "EventReleased 1002")
	eventually(t, func() error {
		if r := find(t, f, contract.FindCallsRequest{}); r.Total != 0 {
			return fmt.Errorf("found %+v", r)
		}
		return nil
	})
	sum(t, f, 0)
	if _, err := fabric.Call(t.Context(), f, contract.FindCalls, contract.FindCallsRequest{Limit: 1001}); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("a limit of 1001: %v, want ErrInvalid", err)
	}
}

func TestRestart(t *testing.T) {
	f := fabrictest.New(t)
	alive(t, f, func() []string { return []string{"u2", "u3"} })
	mark := filepath.Join(t.TempDir(), "callstate.json")
	_, stop := start(t, f, mark)
	publish(t, f, "u1", 1, talking...)
	publish(t, f, "u2", 1, talking...)
	publish(t, f, "u1", 5, "EventReleased 1001", "EventReleased 1002")
	eventually(t, func() error {
		if r := find(t, f, contract.FindCallsRequest{}); r.Total != 1 || r.Calls[0].CallUUID != "u2" {
			return fmt.Errorf("found %+v", r)
		}
		return nil
	})
	stop()
	if _, err := os.Stat(mark); err != nil {
		t.Fatal(err)
	}
	publish(t, f, "u3", 1, talking...)
	for _, broken := range []string{"", `{"tenant":"demo","CallUUID":"u2","pos":9999}`, "not JSON"} {
		if broken != "" {
			if err := os.WriteFile(mark, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, stop := start(t, f, mark)
		if r := find(t, f, contract.FindCallsRequest{}); r.Total != 2 || r.Calls[0].CallUUID != "u2" || r.Calls[1].CallUUID != "u3" {
			t.Fatalf("mark %q: found %+v", broken, r)
		}
		sum(t, f, 0)
		stop()
	}
}

func TestUnreadable(t *testing.T) {
	f := fabrictest.New(t)
	start(t, f, "")
	if err := f.Publish(fabric.Event{Subject: fabric.Subject("call", "demo", "u1", "EventRinging"), Payload: []byte(`{"id":"EventRinging"}`)}); err != nil {
		t.Fatal(err)
	}
	if r := sum(t, f, 1); r.Counts["unreadable"] != 1 || !strings.Contains(r.Violations[0].Reason, "without ConnID") {
		t.Errorf("%+v", r)
	}
}

func TestStuckCalls(t *testing.T) {
	server := fabrictest.Server(t, t.TempDir())
	f, other := fabrictest.Connect(t, server, "n1"), fabrictest.Connect(t, server, "n2")
	var mu sync.Mutex
	here, there := []string{"u1", "u2"}, []string{}
	alive(t, f, func() []string { mu.Lock(); defer mu.Unlock(); return here })
	alive(t, other, func() []string { mu.Lock(); defer mu.Unlock(); return there })
	publish(t, f, "u1", 1, talking...)
	publish(t, f, "u2", 1, talking...)
	start(t, f, "")

	mu.Lock() // the other node takes u2 over without a word
	here, there = []string{"u1"}, []string{"u2"}
	mu.Unlock()
	eventually(t, func() error {
		if r := find(t, f, contract.FindCallsRequest{Node: "n2"}); r.Total != 1 || r.Calls[0].CallUUID != "u2" {
			return fmt.Errorf("on n2: %+v", r)
		}
		return nil
	})
	sum(t, f, 0)

	mu.Lock() // and loses it
	there = nil
	mu.Unlock()
	if r := sum(t, f, 1); r.Counts["no_dialog"] != 1 || r.Violations[0].CallUUID != "u2" || r.Calls != 1 {
		t.Fatalf("%+v", r)
	}

	if err := f.Bucket(fabric.BucketNodes).Delete(t.Context(), fabric.Key("n1"), fabric.PutOptions{}); err != nil { // the first dies
		t.Fatal(err)
	}
	if r := sum(t, f, 2); r.Counts["node_dead"] != 1 || r.Violations[1].CallUUID != "u1" || r.Calls != 0 {
		t.Fatalf("%+v", r)
	}
}

// TestREST asks as a supervisor, an administrator and the platform's own.
func TestREST(t *testing.T) {
	f := fabrictest.New(t)
	alive(t, f, func() []string { return []string{"u1"} })
	s, _ := start(t, f, "")
	asked := make(chan *voice.Request, 1)
	stop, err := fabric.Handle(context.Background(), f, contract.AskNode, func(_ context.Context, req *voice.Request) (*contract.RequestAnswer, error) {
		if req.Version == 9 {
			return &contract.RequestAnswer{Error: voice.TErrorf(voice.TErrWrongState, "the user data is at version 10, not 9")}, nil
		}
		asked <- req
		return &contract.RequestAnswer{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	publish(t, f, "u1", 1, talking...)
	eventually(t, func() error {
		if r := find(t, f, contract.FindCallsRequest{CallUUID: "u1"}); r.Total != 1 || r.Calls[0].Seq != 4 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	people := apitest.People{
		"boss":   {Tenant: "demo", User: "boss", Roles: []voice.Role{voice.RoleSupervisor}},
		"admin":  {Tenant: "demo", User: "admin", Roles: []voice.Role{voice.RoleAdmin}},
		"other":  {Tenant: "other", User: "x", Roles: []voice.Role{voice.RoleAdmin}},
		"system": {User: "root", Roles: []voice.Role{voice.RoleSystem}},
	}
	srv := httpapi.New(httpapi.Options{Service: "callstate", Title: "t", Registry: prometheus.NewRegistry(), Health: obs.NewHealth(), Verify: people.Verify})
	s.Routes(srv.API())
	base := apitest.Serve(t, srv)
	for _, c := range []struct {
		method, path, token, body string
		status                    int
		holds                     string
	}{
		{"GET", "/api/v1/tenants/demo/calls?dn=1001", "boss", "", 200, `"total":1`},
		{"GET", "/api/v1/tenants/demo/calls", "other", "", 403, ""},
		{"GET", "/api/v1/tenants/demo/calls/u1", "boss", "", 200, `"State":"Established"`},
		{"GET", "/api/v1/tenants/demo/calls/cu1", "boss", "", 200, `"CallUUID":"u1"`},
		{"GET", "/api/v1/tenants/demo/calls/u9", "boss", "", 404, "no call u9"},
		{"GET", "/api/v1/tenants/demo/threads/u1", "boss", "", 200, `"CallUUID":"u1"`},
		{"GET", "/api/v1/tenants/demo/threads/u9", "boss", "", 404, ""},
		{"PATCH", "/api/v1/tenants/demo/calls/u1/user-data", "boss", `{"UserData":{"a":"b"}}`, 403, ""},
		{"PATCH", "/api/v1/tenants/demo/calls/u1/user-data", "admin", `{"UserData":{"a":"b"},"UserDataVersion":3}`, 409, "are version 4, not 3"},
		{"PATCH", "/api/v1/tenants/demo/calls/u1/user-data", "admin", `{"UserData":{"a":"b"},"UserDataVersion":9}`, 409, "version"},
		{"PATCH", "/api/v1/tenants/demo/calls/u1/user-data", "admin", `{"UserData":{}}`, 422, "at least one pair"},
		{"PATCH", "/api/v1/tenants/demo/calls/cu1/user-data", "admin", `{"UserData":{"a":"b"},"UserDataVersion":4}`, 200, `"UserDataVersion":4`},
		{"GET", "/api/v1/invariants", "admin", "", 403, ""},
		{"GET", "/api/v1/invariants", "system", "", 200, `"impossible":0`},
	} {
		status, body := ask(t, c.method, base+c.path, c.token, c.body)
		if status != c.status || !strings.Contains(body, c.holds) {
			t.Errorf("%s %s by %s: %d %s, want %d with %s", c.method, c.path, c.token, status, body, c.status, c.holds)
		}
	}
	if req := <-asked; req.Name != voice.RequestUpdateUserData || req.ConnID != "cu1" || req.ThisDN != "1001" || req.Version != 4 || req.User != "admin" {
		t.Errorf("the node was asked %+v", req)
	}
}

func ask(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
