package jitter

import (
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/codec"
	"parley/internal/media/plc"
)

// Limits of what is kept.
const (
	size       = 64   // packets
	MaxPayload = 1500 // bytes
)

// maxMisorder is how far back a sequence number may be and still be of a late packet (RFC 3550 A.1).
const maxMisorder = 100

// maxDecoders is how many codecs of one stream are remembered, as peers may switch from packet to packet.
const maxDecoders = 4

// loudestNoise is the most, in dBov, that a peer may have filled its silence with: what is louder is a mistake or malice.
const (
	loudestNoise = -30
	silence      = -127
)

// Kind is what a packet carries.
type Kind uint8

// The kinds of packets.
const (
	Sound Kind = iota
	Noise      // comfort noise, RFC 3389
	Other      // telephone-events and what else has a sequence number and is not heard
)

// Packet is what a buffer has to know of an RTP packet.
type Packet struct {
	SSRC      uint32
	Sequence  uint16
	Timestamp uint32
	Kind      Kind
	Codec     codec.Codec // of Sound
	Payload   []byte      // the caller's; it is copied
}

// Figures tell what a buffer did so far.
type Figures struct {
	Late       uint64        // packets that came when their turn was over
	Duplicates uint64        // packets that were there already
	Overflow   uint64        // packets dropped since too much was waiting
	Refused    uint64        // packets that were too large, or that the codec could not read
	Lost       uint64        // packets that were not there when their turn came
	Restarts   uint64        // streams that took the place of another
	Concealed  time.Duration // of sound made up for what was lost or late
	Removed    time.Duration // of sound taken out to make the delay shorter
	Inserted   time.Duration // of silence put in to make the delay longer
	Delay      time.Duration // that the quickest packet waits, now
	Wanted     time.Duration // that it should wait
}

// Discarded are the packets that came and were not heard (RFC 3611 §4.7.1).
func (f Figures) Discarded() uint64 { return f.Late + f.Overflow }

// slot is a packet that waits.
type slot struct {
	used      bool
	kind      Kind
	codec     codec.Codec
	timestamp int64
	payload   []byte
}

// Buffer is the receiving end of one stream after another.
type Buffer struct {
	// The stream.
	started bool
	ssrc    uint32
	clock   int64     // Hz, of timestamps
	epoch   time.Time // when its first packet came
	base    int64     // timestamp of that packet. Timestamps are extended to 64 bits as they come
	latest  int64     // timestamp of the last packet
	last    int64     // the highest timestamp
	astray  uint16    // a sequence number far off waits here for its successor
	waiting bool
	transit transits

	// The packets. Those from next on wait in the ring; played has a bit for each of the 64 before.
	next   uint16
	ring   [size]slot
	count  int // of used slots
	spare  [][]byte
	played uint64

	// The sound. ready[head:] is decoded and comes next; cursor is the timestamp of what follows it.
	playing   bool // false while the first packets gather
	ready     []int16
	head      int
	cursor    int64
	span      int64 // clock units of the last packet
	extra     int64 // clock units that were made up while no packet was there, beyond the cursor
	silent    bool  // the peer sends nothing since it has nothing to say
	rate      int
	decoders  [maxDecoders]decoder
	conceal   *plc.Concealer
	concealed int // its rate
	noise     codec.Noise
	shorten   time.Time // not before

	figures   Figures
	discarded func(sequence uint16)
}

// decoder is a codec that the stream had.
type decoder struct {
	of codec.Codec
	codec.Decoder
}

// New returns an empty buffer. discarded, which may be nil, is told within Push and Pull of each packet that came and is not
// heard.
func New(discarded func(sequence uint16)) *Buffer {
	if discarded == nil {
		discarded = func(uint16) {}
	}
	return &Buffer{rate: audio.Narrow, discarded: discarded}
}

// Figures tells what was done so far.
func (b *Buffer) Figures() Figures { return b.figures }

// Push takes a packet that came now.
func (b *Buffer) Push(p *Packet, now time.Time) {
	if len(p.Payload) > MaxPayload {
		b.figures.Refused++
		return
	}
	clock := b.clock
	if p.Kind == Sound {
		clock = int64(p.Codec.Clock())
	}
	if !b.started || p.SSRC != b.ssrc || clock != b.clock {
		if p.Kind == Sound {
			b.restart(p, now)
			b.store(p, p.Sequence, b.base)
		}
		return // a stream begins with sound
	}
	timestamp := b.latest + int64(int32(p.Timestamp-uint32(b.latest)))
	ahead := int(int16(p.Sequence - b.next))
	switch {
	case ahead >= size || ahead < 0 && !b.late(p, ahead, timestamp, now):
		if b.follows(p) && p.Kind == Sound {
			b.restart(p, now)
			b.store(p, p.Sequence, b.base)
		}
		return
	case ahead < 0:
		if !b.playing && b.rewind(ahead) {
			break // the first packets of a stream came in another order
		}
		if ahead >= -size && b.played&(1<<(-ahead-1)) != 0 {
			b.figures.Duplicates++
		} else {
			b.figures.Late++
			b.discarded(p.Sequence)
			if p.Kind != Other {
				b.transit.add(b.transitOf(timestamp, now), now) // so that its like will be in time
			}
		}
		return
	case b.ring[p.Sequence%size].used:
		b.figures.Duplicates++
		return
	}
	b.waiting = false
	if p.Kind != Other { // an event's timestamp is that of its beginning
		if !b.transit.add(b.transitOf(timestamp, now), now) {
			if p.Kind != Sound {
				return
			}
			b.restart(p, now)
			timestamp = b.base
		}
		b.latest, b.last = timestamp, max(b.last, timestamp)
	}
	b.store(p, p.Sequence, timestamp)
}

// late tells whether a packet whose number is over is of this stream: its timestamp is over, too, but not by more than a
// network could have held it back.
func (b *Buffer) late(p *Packet, ahead int, timestamp int64, now time.Time) bool {
	switch {
	case ahead < -maxMisorder:
		return false
	case p.Kind == Other || !b.playing:
		return true
	}
	return timestamp < b.cursor && b.transitOf(timestamp, now)-b.transit.quickest() < jump
}

// follows remembers a packet that does not belong here, and tells whether it is the second of a new row.
func (b *Buffer) follows(p *Packet) bool {
	second := b.waiting && p.Sequence == b.astray
	b.astray, b.waiting = p.Sequence+1, true
	return second
}

// rewind makes the stream begin earlier, if all still fits in the ring.
func (b *Buffer) rewind(ahead int) bool {
	for i := range -ahead {
		if b.ring[(b.next-1-uint16(i))%size].used {
			return false
		}
	}
	b.next += uint16(ahead)
	return true
}

// restart begins a new stream with a packet.
func (b *Buffer) restart(p *Packet, now time.Time) {
	if b.started {
		b.figures.Restarts++
		b.figures.Overflow += uint64(b.count)
	}
	for i := range b.ring {
		b.free(&b.ring[i])
	}
	b.started, b.ssrc, b.clock, b.epoch = true, p.SSRC, int64(p.Codec.Clock()), now
	b.base = int64(p.Timestamp)
	b.latest, b.last, b.waiting = b.base, b.base, false
	b.transit = transits{}
	b.transit.add(0, now)
	b.next, b.played, b.playing, b.extra, b.silent = p.Sequence, 0, false, 0, false
	b.span = b.units(audio.FrameTime)
	b.decoders = [maxDecoders]decoder{}
	b.noise.SetLevel(silence)
}

// store puts a packet into its slot.
func (b *Buffer) store(p *Packet, sequence uint16, timestamp int64) {
	s := &b.ring[sequence%size]
	s.used, s.kind, s.codec, s.timestamp = true, p.Kind, p.Codec, timestamp
	if n := len(b.spare); n > 0 && p.Kind != Other {
		s.payload, b.spare = b.spare[n-1], b.spare[:n-1]
	}
	if p.Kind != Other {
		s.payload = append(s.payload[:0], p.Payload...)
	}
	b.count++
}

// free empties a slot.
func (b *Buffer) free(s *slot) {
	if !s.used {
		return
	}
	if s.payload != nil {
		b.spare = append(b.spare, s.payload)
	}
	*s = slot{}
	b.count--
}

// transitOf is how long a packet was on its way, on top of a time that nobody knows.
func (b *Buffer) transitOf(timestamp int64, now time.Time) time.Duration {
	return now.Sub(b.epoch) - b.duration(timestamp-b.base)
}

// duration and units convert from and to the clock of timestamps.
func (b *Buffer) duration(units int64) time.Duration {
	return time.Duration(units/b.clock)*time.Second + time.Duration(units%b.clock)*time.Second/time.Duration(b.clock)
}

func (b *Buffer) units(d time.Duration) int64 { return int64(d) * b.clock / int64(time.Second) }
