package sip

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"parley/internal/media/quality"
	"parley/internal/voice"
)

// heard are the figures of a leg after packets of G.711, of which some did not come; its reports tell nothing.
func heardFigures(packets, lost uint64) quality.Figures {
	f := quality.Figures{RoundTrip: 40 * time.Millisecond}
	f.Received = quality.Direction{
		Codec: "PCMA", Packets: packets - lost, Measured: true, Expected: packets, Lost: lost, LossRuns: lost, Timed: true,
		Jitter: 2345 * time.Microsecond, Rated: true, R: 81.25, MOSLQ: 4.1, MOSCQ: 4.0567, BurstR: 1,
	}
	f.Sent = quality.Direction{Codec: "PCMA", Packets: packets}
	return f
}

func TestVoiceIsTold(t *testing.T) {
	s := newStage(t)
	legs := &fakeLegs{}
	s.legs = legs
	_, b := s.talk()
	if due := s.c.hearing.due.Load(); due != s.c.hearing.begin.Add(voiceEvery).UnixNano() {
		t.Errorf("the voice is due at %d, want ten seconds after the beginning", due)
	}
	s.c.tellVoice(false)
	if len(s.voices) != 0 {
		t.Fatalf("%d events before a packet came or went", len(s.voices))
	}
	s.c.conv.queue = "9000"
	legs[caller].figures = heardFigures(500, 0)
	s.c.tellVoice(false)
	legs[caller].figures, legs[callee].figures = heardFigures(1000, 100), heardFigures(1000, 1)
	s.c.tellVoice(false)
	s.phoneSays(b, "BYE", 7, "")
	s.last("BYE", "1001").answer(200, "")
	if len(s.voices) != 5 {
		t.Fatalf("%d events, want one of the caller alone, two of both, two at the end", len(s.voices))
	}
	for i, want := range []struct {
		side  voice.Side
		dn    string
		final bool
	}{{voice.SideCaller, "1001", false}, {voice.SideCaller, "1001", false}, {voice.SideCallee, "1002", false}, {voice.SideCaller, "1001", true}, {voice.SideCallee, "1002", true}} {
		if e := s.voices[i]; e.Side != want.side || e.DN != want.dn || e.Final != want.final || e.Seq != uint64(i+1) || e.CallUUID != s.c.id.uuid || e.Begin.IsZero() || e.Queue != "9000" {
			t.Errorf("event %d: %+v, want %+v", i, e, want)
		}
	}
	second := s.voices[1]
	if *second.Whole.Received.Loss != 10 || *second.Last.Received.Loss != 20 || *second.Whole.Received.Expected != 1000 || *second.Last.Received.Expected != 500 {
		t.Errorf("%v %% lost in all and %v %% of the last half, want 10 and 20", *second.Whole.Received.Loss, *second.Last.Received.Loss)
	}
	if q := second.Whole.Received; *q.Jitter != 2.35 || q.MOSCQ != 4.06 || *second.Whole.RoundTrip != 40 {
		t.Errorf("%+v, want jitter 2.35 ms, MOS 4.06, 40 ms", q)
	}
	text, err := json.Marshal(second.Whole.Sent)
	if err != nil || string(text) != `{"codec":"PCMA","packets":1000}` {
		t.Errorf("what nobody reported about is %s, want the packets sent and nothing else", text)
	}
	r := s.records[0]
	if r.CallerMedia == nil || r.CalleeMedia == nil || *r.CallerMedia.Received.Loss != 10 || *r.CalleeMedia.Received.Loss != 0.1 || r.WorstMOS() != 4.06 {
		t.Errorf("the record has %+v and %+v", r.CallerMedia, r.CalleeMedia)
	}
	if s.c.hearing.due.Load() != 0 {
		t.Error("a call that is over is to tell of its voice again")
	}
}

// Audio that goes from phone to phone is not heard.
func TestVoiceThatGoesDirectlyIsNotTold(t *testing.T) {
	s := newStage(t)
	_, b := s.talk()
	s.c.tellVoice(false)
	s.phoneSays(b, "BYE", 7, "")
	s.last("BYE", "1001").answer(200, "")
	if r := s.records[0]; len(s.voices) != 0 || r.CallerMedia != nil || r.CalleeMedia != nil || s.c.hearing.due.Load() != 0 {
		t.Errorf("%d events, record %+v, want nothing about voice", len(s.voices), r)
	}
}

func TestCodecNamesOfPeersAreCut(t *testing.T) {
	d := quality.Direction{Codec: "a\r\nb\"" + strings.Repeat("x", 1000)}
	if q := voiceQuality(&d); len(q.Codec) != maxCodec || strings.ContainsAny(q.Codec, "\r\n\"") {
		t.Errorf("codec %q", q.Codec)
	}
}
