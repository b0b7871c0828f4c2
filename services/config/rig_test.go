package config

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/obs"
	"parley/internal/store"
	"parley/internal/voice"
)

// rig is a config service on a real fabric and a real database.
type rig struct {
	*Service
	t      testing.TB
	f      *fabric.Fabric
	reg    *prometheus.Registry
	health *obs.Health
	url    string
	stop   func() error
}

// options of a rig.
type rigOptions struct {
	dsn, dir string
	fabric   *fabric.Fabric
	idle     bool // do not Run
}

var people = map[string]voice.Principal{
	"root":  {Tenant: "demo", User: "root", Roles: []voice.Role{voice.RoleSystem}},
	"admin": {Tenant: "demo", User: "admin", Roles: []voice.Role{voice.RoleAdmin}},
	"boss":  {Tenant: "demo", User: "boss", Roles: []voice.Role{voice.RoleSupervisor}},
	"agent": {Tenant: "demo", User: "agent", Roles: []voice.Role{voice.RoleAgent}},
	"other": {Tenant: "acme", User: "other", Roles: []voice.Role{voice.RoleAdmin}},
}

func verifier(_ context.Context, token string) (voice.Principal, error) {
	if p, ok := people[token]; ok {
		return p, nil
	}
	return voice.Principal{}, voice.ErrUnauthorized
}

func start(t testing.TB, o rigOptions) *rig {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	if o.fabric == nil {
		o.fabric = fabrictest.New(t)
	}
	st, err := store.Open(t.Context(), o.dsn, o.dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, f: o.fabric, reg: prometheus.NewRegistry(), health: obs.NewHealth()}
	r.Service, err = New(Options{
		Fabric: o.fabric, Store: st, Registry: r.reg, Health: r.health, Verify: verifier, Version: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	run := func(fn func(context.Context) error) {
		wg.Go(func() {
			if err := fn(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	if !o.idle {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r.url = "http://" + ln.Addr().String()
		run(r.Run)
		run(func(ctx context.Context) error { return r.Serve(ctx, ln) })
	}
	r.stop = sync.OnceValue(func() error {
		cancel()
		wg.Wait()
		return errors.Join(errors.Join(errs...), st.Close())
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if !o.idle {
		eventually(t, "the service is ready", func() bool { return r.health.Ready() })
	}
	return r
}

// both runs a test on each database.
func both(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, start(t, rigOptions{}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, start(t, rigOptions{dsn: postgres.Database(t)}))
	})
}

// eventually polls until ok, and fails with what was waited for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after 20 s it is still not so that %s", what)
		}
	}
}

const demoFile = `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, name: Alice, password: s3cret-1001, options: {TServer: {contact: "*"}}}
      - {number: "1002", type: extension, password: s3cret-1002}
      - {number: "9000", type: routing-point, application: welcome}
      - {number: "5555", type: voicemail-access}
      - {number: "gw1",  type: trunk, options: {TServer: {contact: "sip:10.0.0.9:5060", prefix: "0", oos-check: "10"}}}
    skills:   [{name: english}, {name: billing}]
    places:   [{name: p1001, dns: ["1001"]}]
    persons:
      - {username: alice, agent_id: "7001", password: correct horse, place: p1001, skills: {english: 8, billing: 5}, roles: [agent]}
    scripts:
      - name: welcome
        scxml: |
          <scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
            <state id="s"/>
          </scxml>
    voicemail_profiles: [{name: SystemProfile}]
    mailboxes: [{number: "1001", owner: alice}]
`

func (r *rig) applyText(text string) (contract.ConfigApplyResponse, error) {
	r.t.Helper()
	return fabric.Call(r.t.Context(), r.f, contract.ConfigApply, contract.ConfigApplyRequest{File: "demo.yaml", YAML: []byte(text), User: "tester"})
}

func (r *rig) mustApply(text string) contract.ConfigApplyResponse {
	r.t.Helper()
	res, err := r.applyText(text)
	if err != nil {
		r.t.Fatalf("apply: %v", readable(err))
	}
	return res
}

// readable is an error with all its fields.
func readable(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*voice.Error](err); ok {
		for _, f := range e.Fields {
			text += "\n  " + f.Error()
		}
	}
	return text
}

func get[T any](r *rig, tenant string, kind voice.Kind, key string, secrets bool) (T, int64) {
	r.t.Helper()
	var body T
	res, err := fabric.Call(r.t.Context(), r.f, contract.ConfigGet, contract.ConfigKey{Tenant: tenant, Kind: kind, Key: key, Secrets: secrets})
	if err != nil {
		r.t.Fatalf("get %s %s: %v", kind, key, err)
	}
	if err := json.Unmarshal(res.Body, &body); err != nil {
		r.t.Fatal(err)
	}
	return body, res.Version
}

func (r *rig) putBody(tenant string, kind voice.Kind, key string, version int64, body string) (voice.Resource, error) {
	return fabric.Call(r.t.Context(), r.f, contract.ConfigPut, contract.ConfigPutRequest{
		Tenant: tenant, Kind: kind, Key: key, Version: version, Body: json.RawMessage(body), User: "tester",
	})
}

func (r *rig) remove(tenant string, kind voice.Kind, key string, version int64) error {
	_, err := fabric.Call(r.t.Context(), r.f, contract.ConfigDelete, contract.ConfigDeleteRequest{Tenant: tenant, Kind: kind, Key: key, Version: version, User: "tester"})
	return err
}

// wantProblem fails unless err is kind and names field with a reason that has the words.
func wantProblem(t *testing.T, err, kind error, field, words string) {
	t.Helper()
	e, ok := errors.AsType[*voice.Error](err)
	if !ok || !errors.Is(err, kind) {
		t.Errorf("error = %v, want %v about %s", err, kind, field)
		return
	}
	for _, f := range e.Fields {
		if f.Field == field && strings.Contains(f.Reason, words) {
			return
		}
	}
	if field == "" && strings.Contains(e.Message, words) {
		return
	}
	t.Errorf("error = %s\nwant %v with field %s and the words %q", readable(err), kind, field, words)
}
