package codec

import (
	"parley/internal/media/audio"
	"parley/internal/media/codec/g722"
)

// G722 has sound of 16,000 samples a second and a clock of 8,000, an old mistake that is the rule (RFC 3551 §4.5.2).
var G722 Codec = wideband{}

type wideband struct{}

func (wideband) Encoding() string    { return "G722" }
func (wideband) Clock() uint32       { return audio.Narrow }
func (wideband) Rate() int           { return audio.Wide }
func (wideband) NewEncoder() Encoder { return g722.NewEncoder() }
func (wideband) NewDecoder() Decoder { return &widebandDecoder{*g722.NewDecoder()} }

type widebandDecoder struct{ g722.Decoder }

func (d *widebandDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	if err := tooLarge(payload); err != nil {
		return dst, err
	}
	return d.Decoder.Decode(dst, payload), nil
}
