package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/voice"
)

// invariants fails the test if anything happened to calls, as nodes that run saw it, that may never happen. A platform does
// so itself before it is stopped at the end of a test.
func invariants(t testing.TB, nodes ...*platform) {
	t.Helper()
	for _, p := range nodes {
		s, err := p.askStatus()
		if err != nil {
			t.Errorf("the node does not say whether its invariants hold: %v", err)
			continue
		}
		hold(t, s)
	}
}

func hold(t testing.TB, s contract.StatusReport) {
	t.Helper()
	if s.CallState == nil { // the node does not run callstate
		return
	}
	for _, v := range s.CallState.Violations {
		t.Errorf("%s: call %s, DN %s, %s (event %d): %s", v.Kind, v.CallUUID, v.DN, v.Event, v.Seq, v.Reason)
	}
}

// TestCallState looks at a call on another node, changes its data with versions, and sees it end.
func TestCallState(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "")
	k := connect(t, agent(t, b, "1001", "udp"), agent(t, b, "1002", "udp"))
	var calls contract.FindCallsResponse
	find := func(ok func() error) voice.Call {
		t.Helper()
		peer.Poll(t, 15*time.Second, func() error {
			if err := json.Unmarshal([]byte(rest(t, a, "callstate", http.MethodGet, "/api/v1/tenants/demo/calls?dn=1001", http.StatusOK)), &calls); err != nil {
				return err
			}
			if calls.Total != 1 || calls.Calls[0].Node != "b" {
				return fmt.Errorf("found %+v", calls)
			}
			return ok()
		})
		return calls.Calls[0]
	}
	c := find(func() error {
		for _, p := range calls.Calls[0].Parties {
			if p.State != voice.PartyEstablished {
				return fmt.Errorf("%s is %s", p.DN, p.State)
			}
		}
		return nil
	})
	change := func(key string, version int64) (status int, body string) {
		t.Helper()
		return patch(t, a, "/api/v1/tenants/demo/calls/"+c.CallUUID+"/user-data",
			map[string]any{"UserData": map[string]string{key: "yes"}, "UserDataVersion": version})
	}
	if status, body := change("first", c.Version); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	now := find(func() error {
		if calls.Calls[0].UserData.Text("first") != "yes" {
			return fmt.Errorf("user data %v", calls.Calls[0].UserData)
		}
		return nil
	})
	if status, body := change("second", now.Version); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := change("late", now.Version); status != http.StatusConflict {
		t.Errorf("a change of version %d, which is old: %d %s", now.Version, status, body)
	}
	find(func() error {
		if d := calls.Calls[0].UserData; d.Text("first") != "yes" || d.Text("second") != "yes" || d.Has("late") {
			return fmt.Errorf("user data %v", d)
		}
		return nil
	})
	if out, _ := a.cli("status"); !strings.Contains(out, "call threads 1") {
		t.Errorf("parley status knows no call thread:\n%s", out)
	}
	if err := k.out.Bye(); err != nil {
		t.Fatal(err)
	}
	k.over()
	peer.Poll(t, 15*time.Second, func() error {
		s, err := a.askStatus()
		if err == nil && s.CallState.Calls != 0 {
			err = fmt.Errorf("%d calls are left", s.CallState.Calls)
		}
		return err
	})
	invariants(t, a)
}

// patch changes something of callstate's over REST.
func patch(t *testing.T, p *platform, path string, body any) (int, string) {
	t.Helper()
	token, code := p.cli("token", "--user", "admin")
	if code != 0 {
		t.Fatalf("token: %s", token)
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "http://"+p.address("callstate", "http")+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.Fields(token)[0])
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}
