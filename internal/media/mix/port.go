package mix

import (
	"fmt"
	"io"
	"math"

	"parley/internal/media/audio"
)

// Port is somebody's place in a room.
type Port struct {
	m    *Mixer
	id   ID
	name string
	kind int // narrow or wide

	// All below is guarded by the lock of the room.
	in    bool // the room
	role  Role
	of    *Port // whom a coach coaches
	hear  map[*Port]bool
	less  []*Port // talkers whom this listener does not hear, himself first
	more  []*Port // others whom he hears
	voice fader   // of what he says
	ear   fader   // of what he hears
	muted bool
	deaf  bool
	gain  float64 // dB

	from audio.Source // an announcement
	done func(error)
	to   audio.Sink // a tap

	queue  []int16 // written and not taken by a round
	queued int
	late   int // rounds in a row in which more than a frame waited
	spoke  bool
	said   [2][]int16       // in this round, at each rate
	other  *audio.Resampler // to the rate that is not his

	read  uint64  // round that heard is of
	heard []int16 // what is left of it begins at next
	next  int
	work  []int32
}

const (
	queueFrames = 3  // two that wait and one that comes
	lateRounds  = 25 // half a second
)

func newPort(m *Mixer, name string, rate int) (*Port, error) {
	kind := narrow
	switch rate {
	case audio.Narrow:
	case audio.Wide:
		kind = wide
	default:
		return nil, fmt.Errorf("mix: %s has %d samples a second, want %d or %d", name, rate, audio.Narrow, audio.Wide)
	}
	n := samples[kind]
	other, err := audio.NewResampler(rate, audio.Narrow+audio.Wide-rate)
	if err != nil {
		return nil, err
	}
	return &Port{
		other: other,
		m:     m, name: name, kind: kind, role: Talker, voice: fader{1, 1}, ear: fader{1, 1},
		queue: make([]int16, queueFrames*n), heard: make([]int16, n), next: n, work: make([]int32, n),
		said: [2][]int16{make([]int16, samples[narrow]), make([]int16, samples[wide])},
	}, nil
}

// ID is the number of the port in its room.
func (p *Port) ID() ID { return p.id }

// Sink takes what the participant says.
func (p *Port) Sink() audio.Sink { return sink{p} }

// Source gives what the participant hears.
func (p *Port) Source() audio.Source { return source{p} }

// Leave gives up the place.
func (p *Port) Leave() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.removeLocked(p)
}

// SetGain makes the participant louder or softer for the others, by -60 to 20 dB.
func (p *Port) SetGain(dB float64) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.gain = max(-60, min(20, dB))
	p.setVoiceLocked()
}

// SetMute has nobody hear the participant.
func (p *Port) SetMute(on bool) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.muted = on
	p.setVoiceLocked()
}

func (p *Port) setVoiceLocked() {
	p.voice.want = audio.Factor(p.gain)
	if p.muted {
		p.voice.want = 0
	}
}

// SetDeaf has the participant hear nobody.
func (p *Port) SetDeaf(on bool) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.deaf = on
	p.ear.want = 1
	if on {
		p.ear.want = 0
	}
}

// SetRole changes who hears the participant; of is the one whom a coach coaches. Cells of the matrix that were set for
// him as a speaker are as the role says again.
func (p *Port) SetRole(role Role, of *Port) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	switch {
	case !p.in:
		return fmt.Errorf("%s %w", p.name, ErrLeft)
	case role != Talker && role != Observer && role != Coach:
		return fmt.Errorf("%w: %q, want %s, %s or %s", ErrRole, role, Talker, Observer, Coach)
	case role == Coach && (of == nil || of == p || of.m != p.m || !of.in):
		return fmt.Errorf("%w: a coach is that of another participant of the room", ErrRole)
	}
	p.role, p.of = role, nil
	if role == Coach {
		p.of = of
	}
	for _, l := range p.m.ports {
		delete(l.hear, p)
	}
	p.m.arrangeLocked()
	return nil
}

// take is what the participant said since the last round. It is false when an announcement is over.
func (p *Port) take() bool {
	said := p.said[p.kind]
	switch {
	case p.from != nil:
		n, err := p.from.Read(said)
		if err != nil && n == 0 {
			p.ended(err)
			return false
		}
		clear(said[n:])
		p.spoke = true
	case p.queued < len(said):
		p.spoke = false
		return true
	default:
		p.shift(said)
		p.spoke = true
	}
	p.spoke = p.voice.apply(said) && p.spoke
	return true
}

// shift takes the oldest frame that waits, and drops one when there was more than one for too long.
func (p *Port) shift(said []int16) {
	n := len(said)
	if p.late++; p.queued < 2*n {
		p.late = 0
	} else if p.late >= lateRounds {
		p.late = 0
		p.queued -= n
		copy(p.queue, p.queue[n:n+p.queued])
	}
	copy(said, p.queue)
	p.queued -= n
	copy(p.queue, p.queue[n:n+p.queued])
}

func (p *Port) ended(err error) {
	if err == io.EOF {
		err = nil
	}
	if p.done != nil {
		p.m.over = append(p.m.over, func() { p.done(err) })
	}
}

// convert makes what was said at the other rate, too.
func (p *Port) convert() {
	if p.spoke {
		p.other.Resample(p.said[1-p.kind][:0], p.said[p.kind])
	}
}

// sink and source are the two halves of a port for the clock.
type (
	sink   struct{ p *Port }
	source struct{ p *Port }
)

func (s sink) Rate() int   { return [2]int{audio.Narrow, audio.Wide}[s.p.kind] }
func (s source) Rate() int { return sink(s).Rate() }

// Write implements [audio.Sink].
func (s sink) Write(src []int16) error {
	p := s.p
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if !p.in {
		return ErrLeft
	}
	src = src[max(0, len(src)-len(p.queue)):]
	if over := p.queued + len(src) - len(p.queue); over > 0 { // no round took it
		p.queued -= over
		copy(p.queue, p.queue[over:over+p.queued])
	}
	copy(p.queue[p.queued:], src)
	p.queued += len(src)
	return nil
}

// Read implements [audio.Source].
func (s source) Read(dst []int16) (int, error) {
	p := s.p
	p.m.mu.Lock()
	defer p.m.unlock()
	for n := 0; n < len(dst); {
		if !p.in {
			return n, io.EOF
		}
		if p.next == len(p.heard) {
			if p.read == p.m.round {
				p.m.turnLocked()
			}
			p.read, p.next = p.m.round, 0
			p.mix(p.heard)
		}
		got := copy(dst[n:], p.heard[p.next:])
		n += got
		p.next += got
	}
	return len(dst), nil
}

// fader is a volume that changes within a frame and not at once.
type fader struct{ now, want float32 }

// apply says whether there is anything to hear.
func (f *fader) apply(pcm []int16) bool {
	switch {
	case f.now == f.want && f.now == 1:
		return true
	case f.now == f.want && f.now == 0:
		clear(pcm)
		return false
	}
	step := (f.want - f.now) / float32(len(pcm))
	for i, s := range pcm {
		f.now += step
		pcm[i] = int16(max(math.MinInt16, min(math.MaxInt16, float32(s)*f.now)))
	}
	f.now = f.want
	return true
}
