package media

import (
	"strings"

	"parley/internal/media/codec"
	"parley/internal/media/jitter"
	"parley/internal/media/sdp"
)

// comfortNoise is the encoding's name in SDP (RFC 3389).
const comfortNoise = "CN"

// static are the payload types that mean something without a=rtpmap and that we can do something with (RFC 3551 §6).
var static = map[uint8]string{0: "PCMU", 8: "PCMA", 9: "G722", 11: "L16", 13: comfortNoise}

// meaning is what we can do with a format.
type meaning struct {
	format sdp.Format
	kind   jitter.Kind
	codec  codec.Codec // of sound that we can decode; which of them we can code, bestOf says
	event  bool        // telephone-events
}

// meaningOf finds out. What we do not know is a stream of packets that may be passed on, and of which we hear nothing.
func meaningOf(f sdp.Format) meaning {
	m := meaning{format: f, kind: jitter.Other}
	name := f.Encoding
	if name == "" {
		name = static[f.Type]
	}
	switch {
	case strings.EqualFold(name, telephoneEvent):
		m.event = true
	case strings.EqualFold(name, comfortNoise):
		m.kind = jitter.Noise
	default:
		if c, ok := codec.Find(name, f.Clock); ok {
			m.kind, m.codec = jitter.Sound, c
		}
	}
	return m
}

// meanings remembers the last answer, since the next packet asks the same.
type meanings struct{ last meaning }

func (m *meanings) of(f sdp.Format) *meaning {
	if m.last.format != f || f.Clock == 0 {
		m.last = meaningOf(f)
	}
	return &m.last
}

// bestOf is the first format that we can code sound in. Where any format is taken that is PCMU.
func bestOf(formats []sdp.Format) (meaning, bool) {
	if len(formats) == 0 {
		return meaningOf(sdp.Format{Type: 0, Encoding: "PCMU", Clock: 8000}), true
	}
	for _, f := range formats {
		if m := meaningOf(f); m.codec != nil && codec.Speaks(m.codec) {
			return m, true
		}
	}
	return meaning{}, false
}

// eventOf is the format of telephone-events, that with the clock of the sound first, since they share timestamps
// (RFC 4733 §2.1).
func eventOf(formats []sdp.Format, clock uint32) (sdp.Format, bool) {
	var found sdp.Format
	for _, f := range formats {
		if strings.EqualFold(f.Encoding, telephoneEvent) && (found.Clock == 0 || f.Clock == clock && found.Clock != clock) {
			found = f
		}
	}
	return found, found.Clock != 0
}

// namesOf lists encodings for an error.
func namesOf(formats []sdp.Format) string {
	var names []string
	for _, f := range formats {
		name := f.Encoding
		if name == "" {
			name = static[f.Type]
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
