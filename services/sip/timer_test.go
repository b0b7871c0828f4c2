package sip

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// timed is a stage whose ladder shows what session timers are about.
func timed(t *testing.T) *stage {
	s := newStage(t)
	s.fields = []string{"Session-Expires", "Min-SE", "Require", "Reason"}
	return s
}

// talkTimed sets a call up whose phones say that about session timers.
func (s *stage) talkTimed(callerSays, phoneSays []string) (b *sentRequest) {
	s.t.Helper()
	s.phone("1002", "b")
	s.call("1002", callerSays...)
	b = s.last("INVITE", "b")
	b.answer(200, sdpAnswer, phoneSays...)
	s.callerSays("ACK", 1, "")
	return b
}

// Phones that know timers refresh for themselves, each on its leg; the other one is not bothered. One that stops is gone.
func TestPhonesRefresh(t *testing.T) {
	s := timed(t)
	b := s.talkTimed([]string{"Supported: timer", "Session-Expires: 1800"}, []string{"Require: timer", "Session-Expires: 600;refresher=uas"})
	s.pass(5 * time.Minute)
	again := s.phoneSays(b, "INVITE", 1, strings.Replace(sdpAnswer, "o=- 2 2", "o=- 2 3", 1), "Supported: timer", "Session-Expires: 600;refresher=uac")
	if again.last.StatusCode != 200 || len(again.last.Body()) == 0 {
		t.Errorf("a refresh by re-INVITE got\n%s", again.last)
	}
	s.phoneSays(b, "ACK", 1, "")
	s.pass(8 * time.Minute)
	s.callerSays("UPDATE", 2, "", "Supported: timer", "Session-Expires: 1800;refresher=uac")
	s.pass(2 * time.Minute) // b says nothing more
	s.last("BYE", "b").fails(errors.New("timeout"))
	s.last("BYE", "1001").answer(200, "")
	s.check("phones-refresh")
	if r := s.records[0]; r.Talk != 5*time.Minute+10*time.Minute-32*time.Second {
		t.Errorf("the call ended after %v, want 32 s before the session of b", r.Talk)
	}
}

// Of phones that know no timers, we find out ourselves whether they are there: by UPDATE, or by a re-INVITE that says nothing new.
func TestNodeRefreshes(t *testing.T) {
	s := timed(t)
	b := s.talkTimed([]string{"Allow: INVITE, ACK, BYE, UPDATE"}, []string{"Allow: INVITE, ACK, BYE"})
	s.pass(15 * time.Minute)
	s.last("UPDATE", "1001").answer(200, "")
	re := s.last("INVITE", "b")
	if string(re.req.Body()) != string(b.req.Body()) {
		t.Errorf("the re-INVITE says something else than the INVITE:\n%s\n%s", re.req.Body(), b.req.Body())
	}
	re.answer(200, sdpAnswer, "Allow: INVITE, ACK, BYE")
	re.answer(200, sdpAnswer) // our ACK was lost
	s.pass(15 * time.Minute)
	s.last("UPDATE", "1001").answer(200, "")
	s.last("INVITE", "b").answer(481, "")
	s.last("BYE", "b").answer(481, "")
	s.last("BYE", "1001").answer(200, "")
	s.check("node-refreshes")
}

// A phone that vanishes while both are on hold sends no audio and is missed by nobody but the timer.
func TestPhoneVanishesOnHold(t *testing.T) {
	s := timed(t)
	s.talkTimed([]string{"Allow: INVITE, ACK, BYE, UPDATE"}, nil)
	s.callerSays("INVITE", 2, offer+"a=inactive\r\n")
	s.last("INVITE", "b").answer(200, sdpAnswer+"a=inactive\r\n")
	s.callerSays("ACK", 2, "")
	s.pass(15 * time.Minute)
	s.last("UPDATE", "1001").answer(200, "")
	s.last("UPDATE", "b").fails(errors.New("timeout"))
	s.last("BYE", "b").fails(errors.New("timeout"))
	s.last("BYE", "1001").answer(200, "")
	s.check("vanishes-on-hold")
}

// A refresh that meets the phone's own re-INVITE gives way and is tried again.
func TestRefreshMeetsReinvite(t *testing.T) {
	s := timed(t)
	b := s.talkTimed(nil, []string{"Allow: INVITE, ACK, BYE"})
	s.pass(15 * time.Minute)
	s.last("INVITE", "1001").answer(200, offer)
	re := s.last("INVITE", "b")
	if in := s.phoneSays(b, "INVITE", 1, sdpAnswer+"a=sendonly\r\n"); in.last.StatusCode != 491 {
		t.Errorf("a re-INVITE that met ours got %d", in.last.StatusCode)
	}
	re.answer(491, "")
	s.pass(2 * time.Second)
	if s.last("INVITE", "b") != re {
		t.Error("who made the Call-ID tried again before 2.1 s")
	}
	s.pass(2 * time.Second)
	if s.last("INVITE", "b") == re {
		t.Fatal("the refresh was not tried again within 4 s")
	}
	s.last("INVITE", "b").answer(200, sdpAnswer)
	s.callerSays("BYE", 2, "")
	s.last("BYE", "b").answer(200, "")
	s.check("refresh-meets-reinvite")
}

func TestIntervalTooSmall(t *testing.T) {
	s := timed(t)
	s.phone("1002", "b")
	s.call("1002")
	s.last("INVITE", "b").answer(422, "", "Min-SE: 3600")
	again := s.last("INVITE", "b")
	if header(again.req, "Session-Expires") != "3600" || header(again.req, "Min-SE") != "3600" || again.req.CSeq().SeqNo != 2 {
		t.Errorf("the INVITE after 422 is\n%s", again.req)
	}
	again.answer(200, sdpAnswer, "Require: timer", "Session-Expires: 3600;refresher=uac")
	s.callerSays("ACK", 1, "")
	update := s.callerSays("UPDATE", 2, "", "Supported: timer", "Session-Expires: 60")
	if update.last.StatusCode != 422 || header(update.last, "Min-SE") != "90" {
		t.Errorf("60 s got\n%s", update.last)
	}
	s.pass(30 * time.Minute)
	s.last("INVITE", "1001").answer(200, offer)
	s.last("UPDATE", "b").answer(200, "", "Require: timer", "Session-Expires: 3600;refresher=uac")
	s.callerSays("BYE", 3, "")
	s.last("BYE", "b").answer(200, "")
	s.check("interval-too-small")
}

func TestTooBrief(t *testing.T) {
	cfg := DefaultConfig()
	for _, c := range []struct {
		headers string
		brief   bool
	}{
		{"Supported: timer\r\nSession-Expires: 89", true},
		{"Require: timer\r\nx: 60;refresher=uac", true},
		{"Supported: timer\r\nSession-Expires: 90", false},
		{"Session-Expires: 60", false}, // put in by a proxy; the phone would not know what 422 is
		{"Supported: timer", false},
		{"Supported: timer\r\nSession-Expires: soon", false},
	} {
		m, err := sip.ParseMessage([]byte("INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\nTo: <sip:b>\r\nFrom: <sip:a>;tag=a\r\nCall-ID: c\r\n" + c.headers + "\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.tooBrief(m.(*sip.Request)) != nil; got != c.brief {
			t.Errorf("%q too brief: %v, want %v", c.headers, got, c.brief)
		}
	}
}
