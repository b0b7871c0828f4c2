package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"parley/internal/contract"
	"parley/internal/scxml"
	"parley/internal/voice"
)

func scriptBody(t *testing.T, text, comment string) string {
	t.Helper()
	raw, err := json.Marshal(voice.Script{SCXML: chartText(text), Comment: comment})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func chartText(state string) string {
	return fmt.Sprintf(`<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id=%q/></scxml>`, state)
}

func TestVersionsOfAScript(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		const path = "/api/v1/tenants/demo/scripts/menu"
		for i := range 25 { // more than are read at once
			text := fmt.Sprint("s", i)
			if i == 24 {
				text = "s23" // the same once more, with another comment
			}
			if status, _, body := r.call("admin", "PUT", path, scriptBody(t, text, fmt.Sprint("change ", i))); status >= 300 {
				t.Fatalf("PUT = %d %s", status, body)
			}
		}
		status, _, body := r.call("boss", "GET", path+"/versions", "")
		var all contract.ScriptVersionsResponse
		if err := json.Unmarshal([]byte(body), &all); err != nil || status != http.StatusOK || len(all.Versions) != 25 {
			t.Fatalf("versions = %d %s", status, body)
		}
		if v := all.Versions[0]; v.Version != 25 || !v.Current || v.User != "admin" || v.Comment != "change 24" || v.SCXML != "" || v.Digest != all.Versions[1].Digest {
			t.Errorf("the newest is %+v", v)
		}
		status, _, body = r.call("boss", "GET", path+"/versions/3", "")
		var v contract.ScriptVersion
		if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusOK || v.SCXML != chartText("s2") || v.Current {
			t.Errorf("version 3 = %d %s", status, body)
		}
		e, err := scxml.New(scxml.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := e.Compile("x", []byte(v.SCXML)); err != nil || p.Digest() != v.Digest {
			t.Errorf("the interpreter calls the text %s (%v), the list %s", p.Digest(), err, v.Digest)
		}
		if status, _, body = r.call("boss", "GET", path+"/versions/99", ""); status != http.StatusNotFound {
			t.Errorf("version 99 = %d %s", status, body)
		}
		if status, _, body = r.call("boss", "POST", path+"/rollback", "{}"); status != http.StatusForbidden {
			t.Errorf("rollback by a supervisor = %d %s", status, body)
		}
		if status, _, body = r.call("admin", "POST", path+"/rollback", "{}"); status != http.StatusOK || !strings.Contains(body, "s22") || !strings.Contains(body, "back to version 23") {
			t.Errorf("rollback = %d %s, want the text before s23", status, body)
		}
		if status, _, body = r.call("admin", "POST", path+"/rollback", `{"to":1,"comment":"the first"}`); status != http.StatusOK || !strings.Contains(body, "s0") {
			t.Errorf("rollback to 1 = %d %s", status, body)
		}
		now, err := r.Service.Text(t.Context(), contract.ScriptTextRequest{Tenant: "demo", ScriptRef: contract.ScriptRef{Name: "menu"}})
		if err != nil || now.Version != 27 || now.SCXML != chartText("s0") || now.Comment != "the first" {
			t.Errorf("published is %+v, %v", now, err)
		}
		if status, _, body = r.call("admin", "POST", path+"/rollback", `{"to":77}`); status != http.StatusNotFound {
			t.Errorf("rollback to 77 = %d %s", status, body)
		}
	})
}

func TestAScriptMadeAnewHasItsOwnVersions(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	ctx := t.Context()
	put := func(text string) {
		t.Helper()
		if _, err := r.putBody("demo", voice.KindScript, "menu", -1, scriptBody(t, text, "")); err != nil {
			t.Fatal(err)
		}
	}
	put("old")
	if _, err := r.Service.Delete(ctx, contract.ConfigDeleteRequest{Tenant: "demo", Kind: voice.KindScript, Key: "menu", Version: -1}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Service.Versions(ctx, contract.ScriptVersionsRequest{Tenant: "demo", Name: "menu"}); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("versions of a deleted script: %v", err)
	}
	if _, err := r.Service.Rollback(ctx, contract.ScriptRollbackRequest{Tenant: "demo", Name: "menu"}); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("rollback of a deleted script: %v", err)
	}
	put("new")
	res, err := r.Service.Versions(ctx, contract.ScriptVersionsRequest{Tenant: "demo", Name: "menu"})
	if err != nil || len(res.Versions) != 1 {
		t.Errorf("versions = %+v, %v, want the one since it was made anew", res, err)
	}
	if _, err := r.Service.Rollback(ctx, contract.ScriptRollbackRequest{Tenant: "demo", Name: "menu"}); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("rollback without an older text: %v", err)
	}
}
