package tone

import (
	"errors"
	"io"
	"math"
	"math/cmplx"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/media/audio"
)

// read is what is heard in some time, in frames.
func read(t testing.TB, s *Source, d time.Duration) []int16 {
	t.Helper()
	pcm := make([]int16, int(d*time.Duration(s.Rate())/time.Second))
	for frame := range slices.Chunk(pcm, audio.Frame(s.Rate())) {
		if n, err := s.Read(frame); n != len(frame) || err != nil {
			t.Fatalf("read %d of %d: %v", n, len(frame), err)
		}
	}
	return pcm
}

// dBm0 is the level of one frequency.
func dBm0(pcm []int16, rate int, hz float64) float64 {
	turn := cmplx.Rect(1, 2*math.Pi*hz/float64(rate))
	bend := cmplx.Rect(1, 2*math.Pi/float64(len(pcm)))
	at, window, sum := complex(1, 0), complex(1, 0), complex(0, 0)
	for _, s := range pcm {
		sum += at * complex(float64(s)*(1-real(window)), 0)
		at, window = at*turn, window*bend
	}
	return 20*math.Log10(2*cmplx.Abs(sum)/float64(len(pcm))/32768) + 3.14
}

// cadence is how long it is loud and silent in turn, and how loud, measured from blocks of 5 ms.
func cadence(pcm []int16, rate int) (lengths []time.Duration, levels []float64) {
	const step = 5 * time.Millisecond
	for block := range slices.Chunk(pcm, rate/200) {
		on := audio.Level(block) > -50
		if n := len(lengths); n == 0 || (levels[n-1] > -50) != on {
			lengths, levels = append(lengths, 0), append(levels, audio.Quietest)
		}
		n := len(lengths) - 1
		lengths[n] += step
		levels[n] = max(levels[n], audio.Level(block))
	}
	return lengths, levels
}

// What is heard has the frequencies and the times of the table, in both rates.
func TestHeard(t *testing.T) {
	ms := func(all ...int) (d []time.Duration) {
		for _, n := range all {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	for _, c := range []struct {
		country string
		kind    Kind
		hz      []float64
		cadence []time.Duration // nil: without a pause
	}{
		{"US", RingBack, []float64{440, 480}, ms(2000, 4000, 2000, 4000)},
		{"us", Busy, []float64{480, 620}, ms(500, 500, 500, 500)},
		{"US", Congestion, []float64{480, 620}, ms(250, 250, 250, 250)},
		{"US", Dial, []float64{350, 440}, nil},
		{"US", CallWaiting, []float64{440}, ms(300, 10000, 300)},
		{"CA", RingBack, []float64{440, 480}, ms(2000, 4000)},
		{"GB", RingBack, []float64{400, 450}, ms(400, 200, 400, 2000, 400, 200)},
		{"GB", Congestion, []float64{400}, ms(400, 350, 225, 525, 400, 350, 225)},
		{"DE", RingBack, []float64{425}, ms(1000, 4000, 1000)},
		{"DE", Busy, []float64{425}, ms(480, 480, 480)},
		{"FR", RingBack, []float64{440}, ms(1500, 3500, 1500)},
		{"ES", Congestion, []float64{425}, ms(200, 200, 200, 200, 200, 600, 200)},
		{"AU", RingBack, []float64{400, 383, 417}, ms(400, 200, 400, 2000)},
		{"IN", Busy, []float64{400}, ms(750, 750, 750)},
		{"JP", RingBack, []float64{400, 384, 416}, ms(1000, 2000, 1000)},
		{"NL", CallWaiting, []float64{425}, ms(500, 9500, 500)},
		{"IT", Dial, []float64{425}, ms(200, 200, 600, 1000, 200)},
		{"CH", Congestion, []float64{425}, ms(200, 200, 200)},
		{"AT", RingBack, []float64{420}, ms(1000, 5000, 1000)},
		{"BR", Congestion, []float64{425}, ms(250, 250, 750, 250, 250)},
		{"DE", Information, []float64{950, 1400, 1800}, ms(990, 1000, 990)},
		{"XX", Busy, []float64{425}, ms(500, 500, 500)},
		{"", RingBack, []float64{425}, ms(1000, 4000, 1000)},
	} {
		rates := []int{audio.Narrow, audio.Wide}
		if c.kind != RingBack {
			rates = rates[:1]
		}
		for _, rate := range rates {
			total := 3 * time.Second
			if c.cadence != nil {
				total = 0
				for _, d := range c.cadence {
					total += d
				}
			}
			pcm := read(t, New(c.country, c.kind, rate), total)
			first := pcm
			if c.cadence != nil {
				lengths, _ := cadence(pcm, rate)
				for i, d := range c.cadence {
					if i >= len(lengths) || (lengths[i]-d).Abs() > 10*time.Millisecond {
						t.Errorf("%s %s: lasts %v, want %v", c.country, c.kind, lengths, c.cadence)
						break
					}
				}
				first = pcm[:int(min(c.cadence[0], time.Second)*time.Duration(rate)/time.Second)]
			}
			grid := slices.Clone(c.hz)
			for hz := 300.; hz < 2000; hz += 10 {
				grid = append(grid, hz)
			}
			for _, hz := range grid {
				got := dBm0(first, rate, hz)
				switch near := slices.ContainsFunc(c.hz, func(f float64) bool { return math.Abs(f-hz) < 15 }); {
				case slices.Contains(c.hz, hz) && (got < -26 || got > -8):
					t.Errorf("%s %s: %.0f Hz has %.1f dBm0", c.country, c.kind, hz, got)
				case !near && got > -38:
					t.Errorf("%s %s: %.0f Hz is heard too, with %.1f dBm0", c.country, c.kind, hz, got)
				}
			}
		}
	}
}

// Every tone of the table is well formed and as loud as E.180 wants it, -10 dBm0 plus or minus 5 dB, where it says nothing else.
func TestTable(t *testing.T) {
	for country, tones := range countries {
		for kind, text := range tones {
			if !slices.Contains(Kinds(), kind) || country != strings.ToUpper(country) {
				t.Errorf("%s %s: no such thing", country, kind)
			}
			s := New(country, kind, audio.Narrow)
			for i, p := range s.parts {
				if len(p.sines) == 0 {
					continue
				}
				pcm := make([]int16, 800) // from where the part has its full volume
				if p.samples > 0 {
					pcm = pcm[:min(len(pcm), p.samples-2*ramp)]
				}
				p.read(pcm, ramp)
				want := level
				if strings.Contains(strings.Split(text, ",")[i], "dB") {
					want = min(-16, level-6)
				}
				if got := audio.Level(pcm) + 3.01 + 3.14; math.Abs(got-want) > 5 {
					t.Errorf("%s %s: part %d has %.1f dBm0, want about %.0f", country, kind, i, got, want)
				}
			}
		}
	}
	for _, want := range strings.Fields("US GB DE FR AU JP NL ES IT CH AT IN BR") {
		if !slices.Contains(Countries(), want) {
			t.Errorf("%s has no tones", want)
		}
	}
	if slices.Contains(Countries(), "") {
		t.Error("the default is among the countries")
	}
}

// British congestion tone has a quiet half (6 dB).
func TestQuieterPart(t *testing.T) {
	pcm := read(t, New("GB", Congestion, audio.Narrow), 1500*time.Millisecond)
	_, levels := cadence(pcm, audio.Narrow)
	if d := levels[0] - levels[2]; math.Abs(d-6) > .5 {
		t.Errorf("the second part is %.1f dB quieter, want 6", d)
	}
}

func TestFor(t *testing.T) {
	s := New("US", Busy, audio.Narrow).For(50 * time.Millisecond)
	frame := make([]int16, 160)
	for i, want := range []struct {
		n   int
		err error
	}{{160, nil}, {160, nil}, {80, io.EOF}, {0, io.EOF}} {
		if n, err := s.Read(frame); n != want.n || !errors.Is(err, want.err) {
			t.Errorf("read %d: %d, %v, want %d, %v", i, n, err, want.n, want.err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "425 x", "425 -1", "x 1", "425+ 1", "425*x 1", "425-xdB 1", "425 1 1", "9000 1", "425 1,", "0", "425 61"} {
		if parts, err := parse(text, audio.Narrow); err == nil {
			t.Errorf("%q was accepted as %+v", text, parts)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		country string
		kind    Kind
	}{{"DE", Dial}, {"US", Dial}, {"IN", Dial}} {
		b.Run(c.country, func(b *testing.B) {
			s, frame := New(c.country, c.kind, audio.Narrow), make([]int16, 160)
			b.ReportAllocs()
			for b.Loop() {
				s.Read(frame)
			}
		})
	}
}
