package play

import (
	"math"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/codec/g711"
	"parley/internal/media/wav"
)

// Clip is a piece of sound that never changes.
type Clip struct {
	rate    int
	samples int
	pcm     []int16 // one of the two; neither is silence
	ulaw    []byte
}

// NewClip is a clip of linear sound, which belongs to the clip from now on.
func NewClip(rate int, pcm []int16) *Clip { return &Clip{rate: rate, samples: len(pcm), pcm: pcm} }

// Silence is nothing for a while.
func Silence(rate int, d time.Duration) *Clip { return &Clip{rate: rate, samples: samplesIn(rate, d)} }

// Beep is a tone of 1,000 Hz at -12 dBov, as it comes before a recording.
func Beep(rate int, d time.Duration) *Clip {
	pcm := make([]int16, samplesIn(rate, d))
	edge := rate / 200 // 5 ms of rise and fall
	for i := range pcm {
		level := min(1, float64(min(i, len(pcm)-1-i))/float64(edge))
		pcm[i] = int16(level * 8231 * math.Sin(2*math.Pi*1000*float64(i)/float64(rate)))
	}
	return NewClip(rate, pcm)
}

// FromFile is the sound of a file. What is µ-law at the wanted rate already is kept as it is, and f.Data must not change.
func FromFile(f wav.File, rate int) *Clip {
	if f.Encoding == wav.ULaw && f.Channels == 1 && f.Rate == rate {
		return &Clip{rate: rate, samples: len(f.Data), ulaw: f.Data}
	}
	return NewClip(rate, f.Mono(rate))
}

func samplesIn(rate int, d time.Duration) int { return int(d * time.Duration(rate) / time.Second) }

// Rate is the number of samples a second.
func (c *Clip) Rate() int { return c.rate }

// Samples is how many there are.
func (c *Clip) Samples() int { return c.samples }

// Duration is how long the clip sounds.
func (c *Clip) Duration() time.Duration {
	return time.Duration(c.samples) * time.Second / time.Duration(c.rate)
}

// Size is the memory that its sound takes.
func (c *Clip) Size() int64 { return int64(len(c.ulaw) + 2*len(c.pcm)) }

// Copy fills dst with the sound from a place on and returns how many samples there were.
func (c *Clip) Copy(dst []int16, from int) int {
	n := min(len(dst), c.samples-from)
	switch {
	case c.pcm != nil:
		copy(dst[:n], c.pcm[from:])
	case c.ulaw != nil:
		g711.AppendLinearU(dst[:0], c.ulaw[from:from+n])
	default:
		clear(dst[:n])
	}
	return n
}

// At is the clip at another rate, itself if it has it.
func (c *Clip) At(rate int) *Clip {
	if c.rate == rate {
		return c
	}
	if c.pcm == nil && c.ulaw == nil {
		return Silence(rate, c.Duration())
	}
	pcm := make([]int16, c.samples)
	c.Copy(pcm, 0)
	return NewClip(rate, wav.Resample(pcm, c.rate, rate))
}

var _ audio.Source = (*Player)(nil)
