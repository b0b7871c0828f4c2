package audio

import "math"

const (
	sineBits  = 10 // entries of the table of one period, as a power of two
	phaseBits = 32 - sineBits
)

// period is one period of a sine, and its first entry again.
var period = func() (table [1<<sineBits + 1]float32) {
	for i := range table {
		table[i] = float32(math.Sin(2 * math.Pi * float64(i) / (1 << sineBits)))
	}
	return table
}()

// Sine makes a sine. Its frequency is exact to some millionths of a hertz and does not drift, its amplitude to five
// millionths.
type Sine struct{ phase, step uint32 }

// NewSine makes one that begins at zero. hz is less than half of rate.
func NewSine(rate int, hz float64) Sine {
	return Sine{step: uint32(math.Round(hz / float64(rate) * (1 << 32)))}
}

// Reset begins the period again.
func (s *Sine) Reset() { s.phase = 0 }

// Next gives the next sample, -1 to 1.
func (s *Sine) Next() float32 {
	i, part := s.phase>>phaseBits, float32(s.phase&(1<<phaseBits-1))/(1<<phaseBits)
	s.phase += s.step
	return period[i] + (period[i+1]-period[i])*part
}
