package sip

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/media"
	sound "parley/internal/media/audio"
	"parley/internal/media/dtmf"
	"parley/internal/media/play"
	"parley/internal/media/quality"
)

// fakeLegs are legs that remember what they were told.
type fakeLegs [2]struct {
	agreed  media.Agreement
	watched time.Duration
	figures quality.Figures
	closed  bool
	plays   func(what string) // writes it down; nil = nobody does
	key     func(byte)        // is told of keys in signalling
	tones   bool              // keys are looked for in the sound
	ears    int               // who listen
	nth     int               // of the legs opened
}

type fakeLeg struct {
	all *fakeLegs
	s   side
}

func (l fakeLeg) number() int                   { return l.all[l.s].nth + 1 }
func (l fakeLeg) Press(string) error            { return nil }
func (l fakeLeg) Agree(a media.Agreement) error { l.all[l.s].agreed = a; return nil }
func (l fakeLeg) Ports() (rtp, rtcp uint16) {
	return 20000 + 2*uint16(l.all[l.s].nth), 20001 + 2*uint16(l.all[l.s].nth)
}
func (l fakeLeg) Watch(d time.Duration)    { l.all[l.s].watched = d }
func (l fakeLeg) Figures() quality.Figures { return l.all[l.s].figures }
func (l fakeLeg) Told(d dtmf.Digit)        { l.all[l.s].key(d.Key) }
func (l fakeLeg) HearTones(on bool)        { l.all[l.s].tones = on }
func (l fakeLeg) Play(src sound.Source, done func(error)) func() {
	what := "music"
	switch p := src.(type) {
	case *stageSound:
		p.leg = l.number()
		return p.begin(done)
	case *play.Player:
	default:
		what = "conference"
	}
	l.all[l.s].plays(what)
	return func() { l.all[l.s].plays("no " + what) }
}
func (l fakeLeg) Listen(sound.Sink) func() {
	l.all[l.s].plays("is heard")
	l.all[l.s].ears++
	return func() {
		l.all[l.s].plays("is not heard")
		l.all[l.s].ears--
	}
}
func (l fakeLeg) Close() { l.all[l.s].closed = true }

func sdpAt(host string) string {
	return "v=0\r\no=- 1 1 IN IP4 " + host + "\r\ns=-\r\nc=IN IP4 " + host + "\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
}

// says is where a body wants audio: the values of c= and the port.
func says(body []byte) string {
	var at, port string
	for line := range strings.SplitSeq(string(body), "\r\n") {
		if v, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			at = v
		}
		if v, ok := strings.CutPrefix(line, "m=audio "); ok {
			port, _, _ = strings.Cut(v, " ")
		}
	}
	return at + ":" + port
}

// Audio goes from phone to phone only where nothing speaks against it.
func TestDirectAudio(t *testing.T) {
	const own, ours = "192.0.2.9:4000", "192.0.2.5:20002"
	for name, c := range map[string]struct {
		direct   bool
		body     string
		contacts []contract.Binding
		want     string // where the phone is told to send
	}{
		"both in the open":          {true, offer, []contract.Binding{{Contact: "sip:b@192.0.2.1:5060", Received: "192.0.2.1:5060"}}, own},
		"fixed contact":             {true, offer, []contract.Binding{{Contact: "sip:b@192.0.2.1:5060"}}, own},
		"mode relay":                {false, offer, []contract.Binding{{Contact: "sip:b@192.0.2.1:5060"}}, ours},
		"callee behind NAT":         {true, offer, []contract.Binding{{Contact: "sip:b@10.0.0.7:5060", Received: "192.0.2.1:5060"}}, ours},
		"one of several behind NAT": {true, offer, []contract.Binding{{Contact: "sip:b@192.0.2.1:5060"}, {Contact: "sip:b@10.0.0.7", Received: "192.0.2.1:1"}}, ours},
		"browser":                   {true, offer, []contract.Binding{{Contact: "sip:b@x.invalid;transport=ws", Received: "192.0.2.1:5060", Flow: "f"}}, ours},
		"other kind of network":     {true, offer, []contract.Binding{{Contact: "sip:b@10.0.0.7:5060"}}, ours},
		"caller's audio elsewhere":  {true, sdpAt("10.0.0.9"), []contract.Binding{{Contact: "sip:b@192.0.2.1:5060"}}, ours},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.legs, s.body, s.config = &fakeLegs{}, c.body, func(cfg *Config) { cfg.Direct = c.direct }
			s.phone("1002")
			s.phones["1002"] = c.contacts
			s.call("1002")
			if got := says(s.last("INVITE", "b").req.Body()); got != c.want {
				t.Errorf("the phone is told to send to %s, want %s", got, c.want)
			}
		})
	}
}

// A phone that moves behind a NAT during a call takes the audio through the node with it, on both sides.
func TestDirectAudioMovesToTheNode(t *testing.T) {
	s := newStage(t)
	ports := &fakeLegs{}
	s.legs, s.config = ports, func(cfg *Config) { cfg.Direct = true }
	in, b := s.talk()
	if got := says(in.last.Body()); got != "192.0.2.1:5000" {
		t.Fatalf("the caller is told to send to %s at first", got)
	}
	again := s.callerSays("INVITE", 2, sdpAt("10.0.0.9"))
	offered := s.last("INVITE", "b")
	if got := says(offered.req.Body()); got != "192.0.2.5:20002" {
		t.Errorf("the callee is told to send to %s, want the node", got)
	}
	offered.answer(200, sdpAnswer)
	if got := says(again.last.Body()); got != "192.0.2.5:20000" {
		t.Errorf("the caller is told to send to %s, want the node", got)
	}
	want := [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:4000"), netip.MustParseAddrPort("192.0.2.1:5000")}
	if a, b := ports[caller].agreed.Remote.RTP, ports[callee].agreed.Remote.RTP; a != want[0] || b != want[1] {
		t.Errorf("the node sends to %v and %v, want %v", a, b, want)
	}
	if ports[caller].watched == 0 || ports[callee].watched == 0 {
		t.Error("nobody watches for silence")
	}
	s.callerSays("ACK", 2, "")
	s.phoneSays(b, "BYE", 7, "")
	s.last("BYE", "1001").answer(200, "")
	if !ports[caller].closed || !ports[callee].closed {
		t.Error("the ports stay open")
	}
}

// A phone whose re-INVITE comes from another host has moved behind another NAT, though it offers what it offered: its leg is told.
func TestMovedPhoneIsLookedForAnew(t *testing.T) {
	s := newStage(t)
	legs := &fakeLegs{}
	s.legs = legs
	s.talk()
	s.callerSays("INVITE", 2, s.body, "X-Parley-Source: udp:198.51.100.7:5060")
	if got := legs[caller].agreed.Remote.Signalling.String(); got != "198.51.100.7" {
		t.Errorf("the leg is told that SIP comes from %s", got)
	}
}
