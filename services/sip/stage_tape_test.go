package sip

import (
	"errors"
	"strings"
	"time"

	sound "parley/internal/media/audio"
	"parley/internal/voice"
	"parley/services/sip/recording"
)

// stageTape is a recording that writes into the ladder whom it hears.
type stageTape struct {
	s     *stage
	l     voice.RecordingLedger
	heard [2]string
	done  func(voice.RecordingLedger)
}

func (s *stage) tape(of recording.Call, done func(voice.RecordingLedger)) (taper, error) {
	if s.noDisk != "" {
		return nil, errors.New(s.noDisk)
	}
	t := &stageTape{s: s, done: done, l: voice.RecordingLedger{ID: of.CallUUID, State: recording.StateRecording, Reason: of.Reason, Start: s.clock}}
	s.tapes = append(s.tapes, t)
	s.line("node", "disk", "a recording of "+of.CallUUID)
	return t, nil
}

func (s *stage) warning(_ string, first bool) (func() sound.Source, time.Duration) {
	if s.warns == 0 {
		return nil, 0
	}
	name := "warning again"
	if first {
		name = "warning"
	}
	return func() sound.Source { return s.sound(name) }, s.warns
}

func (t *stageTape) Hear(ch recording.Channel, parties ...recording.Party) {
	var who []string
	for _, p := range parties {
		who = append(who, p.DN)
	}
	if now := strings.Join(who, " and "); now != t.heard[ch] {
		t.heard[ch] = now
		if now == "" {
			now = "nobody"
		}
		t.s.line("node", "disk", [...]string{"left: ", "right: "}[ch]+now)
	}
}

func (t *stageTape) Pause() error  { return t.change(recording.StateRecording, recording.StatePaused) }
func (t *stageTape) Resume() error { return t.change(recording.StatePaused, recording.StateRecording) }

func (t *stageTape) change(from, to string) error {
	if t.l.State != from {
		return errors.New("it is " + t.l.State)
	}
	t.l.State = to
	return nil
}

func (t *stageTape) Stop() { t.fails("") }

// fails is the end of a recording, with a reason or without.
func (t *stageTape) fails(why string) {
	if t.l.State != recording.StateStopped {
		t.l.State, t.l.Error = recording.StateStopped, why
		t.s.line("node", "disk", "the recording is complete")
		t.done(t.l)
	}
}

func (t *stageTape) Ledger() voice.RecordingLedger { return t.l }

// recordingOf is what an event says of a recording.
func recordingOf(e *voice.CallEvent) string {
	if e.Recording == nil {
		return ""
	}
	out := " Recording=" + e.Recording.State + " by " + e.Recording.Reason
	if e.Recording.Error != "" {
		out += ": " + e.Recording.Error
	}
	return out
}

func (s *stage) monitored(_, dn string) (monitor, bool) {
	m, ok := s.monitors[dn]
	return m, ok
}

func (s *stage) supervisionOver(m *monitor) {
	if !m.All {
		s.line("node", "DEVICES", "EventMonitoringCancelled ThisDN="+m.Supervisor+" OtherDN="+m.Agent)
	}
}

func (s *stage) supervised(m *monitor) {
	if !m.All {
		delete(s.monitors, m.Agent)
	}
}
