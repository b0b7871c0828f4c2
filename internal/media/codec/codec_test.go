package codec

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/internal/media/audio"
)

func TestFind(t *testing.T) {
	for _, c := range []struct {
		encoding string
		clock    uint32
		want     Codec
	}{
		{"PCMU", 8000, PCMU}, {"pcma", 8000, PCMA}, {"g722", 8000, G722}, {"G722", 16000, nil}, {"OPUS", 48000, Opus}, {"l16", 8000, L16}, {"L16", 16000, L16Wide},
		{"PCMU", 16000, nil}, {"L16", 44100, nil}, {"G729", 8000, nil}, {"CN", 8000, nil}, {"", 8000, nil},
	} {
		got, ok := Find(c.encoding, c.clock)
		if ok != (c.want != nil) {
			t.Fatalf("Find(%q, %d) = %v", c.encoding, c.clock, ok)
		}
		if ok && (got.Encoding() != c.want.Encoding() || got.Clock() != c.clock) {
			t.Errorf("Find(%q, %d) = %s/%d", c.encoding, c.clock, got.Encoding(), got.Clock())
		}
	}
}

// speech is something with the ups and downs of a voice: harmonics of a gliding pitch below 3.4 kHz in syllables.
func speech(rate, samples int, peak float64) []int16 {
	pcm := make([]int16, samples)
	var phase float64
	for i := range pcm {
		at := float64(i) / float64(rate)
		phase += 2 * math.Pi * (140 + 30*math.Sin(2*math.Pi*.7*at)) / float64(rate)
		var s float64
		for h := 1.; h <= 20; h++ {
			s += math.Sin(h*phase+h*h) / h * (1 + math.Sin(2*math.Pi*.3*h*at))
		}
		pcm[i] = int16(s / 4 * peak * math.Abs(math.Sin(2*math.Pi*2*at)))
	}
	return pcm
}

// snr is the signal to noise ratio in dB.
func snr(want, got []int16) float64 {
	var signal, noise float64
	for i := range want {
		d := float64(want[i]) - float64(got[i])
		signal += float64(want[i]) * float64(want[i])
		noise += d * d
	}
	return 10 * math.Log10(signal/noise)
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		codec Codec
		delay int
		worst float64 // dB
	}{{PCMU, 0, 34}, {PCMA, 0, 34}, {G722, 22, 25}, {L16, 0, math.Inf(1)}, {L16Wide, 0, math.Inf(1)}} {
		pcm := speech(c.codec.Rate(), c.codec.Rate(), 20000)
		enc, dec := c.codec.NewEncoder(), c.codec.NewDecoder()
		var got []int16
		for frame := range slices.Chunk(pcm, audio.Frame(c.codec.Rate())) {
			payload := enc.Encode(nil, frame)
			var err error
			if got, err = dec.Decode(got, payload); err != nil {
				t.Fatalf("%s: %v", c.codec.Encoding(), err)
			}
		}
		if len(got) != len(pcm) {
			t.Fatalf("%s: %d samples came back of %d", c.codec.Encoding(), len(got), len(pcm))
		}
		if r := snr(pcm[:len(pcm)-c.delay], got[c.delay:]); r < c.worst {
			t.Errorf("%s: %.1f dB of signal to noise, want %.0f", c.codec.Encoding(), r, c.worst)
		}
	}
}

func TestL16IsInNetworkByteOrder(t *testing.T) {
	if got := L16.NewEncoder().Encode(nil, []int16{0x1234, -2}); string(got) != "\x12\x34\xff\xfe" {
		t.Errorf("coded as % x", got)
	}
}

func TestMalformedPayloads(t *testing.T) {
	for name, c := range map[string]struct {
		codec   Codec
		payload []byte
	}{
		"half a sample":    {L16, make([]byte, 321)},
		"too large":        {PCMU, make([]byte, MaxPayload+1)},
		"too large of L16": {L16Wide, make([]byte, MaxPayload+2)},
	} {
		got, err := c.codec.NewDecoder().Decode(nil, c.payload)
		if !errors.Is(err, ErrPayload) || len(got) != 0 {
			t.Errorf("%s: %d samples, %v", name, len(got), err)
		}
	}
}

func TestNoise(t *testing.T) {
	var n Noise
	pcm := slices.Repeat([]int16{7}, 8000)
	if n.Fill(pcm); slices.Max(pcm) != 0 || slices.Min(pcm) != 0 {
		t.Error("nothing was described, and something is heard")
	}
	for _, level := range []byte{10, 30, 45, 60, 70} {
		if err := n.Describe([]byte{level, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		n.Fill(pcm)
		var power, mean float64
		for _, s := range pcm {
			power += float64(s) * float64(s)
			mean += float64(s)
		}
		got := 10 * math.Log10(power/float64(len(pcm))/(32768*32768))
		if math.Abs(got+float64(level)) > 1 {
			t.Errorf("noise of -%d dBov has %.1f", level, got)
		}
		if rms := math.Sqrt(power / float64(len(pcm))); math.Abs(mean)/float64(len(pcm)) > rms/10 {
			t.Errorf("noise of -%d dBov has a mean of %.1f", level, mean/float64(len(pcm)))
		}
	}
	for _, payload := range [][]byte{nil, {128}, make([]byte, MaxPayload+1)} {
		if err := n.Describe(payload); !errors.Is(err, ErrPayload) {
			t.Errorf("%d bytes: %v", len(payload), err)
		}
	}
}

// White noise has no memory: neighbours tell nothing of each other.
func TestNoiseIsWhite(t *testing.T) {
	var n Noise
	n.SetLevel(-20)
	pcm := make([]int16, 16000)
	n.Fill(pcm)
	var power float64
	for _, s := range pcm {
		power += float64(s) * float64(s)
	}
	for lag := 1; lag < 20; lag++ {
		var sum float64
		for i := lag; i < len(pcm); i++ {
			sum += float64(pcm[i]) * float64(pcm[i-lag])
		}
		if math.Abs(sum/power) > .04 {
			t.Errorf("samples %d apart are alike by %.3f", lag, sum/power)
		}
	}
}

// FuzzDecode: a payload gives sound or an error, never both, and never more than its size allows.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(0), []byte{0xFF, 0x7F})
	f.Add(uint8(3), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		c := known[int(which)%len(known)]
		dec := c.NewDecoder()
		for range 3 {
			got, err := dec.Decode(nil, payload)
			if (err != nil) != (len(got) == 0) && len(payload) > 0 {
				t.Fatalf("%s: %d samples of %d bytes, %v", c.Encoding(), len(got), len(payload), err)
			}
			if len(got) > 8*MaxPayload {
				t.Fatalf("%s: %d samples of %d bytes", c.Encoding(), len(got), len(payload))
			}
		}
		var n Noise
		if n.Describe(payload) == nil {
			n.Fill(make([]int16, 160))
		}
	})
}

func BenchmarkCodecs(b *testing.B) {
	for _, c := range known {
		name := fmt.Sprintf("%s-%d", c.Encoding(), c.Rate())
		if !Speaks(c) {
			continue
		}
		pcm := speech(c.Rate(), audio.Frame(c.Rate()), 12000)
		for i := range pcm {
			pcm[i] += int16(rand.IntN(200))
		}
		payload := c.NewEncoder().Encode(nil, pcm)
		b.Run(name+"/encode", func(b *testing.B) {
			enc, dst := c.NewEncoder(), make([]byte, 0, MaxPayload)
			b.ReportAllocs()
			for b.Loop() {
				enc.Encode(dst, pcm)
			}
		})
		b.Run(name+"/decode", func(b *testing.B) {
			dec, dst := c.NewDecoder(), make([]int16, 0, 8*MaxPayload)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := dec.Decode(dst, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("noise", func(b *testing.B) {
		var n Noise
		n.SetLevel(-40)
		pcm := make([]int16, audio.Frame(audio.Narrow))
		b.ReportAllocs()
		for b.Loop() {
			n.Fill(pcm)
		}
	})
}
