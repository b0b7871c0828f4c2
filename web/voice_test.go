package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// someVoice is a side that was heard with that loss and answers after trip ms; nothing is known of what it hears.
func someVoice(loss, trip, mos float64) *voice.MediaQuality {
	jitter := 3.4
	q := &voice.MediaQuality{
		Received:  voice.VoiceQuality{Codec: "PCMA", Packets: 9150, Loss: &loss, Jitter: &jitter, R: 90, MOSLQ: mos, MOSCQ: mos},
		Sent:      voice.VoiceQuality{Codec: "PCMA", Packets: 9148},
		RoundTrip: &trip,
	}
	if loss > 5 {
		q.Received.Bursts, q.Received.BurstLength, q.Received.BurstDensity, q.Received.Reordered = 6, 340, 41, 12
	}
	return q
}

// heardEvents are what is told of the voice of a call, a side after the other every ten seconds: the caller is always well
// heard, the called side had a bad time in the middle.
func heardEvents(uuid, node string, begin time.Time, n int) (out []voice.QualityEvent) {
	for i := range n {
		for _, side := range []voice.Side{voice.SideCaller, voice.SideCallee} {
			loss, mos := 0.1, 4.4
			if side == voice.SideCallee && i > n/3 && i < 2*n/3 {
				loss, mos = 9.5, 2.4+0.1*float64(i%3)
			}
			out = append(out, voice.QualityEvent{
				CallUUID: uuid, CallThreadID: uuid, Side: side, DN: "1001", Begin: begin, Time: begin.Add(time.Duration(i+1) * 10 * time.Second),
				Whole: *someVoice(loss, 40, mos), Last: *someVoice(loss, 40, mos), Tenant: "demo", Seq: uint64(len(out) + 1), Node: node,
			})
		}
	}
	return out
}

// publishVoice puts voice events into the stream, and waits until they are there.
func (h *house) publishVoice(events ...voice.QualityEvent) {
	h.t.Helper()
	for i := range events {
		e := &events[i]
		err := h.f.Publish(fabric.Event{Subject: fabric.Subject("quality", e.Tenant, e.CallUUID), MsgID: fmt.Sprintf("%s:q:%d", e.CallUUID, e.Seq), Payload: e})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	if err := h.f.Flush(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

func TestScoresInWords(t *testing.T) {
	for mos, want := range map[float64]score{
		0: {}, 4.41: {"4.4", "Excellent", "good"}, 4.03: {"4.0", "Good", "good"}, 4.02: {"4.0", "Fair", "warn"}, 3.59: {"3.6", "Poor", "warn"}, 3.09: {"3.1", "Bad", "bad"}, 1: {"1.0", "Bad", "bad"},
	} {
		if got := scoreOf(mos); got != want {
			t.Errorf("scoreOf(%v) = %+v, want %+v", mos, got, want)
		}
	}
}

func TestVoiceChart(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := heardEvents("u", "n1", begin, 4)
	events[5].Last = *someVoice(9, 40, 2.6)
	events[2].Last = voice.MediaQuality{} // nothing is known of the caller's second ten seconds
	ch := voiceChartOf(events, "1001", "1002")
	if len(ch.Lines) != 2 || !ch.Since.Equal(begin) || !ch.Until.Equal(begin.Add(40*time.Second)) {
		t.Fatalf("%+v, want two lines over 40 s", ch)
	}
	if want := "M150.0 3.1h0.1M450.0 3.1h0.1L600.0 3.1"; ch.Lines[0].Path != want {
		t.Errorf("the caller's line is %s, want a gap where nothing is known: %s", ch.Lines[0].Path, want)
	}
	if want := "Mean opinion score over the call: 1001 last 4.4, at worst 4.4; 1002 last 4.4, at worst 2.6"; ch.Label != want {
		t.Errorf("%q, want %q", ch.Label, want)
	}
	for name, events := range map[string][]voice.QualityEvent{"nothing": nil, "not known": {{Side: voice.SideCaller, Begin: begin, Time: begin.Add(time.Second)}}} {
		if ch := voiceChartOf(events, "a", "b"); len(ch.Lines) != 0 {
			t.Errorf("%s: %+v, want no line", name, ch)
		}
	}
}

func TestVoiceOfACallThatIsOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	calls := someCalls(time.Now())
	h.keepCalls(calls[:3]...)
	h.publishVoice(heardEvents(calls[0].CallUUID, "n1", calls[0].Start, 6)...)
	v := h.signIn("sven")
	page := v.get("/t/demo/cdrs/" + calls[0].CallUUID).body
	for _, want := range []string{"2.9 Bad", "7.9 %", "38 ms", "6 bursts of losses, 340 ms each with 41 % lost", "12 packets out of order", "not known", "Mean opinion score over the call: 1001 last 4.4"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a call has no %q", want)
		}
	}
	if page := v.get("/t/demo/cdrs/" + calls[2].CallUUID).body; strings.Contains(page, "h-voice") {
		t.Error("a call without audio has figures of its voice")
	}
}

// browseVoice follows the voice of a call in progress.
func browseVoice(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	node := h.sipNode()
	h.keepTrace()
	b := newBrowser(t, chromium, h)
	b.do(prefer("light"), desktop())
	b.signIn("sven")
	node.begin("v1", "1001", "1002", 4*time.Minute)
	node.ring("v1", "1002")
	node.answer("v1", 5*time.Second)
	begin := time.Now().Add(-4 * time.Minute)
	b.do(b.open("/t/demo/calls"))
	b.see(`[data-call="v1"] .call-state`, "Talking")
	h.publishVoice(heardEvents("v1", h.f.Node(), begin, 15)[:26]...) // until within the bad time and after it
	b.see(`[data-call="v1"] .live-voice`, "4.4")
	b.do(b.open("/t/demo/calls/v1"))
	b.see("#h-voice", "Voice")
	b.see(".voices", "0.1 %")
	late := heardEvents("v1", h.f.Node(), begin, 15)[26:]
	loss := 33.3
	late[1].Whole.Received.Loss = &loss
	h.publishVoice(late[:2]...)
	b.see(".voices", "33.3 %")
	b.shoot("voice-live")
	b.do(phone())
	b.shoot("voice-live-phone")
	b.do(desktop(), b.open("/t/demo/calls"))
	b.see(`[data-call="v1"] .live-voice`, "4.4")
	b.shoot("voice-calls")
	node.end("v1")
}

// A peer that is nearer than a millisecond was measured all the same.
func TestShortRoundTrip(t *testing.T) {
	near := someVoice(0, 0.004, 4.4)
	if row := voiceRowOf(&near.Received, near.RoundTrip, "1001", "Parley"); row.Trip != "< 1 ms" {
		t.Errorf("a round trip of 4 µs is shown as %q", row.Trip)
	}
	if row := voiceRowOf(&near.Received, nil, "1001", "Parley"); row.Trip != "" {
		t.Errorf("an unknown round trip is shown as %q", row.Trip)
	}
}
