package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/voice"
)

// call is one request by REST; header pairs follow.
func (r *rig) call(who, method, path, body string, header ...string) (int, http.Header, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+who)
	req.Close = true
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestRESTLifeOfAResource(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		const path = "/api/v1/tenants/demo/dns/1003"
		if status, _, body := r.call("admin", "GET", path, ""); status != 404 {
			t.Errorf("GET of nothing = %d %s", status, body)
		}
		status, h, body := r.call("admin", "PUT", path, `{"number":"1003","type":"extension","password":"s3cret-1003"}`, "If-None-Match", "*")
		var res Resource[voice.DN]
		if err := json.Unmarshal([]byte(body), &res); err != nil || status != 201 || h.Get("ETag") != `"1"` || res.Body.Type != voice.DNExtension || res.UpdatedBy != "admin" {
			t.Fatalf("PUT = %d %v %s", status, h, body)
		}
		if strings.Contains(body, "md5") || strings.Contains(body, "s3cret") || strings.Contains(body, "$schema") {
			t.Errorf("the answer shows more than it should: %s", body)
		}
		if status, _, body := r.call("admin", "PUT", path, `{"type":"extension"}`, "If-None-Match", "*"); status != 412 {
			t.Errorf("create again = %d %s, want 412", status, body)
		}
		if status, _, body := r.call("admin", "PUT", path, `{"type":"extension","name":"A"}`, "If-Match", `"7"`); status != 412 {
			t.Errorf("PUT with another version = %d %s, want 412", status, body)
		}
		if status, h, body := r.call("admin", "PUT", path, `{"type":"extension","name":"A"}`, "If-Match", `"1"`); status != 200 || h.Get("ETag") != `"2"` {
			t.Errorf("PUT = %d %s, want version 2", status, body)
		}
		_, _, read := r.call("boss", "GET", path, "")
		if status, _, body := r.call("admin", "PUT", path, strings.Replace(read, `"A"`, `"B"`, 1)); status != 200 {
			t.Errorf("PUT of what was read = %d %s", status, body)
		}
		if status, _, body := r.call("admin", "PUT", path, strings.Replace(read, `"A"`, `"C"`, 1)); status != 409 {
			t.Errorf("PUT of what was read before = %d %s, want 409", status, body)
		}
		if status, _, body := r.call("admin", "DELETE", path, "", "If-Match", `"2"`); status != 412 {
			t.Errorf("DELETE of an old version = %d %s, want 412", status, body)
		}
		if status, _, body := r.call("admin", "DELETE", path, ""); status != 204 {
			t.Errorf("DELETE = %d %s", status, body)
		}
		if status, _, body := r.call("admin", "DELETE", "/api/v1/tenants/demo/dns/1001", ""); status != 409 || !strings.Contains(body, "places/p1001") {
			t.Errorf("DELETE of what is referred to = %d %s", status, body)
		}
		status, _, body = r.call("boss", "GET", "/api/v1/tenants/demo/history?kind=dns&key=1003&limit=2", "")
		var page HistoryPage
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 || len(page.Changes) != 2 || page.Changes[0].Op != voice.OpDelete || page.Next == 0 {
			t.Fatalf("history = %d %s", status, body)
		}
		status, _, body = r.call("boss", "GET", fmt.Sprintf("/api/v1/tenants/demo/history?kind=dns&key=1003&before=%d", page.Next), "")
		if status != 200 || !strings.Contains(body, `"password":"(set)"`) || strings.Contains(body, "md5") {
			t.Errorf("older history = %d %s", status, body)
		}
	})
}

func TestRESTRights(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	r.mustApply("tenants: [{name: acme, domains: [acme.local]}]")
	const skill = `{"description":"x"}`
	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"nobody", "GET", "/api/v1/tenants", "", 401},
		{"agent", "GET", "/api/v1/tenants", "", 403},
		{"agent", "GET", "/api/v1/tenants/demo/dns", "", 403},
		{"boss", "GET", "/api/v1/tenants/demo/dns", "", 200},
		{"boss", "PUT", "/api/v1/tenants/demo/skills/x", skill, 403},
		{"boss", "DELETE", "/api/v1/tenants/demo/skills/billing", "", 403},
		{"boss", "GET", "/api/v1/export?tenant=demo", "", 200},
		{"boss", "GET", "/api/v1/export?tenant=demo&secrets=true", "", 403},
		{"admin", "PUT", "/api/v1/tenants/demo/skills/x", skill, 201},
		{"admin", "GET", "/api/v1/export?tenant=demo&secrets=true", "", 200},
		{"admin", "GET", "/api/v1/export", "", 403},
		{"admin", "GET", "/api/v1/history", "", 403},
		{"admin", "PUT", "/api/v1/tenants/demo", `{"domains":["x.test"],"default":true}`, 403},
		{"admin", "DELETE", "/api/v1/tenants/acme", "", 403},
		{"admin", "PUT", "/api/v1/tenants/demo/persons/evil", `{"roles":["system"]}`, 403},
		{"other", "GET", "/api/v1/tenants/demo", "", 403},
		{"other", "GET", "/api/v1/tenants/demo/dns/1001", "", 403},
		{"other", "PUT", "/api/v1/tenants/demo/skills/y", skill, 403},
		{"other", "PUT", "/api/v1/tenants/_system/skills/y", skill, 403},
		{"other", "GET", "/api/v1/tenants/demo/history", "", 403},
		{"other", "PUT", "/api/v1/tenants/acme/skills/y", skill, 201},
		{"root", "GET", "/api/v1/tenants/nobody/dns", "", 404},
		{"root", "GET", "/api/v1/tenants/nobody/history", "", 404},
		{"root", "GET", "/api/v1/history", "", 200},
		{"root", "PUT", "/api/v1/tenants/demo/persons/super", `{"roles":["system"],"password":"correct horse"}`, 201},
		{"admin", "PUT", "/api/v1/tenants/demo/persons/super", `{"roles":["system"],"password":"taken over"}`, 403},
		{"admin", "PUT", "/api/v1/tenants/demo/persons/super", `{"roles":["system"],"password":"correct horse"}`, 403}, // no oracle for guesses
		{"admin", "PUT", "/api/v1/tenants/demo/persons/super", `{"roles":[]}`, 403},
		{"admin", "DELETE", "/api/v1/tenants/demo/persons/super", "", 403},
		{"admin", "GET", "/api/v1/export?tenant=demo&secrets=true", "", 403},
		{"root", "GET", "/api/v1/export?secrets=true", "", 200},
		{"root", "PUT", "/api/v1/tenants/beta", `{"domains":["beta.test"]}`, 201},
		{"root", "DELETE", "/api/v1/tenants/beta", "", 204},
	} {
		if status, _, body := r.call(c.who, c.method, c.path, c.body); status != c.status {
			t.Errorf("%s: %s %s = %d %s, want %d", c.who, c.method, c.path, status, body, c.status)
		}
	}
	if _, _, body := r.call("boss", "GET", "/api/v1/tenants", ""); strings.Contains(body, "acme") || !strings.Contains(body, `"total":1`) {
		t.Errorf("a supervisor of demo sees the tenants %s", body)
	}
}

func TestRESTListPagesAndFilters(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	var got []string
	path := "/api/v1/tenants/demo/dns?limit=2"
	for after := ""; ; {
		status, _, body := r.call("boss", "GET", path+"&after="+url.QueryEscape(after), "")
		var page List[voice.DN]
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 || page.Total != 5 {
			t.Fatalf("GET = %d %s", status, body)
		}
		for _, res := range page.Resources {
			got = append(got, res.Key)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if want := "1001 1002 5555 9000 gw1"; strings.Join(got, " ") != want {
		t.Errorf("pages give %v, want %s", got, want)
	}
	for query, want := range map[string]string{"match=ali": "1001", "type=trunk": "gw1", "match=100&type=extension": "1001"} {
		if _, _, body := r.call("boss", "GET", "/api/v1/tenants/demo/dns?"+query, ""); !strings.Contains(body, `"key":"`+want+`"`) || strings.Contains(body, `"key":"9000"`) {
			t.Errorf("?%s gives %s", query, body)
		}
	}
	for _, bad := range []string{"limit=0", "limit=1001", "type=phone", "after=a&x=1"} {
		if status, _, body := r.call("boss", "GET", "/api/v1/tenants/demo/dns?"+bad, ""); status != 422 {
			t.Errorf("?%s = %d %s, want 422", bad, status, body)
		}
	}
}

func TestRESTApply(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		apply := func(who, query, contentType, body string) (int, string) {
			status, _, text := r.call(who, "POST", "/api/v1/apply?"+query, body, "Content-Type", contentType)
			return status, text
		}
		if status, body := apply("root", "dry_run=true", yamlType, demoFile); status != 200 || !strings.Contains(body, `"dry_run":true`) {
			t.Errorf("dry run = %d %s", status, body)
		}
		if status, body := apply("admin", "", yamlType, demoFile); status != 403 {
			t.Errorf("an administrator makes a tenant: %d %s", status, body)
		}
		if status, body := apply("root", "", yamlType, demoFile); status != 200 || !strings.Contains(body, `"unchanged":0`) {
			t.Fatalf("apply = %d %s", status, body)
		}
		if status, body := apply("admin", "", yamlType, demoFile); status != 200 || !strings.Contains(body, `"unchanged":13`) {
			t.Errorf("an administrator applies what is there: %d %s", status, body)
		}
		if status, body := apply("admin", "", yamlType, strings.Replace(demoFile, "name: Alice", "name: Alicia", 1)); status != 200 || !strings.Contains(body, "Alicia") {
			t.Errorf("an administrator changes his tenant: %d %s", status, body)
		}
		if status, body := apply("other", "", yamlType, demoFile); status != 403 {
			t.Errorf("another tenant's administrator: %d %s", status, body)
		}
		status, body := apply("root", "file=x.yaml", yamlType, "tenants:\n  - nam: x\n")
		if status != 422 || !strings.Contains(body, `"line":2`) || !strings.Contains(body, `"file":"x.yaml"`) {
			t.Errorf("a bad file = %d %s, want its line", status, body)
		}
		req, err := json.Marshal(contract.ConfigApplyRequest{
			File: "y.yaml", YAML: []byte("tenants: [{name: demo, scripts: [{name: s, scxml_file: s.scxml}]}]"), Files: map[string][]byte{"s.scxml": []byte("<scxml/>")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if status, body := apply("root", "", "application/json", string(req)); status != 200 || !strings.Contains(body, `"key":"s"`) {
			t.Errorf("a file with another = %d %s", status, body)
		}
		status, h, text := r.call("root", "GET", "/api/v1/export?tenant=demo", "")
		if status != 200 || h.Get("Content-Type") != yamlType || !strings.HasPrefix(text, "tenants:\n") {
			t.Errorf("export = %d %v %s", status, h, text)
		}
		var res contract.ConfigExportResponse
		_, _, text2 := r.call("root", "GET", "/api/v1/export?tenant=demo", "", "Accept", "application/json")
		if err := json.Unmarshal([]byte(text2), &res); err != nil || string(res.YAML) != text {
			t.Errorf("export as JSON = %s, %v", text2, err)
		}
	})
}

func TestRESTDocument(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	_, _, body := r.call("", "GET", "/openapi.json", "")
	for _, want := range []string{
		`"/api/v1/tenants"`, `"/api/v1/tenants/{tenant}"`, `"/api/v1/tenants/{tenant}/dns/{key}"`, `"/api/v1/tenants/{tenant}/voicemail_profiles"`,
		`"/api/v1/apply"`, `"/api/v1/export"`, `"/api/v1/history"`, `"ResourceDN"`, `"#/components/schemas/Person"`, `"application/yaml"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the document lacks %s", want)
		}
	}
}

func TestMetricsAreReal(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	r.call("admin", "GET", "/api/v1/tenants/demo/dns/1001", "")
	r.call("admin", "GET", "/api/v1/tenants/demo/dns/77", "")
	r.call("admin", "GET", "/api/v1/tenants/demo/persons/alice", "")
	r.call("root", "GET", "/api/v1/tenants/demo", "")
	_, err := r.Get(t.Context(), contract.ConfigKey{Tenant: "some stranger's word", Kind: voice.KindDN, Key: "1"})
	if httpapi.Problem(err) == nil {
		t.Error("a number of nobody was found")
	}
	err = testutil.GatherAndCompare(r.reg, strings.NewReader(`
# HELP config_device_response Answers given to requests about directory numbers.
# TYPE config_device_response counter
config_device_response{location="n1",request_type="get",status="200",tenant="demo"} 1
config_device_response{location="n1",request_type="get",status="404",tenant="(unknown)"} 1
config_device_response{location="n1",request_type="get",status="404",tenant="demo"} 1
# HELP config_node_agent_response Answers given to requests about persons.
# TYPE config_node_agent_response counter
config_node_agent_response 1
# HELP config_node_get_response Answers given to read requests.
# TYPE config_node_get_response counter
config_node_get_response 5
# HELP config_tenant_response Answers given to requests about tenants.
# TYPE config_tenant_response counter
config_tenant_response{location="n1",request_type="get",status="200"} 1
# HELP config_health_level Overall health of the service on this node.
# TYPE config_health_level gauge
config_health_level 2
# HELP config_healthcheck_generic_exception Whether the last health check itself failed in an unforeseen way: 1 = yes.
# TYPE config_healthcheck_generic_exception gauge
config_healthcheck_generic_exception 0
# HELP config_redis_state State of the link to the JetStream: -1 error, 0 disconnected, 1 connected, 2 ready.
# TYPE config_redis_state gauge
config_redis_state{location="n1",redis_cluster_name="jetstream"} 2
`), "config_device_response", "config_node_agent_response", "config_node_get_response", "config_tenant_response", "config_health_level",
		"config_healthcheck_generic_exception", "config_redis_state")
	if err != nil {
		t.Error(err)
	}
}

func TestHealthFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{idle: true})
	r.checkStore(t.Context())
	if _, checks := r.health.Report(); checks[2].Name != checkStore || checks[2].Level != obs.LevelPass {
		t.Fatalf("checks = %+v", checks)
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	r.checkStore(t.Context())
	if level, checks := r.health.Report(); level != obs.LevelFail || checks[2].Reason == "" {
		t.Errorf("with the database gone: %v %+v", level, checks)
	}
}
