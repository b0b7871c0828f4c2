package g722

import "slices"

const taps = 2 * len(qmf)

// block is how many bytes of code are filtered at a time: 20 ms.
const block = 160

// Encoder codes one stream.
type Encoder struct {
	lower, upper band
	sound        [taps - 2 + 2*block]int32 // the last samples of what came before, and a block
}

// NewEncoder makes one whose sound was silent so far.
func NewEncoder() *Encoder {
	return &Encoder{lower: band{scale: lowerScale}, upper: band{scale: upperScale}}
}

// Encode appends the code of pcm to dst: a byte for two samples. pcm has an even number of them.
func (e *Encoder) Encode(dst []byte, pcm []int16) []byte {
	dst = slices.Grow(dst, len(pcm)/2)
	for len(pcm) >= 2 {
		n := min(len(pcm)/2, block)
		for i, s := range pcm[:2*n] {
			e.sound[taps-2+i] = int32(s)
		}
		for i := range n {
			lower, upper := split((*[taps]int32)(e.sound[2*i:]))
			dst = append(dst, e.codeUpper(upper)<<6|e.codeLower(lower))
		}
		copy(e.sound[:taps-2], e.sound[2*n:])
		pcm = pcm[2*n:]
	}
	return dst
}

// split gives one sample of each band, of 15 bits (clause 3.1). The filter has a gain of 4096 for a constant.
func split(sound *[taps]int32) (lower, upper int32) {
	var odd, even int32
	for i, h := range qmf {
		odd += sound[2*i] * h
		even += sound[taps-1-2*i] * h
	}
	return clip((even + odd) >> 14), clip((even - odd) >> 14)
}

// codeLower is SUBTRA, QUANTL, INVQAL and what adapts.
func (e *Encoder) codeLower(sample int32) byte {
	b := &e.lower
	diff := clip(sample - b.predicted)
	magnitude := diff
	if diff < 0 {
		magnitude = -diff - 1
	}
	level := level(magnitude, b.scale)
	code := 62 - level // the smallest positive difference is 61, the greatest 32
	if diff < 0 {
		if code = 34 - level; level <= 2 {
			code = 64 - level // the two smallest are 63 and 62, then 31 to 4
		}
	}
	b.predict(b.scale * output4[code>>2] >> 15)
	b.rescale(stepLower[code>>2], lowerLimit, lowerShift)
	return byte(code)
}

// level finds the interval of a magnitude, 1 to 30.
func level(magnitude, scale int32) int32 {
	low, high := 1, len(decision6)
	for low < high {
		middle := (low + high) / 2
		if magnitude < decision6[middle]*scale>>12 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return int32(low)
}

// codeUpper is SUBTRA, QUANTH, INVQAH and what adapts.
func (e *Encoder) codeUpper(sample int32) byte {
	b := &e.upper
	diff := clip(sample - b.predicted)
	code, magnitude := 3, diff
	if diff < 0 {
		code, magnitude = 1, -diff-1
	}
	if magnitude >= decision2*b.scale>>12 {
		code--
	}
	b.predict(b.scale * output2[code] >> 15)
	b.rescale(stepUpper[code], upperLimit, upperShift)
	return byte(code)
}

// Decoder decodes one stream.
type Decoder struct {
	lower, upper band
	sound        [taps - 2 + 2*block]int32 // sums and differences of the bands
}

// NewDecoder makes one whose sound was silent so far.
func NewDecoder() *Decoder {
	return &Decoder{lower: band{scale: lowerScale}, upper: band{scale: upperScale}}
}

// Decode appends the sound of code to dst, two samples for a byte. There is no wrong code.
func (d *Decoder) Decode(dst []int16, code []byte) []int16 {
	dst = slices.Grow(dst, 2*len(code))
	for len(code) > 0 {
		n := min(len(code), block)
		for i, c := range code[:n] {
			lower, upper := d.decodeLower(c&63), d.decodeUpper(c>>6)
			d.sound[taps-2+2*i], d.sound[taps-1+2*i] = lower+upper, lower-upper
		}
		for i := range n {
			a, b := merge((*[taps]int32)(d.sound[2*i:]))
			dst = append(dst, a, b)
		}
		copy(d.sound[:taps-2], d.sound[2*n:])
		code = code[n:]
	}
	return dst
}

// merge gives two samples (clause 4.4).
func merge(sound *[taps]int32) (int16, int16) {
	var first, second int32
	for i, h := range qmf {
		second += sound[2*i] * h
		first += sound[taps-1-2*i] * h
	}
	return int16(clip(first >> 11)), int16(clip(second >> 11))
}

// decodeLower is INVQBL, RECONS and LIMIT; what adapts sees the upper four bits only, as in the encoder.
func (d *Decoder) decodeLower(code byte) int32 {
	b := &d.lower
	sample := limit(b.predicted + b.scale*output6[code]>>15)
	b.predict(b.scale * output4[code>>2] >> 15)
	b.rescale(stepLower[code>>2], lowerLimit, lowerShift)
	return sample
}

func (d *Decoder) decodeUpper(code byte) int32 {
	b := &d.upper
	diff := b.scale * output2[code] >> 15
	sample := limit(b.predicted + diff)
	b.predict(diff)
	b.rescale(stepUpper[code], upperLimit, upperShift)
	return sample
}

// limit is LIMIT: 15 bits.
func limit(v int32) int32 { return min(max(v, -16384), 16383) }
