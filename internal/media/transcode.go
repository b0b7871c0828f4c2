package media

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/audio"
	"parley/internal/media/codec"
	"parley/internal/media/dtmf"
	"parley/internal/media/jitter"
	"parley/internal/media/sdp"
)

// maxCoded is the most that a packet may have when it is coded anew, so that it fits into a datagram with all that
// encryption adds to it.
const maxCoded = 1300

// transcoder turns what a joined leg says into what the peer of this one understands, packet by packet and without a
// buffer: what is lost or late stays so. It belongs to the leg that sends, and exists only while the formats differ.
type transcoder struct {
	source source // for which the rest is
	in     meaning
	out    meaning

	decoder   codec.Decoder
	encoder   codec.Encoder
	resampler *audio.Resampler // nil when the rates are equal
	pcm, same []int16
	coded     []byte

	// Timestamps are scaled when the clocks differ. Both count from the first packet.
	first, last uint32
	since       int64
	events      dtmf.Reader // for a peer that knows no telephone-events
}

// recodeLocked sends a packet whose format the peer does not know, and says why if it does not.
func (l *Leg) recodeLocked(p *packet, from *Leg, now time.Time) dropReason {
	t := l.recode
	if t == nil {
		t = &transcoder{}
		l.recode = t
	}
	stream := source{leg: from, ssrc: p.header.SSRC}
	if t.source != stream || t.in.format != p.format {
		if reason := t.begin(stream, p, l.agreed.Send); reason != dropNot {
			return reason
		}
	}
	payload := unpadded(&p.header, p.b[p.at:])
	h := p.header
	h.Padding = false
	h.Timestamp = t.scaled(h.Timestamp)
	switch {
	case t.in.event:
		return l.recodeEventLocked(t, &h, payload, now)
	case t.in.kind == jitter.Noise: // the pause that follows is heard as silence
		l.out.leaveOut(t.stream())
		return dropCodec
	}
	if !t.recode(payload) {
		return dropCodec
	}
	clock := t.out.codec.Clock()
	if l.out.follow(&h, t.stream(), clock, now) {
		h.Marker = true
	}
	h.PayloadType = t.out.format.Type
	return l.emitAsLocked(&h, clock, t.coded, now)
}

// begin prepares for another stream or another format of it. Telephone-events and sound come in turn, so what the sound
// needs stays while events pass.
func (t *transcoder) begin(stream source, p *packet, send []sdp.Format) dropReason {
	in := meaningOf(p.format)
	if t.source != stream {
		*t = transcoder{source: stream, first: p.header.Timestamp, last: p.header.Timestamp, pcm: t.pcm, same: t.same, coded: t.coded}
	}
	t.in = in
	if in.codec == nil {
		if in.event || in.kind == jitter.Noise {
			return dropNot
		}
		t.in = meaning{}
		return dropCodec
	}
	out, ok := bestOf(send)
	if !ok {
		t.in = meaning{}
		return dropCodec
	}
	t.out, t.decoder, t.encoder, t.resampler = out, in.codec.NewDecoder(), out.codec.NewEncoder(), nil
	if from, to := in.codec.Rate(), out.codec.Rate(); from != to {
		var err error
		if t.resampler, err = audio.NewResampler(from, to); err != nil {
			t.in = meaning{}
			return dropCodec
		}
	}
	return dropNot
}

// recode decodes a payload and codes it anew.
func (t *transcoder) recode(payload []byte) bool {
	var err error
	if t.pcm, err = t.decoder.Decode(t.pcm[:0], payload); err != nil || len(t.pcm) == 0 {
		return false
	}
	pcm := t.pcm
	if t.resampler != nil {
		t.same = t.resampler.Resample(t.same[:0], pcm)
		pcm = t.same
	}
	t.coded = t.encoder.Encode(t.coded[:0], pcm)
	return len(t.coded) > 0 && len(t.coded) <= maxCoded
}

// stream is whose numbers what is sent has: while the clocks are equal those of what passes as it is beside it, since sound and
// telephone-events of one stream go either way in turn.
func (t *transcoder) stream() source {
	s := t.source
	s.recoded = t.out.codec != nil && t.in.format.Clock != t.out.codec.Clock()
	return s
}

// scaled is a timestamp in the clock of what is sent.
func (t *transcoder) scaled(stamp uint32) uint32 {
	in, out := int64(t.in.format.Clock), int64(t.in.format.Clock)
	if t.out.codec != nil {
		out = int64(t.out.codec.Clock())
	}
	t.since += int64(int32(stamp - t.last))
	t.last = stamp
	if in == out || in == 0 {
		return stamp
	}
	return t.first + uint32(t.since*out/in)
}

// recodeEventLocked sends a telephone-event with the clock that the peer's have, or as a tone to one that has none.
func (l *Leg) recodeEventLocked(t *transcoder, h *rtp.Header, payload []byte, now time.Time) dropReason {
	clock := t.in.format.Clock
	if t.out.codec != nil {
		clock = t.out.codec.Clock()
	}
	f, ok := eventOf(l.agreed.Send, clock)
	if !ok {
		l.out.leaveOut(t.stream())
		var done [2]dtmf.Digit
		for _, d := range t.events.Packet(h, payload, t.in.format.Clock, now, done[:0]) {
			if d.Key != 0 {
				_ = l.pressLocked(string(d.Key)) // too many wait only when they come faster than anybody presses them
			}
		}
		return dropNot
	}
	if len(payload) < 4 {
		return dropMalformed
	}
	t.coded = append(t.coded[:0], payload[:4]...)
	duration := uint64(binary.BigEndian.Uint16(payload[2:])) * uint64(f.Clock) / uint64(max(1, t.in.format.Clock))
	binary.BigEndian.PutUint16(t.coded[2:], uint16(min(duration, 0xFFFF)))
	l.out.follow(h, t.stream(), f.Clock, now)
	h.PayloadType = f.Type
	return l.emitAsLocked(h, f.Clock, t.coded, now)
}
