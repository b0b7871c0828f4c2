package jitter

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/codec"
)

// linear is a codec that changes nothing: samples of 16 bits, big-endian. It tells by its clock whether a buffer mixes up
// timestamps and samples, as G.722 does.
type linear struct {
	rate  int
	clock uint32
}

func (l linear) Encoding() string          { return "L16" }
func (l linear) Clock() uint32             { return l.clock }
func (l linear) Rate() int                 { return l.rate }
func (l linear) NewEncoder() codec.Encoder { return l }
func (l linear) NewDecoder() codec.Decoder { return l }

func (l linear) Encode(dst []byte, pcm []int16) []byte {
	for _, v := range pcm {
		dst = binary.BigEndian.AppendUint16(dst, uint16(v))
	}
	return dst
}

func (l linear) Decode(dst []int16, payload []byte) ([]int16, error) {
	for ; len(payload) >= 2; payload = payload[2:] {
		dst = append(dst, int16(binary.BigEndian.Uint16(payload)))
	}
	return dst, nil
}

var (
	narrow = linear{8000, 8000}
	wide   = linear{16000, 8000}
)

// arrival is a packet on its way.
type arrival struct {
	at     time.Duration
	packet Packet
}

// sender makes packets of sound. Its fields may be changed between packets.
type sender struct {
	codec    linear
	packet   Packet        // the next
	ptime    time.Duration // of sound in a packet
	at       time.Duration // when the next one leaves
	tempo    float64       // of its clock; 1 when it runs as ours
	arrivals []arrival
}

func newSender(c linear, ptime time.Duration) *sender {
	return &sender{codec: c, ptime: ptime, tempo: 1,
		packet: Packet{SSRC: 1, Sequence: 65530, Timestamp: 1<<32 - 4000, Codec: c}}
}

// talk sends pcm. path tells when a packet arrives, given its number and when it leaves; nothing for one that is lost, several
// for one that is doubled.
func (s *sender) talk(pcm []int16, path func(n int, leaves time.Duration) []time.Duration) {
	samples := int(s.ptime) * s.codec.rate / int(time.Second)
	for n := 0; len(pcm) >= samples; n++ {
		p := s.packet
		p.Payload = s.codec.Encode(nil, pcm[:samples])
		for _, at := range path(n, s.at) {
			s.arrivals = append(s.arrivals, arrival{at, p})
		}
		pcm = pcm[samples:]
		s.next()
	}
}

// next is the time of one packet.
func (s *sender) next() {
	s.packet.Sequence++
	s.pause(s.ptime)
}

// pause lets time go by, of which the timestamps know.
func (s *sender) pause(d time.Duration) {
	s.packet.Timestamp += uint32(int64(d) * int64(s.codec.clock) / int64(time.Second))
	s.at += time.Duration(float64(d) / s.tempo)
}

// wire is a path without a fault that takes 30 ms.
func wire(_ int, leaves time.Duration) []time.Duration {
	return []time.Duration{leaves + 30*time.Millisecond}
}

// hear pulls for as long as d, and has the packets come in their time.
func hear(b *Buffer, arrivals []arrival, d time.Duration) []int16 {
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return int(a.at - b.at) })
	epoch := time.Unix(1000, 0)
	var heard []int16
	for due := 7 * time.Millisecond; due < d; due += audio.FrameTime {
		for len(arrivals) > 0 && arrivals[0].at <= due {
			b.Push(&arrivals[0].packet, epoch.Add(arrivals[0].at))
			arrivals = arrivals[1:]
		}
		pcm, _ := b.Pull(epoch.Add(due))
		heard = append(heard, pcm...)
	}
	return heard
}

// speech is sound that is nowhere like itself: words with a pitch that rises and falls, and pauses between them.
func speech(rate int, d time.Duration) []int16 {
	pcm := make([]int16, int(d)*rate/int(time.Second))
	phase := 0.0
	for i := range pcm {
		t := float64(i) / float64(rate)
		phase += 2 * math.Pi * (120 + 40*math.Sin(2*math.Pi*0.37*t) + 10*t) / float64(rate)
		loud := math.Max(0, math.Sin(2*math.Pi*1.3*t)+0.5) * 5000
		pcm[i] = int16(loud * (math.Sin(phase) + 0.5*math.Sin(2*phase+1) + 0.3*math.Sin(3*phase+2)))
	}
	return pcm
}

// likeness is the correlation of two sounds where they fit best, got being later by up to most samples, and that delay.
func likeness(want, got []int16, most int) (float64, int) {
	best, at := 0.0, 0
	for lag := range min(most, len(got)) {
		if r := correlation(want, got[lag:], 8); r > best {
			best, at = r, lag
		}
	}
	return correlation(want, got[min(at, len(got)):], 1), at
}

// correlation looks at every step-th sample.
func correlation(a, b []int16, step int) float64 {
	var product, energyA, energyB float64
	for i := 0; i < min(len(a), len(b)); i += step {
		x, y := float64(a[i]), float64(b[i])
		product += x * y
		energyA += x * x
		energyB += y * y
	}
	return product / math.Sqrt(max(1, energyA*energyB))
}

// loudness is the root mean square.
func loudness(pcm []int16) float64 {
	var sum float64
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(1, len(pcm))))
}

// alike fails unless nearly every part of got is like that of want, apart from a delay of at most 400 ms that may change;
// in one part of ten it may do so in the middle.
func alike(t *testing.T, rate int, want, got []int16, least float64) {
	t.Helper()
	part, late := rate/4, rate*4/10
	parts, unlike, worst := 0, 0, 1.0
	for at := 0; at+part+late <= min(len(want), len(got)); at += part {
		if loudness(want[at:at+part]) < 500 {
			continue // a pause
		}
		parts++
		if r, _ := likeness(want[at:at+part], got[at:at+part+late], late); r < least {
			unlike++
			worst = min(worst, r)
		}
	}
	if parts < len(want)/part/2 || unlike > parts/10 {
		t.Errorf("%d of %d parts have a correlation below %.3f, the worst %.3f", unlike, parts, least, worst)
	}
}
