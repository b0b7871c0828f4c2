package quality

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"
)

var start = time.Unix(1000, 0)

// feed gives packets of G.711 with these sequence numbers to a new stream, 20 ms apart.
func feed(numbers ...uint16) *Stream {
	s := New(1)
	for i, n := range numbers {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		s.Received(&rtp.Header{SSRC: 2, SequenceNumber: n, Timestamp: uint32(n) * 160}, 160, 8000, false, at)
	}
	return &s
}

func TestLosses(t *testing.T) {
	for name, c := range map[string]struct {
		numbers                               []uint16
		expected, lost, duplicates, reordered uint64
	}{
		"none":                         {[]uint16{1, 2, 3, 4}, 4, 0, 0, 0},
		"over the wrap":                {[]uint16{65534, 65535, 0, 1}, 4, 0, 0, 0},
		"a gap":                        {[]uint16{1, 2, 5, 6}, 6, 2, 0, 0},
		"a gap over the wrap":          {[]uint16{65534, 2, 3}, 6, 3, 0, 0},
		"late is not lost":             {[]uint16{1, 3, 2, 4}, 4, 0, 0, 1},
		"from before the first":        {[]uint16{5, 4, 6}, 2, 0, 0, 1},
		"from before the wrap":         {[]uint16{65535, 0, 65534, 1}, 3, 0, 0, 1},
		"twice":                        {[]uint16{1, 1, 2, 2}, 2, 0, 2, 0},
		"twice makes up for none":      {[]uint16{1, 1, 3}, 3, 1, 1, 0},
		"late and twice":               {[]uint16{1, 3, 2, 2, 4}, 4, 0, 1, 1},
		"one far off is not a restart": {[]uint16{1, 2, 40000, 3, 4}, 4, 0, 0, 0},
		"two in a row are":             {[]uint16{1, 2, 4, 40000, 40001, 40002}, 6, 1, 0, 0},
		"a gap of more than is kept":   {[]uint16{1, 2, 1002, 1003}, 1003, 999, 0, 0},
		"a gap of a word":              {[]uint16{1, 65, 66}, 66, 63, 0, 0},
		"a gap of all that is kept":    {[]uint16{1, 129, 130}, 130, 127, 0, 0},
	} {
		got := feed(c.numbers...).Figures(start).Received
		if got.Expected != c.expected || got.Lost != c.lost || got.Duplicates != c.duplicates || got.Reordered != c.reordered {
			t.Errorf("%s: expected %d, lost %d, duplicates %d, reordered %d; want %d, %d, %d, %d", name,
				got.Expected, got.Lost, got.Duplicates, got.Reordered, c.expected, c.lost, c.duplicates, c.reordered)
		}
	}
}

func TestLossesOfTheStreamBeforeAreKept(t *testing.T) {
	s := New(1)
	for _, h := range []rtp.Header{{SSRC: 1, SequenceNumber: 1}, {SSRC: 1, SequenceNumber: 4}, {SSRC: 2, SequenceNumber: 900}, {SSRC: 2, SequenceNumber: 902}} {
		s.Received(&h, 160, 8000, false, start)
	}
	if got := s.Figures(start).Received; got.Lost != 3 || got.Expected != 7 {
		t.Errorf("%d of %d lost over two streams, want 3 of 7", got.Lost, got.Expected)
	}
}

// fates is a stream as a list of what became of each packet: true arrived.
func fates(lost func(i int) bool, n int) []bool {
	f := make([]bool, n)
	for i := range f {
		f[i] = i == 0 || !lost(i)
	}
	f[n-1] = true // what is lost at the end is not known to have been sent
	return f
}

// byDefinition counts bursts and gaps by reading RFC 3611 §4.7.2 aloud over the whole stream.
func byDefinition(f []bool) (want bursts) {
	inBurst := make([]bool, len(f))
	for i := range f {
		if f[i] {
			continue
		}
		for j := i + 1; j < len(f) && j <= i+gmin; j++ { // less than gmin packets between two losses
			if !f[j] {
				for k := i; k <= j; k++ {
					inBurst[k] = true
				}
				break
			}
		}
	}
	for i := range f {
		want.packets++
		if !f[i] {
			want.losses++
			if i == 0 || f[i-1] {
				want.runs++
			}
		}
		if inBurst[i] {
			want.inBursts++
			if !f[i] {
				want.lostInBurst++
			}
		}
		if begins := i == 0 || inBurst[i] != inBurst[i-1]; begins && inBurst[i] {
			want.bursts++
		} else if begins {
			want.gaps++
		}
	}
	return want
}

func TestBurstsAndGaps(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	bad := false
	for name, lost := range map[string]func(int) bool{
		"none":         func(int) bool { return false },
		"every 10th":   func(i int) bool { return i%10 == 9 },
		"every 17th":   func(i int) bool { return i%17 == 16 },
		"every 18th":   func(i int) bool { return i%18 == 17 },
		"five in 200":  func(i int) bool { return i%200 > 194 },
		"at the start": func(i int) bool { return i < 4 },
		"300 at once":  func(i int) bool { return i > 500 && i <= 800 },
		"5 % at random": func(int) bool {
			return chance.Float64() < 0.05
		},
		"Gilbert": func(int) bool {
			if bad {
				bad = chance.Float64() > 0.2
			} else {
				bad = chance.Float64() < 0.01
			}
			return bad && chance.Float64() < 0.6
		},
	} {
		f := fates(lost, 5000)
		var numbers []uint16
		for i, arrived := range f {
			if arrived {
				numbers = append(numbers, uint16(60000+i)) // wraps on the way
			}
		}
		got, want := feed(numbers...).arrival.settled(), byDefinition(f)
		got.since, got.length, got.lost, got.gap = 0, 0, 0, false
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

func TestBurstFigures(t *testing.T) {
	// 100 packets, 3 lost within 5, 100 packets, a lone loss, 100 packets: one burst between two gaps.
	var numbers []uint16
	for i := range uint16(306) {
		if i != 100 && i != 102 && i != 104 && i != 205 {
			numbers = append(numbers, i)
		}
	}
	d := feed(numbers...).Figures(start).Received
	if d.Bursts != 1 || d.BurstDensity != 0.6 || d.BurstTime != 100*time.Millisecond {
		t.Errorf("%d bursts of density %v and %v, want one of 0.6 and 100ms", d.Bursts, d.BurstDensity, d.BurstTime)
	}
	if want := 1.0 / 301; math.Abs(d.GapDensity-want) > 1e-9 || d.GapTime != 3010*time.Millisecond {
		t.Errorf("gaps of density %v and %v, want %v and 3.01s", d.GapDensity, d.GapTime, want)
	}
	if d.LossRuns != 4 || d.BurstR != 1 {
		t.Errorf("%d runs, burst ratio %v; want 4 lone losses, ratio 1", d.LossRuns, d.BurstR)
	}
}

func TestDiscardedCountAsLosses(t *testing.T) {
	s := New(1)
	for i := range uint16(200) {
		s.Received(&rtp.Header{SSRC: 2, SequenceNumber: i, Timestamp: uint32(i) * 160}, 160, 8000, false, start)
		if i >= 100 && i < 104 {
			s.Discarded(i)
			s.Discarded(i)       // told twice
			s.Discarded(i + 999) // never came
		}
	}
	d := s.Figures(start).Received
	if d.Lost != 0 || d.Discarded != 4 || d.Bursts != 1 || d.BurstDensity != 1 || d.LossRuns != 1 {
		t.Errorf("%+v, want 4 discarded in one burst and none lost", d)
	}
}

// The numbers do not depend on what order packets come in, as long as none is out by more than the window.
func TestReorderingChangesNoLoss(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	f := fates(func(int) bool { return chance.Float64() < 0.03 }, 3000)
	var numbers []uint16
	for i, arrived := range f {
		if arrived {
			numbers = append(numbers, uint16(i))
		}
	}
	want := feed(numbers...).Figures(start).Received
	for i := 1; i+30 < len(numbers); i += 30 { // the first and the last stay where they are
		chance.Shuffle(30, func(a, b int) { numbers[i+a], numbers[i+b] = numbers[i+b], numbers[i+a] })
	}
	got := feed(numbers...).Figures(start).Received
	if got.Reordered == 0 {
		t.Fatal("nothing was out of order")
	}
	if got.Lost != want.Lost || got.Bursts != want.Bursts || got.BurstDensity != want.BurstDensity || got.LossRuns != want.LossRuns {
		t.Errorf("out of order:\n%+v\nin order:\n%+v", got, want)
	}
}

func BenchmarkReceived(b *testing.B) {
	s := New(1)
	h := rtp.Header{SSRC: 2}
	at := start
	b.ReportAllocs()
	for b.Loop() {
		s.Received(&h, 160, 8000, false, at)
		h.SequenceNumber++
		h.Timestamp += 160
		at = at.Add(20 * time.Millisecond)
	}
}

func BenchmarkSent(b *testing.B) {
	s := New(1)
	h := rtp.Header{SSRC: 1}
	b.ReportAllocs()
	for b.Loop() {
		s.Sent(&h, 160, 8000, start)
		h.SequenceNumber++
		h.Timestamp += 160
	}
}
