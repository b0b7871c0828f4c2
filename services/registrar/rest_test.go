package registrar

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/httpapi/apitest"
	"parley/internal/voice"
)

// people are the tokens that the test's REST interface knows.
var people = apitest.People{
	"root":  {Tenant: "demo", User: "root", Roles: []voice.Role{voice.RoleSystem}},
	"admin": {Tenant: "demo", User: "admin", Roles: []voice.Role{voice.RoleAdmin}},
	"acme":  {Tenant: "acme", User: "boss", Roles: []voice.Role{voice.RoleAdmin}},
	"agent": {Tenant: "demo", User: "alice", Roles: []voice.Role{voice.RoleAgent}},
}

// restOf serves a registrar's REST interface and returns its address.
func restOf(t *testing.T, n *node) string {
	t.Helper()
	srv := httpapi.New(httpapi.Options{
		Service: "registrar", Title: "Registrar", Version: "test", Registry: n.reg, Health: n.health,
		Verify: people.Verify,
	})
	n.Routes(srv.API())
	return apitest.Serve(t, srv)
}

// ask makes one request and decodes the answer into out, if that is not nil.
func ask(t *testing.T, token, method, url, body string, out any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, data)
		}
	}
	return resp.StatusCode
}

func TestREST(t *testing.T) {
	n, _ := newNode(t, nil)
	base := restOf(t, n)
	for _, dn := range []string{"1001", "1002"} {
		if resp := n.phone(dn).register("600", a1); resp.Status != 200 {
			t.Fatal(resp)
		}
	}
	const demo = "/api/v1/tenants/demo/registrations"
	tests := []struct {
		token, method, path, body string
		want                      int
	}{
		{"", "GET", demo, "", 401},
		{"wrong", "GET", demo, "", 401},
		{"agent", "GET", demo, "", 403},
		{"acme", "GET", demo, "", 403},
		{"admin", "GET", demo, "", 200},
		{"root", "GET", demo + "?limit=1&match=10", "", 200},
		{"admin", "GET", demo + "?limit=1001", "", 422},
		{"admin", "GET", demo + "?after=x", "", 422},
		{"admin", "GET", demo + "/1001", "", 200},
		{"admin", "GET", demo + "/1009", "", 404},
		{"acme", "GET", demo + "/1001", "", 403},
		{"acme", "DELETE", demo + "/1001", "", 403},
		{"admin", "DELETE", demo + "/1001?contact=sip:nobody@x", "", 404},
		{"admin", "DELETE", demo + "/1001", "", 200},
		{"admin", "DELETE", demo + "/1001", "", 404},
		{"agent", "GET", "/api/v1/bans", "", 403},
		{"admin", "GET", "/api/v1/bans", "", 200},
		{"admin", "POST", "/api/v1/bans", `{"source":"127.0.0.9"}`, 403},
		{"root", "POST", "/api/v1/bans", `{"source":"nowhere"}`, 422},
		{"root", "POST", "/api/v1/bans", `{"source":"127.0.0.9","duration":"-1h"}`, 422},
		{"root", "POST", "/api/v1/bans", `{"source":"127.0.0.9","duration":"1h","reason":"scan"}`, 201},
		{"admin", "DELETE", "/api/v1/bans/127.0.0.9", "", 403},
		{"root", "DELETE", "/api/v1/bans/127.0.0.9", "", 204},
		{"root", "DELETE", "/api/v1/bans/127.0.0.9", "", 404},
		{"root", "DELETE", "/api/v1/bans/nowhere", "", 404},
	}
	for _, tt := range tests {
		if got := ask(t, tt.token, tt.method, base+tt.path, tt.body, nil); got != tt.want {
			t.Errorf("%s %s %s as %q = %d, want %d", tt.method, tt.path, tt.body, tt.token, got, tt.want)
		}
	}

	var list contract.RegistrationsResponse
	ask(t, "admin", "GET", base+demo, "", &list)
	if list.Total != 1 || list.Contacts != 1 || len(list.Registrations) != 1 || list.Registrations[0].DN != "1002" || list.Registrations[0].Bindings[0].Contact != a1 {
		t.Errorf("list: %+v", list)
	}
	var ban contract.Ban
	ask(t, "root", "POST", base+"/api/v1/bans", `{"source":"2001:db8::5","duration":"1h","reason":"scan"}`, &ban)
	if ban.Source.String() != "2001:db8::" || ban.By != "root" || ban.Reason != "scan" || ban.Until.Sub(ban.Since).Round(time.Second) != time.Hour {
		t.Errorf("ban: %+v", ban)
	}
	var bans contract.BansResponse
	ask(t, "admin", "GET", base+"/api/v1/bans", "", &bans)
	if len(bans.Bans) != 1 || bans.Bans[0].Source != ban.Source {
		t.Errorf("bans: %+v", bans)
	}
	if got := ask(t, "root", "DELETE", base+"/api/v1/bans/2001:db8::7", "", nil); got != 204 {
		t.Errorf("lift by another address of the /64 = %d, want 204", got)
	}
}

// TestMetrics shows that the catalogue's names are there with what happened in them.
func TestMetrics(t *testing.T) {
	n, _ := newNode(t, func(c *Config) { c.Location = "lab" })
	p := n.phone("1001")
	if resp := p.register("600", a1, a2); resp.Status != 200 {
		t.Fatal(resp)
	}
	p.password = "guess"
	p.register("600", a1)
	want := `
# HELP parley_registrar_contacts SIP contacts in force.
# TYPE parley_registrar_contacts gauge
parley_registrar_contacts{tenant="demo"} 2
# HELP registrar_active_sip_registrations Numbers with a SIP contact in force.
# TYPE registrar_active_sip_registrations gauge
registrar_active_sip_registrations{tenant="demo"} 1
# HELP registrar_health_level Overall health of the service on this node.
# TYPE registrar_health_level gauge
registrar_health_level 2
# HELP registrar_register_count REGISTER requests answered.
# TYPE registrar_register_count counter
registrar_register_count{location="lab",tenant="demo"} 4
# HELP parley_registrar_credentials_total Credentials judged, by outcome.
# TYPE parley_registrar_credentials_total counter
parley_registrar_credentials_total{verdict="denied"} 1
parley_registrar_credentials_total{verdict="ok"} 1
parley_registrar_credentials_total{verdict="replayed"} 0
parley_registrar_credentials_total{verdict="retransmission"} 0
parley_registrar_credentials_total{verdict="stale"} 0
parley_registrar_credentials_total{verdict="unsupported"} 0
# HELP parley_registrar_failing_sources Sources with failures that are remembered.
# TYPE parley_registrar_failing_sources gauge
parley_registrar_failing_sources 1
`
	names := []string{"parley_registrar_contacts", "registrar_active_sip_registrations", "registrar_health_level",
		"registrar_register_count", "parley_registrar_credentials_total", "parley_registrar_failing_sources"}
	if err := testutil.GatherAndCompare(n.reg, bytes.NewBufferString(want), names...); err != nil {
		t.Error(err)
	}
	families, err := n.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range families {
		got[f.GetName()] = true
		if f.GetName() == "registrar_request_latency" {
			if h := f.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 4 || h.GetSampleSum() <= 0 {
				t.Errorf("latency: %v", h)
			}
		}
	}
	for _, name := range []string{"registrar_request_latency", "kafka_consumer_state", "kafka_producer_state", "registrar_redis_state", "parley_registrar_bans"} {
		if !got[name] {
			t.Errorf("metric %s is missing", name)
		}
	}
}
