package g711

import (
	"math"
	"testing"
)

// segment is a row of the recommendation's tables: intervals of one size.
type segment struct{ intervals, size int }

// interval is one row of tables 1 and 2: which magnitudes it takes, on the scale of 16 bits, and what it gives.
type interval struct{ from, to, value int }

// rows computes the decision values and quantised values from the columns "number of intervals x interval size".
func rows(segments []segment, scale int) (out []interval) {
	from := 0
	for _, s := range segments {
		for range s.intervals {
			to := from + s.size
			out = append(out, interval{from * scale, to * scale, (from + to) * scale / 2})
			from = to
		}
	}
	return out
}

var (
	tableA = rows([]segment{{32, 2}, {16, 4}, {16, 8}, {16, 16}, {16, 32}, {16, 64}, {16, 128}}, 8)
	tableU = rows([]segment{{1, 1}, {15, 2}, {16, 4}, {16, 8}, {16, 16}, {16, 32}, {16, 64}, {16, 128}, {16, 256}}, 4)
)

// Tables 1a, 1b, 2a and 2b: 128 intervals of each sign, their codes, and the values they give.
func TestTables(t *testing.T) {
	for _, law := range []struct {
		name     string
		table    []interval
		positive func(n int) byte // code of the n-th interval, as RTP carries it
		encode   func(int16) byte
		decode   func(byte) int16
		last     int
	}{
		{"A", tableA, func(n int) byte { return byte(0x80+n) ^ 0x55 }, EncodeA, DecodeA, 4096 * 8},
		{"µ", tableU, func(n int) byte { return byte(0xFF - n) }, EncodeU, DecodeU, 8159 * 4},
	} {
		if n, end := len(law.table), law.table[len(law.table)-1].to; n != 128 || end != law.last {
			t.Fatalf("%s: the table of this test has %d intervals up to %d", law.name, n, end)
		}
		for n, row := range law.table {
			code, value := law.positive(n), row.value
			if law.name == "µ" && n == 0 {
				value = 0
			}
			if got := law.decode(code); int(got) != value {
				t.Errorf("%s: interval %d (%02x) gives %d, want %d", law.name, n+1, code, got, value)
			}
			if got := law.decode(code ^ 0x80); int(got) != -value {
				t.Errorf("%s: negative interval %d (%02x) gives %d, want %d", law.name, n+1, code^0x80, got, -value)
			}
			for s := row.from; s < min(row.to, math.MaxInt16+1); s++ {
				if got := law.encode(int16(s)); got != code {
					t.Fatalf("%s: %d is %02x, want %02x", law.name, s, got, code)
				}
			}
			for s := row.from + 1; s <= row.to; s++ {
				if got := law.encode(int16(-s)); got != code^0x80 {
					t.Fatalf("%s: %d is %02x, want %02x", law.name, -s, got, code^0x80)
				}
			}
		}
		if got, want := law.encode(math.MaxInt16), law.positive(127); got != want {
			t.Errorf("%s: an overload is %02x, want %02x", law.name, got, want)
		}
		if got, want := law.encode(math.MinInt16), law.positive(127)^0x80; got != want {
			t.Errorf("%s: a negative overload is %02x, want %02x", law.name, got, want)
		}
	}
	for n, row := range map[int]interval{1: tableA[0], 2: tableU[127], 3: tableU[1]} {
		if want := map[int]int{1: 1 * 8, 2: 8031 * 4, 3: 2 * 4}[n]; row.value != want {
			t.Errorf("the table of this test says %d, the recommendation %d", row.value, want)
		}
	}
}

// Tables 5 and 6: the codes of 1 kHz at 0 dBm0. The overload point is at +3.14 dBm0 for A-law, +3.17 dBm0 for µ-law.
func TestSequencesOfOneKilohertz(t *testing.T) {
	for _, law := range []struct {
		name     string
		codes    []byte
		encode   func([]byte, []int16) []byte
		decode   func([]int16, []byte) []int16
		overload float64 // amplitude of the largest sine, 16 bits
		room     float64 // dB between 0 dBm0 and that sine
	}{
		{"A", []byte{0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4}, AppendA, AppendLinearA, 4096 * 8, 3.14},
		{"µ", []byte{0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E}, AppendU, AppendLinearU, 8159 * 4, 3.17},
	} {
		amplitude := law.overload * math.Pow(10, -law.room/20)
		var pcm []int16
		var power float64
		for i, s := range law.decode(nil, law.codes) {
			want := -amplitude * math.Sin(2*math.Pi*(float64(i)+.5)/8)
			if math.Abs(float64(s)-want) > amplitude*.02 {
				t.Errorf("%s: sample %d is %d, of a sine %.0f", law.name, i, s, want)
			}
			power += float64(s) * float64(s)
			pcm = append(pcm, int16(math.Round(want)))
		}
		if level := 10 * math.Log10(power/8/(amplitude*amplitude/2)); math.Abs(level) > .1 {
			t.Errorf("%s: the sequence has %.2f dBm0, want 0", law.name, level)
		}
		if got := law.encode(nil, pcm); string(got) != string(law.codes) {
			t.Errorf("%s: the sine is %x, want %x", law.name, got, law.codes)
		}
	}
}

// Every code stands for itself: passing through a linear link changes nothing. The two zeros of µ-law are one sample.
func TestCodesComeBack(t *testing.T) {
	for c := range 256 {
		if got := EncodeA(DecodeA(byte(c))); got != byte(c) {
			t.Errorf("A-law %02x comes back as %02x", c, got)
		}
		if got := EncodeU(DecodeU(byte(c))); got != byte(c) && c != 0x7F {
			t.Errorf("µ-law %02x comes back as %02x", c, got)
		}
	}
	if EncodeA(0) != SilenceA || EncodeU(0) != SilenceU {
		t.Errorf("silence is %02x and %02x", EncodeA(0), EncodeU(0))
	}
}
