package dtmf

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestReader(t *testing.T) {
	type packet struct {
		ssrc, stamp uint32
		payload     []byte
	}
	for name, c := range map[string]struct {
		packets []packet
		want    []Digit
	}{
		"once for three ends": {[]packet{{1, 800, []byte{1, 10, 0, 80}}, {1, 800, []byte{1, 0x8A, 1, 64}}, {1, 800, []byte{1, 0x8A, 1, 64}}, {1, 800, []byte{1, 0x8A, 1, 64}}},
			[]Digit{{'1', 1, ms(40)}}},
		"the ends only": {[]packet{{1, 800, []byte{10, 0x8A, 1, 64}}, {1, 800, []byte{10, 0x8A, 1, 64}}}, []Digit{{'*', 10, ms(40)}}},
		"an end that was lost, known by the next": {[]packet{{1, 800, []byte{15, 10, 1, 64}}, {1, 3200, []byte{2, 0x8A, 0, 80}}},
			[]Digit{{'D', 15, ms(40)}, {'2', 2, ms(10)}}},
		"late packets of one that is over": {[]packet{{1, 800, []byte{1, 0x8A, 0, 80}}, {1, 3200, []byte{2, 10, 0, 80}}, {1, 800, []byte{1, 10, 0, 40}}, {1, 3200, []byte{2, 0x8A, 0, 160}}},
			[]Digit{{'1', 1, ms(10)}, {'2', 2, ms(20)}}},
		"out of order":              {[]packet{{1, 800, []byte{1, 10, 1, 64}}, {1, 800, []byte{1, 10, 0, 80}}, {1, 800, []byte{1, 0x8A, 1, 64}}}, []Digit{{'1', 1, ms(40)}}},
		"twice the same key":        {[]packet{{1, 800, []byte{1, 0x8A, 0, 80}}, {1, 1600, []byte{1, 0x8A, 0, 80}}}, []Digit{{'1', 1, ms(10)}, {'1', 1, ms(10)}}},
		"another stream":            {[]packet{{1, 800, []byte{1, 0x8A, 0, 80}}, {2, 700, []byte{1, 0x8A, 0, 80}}}, []Digit{{'1', 1, ms(10)}, {'1', 1, ms(10)}}},
		"longer than a segment":     {[]packet{{1, 800, []byte{3, 10, 0xFF, 0xFF}}, {1, 800 + 0xFFFF, []byte{3, 0x8A, 0x1F, 0x41}}}, []Digit{{'3', 3, ms(9192)}}},
		"a full segment's end lost": {[]packet{{1, 800, []byte{3, 10, 0xFF, 0}}, {1, 800 + 0xFFFF, []byte{3, 0x8A, 0x1F, 0x41}}}, []Digit{{'3', 3, ms(9192)}}},
		"a whole segment lost":      {[]packet{{1, 800, []byte{3, 10, 0xFF, 0}}, {1, 800 + 2*0xFFFF, []byte{3, 0x8A, 0x1F, 0x41}}}, []Digit{{'3', 3, 2*65535*time.Second/8000 + ms(1000) + 125*time.Microsecond}}},
		"another key instead of a further segment": {[]packet{{1, 800, []byte{3, 10, 0xFF, 0xFF}}, {1, 800 + 0xFFFF, []byte{4, 0x8A, 0, 80}}},
			[]Digit{{'3', 3, 65535 * time.Second / 8000}, {'4', 4, ms(10)}}},
		"timestamps that began anew": {[]packet{{1, 1 << 30, []byte{1, 0x8A, 0, 80}}, {1, 800, []byte{1, 0x8A, 0, 80}}}, []Digit{{'1', 1, ms(10)}, {'1', 1, ms(10)}}},
		"timestamps that wrap":       {[]packet{{1, 0xFFFFFFF0, []byte{1, 0x8A, 0, 80}}, {1, 1600, []byte{2, 0x8A, 0, 80}}, {1, 0xFFFFFFF0, []byte{1, 0x8A, 0, 80}}}, []Digit{{'1', 1, ms(10)}, {'2', 2, ms(10)}}},
		"no key":                     {[]packet{{1, 800, []byte{16, 0x8A, 0, 80}}}, []Digit{{0, 16, ms(10)}}},
		"too short":                  {[]packet{{1, 800, []byte{1, 0x8A, 0}}}, nil},
	} {
		var r Reader
		var got []Digit
		for _, p := range c.packets {
			got = r.Packet(&rtp.Header{SSRC: p.ssrc, Timestamp: p.stamp}, p.payload, 8000, time.Unix(1000, 0), got)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// When the ends are lost and nothing follows, time ends the digit, and what comes after all does not make a second one.
func TestEndsLost(t *testing.T) {
	var r Reader
	now := time.Unix(1000, 0)
	if got := r.Packet(&rtp.Header{SSRC: 1, Timestamp: 800}, []byte{7, 10, 1, 64}, 8000, now, nil); got != nil {
		t.Fatalf("told %+v of a digit that is held", got)
	}
	if got := r.Silence(now.Add(Silent-1), nil); got != nil {
		t.Errorf("told %+v too early", got)
	}
	want := []Digit{{'7', 7, ms(40)}}
	if got := r.Silence(now.Add(Silent), nil); !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	if got := r.Silence(now.Add(time.Hour), nil); got != nil {
		t.Errorf("told %+v again", got)
	}
	now = now.Add(time.Second)
	for _, stamp := range []uint32{800, 800 + segmentFull, 800 + segmentFull} {
		if got := r.Packet(&rtp.Header{SSRC: 1, Timestamp: stamp}, []byte{7, 0x8A, 9, 64}, 8000, now, nil); got != nil {
			t.Errorf("told %+v of a digit that was told", got)
		}
	}
	if got := r.Packet(&rtp.Header{SSRC: 1, Timestamp: 90000}, []byte{7, 0x8A, 1, 64}, 8000, now, nil); !slices.Equal(got, want) {
		t.Errorf("told %+v of the next, want %+v", got, want)
	}
}

// sent is what a writer sends for keys, in its ticks of 20 ms.
func sent(t testing.TB, w *Writer, clock uint32) (packets []Packet, ticks []int) {
	t.Helper()
	step := clock / 50
	for tick := 0; w.Busy(); tick++ {
		if p, ok := w.Next(7000+uint32(tick)*step, step, clock); ok {
			packets, ticks = append(packets, p), append(ticks, tick)
		}
		if tick > 10000 {
			t.Fatal("the writer does not come to an end")
		}
	}
	return packets, ticks
}

func TestWriterPacketsOfAKey(t *testing.T) {
	var w Writer
	if err := w.Press("5a"); err != nil {
		t.Fatal(err)
	}
	packets, ticks := sent(t, &w, 8000)
	want := []Packet{
		{[4]byte{5, 10, 0, 160}, 7000, true},
		{[4]byte{5, 10, 1, 64}, 7000, false},
		{[4]byte{5, 10, 1, 224}, 7000, false},
		{[4]byte{5, 10, 2, 128}, 7000, false},
		{[4]byte{5, 0x8A, 3, 32}, 7000, false},
		{[4]byte{5, 0x8A, 3, 32}, 7000, false},
		{[4]byte{5, 0x8A, 3, 32}, 7000, false},
	}
	second := uint32(7000 + 10*160) // 100 ms held, 100 ms pause
	for _, p := range want[:7:7] {
		p.Payload[0], p.Stamp = 12, second
		want = append(want, p)
	}
	if !slices.Equal(packets, want) {
		t.Errorf("sent\n%v, want\n%v", packets, want)
	}
	if wantTicks := []int{0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16}; !slices.Equal(ticks, wantTicks) {
		t.Errorf("sent in ticks %v, want %v", ticks, wantTicks)
	}
}

// What a writer sends a reader understands, whatever the clock, in segments if it is long.
func TestWriterToReader(t *testing.T) {
	for _, clock := range []uint32{8000, 16000, 48000} {
		var w Writer
		if err := w.Press(Keys); err != nil {
			t.Fatal(err)
		}
		if !w.Send(3, 25*time.Second) || !w.Send(16, ms(300)) {
			t.Fatal("no room")
		}
		packets, _ := sent(t, &w, clock)
		got := read(packets, clock, func(int) bool { return true })
		var want []Digit
		for i := range Keys {
			want = append(want, Digit{Keys[i], uint8(i), Held})
		}
		want = append(want, Digit{'3', 3, 25 * time.Second}, Digit{0, 16, ms(300)})
		if !slices.Equal(got, want) {
			t.Errorf("clock %d: %+v, want %+v", clock, got, want)
		}
		for i, p := range packets {
			if p.Marker != (i == 0 || packets[i-1].Payload[1]&eventEnd != 0 && p.Payload[1]&eventEnd == 0) {
				t.Errorf("clock %d: packet %d has marker %v", clock, i, p.Marker)
			}
		}
	}
}

// read is what a reader makes of packets, of which some come.
func read(packets []Packet, clock uint32, comes func(int) bool) (got []Digit) {
	var r Reader
	now := time.Unix(1000, 0)
	for i, p := range packets {
		if now = now.Add(20 * time.Millisecond); comes(i) {
			got = r.Packet(&rtp.Header{SSRC: 1, Timestamp: p.Stamp}, p.Payload[:], clock, now, got)
		}
	}
	return r.Silence(now.Add(time.Second), got)
}

// Each key is told exactly once as long as one of its packets comes, also if packets come twice and out of order.
func TestEachKeyOnceThroughLoss(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(4, seed))
		var w Writer
		if err := w.Press("12233315"); err != nil {
			t.Fatal(err)
		}
		packets, _ := sent(t, &w, 8000)
		var come []Packet
		for key := range slices.Chunk(packets, 7) { // each key has seven
			kept := random.Perm(7)[:1+random.IntN(4)] // out of order
			for _, i := range kept {
				come = append(come, key[i])
				if random.IntN(3) == 0 {
					come = append(come, key[i])
				}
			}
		}
		var keys []byte
		for _, d := range read(come, 8000, func(int) bool { return true }) {
			keys = append(keys, d.Key)
		}
		if string(keys) != "12233315" {
			t.Fatalf("seed %d: told %q", seed, keys)
		}
	}
}

func TestWriterLimits(t *testing.T) {
	var w Writer
	if err := w.Press("12x"); err == nil || w.Busy() {
		t.Errorf("x was pressed: %v, busy %v", err, w.Busy())
	}
	all := string(slices.Repeat([]byte{'1'}, MaxQueue))
	if err := w.Press(all); err != nil {
		t.Error(err)
	}
	if err := w.Press("1"); err == nil || w.Send(1, Held) {
		t.Error("more was pressed than fits")
	}
	w.Next(0, 160, 8000)
	w.Drop()
	if packets, _ := sent(t, &w, 8000); len(packets) != 6 || w.Busy() {
		t.Errorf("%d packets followed the first one of a key when the others were dropped, want 6", len(packets))
	}
	w.Press("1")
	if w.Drop(); w.Busy() {
		t.Error("a key that was dropped before it was sent is still there")
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 0, 3, 32, 1, 10, 1, 64, 0, 0, 3, 32, 1, 0x8A, 1, 64})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Reader
		now := time.Unix(1000, 0)
		for ; len(b) >= 8; b = b[8:] {
			stamp := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			payload := b[4:8]
			got := r.Packet(&rtp.Header{SSRC: stamp & 1, Timestamp: stamp}, payload, 8000, now, nil)
			if len(got) > 2 {
				t.Fatalf("one packet told of %d events", len(got))
			}
			for _, d := range got {
				if d.Duration < 0 || (d.Key != 0) != (d.Event < 16) {
					t.Fatalf("told %+v", d)
				}
			}
			// The same packet again tells nothing.
			if again := r.Packet(&rtp.Header{SSRC: stamp & 1, Timestamp: stamp}, payload, 8000, now, nil); payload[1]&eventEnd != 0 && len(again) > 0 {
				t.Fatalf("an end that came twice told %+v", again)
			}
			now = now.Add(time.Duration(payload[3]) * time.Millisecond)
			r.Silence(now, nil)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	var w Writer
	w.Press("1")
	packets, _ := sent(b, &w, 8000)
	var r Reader
	h := rtp.Header{SSRC: 1}
	var done [2]Digit
	now := time.Unix(1000, 0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Timestamp = uint32(i / 7 * 1600)
		r.Packet(&h, packets[i%7].Payload[:], 8000, now, done[:0])
	}
}

func BenchmarkWriter(b *testing.B) {
	var w Writer
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i += 160 {
		if !w.Busy() {
			w.Send(5, Held)
		}
		w.Next(i, 160, 8000)
	}
}
