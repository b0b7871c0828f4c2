package main

import (
	"bytes"
	"fmt"
	"math"
	"os/exec"
	"strconv"

	"parley/internal/media/wav"
)

// Levels in dBov: those of speech while somebody speaks, and of music as a whole, so that neither startles the other.
const (
	speechLevel = -20.0
	musicLevel  = -24.0
	peakLevel   = -1.0 // nothing is louder
)

// speaker is a voice of espeak-ng.
type speaker struct {
	voice string
	speed int
}

// speak is a text at 8,000 samples a second.
func (s speaker) speak(text string) ([]float64, error) {
	cmd := exec.Command("espeak-ng", "-v", s.voice, "-s", strconv.Itoa(s.speed), "--stdout", "--", text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("espeak-ng (Debian: apt-get install espeak-ng): %w %s", err, stderr.String())
	}
	f, err := wav.Parse(b) // the size in its header is a guess, since it writes to a pipe
	if err != nil {
		return nil, err
	}
	pcm := f.Mono(rate)
	out := make([]float64, len(pcm))
	for i, v := range pcm {
		out[i] = float64(v) / 32768
	}
	return out, nil
}

// shaped is speech without what a phone cannot carry and without the silence around it, at the common level.
func shaped(in []float64) []int16 {
	return quantised(levelled(trimmed(highPassed(in)), speechLevel))
}

// highPassed takes away what is below the telephone band, with a Butterworth filter of second order at 200 Hz.
func highPassed(in []float64) []float64 {
	w := math.Tan(math.Pi * 200 / rate)
	n := 1 / (1 + math.Sqrt2*w + w*w)
	a1, a2 := 2*(w*w-1)*n, (1-math.Sqrt2*w+w*w)*n
	out := make([]float64, len(in))
	var x1, x2, y1, y2 float64
	for i, x := range in {
		y := n*(x-2*x1+x2) - a1*y1 - a2*y2
		x1, x2, y1, y2 = x, x1, y, y1
		out[i] = y
	}
	return out
}

// trimmed leaves 10 ms before the first sound and 30 ms behind the last, and lets both ends rise and fall for 5 ms.
func trimmed(in []float64) []float64 {
	const lead, tail, edge = rate * 10 / 1000, rate * 30 / 1000, rate * 5 / 1000
	peak := 0.0
	for _, v := range in {
		peak = max(peak, math.Abs(v))
	}
	first, last := len(in), 0
	for i, v := range in {
		if math.Abs(v) > peak/80 {
			first, last = min(first, i), i
		}
	}
	out := append([]float64{}, in[max(0, min(first, len(in))-lead):min(len(in), last+tail)]...)
	for i := range min(edge, len(out)/2) {
		out[i] *= float64(i) / edge
		out[len(out)-1-i] *= float64(i) / edge
	}
	return out
}

// active is the mean power of the frames that are within 25 dB of the loudest: pauses do not make a text quieter.
func active(in []float64) float64 {
	const frame = rate / 50
	var powers []float64
	loudest := 0.0
	for i := 0; i+frame <= len(in); i += frame {
		p := 0.0
		for _, v := range in[i : i+frame] {
			p += v * v / frame
		}
		powers = append(powers, p)
		loudest = max(loudest, p)
	}
	sum, n := 0.0, 0.0
	for _, p := range powers {
		if p > loudest/316 {
			sum += p
			n++
		}
	}
	return sum / max(n, 1)
}

// levelled has a level while there is sound, unless its peaks allow for less only.
func levelled(in []float64, level float64) []float64 {
	gain := math.Pow(10, level/20) / math.Sqrt(max(active(in), 1e-12))
	peak := 0.0
	for _, v := range in {
		peak = max(peak, math.Abs(v))
	}
	gain = min(gain, math.Pow(10, peakLevel/20)/max(peak, 1e-9))
	out := make([]float64, len(in))
	for i, v := range in {
		out[i] = v * gain
	}
	return out
}

func quantised(in []float64) []int16 {
	out := make([]int16, len(in))
	for i, v := range in {
		out[i] = int16(math.Round(max(-1, min(1, v)) * math.MaxInt16))
	}
	return out
}
