package codec

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
)

// opusFile reads what testdata/opus/make.sh made: packets, and what libopus hears in them.
func opusFile(t testing.TB, name string) (packets [][]byte, want []int16) {
	t.Helper()
	b, err := os.ReadFile("testdata/opus/" + name + ".packets")
	if err != nil {
		t.Fatal(err)
	}
	for len(b) >= 2 {
		n := 2 + int(binary.LittleEndian.Uint16(b))
		packets, b = append(packets, b[2:n]), b[n:]
	}
	if b, err = os.ReadFile("testdata/opus/" + name + ".raw"); err != nil {
		t.Fatal(err)
	}
	for ; len(b) >= 2; b = b[2:] {
		want = append(want, int16(binary.LittleEndian.Uint16(b)))
	}
	return packets, want
}

var opusModes = []string{"silk", "hybrid", "celt", "stereo"}

// What is heard is what libopus hears, in each mode.
func TestOpus(t *testing.T) {
	for _, mode := range opusModes {
		packets, want := opusFile(t, mode)
		d := Opus.NewDecoder()
		var got []int16
		for _, p := range packets {
			var err error
			if got, err = d.Decode(got, p); err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
		}
		if len(got) != len(want) || len(got) < 320*20 {
			t.Fatalf("%s: %d samples, want %d", mode, len(got), len(want))
		}
		if r := snr(want, got); r < 45 {
			t.Errorf("%s: %.1f dB between libopus and us, want 45", mode, r)
		}
	}
}

func TestOpusIsHeardOnly(t *testing.T) {
	if Speaks(Opus) || Opus.NewEncoder() != nil {
		t.Error("there is an encoder")
	}
	for _, c := range known {
		if speaks := c.NewEncoder() != nil; speaks != Speaks(c) {
			t.Errorf("%s: has an encoder: %v, says %v", c.Encoding(), speaks, Speaks(c))
		}
	}
	got, err := Opus.NewDecoder().Decode([]int16{1}, nil)
	if !errors.Is(err, ErrPayload) || len(got) != 1 {
		t.Errorf("nothing is %v, %v", got, err)
	}
}

// FuzzOpus: packets with errors in them, one after the other, give an error or sound that a packet may have, and no fault
// of the decoder.
func FuzzOpus(f *testing.F) {
	for _, mode := range opusModes {
		packets, _ := opusFile(f, mode)
		for _, p := range packets[10:14] {
			f.Add(p, packets[15], uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte, flip uint8) {
		d := new(opusDecoder)
		for i, p := range [][]byte{a, b, a, b} {
			if i > 1 && len(p) > 0 {
				p = append([]byte(nil), p...)
				p[int(flip)%len(p)] ^= 1 << (flip % 8)
			}
			got, err := d.Decode(nil, p)
			if (err != nil) != (len(got) == 0) || len(got) > 1920 {
				t.Fatalf("%d samples, %v", len(got), err)
			}
			if d.of == nil && len(p) > 0 && len(p) <= MaxPayload {
				t.Fatalf("the decoder failed: %v", err)
			}
		}
	})
}

func BenchmarkOpus(b *testing.B) {
	for _, mode := range opusModes {
		b.Run(mode, func(b *testing.B) {
			packets, _ := opusFile(b, mode)
			d, dst := Opus.NewDecoder(), make([]int16, 0, 1920)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := d.Decode(dst, packets[i%len(packets)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
