package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/porttest"
	"parley/internal/voice"
)

// sipp on both sides: a caller that requires reliable provisional responses, and a phone that answers only after its own has
// been acknowledged. Each leg has its sequence of numbers.
func TestReliableProvisionalResponsesWithSipp(t *testing.T) {
	t.Parallel()
	ports := porttest.TCP(t, 2)
	carrier, phone := strings.TrimPrefix(ports[0], "127.0.0.1:"), strings.TrimPrefix(ports[1], "127.0.0.1:")
	p := start(t, "prack", "")
	file := provision(t, fmt.Sprintf(`tenants:
  - name: demo
    dns:
      - {number: gw1, type: trunk, options: {TServer: {contact: "sip:127.0.0.2:%s"}}}
      - {number: "2000", type: extension, options: {TServer: {contact: "sip:2000@127.0.0.1:%s"}}}
`, carrier, phone))
	if out, code := p.cli("apply", "-f", file); code != 0 {
		t.Fatalf("apply: %s", out)
	}
	scenario := func(name string) string {
		path, err := filepath.Abs(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	callee := peer.Start(t, t.TempDir(), nil, "sipp", "-sf", scenario("prack_uas.xml"), "-i", "127.0.0.1", "-p", phone, "-m", "1", "-nostdin", "-timeout", "40")
	caller := peer.Start(t, t.TempDir(), nil, "sipp", p.sip("udp"), "-sf", scenario("prack_uac.xml"), "-s", "2000", "-i", "127.0.0.2", "-p", carrier, "-m", "1", "-nostdin", "-timeout", "40")
	if code := caller.Wait(45 * time.Second); code != 0 {
		t.Errorf("the caller ended with %d:\n%s", code, caller.Output())
	}
	if code := callee.Wait(45 * time.Second); code != 0 {
		t.Errorf("the phone ended with %d:\n%s", code, callee.Output())
	}
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 1})
}
