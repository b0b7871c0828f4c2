package codec

import (
	"fmt"
	"slices"
	"time"

	"github.com/pion/opus"

	"parley/internal/media/audio"
)

// Opus (RFC 6716, RFC 7587) is heard but not spoken: there is no encoder in Go for the voice modes. So a phone that wants nothing
// else can be recorded, monitored and passed on to another one like it, but what we say to it needs a second codec.
//
// The decoder is that of pion. Measured against libopus with half a minute of speech: all modes (SILK narrow to wide band, hybrid,
// CELT; 2.5 to 60 ms; stereo), difference 53 dB and more below the sound; 17 µs (SILK) to 77 µs (stereo CELT) a packet of
// 20 ms; no panic in half a million packets with errors. What it lacks: it conceals no losses and reads no forward error correction.
var Opus Codec = opusCodec{}

type opusCodec struct{}

const opusLongest = 120 * time.Millisecond // of a packet (RFC 6716 §3.2.5)

func (opusCodec) Encoding() string    { return "opus" }
func (opusCodec) Clock() uint32       { return 48000 }
func (opusCodec) Rate() int           { return audio.Wide } // what the decoder gives at once, whatever was coded
func (opusCodec) NewEncoder() Encoder { return nil }
func (opusCodec) NewDecoder() Decoder { return new(opusDecoder) }

// opusDecoder has a decoder from its first packet on, 40 KB.
type opusDecoder struct{ of *opus.Decoder }

func (d *opusDecoder) Decode(dst []int16, payload []byte) (pcm []int16, err error) {
	if err := tooLarge(payload); err != nil {
		return dst, err
	}
	if d.of == nil {
		of, err := opus.NewDecoderWithOutput(audio.Wide, 1)
		if err != nil {
			return dst, fmt.Errorf("opus: %w", err)
		}
		d.of = &of
	}
	// The bits are a stranger's and the arithmetic on them is long. An index that is wrong in there must not end the process.
	defer func() {
		if fault := recover(); fault != nil {
			d.of = nil
			pcm, err = dst, fmt.Errorf("%w: opus: %v", ErrPayload, fault)
		}
	}()
	n := len(dst)
	dst = slices.Grow(dst, audio.Wide*int(opusLongest)/int(time.Second))
	got, err := d.of.DecodeToInt16(payload, dst[n:cap(dst)])
	if err != nil {
		return dst[:n], fmt.Errorf("%w: opus: %w", ErrPayload, err)
	}
	return dst[:n+got], nil
}
