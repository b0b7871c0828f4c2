package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// piece is music as data.
type piece struct {
	beatsPerMinute float64
	bars           int
	chords         []string
	figure         []int
	melody         []string

	piano, voice, pad timbre // of the figure, the melody, and the chords that are held
	room              []echo
}

// timbre is an instrument: partials over a note's frequency, each with a level, that come within attack seconds and fade
// with decay, the higher ones sooner.
type timbre struct {
	attack, decay float64
	partials      []float64
	level         float64
}

// echo is a reflection some seconds later.
type echo struct{ after, level float64 }

const beatsPerBar = 4

// render plays the piece into a ring as long as the piece, so that notes and echoes at its end sound on at its beginning.
func (p piece) render() []float64 {
	ring := make([]float64, int(math.Round(float64(p.bars*beatsPerBar)*60/p.beatsPerMinute*rate)))
	for bar := range p.bars {
		at := float64(bar * beatsPerBar)
		chord := strings.Fields(p.chords[bar%len(p.chords)])
		for _, note := range chord {
			p.strike(ring, p.pad, note, at, beatsPerBar)
		}
		for i, n := range p.figure {
			p.strike(ring, p.piano, chord[n%len(chord)], at+float64(i)/2, 1)
		}
		fields := strings.Fields(p.melody[bar%len(p.melody)])
		for i := 0; i+1 < len(fields); i += 2 {
			beats := number(fields[i+1])
			if fields[i] != "-" {
				p.strike(ring, p.voice, fields[i], at, beats)
			}
			at += beats
		}
	}
	out := make([]float64, len(ring))
	for i := range ring {
		out[i] = ring[i]
		for _, e := range p.room {
			out[i] += e.level * ring[(i-int(e.after*rate)+len(ring))%len(ring)]
		}
	}
	return out
}

// strike adds a note. After its length it is let go and fades within a fifth of a second.
func (p piece) strike(ring []float64, t timbre, note string, beat, beats float64) {
	beatSamples := 60 / p.beatsPerMinute * rate
	start, held := int(beat*beatSamples), int(beats*beatSamples)
	release := t.attack*rate/2 + rate/5
	hz := frequency(note)
	for i := range held + int(release) {
		s := float64(i) / rate
		level := t.level * min(1, s/t.attack)
		if i > held {
			level *= 1 - float64(i-held)/release
		}
		v := 0.0
		for k, partial := range t.partials {
			f := hz * float64(k+1)
			if f > 3400 {
				break
			}
			v += partial * math.Exp(-s/t.decay*(1+float64(k)*.6)) * math.Sin(2*math.Pi*f*s)
		}
		ring[(start+i)%len(ring)] += level * v
	}
}

// beatsOf is how long a bar of melody is.
func beatsOf(bar string) (beats float64) {
	for i, f := range strings.Fields(bar) {
		if i%2 == 1 {
			beats += number(f)
		}
	}
	return beats
}

// frequency is that of a note such as F#4, in equal temperament with A4 at 440 Hz.
func frequency(note string) float64 {
	name, octave := note[:len(note)-1], number(note[len(note)-1:])
	step, ok := map[string]float64{"C": -9, "C#": -8, "D": -7, "D#": -6, "E": -5, "F": -4, "F#": -3, "G": -2, "G#": -1, "A": 0, "A#": 1, "B": 2}[name]
	if !ok {
		panic(fmt.Sprintf("piece.go: %q is no note", note))
	}
	return 440 * math.Pow(2, (step+12*(octave-4))/12)
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("piece.go: %q is no number", s))
	}
	return v
}
