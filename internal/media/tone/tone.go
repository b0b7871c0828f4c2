package tone

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/media/audio"
)

const (
	level   = -10.         // dBm0, E.180 clause 7
	digital = -3.14 - 3.01 // dBov of 0 dBm0: a full sine has 3.14 dBm0 and -3.01 dBov (G.711, clause 4)
	depth   = .9           // of modulation; E.180 has no figure for it
	ramp    = 20           // samples in which a part begins and ends, so that it does not click
)

// Countries are those that have tones of their own.
func Countries() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(countries)), func(c string) bool { return c == anywhere })
}

// Source is one tone, being heard.
type Source struct {
	rate  int
	parts []part
	now   int // part that is heard
	at    int // samples of it that were
	left  int // samples until the end, -1 for ever
}

// part is a piece of a tone, or silence if it has no sines.
type part struct {
	samples   int // 0: it never ends
	sines     []audio.Sine
	modulator audio.Sine
	modulated bool
	amplitude float32 // of each sine
}

// New makes the tone of a country, ISO 3166, at [audio.Narrow] or [audio.Wide]. A country that is not known has
// the tones that are recommended to all; case does not matter.
func New(country string, kind Kind, rate int) *Source {
	tones := countries[strings.ToUpper(country)]
	text, ok := tones[kind]
	if !ok {
		text = countries[anywhere][kind]
	}
	parts, err := parse(text, rate)
	if err != nil {
		panic(fmt.Sprintf("tone %s of %q: %v", kind, country, err)) // the table is tested as a whole
	}
	return &Source{rate: rate, parts: parts, left: -1}
}

// For has the tone end after some time. It returns the source.
func (s *Source) For(d time.Duration) *Source {
	s.left = int(int64(s.rate) * int64(d) / int64(time.Second))
	return s
}

// Rate is the one that was asked for.
func (s *Source) Rate() int { return s.rate }

// Read gives what follows.
func (s *Source) Read(dst []int16) (int, error) {
	end := s.left >= 0 && s.left <= len(dst)
	if end {
		dst = dst[:s.left]
	}
	if s.left >= 0 {
		s.left -= len(dst)
	}
	for rest := dst; len(rest) > 0; {
		p := &s.parts[s.now]
		n := len(rest)
		if p.samples > 0 {
			n = min(n, p.samples-s.at)
		}
		p.read(rest[:n], s.at)
		rest = rest[n:]
		if s.at += n; s.at == p.samples {
			s.now, s.at = (s.now+1)%len(s.parts), 0
		}
	}
	if end {
		return len(dst), io.EOF
	}
	return len(dst), nil
}

// read gives the samples of a part from at on.
func (p *part) read(dst []int16, at int) {
	if len(p.sines) == 0 {
		clear(dst)
		return
	}
	if at == 0 {
		for i := range p.sines {
			p.sines[i].Reset()
		}
		p.modulator.Reset()
	}
	for i := range dst {
		var sum float32
		for k := range p.sines {
			sum += p.sines[k].Next()
		}
		if p.modulated {
			sum *= 1 + depth*p.modulator.Next()
		}
		edge := at + i + 1
		if p.samples > 0 {
			edge = min(edge, p.samples-at-i)
		}
		if edge < ramp {
			sum *= float32(edge) / ramp
		}
		dst[i] = int16(sum * p.amplitude)
	}
}

// parse reads a tone as the table has it.
func parse(text string, rate int) ([]part, error) {
	var parts []part
	for field := range strings.SplitSeq(text, ",") {
		p, err := parsePart(strings.Fields(field), rate)
		if err != nil {
			return nil, fmt.Errorf("part %q: %w", field, err)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func parsePart(words []string, rate int) (p part, err error) {
	if len(words) == 0 || len(words) > 2 {
		return p, fmt.Errorf("%d words, want frequencies and a time", len(words))
	}
	last := words[len(words)-1]
	seconds, err := strconv.ParseFloat(last, 64)
	silence := len(words) == 1 && err == nil && seconds < 20 // nobody hears a tone of 20 Hz
	if len(words) == 2 || silence {
		if err != nil || seconds <= 0 || seconds > 60 {
			return p, fmt.Errorf("time %q, want seconds", last)
		}
		p.samples = int(math.Round(seconds * float64(rate)))
		words = words[:len(words)-1]
	}
	if silence {
		return p, nil
	}
	return p, p.parseTone(words[0], rate)
}

func (p *part) parseTone(word string, rate int) error {
	dBov := level + digital
	if tone, quieter, ok := strings.Cut(strings.TrimSuffix(word, "dB"), "-"); ok {
		dB, err := strconv.ParseFloat(quieter, 64)
		if err != nil || dB < 0 || dB > 30 {
			return fmt.Errorf("level %q, want -dB", quieter)
		}
		word, dBov = tone, dBov-dB
	}
	carrier, modulator, modulated := strings.Cut(word, "*")
	for f := range strings.SplitSeq(carrier, "+") {
		hz, err := strconv.ParseFloat(f, 64)
		if err != nil || hz < 20 || hz > 3400 {
			return fmt.Errorf("frequency %q, want 20 to 3400 Hz", f)
		}
		p.sines = append(p.sines, audio.NewSine(rate, hz))
	}
	power := float64(len(p.sines)) / 2 // of sines of amplitude 1
	if modulated {
		hz, err := strconv.ParseFloat(modulator, 64)
		if err != nil || hz < 5 || hz > 200 {
			return fmt.Errorf("modulator %q, want 5 to 200 Hz", modulator)
		}
		p.modulator, p.modulated = audio.NewSine(rate, hz), true
		power *= 1 + depth*depth/2
	}
	p.amplitude = 32768 * audio.Factor(dBov) / float32(math.Sqrt(power))
	return nil
}
