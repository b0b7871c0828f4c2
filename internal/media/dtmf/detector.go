package dtmf

import (
	"fmt"
	"math"
	"math/cmplx"
	"time"

	"parley/internal/media/audio"
)

// What counts as a key, after ITU-T Q.24 with its table of what administrations ask for, and with some room beyond.
const (
	// blockTime is what is looked at at once: long enough to tell the frequencies apart, short enough for two whole
	// blocks in 40 ms of tone.
	blockSamples = 102                   // at 8 kHz, 12.75 ms
	quietest     = -33                   // dBm0 of the weaker frequency; -25 to -29 must be heard
	rowTwist     = 10                    // dB by which the row may be louder; 8 must be allowed
	columnTwist  = 6                     // dB by which the column may be louder; 4 must be allowed
	apart        = 6                     // dB between a frequency and the next best of its group
	share        = .62                   // of all power must be in the two in each block, also where they fill it in part
	bestShare    = .72                   // and in one block at least; speech has it in more
	offset       = .024                  // of a frequency; 1.5 % + 2 Hz must be accepted, 3.5 % refused
	shortest     = 32 * time.Millisecond // 40 ms must be heard, 20 to 24 ms not
	release      = 3                     // blocks without the tone end it: a pause of 40 ms has that many, an interruption of 10 ms has two
)

// Detector hears keys in sound, for phones that have no other way to send them. It is an [audio.Sink].
//
// Each block is looked at by Goertzel's algorithm at the eight frequencies of the keypad, in two halves. A key needs two blocks
// in a row that hold one row and one column frequency loud enough, about as loud as each other, and little else; and
// the turn of their phase from block to block tells how far off each frequency is. How much of the blocks at its ends the tone
// fills tells its length to some milliseconds. A key is told when it is over.
//
// What voices say rarely passes all of it at once: in 138 minutes of six synthetic voices in four languages nothing did.
type Detector struct {
	rate    int
	pressed func(Digit)
	half    int // samples
	bins    [8]bin
	floor   float64 // power of the quietest frequency, as a block has it

	n      int     // samples in the half at hand
	second bool    // it is the second one
	power  float64 // of all samples of the block
	before block   // the last one
	older  block   // and the one before it

	on      int     // place in the keypad of the key that is held, -1 for none
	blocks  float64 // that it fills so far, without the last one that holds it
	prior   float64 // amplitude in the last but one
	last    float64 // and in the last one
	best    float64 // greatest share of them
	missing int     // blocks without it since
	tail    float64 // amplitude in the first of those
}

// bin is one frequency: the memory of the filter, and what it found in the two halves of the block.
type bin struct {
	hz, coefficient    float64
	s1, s2             float32
	turnHalf, turnLast complex128 // of the phase in half a block, and in half a block less one sample
	turnBlock          complex128
	last               complex128 // of the earlier block
	halves             [2]complex128
}

// block is what was found in one.
type block struct {
	key       int // place in the keypad, -1 if it holds none
	share     float64
	amplitude [8]float64
}

// NewDetector makes one for sound at [audio.Narrow] or [audio.Wide] that tells of each key once. pressed is called by whoever
// writes, and must not wait.
func NewDetector(rate int, pressed func(Digit)) (*Detector, error) {
	if rate != audio.Narrow && rate != audio.Wide {
		return nil, fmt.Errorf("cannot hear keys at %d Hz, want %d or %d", rate, audio.Narrow, audio.Wide)
	}
	d := &Detector{rate: rate, pressed: pressed, half: blockSamples / 2 * rate / audio.Narrow, on: -1}
	d.before.key = -1
	peak := float64(audio.Peak(quietest))
	d.floor = peak * peak / 2 * float64(2*d.half)
	for i, hz := range append(rows[:], columns[:]...) {
		w := 2 * math.Pi * hz / float64(rate)
		turn := func(samples int) complex128 {
			sin, cos := math.Sincos(w * float64(samples))
			return complex(cos, -sin)
		}
		d.bins[i] = bin{hz: hz, coefficient: 2 * math.Cos(w), turnHalf: turn(d.half), turnLast: turn(d.half - 1), turnBlock: turn(2 * d.half)}
	}
	return d, nil
}

// Rate is the one that was asked for.
func (d *Detector) Rate() int { return d.rate }

// Write listens to some sound. It returns no error.
func (d *Detector) Write(src []int16) error {
	for len(src) > 0 {
		n := min(len(src), d.half-d.n)
		d.filter(src[:n])
		src = src[n:]
		if d.n += n; d.n == d.half {
			d.n = 0
			d.halfOver()
		}
	}
	return nil
}

// filter is Goertzel's recursion, for four frequencies at a time since each sample waits for the one before.
func (d *Detector) filter(src []int16) {
	for i := 0; i < len(d.bins); i += 4 {
		a, b, c, e := &d.bins[i], &d.bins[i+1], &d.bins[i+2], &d.bins[i+3]
		ca, cb, cc, ce := float32(a.coefficient), float32(b.coefficient), float32(c.coefficient), float32(e.coefficient)
		a1, a2, b1, b2, c1, c2, e1, e2 := a.s1, a.s2, b.s1, b.s2, c.s1, c.s2, e.s1, e.s2
		for _, s := range src {
			x := float32(s)
			a1, a2 = x+ca*a1-a2, a1
			b1, b2 = x+cb*b1-b2, b1
			c1, c2 = x+cc*c1-c2, c1
			e1, e2 = x+ce*e1-e2, e1
		}
		a.s1, a.s2, b.s1, b.s2, c.s1, c.s2, e.s1, e.s2 = a1, a2, b1, b2, c1, c2, e1, e2
	}
	var power int64
	for _, s := range src {
		power += int64(s) * int64(s)
	}
	d.power += float64(power)
}

// halfOver takes what the filters found, as the spectrum of the half block with its phase at the block's beginning.
func (d *Detector) halfOver() {
	which := 0
	if d.second {
		which = 1
	}
	for i := range d.bins {
		b := &d.bins[i]
		x := complex(float64(b.s1), 0) - complex(float64(b.s2), 0)*complex(b.coefficient/2, -math.Sin(2*math.Pi*b.hz/float64(d.rate)))
		x *= b.turnLast
		if d.second {
			x *= b.turnHalf
		}
		b.halves[which], b.s1, b.s2 = x, 0, 0
	}
	if d.second = !d.second; !d.second {
		d.blockOver()
	}
}

// blockOver decides what the block was, and follows the key that is held.
func (d *Detector) blockOver() {
	now := d.look()
	switch {
	case now.key >= 0 && now.key == d.on && (d.missing > 0 || d.exact(now.key)):
		d.blocks += 1 + float64(d.missing) // what is missing for so short a time was an interruption
		d.prior, d.last = d.last, now.of(d.on)
		d.best = max(d.best, now.share)
		d.missing, d.tail = 0, 0
	case now.key >= 0 && now.key == d.before.key && now.key != d.on && d.exact(now.key):
		d.over()
		first, second := d.before.of(now.key), now.of(now.key)
		d.on, d.missing, d.tail = now.key, 0, 0
		d.prior, d.last = first, second
		d.best = max(d.before.share, now.share)
		whole := max(first, second)
		d.blocks = first/whole + min(d.older.of(now.key)/whole, 1)
	case d.on >= 0:
		if d.missing++; d.missing == 1 {
			d.tail = now.of(d.on)
		}
		if d.missing == release {
			d.over()
		}
	}
	for i := range d.bins {
		d.bins[i].last = d.bins[i].whole()
	}
	d.older, d.before, d.power = d.before, now, 0
}

// over ends the key that is held, and tells of it if it was one.
func (d *Detector) over() {
	if d.on < 0 {
		return
	}
	whole := max(d.prior, d.last)
	blocks := d.blocks + d.last/whole + min(d.tail/whole, 1)
	held := time.Duration(blocks * float64(2*d.half) / float64(d.rate) * float64(time.Second))
	if code, ok := event(keypad[d.on]); ok && held >= shortest && d.best >= bestShare {
		d.pressed(digit(code, held.Round(time.Millisecond)))
	}
	d.on = -1
}

// look finds the key that a block holds, if it holds one.
func (d *Detector) look() block {
	var b block
	var power [8]float64
	for i := range d.bins {
		b.amplitude[i] = cmplx.Abs(d.bins[i].whole())
		power[i] = 2 * b.amplitude[i] * b.amplitude[i] / float64(2*d.half) // as much as a sine of this amplitude has
	}
	row, column := strongest(power[:4]), strongest(power[4:])
	b.key = -1
	if row < 0 || column < 0 {
		return b
	}
	r, c := power[row], power[4+column]
	b.share = (r + c) / max(d.power, 1)
	switch {
	case r < d.floor, c < d.floor:
	case r > c*decibels(rowTwist), c > r*decibels(columnTwist):
	case b.share < share:
	default:
		b.key = 4*row + column
	}
	return b
}

// of is how loud a key is in a block.
func (b *block) of(key int) float64 { return b.amplitude[key/4] + b.amplitude[4+key%4] }

// strongest is the place of the greatest, -1 if another one comes near it.
func strongest(power []float64) int {
	best := 0
	for i, p := range power {
		if p > power[best] {
			best = i
		}
	}
	for i, p := range power {
		if i != best && p > power[best]*decibels(-apart) {
			return -1
		}
	}
	return best
}

func decibels(dB float64) float64 { return math.Pow(10, dB/10) }

// whole is the spectrum of the block.
func (b *bin) whole() complex128 { return b.halves[0] + b.halves[1] }

// turned tells how far the phase turns from a to b, in radians.
func turned(a, b complex128) float64 { return cmplx.Phase(b * cmplx.Conj(a)) }

// exact tells whether both frequencies of a key are near their nominal ones, in this block and the one before.
func (d *Detector) exact(key int) bool {
	return d.bins[key/4].exact(d.half, d.rate) && d.bins[4+key%4].exact(d.half, d.rate)
}

// exact measures by how much a frequency is off: from one half of a block to the next the phase turns by the difference,
// and twice as far, hence less blurred by the other frequency, from the earlier block to this one, where it may have gone
// round. The first tells whether it has.
func (b *bin) exact(half, rate int) bool {
	radian := float64(rate) / (2 * math.Pi * float64(half)) // Hz for a radian in half a block
	coarse := turned(b.halves[0], b.halves[1]) * radian
	fine := turned(b.last*cmplx.Conj(b.turnBlock), b.whole()) * radian / 2
	round := math.Pi * radian
	fine += round * math.Round((coarse-fine)/round)
	return math.Abs(fine) < offset*b.hz
}
