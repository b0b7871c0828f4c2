package dialplan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
)

// The one goroutine left is a clock that fasthttp starts once for the process and never stops.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, apitest.Clock())
}

const patience = 15 * time.Second // for what happens on other goroutines

// eventually polls until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-tick.C
	}
}

var people = apitest.People{
	"root":  {Tenant: "demo", User: "root", Roles: []voice.Role{voice.RoleSystem}},
	"boss":  {Tenant: "demo", User: "boss", Roles: []voice.Role{voice.RoleSupervisor}},
	"acme":  {Tenant: "acme", User: "boss", Roles: []voice.Role{voice.RoleAdmin}},
	"agent": {Tenant: "demo", User: "alice", Roles: []voice.Role{voice.RoleAgent}},
}

// rig is a dial plan service with the real config service and directory beside it.
type rig struct {
	*Service
	t      testing.TB
	f      *fabric.Fabric
	dir    *contract.Directory
	reg    *prometheus.Registry
	health *obs.Health
	url    string
}

func start(t testing.TB, file string, change func(*Service)) *rig {
	t.Helper()
	r := &rig{t: t, f: fabrictest.New(t), reg: prometheus.NewRegistry(), health: obs.NewHealth()}
	db, err := store.Open(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	conf, err := config.New(config.Options{Fabric: r.f, Store: db, Registry: prometheus.NewRegistry(), Verify: people.Verify, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.dir = contract.NewDirectory(r.f, nil)
	if r.Service, err = New(Options{Fabric: r.f, Directory: r.dir, Registry: r.reg, Health: r.health}); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r.Service)
	}
	rest := httpapi.New(httpapi.Options{Service: "dialplan", Title: "Dial plan", Version: "test", Registry: r.reg, Health: r.health, Verify: people.Verify})
	r.Routes(rest.API())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + ln.Addr().String()

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{conf.Run, r.dir.Run, r.Run, func(ctx context.Context) error { return rest.Serve(ctx, ln) }} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the service is ready", func() bool { return r.health.Ready() && fabric.Local(r.f, contract.Resolve) })
	r.apply(file)
	return r
}

func (r *rig) apply(file string) {
	r.t.Helper()
	var res contract.ConfigApplyResponse
	eventually(r.t, "the config service takes a file", func() (ok bool) {
		var err error
		res, err = fabric.Call(r.t.Context(), r.f, contract.ConfigApply, contract.ConfigApplyRequest{File: "t.yaml", YAML: []byte(file), User: "test"})
		if err != nil && !errors.Is(err, voice.ErrUnavailable) {
			r.t.Fatal(err)
		}
		return err == nil
	})
	if err := r.dir.Await(r.t.Context(), res.Seq); err != nil {
		r.t.Fatal(err)
	}
}

// becomes waits until a call from 1001 to number goes where it should.
func (r *rig) becomes(tenant, number, want string) {
	r.t.Helper()
	got := ""
	defer func() {
		if got != want {
			r.t.Logf("%s/%s was last %q", tenant, number, got)
		}
	}()
	eventually(r.t, tenant+"/"+number+" is "+want, func() bool {
		resp, err := fabric.Call(r.t.Context(), r.f, contract.Resolve, &contract.ResolveRequest{Tenant: tenant, From: "1001", Dialled: number})
		if err != nil {
			got = err.Error()
			return false
		}
		got = brief(resp)
		return got == want
	})
}

const demoFile = `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, options: {TServer: {contact: "*"}}}
      - {number: "1002", type: extension, options: {TServer: {forward-on-busy: voicemail}}}
      - {number: "9000", type: routing-point, application: welcome}
      - {number: "gw1", type: trunk, options: {TServer: {contact: "sip:10.0.0.9", prefix: "0", replace-prefix: ""}}}
    scripts: [{name: welcome, scxml: "<scxml/>"}, {name: other, scxml: "<scxml/>"}]
    mailboxes: [{number: "1002"}]
    partitions: [{name: services, rules: [{pattern: "0900.", action: block}]}]
    calling_profiles: [{name: standard, partitions: [services], default_for: [internal]}]
  - name: acme
    domains: [acme.local]
    dns: [{number: "1001", type: extension}]
`

// Each kind of thing that an answer is made of can change, and the next answers show it.
func TestFollowsTheConfiguration(t *testing.T) {
	r := start(t, demoFile, nil)
	r.becomes("demo", "9000", "routing-point 9000 runs welcome")
	r.becomes("", "01234", "trunk 1234@gw1/9")
	r.becomes("demo", "09001", "reject 403")
	r.becomes("acme", "09001", "reject 404")

	with := func(text string) { r.apply("tenants: [{name: demo, " + text + "}]") }
	with(`dns: [{number: "9000", type: routing-point, application: other}]`)
	r.becomes("demo", "9000", "routing-point 9000 runs other")
	with(`dns: [{number: "1002", type: extension, options: {TServer: {forward-always: "1001"}}}]`)
	r.becomes("demo", "1002", "device 1001 from 1002")
	with(`dns: [{number: gw2, type: trunk, options: {TServer: {contact: "sip:10.0.0.2", prefix: "01"}}}]`)
	r.becomes("demo", "01234", "trunk 01234@gw2/2")
	with(`partitions: [{name: services, rules: [{pattern: "012.", action: block}, {pattern: "55", target: "1001"}]}]`)
	r.becomes("demo", "01234", "reject 403")
	r.becomes("demo", "55", "device 1001")
	with(`calling_profiles: [{name: standard, partitions: []}]`)
	r.becomes("demo", "01234", "trunk 01234@gw2/2")
	if _, err := fabric.Call(t.Context(), r.f, contract.ConfigDelete, contract.ConfigDeleteRequest{Tenant: "demo", Kind: voice.KindDN, Key: "gw2", Version: -1, User: "test"}); err != nil {
		t.Fatal(err)
	}
	r.becomes("demo", "01234", "trunk 1234@gw1/9")
	r.apply(`tenants: [{name: late, domains: [late.local], dns: [{number: "7", type: routing-point}]}]`)
	r.becomes("late", "7", "routing-point 7")

	for _, tenant := range []string{"nobody", "_system"} {
		if _, err := fabric.Call(t.Context(), r.f, contract.Resolve, &contract.ResolveRequest{Tenant: tenant, Dialled: "1"}); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("Resolve for tenant %q = %v, want ErrNotFound", tenant, err)
		}
	}
}

// A notice that never came is made up for.
func TestMissedNoticesAreMadeUpFor(t *testing.T) {
	r := start(t, demoFile, func(s *Service) { s.fullCheck = 20 * time.Millisecond })
	r.becomes("demo", "9000", "routing-point 9000 runs welcome")
	none := map[string]*plan{}
	r.plans.Store(&none) // as if nothing of all that had been heard of
	r.apply(`tenants: [{name: acme, skills: [{name: latin}]}]`)
	r.becomes("demo", "9000", "routing-point 9000 runs welcome")
}

func TestNewWantsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without fabric and directory works")
	}
	s, err := New(Options{Fabric: fabrictest.New(t), Directory: contract.NewDirectory(nil, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(t.Context(), &contract.ResolveRequest{Dialled: "1"}); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Resolve before anything is loaded = %v, want ErrUnavailable", err)
	}
	if s.health.Ready() {
		t.Error("ready before anything is loaded")
	}
}

// ask makes one request and decodes the answer into out, if that is not nil.
func (r *rig) ask(token, path string, out any) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		r.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			r.t.Fatalf("GET %s: %v in %s", path, err, text)
		}
	}
	return res.StatusCode
}

func TestREST(t *testing.T) {
	r := start(t, demoFile, nil)
	r.becomes("demo", "9000", "routing-point 9000 runs welcome")
	const demo = "/api/v1/tenants/demo/resolve"
	for _, c := range []struct {
		token, path string
		want        int
	}{
		{"", demo + "?number=1001", 401},
		{"wrong", demo + "?number=1001", 401},
		{"agent", demo + "?number=1001", 403},
		{"acme", demo + "?number=1001", 403},
		{"boss", demo + "?number=1001", 200},
		{"boss", demo, 422},
		{"boss", demo + "?number=1001&at=yesterday", 422},
		{"boss", demo + "?number=" + strings.Repeat("1", 65), 422},
		{"root", "/api/v1/tenants/nobody/resolve?number=1", 404},
		{"root", "/api/v1/tenants/acme/resolve?number=1", 200},
	} {
		if got := r.ask(c.token, c.path, nil); got != c.want {
			t.Errorf("GET %s as %q = %d, want %d", c.path, c.token, got, c.want)
		}
	}

	var resp contract.ResolveResponse
	if code := r.ask("boss", demo+"?number=0123&from=1001&at=2026-11-23T11:00:00Z&explain=true", &resp); code != 200 || brief(&resp) != "trunk 123@gw1/9" || len(resp.Steps) < 3 {
		t.Errorf("answer %d: %+v", code, resp)
	}
	resp = contract.ResolveResponse{}
	if code := r.ask("boss", demo+"?number=+49&from=1001&explain=true", &resp); code != 200 || resp.Kind != contract.RouteReject || resp.Number != "+49" {
		t.Errorf("a '+' as people type it: %d: %+v", code, resp)
	}
	resp = contract.ResolveResponse{}
	if code := r.ask("boss", demo+"?number=0123&trunk=gw1", &resp); code != 200 || resp.Status != 403 || resp.Reason == "" || resp.Steps != nil {
		t.Errorf("from outside to the outside: %d: %+v", code, resp)
	}
	var doc map[string]any
	if code := r.ask("", "/openapi.json", &doc); code != 200 || doc["paths"].(map[string]any)["/api/v1/tenants/{tenant}/resolve"] == nil {
		t.Errorf("/openapi.json = %d, without the path", code)
	}
}

func TestMetrics(t *testing.T) {
	r := start(t, demoFile, nil)
	r.becomes("demo", "9000", "routing-point 9000 runs welcome")
	count := func(c prometheus.Collector) float64 { return testutil.ToFloat64(c) }
	explained := func() float64 { return count(r.metrics.requests.WithLabelValues("demo", "n1", operationExplain)) }
	blocked := func() float64 {
		return count(r.metrics.failures.WithLabelValues("demo", "n1", operationResolve, "403", "blocked"))
	}
	if _, err := r.Resolve(t.Context(), &contract.ResolveRequest{Dialled: "1001", Explain: true}); err != nil {
		t.Fatal(err)
	}
	r.becomes("demo", "09001", "reject 403")
	if explained() != 1 || blocked() == 0 {
		t.Errorf("explained %v, blocked %v, want 1 and some", explained(), blocked())
	}
	want := `
# HELP dialplan_health_level Overall health of the service on this node.
# TYPE dialplan_health_level gauge
dialplan_health_level 2
# HELP dialplan_redis_state State of the link to the JetStream: 0 disconnected, 1 connecting, 2 connected.
# TYPE dialplan_redis_state gauge
dialplan_redis_state{redis_cluster_name="jetstream"} 2
`
	if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "dialplan_health_level", "dialplan_redis_state"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(r.reg, "dialplan_total_request", "dialplan_response_time", "parley_dialplan_tenants", "parley_dialplan_loads_total"); err != nil || n < 4 {
		t.Errorf("%d series, %v", n, err)
	}
}

func BenchmarkResolve(b *testing.B) {
	r := start(b, demoFile, nil)
	r.becomes("demo", "09001", "reject 403")
	for name, number := range map[string]string{"extension": "1001", "forwarding": "1002", "trunk": "01234", "route point": "9000"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			req := &contract.ResolveRequest{Tenant: "demo", From: "1001", Dialled: number}
			for b.Loop() {
				if _, err := fabric.Call(b.Context(), r.f, contract.Resolve, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A profile with many rules costs little more than one with few.
func BenchmarkRules(b *testing.B) {
	h := demo()
	h.partitions[0].Rules = nil
	for i := range 500 {
		h.partitions[0].Rules = append(h.partitions[0].Rules, voice.DialRule{Pattern: fmt.Sprintf("00%03d[1-3]X.", i), Action: voice.RuleBlock})
	}
	p := h.plan(b)
	req := &contract.ResolveRequest{From: "1001", Dialled: "002507123"}
	b.ReportAllocs()
	for b.Loop() {
		resolve(p, h.book, "demo", req, noon)
	}
}
