package dtmf

import (
	"fmt"
	"io"
	"strings"
	"time"

	"parley/internal/media/audio"
)

// The frequencies of a keypad (ITU-T Q.23), and what stands where they cross.
var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
)

const keypad = "123A456B789C*0#D"

// Shape is how keys sound.
type Shape struct {
	Held, Pause time.Duration
	Low, High   float64 // level of the row's and of the column's frequency, dBm0
}

// DefaultShape is that of a good telephone: the higher frequency is the louder one, since lines weaken it more.
func DefaultShape() Shape { return Shape{Held: Held, Pause: Pause, Low: -11, High: -9} }

// Sound is keys as one hears them, an [audio.Source] that ends with the pause behind the last key.
type Sound struct {
	rate        int
	keys        string // that are still to be heard, the present one first
	shape       Shape
	held, pause int // samples
	at          int // in the present key
	low, high   audio.Sine
	lowPeak     float32
	highPeak    float32
}

// soundRamp is in how many samples a key's sound begins and ends, so that it does not click.
const soundRamp = 8

// NewSound makes the sound of keys, of [Keys], at [audio.Narrow] or [audio.Wide].
func NewSound(rate int, keys string, shape Shape) (*Sound, error) {
	keys = strings.ToUpper(keys)
	for i := range len(keys) {
		if strings.IndexByte(keypad, keys[i]) < 0 {
			return nil, fmt.Errorf("no sound for %q, a phone has the keys %s", keys[i], Keys)
		}
	}
	s := &Sound{rate: rate, keys: keys, shape: shape,
		held: samples(rate, shape.Held), pause: samples(rate, shape.Pause),
		lowPeak: audio.Peak(shape.Low), highPeak: audio.Peak(shape.High)}
	s.begin()
	return s, nil
}

func samples(rate int, d time.Duration) int { return int(int64(d) * int64(rate) / int64(time.Second)) }

// begin is before each key.
func (s *Sound) begin() {
	s.at = 0
	if s.keys == "" {
		return
	}
	i := strings.IndexByte(keypad, s.keys[0])
	s.low, s.high = audio.NewSine(s.rate, rows[i/4]), audio.NewSine(s.rate, columns[i%4])
}

// Rate is the one that was asked for.
func (s *Sound) Rate() int { return s.rate }

// Read gives what follows.
func (s *Sound) Read(dst []int16) (int, error) {
	for i := range dst {
		for s.keys != "" && s.at >= s.held+s.pause {
			s.keys = s.keys[1:]
			s.begin()
		}
		if s.keys == "" {
			return i, io.EOF
		}
		dst[i] = s.next()
	}
	return len(dst), nil
}

func (s *Sound) next() int16 {
	at := s.at
	if s.at++; at >= s.held {
		return 0
	}
	sum := s.low.Next()*s.lowPeak + s.high.Next()*s.highPeak
	if edge := min(at, s.held-1-at) + 1; edge < soundRamp {
		sum *= float32(edge) / soundRamp
	}
	return audio.Clip(int32(sum))
}
