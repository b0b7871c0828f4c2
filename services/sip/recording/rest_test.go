package recording

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/httpapi"
	"parley/internal/httpapi/apitest"
	"parley/internal/obs"
	"parley/internal/voice"
)

var people = apitest.People{
	"root":  {Tenant: "other", User: "root", Roles: []voice.Role{voice.RoleSystem}},
	"admin": {Tenant: "demo", User: "admin", Roles: []voice.Role{voice.RoleAdmin}},
	"super": {Tenant: "demo", User: "sven", Roles: []voice.Role{voice.RoleSupervisor}},
	"acme":  {Tenant: "acme", User: "boss", Roles: []voice.Role{voice.RoleAdmin}},
	"agent": {Tenant: "demo", User: "1001", Roles: []voice.Role{voice.RoleAgent}},
}

func (s *scene) rest() string {
	srv := httpapi.New(httpapi.Options{Service: "sip", Title: "SIP", Version: "test", Registry: prometheus.NewRegistry(), Health: obs.NewHealth(), Verify: people.Verify})
	s.Routes(srv.API())
	return apitest.Serve(s.t, srv)
}

// ask sends a request as somebody.
func ask(t *testing.T, who, method, url string) (status int, body []byte, h http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body, res.Header
}

func TestREST(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	base := s.rest() + "/api/v1/tenants/demo/recordings"
	a := &party{}
	tape := s.begin(a, nil)
	s.heard(a)
	one := base + "/" + tape.entry.ID

	for _, who := range []string{"agent", "acme", ""} { // an agent whose own call it is, too
		for _, c := range [][2]string{{"GET", base}, {"GET", one}, {"GET", one + "/audio"}, {"DELETE", one}} {
			want := http.StatusForbidden
			if who == "" {
				want = http.StatusUnauthorized
			}
			if status, body, _ := ask(t, who, c[0], c[1]); status != want {
				t.Errorf("%s of %s as %q: %d %s, want %d", c[0], c[1], who, status, body, want)
			}
		}
	}
	status, body, _ := ask(t, "super", "GET", base+"?dn=1001")
	var list List
	if err := json.Unmarshal(body, &list); err != nil || status != 200 || len(list.Recordings) != 1 || list.Recordings[0].State != StateRecording {
		t.Fatalf("%d %s, %v, want the one that goes on", status, body, err)
	}
	if status, body, _ := ask(t, "admin", "DELETE", one); status != http.StatusConflict {
		t.Errorf("deleting what goes on: %d %s", status, body)
	}
	s.talk(tape, sec, map[*party]float64{a: 400})
	l, _ := s.end(tape)
	onDisk, err := os.ReadFile(tape.path + soundEnding)
	if err != nil {
		t.Fatal(err)
	}
	status, body, h := ask(t, "super", "GET", one+"/audio")
	if status != 200 || h.Get("Content-Type") != "audio/wav" || string(body) != string(onDisk) {
		t.Errorf("%d, %d bytes of %q; want the %d of the file", status, len(body), h.Get("Content-Type"), len(onDisk))
	}
	status, body, _ = ask(t, "root", "GET", one)
	var e Entry
	if err := json.Unmarshal(body, &e); err != nil || status != 200 || e.SHA256 != l.SHA256 || !slices.Contains(e.Left, "1001") || e.State != StateStopped {
		t.Errorf("%d %s, %v, want the ledger", status, body, err)
	}
	if status, body, _ := ask(t, "super", "DELETE", one); status != http.StatusForbidden {
		t.Errorf("a supervisor deletes: %d %s", status, body)
	}
	for _, id := range []string{"..%2f..%2fetc", "20260301T120000000-none", tape.entry.ID + ".open"} {
		if status, body, _ := ask(t, "admin", "GET", base+"/"+id+"/audio"); status != http.StatusNotFound {
			t.Errorf("recording %s: %d %s", id, status, body)
		}
	}
	if status, body, _ := ask(t, "admin", "DELETE", one); status != http.StatusNoContent {
		t.Errorf("deleting: %d %s", status, body)
	}
	if status, _, _ := ask(t, "admin", "GET", one); status != http.StatusNotFound {
		t.Errorf("after that: %d", status)
	}
}

// Pages of a list follow each other without holes, and filters hold on all of them.
func TestPages(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	base := s.rest() + "/api/v1/tenants/demo/recordings"
	began := s.clock()
	for i := range 7 {
		s.elapse(20 * time.Hour)
		tape, err := s.Begin(Call{Tenant: "demo", CallUUID: fmt.Sprintf("%032d", i)}, func(l Ledger) { s.done <- l })
		if err != nil {
			t.Fatal(err)
		}
		tape.Hear(Left, Party{fmt.Sprint(1000 + i%2), &party{}})
		tape.Hear(Right, Party{"2000", &party{}})
		s.end(tape)
	}
	walk := func(query string) (calls string) {
		after := ""
		for range 10 {
			status, body, _ := ask(t, "admin", "GET", base+"?limit=2&after="+after+query)
			var list List
			if err := json.Unmarshal(body, &list); err != nil || status != 200 {
				t.Fatalf("%d %s, %v", status, body, err)
			}
			for _, e := range list.Recordings {
				calls += e.Of.CallUUID[31:]
			}
			if after = list.Next; after == "" {
				return calls
			}
		}
		t.Fatalf("%q has no end", query)
		return ""
	}
	for query, want := range map[string]string{
		"": "6543210", "&dn=1001": "531", "&dn=2000": "6543210", "&dn=3": "", "&call=" + fmt.Sprintf("%032d", 4): "4",
		"&from=" + began.Add(100*time.Hour).Format(time.RFC3339):  "654",
		"&until=" + began.Add(100*time.Hour).Format(time.RFC3339): "3210",
	} {
		if got := walk(query); got != want {
			t.Errorf("calls %q of %q, want %q", got, query, want)
		}
	}
}
