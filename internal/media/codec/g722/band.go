package g722

import "math"

// band is the ADPCM of one sub-band. Coder and decoder have the same one and keep it alike by feeding it the same codes.
type band struct {
	scale     int32 // DETL, DETH: the quantiser's scale factor
	log       int32 // NBL, NBH: its logarithm
	predicted int32 // SL, SH: what the predictor expects
	zeros     int32 // SZL, SZH: the part of its six zeros
	pole      [2]int32
	zero      [6]int32
	part      [2]int32 // earlier PLT, PH: quantised difference plus the part of the zeros
	recons    [2]int32 // earlier RLT, RH: reconstructed samples
	diff      [6]int32 // earlier DLT, DH: quantised differences
}

// What the two bands differ in.
const (
	lowerScale, upperScale = 32, 8        // at the beginning (clause 6.2)
	lowerLimit, upperLimit = 18432, 22528 // of the logarithm
	lowerShift, upperShift = 8, 10        // of the scale factor
)

// rescale is LOGSCL with SCALEL, or LOGSCH with SCALEH.
func (b *band) rescale(step, limit, shift int32) {
	b.log = min(max(b.log*127>>7+step, 0), limit)
	mantissa := antilog[b.log>>6&31]
	if shift -= b.log >> 11; shift < 0 {
		b.scale = mantissa << -shift << 2
	} else {
		b.scale = mantissa >> shift << 2
	}
}

// predict takes a quantised difference, adapts the predictor, and predicts the next sample. The names are those of clause
// 6.2.1.
func (b *band) predict(diff int32) {
	recons := clip(b.predicted + diff) // RECONS
	part := clip(b.zeros + diff)       // PARREC
	same1 := part^b.part[0] >= 0       // signs
	same2 := part^b.part[1] >= 0

	// UPPOL2
	pole2 := clip(b.pole[0] << 2)
	if same1 {
		pole2 = min(-pole2, math.MaxInt16)
	}
	pole2 >>= 7
	if same2 {
		pole2 += 128
	} else {
		pole2 -= 128
	}
	pole2 = min(max(pole2+b.pole[1]*32512>>15, -12288), 12288)

	// UPPOL1
	pole1 := b.pole[0] * 32640 >> 15
	if same1 {
		pole1 += 192
	} else {
		pole1 -= 192
	}
	bound := 15360 - pole2
	pole1 = min(max(pole1, -bound), bound)
	b.pole = [2]int32{pole1, pole2}

	// UPZERO with DELAYA and FILTEZ
	step := int32(128)
	if diff == 0 {
		step = 0
	}
	for i := range b.zero {
		z := b.zero[i] * 32640 >> 15
		if diff^b.diff[i] >= 0 {
			z += step
		} else {
			z -= step
		}
		b.zero[i] = clip(z)
	}
	copy(b.diff[1:], b.diff[:5])
	b.diff[0] = diff
	b.zeros = 0
	for i := range b.zero {
		b.zeros += b.zero[i] * clip(b.diff[i]*2) >> 15
	}
	b.zeros = clip(b.zeros)

	// DELAYA, FILTEP, PREDIC
	b.part = [2]int32{part, b.part[0]}
	b.recons = [2]int32{recons, b.recons[0]}
	poles := clip(pole1*clip(b.recons[0]*2)>>15 + pole2*clip(b.recons[1]*2)>>15)
	b.predicted = clip(poles + b.zeros)
}

// clip is saturation to 16 bits.
func clip(v int32) int32 { return min(max(v, math.MinInt16), math.MaxInt16) }
