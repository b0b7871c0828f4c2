package g722

import (
	"encoding/binary"
	"math"
	"os"
	"slices"
	"testing"
)

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func samples(b []byte) []int16 {
	pcm := make([]int16, len(b)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return pcm
}

// differ tells at which place two streams part.
func differ[T comparable](a, b []T) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Another implementation makes the same bits of the same sound, and the same sound of the same bits; see make.sh.
func TestBitExact(t *testing.T) {
	sound, code := samples(file(t, "sound.raw")), file(t, "sound.g722")
	if got := NewEncoder().Encode(nil, sound); !slices.Equal(got, code) {
		t.Errorf("the code differs from byte %d on, of %d and %d", differ(got, code), len(got), len(code))
	}
	for _, c := range []struct {
		name       string
		code, want []byte
	}{{"sound", code, file(t, "sound.decoded.raw")}, {"errors", file(t, "sound.raw")[:4000], file(t, "errors.decoded.raw")}} {
		want := samples(c.want)
		if got := NewDecoder().Decode(nil, c.code); !slices.Equal(got, want) {
			t.Errorf("%s: the sound differs from sample %d on, of %d and %d", c.name, differ(got, want), len(got), len(want))
		}
	}
}

// A stream in pieces is the same as in one.
func TestPieces(t *testing.T) {
	sound, code := samples(file(t, "sound.raw")), file(t, "sound.g722")
	e, d := NewEncoder(), NewDecoder()
	var coded []byte
	var decoded []int16
	for n := 2; len(sound) > 0; n = n*3%1000 + 2 {
		n := min(n&^1, len(sound))
		from := len(coded)
		coded = e.Encode(coded, sound[:n])
		decoded = d.Decode(decoded, coded[from:])
		sound = sound[n:]
	}
	if !slices.Equal(coded, code) || !slices.Equal(decoded, samples(file(t, "sound.decoded.raw"))) {
		t.Error("pieces differ from the whole")
	}
}

// roundTrip gives what is heard, without the delay of the filters.
func roundTrip(pcm []int16) []int16 {
	const delay = 22
	padded := append(slices.Clone(pcm), make([]int16, delay)...)
	return NewDecoder().Decode(nil, NewEncoder().Encode(nil, padded))[delay:]
}

func snr(want, got []int16) float64 {
	var signal, noise float64
	for i := range want {
		d := float64(want[i]) - float64(got[i])
		signal, noise = signal+float64(want[i])*float64(want[i]), noise+d*d
	}
	return 10 * math.Log10(signal/noise)
}

// Sines come back as well as six bits a sample in the lower band can do it, and two in the upper one.
func TestSignalToNoise(t *testing.T) {
	for _, c := range []struct{ frequency, peak, worst float64 }{
		{300, 16000, 35}, {1000, 16000, 35}, {3000, 16000, 35}, {1000, 1000, 30}, {1000, 100, 15}, {5000, 16000, 12}, {6500, 8000, 12},
	} {
		pcm := make([]int16, 16000)
		for i := range pcm {
			pcm[i] = int16(c.peak * math.Sin(2*math.Pi*c.frequency*float64(i)/16000))
		}
		if got := snr(pcm[800:], roundTrip(pcm)[800:]); got < c.worst {
			t.Errorf("%.0f Hz of %.0f: %.1f dB, want %.0f", c.frequency, c.peak, got, c.worst)
		}
	}
}

// Silence is all but silent, also right behind the loudest sound.
func TestSilence(t *testing.T) {
	quiet := func(pcm []int16) bool { return slices.Max(pcm) <= 8 && slices.Min(pcm) >= -8 }
	if got := roundTrip(make([]int16, 3200)); !quiet(got) {
		t.Errorf("silence comes back as %d to %d", slices.Min(got), slices.Max(got))
	}
	pcm := make([]int16, 16000)
	for i := range pcm[:8000] {
		pcm[i] = int16(30000 * math.Sin(float64(i)))
	}
	if got := roundTrip(pcm)[10000:]; !quiet(got) {
		t.Errorf("silence behind sound comes back as %d to %d", slices.Min(got), slices.Max(got))
	}
}

// FuzzDecode: any code gives two samples a byte, and the decoder recovers: behind it silence becomes silence.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 255, 3, 63, 192})
	f.Fuzz(func(t *testing.T, code []byte) {
		d := NewDecoder()
		if got := d.Decode(nil, code); len(got) != 2*len(code) {
			t.Fatalf("%d samples of %d bytes", len(got), len(code))
		}
		for _, b := range []*band{&d.lower, &d.upper} {
			if b.scale <= 0 || b.scale > math.MaxInt16 || b.pole[1] < -12288 || b.pole[1] > 12288 {
				t.Fatalf("state out of its limits: %+v", b)
			}
		}
		silence := NewEncoder().Encode(nil, make([]int16, 32000))
		got := d.Decode(nil, silence)
		for _, s := range got[len(got)-160:] {
			if s > 200 || s < -200 {
				t.Fatalf("still %d two seconds later", s)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	pcm := make([]int16, 320)
	for i := range pcm {
		pcm[i] = int16(9000 * math.Sin(float64(i)/4))
	}
	e, dst := NewEncoder(), make([]byte, 0, 160)
	b.ReportAllocs()
	for b.Loop() {
		e.Encode(dst, pcm)
	}
}

func BenchmarkDecode(b *testing.B) {
	pcm := make([]int16, 320)
	for i := range pcm {
		pcm[i] = int16(9000 * math.Sin(float64(i)/4))
	}
	code := NewEncoder().Encode(nil, pcm)
	d, dst := NewDecoder(), make([]int16, 0, 320)
	b.ReportAllocs()
	for b.Loop() {
		d.Decode(dst, code)
	}
}
