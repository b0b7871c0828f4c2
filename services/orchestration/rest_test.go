package orchestration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/voice"
)

func TestSessionsByHTTP(t *testing.T) {
	r := newRig(t)
	r.put(voice.KindScript, "count", voice.Script{Name: "count", SCXML: doc(`<datamodel><data id="n" expr="0"/><data id="step"/></datamodel>
	<state id="a"><transition event="add"><assign location="n" expr="n + Number(step) * Number(_event.data.by)"/></transition>
	  <transition event="tell"><session:response reqid="_event.data.requestid"><param name="n" expr="n"/></session:response></transition>
	  <transition event="end" target="z"/></state><final id="z"/>`)})
	first, second := r.node("a", nil), r.node("b", nil)
	ask := func(n *node, token, method, path, form string, want int) map[string]any {
		t.Helper()
		s := httpapi.New(httpapi.Options{Service: "orchestration", Registry: prometheus.NewRegistry(), Health: obs.NewHealth()})
		n.Routes(s, func(_ context.Context, token string) (voice.Principal, error) {
			if token == "" {
				return voice.Principal{}, voice.ErrUnauthorized
			}
			return voice.Principal{Tenant: token, User: "u", Roles: []voice.Role{voice.RoleAdmin}}, nil
		})
		req := httptest.NewRequest(method, path, strings.NewReader(form))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := s.App().Test(req, int(patience.Milliseconds()))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, res.StatusCode, body, want)
		}
		var out map[string]any
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, body, err)
		}
		return out
	}
	id := fmt.Sprint(ask(first, "demo", http.MethodPost, "/scxml/session/start", "src=count&step=2", http.StatusOK)["sessionid"])
	if len(id) != 32 {
		t.Errorf("the session is called %q", id)
	}
	eventually(t, func() error { // the other node finds it by its record
		_, err := second.nodeOf(t.Context(), "demo", id)
		return err
	})
	at := "/scxml/session/" + id
	ask(first, "demo", http.MethodPost, at+"/event/add", "by=4", http.StatusOK)
	ask(second, "demo", http.MethodGet, at+"/event/add?by=1", "", http.StatusOK)
	if got := ask(second, "demo", http.MethodPost, at+"/request/tell", "", http.StatusOK); got["n"] != 10.0 {
		t.Errorf("the script answers %v", got)
	}
	if got := ask(second, "demo", http.MethodGet, at+"/query", "", http.StatusOK); fmt.Sprint(got["session"].(map[string]any)["states"]) != "[a]" {
		t.Errorf("the session is %v", got)
	}
	ask(first, "other", http.MethodGet, at+"/query", "", http.StatusNotFound)
	ask(first, "other", http.MethodPost, at+"/terminate", "tenant=demo", http.StatusForbidden)
	ask(first, "", http.MethodPost, at+"/terminate", "", http.StatusUnauthorized)
	ask(first, "demo", http.MethodPost, "/scxml/session/start", "step=2", http.StatusBadRequest)
	ask(first, "demo", http.MethodPost, "/scxml/session/start", "src=nothing", http.StatusBadRequest)
	ask(second, "demo", http.MethodPost, at+"/terminate", "", http.StatusOK)
	ask(first, "demo", http.MethodPost, at+"/event/add", "by=4", http.StatusNotFound)
	ask(first, "demo", http.MethodGet, "/ors/help", "", http.StatusOK)
	ask(first, "demo", http.MethodGet, "/heartbeat/", "", http.StatusOK)
}
