package e2e

import (
	"strings"
	"testing"

	"parley/e2e/script"
	"parley/internal/voice"
)

// Feature codes with scripted phones on real sockets.
func TestFeatureCodes(t *testing.T) {
	t.Parallel()
	p, _ := basic(t, "features")
	groups := provision(t, `tenants:
  - name: demo
    dns:
      - {number: "1002", type: extension, options: {TServer: {pickup-group: sales}}}
      - {number: "1003", type: extension, options: {TServer: {pickup-group: sales}}}
`)
	if out, code := p.cli("apply", "-f", groups); code != 0 {
		t.Fatalf("apply: %s", out)
	}
	a, b, c := scripted(t, p, "1001"), scripted(t, p, "1002"), scripted(t, p, "1003")
	lamp := watching(t, a, "1002")

	for _, code := range []string{"**1002", "*8"} {
		t.Run("picked up by "+code, func(t *testing.T) {
			out := a.Call("1002", sdpOf(1))
			in := b.AwaitCall()
			in.Reply(in.Invite, 180, "")
			out.Await(180)
			lamp.shows("recipient early sip:1001@demo.local") // so the node knows
			other := c.Call(code, sdpOf(1))
			other.Ack(other.Await(200), "")
			cancel := in.Request("CANCEL")
			if r := cancel.Get("Reason"); !strings.Contains(r, "completed elsewhere") {
				t.Errorf("the phone that rang reads Reason %q", r)
			}
			in.Reply(cancel, 200, "")
			in.Reply(in.Invite, 487, "")
			in.Request("ACK")
			out.Ack(out.Await(200), "")
			hungUp(out, other)
			lamp.shows("")
			if r := recorded(t, p, "1001", voice.OutcomeAnswered); r.Dialled != "1002" || r.Answered != "1003" {
				t.Errorf("record %+v", r)
			}
		})
	}
	t.Run("nothing rings", func(t *testing.T) {
		want(t, c.Call("**1002", sdpOf(1)).Final("INVITE"), 480)
	})
	t.Run("do not disturb", func(t *testing.T) {
		dialled(t, c, "*78")
		want(t, a.Call("1003", sdpOf(1)).Final("INVITE"), 486)
		dialled(t, c, "*79")
		out, in := connected(t, a, c)
		hungUp(out, in)
	})
	t.Run("forwarded", func(t *testing.T) {
		dialled(t, c, "*721002")
		out := a.Call("1003", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		hungUp(out, in)
		dialled(t, c, "*73")
		out, in = connected(t, a, c)
		hungUp(out, in)
	})
}

// dialled dials a code that is confirmed by a beep, after which the node hangs up.
func dialled(t *testing.T, p *script.Phone, code string) {
	t.Helper()
	out := p.Call(code, sdpOf(1))
	out.Ack(out.Await(200), "")
	out.HungUp()
}
