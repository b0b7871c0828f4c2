package plc

import "time"

// Spare is how much sound Shorten needs at least.
const Spare = longest + step

// Shorten takes one period of the pitch (5 to 15 ms) out of the beginning of pcm, in place, and returns the rest. What is
// shorter than [Spare] stays as it is.
func Shorten(pcm []int16, rate int) []int16 {
	samples := func(d time.Duration) int { return int(d * time.Duration(rate) / time.Second) }
	if len(pcm) < samples(Spare) {
		return pcm
	}
	window := samples(step)
	best, bestScore := samples(longest), 0.0
	for lag := samples(shortest); lag <= samples(longest); lag++ {
		if score := likenessOf(pcm[:window], pcm[lag:lag+window], 2); score > bestScore {
			best, bestScore = lag, score
		}
	}
	rest := pcm[best:]
	crossfade(rest[:window], pcm[:window], rest[:window])
	return rest
}

// quiet is the mean square of a sample below which sound is no speech: -50 dB of the loudest sine.
const quiet = (1 << 15) * (1 << 15) / 2 / 100000

// Quiet tells whether there is nothing in pcm but background.
func Quiet(pcm []int16) bool {
	var sum int64
	for _, v := range pcm {
		sum += int64(v) * int64(v)
	}
	return sum <= quiet*int64(len(pcm))
}
