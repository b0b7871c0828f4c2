package sdp

import "slices"

// AuthorState is what another Author needs to go on where one was: a session keeps its id, its version rises, and its m= lines and
// payload types keep their meaning (RFC 3264 §8).
type AuthorState struct {
	ID      uint64   `json:"id"`
	Version uint64   `json:"version"`
	Lines   []Line   `json:"lines,omitempty"`
	Audio   int      `json:"audio,omitempty"` // index in Lines
	Types   []Format `json:"types,omitempty"`
}

// Line is an m= line.
type Line struct {
	Kind    string `json:"kind"`
	Port    int    `json:"port,omitempty"`
	Proto   string `json:"proto,omitempty"`
	Formats string `json:"formats,omitempty"`
	MID     string `json:"mid,omitempty"`
}

// State returns what the Author has said.
func (a *Author) State() AuthorState {
	s := AuthorState{ID: a.ID, Version: a.Version, Audio: a.audio, Types: slices.Clone(a.types)}
	for _, l := range a.slots {
		s.Lines = append(s.Lines, Line{l.kind, l.port, l.proto, l.formats, l.mid})
	}
	return s
}

// AuthorFrom returns an Author that goes on from s. Its first body is a new version.
func AuthorFrom(s AuthorState) *Author {
	a := NewAuthor(s.ID)
	a.Version, a.types = s.Version, slices.Clone(s.Types)
	for _, l := range s.Lines {
		a.slots = append(a.slots, slot{l.Kind, l.Port, l.Proto, l.Formats, l.MID})
	}
	a.audio = max(min(s.Audio, len(a.slots)-1), 0)
	return a
}
