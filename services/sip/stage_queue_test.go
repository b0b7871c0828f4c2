package sip

import (
	"cmp"
	"errors"
	"fmt"
	"testing"
	"time"

	"parley/internal/contract"
	sound "parley/internal/media/audio"
	"parley/internal/voice"
	"parley/services/sip/treatment"
)

// stageSound is what a caller at a route point hears, by its name in the ladder.
type stageSound struct {
	s    *stage
	name string
	leg  int // that plays it
	done func(error)
}

func (p *stageSound) Rate() int                     { return sound.Narrow }
func (p *stageSound) Read(dst []int16) (int, error) { return len(dst), nil }

func (p *stageSound) begin(done func(error)) (stop func()) {
	if p.s.several { // legs with sounds of their own
		return p.s.sounding(p)
	}
	if p.s.playing != nil {
		p.s.t.Errorf("%s begins while %s is heard", p.name, p.s.playing.name)
	}
	p.done, p.s.playing = done, p
	p.s.line("node", "1001", "sound: "+p.name)
	return func() {
		if p.s.playing == p {
			p.s.playing = nil
			p.s.line("node", "1001", "end of "+p.name)
			p.done(errors.New("playing was stopped"))
		}
	}
}

// heardOut lets what the caller hears come to its end.
func (s *stage) heardOut() {
	s.t.Helper()
	p := s.playing
	if p == nil {
		s.t.Fatalf("the caller hears nothing:\n%s", s.ladder.String())
	}
	s.playing = nil
	s.line("node", "1001", "end of "+p.name)
	p.done(nil)
	s.settle()
}

func (s *stage) sound(name string) *stageSound { return &stageSound{s: s, name: name} }

func (s *stage) tone(_ string, t voice.TreatmentType) sound.Source { return s.sound(t.String()) }

func (s *stage) musicNamed(_, _, name string) (sound.Source, error) {
	return s.sound("music " + cmp.Or(name, "on hold")), nil
}

func (s *stage) piece(_, _ string, p *treatment.Piece) (sound.Source, error) {
	name := cmp.Or(p.Prompt, p.Digits, p.Text, p.User+"/"+p.Announcement)
	if name == s.missing {
		return nil, fmt.Errorf("prompt %q is not there", name)
	}
	return s.sound(name), nil
}

func (s *stage) sorry(string) (sound.Source, error) { return s.sound("regrets"), nil }
func (s *stage) beep() sound.Source                 { return s.sound("beep") }
func (s *stage) mayRecord(_, user string) error {
	if user == s.missing {
		return errors.New("no room for " + user)
	}
	return nil
}

func (s *stage) tapeUser(_ string, r *treatment.Recording, done func(time.Duration, bool, error)) (*tape, error) {
	s.line("1001", "node", "is recorded for "+r.User)
	s.taping = done
	return &tape{id: "7", stop: func(keep bool) { s.keep = keep }}, nil
}

// taped is the end of a recording.
func (s *stage) taped(length time.Duration) {
	s.line("1001", "node", fmt.Sprintf("was recorded for %v, kept: %v", length, s.keep))
	s.taping(length, s.keep, nil)
	s.settle()
}

func (s *stage) count(what counted, _ string) {
	if s.counts == nil {
		s.counts = map[counted]int{}
	}
	s.counts[what]++
}

// queueing makes 9000 a route point.
func (s *stage) queueing(options map[string]string) {
	s.legs = &fakeLegs{}
	s.plans["9000"] = &contract.ResolveResponse{Kind: contract.RoutePoint, Number: "9000", Options: options}
}

// treat asks for a treatment of the call.
func (s *stage) treat(t voice.TreatmentType, ref int64, params voice.KVList) *voice.TError {
	s.t.Helper()
	s.line("router", "node", fmt.Sprintf("apply %s, ReferenceID %d", t, ref))
	said := make(chan *voice.TError, 1)
	s.c.must(func() {
		if e := s.c.notAt("9000"); e != nil {
			said <- e
			return
		}
		said <- s.c.treat(t, params, ref)
	})
	s.settle()
	e := <-said
	s.answered(e)
	return e
}

func (s *stage) answered(e *voice.TError) {
	if e != nil {
		s.line("node", "router", fmt.Sprintf("error %d: %s", e.Code, e.Message))
	} else {
		s.line("node", "router", "accepted")
	}
}

// routes asks for the call to be routed.
func (s *stage) routes(number string, ref int64) {
	s.line("router", "node", fmt.Sprintf("route to %s, ReferenceID %d", number, ref))
	s.c.must(func() { s.c.routeCall(number, ref, func(e *voice.TError) { s.answered(e) }) })
	s.settle()
}

// keys are pressed one after the other.
func (s *stage) keys(keys string) {
	s.line("1001", "node", "keys "+keys)
	for _, k := range []byte(keys) {
		s.press(k)
	}
	s.settle()
}

func prompts(names ...string) voice.KVList {
	list := voice.KVList{}
	for i, n := range names {
		list[fmt.Sprint(i+1)] = voice.KVList{"ID": n, "INTERRUPTABLE": int64(1)}
	}
	return voice.KVList{"PROMPT": list}
}

func with(l voice.KVList, key string, value any) voice.KVList { l[key] = value; return l }

// outcomeIs compares what the record says of a call at a route point.
func (s *stage) outcomeIs(t *testing.T, want voice.Outcome, status int, queued time.Duration) {
	t.Helper()
	if r := s.records[0]; r.Outcome != want || r.Status != status || r.RoutePoint != "9000" || r.Queued != queued {
		t.Errorf("record: %s %d at %q for %v, want %s %d at 9000 for %v (%s)", r.Outcome, r.Status, r.RoutePoint, r.Queued, want, status, queued, r.Reason)
	}
}

// routingOf is what events of a route point say besides.
func routingOf(e *voice.CallEvent) (out string) {
	add := func(name string, value any, there bool) {
		if there {
			out += fmt.Sprintf(" %s=%v", name, value)
		}
	}
	add("ThisQueue", e.ThisQueue, e.ThisQueue != "")
	add("ReferenceID", e.ReferenceID, e.ReferenceID != 0)
	add("TreatmentType", e.TreatmentType, e.TreatmentType != 0)
	add("CollectedDigits", e.CollectedDigits, e.CollectedDigits != "")
	add("LastCollectedDigit", e.LastCollectedDigit, e.LastCollectedDigit != "")
	for _, key := range e.Extensions.Keys() {
		add(key, e.Extensions.Text(key), true)
	}
	add("ErrorCode", e.ErrorCode, e.ErrorCode != 0)
	add("ErrorMessage", e.ErrorMessage, e.ErrorMessage != "")
	return out
}
