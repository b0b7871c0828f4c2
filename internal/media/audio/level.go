package audio

import "math"

// Quietest is the level of digital silence (RFC 6464 §3: -127 dBov).
const Quietest = -127

// Level returns how loud pcm is in dBov: 0 is a square wave of full amplitude, -3 a sine.
func Level(pcm []int16) float64 {
	var power int64
	for _, s := range pcm {
		power += int64(s) * int64(s)
	}
	if power == 0 {
		return Quietest
	}
	return 10 * math.Log10(float64(power)/float64(len(pcm))/(1<<30))
}

// Factor is what decibels are as a factor of amplitude.
func Factor(dB float64) float32 { return float32(math.Pow(10, dB/20)) }

// Clip makes a sample of a sum.
func Clip(sum int32) int16 {
	return int16(max(min(sum, math.MaxInt16), math.MinInt16))
}

// saturate rounds a sample and cuts it.
func saturate(s float32) int16 {
	if s >= 0 {
		return int16(min(s+.5, math.MaxInt16))
	}
	return int16(max(s-.5, math.MinInt16))
}

// overload is the level of the greatest sine that fits, in dBm0 (G.711 clause 4; its A-law).
const overload = 3.14

// Peak is the amplitude of a sine of a level in dBm0, the unit in which telephone networks tell levels.
func Peak(dBm0 float64) float32 { return 32768 * Factor(dBm0-overload) }
