package e2e

import (
	"encoding/xml"
	"net/http"
	"testing"

	"parley/e2e/phone"
	"parley/e2e/script"
)

// lamp is a subscription to what a number does, and what its phone shows of it.
type lamp struct {
	t       *testing.T
	sub     *script.Dialog
	entity  string
	version int // of the last document; -1 = none came
	dialogs map[string]string
	state   string // of the subscription
}

// dialogInfo is a document (RFC 4235 §4.1).
type dialogInfo struct {
	XMLName xml.Name `xml:"urn:ietf:params:xml:ns:dialog-info dialog-info"`
	Version int      `xml:"version,attr"`
	State   string   `xml:"state,attr"`
	Entity  string   `xml:"entity,attr"`
	Dialogs []struct {
		ID        string `xml:"id,attr"`
		Direction string `xml:"direction,attr"`
		State     string `xml:"state"`
		Local     struct {
			Target struct {
				Params []struct {
					Name  string `xml:"pname,attr"`
					Value string `xml:"pval,attr"`
				} `xml:"param"`
			} `xml:"target"`
		} `xml:"local"`
		Remote struct {
			Identity string `xml:"identity"`
		} `xml:"remote"`
	} `xml:"dialog"`
}

// watching lets a phone watch a number; the first NOTIFY has been read.
func watching(t *testing.T, p *script.Phone, number string) *lamp {
	t.Helper()
	sub, res := p.Subscribe(number, "dialog", 600, "Accept: application/dialog-info+xml")
	want(t, res, 200)
	l := &lamp{t: t, sub: sub, entity: "sip:" + number + "@demo.local", version: -1, dialogs: map[string]string{}}
	l.next()
	return l
}

// next reads a NOTIFY as RFC 4235 §4.1 wants it read.
func (l *lamp) next() {
	l.t.Helper()
	m := l.sub.Request("NOTIFY")
	l.sub.Reply(m, 200, "")
	var d dialogInfo
	if err := xml.Unmarshal([]byte(m.Body), &d); err != nil || m.Get("Content-Type") != "application/dialog-info+xml" || m.Get("Event") != "dialog" {
		l.t.Fatalf("%v in\n%s", err, m.Raw)
	}
	if d.Version <= l.version || d.State != "full" && d.Version != l.version+1 || d.Entity != l.entity {
		l.t.Errorf("version %d of %s after %d of %s", d.Version, d.Entity, l.version, l.entity)
	}
	l.version, l.state = d.Version, m.Get("Subscription-State")
	if d.State == "full" {
		clear(l.dialogs)
	}
	for _, one := range d.Dialogs {
		shown := one.Direction + " " + one.State
		for _, p := range one.Local.Target.Params {
			if p.Name == "+sip.rendering" && p.Value == "no" {
				shown += " held"
			}
		}
		if one.Remote.Identity != "" {
			shown += " " + one.Remote.Identity
		}
		if l.dialogs[one.ID] = shown; one.State == "terminated" {
			delete(l.dialogs, one.ID)
		}
	}
}

// shows reads until the lamp shows one dialog with all the words, or none for "".
func (l *lamp) shows(words string) {
	l.t.Helper()
	for !l.is(words) {
		l.next()
	}
}

func (l *lamp) is(words string) bool {
	if words == "" {
		return len(l.dialogs) == 0
	}
	for _, d := range l.dialogs {
		return len(l.dialogs) == 1 && d == words
	}
	return false
}

// Lamps with scripted phones on real sockets, on one node.
func TestLamps(t *testing.T) {
	t.Parallel()
	p, _ := basic(t, "lamps")
	a, b, desk := scripted(t, p, "1001"), scripted(t, p, "1002"), scripted(t, p, "1003")
	callee, caller := watching(t, desk, "1002"), watching(t, desk, "1001")

	t.Run("a call from ringing to its end", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 180, "")
		callee.shows("recipient early sip:1001@demo.local")
		caller.shows("initiator early sip:1002@demo.local")
		in.Reply(in.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		callee.shows("recipient confirmed sip:1001@demo.local")
		caller.shows("initiator confirmed sip:1002@demo.local")

		hold := make(chan *phone.Message, 1)
		out.Send("INVITE", sdpOf(2, "sendonly"))
		hold <- in.Request("INVITE")
		in.Reply(<-hold, 200, sdpOf(2, "recvonly"))
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		caller.shows("initiator confirmed held sip:1002@demo.local")
		hungUp(out, in)
		callee.shows("")
		caller.shows("")
	})
	t.Run("free after busy", func(t *testing.T) { // what a phone makes call completion of
		out, in := connected(t, a, b)
		busy := desk.Call("1002", sdpOf(1))
		second := b.AwaitCall()
		second.Reply(second.Invite, 486, "")
		second.Request("ACK")
		want(t, busy.Final("INVITE"), 486)
		late := watching(t, desk, "1002")
		late.shows("recipient confirmed sip:1001@demo.local")
		hungUp(out, in)
		late.shows("")
	})
	t.Run("renewed and ended", func(t *testing.T) {
		l := watching(t, desk, "1001")
		want(t, l.sub.Renew("dialog", 120), 200)
		l.next()
		if l.state != "active;expires=120" {
			t.Errorf("Subscription-State %q", l.state)
		}
		want(t, l.sub.Renew("dialog", 0), 200)
		l.next()
		if l.state != "terminated;reason=timeout" {
			t.Errorf("Subscription-State %q", l.state)
		}
		want(t, l.sub.Renew("dialog", 120), 481)
	})
	t.Run("strangers hear the same of every number", func(t *testing.T) {
		stranger := scriptedStranger(t, p)
		for _, number := range []string{"1002", "4711", "gw1"} {
			if _, res := stranger.Subscribe(number, "dialog", 600); res.Status != 407 {
				t.Errorf("%s: %d", number, res.Status)
			}
		}
		_, res := desk.Subscribe("4711", "dialog", 600)
		want(t, res, 404)
		_, res = desk.Subscribe("gw1", "dialog", 600) // a trunk is nobody's line
		want(t, res, 404)
		if _, res = desk.Subscribe("1002", "presence", 600); res.Status != 489 || res.Get("Allow-Events") != "dialog" {
			t.Errorf("another package got\n%s", res.Raw)
		}
		if _, res = desk.Subscribe("1002", "dialog", 10); res.Status != 423 || res.Get("Min-Expires") != "60" {
			t.Errorf("ten seconds got\n%s", res.Raw)
		}
	})
	t.Run("the number goes", func(t *testing.T) {
		gone := watching(t, desk, "1008")
		rest(t, p, "config", http.MethodDelete, "/api/v1/tenants/demo/dns/1008", http.StatusNoContent)
		gone.next()
		if gone.state != "terminated;reason=noresource" {
			t.Errorf("Subscription-State %q", gone.state)
		}
	})
}

// scriptedStranger is a phone that has no account.
func scriptedStranger(t *testing.T, p *platform) *script.Phone {
	t.Helper()
	line, err := phone.Dial(t.Context(), "udp", p.sip("udp"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return script.New(t, line, "stranger", "", "demo.local")
}

// A lamp at one node shows calls of the other, and a phone that connects anew keeps its lamps.
func TestLampsAcrossNodes(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "")
	desk := scriptedAt(t, a, "1003", "tcp")
	l := watching(t, desk, "1002")
	k := connect(t, agent(t, b, "1001", "udp"), agent(t, b, "1002", "udp"))
	l.shows("recipient confirmed sip:1001@demo.local")
	if err := desk.Line.Close(); err != nil {
		t.Fatal(err)
	}
	again := scriptedAt(t, a, "1003", "tcp")
	if err := k.out.Bye(); err != nil {
		t.Fatal(err)
	}
	l.sub = l.sub.On(again)
	l.shows("")
}

// scriptedAt is a phone registered at a node of a pair.
func scriptedAt(t *testing.T, p *platform, number, transport string) *script.Phone {
	t.Helper()
	line, err := phone.Dial(t.Context(), transport, p.sip(transport), nil)
	if err != nil {
		t.Fatal(err)
	}
	return script.New(t, line, number, nodeSecret, "demo.local")
}
