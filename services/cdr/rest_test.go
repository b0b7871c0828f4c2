package cdr

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric/fabrictest"
	"parley/internal/httpapi"
	"parley/internal/httpapi/apitest"
	"parley/internal/store/cdrs"
	"parley/internal/voice"
)

// people are the tokens that the test's REST interface knows.
var people = apitest.People{
	"root":  {Tenant: "demo", User: "root", Roles: []voice.Role{voice.RoleSystem}},
	"admin": {Tenant: "demo", User: "admin", Roles: []voice.Role{voice.RoleAdmin}},
	"super": {Tenant: "demo", User: "sven", Roles: []voice.Role{voice.RoleSupervisor}},
	"acme":  {Tenant: "acme", User: "boss", Roles: []voice.Role{voice.RoleAdmin}},
	"agent": {Tenant: "demo", User: "alice", Roles: []voice.Role{voice.RoleAgent}},
}

// restOf serves the REST interface of a service and returns its address.
func restOf(t testing.TB, s *Service) string {
	t.Helper()
	srv := httpapi.New(httpapi.Options{
		Service: "cdr", Title: "CDR", Version: "test", Registry: prometheus.NewRegistry(), Health: s.health,
		Verify: people.Verify,
	})
	s.Routes(srv.API())
	return apitest.Serve(t, srv)
}

// withRecords is a service on store, not running, that has the calls 0 to 99.
func withRecords(t testing.TB, store *cdrs.Store, meddle func(table) table) string {
	t.Helper()
	var records []voice.CDR
	for i := range 100 {
		r := record(i)
		switch i {
		case 7:
			r.Outcome, r.Talk, r.CallerName = voice.OutcomeBusy, 0, `=cmd("x"), Inc.`
		case 8:
			r.Type, r.Talk = voice.CallInbound, time.Hour
		case 9:
			r.Tenant = "acme"
		case 11:
			loss := 12.5
			r.CalleeMedia = &voice.MediaQuality{Sent: voice.VoiceQuality{Codec: "PCMA", Packets: 900, Loss: &loss, MOSLQ: 2.71}}
		}
		records = append(records, r)
	}
	if _, err := store.Insert(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	svc, err := build(Options{Fabric: fabrictest.New(t), Config: DefaultConfig()}, meddle(store))
	if err != nil {
		t.Fatal(err)
	}
	return restOf(t, svc)
}

func asIs(t table) table { return t }

// get asks for a path and reads all of the answer.
func get(t testing.TB, token, address string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestRights(t *testing.T) {
	url := withRecords(t, openStore(t, "", t.TempDir()), asIs) + "/api/v1/tenants/demo/cdrs"
	for _, path := range []string{url, url + "/call-000001", url + ".csv"} {
		for token, want := range map[string]int{"": 401, "wrong": 401, "agent": 403, "acme": 403, "super": 200, "admin": 200, "root": 200} {
			if resp, body, _ := get(t, token, path); resp.StatusCode != want {
				t.Errorf("GET %s as %q = %d, want %d: %s", path, token, resp.StatusCode, want, body)
			}
		}
	}
	if resp, _, _ := get(t, "super", url+"/call-000009"); resp.StatusCode != 404 {
		t.Errorf("another tenant's record = %d, want 404", resp.StatusCode)
	}
}

func TestRESTListsAndFilters(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *cdrs.Store) {
		base := withRecords(t, open(), asIs) + "/api/v1/tenants/demo/cdrs"
		list := func(query string) (calls []string) {
			t.Helper()
			next := ""
			for range 50 {
				resp, body, err := get(t, "super", base+"?limit=40&"+query+"&after="+url.QueryEscape(next))
				var page List
				if err != nil || resp.StatusCode != 200 || json.Unmarshal([]byte(body), &page) != nil {
					t.Fatalf("GET %s = %d %s, %v", query, resp.StatusCode, body, err)
				}
				if page.Records == nil {
					t.Errorf("GET %s: records is null, want a list", query)
				}
				for _, r := range page.Records {
					calls = append(calls, r.CallUUID)
				}
				if next = page.Next; next == "" {
					return calls
				}
			}
			t.Fatal("the pages do not end")
			return nil
		}
		if got := list(""); len(got) != 99 || got[0] != "call-000099" || got[98] != "call-000000" || !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Errorf("all records: %v", got)
		}
		at := func(i int) string { return url.QueryEscape(record(i).Start.Format(time.RFC3339)) }
		for query, want := range map[string][]string{
			"outcome=busy":                        {"call-000007"},
			"type=inbound":                        {"call-000008"},
			"min_talk=3600":                       {"call-000008"},
			"text=INC.":                           {"call-000007"},
			"caller=1007&until=" + at(20):         {"call-000017", "call-000007"},
			"dialled=2003&until=" + at(10):        {"call-000003"},
			"from=" + at(97):                      {"call-000099", "call-000098", "call-000097"},
			"from=" + at(50) + "&until=" + at(51): {"call-000050"},
			"text=nobody":                         nil,
			"max_mos=3.1":                         {"call-000011"},
			"max_mos=2.7":                         nil,
		} {
			if got := list(query); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		for _, query := range []string{"outcome=good", "type=5", "min_talk=-1", "min_talk=x", "max_mos=0", "max_mos=6", "from=yesterday", "limit=0", "limit=1001", "after=x", "colour=red", "text=" + strings.Repeat("x", 65)} {
			if resp, body, _ := get(t, "super", base+"?"+query); resp.StatusCode != 422 {
				t.Errorf("GET ?%s = %d %s, want 422", query, resp.StatusCode, body)
			}
		}
		_, body, err := get(t, "super", base+"/call-000003")
		var r voice.CDR
		if err != nil || json.Unmarshal([]byte(body), &r) != nil || r != record(3) {
			t.Errorf("one record = %s, %v, want %+v", body, err, record(3))
		}
	})
}

func TestCSVExport(t *testing.T) {
	base := withRecords(t, openStore(t, "", t.TempDir()), asIs) + "/api/v1/tenants/demo/cdrs.csv"
	resp, body, err := get(t, "super", base+"?outcome=busy")
	if err != nil || resp.Header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" || resp.Header.Get("Content-Disposition") != `attachment; filename="cdrs-demo.csv"` {
		t.Errorf("headers %v, %v", resp.Header, err)
	}
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v, want the names and one record:\n%s", len(rows), err, body)
	}
	for name, want := range map[string]string{
		"call_uuid": "call-000007", "start": record(7).Start.Format("2006-01-02T15:04:05.000Z"), "caller_name": `'=cmd("x"), Inc.`, "outcome": "busy",
	} {
		if i := slices.Index(rows[0], name); i < 0 || rows[1][i] != want {
			t.Errorf("column %s of %v, want %q", name, rows[1], want)
		}
	}
	_, body, err = get(t, "super", base+"?max_mos=3")
	if err != nil {
		t.Fatal(err)
	}
	if rows, err = csv.NewReader(strings.NewReader(body)).ReadAll(); err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v, want the names and one record:\n%s", len(rows), err, body)
	}
	for name, want := range map[string]string{
		"worst_mos": "2.71", "callee_sent_codec": "PCMA", "callee_sent_packets": "900", "callee_sent_loss_percent": "12.50", "callee_sent_mos": "2.71",
		"callee_sent_jitter_ms": "", "callee_received_loss_percent": "", "callee_round_trip_ms": "", "caller_sent_packets": "",
	} {
		if i := slices.Index(rows[0], name); i < 0 || rows[1][i] != want {
			t.Errorf("column %s of %v, want %q", name, rows[1], want)
		}
	}
	if _, body, err = get(t, "super", base); err != nil || strings.Count(body, "\r\n") != 100 {
		t.Errorf("the whole export has %d lines, %v, want 100", strings.Count(body, "\r\n"), err)
	}
}

// failingList has pages of one record, and fails after some.
type failingList struct {
	table
	pages int
}

func (f *failingList) List(ctx context.Context, q cdrs.Query) (cdrs.Page, error) {
	if f.pages == 0 {
		return cdrs.Page{}, errors.New("database: password=s3cret")
	}
	f.pages--
	q.Limit = 1
	return f.table.List(ctx, q)
}

// TestCSVThatFailsBreaksOff: whoever has half an export must not take it for the whole.
func TestCSVThatFailsBreaksOff(t *testing.T) {
	for pages, want := range map[int]int{0: 500, 3: 200} {
		address := withRecords(t, openStore(t, "", t.TempDir()), func(s table) table { return &failingList{s, pages} })
		resp, body, err := get(t, "super", address+"/api/v1/tenants/demo/cdrs.csv")
		if resp.StatusCode != want || strings.Contains(body, "s3cret") || (pages > 0) != (err != nil) {
			t.Errorf("failing after %d pages: %d, %v\n%s", pages, resp.StatusCode, err, body)
		}
	}
}

func TestOpenAPINamesEveryOperation(t *testing.T) {
	address := withRecords(t, openStore(t, "", t.TempDir()), asIs)
	_, body, err := get(t, "", address+"/openapi.json")
	for _, want := range []string{`"list-cdrs"`, `"get-cdr"`, `"export-cdrs"`, `"text/csv"`} {
		if err != nil || !strings.Contains(body, want) {
			t.Errorf("/openapi.json has no %s, %v", want, err)
		}
	}
}
