package plc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var rates = []int{8000, 16000}

// voice is a sound with a pitch that wanders around hz, and overtones, as vowels have.
func voice(rate int, hz float64, d time.Duration) []int16 {
	pcm := make([]int16, int(d)*rate/int(time.Second))
	phase := 0.0
	for i := range pcm {
		t := float64(i) / float64(rate)
		phase += 2 * math.Pi * hz * (1 + 0.03*math.Sin(2*math.Pi*1.5*t)) / float64(rate)
		v := math.Sin(phase) + 0.5*math.Sin(2*phase+1) + 0.3*math.Sin(3*phase+2) + 0.2*math.Sin(5*phase)
		pcm[i] = int16(6000 * v)
	}
	return pcm
}

// snr is how much louder want is than the difference to got, in decibels.
func snr(want, got []int16) float64 {
	var signal, noise float64
	for i := range want {
		d := float64(want[i]) - float64(got[i])
		signal += float64(want[i]) * float64(want[i])
		noise += d * d
	}
	return 10 * math.Log10(signal/max(noise, 1e-9))
}

// steepest is the largest difference between neighbours.
func steepest(pcm []int16) int {
	most := 0
	for i := 1; i < len(pcm); i++ {
		most = max(most, int(math.Abs(float64(pcm[i])-float64(pcm[i-1]))))
	}
	return most
}

// through sends pcm in frames of 20 ms through a concealer; lose tells which are lost.
func through(rate int, pcm []int16, lose func(frame int) bool) []int16 {
	c := New(rate)
	out := append([]int16(nil), pcm...)
	frame := rate / 50
	for i := 0; (i+1)*frame <= len(out); i++ {
		if part := out[i*frame : (i+1)*frame]; lose(i) {
			c.Conceal(part)
		} else {
			c.Heard(part)
		}
	}
	return out
}

func TestALostFrameIsHardlyHeard(t *testing.T) {
	for _, rate := range rates {
		for _, hz := range []float64{70, 110, 150, 195} {
			t.Run(fmt.Sprintf("%dHz at %d", int(hz), rate), func(t *testing.T) {
				pcm := voice(rate, hz, time.Second)
				got := through(rate, pcm, func(i int) bool { return i == 20 })
				frame := rate / 50
				if db := snr(pcm[20*frame:21*frame], got[20*frame:21*frame]); db < 6 {
					t.Errorf("the frame that was lost differs by %.1f dB, want 6 at least", db)
				}
				if db := snr(pcm[22*frame:], got[22*frame:]); db < 60 {
					t.Errorf("what comes later is changed: %.1f dB", db)
				}
				if was, is := steepest(pcm), steepest(got); is > was*3/2 {
					t.Errorf("a step of %d where the sound has %d at most: a click", is, was)
				}
			})
		}
	}
}

func TestSpeechWithLossesIsBetterThanWithHoles(t *testing.T) {
	for _, rate := range rates {
		pcm := voice(rate, 130, 10*time.Second)
		r := rand.New(rand.NewPCG(1, 2))
		lost := map[int]bool{}
		for i := 5; i < 500; i++ {
			lost[i] = r.IntN(20) == 0
		}
		got := through(rate, pcm, func(i int) bool { return lost[i] })
		holes := append([]int16(nil), pcm...)
		for i, l := range lost {
			if l {
				clear(holes[i*rate/50 : (i+1)*rate/50])
			}
		}
		concealed, silent := snr(pcm, got), snr(pcm, holes)
		if concealed < silent+4 {
			t.Errorf("at %d: %.1f dB, %.1f dB with silence in the place of what is lost", rate, concealed, silent)
		}
	}
}

func TestALongGapFadesAway(t *testing.T) {
	for _, rate := range rates {
		pcm := voice(rate, 100, time.Second)
		got := through(rate, pcm, func(i int) bool { return i >= 10 && i < 20 })
		frame := rate / 50
		last := math.Inf(1)
		for i := 10; i < 13; i++ {
			var energy float64
			for _, v := range got[i*frame : (i+1)*frame] {
				energy += float64(v) * float64(v)
			}
			if energy >= last || energy == 0 {
				t.Errorf("at %d: frame %d of the gap has energy %.0f, the one before %.0f", rate, i-10, energy, last)
			}
			last = energy
		}
		for i, v := range got[13*frame : 20*frame] {
			if v != 0 {
				t.Fatalf("at %d: sample %d after 60 ms is %d, want silence", rate, i, v)
			}
		}
		if db := snr(pcm[21*frame:], got[21*frame:]); db < 60 {
			t.Errorf("at %d: what comes after the gap is changed: %.1f dB", rate, db)
		}
		if was, is := steepest(pcm), steepest(got); is > was*3/2 {
			t.Errorf("at %d: a step of %d where the sound has %d at most: a click", rate, is, was)
		}
	}
}

func TestPiecesOfAnyLength(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, rate := range rates {
		c := New(rate)
		buffer := make([]int16, rate)
		for range 3000 {
			part := buffer[:r.IntN(400)]
			for i := range part {
				part[i] = int16(r.Uint32())
			}
			switch r.IntN(20) {
			case 0:
				c.Reset()
			case 1, 2, 3:
				c.Conceal(part)
			default:
				c.Heard(part)
			}
			if got, want := len(c.past), c.samples(memory); got < want {
				t.Fatalf("only %d samples are remembered, want %d", got, want)
			}
		}
	}
}

func TestSilenceStaysSilence(t *testing.T) {
	for _, v := range through(8000, make([]int16, 8000), func(i int) bool { return i%3 == 2 }) {
		if v != 0 {
			t.Fatalf("%d, want silence", v)
		}
	}
}

func TestShortenTakesOutAPeriod(t *testing.T) {
	for _, rate := range rates {
		pcm := voice(rate, 120, time.Second)
		was := steepest(pcm)
		got := Shorten(append([]int16(nil), pcm...), rate)
		period := rate / 120
		if gone := len(pcm) - len(got); gone < period*9/10 || gone > period*11/10 {
			t.Errorf("at %d: %d samples are gone, a period has %d", rate, gone, period)
		}
		if is := steepest(got); is > was*3/2 {
			t.Errorf("at %d: a step of %d where the sound has %d at most: a click", rate, is, was)
		}
		short := make([]int16, rate/100)
		if got := Shorten(short, rate); len(got) != len(short) {
			t.Errorf("at %d: %d of 10 ms are left, want all %d", rate, len(got), len(short))
		}
	}
}

func TestQuiet(t *testing.T) {
	pcm := voice(8000, 120, time.Second)
	if Quiet(pcm) {
		t.Error("a voice is quiet")
	}
	for i := range pcm {
		pcm[i] /= 500
	}
	if !Quiet(pcm) {
		t.Error("the background is not quiet")
	}
}

func BenchmarkConceal(b *testing.B) {
	for _, rate := range rates {
		pcm := voice(rate, 120, time.Second)
		frame := pcm[:rate/50]
		for name, lost := range map[string]bool{"heard": false, "lost": true} {
			b.Run(fmt.Sprintf("%s/%d", name, rate), func(b *testing.B) {
				c := New(rate)
				c.Heard(pcm)
				out := make([]int16, len(frame))
				b.ReportAllocs()
				for b.Loop() {
					if lost {
						c.Conceal(out)
					}
					copy(out, frame)
					c.Heard(out)
				}
			})
		}
	}
}
