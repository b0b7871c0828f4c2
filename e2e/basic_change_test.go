package e2e

import (
	"strings"
	"testing"

	"parley/internal/voice"
)

// What happens to calls that stand: changes from both sides, session timers, ends that cross.
func TestBasicChanges(t *testing.T) {
	t.Parallel() // it waits more than it works
	p, _ := basic(t, "basic-changes")
	a, b := scripted(t, p, "1001"), scripted(t, p, "1002")

	t.Run("hold by re-INVITE", func(t *testing.T) {
		out, in := connected(t, a, b)
		out.Send("INVITE", sdpOf(2, "sendonly"))
		hold := in.Request("INVITE")
		if !strings.Contains(hold.Body, "a=sendonly") {
			t.Errorf("the phone was not put on hold:\n%s", hold.Raw)
		}
		in.Reply(hold, 200, sdpOf(2, "recvonly"))
		ok := out.Final("INVITE")
		if !strings.Contains(ok.Body, "a=recvonly") {
			t.Errorf("the answer to hold is\n%s", ok.Raw)
		}
		out.Ack(ok, "")
		in.Request("ACK")
		in.Send("INVITE", sdpOf(3, "recvonly", "ptime:30")) // the other side changes something meanwhile
		change := out.Request("INVITE")
		out.Reply(change, 200, sdpOf(3, "sendonly"))
		in.Ack(in.Final("INVITE"), "")
		out.Request("ACK")
		hungUp(out, in)
	})
	t.Run("hold by UPDATE", func(t *testing.T) {
		out, in := connected(t, a, b)
		out.Send("UPDATE", sdpOf(2, "sendonly"))
		hold := in.Request("UPDATE")
		in.Reply(hold, 200, sdpOf(2, "recvonly"))
		if ok := out.Final("UPDATE"); ok.Status != 200 || !strings.Contains(hold.Body, "a=sendonly") || !strings.Contains(ok.Body, "a=recvonly") {
			t.Errorf("hold by UPDATE:\n%s\n%s", hold.Raw, ok.Raw)
		}
		hungUp(out, in)
	})
	t.Run("another codec", func(t *testing.T) {
		out, in := connected(t, a, b)
		in.Send("INVITE", strings.Replace(sdpOf(2), "RTP/AVP 8 0 101", "RTP/AVP 0 101", 1))
		change := out.Request("INVITE")
		if !strings.Contains(change.Body, "RTP/AVP 0 101") {
			t.Errorf("the change arrived as\n%s", change.Raw)
		}
		out.Reply(change, 488, "")
		if res := in.Final("INVITE"); res.Status != 488 {
			t.Errorf("488 arrived as\n%s", res.Raw)
		}
		out.Request("ACK") // and the call goes on as it was
		in.Send("INVITE", strings.Replace(sdpOf(3), "RTP/AVP 8 0 101", "RTP/AVP 0 101", 1))
		out.Reply(out.Request("INVITE"), 200, strings.Replace(sdpOf(2), "RTP/AVP 8 0 101", "RTP/AVP 0 101", 1))
		ok := in.Final("INVITE")
		if !strings.Contains(ok.Body, "RTP/AVP 0 101") {
			t.Errorf("the answer arrived as\n%s", ok.Raw)
		}
		in.Ack(ok, "")
		out.Request("ACK")
		hungUp(in, out)
	})
	t.Run("a late offer in a re-INVITE", func(t *testing.T) {
		out, in := connected(t, a, b)
		out.Send("INVITE", "")
		re := in.Request("INVITE")
		if re.Body != "" {
			t.Errorf("the phone got an offer nobody made:\n%s", re.Raw)
		}
		in.Reply(re, 200, sdpOf(2, "ptime:20"))
		offer := out.Final("INVITE")
		out.Ack(offer, sdpOf(2, "ptime:20"))
		if ack := in.Request("ACK"); !strings.Contains(offer.Body, "m=audio") || !strings.Contains(ack.Body, "m=audio") {
			t.Errorf("offer %q, answer %q", offer.Body, ack.Body)
		}
		hungUp(out, in)
	})
	t.Run("glare", func(t *testing.T) {
		out, in := connected(t, a, b)
		out.Send("INVITE", sdpOf(2, "sendonly"))
		re := in.Request("INVITE")
		in.Send("INVITE", sdpOf(2, "sendonly"))
		want(t, in.Final("INVITE"), 491)
		in.Reply(re, 491, "")
		want(t, out.Final("INVITE"), 491)
		in.Request("ACK")
		hungUp(out, in)
	})
	t.Run("a re-INVITE given up", func(t *testing.T) {
		out, in := connected(t, a, b)
		out.Send("INVITE", sdpOf(2, "sendonly"))
		re := in.Request("INVITE")
		in.Reply(re, 180, "")
		out.Cancel()
		cancel := in.Request("CANCEL")
		in.Reply(cancel, 200, "")
		in.Reply(re, 487, "")
		want(t, out.Final("INVITE"), 487)
		in.Request("ACK")
		hungUp(out, in)
	})
	t.Run("both hang up at once", func(t *testing.T) {
		out, in := connected(t, a, b)
		out.Send("BYE", "")
		bye := in.Request("BYE")
		in.Send("BYE", "")
		in.Reply(bye, 200, "")
		want(t, in.Final("BYE"), 200)
		want(t, out.Final("BYE"), 200)
		recorded(t, p, "1001", voice.OutcomeAnswered)
	})
	t.Run("a phone that forgot the call", func(t *testing.T) {
		out, in := connected(t, a, b)
		out.Send("UPDATE", sdpOf(2, "sendonly"))
		in.Reply(in.Request("UPDATE"), 481, "")
		want(t, out.Final("UPDATE"), 481)
		in.HungUp()
		out.HungUp()
	})
	t.Run("a phone's refresh bothers nobody", func(t *testing.T) {
		out, in := connected(t, a, b, "Supported: timer", "Session-Expires: 1800")
		res := out.Ask("INVITE", sdpOf(2), "Supported: timer", "Session-Expires: 600;refresher=uac")
		if res.Status != 200 || res.Get("Session-Expires") != "600;refresher=uac" || !strings.Contains(res.Body, "m=audio") {
			t.Errorf("the refresh got\n%s", res.Raw)
		}
		out.Ack(res, "")
		if res := out.Ask("UPDATE", "", "Supported: timer", "Session-Expires: 600;refresher=uac"); res.Status != 200 {
			t.Errorf("the refresh by UPDATE got\n%s", res.Raw)
		}
		if res := out.Ask("UPDATE", "", "Supported: timer", "Session-Expires: 30"); res.Status != 422 || res.Get("Min-SE") != "90" {
			t.Errorf("30 s got\n%s", res.Raw)
		}
		if bye := hungUp(out, in); bye.Get("CSeq") != "2 BYE" {
			t.Errorf("the other phone was asked something between INVITE and\n%s", bye.Raw)
		}
	})
	t.Run("an interval that is too small", func(t *testing.T) {
		want(t, a.Call("1002", sdpOf(1), "Supported: timer", "Session-Expires: 60").Final("INVITE"), 422)
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 422, "", "Min-SE: 7200")
		in.Request("ACK")
		again := in.Request("INVITE")
		if again.Get("Session-Expires") != "7200" || again.Get("Min-SE") != "7200" || again.Get("CSeq") != "2 INVITE" {
			t.Errorf("after 422 the phone got\n%s", again.Raw)
		}
		in.Reply(again, 200, sdpOf(1), "Require: timer", "Session-Expires: 7200;refresher=uac")
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		hungUp(out, in)
	})
}

// Session timers that run out. The phone answers with ten seconds, less than it was offered: that is not nice, but short.
func TestBasicSessionExpires(t *testing.T) {
	t.Parallel()
	p, _ := basic(t, "basic-expires")

	t.Run("we refresh", func(t *testing.T) {
		t.Parallel()
		a, b := scripted(t, p, "1001"), scripted(t, p, "1002")
		out := a.Call("1002", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 200, sdpOf(1), "Require: timer", "Session-Expires: 10;refresher=uac", "Allow: INVITE, ACK, BYE, UPDATE")
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		refresh := in.Request("UPDATE")
		if refresh.Body != "" || refresh.Get("Session-Expires") != "10;refresher=uac" {
			t.Errorf("the refresh is\n%s", refresh.Raw)
		}
		in.Reply(refresh, 200, "", "Require: timer", "Session-Expires: 10;refresher=uac", "Allow: INVITE, ACK, BYE") // no UPDATE next time
		again := in.Request("INVITE")
		if again.Body != in.Invite.Body {
			t.Errorf("the refresh by re-INVITE says\n%s\nafter\n%s", again.Body, in.Invite.Body)
		}
		in.Reply(again, 481, "") // it forgot the call
		in.Request("ACK")
		in.HungUp()
		out.HungUp()
	})
	t.Run("the phone does not", func(t *testing.T) {
		t.Parallel()
		a, b := scripted(t, p, "1003"), scripted(t, p, "1004")
		out := a.Call("1004", sdpOf(1))
		in := b.AwaitCall()
		in.Reply(in.Invite, 200, sdpOf(1), "Require: timer", "Session-Expires: 10;refresher=uas")
		out.Ack(out.Await(200), "")
		in.Request("ACK")
		bye := in.HungUp() // a third of the interval before its end
		if !strings.Contains(bye.Get("Reason"), "SIP;cause=408") {
			t.Errorf("the phone was hung up by\n%s", bye.Raw)
		}
		out.HungUp()
		if r := recorded(t, p, "1003", voice.OutcomeAnswered); r.EndedBy != "system" || !strings.Contains(r.Reason, "expired") {
			t.Errorf("the record says that %s ended the call: %s", r.EndedBy, r.Reason)
		}
	})
}
