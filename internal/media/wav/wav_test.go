package wav

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func tone(rate int, hz, level float64, d time.Duration) []int16 {
	pcm := make([]int16, int(d)*rate/int(time.Second))
	for i := range pcm {
		pcm[i] = int16(level * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return pcm
}

// power is that of one frequency, by correlation; 1 is a full-scale sine.
func power(pcm []int16, rate int, hz float64) float64 {
	var re, im float64
	for i, s := range pcm {
		a := 2 * math.Pi * hz * float64(i) / float64(rate)
		re += float64(s) * math.Cos(a)
		im += float64(s) * math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(pcm)) / math.MaxInt16
}

func write(t testing.TB, path string, format Format, pcm []int16) {
	t.Helper()
	w, err := Create(path, format)
	if err != nil {
		t.Fatal(err)
	}
	for len(pcm) > 0 { // as frames come
		n := min(len(pcm), 160*format.Channels)
		if err := w.Write(pcm[:n]); err != nil {
			t.Fatal(err)
		}
		pcm = pcm[n:]
	}
	if err := w.Close(-1); err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name   string
		format Format
		within float64 // of a sample, of its own size: G.711 has 4 bits of mantissa
	}{
		{"pcm", Format{Encoding: PCM, Rate: 8000, Channels: 1}, 0},
		{"wide pcm", Format{Encoding: PCM, Rate: 16000, Channels: 1}, 0},
		{"stereo", Format{Encoding: PCM, Rate: 8000, Channels: 2}, 0},
		{"µ-law", Format{Encoding: ULaw, Rate: 8000, Channels: 1}, 1. / 32},
		{"A-law", Format{Encoding: ALaw, Rate: 8000, Channels: 1}, 1. / 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := tone(c.format.Rate, 440, 20000, 2345*time.Millisecond)
			path := filepath.Join(t.TempDir(), "a.wav")
			write(t, path, c.format, want)
			f, err := Load(path, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if f.Encoding != c.format.Encoding || f.Rate != c.format.Rate || f.Channels != c.format.Channels || f.Cut {
				t.Fatalf("read %+v, want %+v", f, c.format)
			}
			got := f.linear()
			if len(got) != len(want) {
				t.Fatalf("%d samples, want %d", len(got), len(want))
			}
			for i := range got {
				if d := math.Abs(float64(got[i]) - float64(want[i])); d > c.within*math.Abs(float64(want[i]))+c.within*32*16 {
					t.Fatalf("sample %d is %d, want %d", i, got[i], want[i])
				}
			}
		})
	}
}

// A file that was cut at any byte gives what is left, or says that it has no sound.
func TestCutAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	pcm := tone(8000, 440, 20000, 100*time.Millisecond)
	write(t, path, Format{Encoding: PCM, Rate: 8000, Channels: 1}, pcm)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		f, err := Parse(whole[:n])
		if n < headerSize {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("cut at %d: %v, want ErrFormat", n, err)
			}
			continue
		}
		if err != nil || !f.Cut {
			t.Fatalf("cut at %d: %+v, %v", n, f, err)
		}
		got := f.Mono(8000)
		if len(got) != (n-headerSize)/2 {
			t.Fatalf("cut at %d: %d samples", n, len(got))
		}
		for i := range got {
			if got[i] != pcm[i] {
				t.Fatalf("cut at %d: sample %d is %d, want %d", n, i, got[i], pcm[i])
			}
		}
	}
}

// Whatever was handed to Write up to half a second ago is in the file, whose header agrees with its size, at every moment.
func TestValidWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	w, err := Create(path, Format{Encoding: PCM, Rate: 8000, Channels: 1, SyncEvery: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	pcm := tone(8000, 440, 20000, 3500*time.Millisecond)
	for i := 0; i < len(pcm); i += 160 {
		if err := w.Write(pcm[i : i+160]); err != nil {
			t.Fatal(err)
		}
		f, err := Load(path, DefaultLimits())
		if err != nil || f.Cut {
			t.Fatalf("after %d samples: %+v, %v", i+160, f, err)
		}
		if lost := i + 160 - f.Samples(); lost < 0 || lost >= 4000 {
			t.Fatalf("after %d samples %d are in the file", i+160, f.Samples())
		}
	}
	if err := w.Close(10000); err != nil {
		t.Fatal(err)
	}
	if f, err := Load(path, DefaultLimits()); err != nil || f.Samples() != 10000 || f.Cut {
		t.Fatalf("cut to 10,000 samples: %d, %v", f.Samples(), err)
	}
}

// failing is a disk that is full after some bytes.
type failing struct {
	*os.File
	left int
}

var errFull = errors.New("no space left")

func (d *failing) Write(b []byte) (int, error) {
	if len(b) <= d.left {
		d.left -= len(b)
		return d.File.Write(b)
	}
	n, err := d.File.Write(b[:d.left])
	d.left = 0
	return n, errors.Join(err, errFull)
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWriter(&failing{out, headerSize + 20001}, Format{Encoding: PCM, Rate: 8000, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	pcm := tone(8000, 440, 20000, 2*time.Second)
	if err := w.Write(pcm); !errors.Is(err, errFull) {
		t.Fatalf("Write = %v, want %v", err, errFull)
	}
	if err := w.Write(pcm); !errors.Is(err, errFull) {
		t.Fatalf("the next Write = %v, want %v", err, errFull)
	}
	if err := w.Close(-1); !errors.Is(err, errFull) {
		t.Fatalf("Close = %v, want %v", err, errFull)
	}
	if f, err := Load(path, DefaultLimits()); err != nil || f.Samples() != 10000 {
		t.Fatalf("the file has %d samples, %v; want what fitted", f.Samples(), err)
	}
}

func TestResample(t *testing.T) {
	for _, from := range []int{8000, 11025, 16000, 22050, 44100, 48000} {
		for _, to := range []int{8000, 16000} {
			in := tone(from, 1000, 16000, time.Second)
			out := Resample(in, from, to)
			if len(out) != to {
				t.Errorf("%d to %d: %d samples of a second", from, to, len(out))
			}
			if p, want := power(out, to, 1000), power(in, from, 1000); math.Abs(p/want-1) > 0.01 {
				t.Errorf("%d to %d: 1,000 Hz has level %.4f, want %.4f", from, to, p, want)
			}
		}
	}
	// 5,000 Hz would come back as 3,000 Hz in sound of 8,000 samples a second.
	if p := power(Resample(tone(22050, 5000, 30000, time.Second), 22050, 8000), 8000, 3000); p > 0.001 {
		t.Errorf("5,000 Hz folds back at %.1f dB", 20*math.Log10(p))
	}
}

func TestWhatIsNoSound(t *testing.T) {
	header := func(encoding, channels uint16, rate uint32, bits uint16) []byte {
		b := append([]byte("RIFF\x24\x00\x00\x00WAVEfmt "), 16, 0, 0, 0)
		b = binary.LittleEndian.AppendUint16(b, encoding)
		b = binary.LittleEndian.AppendUint16(b, channels)
		b = binary.LittleEndian.AppendUint32(b, rate)
		b = append(b, 0, 0, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint16(b, bits)
		return append(b, "data\x00\x00\x00\x00"...)
	}
	for say, b := range map[string][]byte{
		"does not begin with RIFF":   []byte("ID3 and what follows"),
		"encoding 85":                header(85, 1, 8000, 16),
		"PCM of 24 bits":             header(1, 1, 8000, 24),
		"0 channels":                 header(1, 0, 8000, 16),
		"4294967295 samples":         header(1, 1, math.MaxUint32, 16),
		"before its format":          []byte("RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00"),
		"ends before the sound":      header(1, 1, 8000, 16)[:36],
		"within the description":     header(1, 1, 8000, 16)[:30],
		"more than 1000 chunks":      append([]byte("RIFF\x00\x00\x00\x00WAVE"), strings.Repeat("junk\x00\x00\x00\x00", 1001)...),
		"µ-law of 16 bits, want 8":   header(7, 1, 8000, 16),
		"9 channels, want 1 (or up ": header(1, 9, 8000, 16),
	} {
		path := filepath.Join(t.TempDir(), "bad.wav")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, DefaultLimits())
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), say) || !strings.Contains(err.Error(), path) {
			t.Errorf("Load = %v, want the file and %q", err, say)
		}
	}
}

func TestLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long.ulaw")
	if err := os.WriteFile(path, make([]byte, 16000), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Load(path, Limits{Bytes: 16000, Duration: 2 * time.Second}); err != nil || f.Duration() != 2*time.Second {
		t.Errorf("within the limits: %v, %v", f.Duration(), err)
	}
	if _, err := Load(path, Limits{Bytes: 15999, Duration: time.Minute}); !errors.Is(err, ErrLimit) {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := Load(path, Limits{Bytes: 1 << 20, Duration: time.Second}); !errors.Is(err, ErrLimit) {
		t.Errorf("too long: %v", err)
	}
}

// A stereo file becomes the mean of its channels, and is heard apart by Split.
func TestStereo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	left, right := tone(8000, 500, 10000, time.Second), tone(8000, 1200, 10000, time.Second)
	both := make([]int16, 0, 16000)
	for i := range left {
		both = append(both, left[i], right[i])
	}
	write(t, path, Format{Encoding: PCM, Rate: 8000, Channels: 2}, both)
	f, err := Load(path, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	apart := f.Split()
	mono := f.Mono(8000)
	for hz, want := range map[float64][3]float64{500: {0.305, 0, 0.1525}, 1200: {0, 0.305, 0.1525}} {
		for i, pcm := range [][]int16{apart[0], apart[1], mono} {
			if p := power(pcm, 8000, hz); math.Abs(p-want[i]) > 0.002 {
				t.Errorf("%v Hz in %s: %.4f, want %.4f", hz, []string{"left", "right", "mono"}[i], p, want[i])
			}
		}
	}
}

// FuzzParse: a file or an error, never both, and nothing that the file does not hold.
func FuzzParse(f *testing.F) {
	path := filepath.Join(f.TempDir(), "a.wav")
	write(f, path, Format{Encoding: ALaw, Rate: 8000, Channels: 2}, tone(8000, 440, 9000, 10*time.Millisecond))
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(append([]byte("RIFF\x00\x00\x00\x00WAVELIST\x01\x00\x00\x00x\x00"), seed[12:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			if file.Data != nil || !errors.Is(err, ErrFormat) {
				t.Fatalf("%+v and %v", file, err)
			}
			return
		}
		if len(file.Data) > len(b) || file.Samples()*file.frame() != len(file.Data) {
			t.Fatalf("%d bytes of sound in a file of %d", len(file.Data), len(b))
		}
		if len(file.Data) < 1000 {
			file.Mono(8000)
			file.Split()
		}
	})
}

// What a killed process had on disk before the header said so is sound after Mend, and a moment that was cut is none.
func TestMend(t *testing.T) {
	for _, format := range []Format{{Encoding: PCM, Rate: 8000, Channels: 2}, {Encoding: ULaw, Rate: 8000, Channels: 1}} {
		path := filepath.Join(t.TempDir(), "a.wav")
		w, err := Create(path, format)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(make([]int16, 4000*format.Channels)); err != nil { // half a second: it goes to disk
			t.Fatal(err)
		}
		if err := w.disk.Close(); err != nil { // the process dies
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		late := make([]byte, 1001*w.frame()+w.frame()-1) // written, and the header was not any more
		if _, err := f.Write(late); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		length, err := Mend(path)
		want := time.Duration(5001) * time.Second / 8000
		got, loadErr := Load(path, DefaultLimits())
		if err != nil || loadErr != nil || length != want || got.Duration() != want || got.Cut || got.Samples() != 5001 {
			t.Errorf("%v: Mend = %v, %v; the file: %v, cut %v, %v; want %v", format.Encoding, length, err, got.Duration(), got.Cut, loadErr, want)
		}
		if again, err := Mend(path); again != want && err == nil && format.Encoding == PCM {
			t.Errorf("a second Mend = %v, %v", again, err)
		}
	}
	other := filepath.Join(t.TempDir(), "b.wav")
	if err := os.WriteFile(other, []byte("RIFF but not long enough"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Mend(other); !errors.Is(err, ErrFormat) {
		t.Errorf("Mend of no sound = %v", err)
	}
}
