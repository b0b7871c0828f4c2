package plc

import "time"

// Faded is the length of a gap from which on there is silence.
const Faded = 60 * time.Millisecond

// Times of ITU-T G.711 Appendix I.
const (
	shortest  = 5 * time.Millisecond  // pitch period
	longest   = 15 * time.Millisecond // pitch period
	likeness  = 20 * time.Millisecond // of sound that is compared to find it
	step      = 10 * time.Millisecond // after each, one period more is repeated and less is left of it
	blend     = 4 * time.Millisecond  // into the sound after a gap, and more after a longer gap
	maxBlend  = 10 * time.Millisecond
	periods   = 3                           // that are repeated at most
	memory    = periods*longest + longest/4 // of sound that was heard
	blendStep = blend                       // for each step that the gap was longer
)

// Concealer fills the gaps of one stream.
type Concealer struct {
	rate int
	past []int16 // what was played, the last memory of it at the end

	// A gap. Its sound is a cycle of some periods from frozen, the past before the gap.
	frozen []int16
	lost   int // samples so far; 0 outside of a gap
	pitch  int // samples
	count  int // periods in the cycle
	at     int // next sample of the cycle
	height int // by which the repetition would begin too low
	other  []int16
}

// New returns a Concealer for sound of so many samples a second.
func New(rate int) *Concealer {
	c := &Concealer{rate: rate}
	c.past = make([]int16, c.samples(memory), 2*c.samples(memory))
	c.frozen = make([]int16, c.samples(memory))
	c.other = make([]int16, c.samples(maxBlend))
	return c
}

func (c *Concealer) samples(d time.Duration) int { return int(d * time.Duration(c.rate) / time.Second) }

// Reset forgets what was heard: the next sound is of another stream.
func (c *Concealer) Reset() {
	clear(c.past)
	c.lost = 0
}

// Heard takes sound that came and is played next. After a gap it changes the beginning of it.
func (c *Concealer) Heard(pcm []int16) {
	if c.lost > 0 && len(pcm) > 0 {
		n := c.samples(blend + blendStep*(time.Duration(c.lost)*time.Second/time.Duration(c.rate)/step))
		n = min(n, c.samples(maxBlend), len(pcm))
		c.repeat(c.other[:n])
		crossfade(pcm[:n], c.other[:n], pcm[:n])
		c.lost = 0
	}
	c.remember(pcm)
}

// Conceal fills dst, which is played next, with what might have been there.
func (c *Concealer) Conceal(dst []int16) {
	if len(dst) == 0 {
		return
	}
	if c.lost == 0 {
		c.begin()
	}
	c.repeat(dst)
	c.remember(dst)
}

// remember keeps the last of what is played.
func (c *Concealer) remember(pcm []int16) {
	keep := c.samples(memory)
	if len(pcm) >= keep {
		c.past = append(c.past[:0], pcm[len(pcm)-keep:]...)
		return
	}
	if len(c.past)+len(pcm) > cap(c.past) {
		c.past = c.past[:copy(c.past, c.past[len(c.past)-keep:])]
	}
	c.past = append(c.past, pcm...)
}

// begin starts a gap.
func (c *Concealer) begin() {
	copy(c.frozen, c.past[len(c.past)-len(c.frozen):])
	c.pitch = pitch(c.frozen, c.samples(shortest), c.samples(longest), c.samples(likeness), c.rate/8000)
	c.count, c.at = 1, 0
	end := len(c.frozen)
	c.height = int(c.frozen[end-1]) - int(c.frozen[end-1-c.pitch])
}

// repeat writes the next of the repetition.
func (c *Concealer) repeat(dst []int16) {
	if c.lost >= c.samples(Faded) {
		clear(dst)
		c.lost += len(dst)
		return
	}
	for i := range dst {
		dst[i] = c.sample()
	}
}

func (c *Concealer) sample() int16 {
	fade := c.samples(step)
	total := c.samples(Faded)
	n := c.lost
	c.lost++
	if n >= total {
		return 0
	}
	quarter := c.pitch / 4
	if count := min(n/fade+1, periods); count != c.count {
		c.count = count // at stays: it is the same place of an earlier period
	}
	v := c.cycle(c.at, c.count)
	if n < quarter {
		v += c.height * (quarter - n) / quarter
	}
	if since := n % fade; n >= fade && n < periods*fade && since < quarter {
		// A period more was just taken in. Blend over from the cycle that had one less.
		v = (c.cycle(c.at, c.count-1)*(quarter-since) + v*since) / quarter
	}
	if c.at++; c.at >= c.count*c.pitch {
		c.at = 0
	}
	if n >= fade {
		v = v * (total - n) / (total - fade)
	}
	return clip(v)
}

// cycle is a sample of the last count periods before the gap, whose end is blended into what was before their beginning,
// so that they can be repeated.
func (c *Concealer) cycle(at, count int) int {
	length, quarter := count*c.pitch, c.pitch/4
	at %= length
	end := len(c.frozen)
	v := int(c.frozen[end-length+at])
	if into := at - (length - quarter); into >= 0 {
		v = (v*(quarter-into) + int(c.frozen[end-2*length+at])*into) / quarter
	}
	return v
}

func clip(v int) int16 { return int16(max(-1<<15, min(v, 1<<15-1))) }

// crossfade writes a mixture of from and to, which begins with from and ends with to.
func crossfade(dst, from, to []int16) {
	n := len(dst)
	for i := range dst {
		dst[i] = int16((int(from[i])*(n-i) + int(to[i])*i) / n)
	}
}

// pitch is the number of samples, from shortest to longest, after which the last of pcm is most like itself. It looks at
// every skip*2nd sample first.
func pitch(pcm []int16, shortest, longest, window, skip int) int {
	tail := pcm[len(pcm)-window:]
	skip = max(1, skip) * 2
	best := search(pcm, tail, shortest, longest, skip, skip)
	return search(pcm, tail, max(shortest, best-skip+1), min(longest, best+skip-1), 1, 1)
}

// search compares the tail of pcm with what was from..to samples earlier.
func search(pcm, tail []int16, from, to, lags, skip int) int {
	best, bestScore := from, 0.0
	at := len(pcm) - len(tail)
	for lag := from; lag <= to; lag += lags {
		earlier := pcm[at-lag : at-lag+len(tail)]
		if score := likenessOf(tail, earlier, skip); score > bestScore {
			best, bestScore = lag, score
		}
	}
	return best
}

// likenessOf is the square of the normalised correlation times the energy of a, 0 when it is negative.
func likenessOf(a, b []int16, skip int) float64 {
	b = b[:len(a)]
	var product, energy int64
	for i := 0; i < len(a); i += skip {
		product += int64(a[i]) * int64(b[i])
		energy += int64(b[i]) * int64(b[i])
	}
	if product <= 0 {
		return 0
	}
	return float64(product) * float64(product) / float64(energy)
}
