package dtmf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/wav"
)

// heard is what a detector hears in pcm, given in frames.
func heard(t testing.TB, rate int, pcm []int16) (got []Digit) {
	t.Helper()
	d, err := NewDetector(rate, func(d Digit) { got = append(got, d) })
	if err != nil {
		t.Fatal(err)
	}
	for frame := range slices.Chunk(pcm, audio.Frame(rate)) {
		if err := d.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func keysOf(digits []Digit) string {
	var keys []byte
	for _, d := range digits {
		keys = append(keys, d.Key)
	}
	return string(keys)
}

// sound is keys with silence around them; before shifts where the blocks fall.
func sound(t testing.TB, rate int, keys string, shape Shape, before int) []int16 {
	t.Helper()
	s, err := NewSound(rate, keys, shape)
	if err != nil {
		t.Fatal(err)
	}
	pcm, frame := make([]int16, before), make([]int16, audio.Frame(rate))
	for {
		n, err := s.Read(frame)
		pcm = append(pcm, frame[:n]...)
		if errors.Is(err, io.EOF) {
			return append(pcm, make([]int16, rate/10)...)
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// pair is two sines, with levels in dBm0.
type pair struct {
	hz    [2]float64
	level [2]float64
	held  time.Duration
}

// play gives the pairs of two frequencies with 60 ms of silence after each, in noise.
func play(rate int, noise float64, before int, pairs ...pair) []int16 {
	random := rand.New(rand.NewPCG(7, uint64(before)))
	pcm := make([]int16, before)
	for _, p := range pairs {
		for i := range samples(rate, p.held+60*time.Millisecond) {
			var s float64
			if i < samples(rate, p.held) {
				for k := range p.hz {
					s += float64(audio.Peak(p.level[k])) * math.Sin(2*math.Pi*p.hz[k]*float64(i)/float64(rate))
				}
			}
			pcm = append(pcm, audio.Clip(int32(math.Round(s))))
		}
	}
	if noise > -90 {
		deviation := float64(audio.Peak(noise)) / math.Sqrt2 // a sine of the level has as much power
		for i := range pcm {
			pcm[i] = audio.Clip(int32(pcm[i]) + int32(math.Round(random.NormFloat64()*deviation)))
		}
	}
	return append(pcm, make([]int16, rate/10)...)
}

var bothRates = []int{audio.Narrow, audio.Wide}

// every plays one key at all places of the keypad, shifted against the blocks, and tells how often it was heard once and rightly.
func every(t *testing.T, rate int, noise float64, change func(*pair)) (right, all int) {
	for key := range keypad {
		for shift := 0; shift < blockSamples; shift += 34 * rate / audio.Narrow {
			p := pair{[2]float64{rows[key/4], columns[key%4]}, [2]float64{-10, -10}, 40 * time.Millisecond}
			change(&p)
			all++
			if keysOf(heard(t, rate, play(rate, noise, shift*rate/audio.Narrow, p))) == keypad[key:key+1] {
				right++
			}
		}
	}
	return right, all
}

// What ITU-T Q.24 and the administrations in it want accepted or refused.
func TestLimits(t *testing.T) {
	type pairs = func(*pair)
	level := func(row, column float64) pairs { return func(p *pair) { p.level = [2]float64{row, column} } }
	off := func(row, column float64) pairs {
		return func(p *pair) {
			p.hz[0] += p.hz[0]*row + math.Copysign(2, row)
			p.hz[1] += p.hz[1]*column + math.Copysign(2, column)
		}
	}
	held := func(ms int) pairs { return func(p *pair) { p.held = time.Duration(ms) * time.Millisecond } }
	for _, c := range []struct {
		name   string
		change pairs
		noise  float64
		want   bool
	}{
		{"40 ms", held(40), -100, true},
		{"50 ms", held(50), -100, true},
		{"one second", held(1000), -100, true},
		{"20 ms", held(20), -100, false},
		{"24 ms", held(24), -100, false},
		{"as loud as it gets", level(-3, -3), -100, true},
		{"-25 dBm0", level(-25, -25), -100, true},
		{"-29 dBm0", level(-29, -29), -100, true},
		{"-40 dBm0", level(-40, -40), -100, false},
		{"column 4 dB louder", level(-14, -10), -100, true},
		{"column 8 dB louder", level(-18, -10), -100, false},
		{"row 8 dB louder", level(-10, -18), -100, true},
		{"row 12 dB louder", level(-6, -18), -100, false},
		{"row alone", level(-6, -90), -100, false},
		{"column alone", level(-90, -6), -100, false},
		{"both 1.5 % high", off(.015, .015), -100, true},
		{"both 1.5 % low", off(-.015, -.015), -100, true},
		{"apart by 1.5 % each", off(-.015, .015), -100, true},
		{"row 3.5 % high", off(.035, 0), -100, false},
		{"row 3.5 % low", off(-.035, 0), -100, false},
		{"column 3.5 % high", off(0, .035), -100, false},
		{"column 3.5 % low", off(0, -.035), -100, false},
		{"noise 15 dB below", level(-10, -10), -25, true},
		{"noise 15 dB below a pair that is 1.5 % off", off(.015, -.015), -25, true},
	} {
		for _, rate := range bothRates {
			right, all := every(t, rate, c.noise, c.change)
			if want := map[bool]int{true: all, false: 0}[c.want]; right != want {
				t.Errorf("%s at %d Hz: heard %d of %d, want %d", c.name, rate, right, all, want)
			}
		}
	}
}

// With more noise fewer are heard, and none is heard wrongly.
func TestNoise(t *testing.T) {
	for noise, least := range map[float64]float64{-22: .99, -19: .95} { // 12 and 9 dB below either frequency
		right, all := every(t, audio.Narrow, noise, func(p *pair) { p.held = 60 * time.Millisecond })
		if got := float64(right) / float64(all); got < least {
			t.Errorf("noise of %.0f dBm0: heard %.1f %%, want %.1f", noise, 100*got, 100*least)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, rate := range bothRates {
		pcm := make([]int16, 60*rate)
		for i := range pcm {
			pcm[i] = audio.Clip(int32(random.NormFloat64() * 3000))
		}
		if got := heard(t, rate, pcm); len(got) > 0 {
			t.Errorf("a minute of noise at %d Hz is %s", rate, keysOf(got))
		}
	}
}

// All keys, as fast as Q.24 allows it, each once, with their length.
func TestSequence(t *testing.T) {
	for _, rate := range bothRates {
		for _, held := range []int{40, 65, 100, 400} {
			for before := range 13 {
				shape := DefaultShape()
				shape.Held, shape.Pause = ms(held), ms(40)
				const keys = "1122334455667788990**0##AABBCCDD"
				got := heard(t, rate, sound(t, rate, keys, shape, before*rate/1000))
				if keysOf(got) != keys {
					t.Fatalf("%d ms at %d Hz: heard %s, want %s", held, rate, keysOf(got), keys)
				}
				for _, d := range got {
					if (d.Duration - ms(held)).Abs() > ms(7) {
						t.Fatalf("%d ms at %d Hz: %c lasted %v", held, rate, d.Key, d.Duration)
					}
				}
			}
		}
	}
}

// An interruption of 10 ms is none (Q.24), wherever the blocks are.
func TestInterruption(t *testing.T) {
	for before := range 2 * blockSamples {
		shape := DefaultShape()
		shape.Held = ms(200)
		pcm := sound(t, audio.Narrow, "5", shape, before)
		clear(pcm[before+720 : before+800])
		got := heard(t, audio.Narrow, pcm)
		if keysOf(got) != "5" || (got[0].Duration-ms(200)).Abs() > ms(10) {
			t.Fatalf("shifted by %d: %+v", before, got)
		}
	}
}

// One key right behind another one, without a pause, is two keys.
func TestNoPause(t *testing.T) {
	shape := DefaultShape()
	shape.Pause = 0
	if got := keysOf(heard(t, audio.Narrow, sound(t, audio.Narrow, "159D", shape, 40))); got != "159D" {
		t.Errorf("heard %s", got)
	}
}

// A voice that glides over all pitches is not a key: two minutes of syllables with three formants each.
func TestVoice(t *testing.T) {
	const rate = audio.Narrow
	random := rand.New(rand.NewPCG(3, 4))
	pcm := make([]int16, 0, 121*rate)
	for len(pcm) < 120*rate {
		pitch, width := 80+random.Float64()*250, 60+random.Float64()*120
		formants := [3]float64{250 + random.Float64()*700, 800 + random.Float64()*1500, 2300 + random.Float64()*900}
		var harmonics []audio.Sine
		var gains []float32
		for h := 1.; h*pitch < 3400; h++ {
			var gain float64
			for _, formant := range formants {
				gain += 1 / (1 + math.Pow((h*pitch-formant)/width, 2)) / h // the larynx has less of the higher ones
			}
			harmonics, gains = append(harmonics, audio.NewSine(rate, h*pitch)), append(gains, float32(gain))
		}
		length := rate/20 + random.IntN(rate/4)
		for i := range length {
			var s float32
			for k := range harmonics {
				s += gains[k] * harmonics[k].Next()
			}
			pcm = append(pcm, audio.Clip(int32(16000*float64(s)*math.Sin(math.Pi*float64(i)/float64(length)))))
		}
	}
	if got := heard(t, rate, pcm); len(got) > 1 {
		t.Errorf("two minutes of a voice are %d keys: %s", len(got), keysOf(got))
	}
}

// All that the platform itself says is no key.
func TestPrompts(t *testing.T) {
	prompts := os.DirFS("../prompt/en")
	var length time.Duration
	err := fs.WalkDir(prompts, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := wav.Load(filepath.Join("../prompt/en", path), wav.DefaultLimits())
		if err != nil {
			return err
		}
		pcm := file.Mono(audio.Narrow)
		length += time.Duration(len(pcm)) * time.Second / audio.Narrow
		if got := heard(t, audio.Narrow, pcm); len(got) > 0 {
			t.Errorf("%s is %s", path, keysOf(got))
		}
		return nil
	})
	if err != nil || length < time.Minute {
		t.Errorf("%v of speech, want a minute at least; %v", length, err)
	}
}

// Tones of the network and whistling are not keys.
func TestOtherTones(t *testing.T) {
	for _, hz := range [][2]float64{{350, 440}, {440, 480}, {480, 620}, {400, 450}, {425, 425}, {950, 1400}, {1400, 1800}, {697, 770}, {1209, 1336}, {2100, 1100}} {
		p := pair{hz, [2]float64{-10, -10}, 2 * time.Second}
		if got := heard(t, audio.Narrow, play(audio.Narrow, -100, 0, p)); len(got) > 0 {
			t.Errorf("%.0f and %.0f Hz are %s", hz[0], hz[1], keysOf(got))
		}
	}
	for hz := 300.; hz < 3000; hz += 7 {
		p := pair{[2]float64{hz, hz}, [2]float64{-10, -90}, 300 * time.Millisecond}
		if got := heard(t, audio.Narrow, play(audio.Narrow, -100, 0, p)); len(got) > 0 {
			t.Errorf("whistling at %.0f Hz is %s", hz, keysOf(got))
		}
	}
}

func TestSound(t *testing.T) {
	if _, err := NewSound(audio.Narrow, "12x", DefaultShape()); err == nil {
		t.Error("x has a sound")
	}
	if _, err := NewDetector(44100, nil); err == nil {
		t.Error("keys are heard at 44,100 Hz")
	}
	shape := Shape{Held: ms(100), Pause: ms(50), Low: -9, High: -7}
	pcm := sound(t, audio.Narrow, "1a", shape, 0)
	if want := 2400 + 800; len(pcm) != want {
		t.Fatalf("%d samples, want %d", len(pcm), want)
	}
	for i, c := range []struct{ hz, want float64 }{{697, -9}, {1209, -7}, {697, -9}, {1633, -7}} {
		part := pcm[i/2*1200:][:800]
		var re, im float64
		for k, s := range part {
			sin, cos := math.Sincos(2 * math.Pi * c.hz * float64(k) / 8000)
			re, im = re+float64(s)*cos, im+float64(s)*sin
		}
		peak := 2 * math.Hypot(re, im) / float64(len(part))
		if got := 20 * math.Log10(peak/float64(audio.Peak(0))); math.Abs(got-c.want) > .3 {
			t.Errorf("%.0f Hz has %.2f dBm0, want %.0f", c.hz, got, c.want)
		}
	}
	if silence := pcm[800:1200]; slices.Max(silence) != 0 || slices.Min(silence) != 0 {
		t.Error("the pause is not silent")
	}
}

func FuzzDetector(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 255, 127}, uint16(40))
	f.Fuzz(func(t *testing.T, b []byte, repeat uint16) {
		var pcm []int16
		for range 1 + repeat%200 {
			for i := 0; i+1 < len(b) && len(pcm) < 40000; i += 2 {
				pcm = append(pcm, int16(uint16(b[i])|uint16(b[i+1])<<8))
			}
		}
		most := len(pcm)/(3*blockSamples-blockSamples/2) + 1
		got := heard(t, audio.Narrow, pcm)
		if len(got) > most {
			t.Fatalf("%d keys in %d samples", len(got), len(pcm))
		}
		for _, d := range got {
			if d.Key == 0 || d.Duration < shortest || samples(audio.Narrow, d.Duration) > len(pcm)+blockSamples {
				t.Fatalf("told %+v of %d samples", d, len(pcm))
			}
		}
	})
}

func BenchmarkDetector(b *testing.B) {
	for _, rate := range bothRates {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			d, err := NewDetector(rate, func(Digit) {})
			if err != nil {
				b.Fatal(err)
			}
			pcm := sound(b, rate, "5", DefaultShape(), 0)[:audio.Frame(rate)]
			b.ReportAllocs()
			for b.Loop() {
				d.Write(pcm)
			}
		})
	}
}

func BenchmarkSound(b *testing.B) {
	frame := make([]int16, 160)
	s, err := NewSound(audio.Narrow, "5", Shape{Held: time.Hour, Low: -9, High: -7})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.at = soundRamp // so that it does not end
		s.Read(frame)
	}
}
