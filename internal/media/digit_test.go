package media

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

func TestDigits(t *testing.T) {
	type packet struct {
		ssrc, stamp uint32
		payload     []byte
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
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
		"out of order":          {[]packet{{1, 800, []byte{1, 10, 1, 64}}, {1, 800, []byte{1, 10, 0, 80}}, {1, 800, []byte{1, 0x8A, 1, 64}}}, []Digit{{'1', 1, ms(40)}}},
		"twice the same key":    {[]packet{{1, 800, []byte{1, 0x8A, 0, 80}}, {1, 1600, []byte{1, 0x8A, 0, 80}}}, []Digit{{'1', 1, ms(10)}, {'1', 1, ms(10)}}},
		"another stream":        {[]packet{{1, 800, []byte{1, 0x8A, 0, 80}}, {2, 700, []byte{1, 0x8A, 0, 80}}}, []Digit{{'1', 1, ms(10)}, {'1', 1, ms(10)}}},
		"longer than a segment": {[]packet{{1, 800, []byte{3, 10, 0xFF, 0xFF}}, {1, 800 + 0xFFFF, []byte{3, 0x8A, 0x1F, 0x41}}}, []Digit{{'3', 3, ms(9192)}}},
		"no key":                {[]packet{{1, 800, []byte{16, 0x8A, 0, 80}}}, []Digit{{0, 16, ms(10)}}},
		"too short":             {[]packet{{1, 800, []byte{1, 0x8A, 0}}}, nil},
	} {
		var d digits
		var got []Digit
		for _, p := range c.packets {
			got = d.packet(&rtp.Header{SSRC: p.ssrc, Timestamp: p.stamp}, p.payload, 8000, time.Unix(1000, 0), got)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// When the ends are lost and nothing follows, time ends the digit.
func TestDigitWithoutEnd(t *testing.T) {
	var d digits
	now := time.Unix(1000, 0)
	if got := d.packet(&rtp.Header{SSRC: 1, Timestamp: 800}, []byte{7, 10, 1, 64}, 8000, now, nil); got != nil {
		t.Fatalf("told %+v of a digit that is held", got)
	}
	if got := d.silent(now.Add(eventSilent-1), nil); got != nil {
		t.Errorf("told %+v too early", got)
	}
	want := []Digit{{'7', 7, 40 * time.Millisecond}}
	if got := d.silent(now.Add(eventSilent), nil); !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	if got := d.silent(now.Add(time.Hour), nil); got != nil {
		t.Errorf("told %+v again", got)
	}
}
