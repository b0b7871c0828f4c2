package jitter

import (
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/codec"
	"parley/internal/media/plc"
)

// shortenEvery is how often something is taken out of sound that is not silent.
const shortenEvery = time.Second

// maxReady is how much decoded sound may wait. More comes only of packets that last much longer than any phone's.
const maxReady = time.Second

// Pull returns the next frame of sound and how many samples a second it has: those of the codec that was heard last. due
// is when the frame is due; from one call to the next it grows by the time of a frame. The slice is valid until the next
// Pull, and may be written to.
func (b *Buffer) Pull(due time.Time) (pcm []int16, rate int) {
	b.ready = b.ready[:copy(b.ready, b.ready[b.head:])]
	b.head = 0
	if !b.started || !b.playing && !b.start(due) {
		need := audio.Frame(b.rate)
		b.hush(max(0, need-len(b.ready)))
	} else {
		b.fill(due)
	}
	b.head = audio.Frame(b.rate)
	return b.ready[:b.head], b.rate
}

// start tells whether enough has gathered for the stream to begin.
func (b *Buffer) start(due time.Time) bool {
	first, distance := b.following()
	if first == nil {
		return false
	}
	b.cursor = first.timestamp
	if b.delay(due) < max(startDelay, b.transit.wanted()) {
		return false
	}
	b.next += distance
	b.playing = true
	return true
}

// delay is how long the quickest packets wait before they are heard, if the next sound is heard at the time due.
func (b *Buffer) delay(due time.Time) time.Duration {
	waiting := time.Duration(len(b.ready)-b.head) * time.Second / time.Duration(b.rate)
	return due.Sub(b.epoch) - (b.duration(b.cursor-b.base) - waiting) - b.transit.quickest()
}

// following is the first packet that waits, and how many are missing before it.
func (b *Buffer) following() (*slot, uint16) {
	if b.count == 0 {
		return nil, 0
	}
	for i := range uint16(size) {
		if s := &b.ring[(b.next+i)%size]; s.used {
			return s, i
		}
	}
	return nil, 0
}

// fill decodes until a frame is ready.
func (b *Buffer) fill(due time.Time) {
	for {
		missing := b.missing(due)
		if missing <= 0 {
			return
		}
		s, lost := b.following()
		if s == nil {
			b.makeUp(missing)
			return
		}
		if s.kind == Other {
			b.advance(s, lost)
			b.silent = true // an event stands where the sound would be
			continue
		}
		gap := s.timestamp - b.cursor
		if b.extra > 0 { // what was made up while nothing came stands for what was lost or not sent
			used := max(0, min(b.extra, gap))
			b.cursor, gap, b.extra = b.cursor+used, gap-used, 0
		}
		if gap > 0 {
			b.bridge(gap, missing, lost > 0 && !b.silent, due)
			continue
		}
		if s.kind == Noise {
			if len(s.payload) > 0 { // the level; the spectrum that may follow is not heard
				b.noise.SetLevel(min(-int(s.payload[0]&0x7f), loudestNoise))
			}
			b.silent = true
			b.advance(s, lost)
			continue
		}
		b.decode(s, -gap, lost, due)
	}
}

// missing is how many samples are needed still. When the delay is to be shortened and there is something to shorten,
// that is more than a frame.
func (b *Buffer) missing(due time.Time) int {
	have, frame := len(b.ready), audio.Frame(b.rate)
	if !b.tooLong(due) || due.Before(b.shorten) {
		return frame - have
	}
	spare := int(plc.Spare * time.Duration(b.rate) / time.Second)
	if s, lost := b.following(); have < frame+spare && s != nil && lost == 0 && s.kind == Sound && s.timestamp <= b.cursor {
		return frame + spare - have
	}
	if have >= frame+spare {
		rest := plc.Shorten(b.ready, b.rate)
		b.figures.Removed += b.length(have - len(rest))
		b.ready = b.ready[:copy(b.ready, rest)]
	}
	b.shorten = due.Add(shortenEvery)
	return frame - len(b.ready)
}

// tooLong tells whether the delay can do with a frame less, and there is one. That takes some seconds to say.
func (b *Buffer) tooLong(due time.Time) bool {
	return b.transit.settled() && b.delay(due)-audio.FrameTime >= b.transit.wanted() && b.depth() >= 2*audio.FrameTime
}

// depth is how much sound is there.
func (b *Buffer) depth() time.Duration {
	return b.duration(b.last+b.span-b.cursor) + b.length(len(b.ready))
}

func (b *Buffer) length(samples int) time.Duration {
	return time.Duration(samples) * time.Second / time.Duration(b.rate)
}

// makeUp fills in while there is no packet. It may come yet, and then the delay has grown by this.
func (b *Buffer) makeUp(samples int) {
	if b.silent {
		b.hush(samples)
	} else {
		b.cover(samples)
	}
	b.extra += int64(samples) * b.clock / int64(b.rate)
	if b.duration(b.extra) >= plc.Faded {
		b.silent = true
	}
}

// bridge fills in what is between the cursor and the next packet, or as much of it as is needed. The delay may grow by it;
// in silence that was not sent it may shrink as well.
func (b *Buffer) bridge(gap int64, samples int, lost bool, due time.Time) {
	fill := b.hush
	if lost {
		fill = b.cover
	} else {
		b.silent = true
	}
	off := b.delay(due) - b.transit.wanted()
	if off < 0 {
		n := min(samples, int(-off*time.Duration(b.rate)/time.Second)+1)
		fill(n)
		b.figures.Inserted += b.length(n)
		return
	}
	if off >= audio.FrameTime && !lost {
		less := min(gap, b.units(off))
		b.cursor += less
		b.figures.Removed += b.duration(less)
		return
	}
	whole := int(gap * int64(b.rate) / b.clock)
	if whole <= samples {
		fill(whole)
		b.cursor += gap
		return
	}
	fill(samples)
	b.cursor += int64(samples) * b.clock / int64(b.rate)
}

// cover makes up sound.
func (b *Buffer) cover(samples int) {
	b.concealer().Conceal(b.grow(samples))
	b.figures.Concealed += b.length(samples)
}

// hush fills in what is heard when nobody speaks.
func (b *Buffer) hush(samples int) {
	out := b.grow(samples)
	b.noise.Fill(out)
	b.concealer().Heard(out)
}

// grow makes room for samples behind what is ready.
func (b *Buffer) grow(samples int) []int16 {
	n := len(b.ready)
	for range samples {
		b.ready = append(b.ready, 0)
	}
	return b.ready[n:]
}

// concealer is that of the present rate.
func (b *Buffer) concealer() *plc.Concealer {
	if b.conceal == nil || b.concealed != b.rate {
		b.conceal, b.concealed = plc.New(b.rate), b.rate
	}
	return b.conceal
}

// advance takes a packet out, and gives up those that are missing before it.
func (b *Buffer) advance(s *slot, lost uint16) {
	b.figures.Lost += uint64(lost)
	b.played = b.played<<(lost+1) | 1
	b.next += lost + 1
	b.free(s)
}

// decode takes the sound of a packet, of which so many clock units are over already.
func (b *Buffer) decode(s *slot, over int64, lost uint16, due time.Time) {
	d := b.decoder(s.codec)
	before := len(b.ready)
	out, err := d.Decode(b.ready, s.payload)
	timestamp := s.timestamp
	b.advance(s, lost)
	if err != nil || len(out)-before > int(maxReady*time.Duration(b.rate)/time.Second) {
		b.figures.Refused++
		b.cursor = max(b.cursor, timestamp) // its time is bridged when the next one comes
		return
	}
	b.ready = out
	n := len(out) - before
	b.span = int64(n) * b.clock / int64(b.rate)
	if skip := int(over * int64(b.rate) / b.clock); skip > 0 {
		if skip >= n {
			b.figures.Late++
			b.discarded(b.next - 1)
			b.ready = b.ready[:before]
			return
		}
		b.ready = append(b.ready[:before], b.ready[before+skip:]...)
	}
	b.cursor = timestamp + b.span
	b.silent = false
	b.figures.Delay, b.figures.Wanted = b.delay(due), b.transit.wanted()
	b.concealer().Heard(b.ready[before:])
	b.adapt(before, due)
}

// adapt leaves out what was decoded just now, ready[from:], or hears it twice, where nobody notices or too much waits.
func (b *Buffer) adapt(from int, due time.Time) {
	fresh := b.ready[from:]
	switch {
	case b.depth() > MaxDelay+2*audio.FrameTime+b.duration(b.span):
		b.figures.Overflow++
		b.discarded(b.next - 1)
		b.ready = b.ready[:from]
	case b.tooLong(due) && plc.Quiet(fresh):
		n := min(len(fresh), audio.Frame(b.rate))
		b.figures.Removed += b.length(n)
		b.ready = b.ready[:len(b.ready)-n]
	case b.delay(due) < b.transit.wanted() && plc.Quiet(fresh) && len(fresh) <= 3*audio.Frame(b.rate):
		b.figures.Inserted += b.length(len(fresh))
		b.ready = append(b.ready, fresh...)
	}
}

// decoder is the decoder of a codec, which has heard what came before. Another codec may have another rate.
func (b *Buffer) decoder(c codec.Codec) codec.Decoder {
	if rate := c.Rate(); rate != b.rate {
		b.ready, b.head = b.ready[:0], 0 // less than a packet
		b.rate = rate
	}
	for i, d := range b.decoders {
		if d.of != nil && same(d.of, c) {
			return d.Decoder
		}
		if d.of == nil || i == maxDecoders-1 {
			b.decoders[i] = decoder{c, c.NewDecoder()}
			return b.decoders[i].Decoder
		}
	}
	return nil // not reached: the last place is always taken
}

func same(a, b codec.Codec) bool {
	return a.Encoding() == b.Encoding() && a.Clock() == b.Clock() && a.Rate() == b.Rate()
}
