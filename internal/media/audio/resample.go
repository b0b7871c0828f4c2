package audio

import (
	"fmt"
	"math"
	"slices"
)

const (
	// phaseTaps is the length of the filter as the lower of the two rates sees it, 3 ms at 8 kHz, half of which is its
	// delay.
	phaseTaps = 24
	// shape is that of the Kaiser window, here for 60 dB. With phaseTaps the filter goes from passing to stopping within
	// 16 % of the lower rate: 3,370 to 4,630 Hz between 8 and 16 kHz.
	shape = 5.65
	// block is how much is filtered at a time, samples of the lower rate.
	block = 160
)

// Resampler changes the rate of one stream, which it is given in pieces of any length. It has a polyphase filter of linear
// phase and delays by 1.5 ms. Between 8 and 16 kHz every second tap is zero and costs nothing.
type Resampler struct {
	factor int
	up     bool
	phases [][]float32 // of the filter, newest sample last, zeros at both ends cut off
	skip   []int       // how many zeros were cut off before each
	// history holds samples of the lower rate for up, and for down one such row for each phase: first the last ones of
	// earlier pieces, then at most a block of new ones.
	history [][]float32
	held    int // samples that wait for a whole group, down only
	group   [maxFactor]float32
}

const maxFactor = 6

// NewResampler makes one. One rate must be a multiple of the other, by [maxFactor] at most; two equal rates are a copy.
func NewResampler(from, to int) (*Resampler, error) {
	low, high := min(from, to), max(from, to)
	if low <= 0 || high%low != 0 || high/low > maxFactor {
		return nil, fmt.Errorf("cannot resample from %d to %d Hz: one must be a multiple of the other, by %d at most", from, to, maxFactor)
	}
	r := &Resampler{factor: high / low, up: to > from}
	if r.factor == 1 {
		return r, nil
	}
	rows := 1
	gain := float64(r.factor) // up: of every factor samples one is not zero
	if !r.up {
		rows, gain = r.factor, 1
	}
	for range rows {
		r.history = append(r.history, make([]float32, phaseTaps+block))
	}
	taps := prototype(r.factor)
	for p := range r.factor {
		// Phase p: every factor-th tap. Up, output p of a group has the taps p, p+factor ... for inputs from new to old. Down, the
		// last sample of a group meets tap 0, so the one that comes p-th meets factor-1-p.
		first := p
		if !r.up {
			first = r.factor - 1 - p
		}
		phase := make([]float32, phaseTaps)
		for k := range phase {
			phase[phaseTaps-1-k] = float32(taps[first+k*r.factor] * gain)
		}
		skip := 0
		for skip < len(phase)-1 && phase[skip] == 0 {
			skip++
		}
		end := len(phase)
		for end > skip+1 && phase[end-1] == 0 {
			end--
		}
		r.phases, r.skip = append(r.phases, phase[skip:end]), append(r.skip, skip)
	}
	return r, nil
}

// prototype is the low-pass filter at the higher rate: a sinc that stops half of the lower rate, in a Kaiser window.
// It has an odd number of taps, so that its delay is whole samples, and a zero behind them.
func prototype(factor int) []float64 {
	taps := make([]float64, factor*phaseTaps)
	middle := len(taps)/2 - 1
	var sum float64
	for i := range len(taps) - 1 {
		x := float64(i - middle)
		tap := 1.
		if i != middle {
			if (i-middle)%factor == 0 {
				continue // a zero of the sinc
			}
			tap = math.Sin(math.Pi*x/float64(factor)) / (math.Pi * x / float64(factor))
		}
		edge := x / float64(middle+1)
		taps[i] = tap * bessel(shape*math.Sqrt(1-edge*edge)) / bessel(shape)
		sum += taps[i]
	}
	for i := range taps {
		taps[i] /= sum
	}
	return taps
}

// bessel is the modified Bessel function of the first kind, order zero.
func bessel(x float64) float64 {
	sum, term := 1., 1.
	for k := 1.; term > sum*1e-12; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

// Resample appends src at the new rate to dst. With room in dst nothing is allocated. Going down, samples that do
// not make a whole one of the lower rate wait for the next piece.
func (r *Resampler) Resample(dst, src []int16) []int16 {
	switch {
	case r.factor == 1:
		return append(dst, src...)
	case r.up:
		dst = slices.Grow(dst, len(src)*r.factor)
		for piece := range slices.Chunk(src, block) {
			dst = r.raise(dst, piece)
		}
		return dst
	}
	dst = slices.Grow(dst, (len(src)+r.held)/r.factor)
	for len(src) > 0 {
		n := min(len(src), block*r.factor-r.held)
		dst = r.lower(dst, src[:n])
		src = src[n:]
	}
	return dst
}

// raise gives factor samples for each of a block.
func (r *Resampler) raise(dst, src []int16) []int16 {
	row := r.history[0]
	for i, s := range src {
		row[phaseTaps+i] = float32(s)
	}
	for i := range src {
		window := row[i+1 : i+1+phaseTaps]
		for p, phase := range r.phases {
			dst = append(dst, saturate(dot(phase, window[r.skip[p]:])))
		}
	}
	copy(row, row[len(src):len(src)+phaseTaps])
	return dst
}

// lower gives one sample for each whole group of factor.
func (r *Resampler) lower(dst, src []int16) []int16 {
	n := 0
	for _, s := range src {
		r.group[r.held] = float32(s)
		if r.held++; r.held < r.factor {
			continue
		}
		for p, row := range r.history {
			row[phaseTaps+n] = r.group[p]
		}
		n, r.held = n+1, 0
	}
	for i := range n {
		var sum float32
		for p, phase := range r.phases {
			sum += dot(phase, r.history[p][i+1+r.skip[p]:])
		}
		dst = append(dst, saturate(sum))
	}
	for _, row := range r.history {
		copy(row, row[n:n+phaseTaps])
	}
	return dst
}

// dot multiplies the taps of a phase with as many samples.
func dot(taps, samples []float32) float32 {
	samples = samples[:len(taps)]
	var a, b, c, d float32
	for len(taps) >= 4 && len(samples) >= 4 {
		a += taps[0] * samples[0]
		b += taps[1] * samples[1]
		c += taps[2] * samples[2]
		d += taps[3] * samples[3]
		taps, samples = taps[4:], samples[4:]
	}
	for i, t := range taps {
		a += t * samples[i]
	}
	return a + b + c + d
}
