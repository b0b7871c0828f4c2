package quality

import (
	"strings"
	"time"
)

// impairment is what a codec does to a voice (ITU-T G.113 Appendix I): the equipment impairment factor without loss, and
// how robust it is against loss that comes at random.
type impairment struct{ ie, bpl float64 }

// impairments are the codecs that have both figures on the scale of telephone band. G.711 is taken with concealment of
// losses, which every phone has and the decoder of this node too. G.722, Opus and linear sound have none: they are rated
// on the wideband scale of G.107.1, and numbers of two scales in one column would mislead.
var impairments = map[string]impairment{
	"PCMU":    {0, 25.1},
	"PCMA":    {0, 25.1},
	"G729":    {11, 19}, // Annex A with silence suppression; SDP does not tell which annex is used
	"G723":    {15, 16.1},
	"GSM-EFR": {5, 10},
}

// bestR is the rating of a connection with all the defaults of G.107 and nothing impaired.
const bestR = 93.2

// Rate is the E-model's transmission rating of a codec by its name in SDP: loss is the share of packets that were not
// played (0 to 1), burstR how much they cluster (1 at random), delay the time from mouth to ear as far as it is known. It is
// false for a codec without an impairment factor.
func Rate(encoding string, loss, burstR float64, delay time.Duration) (r float64, ok bool) {
	i, ok := impairments[strings.ToUpper(encoding)]
	if !ok {
		return 0, false
	}
	r = bestR - delayImpairment(delay) - i.effective(loss, burstR)
	return min(max(r, 0), 100), true
}

// effective is Ie,eff: the impairment with loss. The formula counts percent.
func (i impairment) effective(loss, burstR float64) float64 {
	ppl := 100 * min(max(loss, 0), 1)
	return i.ie + (95-i.ie)*ppl/(ppl/max(burstR, 1)+i.bpl)
}

// delayImpairment is Id in its simplified form: speakers begin to interrupt each other from 177.3 ms on.
func delayImpairment(delay time.Duration) float64 {
	d := float64(delay) / float64(time.Millisecond)
	id := 0.024 * d
	if d > 177.3 {
		id += 0.11 * (d - 177.3)
	}
	return id
}

// MOS is the mean opinion score that a rating stands for (G.107 Annex B), 1 to 4.5.
func MOS(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	// The polynomial dips below 1 close to 0.
	return max(1, 1+0.035*r+0.000007*r*(r-60)*(100-r))
}
