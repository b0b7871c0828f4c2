package audio

import (
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"testing"
)

// sine is a fifth of a second of it.
func sine(rate int, frequency, amplitude float64) []int16 {
	pcm := make([]int16, rate/5)
	for i := range pcm {
		pcm[i] = int16(math.Round(amplitude * math.Sin(2*math.Pi*frequency*float64(i)/float64(rate))))
	}
	return pcm
}

// part is the level of one frequency in pcm, in dB of amplitude. pcm is a whole number of its periods.
func part(pcm []int16, rate int, frequency float64) float64 {
	turn := cmplx.Rect(1, 2*math.Pi*frequency/float64(rate))
	at, sum := complex(1, 0), complex(0, 0)
	for _, s := range pcm {
		sum += at * complex(float64(s), 0)
		at *= turn
	}
	return 20 * math.Log10(max(2*cmplx.Abs(sum)/float64(len(pcm)), 1e-9))
}

func resampler(t testing.TB, from, to int) *Resampler {
	t.Helper()
	r, err := NewResampler(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// steady is the half behind the filter's beginning.
func steady(pcm []int16) []int16 { return pcm[len(pcm)/2:] }

var rates = [][2]int{{8000, 16000}, {16000, 8000}, {48000, 16000}, {48000, 8000}, {16000, 48000}, {8000, 48000}}

// What phones carry comes through as loud as it was, 300 to 3,300 Hz at 8 kHz and twice that at 16 kHz.
func TestPassband(t *testing.T) {
	const amplitude = 10000
	for _, rate := range rates {
		low := float64(min(rate[0], rate[1]))
		for f := 100.; f <= low*.4125; f += 100 {
			out := resampler(t, rate[0], rate[1]).Resample(nil, sine(rate[0], f, amplitude))
			if len(out) != rate[1]/5 {
				t.Fatalf("%d to %d: a fifth of a second has %d samples", rate[0], rate[1], len(out))
			}
			if got := part(steady(out), rate[1], f) - 20*math.Log10(amplitude); math.Abs(got) > .05 {
				t.Errorf("%d to %d: %.0f Hz comes through with %+.3f dB", rate[0], rate[1], f, got)
			}
		}
	}
}

// What the lower rate cannot carry is not heard as something else: neither folded back when going down, nor mirrored when
// going up.
func TestAliasesAreRejected(t *testing.T) {
	const amplitude, worst = 20000, -55.
	for _, rate := range rates {
		low, high := float64(min(rate[0], rate[1])), float64(max(rate[0], rate[1]))
		for f := low * .58; f < high/2; f += 130 {
			f := math.Round(f/10) * 10
			sent, heard := f, math.Abs(math.Remainder(f, low)) // going down, f is heard where it folds to
			if rate[1] > rate[0] {
				sent, heard = heard, sent // going up, what is sent has an image at f
			}
			if sent == 0 || heard == 0 || heard == float64(rate[1])/2 {
				continue
			}
			out := resampler(t, rate[0], rate[1]).Resample(nil, sine(rate[0], sent, amplitude))
			if got := part(steady(out), rate[1], heard) - 20*math.Log10(amplitude); got > worst {
				t.Errorf("%d to %d: %.0f Hz is heard at %.0f Hz with %.1f dB", rate[0], rate[1], sent, heard, got)
			}
		}
	}
}

// A stream in pieces of any length is the same as in one.
func TestPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rate := range rates {
		pcm := make([]int16, 4800)
		for i := range pcm {
			pcm[i] = int16(random.IntN(65536) - 32768)
		}
		whole := resampler(t, rate[0], rate[1]).Resample(nil, pcm)
		r, rest := resampler(t, rate[0], rate[1]), pcm
		var got []int16
		for len(rest) > 0 {
			n := min(len(rest), 1+random.IntN(700))
			got, rest = r.Resample(got, rest[:n]), rest[n:]
		}
		if !slices.Equal(got, whole) {
			t.Errorf("%d to %d: pieces differ from the whole", rate[0], rate[1])
		}
	}
}

func TestRates(t *testing.T) {
	if got := resampler(t, Wide, Wide).Resample(nil, []int16{1, 2, 3}); !slices.Equal(got, []int16{1, 2, 3}) {
		t.Errorf("equal rates give %v", got)
	}
	for _, rate := range [][2]int{{0, 8000}, {8000, 0}, {8000, -16000}, {44100, 16000}, {8000, 12000}, {8000, 96000}} {
		if _, err := NewResampler(rate[0], rate[1]); err == nil {
			t.Errorf("%d to %d was accepted", rate[0], rate[1])
		}
	}
}

// The loudest that there is does not wrap around behind a filter that overshoots.
func TestResamplerSaturates(t *testing.T) {
	square := make([]int16, 800)
	for i := range square {
		square[i] = math.MaxInt16
		if i/20%2 == 1 {
			square[i] = math.MinInt16
		}
	}
	for _, rate := range [][2]int{{8000, 16000}, {16000, 8000}} {
		out := resampler(t, rate[0], rate[1]).Resample(nil, square)
		for i := 200; i+1 < len(out); i++ {
			if d := int(out[i+1]) - int(out[i]); math.Abs(float64(d)) > 60000 {
				t.Fatalf("%d to %d: sample %d jumps by %d", rate[0], rate[1], i, d)
			}
		}
	}
}

func TestLevel(t *testing.T) {
	for _, c := range []struct {
		pcm  []int16
		want float64
	}{
		{sine(8000, 1000, 32767), -3.01},
		{sine(8000, 1000, 3276.7), -23.01},
		{slices.Repeat([]int16{-32768}, 160), 0},
		{make([]int16, 160), Quietest},
		{nil, Quietest},
	} {
		if got := Level(c.pcm); math.Abs(got-c.want) > .01 {
			t.Errorf("level is %.2f dBov, want %.2f", got, c.want)
		}
	}
}

func BenchmarkResample(b *testing.B) {
	for _, rate := range [][2]int{{8000, 16000}, {16000, 8000}, {48000, 16000}, {48000, 8000}} {
		b.Run(fmt.Sprintf("%d-%d", rate[0], rate[1]), func(b *testing.B) {
			r, src, dst := resampler(b, rate[0], rate[1]), sine(rate[0], 700, 10000)[:Frame(rate[0])], make([]int16, 0, Frame(rate[1]))
			b.ReportAllocs()
			for b.Loop() {
				r.Resample(dst, src)
			}
		})
	}
}

func BenchmarkLevel(b *testing.B) {
	pcm := sine(Narrow, 700, 10000)[:Frame(Narrow)]
	for b.Loop() {
		Level(pcm)
	}
}
