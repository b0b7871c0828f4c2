package e2e

import (
	"strings"
	"testing"

	"parley/e2e/phone"
	"parley/e2e/script"
	"parley/internal/voice"
)

// How calls come about, or not: each line of the basic call with scripted phones on real sockets.
func TestBasicSetup(t *testing.T) {
	t.Parallel() // it waits more than it works
	p, carrier := basic(t, "basic-setup")
	phones := map[string]*script.Phone{}
	for _, n := range []string{"1001", "1002", "1003", "1004"} {
		phones[n] = scripted(t, p, n)
	}
	a, b := phones["1001"], phones["1002"]

	t.Run("early media", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 183, sdpOf(1))
		early := out.Await(183)
		if !strings.Contains(early.Body, "m=audio") || strings.Contains(early.Body, "m=audio 40000") || strings.Contains(early.Raw, "Scripted Phone") {
			t.Errorf("the caller hears of early media by\n%s", early.Raw)
		}
		in.Reply(in.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		hungUp(out, in)
	})
	t.Run("a forked call is cancelled with a reason", func(t *testing.T) {
		one, other := scripted(t, p, "1005"), scripted(t, p, "1005")
		out := a.Call("1005", sdpOf(1))
		first, second := one.AwaitCall(), other.AwaitCall()
		first.Reply(first.Invite, 180, "")
		second.Reply(second.Invite, 180, "")
		out.Await(180)
		second.Reply(second.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		cancel := first.Request("CANCEL")
		if r := cancel.Get("Reason"); !strings.Contains(r, "cause=200") || !strings.Contains(r, "completed elsewhere") {
			t.Errorf("the phone that lost reads Reason %q", r)
		}
		first.Reply(cancel, 200, "")
		first.Reply(first.Invite, 487, "")
		first.Request("ACK")
		second.Request("ACK")
		hungUp(out, second)
	})
	t.Run("given up", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 180, "")
		out.Await(180)
		out.Cancel(`Reason: Q.850;cause=31;text="Normal"`)
		want(t, out.Final("CANCEL"), 200)
		want(t, out.Final("INVITE"), 487)
		cancel := in.Request("CANCEL")
		if r := cancel.Get("Reason"); !strings.Contains(r, "Q.850;cause=31") {
			t.Errorf("the phone reads Reason %q", r)
		}
		in.Reply(cancel, 200, "")
		in.Reply(in.Invite, 487, "")
		in.Request("ACK")
		recorded(t, p, "1001", voice.OutcomeAbandoned)
	})
	t.Run("an answer crosses the CANCEL", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 180, "")
		out.Await(180)
		out.Cancel()
		cancel := in.Request("CANCEL")
		in.Reply(in.Invite, 200, sdpOf(1)) // it was picked up before
		in.Reply(cancel, 481, "")
		want(t, out.Final("INVITE"), 487)
		in.Request("ACK")
		in.HungUp()
	})
	t.Run("busy", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 486, "", `Reason: Q.850;cause=17;text="User busy"`, `Warning: 399 secret.example "in a meeting"`)
		busy := out.Final("INVITE")
		want(t, busy, 486)
		if !strings.Contains(busy.Get("Reason"), "cause=17") || strings.Contains(busy.Raw, "secret.example") {
			t.Errorf("the caller reads\n%s", busy.Raw)
		}
		in.Request("ACK")
		recorded(t, p, "1001", voice.OutcomeBusy)
	})
	t.Run("nobody answers", func(t *testing.T) {
		c := scripted(t, p, "1009") // which rings for a second
		out := a.Call("1009", sdpOf(1))
		in := c.AwaitCall()
		in.Reply(in.Invite, 180, "")
		cancel := in.Request("CANCEL")
		in.Reply(cancel, 200, "")
		in.Reply(in.Invite, 487, "")
		want(t, out.Final("INVITE"), 480)
		recorded(t, p, "1001", voice.OutcomeNoAnswer)
	})
	t.Run("redirected", func(t *testing.T) {
		c := phones["1003"]
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 302, "", "Contact: <sip:1003@demo.local>")
		in.Request("ACK")
		next := c.AwaitCall()
		if d := next.Invite.Get("Diversion"); !strings.Contains(d, "1002") {
			t.Errorf("the new place reads Diversion %q", d)
		}
		next.Reply(next.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		next.Request("ACK")
		hungUp(next, out)
	})
	t.Run("late offer", func(t *testing.T) {
		out := a.Call("1002", "")
		in := b.AwaitCall()
		if in.Invite.Body != "" {
			t.Errorf("the phone got an offer nobody made:\n%s", in.Invite.Raw)
		}
		in.Reply(in.Invite, 200, sdpOf(1))
		offer := out.Await(200)
		out.Ack(offer, sdpOf(1))
		if ack := in.Request("ACK"); !strings.Contains(offer.Body, "m=audio") || !strings.Contains(ack.Body, "m=audio") {
			t.Errorf("offer %q, answer %q", offer.Body, ack.Body)
		}
		hungUp(out, in)
	})
	t.Run("no ACK", func(t *testing.T) {
		caller := phones["1004"]
		out := caller.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 200, sdpOf(1))
		ok := out.Await(200)
		caller.Repeated(ok, 5)
		out.HungUp() // after 64 T1
		in.Request("ACK")
		in.HungUp()
		if r := recorded(t, p, "1004", voice.OutcomeAnswered); r.EndedBy != "system" {
			t.Errorf("the record says that %s ended the call", r.EndedBy)
		}
	})
	t.Run("a lost ACK of ours", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 200, sdpOf(1))
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		in.Reply(in.Invite, 200, sdpOf(1)) // it did not hear it
		in.Request("ACK")
		hungUp(in, out)
	})
	t.Run("hops and loops", func(t *testing.T) {
		want(t, a.Call("1002", sdpOf(1), "Max-Forwards: 0").Final("INVITE"), 483)
		out := a.Call("1002", sdpOf(1), "Max-Forwards: 9")
		in := b.AwaitCall()
		if hops := in.Invite.Get("Max-Forwards"); len(hops) != 1 || hops >= "9" {
			t.Errorf("Max-Forwards was 9 and is %s", hops)
		}
		in.Reply(in.Invite, 302, "", "Contact: <sip:1003@demo.local>")
		in.Request("ACK")
		next := phones["1003"].AwaitCall() // which sends it back
		next.Reply(next.Invite, 302, "", "Contact: <sip:1002@demo.local>")
		next.Request("ACK")
		want(t, out.Final("INVITE"), 482)

		out = a.Call("1002", sdpOf(1)) // a phone that sends the call itself back to us, as a proxy would
		in = b.AwaitCall()
		b.Write(strings.Replace(in.Invite.Raw, "Via: ", "Via: SIP/2.0/UDP "+b.Line.Local()+";branch=z9hG4bKback\r\nVia: ", 1))
		if back := in.Final("INVITE"); back.Status/100 != 4 {
			t.Errorf("our own INVITE, sent back, got\n%s", back.Raw)
		}
		in.Reply(in.Invite, 486, "")
		want(t, out.Final("INVITE"), 486)
	})
	t.Run("5 KB of SDP by datagram", func(t *testing.T) {
		long := "fmtp:0 x-filler=" + strings.Repeat("0123456789", 480)
		out := a.Call("1002", sdpOf(1, long))
		in := b.AwaitCall()
		if len(in.Invite.Raw) < 5000 || !strings.Contains(in.Invite.Body, long) {
			t.Errorf("the phone got %d bytes", len(in.Invite.Raw))
		}
		in.Reply(in.Invite, 200, sdpOf(1, long))
		ok := out.Await(200)
		if len(ok.Raw) < 5000 || !strings.Contains(ok.Body, long) {
			t.Errorf("the caller got %d bytes", len(ok.Raw))
		}
		out.Ack(ok, "")
		in.Request("ACK")
		hungUp(out, in)
	})
	t.Run("who calls, and who does not want to be known", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1), `From: "Eve" <sip:1004@demo.local>`, "P-Asserted-Identity: <sip:1004@demo.local>", "P-Preferred-Identity: <sip:1004@demo.local>")
		in := b.AwaitCall()
		if pai := in.Invite.Get("P-Asserted-Identity"); !strings.Contains(pai, "sip:1001@") || strings.Contains(in.Invite.Raw, "1004") {
			t.Errorf("the phone was told that 1004 calls:\n%s", in.Invite.Raw)
		}
		in.Reply(in.Invite, 486, "")
		out.Final("INVITE")
		out = a.Call("1002", sdpOf(1), "Privacy: id")
		in = b.AwaitCall()
		if strings.Contains(in.Invite.Raw, "1001") || !strings.Contains(in.Invite.Get("From"), "anonymous.invalid") {
			t.Errorf("the phone was told who calls:\n%s", in.Invite.Raw)
		}
		in.Reply(in.Invite, 486, "")
		out.Final("INVITE")
		outbound := a.Call("0123", sdpOf(1), "Privacy: id") // a carrier is trusted, and asked not to tell
		in = carrier.AwaitCall()
		if in.Invite.Get("Privacy") != "id" || !strings.Contains(in.Invite.Get("P-Asserted-Identity"), "sip:1001@") || !strings.Contains(in.Invite.Get("From"), "anonymous.invalid") {
			t.Errorf("the carrier was told\n%s", in.Invite.Raw)
		}
		in.Reply(in.Invite, 486, "")
		outbound.Final("INVITE")
		inbound := carrier.Call("1002", sdpOf(1), `From: "Anonymous" <sip:anonymous@anonymous.invalid>`, "P-Asserted-Identity: <sip:4930123456@carrier.example>", "Privacy: id")
		in = b.AwaitCall()
		if strings.Contains(in.Invite.Raw, "4930123456") || strings.Contains(in.Invite.Raw, "carrier.example") {
			t.Errorf("the phone was told who calls from outside:\n%s", in.Invite.Raw)
		}
		in.Reply(in.Invite, 486, "")
		inbound.Final("INVITE")
	})
	t.Run("what is not for this place", func(t *testing.T) {
		out, in := connected(t, a, b)
		for method, status := range map[string]int{"PUBLISH": 405, "SUBSCRIBE": 489, "NOTIFY": 489} {
			res := out.Ask(method, "", "Refer-To: <sip:1003@demo.local>", "Event: dialog")
			want(t, res, status)
			if status == 405 && !strings.Contains(res.Get("Allow"), "UPDATE") {
				t.Errorf("405 without Allow:\n%s", res.Raw)
			}
		}
		want(t, out.Ask("JUMP", ""), 501)
		hungUp(out, in, `Reason: Q.850;cause=16;text="Normal call clearing"`)
	})
	t.Run("nothing of one side is seen on the other", func(t *testing.T) {
		out, in := connected(t, a, b, "Subject: lunch")
		bye := hungUp(out, in, `Reason: SIP;cause=200;text="bye"`)
		if r := bye.Get("Reason"); !strings.Contains(r, `text="bye"`) {
			t.Errorf("BYE came with Reason %q", r)
		}
		if in.Invite.Get("Subject") != "lunch" {
			t.Errorf("the subject did not come through:\n%s", in.Invite.Raw)
		}
		for _, c := range []struct {
			who, of *script.Phone
			id      string
		}{{b, a, out.ID}, {a, b, in.ID}} {
			for _, secret := range []string{c.of.Line.Local(), c.id, "scripted phone", "Scripted Phone"} {
				if strings.Contains(strings.ToLower(ofOthers(c.who.Heard())), strings.ToLower(secret)) {
					t.Errorf("%s read %q of %s", c.who.User, secret, c.of.User)
				}
			}
		}
	})
}

// ofOthers leaves out of what a phone heard the lines that repeat what it said itself.
func ofOthers(heard string) string {
	var out []string
	for _, l := range strings.Split(heard, "\n") {
		if name, _, _ := strings.Cut(l, ":"); name != "Via" && name != "Call-ID" && name != "i" {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// Provisional responses that must arrive, towards callers and from phones.
func TestBasicReliable(t *testing.T) {
	t.Parallel()
	p, carrier := basic(t, "basic-reliable")
	a, b := scripted(t, p, "1001"), scripted(t, p, "1002")

	t.Run("a caller who requires it", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1), "Require: 100rel")
		in := b.AwaitCall()
		in.Reply(in.Invite, 180, "")
		ringing := out.Await(180)
		a.Repeated(ringing, 3)
		want(t, out.Ask("PRACK", "", "RAck: 1 1 INVITE"), 481)
		want(t, out.Prack(ringing, ""), 200)
		in.Reply(in.Invite, 183, sdpOf(1))
		early := out.Await(183)
		if early.Get("Require") != "100rel" || early.Body == "" {
			t.Errorf("early media came by\n%s", early.Raw)
		}
		in.Reply(in.Invite, 200, sdpOf(1)) // waits for the PRACK to the answer in the 183
		a.Repeated(early, 2)
		want(t, out.Prack(early, ""), 200)
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		hungUp(out, in)
	})
	t.Run("a caller who never acknowledges", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1), "Require: 100rel")
		in := b.AwaitCall()
		in.Reply(in.Invite, 180, "")
		want(t, out.Final("INVITE"), 504)
		in.Reply(in.Request("CANCEL"), 200, "")
		in.Reply(in.Invite, 487, "")
	})
	t.Run("a carrier that forks", func(t *testing.T) {
		out := a.Call("0123", sdpOf(1))
		in := carrier.AwaitCall()
		if !strings.Contains(strings.Join(in.Invite.Headers["supported"], ","), "100rel") {
			t.Errorf("the carrier is not offered 100rel:\n%s", in.Invite.Raw)
		}
		other := in.Fork()
		in.Reply(in.Invite, 180, "", "Require: 100rel", "RSeq: 1")
		prack := in.Request("PRACK")
		if prack.Get("RAck") != "1 "+in.Invite.Get("CSeq") {
			t.Errorf("RAck %q", prack.Get("RAck"))
		}
		in.Reply(prack, 200, "")
		other.Reply(in.Invite, 183, sdpOf(1), "Require: 100rel", "RSeq: 77")
		second := other.Request("PRACK")
		if !strings.HasPrefix(second.Get("RAck"), "77 ") || second.Get("To") == prack.Get("To") {
			t.Errorf("the PRACK of the second early dialog is\n%s", second.Raw)
		}
		other.Reply(second, 200, "")
		other.Reply(in.Invite, 200, "")
		ok := out.Await(200)
		if !strings.Contains(ok.Body, "m=audio") {
			t.Errorf("the answer of the 183 did not reach the caller:\n%s", ok.Raw)
		}
		out.Ack(ok, "")
		in.Request("ACK")
		in.Reply(in.Invite, 200, sdpOf(1)) // the other phone there was picked up, too
		in.Request("ACK")
		if bye := in.HungUp(); !strings.Contains(bye.Get("Reason"), "completed elsewhere") {
			t.Errorf("the phone that was second is hung up by\n%s", bye.Raw)
		}
		hungUp(out, other)
	})
	t.Run("a late offer while it rings", func(t *testing.T) {
		out := a.Call("1002", "", "Supported: 100rel")
		in := b.AwaitCall()
		in.Reply(in.Invite, 183, sdpOf(1), "Require: 100rel", "RSeq: 9")
		offer := out.Await(183)
		done := make(chan *phone.Message, 1)
		go func() { done <- out.Prack(offer, sdpOf(1)) }()
		prack := in.Request("PRACK")
		if !strings.Contains(prack.Body, "m=audio") {
			t.Errorf("the answer did not come with the PRACK:\n%s", prack.Raw)
		}
		in.Reply(prack, 200, "")
		want(t, <-done, 200)
		in.Reply(in.Invite, 200, "")
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		hungUp(out, in)
	})
	t.Run("UPDATE while it rings", func(t *testing.T) {
		out := a.Call("1002", sdpOf(1), "Supported: 100rel", "Allow: INVITE, ACK, BYE, UPDATE, PRACK")
		in := b.AwaitCall()
		in.Reply(in.Invite, 183, sdpOf(1), "Require: 100rel", "RSeq: 1", "Allow: INVITE, ACK, BYE, UPDATE, PRACK")
		early := out.Await(183)
		in.Reply(in.Request("PRACK"), 200, "")
		want(t, out.Prack(early, ""), 200)
		out.Send("UPDATE", sdpOf(2, "sendonly"))
		update := in.Request("UPDATE")
		if !strings.Contains(update.Body, "a=sendonly") {
			t.Errorf("the phone was not put on hold:\n%s", update.Raw)
		}
		in.Reply(update, 200, sdpOf(2, "recvonly"))
		want(t, out.Final("UPDATE"), 200)
		in.Send("UPDATE", sdpOf(3))
		back := out.Request("UPDATE")
		out.Reply(back, 200, sdpOf(3))
		want(t, in.Final("UPDATE"), 200)
		in.Reply(in.Invite, 200, "")
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		hungUp(out, in)
	})
}
