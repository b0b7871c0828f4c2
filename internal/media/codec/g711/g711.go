package g711

import (
	"math/bits"
	"slices"
)

// What silence is coded as.
const (
	SilenceA = 0xD5
	SilenceU = 0xFF
)

const (
	evenBits = 0x55 // of an A-law code, inverted on the line
	positive = 0x80 // sign of both laws, before µ-law inverts everything
	bias     = 33   // added to µ-law magnitudes, so that each segment begins at a power of two
	greatest = 8158 // µ-law magnitude from which on everything is the last interval
)

var (
	linearA [256]int16        // A-law to linear
	linearU [256]int16        // µ-law to linear
	codesA  = makeA(&linearA) // linear/16 to A-law, negative samples in the upper half
	codesU  = makeU(&linearU) // linear/4 to µ-law
)

// EncodeA returns the A-law code of a sample.
func EncodeA(sample int16) byte { return codesA[uint16(sample)>>4] }

// DecodeA returns the sample of an A-law code.
func DecodeA(code byte) int16 { return linearA[code] }

// EncodeU returns the µ-law code of a sample.
func EncodeU(sample int16) byte { return codesU[uint16(sample)>>2] }

// DecodeU returns the sample of a µ-law code.
func DecodeU(code byte) int16 { return linearU[code] }

// AppendA appends the A-law code of pcm to dst.
func AppendA(dst []byte, pcm []int16) []byte {
	n := len(dst)
	dst = slices.Grow(dst, len(pcm))[:n+len(pcm)]
	out := dst[n:]
	for i, s := range pcm {
		out[i] = codesA[uint16(s)>>4]
	}
	return dst
}

// AppendU appends the µ-law code of pcm to dst.
func AppendU(dst []byte, pcm []int16) []byte {
	n := len(dst)
	dst = slices.Grow(dst, len(pcm))[:n+len(pcm)]
	out := dst[n:]
	for i, s := range pcm {
		out[i] = codesU[uint16(s)>>2]
	}
	return dst
}

// AppendLinearA appends the sound of A-law code to dst.
func AppendLinearA(dst []int16, code []byte) []int16 {
	n := len(dst)
	dst = slices.Grow(dst, len(code))[:n+len(code)]
	out := dst[n:]
	for i, c := range code {
		out[i] = linearA[c]
	}
	return dst
}

// AppendLinearU appends the sound of µ-law code to dst.
func AppendLinearU(dst []int16, code []byte) []int16 {
	n := len(dst)
	dst = slices.Grow(dst, len(code))[:n+len(code)]
	out := dst[n:]
	for i, c := range code {
		out[i] = linearU[c]
	}
	return dst
}

// makeA fills the table of decoding and returns that of coding (G.711 tables 1a, 1b).
func makeA(linear *[256]int16) *[1 << 12]byte {
	for i := range linear {
		linear[i] = expandA(byte(i))
	}
	var codes [1 << 12]byte
	for i := range codes {
		codes[i] = compressA(int16(i << 4))
	}
	return &codes
}

// makeU fills the table of decoding and returns that of coding (G.711 tables 2a, 2b).
func makeU(linear *[256]int16) *[1 << 14]byte {
	for i := range linear {
		linear[i] = expandU(byte(i))
	}
	var codes [1 << 14]byte
	for i := range codes {
		codes[i] = compressU(int16(i << 2))
	}
	return &codes
}

// compressA: segment 0 and 1 have 16 steps of 2 each on the scale of the recommendation, and each further segment has
// 16 steps of twice the size.
func compressA(sample int16) byte {
	sign, magnitude := byte(positive), int(sample)
	if sample < 0 {
		sign, magnitude = 0, -int(sample)-1 // on a decision value: the interval above, which is the smaller one here
	}
	step := magnitude >> 4 // 0 to 2047
	segment := max(bits.Len(uint(step))-4, 0)
	code := byte(step)
	if segment > 0 {
		code = byte(segment<<4 | step>>(segment-1)&0x0F)
	}
	return (sign | code) ^ evenBits
}

// expandA gives the middle of the interval.
func expandA(code byte) int16 {
	code ^= evenBits
	segment, step := code>>4&7, int16(code&0x0F)
	magnitude := step<<1 + 1
	if segment > 0 {
		magnitude = (magnitude + 32) << (segment - 1)
	}
	if code&positive == 0 {
		magnitude = -magnitude
	}
	return magnitude << 3
}

// compressU: segment 0 has 16 steps, the first of 1 and the others of 2, and each further segment has 16 steps of twice
// the size. With the bias added a segment is the position of the highest bit.
func compressU(sample int16) byte {
	sign, magnitude := byte(positive), int(sample)
	if sample < 0 {
		sign, magnitude = 0, -int(sample)-1
	}
	biased := min(magnitude>>2, greatest) + bias
	segment := bits.Len(uint(biased)) - 6
	return ^(sign ^ positive | byte(segment<<4) | byte(biased>>(segment+1)&0x0F))
}

// expandU gives the middle of the interval; the lowest is zero.
func expandU(code byte) int16 {
	code = ^code
	segment, step := code>>4&7, int16(code&0x0F)
	magnitude := (step<<1+bias)<<segment - bias
	if code&positive != 0 {
		magnitude = -magnitude
	}
	return magnitude << 2
}
