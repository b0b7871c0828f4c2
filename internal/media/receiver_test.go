package media

import (
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"
)

func TestReceiverCountsLosses(t *testing.T) {
	for name, c := range map[string]struct {
		seqs []uint16
		lost int64
	}{
		"none":                          {[]uint16{1, 2, 3, 4}, 0},
		"over the wrap":                 {[]uint16{65534, 65535, 0, 1}, 0},
		"a gap":                         {[]uint16{1, 2, 5, 6}, 2},
		"a gap over the wrap":           {[]uint16{65534, 2, 3}, 3},
		"late is not lost":              {[]uint16{1, 3, 2, 4}, 0},
		"from before the first":         {[]uint16{5, 4, 6}, 0},
		"from before the wrap":          {[]uint16{65535, 0, 65534, 1}, 0},
		"a duplicate makes up for none": {[]uint16{1, 1, 2, 2}, 0},
		"one far off is not a restart":  {[]uint16{1, 2, 40000, 3, 4}, 0},
		"two in a row are":              {[]uint16{1, 2, 4, 40000, 40001, 40002}, 1},
	} {
		var r receiver
		for _, seq := range c.seqs {
			r.packet(&rtp.Header{SSRC: 1, SequenceNumber: seq}, 8000, false, time.Unix(1000, 0))
		}
		if got := r.lost + r.losses(); got != c.lost {
			t.Errorf("%s: %d lost, want %d", name, got, c.lost)
		}
	}
}

func TestReceiverKeepsLossesOfTheStreamBefore(t *testing.T) {
	var r receiver
	for _, h := range []rtp.Header{{SSRC: 1, SequenceNumber: 1}, {SSRC: 1, SequenceNumber: 4}, {SSRC: 2, SequenceNumber: 900}, {SSRC: 2, SequenceNumber: 902}} {
		r.packet(&h, 8000, false, time.Unix(1000, 0))
	}
	if got := r.lost + r.losses(); got != 3 {
		t.Errorf("%d lost over two streams, want 3", got)
	}
}

// Packets 20 ms apart that come 10 ms early and late in turn have a jitter that goes to 20 ms (RFC 3550 A.8).
func TestReceiverJitter(t *testing.T) {
	for name, c := range map[string]struct {
		clock uint32
		first uint32
		late  time.Duration
		want  time.Duration
	}{
		"none":                       {8000, 0, 0, 0},
		"20 ms at 8 kHz":             {8000, 0, 20 * time.Millisecond, 20 * time.Millisecond},
		"20 ms at 48 kHz":            {48000, 0, 20 * time.Millisecond, 20 * time.Millisecond},
		"over the wrap of the clock": {8000, math.MaxUint32 - 8000, 20 * time.Millisecond, 20 * time.Millisecond},
	} {
		var r receiver
		for i := range 200 {
			at := time.Unix(1000, 0).Add(time.Duration(i) * 20 * time.Millisecond)
			if i%2 == 1 {
				at = at.Add(c.late)
			}
			r.packet(&rtp.Header{SSRC: 1, SequenceNumber: uint16(i), Timestamp: c.first + uint32(i)*c.clock/50}, c.clock, false, at)
		}
		if got := r.jitterTime(); got < c.want-time.Millisecond || got > c.want+time.Millisecond {
			t.Errorf("%s: jitter %v, want %v", name, got, c.want)
		}
	}
}

// A pause with a clock set anew is no jitter, and neither is a digit, whose timestamp stands still.
func TestReceiverJitterOverPauses(t *testing.T) {
	var r receiver
	at, seq := time.Unix(1000, 0), uint16(0)
	packet := func(stamp uint32, event bool) {
		r.packet(&rtp.Header{SSRC: 1, SequenceNumber: seq, Timestamp: stamp}, 8000, event, at)
		seq++
		at = at.Add(20 * time.Millisecond)
	}
	for i := range uint32(10) {
		packet(i*160, false)
	}
	for range 50 {
		packet(1600, true)
	}
	for i := range uint32(10) {
		packet(1600+50*160+i*160, false)
	}
	packet(4_000_000_000, false)
	if got := r.jitterTime(); got > time.Millisecond {
		t.Errorf("jitter %v, want none", got)
	}
}
