package quality

import (
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/sdp"
)

// Stream measures one leg. Make one with [New].
type Stream struct {
	// What is heard of the peer.
	arrival  arrival
	jitter   jitter
	receive  []sdp.Format // what the peer may send
	heard    sdp.Format   // of its last audio; zero before
	buffer   Buffer
	leftAt   time.Time // when its BYE came, zero otherwise
	sendsXR  bool      // it takes extended reports
	peerSR   stamp     // its last sender report
	peerRRTR stamp     // its last receiver reference time
	peerSSRC uint32    // who sent the RRTR

	// What is sent to the peer.
	sent sent
	send []sdp.Format // what the peer can receive
	told told         // what its reports say

	schedule schedule
	cname    [16]byte
}

// Buffer is how long the jitter buffer holds what comes; zero where there is none.
type Buffer struct {
	Nominal, Maximum, Absolute time.Duration // now, at the most as it is now, and ever (RFC 3611 §4.7.7)
	Adaptive                   bool
}

// sent is what goes to the peer.
type sent struct {
	ssrc    uint32
	packets uint32
	octets  uint32 // payload, as sender reports count it
	format  sdp.Format
	clock   uint32
	first   uint32 // sequence number, extended
	high    uint32
	stamp   uint32 // of the last packet
	at      time.Time
	started bool
}

// New is the stream of a leg whose packets bear ssrc.
func New(ssrc uint32) Stream {
	s := Stream{sent: sent{ssrc: ssrc}}
	var name [12]byte // 96 bits, of this leg alone (RFC 7022 §4.2)
	_, _ = rand.Read(name[:])
	base64.StdEncoding.Encode(s.cname[:], name[:])
	return s
}

// Agree says what the peer may send, with our payload types, what it can receive, with its own, and whether its SDP
// takes extended reports (a=rtcp-xr, RFC 3611 §5). The slices are kept and must not change.
func (s *Stream) Agree(receive, send []sdp.Format, xr bool) {
	s.receive, s.send = receive, send
	s.sendsXR = s.sendsXR || xr
	s.heard, s.sent.format = sdp.Format{}, sdp.Format{}
}

// Received counts a packet of the peer: its header, the bytes of its payload, the clock of its payload type, whether it
// is a telephone-event, whose timestamp stands still and says nothing about jitter, and when it came.
func (s *Stream) Received(h *rtp.Header, payload int, clock uint32, event bool, now time.Time) {
	stream := s.arrival.ssrc
	fresh := s.arrival.packet(h, payload)
	s.leftAt = time.Time{}
	if s.arrival.ssrc != stream {
		s.jitter.anew()
		s.peerSR = stamp{}
	}
	if !fresh || event {
		return
	}
	if s.heard.Clock == 0 || s.heard.Type != h.PayloadType {
		if f := format(s.receive, h.PayloadType, clock); speech(f.Encoding) {
			s.heard = f
		}
	}
	s.jitter.packet(h, clock, now)
}

// Discarded notes that the jitter buffer did not play a packet that came, since it was too late or too early.
func (s *Stream) Discarded(sequence uint16) { s.arrival.discard(sequence) }

// Buffered says how the jitter buffer stands.
func (s *Stream) Buffered(b Buffer) { s.buffer = b }

// Sent counts a packet that went to the peer: its header, the bytes of its payload, and the clock of its payload type.
func (s *Stream) Sent(h *rtp.Header, payload int, clock uint32, now time.Time) {
	o := &s.sent
	if !o.started || h.SSRC != o.ssrc {
		*o = sent{ssrc: h.SSRC, started: true, first: 1<<16 | uint32(h.SequenceNumber)}
		o.high = o.first
		s.told.anew()
	} else if ahead := h.SequenceNumber - uint16(o.high); ahead < 1<<15 {
		o.high += uint32(ahead)
	}
	o.packets++
	o.octets += uint32(payload)
	o.stamp, o.at, o.clock = h.Timestamp, now, clock
	if o.format.Clock == 0 || o.format.Type != h.PayloadType {
		if f := format(s.send, h.PayloadType, clock); speech(f.Encoding) {
			o.format = f
		}
	}
}

// static are the payload types that have a meaning without a=rtpmap (RFC 3551 §6).
var static = [...]string{0: "PCMU", 3: "GSM", 4: "G723", 7: "LPC", 8: "PCMA", 9: "G722", 10: "L16", 11: "L16", 12: "QCELP", 13: "CN", 15: "G728", 18: "G729"}

// format finds what a payload type stands for.
func format(agreed []sdp.Format, payload uint8, clock uint32) sdp.Format {
	found := sdp.Format{Type: payload, Clock: max(clock, 1)}
	for _, f := range agreed {
		if f.Type == payload {
			found.Encoding = f.Encoding
			break
		}
	}
	if found.Encoding == "" && int(payload) < len(static) {
		found.Encoding = static[payload]
	}
	return found
}

// speech tells whether an encoding carries a voice, and not what is sent in its place.
func speech(encoding string) bool { return encoding != "CN" && encoding != "telephone-event" }
