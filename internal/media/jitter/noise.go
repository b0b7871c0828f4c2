package jitter

import "math"

// loudestNoise is the least level, in dB below the overload of the codec, that a peer may ask for: what is louder is a
// mistake or malice.
const loudestNoise = 30

// noise is comfort noise (RFC 3389): white noise of the level that the peer told, silence before it told one.
type noise struct {
	peak int32 // of a uniform distribution
	seed uint32
}

// level reads a payload, of which the first byte is the level. The spectrum that may follow is not heard.
func (n *noise) level(payload []byte) {
	if len(payload) == 0 {
		return
	}
	db := max(loudestNoise, int(payload[0]&0x7f))
	n.peak = int32(math.Sqrt(3) * 32768 * math.Pow(10, -float64(db)/20)) // the root mean square is a third of its square
}

func (n *noise) fill(dst []int16) {
	if n.peak == 0 {
		clear(dst)
		return
	}
	for i := range dst {
		n.seed = n.seed*1664525 + 1013904223 // Numerical Recipes' generator; ears do not mind its low bits
		dst[i] = int16(int64(int32(n.seed)) * int64(n.peak) >> 31)
	}
}
