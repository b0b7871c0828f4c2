package play

import (
	"io"
	"math"
	"sync"
	"time"

	"parley/internal/media/audio"
)

// ramp is the time from silence to full volume: short enough for a caller who interrupts, too long for a click.
const ramp = 10 * time.Millisecond

// Forever is for [Player.Loop].
const Forever = math.MaxInt

// MaxVolume and MinVolume limit [Player.SetVolume], in dB; at MinVolume there is silence.
const (
	MaxVolume = 12.0
	MinVolume = -60.0
)

// Player plays clips in a row.
type Player struct {
	rate  int
	total int // samples of all clips

	mu      sync.Mutex
	clips   []*Clip
	clip    int // the one that plays
	at      int // samples of it that were played
	before  int // samples of the clips before it
	loops   int // passes that follow this one
	started bool

	volume  float32 // wanted
	gain    float32 // now
	paused  bool
	stopped bool
	jump    int // where to go on when it is silent; -1 is nowhere
}

// New is a player of clips in a row, at the rate of the first; others are resampled here.
func New(clips ...*Clip) *Player {
	p := &Player{rate: audio.Narrow, volume: 1, gain: 1, jump: -1, clips: make([]*Clip, 0, len(clips))}
	if len(clips) > 0 {
		p.rate = clips[0].rate
	}
	for _, c := range clips {
		if c.samples > 0 {
			p.clips = append(p.clips, c.At(p.rate))
			p.total += p.clips[len(p.clips)-1].samples
		}
	}
	return p
}

// Loop has the whole row played that many times, from now on ([Forever] until it is stopped). It returns p.
func (p *Player) Loop(times int) *Player {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loops = max(0, times-1)
	return p
}

// Stop ends the sound within some milliseconds; the next Read says io.EOF.
func (p *Player) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// Stopped says whether the player was stopped, rather than having come to its end.
func (p *Player) Stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// Pause gives silence until Resume.
func (p *Player) Pause() { p.setPaused(true) }

// Resume goes on where Pause was called.
func (p *Player) Resume() { p.setPaused(false) }

func (p *Player) setPaused(paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = paused
}

// SetVolume makes it louder or softer by so many dB than the clips are.
func (p *Player) SetVolume(dB float64) {
	dB = min(dB, MaxVolume)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.volume = 0
	if dB > MinVolume {
		p.volume = float32(math.Pow(10, dB/20))
	}
	if !p.started {
		p.gain = p.volume
	}
}

// Seek goes on at a place of the row, measured from its beginning; what is outside of it is its beginning or its end.
func (p *Player) Seek(to time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jump = p.place(to)
}

// Skip goes forward, or back with a negative value, from where the player is.
func (p *Player) Skip(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jump = p.place(p.time(p.here()) + by)
}

func (p *Player) place(at time.Duration) int {
	if at < 0 {
		return 0
	}
	if at >= p.time(p.total) {
		return p.total
	}
	return samplesIn(p.rate, at)
}

// here is where the player is, or will be as soon as it can.
func (p *Player) here() int {
	if p.jump >= 0 {
		return p.jump
	}
	return p.before + p.at
}

func (p *Player) time(samples int) time.Duration {
	return time.Duration(samples) * time.Second / time.Duration(p.rate)
}

// Position is where in the row the player is.
func (p *Player) Position() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.time(p.here())
}

// Duration is how long one pass of the row lasts.
func (p *Player) Duration() time.Duration { return p.time(p.total) }

// Rate implements [audio.Source].
func (p *Player) Rate() int { return p.rate }

// Read implements [audio.Source].
func (p *Player) Read(dst []int16) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started && p.jump >= 0 {
		p.goTo(p.jump)
	}
	p.started = true
	n := 0
	for n < len(dst) {
		want := p.volume
		if p.paused || p.stopped || p.jump >= 0 {
			want = 0
		}
		if p.gain == 0 && want == 0 {
			switch {
			case p.stopped:
				return n, io.EOF
			case p.jump >= 0:
				p.goTo(p.jump)
				continue
			case p.paused:
				clear(dst[n:])
				return len(dst), nil
			}
		}
		part := dst[n:min(len(dst), n+p.untilGain(want))]
		got := p.copy(part)
		if got == 0 {
			return n, io.EOF
		}
		p.amplify(part[:got], want)
		n += got
	}
	return n, nil
}

// untilGain is the number of samples that can be handled alike: those of the ramp, or all.
func (p *Player) untilGain(want float32) int {
	if p.gain == want {
		return math.MaxInt32
	}
	return max(1, int(math.Ceil(math.Abs(float64(want-p.gain))/float64(p.step())-rounding)))
}

// rounding is the part of a step that so many additions may be wrong by.
const rounding = 0.01

// step is how much the gain changes from sample to sample.
func (p *Player) step() float32 { return 1 / float32(samplesIn(p.rate, ramp)) }

// copy takes the next samples of the row, across clips and passes. None means that it is over.
func (p *Player) copy(dst []int16) int {
	for n := 0; ; {
		if p.clip == len(p.clips) {
			if p.loops == 0 || p.total == 0 {
				return n
			}
			if p.loops != Forever-1 {
				p.loops--
			}
			p.goTo(0)
		}
		c := p.clips[p.clip]
		got := c.Copy(dst[n:], p.at)
		n += got
		if p.at += got; p.at == c.samples {
			p.before += c.samples
			p.clip, p.at = p.clip+1, 0
		}
		if n == len(dst) {
			return n
		}
	}
}

func (p *Player) goTo(place int) {
	p.jump, p.clip, p.before = -1, 0, 0
	for p.clip < len(p.clips) && p.before+p.clips[p.clip].samples <= place {
		p.before += p.clips[p.clip].samples
		p.clip++
	}
	p.at = place - p.before
}

// amplify applies the gain, which moves towards want.
func (p *Player) amplify(pcm []int16, want float32) {
	if p.gain == want && want == 1 {
		return
	}
	step := p.step()
	for i, s := range pcm {
		switch {
		case p.gain < want-(1+rounding)*step:
			p.gain += step
		case p.gain > want+(1+rounding)*step:
			p.gain -= step
		default:
			p.gain = want
		}
		pcm[i] = int16(max(math.MinInt16, min(math.MaxInt16, float32(s)*p.gain)))
	}
}
