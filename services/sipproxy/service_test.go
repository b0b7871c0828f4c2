package sipproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/sipua"
	"parley/internal/voice"
)

func TestConfigNamesEveryProblem(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := Config{KeepAlive: "sometimes", KeepAliveInterval: 1500 * time.Millisecond, UDPSockets: -1}.Validate()
	if err == nil {
		t.Fatal("nothing wrong with an empty configuration?")
	}
	for _, key := range []string{"max_registers", "max_transactions", "max_bindings", "reselect", "timer_c", "t1", "keep_alive_interval", "keep_alive", "udp_sockets"} {
		if !strings.Contains(err.Error(), "sipproxy."+key+": ") {
			t.Errorf("%s is not named in\n%v", key, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	f := fabrictest.New(t)
	for name, tweak := range map[string]func(*Options){
		"no fabric":       func(o *Options) { o.Fabric = nil },
		"no listener":     func(o *Options) { o.Listen = nil },
		"a bad listener":  func(o *Options) { o.Listen = []string{"smtp://x"} },
		"tls without key": func(o *Options) { o.Listen = []string{"tls://127.0.0.1:0"} },
		"bad settings":    func(o *Options) { o.Config.MaxBindings = 0 },
	} {
		o := Options{Fabric: f, Config: DefaultConfig(), Listen: []string{"udp://127.0.0.1:0"}, Registry: prometheus.NewRegistry()}
		if tweak(&o); newError(o) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func newError(o Options) error {
	_, err := New(o)
	return err
}

// directory runs a Directory over tenants served by the config door of the test.
func directory(t *testing.T, f *fabric.Fabric, tenants ...voice.Tenant) *contract.Directory {
	t.Helper()
	var list []voice.Resource
	for _, tenant := range tenants {
		body, err := json.Marshal(tenant)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, voice.Resource{Tenant: voice.SystemTenant, Kind: voice.KindTenant, Key: tenant.Name, Version: 1, Body: body})
	}
	handle(t, t.Context(), f, contract.ConfigList, func(_ context.Context, r contract.ConfigListRequest) (contract.ConfigListResponse, error) {
		if r.Kind != voice.KindTenant {
			return contract.ConfigListResponse{}, nil
		}
		return contract.ConfigListResponse{Resources: list, Total: len(list)}, nil
	})
	handle(t, t.Context(), f, contract.ConfigHistory, func(context.Context, contract.ConfigHistoryRequest) (contract.ConfigHistoryResponse, error) {
		return contract.ConfigHistoryResponse{}, nil
	})
	d := contract.NewDirectory(f, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-d.Synced()
	return d
}

func TestTenantByHost(t *testing.T) {
	f := fabrictest.New(t)
	dir := directory(t, f, voice.Tenant{Name: "acme", Domains: []string{"acme.example"}})
	node := newLocalNode()
	h := startOn(t, f, func(o *Options) { o.Directory, o.Node = dir, node })
	p := dial(t, "udp", h.address("udp"))
	ours := &call{p: p, id: "t1", to: "<sip:1@acme.example>", target: "sip:1@ACME.example"}
	ours.request("INVITE")
	p.expect("200")
	node.mu.Lock()
	if got := node.requests[0].GetHeader(sipua.HeaderTenant); got == nil || got.Value() != "acme" {
		t.Errorf("tenant = %v", got)
	}
	node.mu.Unlock()
	theirs := &call{p: p, id: "t2", to: "<sip:1@elsewhere>", target: "sip:1@elsewhere"}
	theirs.request("INVITE")
	p.expect("404") // no tenant has this host, and there is no default
	if v := h.metric("sipproxy_tenants_count"); v != 1 {
		t.Errorf("sipproxy_tenants_count = %v", v)
	}
}

func TestDrainLetsRequestsFinish(t *testing.T) {
	f := fabrictest.New(t)
	release := make(chan struct{})
	h := &house{t: t, f: f, reg: prometheus.NewRegistry()}
	h.serveDoors(t.Context())
	h.answers(func(r *contract.RegisterRequest) (*contract.RegisterResponse, error) {
		<-release
		return grant(r)
	})
	o := Options{Fabric: f, Config: DefaultConfig(), Listen: []string{"udp://127.0.0.1:0"}, Registry: h.reg}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	h.s = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	p := dial(t, "udp", h.address("udp"))
	p.send(p.registerLines(1, credentials)...)
	eventually(t, "a REGISTER is in progress", func() bool { return s.registering.Load() == 1 })
	cancel()
	eventually(t, "the front door drains", s.draining.Load)
	p.send(p.registerLines(2)...)
	p.expect("503") // new ones are turned away
	close(release)
	p.expect("200") // the one in progress is not
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestREST(t *testing.T) {
	role := voice.RoleAdmin
	h := start(t, func(o *Options) {
		o.Node = newLocalNode()
		o.Verify = func(_ context.Context, token string) (voice.Principal, error) {
			if token != "good" {
				return voice.Principal{}, voice.ErrUnauthorized
			}
			return voice.Principal{Tenant: "demo", User: "u", Roles: []voice.Role{role}}, nil
		}
	})
	h.announce("far", "127.0.0.1:5999", &contract.SIPNodeRecord{Capacity: 10, Calls: 10})
	get := h.serveREST()
	status, body := get("/api/v1/nodes", "good")
	var nodes struct{ Nodes []NodeView }
	if err := json.Unmarshal([]byte(body), &nodes); err != nil || status != 200 || len(nodes.Nodes) != 2 ||
		nodes.Nodes[0].ID != "far" || nodes.Nodes[0].Available || !nodes.Nodes[1].Local || !nodes.Nodes[1].Available {
		t.Errorf("nodes: %d %s %v", status, body, err)
	}
	p := dial(t, "tcp", h.address("tcp"))
	p.send(p.registerLines(1)...)
	p.expect("200")
	status, body = get("/api/v1/flows", "good")
	var flows FlowCounts
	if err := json.Unmarshal([]byte(body), &flows); err != nil || status != 200 || flows.Connections != 1 || len(flows.Listeners) != 2 {
		t.Errorf("flows: %d %s %v", status, body, err)
	}
	if status, _ = get("/api/v1/nodes", "bad"); status != 401 {
		t.Errorf("a bad token: %d", status)
	}
	role = voice.RoleSupervisor
	if status, _ = get("/api/v1/flows", "good"); status != 403 {
		t.Errorf("a supervisor: %d", status)
	}
	_, page := get("/metrics", "")
	for _, name := range []string{"sipproxy_requests_total", "sipproxy_response_latency_bucket", "sipproxy_health_level", "sip_server_transactions_count",
		"sip_received_bytes_total", "sipproxy_sip_node_is_capacity_available", "sipproxy_config_node_status"} {
		if !strings.Contains(page, "\n"+name) {
			t.Errorf("%s is not on /metrics", name)
		}
	}
}

// TestBindingsAreBounded: what is remembered of phones has a limit and an end.
func TestBindingsAreBounded(t *testing.T) {
	b := newBindings(3*time.Second, 5)
	later := time.Now().Add(time.Minute)
	h := start(t, nil)
	for i := range 10 {
		flow, err := h.s.set.UDP(netip.AddrPort{}, addrPort(fmt.Sprintf("127.0.0.1:%d", 1000+i)))
		if err != nil {
			t.Fatal(err)
		}
		b.hold(flow, later, true)
		b.hold(flow, later, true)
	}
	if n := b.n.Load(); n != 5 {
		t.Errorf("%d bindings, want the 5 that are allowed", n)
	}
	due := 0
	for i := range b.slots {
		due += len(b.visit(&b.slots[i], time.Now(), nil))
	}
	if due != 5 {
		t.Errorf("%d of 5 bindings are pinged in a round", due)
	}
	for i := range b.slots {
		if due := b.visit(&b.slots[i], later.Add(time.Second), nil); len(due) > 0 {
			t.Errorf("%d pings for bindings that ended", len(due))
		}
	}
	if n := b.n.Load(); n != 0 {
		t.Errorf("%d bindings after their end", n)
	}
}

// serveREST serves the REST interface until the test ends, and returns what asks it.
func (h *house) serveREST() (get func(path, token string) (status int, body string)) {
	t := h.t
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(path, token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
}
