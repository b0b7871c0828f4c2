package sip

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/media/sdp"
	"parley/internal/media/secure"
	"parley/internal/voice"
)

// sounds is a description of one audio, and of what stands in more lines.
func sounds(host string, port int, profile, formats string, lines ...string) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %d %s %s\r\n", host, port, profile, formats) +
		strings.Join(append(lines, ""), "\r\n")
}

// carried is a stage whose calls have their audio through the node.
func carried(t *testing.T) *stage {
	s := newStage(t)
	s.legs, s.bodies = &fakeLegs{}, true
	return s
}

// over ends a call from 1001 to the phone b.
func (s *stage) overBy(b *sentRequest) {
	s.phoneSays(b, "BYE", 70, "")
	s.last("BYE", "1001").answer(200, "")
}

func types(formats []sdp.Format) string {
	var out []string
	for _, f := range formats {
		out = append(out, fmt.Sprint(f.Type))
	}
	return strings.Join(out, " ")
}

const keyLine = "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"

// A phone that encrypts talks to one that does not: each side has what it said.
func TestSRTPToPlain(t *testing.T) {
	s := carried(t)
	s.phone("1002", "b")
	s.body = sounds("192.0.2.9", 4000, "RTP/SAVP", "8 101", keyLine, "a=rtpmap:101 telephone-event/8000")
	in := s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(180, "")
	b.answer(200, sounds("192.0.2.1", 5000, "RTP/AVP", "8 101", "a=rtpmap:101 telephone-event/8000"))
	s.callerSays("ACK", 1, "")
	one, other := s.legs[caller].agreed, s.legs[callee].agreed
	if _, ok := one.Guard.(*secure.SDES); !ok || other.Guard != nil || types(one.Send) != "8 101" || types(other.Send) != "8 101" {
		t.Errorf("agreed with the caller: %+v, with the callee: %+v", one, other)
	}
	if answer := string(in.last.Body()); !strings.Contains(answer, "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:") || strings.Contains(answer, keyLine) {
		t.Errorf("the caller is answered\n%s", answer)
	}
	again := s.callerSays("INVITE", 2, s.body+"a=sendonly\r\n")
	b = s.last("INVITE", "b")
	b.answer(200, sounds("192.0.2.1", 5000, "RTP/AVP", "8 101", "a=rtpmap:101 telephone-event/8000", "a=recvonly"))
	s.callerSays("ACK", 2, "")
	if s.legs[caller].agreed.Guard != one.Guard || cryptoOf(again.last.Body()) != cryptoOf(in.last.Body()) {
		t.Error("holding changed our key, so that the counters of SRTP begin anew")
	}
	s.overBy(b)
	s.check("srtp-to-plain")
}

func cryptoOf(body []byte) string {
	_, rest, _ := strings.Cut(string(body), "a=crypto:")
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}

// Two phones without a codec in common: each is told what the other has, as far as we go between, and answered in its own.
func TestCodecMismatch(t *testing.T) {
	s := carried(t)
	s.phone("1002", "b")
	s.body = sounds("192.0.2.9", 4000, "RTP/AVP", "8 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:30")
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(200, sounds("192.0.2.1", 5000, "RTP/AVP", "9 101", "a=rtpmap:101 telephone-event/8000"))
	s.callerSays("ACK", 1, "")
	one, other := s.legs[caller].agreed, s.legs[callee].agreed
	if types(one.Send) != "8 101" || types(other.Send) != "9 101" || one.PTime.Milliseconds() != 30 || other.PTime != 0 {
		t.Errorf("agreed with the caller: %+v, with the callee: %+v", one, other)
	}
	s.overBy(b)
	s.check("codec-mismatch")
}

// Whoever is on hold hears music, until he is taken back.
func TestHoldWithMusic(t *testing.T) {
	s := carried(t)
	_, b := s.talk()
	for i, hold := range []string{"a=sendonly\r\n", "a=inactive\r\n", "c=IN IP4 0.0.0.0\r\n"} {
		s.callerSays("INVITE", 2+2*i, offer+hold)
		s.last("INVITE", "b").answer(200, sdpAnswer+"a=recvonly\r\n")
		s.callerSays("ACK", 2+2*i, "")
		s.callerSays("INVITE", 3+2*i, offer)
		s.last("INVITE", "b").answer(200, sdpAnswer)
		s.callerSays("ACK", 3+2*i, "")
	}
	s.overBy(b)
	s.check("hold-with-music")
}

// The holder's device says what is heard instead.
func TestHoldAudio(t *testing.T) {
	for hold, want := range map[voice.HoldAudio][2]string{
		voice.HoldMusic: {"sendonly", "music"}, voice.HoldOwn: {"sendonly", ""}, voice.HoldSilence: {"inactive", ""},
	} {
		s := carried(t)
		s.devices = map[string]device{"1001": {hold: hold}}
		s.talk()
		s.callerSays("INVITE", 2, offer+"a=sendonly\r\n")
		b := s.last("INVITE", "b")
		if got := summary(b.req.Body()); !strings.HasSuffix(got, want[0]) {
			t.Errorf("%q: the phone is told %s", hold, got)
		}
		b.answer(200, sdpAnswer+"a=recvonly\r\n")
		if strings.Contains(s.ladder.String(), " music\n") != (want[1] == "music") {
			t.Errorf("%q: music or not is wrong in\n%s", hold, s.ladder.String())
		}
	}
}

// Media that is not carried is refused at its place, and kept there in offers of ours.
func TestSeveralMedia(t *testing.T) {
	s := carried(t)
	s.phone("1002", "b")
	s.body = strings.Replace(sounds("192.0.2.9", 4000, "RTP/AVP", "0", "m=image 4004 udptl t38"), "m=audio", "m=video 4002 RTP/AVP 96\r\nm=audio", 1)
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(200, sdpAnswer)
	s.callerSays("ACK", 1, "")
	in := s.phoneSays(b, "INVITE", 5, sdpAnswer+"a=sendonly\r\nm=video 5002 RTP/AVP 97\r\n")
	s.last("INVITE", "1001").answer(200, strings.NewReplacer("video 4002", "video 0", "image 4004", "image 0", "RTP/AVP 0\r\n", "RTP/AVP 0\r\na=recvonly\r\n").Replace(s.body))
	s.phoneSays(b, "ACK", 5, "")
	if in.last.StatusCode != 200 {
		t.Errorf("the change got %d", in.last.StatusCode)
	}
	fax := s.phoneSays(b, "INVITE", 6, strings.Replace(sdpAnswer, "m=audio 5000 RTP/AVP 0", "m=image 5004 udptl t38", 1))
	if fax.last.StatusCode != 488 {
		t.Errorf("a change to fax alone got %d, want 488", fax.last.StatusCode)
	}
	s.overBy(b)
	s.check("several-media")
}

const fingerprint = "a=fingerprint:sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3D:F0:40:56:F4:46:57:AB:01:5B:FE:4C"

// browserSays is what a browser offers or answers.
func browserSays(setup string) string {
	return "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\n" +
		"a=mid:0\r\na=rtcp-mux\r\na=ice-ufrag:Zu8b\r\na=ice-pwd:0qSDKbZkyiRlZZPnmYTWOl3o\r\n" + fingerprint + "\r\na=setup:" + setup + "\r\n"
}

// A phone that registered over WebSocket is a browser; one beside it is not, and each is offered its own.
func TestBrowserAndPhoneRing(t *testing.T) {
	s := carried(t)
	s.phone("1002", "b", "c")
	s.phones["1002"][0].Transport = "ws"
	in := s.call("1002")
	b, c := s.last("INVITE", "b"), s.last("INVITE", "c")
	if one, other := string(b.req.Body()), string(c.req.Body()); !strings.Contains(one, "UDP/TLS/RTP/SAVPF 0 8 9 101\r\n") || !strings.Contains(one, "a=ice-lite") ||
		!strings.Contains(one, "typ host") || !strings.Contains(one, "a=setup:actpass") || !strings.Contains(other, "RTP/AVP 0 8 9 101\r\n") || strings.Contains(other, "fingerprint") {
		t.Errorf("the browser is offered\n%s\nthe phone\n%s", one, other)
	}
	b.answer(200, strings.Replace(browserSays("active"), "111 0", "0", 1))
	c.answer(487, "")
	s.callerSays("ACK", 1, "")
	if _, ok := s.legs[callee].agreed.Guard.(*secure.DTLS); !ok || !s.legs[callee].agreed.Remote.Mux || s.legs[caller].agreed.Guard != nil {
		t.Errorf("agreed with the browser: %+v, with the caller: %+v", s.legs[callee].agreed, s.legs[caller].agreed)
	}
	if got := summary(in.last.Body()); got != "audio 20000 RTP/AVP 0 sendrecv" {
		t.Errorf("the caller is answered %s", got)
	}
	s.overBy(b)
	s.check("browser-and-phone-ring")
	s.legs[callee].agreed.Guard.Close()
}

// A caller who offers nothing gets the offer of the browser in his own profile, and his answer goes back in the browser's.
func TestLateOfferOfBrowser(t *testing.T) {
	s := carried(t)
	s.phone("1002", "b")
	s.phones["1002"][0].Transport = "wss"
	s.body = ""
	in := s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(200, browserSays("actpass"))
	if got := summary(in.last.Body()); got != "audio 20000 RTP/AVP 111 0 8 9 101 sendrecv" {
		t.Errorf("the caller is offered %s", got)
	}
	s.callerSays("ACK", 1, sounds("192.0.2.9", 4000, "RTP/AVP", "8"))
	if got := summary(s.lastAck.Body()); got != "audio 20002 UDP/TLS/RTP/SAVPF 0 sendrecv setup:passive" {
		t.Errorf("the browser is answered %s", got)
	}
	if one, other := s.legs[caller].agreed, s.legs[callee].agreed; types(one.Send) != "8" || types(other.Send) != "0" || other.Guard == nil {
		t.Errorf("agreed with the caller: %+v, with the browser: %+v", one, other)
	}
	s.overBy(b)
	s.check("late-offer-of-browser")
	s.legs[callee].agreed.Guard.Close()
}

// What the option srtp of the phone that is called means for what it is offered, and for what it may answer.
func TestSRTPOption(t *testing.T) {
	const plain, keyed = "RTP/AVP", "RTP/SAVP"
	ofOurs := func(line string) string { return strings.Replace(line, "crypto:3", "crypto:2", 1) } // the tag of our line with that suite
	for name, c := range map[string]struct {
		option        voice.SRTP
		profile       string // that is offered
		keys          bool   // are offered
		answer        string
		status        int
		guarded, ends bool
	}{
		"off":                         {voice.SRTPOff, plain, false, sounds("192.0.2.1", 5000, plain, "0"), 200, false, false},
		"optional, taken":             {voice.SRTPOptional, plain, true, sounds("192.0.2.1", 5000, plain, "0", ofOurs(keyLine)), 200, true, false},
		"optional, not taken":         {voice.SRTPOptional, plain, true, sounds("192.0.2.1", 5000, plain, "0"), 200, false, false},
		"required":                    {voice.SRTPRequired, keyed, true, sounds("192.0.2.1", 5000, keyed, "0", ofOurs(keyLine)), 200, true, false},
		"required, answered in plain": {voice.SRTPRequired, keyed, true, sounds("192.0.2.1", 5000, plain, "0"), 488, false, true},
		"required, without keys":      {voice.SRTPRequired, keyed, true, sounds("192.0.2.1", 5000, keyed, "0"), 488, false, true},
		"a line we did not offer":     {voice.SRTPRequired, keyed, true, sounds("192.0.2.1", 5000, keyed, "0", strings.Replace(keyLine, "crypto:3", "crypto:9", 1)), 488, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := carried(t)
			s.devices = map[string]device{"1002": {srtp: c.option}}
			s.phone("1002", "b")
			in := s.call("1002")
			b := s.last("INVITE", "b")
			if body := string(b.req.Body()); !strings.Contains(body, " "+c.profile+" 0 8 9 101\r\n") || strings.Contains(body, "a=crypto:") != c.keys {
				t.Errorf("the phone is offered\n%s", body)
			}
			b.answer(200, c.answer)
			if in.last.StatusCode != c.status || (s.legs[callee].agreed.Guard != nil) != c.guarded {
				t.Errorf("the caller got %d, the leg is guarded by %v", in.last.StatusCode, s.legs[callee].agreed.Guard)
			}
		})
	}
}

// A device that has to encrypt calls encrypted or not at all.
func TestCallerMustEncrypt(t *testing.T) {
	s := carried(t)
	s.devices = map[string]device{"1001": {srtp: voice.SRTPRequired}}
	s.phone("1002", "b")
	if in := s.call("1002"); in.last.StatusCode != 488 || !strings.Contains(header(in.last, "Warning"), "encrypt") {
		t.Errorf("a plain call of a device that must encrypt got\n%s", in.last)
	}
}

// A refresh, by either side or by us, changes nothing, and a refused change leaves what was agreed.
func TestRefreshKeepsWhatWasAgreed(t *testing.T) {
	s := carried(t)
	in, b := s.talk()
	before := *s.legs
	again := s.callerSays("INVITE", 2, strings.Replace(offer, "o=- 1 1", "o=- 1 2", 1))
	s.callerSays("ACK", 2, "")
	if string(again.last.Body()) != string(in.last.Body()) {
		t.Errorf("a refresh is answered\n%s\nat first it was\n%s", again.last.Body(), in.last.Body())
	}
	s.callerSays("INVITE", 3, sounds("192.0.2.9", 4000, "RTP/AVP", "8"))
	s.last("INVITE", "b").answer(488, "")
	s.callerSays("ACK", 3, "")
	for i := range before {
		if got, want := s.legs[i].agreed, before[i].agreed; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("side %d: agreed %+v, before %+v", i, got, want)
		}
	}
	if again := s.callerSays("INVITE", 4, offer); string(again.last.Body()) != string(in.last.Body()) {
		t.Errorf("after a refused change a refresh is answered\n%s", again.last.Body())
	}
	s.callerSays("ACK", 4, "")
	s.overBy(b)
	s.holds()
}

// A phone that rang and did not answer leaves nothing behind for the one that is called next: neither numbers nor keys.
func TestNextPhoneHasKeysOfItsOwn(t *testing.T) {
	s := carried(t)
	s.devices = map[string]device{"1002": {srtp: voice.SRTPRequired}, "1003": {srtp: voice.SRTPRequired}}
	s.phone("1002", "b")
	s.phone("1003", "c")
	s.plans["1002"].OnBusy = "1003"
	s.call("1002")
	b := s.last("INVITE", "b")
	b.answer(486, "")
	if c := s.last("INVITE", "c"); cryptoOf(c.req.Body()) == cryptoOf(b.req.Body()) || cryptoOf(c.req.Body()) == "" {
		t.Error("two phones were offered one key")
	}
}
