package mix

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"parley/internal/media/audio"
)

// ID is the number of a port in its room. It is never given again.
type ID uint32

// Role is what somebody is in a room.
type Role string

// The roles.
const (
	Talker   Role = "talker"   // hears all talkers, and all hear him
	Observer Role = "observer" // hears all talkers, and nobody hears him
	Coach    Role = "coach"    // hears all talkers, and only the one who is coached hears him
)

// Errors that callers ask for.
var (
	ErrFull   = errors.New("the room is full")
	ErrClosed = errors.New("the room is closed")
	ErrLeft   = errors.New("has left the room")
	ErrRole   = errors.New("no such role")
)

// DefaultPorts is the size of a room if nobody says another.
const DefaultPorts = 200

// Mixer is a room.
type Mixer struct {
	limit int

	mu     sync.Mutex
	closed bool
	last   ID
	ports  []*Port
	rates  [2]int // ports of each rate
	round  uint64
	sum    [2][]int32 // of all talkers, at each rate
	over   []func()   // what to tell when the lock is free: announcements that ended in this round
}

// The two rates as indexes.
const (
	narrow = 0
	wide   = 1
)

var samples = [2]int{audio.Frame(audio.Narrow), audio.Frame(audio.Wide)}

// New is an empty room for so many ports; 0 is DefaultPorts.
func New(limit int) *Mixer {
	if limit <= 0 {
		limit = DefaultPorts
	}
	return &Mixer{limit: limit, round: 1, sum: [2][]int32{make([]int32, samples[narrow]), make([]int32, samples[wide])}}
}

// Join makes a place in the room for a talker who speaks and hears at a rate.
func (m *Mixer) Join(name string, rate int) (*Port, error) {
	p, err := newPort(m, name, rate)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return p, m.addLocked(p)
}

// Announce has everybody hear a source until it ends, beside what is said. done, which may be nil, is told the end by the
// goroutine that reads from the room, and must not wait; it is not told when the announcement leaves before its end.
func (m *Mixer) Announce(name string, src audio.Source, done func(error)) (*Port, error) {
	p, err := newPort(m, name, src.Rate())
	if err != nil {
		return nil, err
	}
	p.from, p.done = src, done
	m.mu.Lock()
	defer m.mu.Unlock()
	return p, m.addLocked(p)
}

// Tap has a sink take what an observer hears, in every round, until it says an error.
func (m *Mixer) Tap(name string, to audio.Sink) (*Port, error) {
	p, err := newPort(m, name, to.Rate())
	if err != nil {
		return nil, err
	}
	p.to, p.role = to, Observer
	m.mu.Lock()
	defer m.mu.Unlock()
	return p, m.addLocked(p)
}

func (m *Mixer) addLocked(p *Port) error {
	switch {
	case m.closed:
		return ErrClosed
	case len(m.ports) >= m.limit:
		return fmt.Errorf("%w: it has %d places", ErrFull, m.limit)
	}
	m.last++
	p.id, p.in = m.last, true
	p.read = m.round - 1 // the round of this tick is for it, too
	m.ports = append(m.ports, p)
	m.rates[p.kind]++
	m.arrangeLocked()
	return nil
}

func (m *Mixer) removeLocked(p *Port) {
	i := slices.Index(m.ports, p)
	if i < 0 {
		return
	}
	p.in = false
	m.ports = slices.Delete(m.ports, i, i+1)
	m.rates[p.kind]--
	for _, q := range m.ports {
		delete(q.hear, p)
		if q.of == p {
			q.of = nil // a coach of nobody
		}
	}
	m.arrangeLocked()
}

// Close sends everybody away: sources end, sinks say ErrLeft.
func (m *Mixer) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for len(m.ports) > 0 {
		m.removeLocked(m.ports[len(m.ports)-1])
	}
}

// audibleLocked is the matrix.
func audibleLocked(listener, speaker *Port) bool {
	if on, set := listener.hear[speaker]; set {
		return on
	}
	return byRole(listener, speaker)
}

func byRole(listener, speaker *Port) bool {
	switch speaker.role {
	case Talker:
		return listener != speaker
	case Coach:
		return speaker.of == listener
	}
	return false
}

// arrangeLocked notes for each listener how his row differs from "all talkers".
func (m *Mixer) arrangeLocked() {
	for _, l := range m.ports {
		l.less, l.more = l.less[:0], l.more[:0]
		l.differ(l)
		for _, s := range m.ports {
			if s.role == Coach && s.of == l {
				l.differ(s)
			}
		}
		for s := range l.hear {
			if s.role != Coach || s.of != l { // those were looked at
				l.differ(s)
			}
		}
	}
}

func (l *Port) differ(s *Port) {
	switch audible, plain := audibleLocked(l, s), s.role == Talker; {
	case audible && !plain:
		l.more = append(l.more, s)
	case !audible && plain:
		l.less = append(l.less, s)
	}
}

// turnLocked is a round: what everybody said is taken and added up.
func (m *Mixer) turnLocked() {
	m.round++
	clear(m.sum[narrow])
	clear(m.sum[wide])
	for i := 0; i < len(m.ports); i++ {
		p := m.ports[i]
		if !p.take() {
			m.removeLocked(p) // an announcement that is over
			i--
		}
	}
	both := m.rates[narrow] > 0 && m.rates[wide] > 0
	for _, p := range m.ports {
		if both {
			p.convert()
		}
		if p.role != Talker || !p.spoke {
			continue
		}
		for kind := range m.sum {
			if m.rates[kind] > 0 {
				add(m.sum[kind], p.said[kind])
			}
		}
	}
	for i := 0; i < len(m.ports); i++ {
		if p := m.ports[i]; p.to != nil {
			p.mix(p.heard)
			if p.to.Write(p.heard) != nil {
				m.removeLocked(p)
				i--
			}
		}
	}
}

// unlock tells what ended in this round, without the lock.
func (m *Mixer) unlock() {
	over := m.over
	m.over = nil
	m.mu.Unlock()
	for _, tell := range over {
		tell()
	}
}

func add(sum []int32, pcm []int16) {
	pcm = pcm[:len(sum)]
	for i := range sum {
		sum[i] += int32(pcm[i])
	}
}

// mix is what a port hears in this round.
func (p *Port) mix(dst []int16) {
	sum := p.work
	copy(sum, p.m.sum[p.kind])
	for _, s := range p.less {
		if s.spoke {
			said := s.said[p.kind][:len(sum)]
			for i := range sum {
				sum[i] -= int32(said[i])
			}
		}
	}
	for _, s := range p.more {
		if s.spoke {
			add(sum, s.said[p.kind])
		}
	}
	for i, v := range sum {
		if v > knee || v < -knee {
			v = bend(v)
		}
		dst[i] = int16(v)
	}
	p.ear.apply(dst)
}

// knee is where the limiter begins: below it, sound is as it was added up.
const knee = 24000

// bend takes what is above the knee ever less the louder it is, so that the loudest sum comes close to the largest
// sample and none beyond it. Slope and value are those of a straight line at the knee, so nothing breaks there.
func bend(v int32) int32 {
	const room = math.MaxInt16 - knee
	over := max(v, -v) - knee
	over = int32(int64(over) * room / int64(over+room))
	if v < 0 {
		return -knee - over
	}
	return knee + over
}

var (
	_ audio.Source = source{}
	_ audio.Sink   = sink{}
)
