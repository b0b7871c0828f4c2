package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/httpapi"
	"parley/internal/httpapi/apitest"
	"parley/internal/obs"
	"parley/internal/store"
	"parley/internal/voice"
	"parley/services/config"
	"parley/services/dialplan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, apitest.Clock()) }

const patience = 15 * time.Second // for what happens on other goroutines

// eventually polls until ok returns nil, and fails with its last error.
func eventually(t testing.TB, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
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

var people4test = apitest.People{
	"root":  {Tenant: "demo", User: "root", Roles: []voice.Role{voice.RoleSystem}},
	"boss":  {Tenant: "demo", User: "boss", Roles: []voice.Role{voice.RoleSupervisor}},
	"acme":  {Tenant: "acme", User: "boss", Roles: []voice.Role{voice.RoleAdmin}},
	"alice": {Tenant: "demo", User: "alice", Roles: []voice.Role{voice.RoleAgent}},
	"guest": {Tenant: "demo", User: "guest"},
}

const provisioning = `
tenants:
  - name: demo
    default: true
    domains: [demo.test]
    dns:
      - {number: "1001", type: extension}
      - {number: "1002", type: extension}
      - {number: "1003", type: extension}
      - {number: "5000", type: routing-point}
      - {number: gw, type: trunk, options: {TServer: {contact: "sip:192.0.2.1", prefix: "0"}}}
    places:
      - {name: desk, dns: ["1001"]}
    persons:
      - {username: alice, place: desk, agent_id: a1, roles: [agent]}
  - name: acme
    domains: [acme.test]
    dns:
      - {number: "1001", type: extension}
`

// node is a scripted SIP node: it serves AskNode and Calls on a fabric of its own.
type node struct {
	f *fabric.Fabric

	mu     sync.Mutex // guards what follows
	asked  []voice.Request
	answer func(*voice.Request) (*contract.RequestAnswer, error) // nil: accepted
	calls  []contract.LiveCall
}

func (n *node) ask(_ context.Context, r *voice.Request) (*contract.RequestAnswer, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, *r)
	if n.answer != nil {
		return n.answer(r)
	}
	a := &contract.RequestAnswer{ReferenceID: r.ReferenceID}
	if r.Name == voice.RequestMakeCall {
		a.ConnID, a.CallUUID = "c-"+n.f.Node(), "u-"+n.f.Node()
	}
	return a, nil
}

func (n *node) live(_ context.Context, _ contract.CallsRequest) (contract.CallsResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return contract.CallsResponse{Calls: n.calls, Total: len(n.calls)}, nil
}

// taken returns what the node was asked, and forgets it.
func (n *node) taken() []voice.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.asked
	n.asked = nil
	return out
}

func (n *node) has(calls ...contract.LiveCall) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range calls {
		calls[i].Node, calls[i].Tenant = n.f.Node(), "demo"
	}
	n.calls = calls
}

func (n *node) answers(fn func(*voice.Request) (*contract.RequestAnswer, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = fn
}

// callState is a scripted services/callstate.
type callState struct {
	mu    sync.Mutex // guards calls
	calls []voice.Call
}

func (c *callState) set(calls ...voice.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = calls
}

func (c *callState) find(_ context.Context, req contract.FindCallsRequest) (out contract.FindCallsResponse, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		party := req.DN == ""
		for _, p := range call.Parties {
			party = party || p.DN == req.DN
		}
		if party && call.Tenant == req.Tenant && (req.ConnID == "" || req.ConnID == call.ConnID) && (req.CallUUID == "" || req.CallUUID == call.CallUUID) {
			out.Calls = append(out.Calls, call)
		}
	}
	out.Total = len(out.Calls)
	return out, nil
}

// rig is a front end with the real config service, dial plan, directory and REST interface; nodes and call state are scripted.
type rig struct {
	*Service
	t     testing.TB
	nats  *fabrictest.NATS
	reg   *prometheus.Registry
	url   string
	state callState
	stop  func() // of the front end; waits until it has ended
}

func start(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, nats: fabrictest.Server(t, t.TempDir()), reg: prometheus.NewRegistry()}
	f := fabrictest.Connect(t, r.nats, "front")
	db, err := store.Open(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	conf, err := config.New(config.Options{Fabric: f, Store: db, Registry: prometheus.NewRegistry(), Verify: people4test.Verify, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	dir := contract.NewDirectory(f, nil)
	plan, err := dialplan.New(dialplan.Options{Fabric: f, Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	health := obs.NewHealth()
	if r.Service, err = New(Options{Fabric: f, Directory: dir, Config: cfg, Registry: r.reg, Health: health}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{conf.Run, dir.Run, plan.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
	mine, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	r.stop = sync.OnceFunc(func() { end(); running.Wait() })
	t.Cleanup(func() {
		r.stop()
		cancel()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	rest := httpapi.New(httpapi.Options{Service: "frontend", Title: "Front end", Version: "test", Registry: r.reg, Health: health, Verify: people4test.Verify})
	r.Routes(rest)
	running.Go(func() {
		if err := r.Run(mine); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	r.url = apitest.Serve(t, rest)
	r.handle(fabric.Handle(context.WithoutCancel(t.Context()), f, contract.FindCalls, r.state.find))
	r.handle(fabric.Handle(context.WithoutCancel(t.Context()), f, contract.Bindings, func(context.Context, contract.BindingsRequest) (contract.BindingsResponse, error) {
		return contract.BindingsResponse{Bindings: []contract.Binding{{Contact: "sip:1@192.0.2.2"}}}, nil
	}))
	var res contract.ConfigApplyResponse
	eventually(t, func() (err error) {
		res, err = fabric.Call(t.Context(), f, contract.ConfigApply, contract.ConfigApplyRequest{File: "t.yaml", YAML: []byte(provisioning), User: "test"})
		return err
	})
	if err := dir.Await(t.Context(), res.Seq); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !health.Ready() || !fabric.Local(f, contract.Ask) || !fabric.Local(f, contract.Resolve) {
			return fmt.Errorf("not ready: %v", fmt.Sprint(health.Report()))
		}
		return nil
	})
	return r
}

func (r *rig) handle(stop func(), err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(stop)
}

// node starts a scripted SIP node that has some calls already.
func (r *rig) node(id string, calls int, draining bool) *node {
	r.t.Helper()
	n := &node{f: fabrictest.Connect(r.t, r.nats, id)}
	ctx := context.WithoutCancel(r.t.Context())
	r.handle(fabric.Handle(ctx, n.f, contract.AskNode, n.ask))
	r.handle(fabric.Handle(ctx, n.f, contract.Calls, n.live))
	record, err := json.Marshal(contract.NodeRecord{ID: id, SIP: &contract.SIPNodeRecord{Capacity: 100, Calls: calls, Draining: draining}})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := n.f.Bucket(fabric.BucketNodes).Put(r.t.Context(), fabric.Key(id), record, fabric.PutOptions{}); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, func() error {
		for _, known := range r.nodes.all() {
			if known == id {
				return nil
			}
		}
		return errors.New("node " + id + " is not known")
	})
	return n
}

// do asks over HTTP and reads the answer into into.
func (r *rig) do(method, path, token string, body, into any) (status int) {
	r.t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		text = string(b)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, bytes.NewReader([]byte(text)))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			r.t.Fatalf("%s %s: %d %s: %v", method, path, res.StatusCode, b, err)
		}
	}
	return res.StatusCode
}

// request makes a request over REST.
func (r *rig) request(token string, req any) (Answer, int) {
	r.t.Helper()
	var a Answer
	status := r.do(http.MethodPost, "/api/v1/tenants/demo/requests", token, req, &a)
	return a, status
}

// wants makes a request, which must be answered with this code; 0 = accepted.
func (r *rig) wants(code voice.TErrorCode, token string, req any) Answer {
	r.t.Helper()
	a, status := r.request(token, req)
	if a.ErrorCode != code || status != a.status() || (code != 0) != (a.ErrorMessage != "") {
		r.t.Errorf("%+v as %s: status %d, %+v; want code %d", req, token, status, a, code)
	}
	return a
}
