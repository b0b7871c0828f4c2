package codec

import (
	"fmt"
	"math"
)

// ComfortNoise is the name in SDP of what tells how loud a pause is (RFC 3389). Its static payload type is 13.
const ComfortNoise = "CN"

const (
	quietest = 127 // level of a noise description, -dBov
	// fullScale is the root mean square of 0 dBov, a square wave of full amplitude (RFC 3389 §3 measures by G.191).
	fullScale = 32768
	// deviation is that of a uniform distribution over all of int16.
	deviation = 65536 / 3.4641016151377544 // sqrt(12)
)

// Noise makes the sound of a pause by what the peer said about it. The zero value is silent. Only the level is heard:
// reflection coefficients, which say how the noise is coloured, are read past and the noise is white. Receivers may do so
// (RFC 3389 §4 leaves the synthesis to them); it is a hiss where a faithful one would be a room.
type Noise struct {
	gain  float32 // of a uniform sample, 0 is silence
	state uint64  // of the generator
}

// Describe takes a payload: one byte of level, then coefficients, at most one byte each.
func (n *Noise) Describe(payload []byte) error {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return fmt.Errorf("%w: noise described by %d bytes", ErrPayload, len(payload))
	}
	if payload[0] > quietest {
		return fmt.Errorf("%w: noise of level %d, the first bit must be 0", ErrPayload, payload[0])
	}
	n.SetLevel(-int(payload[0]))
	return nil
}

// SetLevel sets the level in dBov, 0 to -127; the last is silence.
func (n *Noise) SetLevel(dBov int) {
	n.gain = 0
	if dBov > -quietest {
		n.gain = float32(fullScale * math.Pow(10, float64(min(dBov, 0))/20) / deviation)
	}
}

// Fill fills dst with noise.
func (n *Noise) Fill(dst []int16) {
	if n.gain == 0 {
		clear(dst)
		return
	}
	if n.state == 0 {
		n.state = 0x9E3779B97F4A7C15
	}
	s := n.state
	for i := range dst {
		s ^= s << 13 // xorshift, Marsaglia 2003
		s ^= s >> 7
		s ^= s << 17
		dst[i] = int16(max(min(float32(int16(s>>48))*n.gain, math.MaxInt16), math.MinInt16))
	}
	n.state = s
}
