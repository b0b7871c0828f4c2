package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/porttest"
	"parley/internal/voice"
)

// A carrier on an address of its own takes calls, and sends some without credentials.
func TestTrunkBothWays(t *testing.T) {
	port := strings.TrimPrefix(porttest.TCP(t, 1)[0], "127.0.0.1:")
	p := start(t, "trunk", "")
	file := provision(t, fmt.Sprintf(`tenants:
  - name: demo
    dns:
      - {number: gw1, type: trunk, options: {TServer: {contact: "sip:127.0.0.2:%s", prefix: "0", replace-prefix: "49", trusted-source: address}}}
`, port))
	if out, code := p.cli("apply", "-f", file); code != 0 {
		t.Fatalf("apply: %s", out)
	}
	dir := t.TempDir()
	phone := peer.Baresip(t, peer.Account{User: "1001", Password: p.printedPassword("1001"), Domain: "demo.local", Transport: "udp",
		Server: p.sip("udp"), Plays: sine(t, filepath.Join(dir, "tone.wav"), 700), Heard: dir, Answer: true})
	peer.BaresipRegistered(phone)

	logs := filepath.Join(t.TempDir(), "messages.log")
	peer.Start(t, t.TempDir(), nil, "sipp", "-sn", "uas", "-i", "127.0.0.2", "-p", port, "-rtp_echo", "-nostdin", "-trace_msg", "-message_file", logs)
	phone.Type("/dial sip:0123456@demo.local")
	phone.Await(`Call established`, 15*time.Second)
	awaitSound(t, dir)
	phone.Type("/hangup")
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 1})
	if hz := loudest(t, dir); hz != 700 {
		t.Errorf("the carrier sends back what it hears, 700 Hz; the phone heard %d", hz)
	}
	record := rest(t, p, "cdr", http.MethodGet, "/api/v1/tenants/demo/cdrs", http.StatusOK)
	if !strings.Contains(record, `"trunk_out":"gw1"`) {
		t.Errorf("the record does not name the trunk: %s", record)
	}
	text, err := os.ReadFile(logs)
	if err != nil {
		t.Fatal(err)
	}
	messages := string(text)
	if !strings.Contains(messages, "INVITE sip:49123456@127.0.0.2:"+port) || !strings.Contains(messages, "P-Asserted-Identity: <sip:1001@demo.local>") {
		t.Errorf("the carrier got\n%s", messages)
	}
	if strings.Contains(messages, "X-Parley") || strings.Contains(messages, "Proxy-Authorization") {
		t.Errorf("the carrier was told what is ours:\n%s", messages)
	}

	phone.Skip()
	in := peer.Start(t, t.TempDir(), nil, "sipp", p.sip("udp"), "-sn", "uac", "-s", "1001", "-i", "127.0.0.2", "-m", "1", "-d", "500", "-nostdin", "-timeout", "20")
	if code := in.Wait(25 * time.Second); code != 0 {
		t.Errorf("a call of the carrier failed: exit %d\n%s", code, in.Output())
	}
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 2})
	if record = rest(t, p, "cdr", http.MethodGet, "/api/v1/tenants/demo/cdrs", http.StatusOK); !strings.Contains(record, `"trunk_in":"gw1"`) {
		t.Errorf("the record does not name the trunk: %s", record)
	}

	// The carrier may not use us to call others.
	out := peer.Start(t, t.TempDir(), nil, "sipp", p.sip("udp"), "-sn", "uac", "-s", "0900123", "-i", "127.0.0.2", "-m", "1", "-nostdin", "-timeout", "20")
	if code := out.Wait(25 * time.Second); code == 0 {
		t.Error("the carrier called out through us")
	}
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 2, voice.OutcomeRejected: 1})
}
