package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/httpapi/apitest"
	"parley/internal/obs"
	"parley/internal/passwd"
	"parley/internal/store"
	"parley/internal/voice"
	"parley/services/config"
	"parley/services/tenant"
)

func TestMain(m *testing.M) {
	// fasthttp keeps one clock for the header Date in a process, from the first response on.
	goleak.VerifyTestMain(m, apitest.Clock())
}

const testPassword = "correct horse battery"

// house is a small platform in one process: the pages, the real configuration and tenant services on a real fabric, and a
// stand-in for the doors of the registrar, which keeps bindings in a map so that tests can make them come and go.
type house struct {
	t        testing.TB
	f        *fabric.Fabric
	config   *realConfig
	phones   *fakeRegistrar
	web      *Server
	reg      *prometheus.Registry
	url      string
	addr     string
	stop     func()
	levelMu  sync.Mutex
	level    obs.Level
	levelWhy string
}

// setUp changes how a house is built.
type setUp struct {
	config func(*Config)
	tenant func(*tenant.Config)
}

func newHouse(t testing.TB, how setUp) *house {
	t.Helper()
	h := &house{t: t, f: fabrictest.New(t), level: obs.LevelPass}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	h.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(h.stop)

	h.config = startConfig(t, ctx, h.f, &running)
	h.phones = newFakeRegistrar(t, h.f)
	h.phones.serve(ctx)
	handle(t, ctx, h.f, contract.NodeStatus, h.status)
	h.furnish()

	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tc := tenant.DefaultConfig()
	if how.tenant != nil {
		how.tenant(&tc)
	}
	people, err := tenant.New(tenant.Options{Fabric: h.f, Config: tc, Registry: prometheus.NewRegistry(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	wc := DefaultConfig()
	if how.config != nil {
		how.config(&wc)
	}
	h.reg = prometheus.NewRegistry()
	h.web, err = New(Options{
		Fabric: h.f, Config: wc, Registry: h.reg, Log: log, Version: "1.0-test",
		Phones: func() []SIPEndpoint {
			return []SIPEndpoint{{Transport: "udp", Port: 5060}, {Transport: "tcp", Port: 5060}, {Transport: "tls", Port: 5061}, {Transport: "wss", Port: 5063, Path: "/"}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	h.url = "http://" + h.addr
	for _, run := range []func(context.Context) error{people.Run, func(ctx context.Context) error { return h.web.Serve(ctx, ln) }} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
	until(t, "the pages are ready and tokens can be checked", func() bool {
		_, err := fabric.Call(ctx, h.f, contract.VerifyToken, "v1.a.b")
		return h.web.health.Ready() && voice.CodeOf(err) == "unauthorized"
	})
	return h
}

// furniture is what is in the house: two tenants, people of every role, some extensions.
const furniture = `
tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, name: Alice Archer, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1002", type: extension, name: Bruno Baker, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1003", type: extension, name: Carla Costa, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1004", type: extension, name: Dmitri Drew, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1005", type: extension, name: Eva Engel, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1006", type: extension, name: Farid Faber, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1007", type: extension, name: Grace Gold, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1008", type: extension, name: Hugo Hart, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1009", type: extension, name: Ines Ibsen, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "1010", type: extension, name: Jonas Jung, password: first-password, options: {TServer: {contact: "*"}}}
      - {number: "9000", type: routing-point}
    places: [{name: desk-1, dns: ["1001"]}]
    skills: [{name: english}]
    persons:
      - {username: root, first_name: Root, password_hash: HASH, roles: [admin, system]}
      - {username: anna.admin, first_name: Anna, last_name: Adler, password_hash: HASH, roles: [admin]}
      - {username: sven, first_name: Sven, last_name: Svensson, password_hash: HASH, roles: [supervisor]}
      - {username: alice, first_name: Alice, last_name: Archer, password_hash: HASH, roles: [agent], place: desk-1, agent_id: "7001", skills: {english: 8}}
  - name: acme
    domains: [acme.example, voice.acme.example]
    dns: [{number: "2001", type: extension, name: Somebody else's}]
`

// testHash takes its time, so it is made once.
var testHash = sync.OnceValue(func() string { return passwd.Hash(testPassword) })

// furnish fills the house.
func (h *house) furnish() {
	h.t.Helper()
	text := strings.ReplaceAll(furniture, "HASH", `"`+testHash()+`"`)
	if _, err := fabric.Call(context.Background(), h.f, contract.ConfigApply, contract.ConfigApplyRequest{File: "test.yaml", YAML: []byte(text), User: "provisioning"}); err != nil {
		h.t.Fatalf("furnish: %v", err)
	}
}

func (h *house) status(context.Context, struct{}) (contract.StatusReport, error) {
	h.levelMu.Lock()
	defer h.levelMu.Unlock()
	ok := func(name string, at ...string) contract.ServiceStatus {
		return contract.ServiceStatus{Name: name, Level: obs.LevelPass, Address: at}
	}
	registrar := ok("registrar", "http://127.0.0.1:11500")
	registrar.Level = h.level
	if h.level != obs.LevelPass {
		registrar.Checks = []obs.Check{{Name: "store", Level: h.level, Reason: h.levelWhy}}
	}
	return contract.StatusReport{Node: h.f.Node(), Version: "1.0-test", Level: h.level, Services: []contract.ServiceStatus{
		ok("rq", "nats://in-process", "http://127.0.0.1:12000"), ok("config", "http://127.0.0.1:9100"), ok("tenant", "http://127.0.0.1:5580"), registrar,
		ok("sipproxy", "sip:127.0.0.1:5060;transport=udp", "sip:127.0.0.1:5060;transport=tcp"), ok("web", "http://"+h.addr),
	}}, nil
}

func (h *house) setLevel(l obs.Level, why string) {
	h.levelMu.Lock()
	defer h.levelMu.Unlock()
	h.level, h.levelWhy = l, why
}

// visitor is somebody with a browser that keeps cookies and follows nothing by itself.
type visitor struct {
	h      *house
	client *http.Client
}

func (h *house) visitor() *visitor {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	v := &visitor{h: h, client: &http.Client{
		Jar: jar, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	h.t.Cleanup(v.client.CloseIdleConnections)
	return v
}

// answer is what came back.
type answer struct {
	status   int
	header   http.Header
	body     string
	location string
}

func (v *visitor) do(method, path string, form url.Values, header map[string]string) answer {
	v.h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, v.h.url+path, body)
	if err != nil {
		v.h.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, val := range header {
		req.Header.Set(k, val)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(text), resp.Header.Get("Location")}
}

func (v *visitor) get(path string) answer { v.h.t.Helper(); return v.do("GET", path, nil, nil) }

var csrfOf = regexp.MustCompile(`<meta name="csrf" content="([^"]*)">`)

// csrf reads the form token of a page.
func (v *visitor) csrf(page string) string {
	v.h.t.Helper()
	a := v.get(page)
	m := csrfOf.FindStringSubmatch(a.body)
	if m == nil || m[1] == "" {
		v.h.t.Fatalf("GET %s = %d without a CSRF token:\n%s", page, a.status, a.body)
	}
	return m[1]
}

// post fills a form of page and sends it to path.
func (v *visitor) post(page, path string, fields ...string) answer {
	v.h.t.Helper()
	form := url.Values{"csrf": {v.csrf(page)}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return v.do("POST", path, form, nil)
}

// signIn signs in as user and fails the test when that is not possible.
func (h *house) signIn(user string) *visitor {
	h.t.Helper()
	v := h.visitor()
	if a := v.post("/signin", "/signin", "user", user, "password", testPassword); a.status != http.StatusSeeOther {
		h.t.Fatalf("sign-in of %s = %d %s", user, a.status, a.body)
	}
	return v
}

// until polls cond until it holds.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		if cond() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			tick.Stop()
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func handle[Req, Resp any](t testing.TB, ctx context.Context, f *fabric.Fabric, door fabric.Door[Req, Resp], fn func(context.Context, Req) (Resp, error)) {
	t.Helper()
	stop, err := fabric.Handle(ctx, f, door, fn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

// realConfig is services/config on SQLite, with shortcuts for tests.
type realConfig struct {
	t testing.TB
	f *fabric.Fabric
}

// startConfig runs the service until ctx ends.
func startConfig(t testing.TB, ctx context.Context, f *fabric.Fabric, running *sync.WaitGroup) *realConfig {
	t.Helper()
	st, err := store.Open(ctx, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	health := obs.NewHealth()
	svc, err := config.New(config.Options{
		Fabric: f, Store: st, Registry: prometheus.NewRegistry(), Health: health, Log: slog.New(slog.DiscardHandler),
		Verify: func(ctx context.Context, token string) (voice.Principal, error) {
			return fabric.Call(ctx, f, contract.VerifyToken, token)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		if err := errors.Join(svc.Run(ctx), st.Close()); err != nil {
			t.Errorf("config: %v", err)
		}
	})
	until(t, "the configuration is ready", health.Ready)
	return &realConfig{t, f}
}

// put creates or replaces a resource.
func (c *realConfig) put(tenant string, kind voice.Kind, key string, body any) {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := fabric.Call(context.Background(), c.f, contract.ConfigPut, contract.ConfigPutRequest{
		Tenant: tenant, Kind: kind, Key: key, Version: -1, Body: raw, User: "provisioning",
	}); err != nil {
		c.t.Fatalf("put %s %s: %v", kind, key, err)
	}
}

// get reads a resource with its secrets; ok is false when there is none.
func get[T any](c *realConfig, tenant string, kind voice.Kind, key string) (body T, ok bool) {
	c.t.Helper()
	res, err := fabric.Call(context.Background(), c.f, contract.ConfigGet, contract.ConfigKey{Tenant: tenant, Kind: kind, Key: key, Secrets: true})
	if errors.Is(err, voice.ErrNotFound) {
		return body, false
	}
	if err == nil {
		err = json.Unmarshal(res.Body, &body)
	}
	if err != nil {
		c.t.Fatalf("get %s %s: %v", kind, key, err)
	}
	return body, true
}

// change edits a resource behind the pages' back.
func change[T any](c *realConfig, tenant string, kind voice.Kind, key string, edit func(*T)) {
	c.t.Helper()
	body, ok := get[T](c, tenant, kind, key)
	if !ok {
		c.t.Fatalf("no %s %s", kind, key)
	}
	edit(&body)
	c.put(tenant, kind, key, body)
}

// fakeRegistrar stands in for services/registrar: bindings and bans in maps, events on DEVICES.
type fakeRegistrar struct {
	t    testing.TB
	f    *fabric.Fabric
	mu   sync.Mutex // guards what follows
	byDN map[[2]string][]contract.Binding
	bans []contract.Ban
	down bool
	seq  uint64
}

func newFakeRegistrar(t testing.TB, f *fabric.Fabric) *fakeRegistrar {
	return &fakeRegistrar{t: t, f: f, byDN: map[[2]string][]contract.Binding{}}
}

func (r *fakeRegistrar) serve(ctx context.Context) {
	handle(r.t, ctx, r.f, contract.Bindings, func(_ context.Context, q contract.BindingsRequest) (contract.BindingsResponse, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.down {
			return contract.BindingsResponse{}, voice.ErrUnavailable
		}
		return contract.BindingsResponse{Bindings: slices.Clone(r.byDN[[2]string{q.Tenant, q.DN}])}, nil
	})
	handle(r.t, ctx, r.f, contract.Registrations, r.registrations)
	handle(r.t, ctx, r.f, contract.RemoveBindings, func(_ context.Context, q contract.RemoveBindingsRequest) (contract.BindingsResponse, error) {
		return contract.BindingsResponse{}, r.unregister(q.Tenant, q.DN, q.Contact, "removed")
	})
	handle(r.t, ctx, r.f, contract.Bans, func(context.Context, struct{}) (contract.BansResponse, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.down {
			return contract.BansResponse{}, voice.ErrUnavailable
		}
		return contract.BansResponse{Bans: slices.Clone(r.bans)}, nil
	})
	handle(r.t, ctx, r.f, contract.AddBan, func(_ context.Context, b contract.Ban) (contract.Ban, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bans = append([]contract.Ban{b}, r.bans...)
		return b, nil
	})
	handle(r.t, ctx, r.f, contract.LiftBan, func(_ context.Context, q contract.LiftBanRequest) (struct{}, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bans = slices.DeleteFunc(r.bans, func(b contract.Ban) bool { return b.Source == q.Source })
		return struct{}{}, nil
	})
}

func (r *fakeRegistrar) registrations(_ context.Context, q contract.RegistrationsRequest) (contract.RegistrationsResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return contract.RegistrationsResponse{}, voice.ErrUnavailable
	}
	var out contract.RegistrationsResponse
	for k, bs := range r.byDN {
		out.Contacts += len(bs)
		if (q.Tenant == "" || k[0] == q.Tenant) && strings.Contains(k[1], q.Match) {
			out.Total++
			out.Registrations = append(out.Registrations, contract.Registration{Tenant: k[0], DN: k[1], Bindings: bs})
		}
	}
	slices.SortFunc(out.Registrations, func(a, b contract.Registration) int { return strings.Compare(a.DN, b.DN) })
	out.Registrations = out.Registrations[:min(len(out.Registrations), q.Limit)]
	return out, nil
}

// register adds a contact for a number and says so.
func (r *fakeRegistrar) register(tenant, dn, contact, userAgent string) {
	r.t.Helper()
	now := time.Now()
	r.mu.Lock()
	k := [2]string{tenant, dn}
	r.byDN[k] = append(r.byDN[k], contract.Binding{
		Contact: contact, Received: "198.51.100.20:5066", Transport: "udp", Node: r.f.Node(), Q: 1, UserAgent: userAgent, Expires: now.Add(time.Hour), Since: now,
	})
	r.mu.Unlock()
	r.say(voice.EventDNBackInService, tenant, dn, "registered", contact)
}

func (r *fakeRegistrar) unregister(tenant, dn, contact, reason string) error {
	r.mu.Lock()
	k := [2]string{tenant, dn}
	r.byDN[k] = slices.DeleteFunc(r.byDN[k], func(b contract.Binding) bool { return contact == "" || b.Contact == contact })
	left := len(r.byDN[k])
	if left == 0 {
		delete(r.byDN, k)
	}
	r.mu.Unlock()
	if left == 0 {
		r.say(voice.EventDNOutOfService, tenant, dn, reason, contact)
	}
	return nil
}

func (r *fakeRegistrar) say(id voice.EventName, tenant, dn, reason, contact string) {
	r.mu.Lock()
	r.seq++
	ev := voice.DeviceEvent{ID: id, Server: "registrar", ThisDN: dn, Tenant: tenant, Seq: r.seq, Time: time.Now(), Node: r.f.Node(), Reason: reason, Contact: contact}
	r.mu.Unlock()
	if err := r.f.Publish(fabric.Event{Subject: fabric.Subject("device", tenant, dn, string(id)), Payload: ev}); err != nil {
		r.t.Errorf("publish: %v", err)
	}
}

func (r *fakeRegistrar) ban(source, reason string, failures int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.bans = append(r.bans, contract.Ban{Source: netip.MustParseAddr(source), Reason: reason, By: "registrar", Since: now.Add(-time.Minute), Until: now.Add(time.Hour), Failures: failures})
}

func (r *fakeRegistrar) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *fakeRegistrar) banned() []contract.Ban {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bans)
}
