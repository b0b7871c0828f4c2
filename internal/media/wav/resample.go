package wav

import "math"

// taps is how many zero crossings of the sinc are used on each side: the passband ends some 8 % below the lower of the
// two Nyquist frequencies, and what would fold back is down by more than 60 dB.
const taps = 24

// Resample makes pcm of another rate. It takes the whole sound at once and is as good as it can be rather than fast: a
// windowed sinc (Kaiser, beta 7) with its edge at the lower of the two bandwidths. It is for loading files; a stream is
// resampled by the package audio.
func Resample(pcm []int16, from, to int) []int16 {
	if from == to || len(pcm) == 0 {
		return pcm
	}
	scale := 0.94 * min(1, float64(to)/float64(from)) // edge of the filter, in Nyquist frequencies of the input
	half := taps / scale
	out := make([]int16, int(int64(len(pcm))*int64(to)/int64(from)))
	kernel := newKernel()
	for n := range out {
		at := float64(n) * float64(from) / float64(to)
		first, last := max(0, int(math.Ceil(at-half))), min(len(pcm)-1, int(at+half))
		sum, weight := 0.0, 0.0
		for i := first; i <= last; i++ {
			w := kernel.at((float64(i) - at) * scale)
			sum += w * float64(pcm[i])
			weight += w
		}
		if first > 0 && last < len(pcm)-1 || weight <= 0 {
			weight = 1 / scale // at the very ends part of the filter is missing, and its sum says nothing
		}
		out[n] = clamp(sum / weight)
	}
	return out
}

func clamp(v float64) int16 {
	return int16(math.Round(max(math.MinInt16, min(math.MaxInt16, v))))
}

// kernel is one side of the windowed sinc, with perCrossing points for each zero crossing and straight lines between them.
type kernel []float64

const perCrossing = 512

func newKernel() kernel {
	k := make(kernel, taps*perCrossing+2)
	for i := range k {
		x := float64(i) / perCrossing
		if x > taps {
			break
		}
		k[i] = sinc(x) * bessel(7*math.Sqrt(1-(x/taps)*(x/taps))) / bessel(7)
	}
	return k
}

func (k kernel) at(x float64) float64 {
	x = math.Abs(x) * perCrossing
	i := int(x)
	if i+1 >= len(k) {
		return 0
	}
	return k[i] + (x-float64(i))*(k[i+1]-k[i])
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel is the modified Bessel function of the first kind and order zero.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= x * x / (4 * k * k)
		sum += term
	}
	return sum
}
