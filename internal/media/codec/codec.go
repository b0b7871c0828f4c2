package codec

import (
	"errors"
	"fmt"
	"strings"
)

// Codec is one way to code sound. Codecs are values that are shared; what has a memory is an [Encoder] or a [Decoder].
type Codec interface {
	// Encoding is the name in SDP, as in "PCMU", and Clock the rate of its RTP timestamps, which for G722 is 8,000
	// while its sound has 16,000 samples a second (RFC 3551 §4.5.2).
	Encoding() string
	Clock() uint32
	// Rate is the samples a second of the linear sound.
	Rate() int
	NewEncoder() Encoder // nil if the codec is only heard, see [Speaks]
	NewDecoder() Decoder
}

// Speaks tells whether sound can be coded, and not only decoded.
func Speaks(c Codec) bool { return c != Opus }

// Encoder codes one stream.
type Encoder interface {
	// Encode appends the code of pcm to dst and returns it. pcm is whole frames of 10 ms.
	Encode(dst []byte, pcm []int16) []byte
}

// Decoder decodes one stream.
type Decoder interface {
	// Decode appends the sound of a payload to dst and returns it. The error says what is wrong with the payload.
	Decode(dst []int16, payload []byte) ([]int16, error)
}

// MaxPayload is the largest payload that is decoded: 200 ms of G.711, 50 ms of L16 at 16 kHz.
const MaxPayload = 1600

// ErrPayload is what all errors of decoders are.
var ErrPayload = errors.New("malformed payload")

// tooLarge refuses what no phone sends in one packet.
func tooLarge(payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d are taken", ErrPayload, len(payload), MaxPayload)
	}
	return nil
}

// known are all codecs.
var known = [...]Codec{PCMU, PCMA, G722, L16, L16Wide, Opus}

// Find returns the codec that SDP calls so, which may be one that does not speak; the case of the name does not matter
// (RFC 4855 §3). The clock rate counts: L16/8000 is not L16/16000.
func Find(encoding string, clock uint32) (Codec, bool) {
	for _, c := range known {
		if c.Clock() == clock && strings.EqualFold(c.Encoding(), encoding) {
			return c, true
		}
	}
	return nil, false
}
