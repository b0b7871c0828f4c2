package mix

import "math"

// halfBand is one side of a half-band filter: what is at the odd distances from its middle, which itself is one half.
// 16 taps of a sinc under a Kaiser window let 3,400 Hz pass and hold 4,600 Hz down by 50 dB.
var halfBand = func() (h [8]float32) {
	const beta = 5.0
	bessel := func(x float64) float64 {
		sum, term := 1.0, 1.0
		for k := 1.0; term > 1e-12; k++ {
			term *= x * x / (4 * k * k)
			sum += term
		}
		return sum
	}
	total := 0.0
	for i := range h {
		d := float64(2*i + 1)
		w := bessel(beta*math.Sqrt(1-(d/16)*(d/16))) / bessel(beta)
		v := math.Sin(math.Pi*d/2) / (math.Pi * d) * w
		h[i] = float32(v)
		total += v
	}
	for i := range h {
		h[i] *= float32(0.25 / total) // both sides and the middle make one
	}
	return h
}()

// converter changes the rate of one voice by two; it remembers the samples that the filter reaches back to.
type converter struct{ before [31]int16 }

// down makes half as many samples.
func (c *converter) down(dst, src []int16) {
	var buf [31 + 320]int16
	copy(buf[:], c.before[:])
	copy(buf[31:], src)
	for i := range dst {
		at := 2*i + 16 // 15 samples back from the newest that is used
		v := 0.5 * float32(buf[at])
		for k, h := range halfBand {
			v += h * (float32(buf[at-2*k-1]) + float32(buf[at+2*k+1]))
		}
		dst[i] = clamp(v)
	}
	copy(c.before[:], buf[len(src):])
}

// up makes twice as many samples.
func (c *converter) up(dst, src []int16) {
	var buf [15 + 160]int16
	copy(buf[:], c.before[:15])
	copy(buf[15:], src)
	for i := range src {
		at := i + 7
		v := float32(0)
		for k, h := range halfBand {
			v += h * (float32(buf[at-k]) + float32(buf[at+k+1]))
		}
		dst[2*i] = buf[at]
		dst[2*i+1] = clamp(2 * v)
	}
	copy(c.before[:15], buf[len(src):])
}

func clamp(v float32) int16 {
	return int16(max(math.MinInt16, min(math.MaxInt16, v)))
}
