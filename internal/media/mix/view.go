package mix

import (
	"fmt"
	"slices"

	"parley/internal/media/audio"
)

// Participant is what a port is at a moment.
type Participant struct {
	ID    ID
	Name  string
	Role  Role
	Of    ID // whom a coach coaches; 0 is nobody
	Gain  float64
	Muted bool
	Deaf  bool
	Level float64 // of what was said in the last round, in dBov; audio.Quietest if nothing was
}

// Participants are all who are in the room, in the order in which they came.
func (m *Mixer) Participants() []Participant {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Participant, len(m.ports))
	for i, p := range m.ports {
		out[i] = Participant{ID: p.id, Name: p.name, Role: p.role, Gain: p.gain, Muted: p.muted, Deaf: p.deaf, Level: p.levelLocked()}
		if p.of != nil {
			out[i].Of = p.of.id
		}
	}
	return out
}

func (p *Port) levelLocked() float64 {
	if !p.spoke {
		return audio.Quietest
	}
	return audio.Level(p.said[p.kind])
}

// Matrix tells who hears whom: for each listener, whom he hears.
func (m *Mixer) Matrix() map[ID][]ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[ID][]ID, len(m.ports))
	for _, l := range m.ports {
		heard := []ID{}
		for _, s := range m.ports {
			if audibleLocked(l, s) {
				heard = append(heard, s.id)
			}
		}
		out[l.id] = heard
	}
	return out
}

// Hear sets a cell of the matrix, whatever the roles say, until the speaker's role is set again.
func (m *Mixer) Hear(listener, speaker ID, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, s := m.portLocked(listener), m.portLocked(speaker)
	switch {
	case l == nil:
		return fmt.Errorf("participant %d %w", listener, ErrLeft)
	case s == nil:
		return fmt.Errorf("participant %d %w", speaker, ErrLeft)
	}
	if l.hear == nil {
		l.hear = map[*Port]bool{}
	}
	l.hear[s] = on
	m.arrangeLocked()
	return nil
}

// Port is the port of an ID; nil if it has left.
func (m *Mixer) Port(id ID) *Port {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.portLocked(id)
}

func (m *Mixer) portLocked(id ID) *Port {
	if i := slices.IndexFunc(m.ports, func(p *Port) bool { return p.id == id }); i >= 0 {
		return m.ports[i]
	}
	return nil
}
