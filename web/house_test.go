package web

import (
	"context"
	"encoding/json"
	"fmt"
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
	"parley/internal/obs"
	"parley/internal/passwd"
	"parley/internal/voice"
	"parley/services/tenant"
)

func TestMain(m *testing.M) {
	// fasthttp keeps one clock for the header Date in a process, from the first response on.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

const testPassword = "correct horse battery"

// house is a small platform in one process: the pages and the real tenant service on a real fabric, with stand-ins for
// the doors of the configuration and the registrar, which keep everything in maps and can be told what to say.
type house struct {
	t        testing.TB
	f        *fabric.Fabric
	config   *fakeConfig
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

	h.config = newFakeConfig(t, h.f)
	h.config.serve(ctx)
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

// furnish fills the house: two tenants, people of every role, some extensions.
func (h *house) furnish() {
	c := h.config
	c.add(voice.SystemTenant, voice.KindTenant, "demo", voice.Tenant{Name: "demo", Domains: []string{"demo.local"}, Default: true})
	c.add(voice.SystemTenant, voice.KindTenant, "acme", voice.Tenant{Name: "acme", Domains: []string{"acme.example", "voice.acme.example"}})
	for name, roles := range map[string][]voice.Role{
		"root": {voice.RoleAdmin, voice.RoleSystem}, "anna.admin": {voice.RoleAdmin}, "sven": {voice.RoleSupervisor}, "alice": {voice.RoleAgent},
	} {
		p := voice.Person{Username: name, FirstName: strings.ToUpper(name[:1]) + name[1:], Roles: roles, Password: testPassword}
		if name == "alice" {
			p.Place, p.LastName, p.AgentID, p.Skills = "desk-1", "Archer", "7001", map[string]int{"english": 8}
		}
		c.add("demo", voice.KindPerson, name, p)
	}
	c.add("demo", voice.KindPlace, "desk-1", voice.Place{Name: "desk-1", DNs: []string{"1001"}})
	names := []string{"Alice Archer", "Bruno Baker", "Carla Costa", "Dmitri Drew", "Eva Engel", "Farid Faber", "Grace Gold", "Hugo Hart", "Ines Ibsen", "Jonas Jung"}
	for i, name := range names {
		number := fmt.Sprint(1001 + i)
		c.add("demo", voice.KindDN, number, voice.DN{
			Number: number, Type: voice.DNExtension, Name: name, Password: "first-password", Options: map[string]map[string]string{"TServer": {"contact": "*"}},
		})
	}
	c.add("demo", voice.KindDN, "9000", voice.DN{Number: "9000", Type: voice.DNRoutingPoint, Application: "welcome"})
	c.add("acme", voice.KindDN, "2001", voice.DN{Number: "2001", Type: voice.DNExtension, Name: "Somebody else's"})
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

// fakeConfig stands in for services/config: resources in a map, versions, a history and events, no checks but a few.
type fakeConfig struct {
	t       testing.TB
	f       *fabric.Fabric
	mu      sync.Mutex // guards what follows
	byKey   map[contract.ConfigKey]voice.Resource
	changes []contract.ConfigChange
	refuse  error // what the next put or delete answers
}

func newFakeConfig(t testing.TB, f *fabric.Fabric) *fakeConfig {
	return &fakeConfig{t: t, f: f, byKey: map[contract.ConfigKey]voice.Resource{}}
}

func (c *fakeConfig) serve(ctx context.Context) {
	handle(c.t, ctx, c.f, contract.ClusterSecret, func(_ context.Context, name string) ([]byte, error) {
		return []byte("32 bytes of secret for " + name + "........"), nil
	})
	handle(c.t, ctx, c.f, contract.ConfigGet, c.get)
	handle(c.t, ctx, c.f, contract.ConfigList, c.list)
	handle(c.t, ctx, c.f, contract.ConfigPut, c.put)
	handle(c.t, ctx, c.f, contract.ConfigDelete, c.remove)
	handle(c.t, ctx, c.f, contract.ConfigHistory, c.history)
}

func (c *fakeConfig) add(tenant string, kind voice.Kind, key string, body any) {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.put(context.Background(), contract.ConfigPutRequest{Tenant: tenant, Kind: kind, Key: key, Version: 0, Body: raw, User: "provisioning"}); err != nil {
		c.t.Fatal(err)
	}
}

// change replaces part of a resource behind the pages' back.
func (c *fakeConfig) change(tenant string, kind voice.Kind, key string, edit func(map[string]any)) {
	c.t.Helper()
	res, err := c.get(context.Background(), contract.ConfigKey{Tenant: tenant, Kind: kind, Key: key, Secrets: true})
	if err != nil {
		c.t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(res.Body, &body); err != nil {
		c.t.Fatal(err)
	}
	edit(body)
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.put(context.Background(), contract.ConfigPutRequest{Tenant: tenant, Kind: kind, Key: key, Version: -1, Body: raw, User: "somebody"}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *fakeConfig) get(_ context.Context, k contract.ConfigKey) (voice.Resource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	secrets := k.Secrets
	k.Secrets = false
	res, ok := c.byKey[k]
	if !ok {
		return voice.Resource{}, voice.Errorf(voice.ErrNotFound, "no %s %s", k.Kind, k.Key)
	}
	if !secrets {
		res.Body = withoutSecrets(res.Body)
	}
	return res, nil
}

func withoutSecrets(body json.RawMessage) json.RawMessage {
	var m map[string]any
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	delete(m, "auth")
	delete(m, "password_hash")
	out, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	return out
}

func (c *fakeConfig) list(_ context.Context, q contract.ConfigListRequest) (contract.ConfigListResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []voice.Resource
	for _, res := range c.byKey {
		var named struct{ Name, Type, Username, First_name string }
		if err := json.Unmarshal(res.Body, &named); err != nil {
			return contract.ConfigListResponse{}, err
		}
		matches := strings.Contains(strings.ToLower(res.Key+"\n"+named.Name+"\n"+named.First_name), strings.ToLower(q.Match))
		if res.Kind == q.Kind && (q.Tenant == "" || res.Tenant == q.Tenant) && (q.Type == "" || named.Type == q.Type) && matches {
			res.Body = withoutSecrets(res.Body)
			found = append(found, res)
		}
	}
	slices.SortFunc(found, func(a, b voice.Resource) int { return strings.Compare(a.Key, b.Key) })
	out := contract.ConfigListResponse{Total: len(found)}
	for _, res := range found {
		if res.Key <= q.After {
			continue
		}
		if len(out.Resources) == q.Limit {
			out.Next = out.Resources[q.Limit-1].Key
			break
		}
		out.Resources = append(out.Resources, res)
	}
	return out, nil
}

func (c *fakeConfig) put(_ context.Context, q contract.ConfigPutRequest) (voice.Resource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		err := c.refuse
		c.refuse = nil
		return voice.Resource{}, err
	}
	k := contract.ConfigKey{Tenant: q.Tenant, Kind: q.Kind, Key: q.Key}
	old, exists := c.byKey[k]
	switch {
	case q.Version == 0 && exists:
		return voice.Resource{}, voice.Errorf(voice.ErrExists, "%s exists", q.Key)
	case q.Version > 0 && old.Version != q.Version:
		return voice.Resource{}, voice.Errorf(voice.ErrConflict, "%s has version %d", q.Key, old.Version)
	}
	body, err := c.harden(q, old.Body)
	if err != nil {
		return voice.Resource{}, err
	}
	res := voice.Resource{Tenant: q.Tenant, Kind: q.Kind, Key: q.Key, Version: old.Version + 1, Body: body, UpdatedAt: time.Now(), UpdatedBy: q.User}
	c.byKey[k] = res
	op := voice.OpUpdate
	if !exists {
		op = voice.OpCreate
	}
	return res, c.recordLocked(q.Tenant, q.Kind, q.Key, op, q.User, res.Version, old.Body, body)
}

// harden replaces passwords with what verification needs, like the real one.
func (c *fakeConfig) harden(q contract.ConfigPutRequest, old json.RawMessage) (json.RawMessage, error) {
	switch q.Kind {
	case voice.KindPerson:
		var p, was voice.Person
		if err := json.Unmarshal(q.Body, &p); err != nil {
			return nil, err
		}
		if len(old) > 0 {
			if err := json.Unmarshal(old, &was); err != nil {
				return nil, err
			}
		}
		if p.Password != "" {
			if why := passwd.CheckPolicy(p.Username, p.Password); why != "" {
				return nil, voice.Invalid(voice.FieldError{Field: "password", Reason: why})
			}
			p.PasswordHash, p.Password = passwd.Hash(p.Password), ""
		} else if p.PasswordHash == "" {
			p.PasswordHash = was.PasswordHash
		}
		return json.Marshal(p)
	case voice.KindDN:
		var d, was voice.DN
		if err := json.Unmarshal(q.Body, &d); err != nil {
			return nil, err
		}
		if len(old) > 0 {
			if err := json.Unmarshal(old, &was); err != nil {
				return nil, err
			}
		}
		if strings.ContainsAny(d.Number, " /") {
			return nil, voice.Invalid(voice.FieldError{Field: "number", Reason: "must not hold blanks or slashes"})
		}
		if d.Password != "" {
			a := passwd.SIP(d.Number, "demo.local", d.Password)
			d.Auth, d.Password = &a, ""
		} else if d.Auth == nil {
			d.Auth = was.Auth
		}
		return json.Marshal(d)
	}
	return q.Body, nil
}

func (c *fakeConfig) recordLocked(tenant string, kind voice.Kind, key string, op voice.ChangeOp, user string, version int64, before, after json.RawMessage) error {
	ev := voice.ConfigChanged{
		Tenant: tenant, Kind: kind, Key: key, Op: op, User: user, Version: version, Seq: int64(len(c.changes) + 1), Time: time.Now(), Node: c.f.Node(),
	}
	change := contract.ConfigChange{ConfigChanged: ev}
	if before != nil {
		change.Before = withoutSecrets(before)
	}
	if after != nil {
		change.After = withoutSecrets(after)
	}
	c.changes = append(c.changes, change)
	return c.f.Publish(fabric.Event{Subject: fabric.Subject("config", tenant, string(kind), key), Payload: ev})
}

func (c *fakeConfig) remove(_ context.Context, q contract.ConfigDeleteRequest) (struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		err := c.refuse
		c.refuse = nil
		return struct{}{}, err
	}
	k := contract.ConfigKey{Tenant: q.Tenant, Kind: q.Kind, Key: q.Key}
	old, ok := c.byKey[k]
	if !ok {
		return struct{}{}, voice.Errorf(voice.ErrNotFound, "no %s", q.Key)
	}
	if q.Version > 0 && old.Version != q.Version {
		return struct{}{}, voice.Errorf(voice.ErrConflict, "%s has version %d", q.Key, old.Version)
	}
	delete(c.byKey, k)
	return struct{}{}, c.recordLocked(q.Tenant, q.Kind, q.Key, voice.OpDelete, q.User, old.Version, old.Body, nil)
}

func (c *fakeConfig) history(_ context.Context, q contract.ConfigHistoryRequest) (contract.ConfigHistoryResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out contract.ConfigHistoryResponse
	for _, ch := range slices.Backward(c.changes) {
		if ch.Tenant != q.Tenant || q.Kind != "" && ch.Kind != q.Kind || q.Key != "" && ch.Key != q.Key || q.Before > 0 && ch.Seq >= q.Before {
			continue
		}
		if len(out.Changes) == q.Limit {
			out.Next = out.Changes[q.Limit-1].Seq
			break
		}
		out.Changes = append(out.Changes, ch)
	}
	return out, nil
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
