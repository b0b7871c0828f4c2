package jitter

import (
	"encoding/binary"
	"testing"
	"time"

	"parley/internal/media/audio"
)

// FuzzBuffer plays packets that a peer may make up. Whatever comes, every pull is a whole frame, what is kept stays within its
// bounds, and a good stream that follows is heard.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 160, 5, 20, 0, 0, 0, 2, 0, 0, 1, 64, 5, 20})
	f.Add([]byte{1, 0, 255, 255, 255, 255, 255, 200, 5, 20, 2, 0, 0, 1, 0, 0, 0, 9, 200, 255, 3, 0, 0, 2, 0, 0, 0, 50, 0, 3})
	pcm := speech(8000, 1200*time.Millisecond)
	good := newSender(narrow, 20*ms)
	good.packet.SSRC, good.packet.Sequence = 7, 1
	good.talk(pcm, wire)
	f.Fuzz(func(t *testing.T, script []byte) {
		b := New(nil)
		codecs := []linear{narrow, wide, {16000, 48000}, {8000, 8000}}
		epoch := time.Unix(0, 0)
		now := epoch
		due := epoch
		pull := func() {
			for ; due.Before(now); due = due.Add(audio.FrameTime) {
				pcm, rate := b.Pull(due)
				if rate != audio.Narrow && rate != audio.Wide || len(pcm) != audio.Frame(rate) {
					t.Fatalf("%d samples at %d", len(pcm), rate)
				}
			}
		}
		payload := make([]byte, MaxPayload+100)
		for ; len(script) >= 10; script = script[10:] {
			kind := script[0]
			c := codecs[kind>>2&3]
			p := Packet{
				Kind: Kind(kind & 3 % 3), SSRC: uint32(script[1] & 1), Sequence: binary.BigEndian.Uint16(script[2:]),
				Timestamp: binary.BigEndian.Uint32(script[4:]), Codec: c, Payload: payload[:int(script[9])*6],
			}
			now = now.Add(time.Duration(script[8]) * ms)
			b.Push(&p, now)
			pull()
			if b.count < 0 || b.count > size || len(b.spare) > size || len(b.ready) > 3*audio.Wide {
				t.Fatalf("%d packets, %d spare payloads and %d samples are kept", b.count, len(b.spare), len(b.ready))
			}
		}
		now = now.Add(time.Second)
		pull()
		start := due
		var heard []int16
		for _, a := range good.arrivals {
			for ; due.Before(start.Add(a.at)); due = due.Add(audio.FrameTime) {
				out, _ := b.Pull(due)
				heard = append(heard, out...)
			}
			b.Push(&a.packet, start.Add(a.at))
		}
		if r, _ := likeness(pcm[4000:6400], heard[4000:], 1200); r < 0.9 {
			t.Fatalf("a good stream is heard with a correlation of %.3f: %+v", r, b.Figures())
		}
	})
}

// BenchmarkStream is a packet and a frame of a stream without faults, decoded by a codec that does next to nothing.
func BenchmarkStream(b *testing.B) {
	buffer := New(nil)
	s := newSender(narrow, 20*ms)
	p := s.packet
	p.Payload = s.codec.Encode(nil, speech(8000, time.Second)[4000:4160])
	now := time.Unix(0, 0)
	b.ReportAllocs()
	for b.Loop() {
		buffer.Push(&p, now)
		buffer.Pull(now.Add(5 * ms))
		p.Sequence++
		p.Timestamp += 160
		now = now.Add(audio.FrameTime)
	}
}
