package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/contract"
)

// scriptNode starts a node whose 9000 runs the sample application, and 9001 one that sends callers where a digit says.
func scriptNode(t *testing.T, id string) *platform {
	t.Helper()
	text, err := os.ReadFile("../configs/scxml/welcome.scxml")
	if err != nil {
		t.Fatal(err)
	}
	inline := func(text string) string {
		b, err := json.Marshal(text) // which YAML reads too
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const digits = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" xmlns:dialog="www.genesyslab.com/modules/dialog" xmlns:ixn="www.genesyslab.com/modules/interaction">
<state id="waiting"><transition event="interaction.present" target="asking"/></state>
<state id="asking"><onentry><dialog:collect max_digits="1" start_timeout="20"/></onentry>
  <transition event="dialog.collect.done" cond="_event.data.digits === '2'" target="going"/>
  <transition event="dialog.collect.done" target="asking"/></state>
<state id="going"><onentry><ixn:redirect destination="'1002'"/></onentry>
  <transition event="interaction.redirect.done" target="gone"/><transition event="error.interaction.redirect" target="asking"/></state>
<final id="gone"/></scxml>`
	var dns strings.Builder
	for n := 1001; n <= 1003; n++ {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", n, nodeSecret)
	}
	return start(t, id, "", "--provision", provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
		"      - {number: \"9000\", type: routing-point, application: welcome}\n      - {number: \"9001\", type: routing-point, application: digits}\n"+
		"    persons: [{username: admin, password: the-admin-secret, roles: [system]}]\n"+
		"    scripts: [{name: welcome, scxml: "+inline(string(text))+"}, {name: digits, scxml: "+inline(digits)+"}]\n"))
}

// playing waits until the caller at a route point has that treatment.
func (p *platform) playing(dn, treatment string) {
	p.t.Helper()
	p.atQueue(dn, func(c contract.LiveCall) bool { return c.Treatment == treatment })
}

// A softphone calls a route point with the sample application: it hears the menu, presses a digit, and talks to the phone behind it.
func TestScriptRoutesByDigit(t *testing.T) {
	t.Parallel()
	p := scriptNode(t, "scripts")
	first, second := agent(t, p, "1001", "udp"), agent(t, p, "1002", "udp")
	m := newMember(t, p, "1003", 500, false)

	m.proc.Type("/dial sip:9000@demo.local")
	m.proc.Await(`Call established`, 15*time.Second)
	p.playing("9000", "PlayAnnouncementAndDigits")
	m.proc.Type("1")
	takesCall(t, first)

	m.proc.Type("/dial sip:9001@demo.local")
	p.playing("9001", "CollectDigits")
	m.proc.Type("7") // means nothing
	p.playing("9001", "CollectDigits")
	m.proc.Type("2")
	takesCall(t, second)

	peer.Poll(t, 20*time.Second, func() error { // nothing of the sessions is left
		var out struct {
			Sessions int `json:"sessions"`
		}
		if err := json.Unmarshal([]byte(rest(t, p, "orchestration", http.MethodGet, "/heartbeat/", http.StatusOK)), &out); err != nil {
			return err
		}
		if out.Sessions != 0 {
			return fmt.Errorf("%d sessions run", out.Sessions)
		}
		return nil
	})
}

// takesCall takes the call that comes to a phone, hears the caller, and hangs up.
func takesCall(t *testing.T, at *phone.Agent) {
	t.Helper()
	var in *phone.Call
	select {
	case in = <-at.Incoming:
	case <-time.After(20 * time.Second):
		t.Fatal("no call came")
	}
	far := phone.OpenAudio(t)
	if err := in.Answer(far.Offer("sendrecv")); err != nil {
		t.Fatal(err)
	}
	peer.Poll(t, 20*time.Second, func() error {
		if n := len(far.Got()); n < 25 {
			return fmt.Errorf("the phone heard %d packets", n)
		}
		return nil
	})
	if err := in.Bye(); err != nil {
		t.Fatal(err)
	}
}
