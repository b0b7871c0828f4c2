package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parley/internal/media/codec/g711"
)

// Encoding is how a sample is written, by its number in the format chunk.
type Encoding uint16

// The encodings that are read and written.
const (
	PCM  Encoding = 1
	ALaw Encoding = 6
	ULaw Encoding = 7

	extensible Encoding = 0xFFFE // the true encoding is the beginning of a GUID further on
)

func (e Encoding) String() string {
	switch e {
	case PCM:
		return "PCM"
	case ALaw:
		return "A-law"
	case ULaw:
		return "µ-law"
	}
	return fmt.Sprintf("encoding %d", uint16(e))
}

// Limits is what is taken from a file that may be anybody's.
type Limits struct {
	Bytes    int64         // of the whole file
	Duration time.Duration // of its sound
}

// DefaultLimits is enough for a quarter of an hour of stereo at 48,000 samples a second.
func DefaultLimits() Limits { return Limits{Bytes: 200 << 20, Duration: 15 * time.Minute} }

// Errors that callers ask for; what is returned says more.
var (
	ErrFormat = errors.New("no sound that can be played")
	ErrLimit  = errors.New("too large")
)

// File is a file of sound as it was found.
type File struct {
	Encoding Encoding
	Channels int
	Rate     int
	Bits     int // a sample
	Data     []byte
	Cut      bool // the header promises more than there is
}

const (
	minRate, maxRate = 4000, 192000
	maxChannels      = 8
	maxChunks        = 1000 // before the data; real files have three
)

// Parse finds the sound in the bytes of a file. Data of the File is part of b.
func Parse(b []byte) (File, error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return File{}, fmt.Errorf("%w: it does not begin with RIFF and WAVE", ErrFormat)
	}
	var f File
	rest, known := b[12:], false
	for range maxChunks {
		if len(rest) < 8 {
			return File{}, fmt.Errorf("%w: it ends before the sound begins", ErrFormat)
		}
		id, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8:]
		switch id {
		case "fmt ":
			if size > int64(len(rest)) {
				return File{}, fmt.Errorf("%w: it ends within the description of its format", ErrFormat)
			}
			if err := f.format(rest[:size]); err != nil {
				return File{}, err
			}
			known = true
		case "data":
			if !known {
				return File{}, fmt.Errorf("%w: the data comes before its format", ErrFormat)
			}
			f.Data, f.Cut = rest[:min(size, int64(len(rest)))], size > int64(len(rest))
			f.Data = f.Data[:len(f.Data)-len(f.Data)%f.frame()]
			return f, nil
		}
		rest = rest[min(size+size&1, int64(len(rest))):] // chunks begin at even places
	}
	return File{}, fmt.Errorf("%w: more than %d chunks before the sound", ErrFormat, maxChunks)
}

// format reads a format chunk.
func (f *File) format(b []byte) error {
	if len(b) < 16 {
		return fmt.Errorf("%w: the description of its format has %d bytes, want 16 or more", ErrFormat, len(b))
	}
	f.Encoding = Encoding(binary.LittleEndian.Uint16(b))
	f.Channels = int(binary.LittleEndian.Uint16(b[2:]))
	f.Rate = int(binary.LittleEndian.Uint32(b[4:]))
	f.Bits = int(binary.LittleEndian.Uint16(b[14:]))
	if f.Encoding == extensible && len(b) >= 26 {
		f.Encoding = Encoding(binary.LittleEndian.Uint16(b[24:]))
	}
	switch {
	case f.Encoding == PCM && f.Bits != 8 && f.Bits != 16:
		return fmt.Errorf("%w: PCM of %d bits, want 16 or 8", ErrFormat, f.Bits)
	case (f.Encoding == ALaw || f.Encoding == ULaw) && f.Bits != 8:
		return fmt.Errorf("%w: %v of %d bits, want 8", ErrFormat, f.Encoding, f.Bits)
	case f.Encoding != PCM && f.Encoding != ALaw && f.Encoding != ULaw:
		return fmt.Errorf("%w: %v, want PCM, A-law or µ-law", ErrFormat, f.Encoding)
	case f.Channels < 1 || f.Channels > maxChannels:
		return fmt.Errorf("%w: %d channels, want 1 (or up to %d, which are mixed)", ErrFormat, f.Channels, maxChannels)
	case f.Rate < minRate || f.Rate > maxRate:
		return fmt.Errorf("%w: %d samples a second, want %d to %d", ErrFormat, f.Rate, minRate, maxRate)
	}
	return nil
}

func (f File) frame() int { return f.Channels * f.Bits / 8 }

// Samples is the number of samples in each channel.
func (f File) Samples() int { return len(f.Data) / f.frame() }

// Duration is how long it sounds.
func (f File) Duration() time.Duration {
	return time.Duration(f.Samples()) * time.Second / time.Duration(f.Rate)
}

// Split gives each channel as it is in the file.
func (f File) Split() [][]int16 {
	flat := f.linear()
	out := make([][]int16, f.Channels)
	for c := range out {
		out[c] = make([]int16, f.Samples())
		for i := range out[c] {
			out[c][i] = flat[i*f.Channels+c]
		}
	}
	return out
}

// Mono is the sound in one channel, the mean of all, at the rate that is wanted.
func (f File) Mono(rate int) []int16 {
	flat := f.linear()
	if f.Channels > 1 {
		for i := range f.Samples() {
			sum := 0
			for _, s := range flat[i*f.Channels : (i+1)*f.Channels] {
				sum += int(s)
			}
			flat[i] = int16(sum / f.Channels)
		}
		flat = flat[:f.Samples()]
	}
	return Resample(flat, f.Rate, rate)
}

// linear is all samples, channel by channel within each moment.
func (f File) linear() []int16 {
	n := f.Samples() * f.Channels
	out := make([]int16, n)
	switch {
	case f.Encoding == PCM && f.Bits == 16:
		for i := range out {
			out[i] = int16(binary.LittleEndian.Uint16(f.Data[2*i:]))
		}
	case f.Encoding == PCM:
		for i := range out {
			out[i] = (int16(f.Data[i]) - 128) << 8
		}
	case f.Encoding == ALaw:
		g711.AppendLinearA(out[:0], f.Data[:n])
	default:
		g711.AppendLinearU(out[:0], f.Data[:n])
	}
	return out
}

// Load reads a file: RIFF/WAVE, or, if its name ends in .ulaw, .ul, .mulaw or .pcmu, µ-law at 8,000 samples a second
// without a header. Errors name the file.
func Load(path string, limits Limits) (File, error) {
	f, err := load(path, limits)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func load(path string, limits Limits) (File, error) {
	in, err := os.Open(path)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err // the path comes once
		}
		return File{}, err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, limits.Bytes+1))
	if err != nil {
		return File{}, err
	}
	if int64(len(b)) > limits.Bytes {
		return File{}, fmt.Errorf("%w: more than %d bytes", ErrLimit, limits.Bytes)
	}
	f := File{Encoding: ULaw, Channels: 1, Rate: 8000, Bits: 8, Data: b}
	if !rawULaw(path) {
		if f, err = Parse(b); err != nil {
			return File{}, err
		}
	}
	if f.Duration() > limits.Duration {
		return File{}, fmt.Errorf("%w: it lasts %v, want at most %v", ErrLimit, f.Duration().Round(time.Second), limits.Duration)
	}
	return f, nil
}

func rawULaw(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ulaw", ".ul", ".mulaw", ".pcmu":
		return true
	}
	return false
}
