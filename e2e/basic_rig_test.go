package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/e2e/script"
	"parley/internal/voice"
)

// basicSecret is the password of the phones of the basic call's tests.
const basicSecret = "a-basic-secret"

// basic starts a node for scripted phones. T1 is small, so that what is given up after 64 of them ends while somebody waits. The
// number 1009 rings for a second; 0… goes out to a carrier at 127.0.0.2 and the port returned.
func basic(t *testing.T, id string) (p *platform, carrier *script.Phone) {
	t.Helper()
	var dns strings.Builder
	for n := 1001; n <= 1008; n++ {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", n, basicSecret)
	}
	fmt.Fprintf(&dns, "      - {number: \"1009\", type: extension, password: %s, options: {TServer: {no-answer-timeout: \"1\"}}}\n", basicSecret)
	file := provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
		"    persons: [{username: admin, password: basic-admin-secret, roles: [system]}]\n")
	p = start(t, id, "sipproxy: {t1: 50ms}\n", "--provision", file)
	line, err := phone.DialFrom(t.Context(), "127.0.0.2", p.sip("udp"))
	if err != nil {
		t.Fatal(err)
	}
	carrier = script.New(t, line, "carrier", "", "demo.local")
	trunk := provision(t, fmt.Sprintf("tenants:\n  - name: demo\n    dns:\n      - {number: gw1, type: trunk, options: {TServer: {contact: \"sip:%s\", prefix: \"0\"}}}\n", line.Local()))
	if out, code := p.cli("apply", "-f", trunk); code != 0 {
		t.Fatalf("apply: %s", out)
	}
	return p, carrier
}

// scripted is a phone registered at the node.
func scripted(t *testing.T, p *platform, number string) *script.Phone {
	t.Helper()
	line, err := phone.Dial(t.Context(), "udp", p.sip("udp"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return script.New(t, line, number, basicSecret, "demo.local")
}

// sdpOf is what a phone says about its audio; version is that of its origin.
func sdpOf(version int, attributes ...string) string {
	return script.SDP(version, "127.0.0.1", 40000, attributes...)
}

// connected is a call between two phones that has been answered.
func connected(t *testing.T, a, b *script.Phone, headers ...string) (out, in *script.Dialog) {
	t.Helper()
	out = a.Call(b.User, sdpOf(1), headers...)
	in = b.AwaitCall()
	in.Reply(in.Invite, 200, sdpOf(1), "Allow: INVITE, ACK, BYE, UPDATE")
	out.Ack(out.Await(200), "")
	in.Request("ACK")
	return out, in
}

// hungUp ends a call by the one side and sees it end on the other.
func hungUp(by, other *script.Dialog, headers ...string) *phone.Message {
	by.Send("BYE", "", headers...)
	m := other.Request("BYE")
	other.Reply(m, 200, "")
	by.Final("BYE")
	return m
}

// recorded waits for the newest record of a caller, and returns it.
func recorded(t *testing.T, p *platform, caller string, outcome voice.Outcome) voice.CDR {
	t.Helper()
	var found voice.CDR
	peer.Poll(t, 20*time.Second, func() error {
		var page struct {
			Records []voice.CDR `json:"records"`
		}
		if err := json.Unmarshal([]byte(rest(t, p, "cdr", http.MethodGet, "/api/v1/tenants/demo/cdrs?limit=100", http.StatusOK)), &page); err != nil {
			return err
		}
		for _, r := range page.Records {
			if r.Caller == caller {
				if r.Outcome != outcome {
					return fmt.Errorf("the newest record of %s says %s, want %s", caller, r.Outcome, outcome)
				}
				found = r
				return nil
			}
		}
		return fmt.Errorf("no record of %s", caller)
	})
	return found
}

// want fails the test unless an answer has that status.
func want(t *testing.T, m *phone.Message, status int) {
	t.Helper()
	if m.Status != status {
		t.Fatalf("want %d, got\n%s", status, m.Raw)
	}
}
