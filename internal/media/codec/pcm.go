package codec

import (
	"encoding/binary"
	"fmt"

	"parley/internal/media/audio"
	"parley/internal/media/codec/g711"
)

// Codecs without a memory: a sample becomes one or two bytes, whatever came before.
var (
	PCMU Codec = plain{"PCMU", audio.Narrow, g711.AppendU, decodeU}
	PCMA Codec = plain{"PCMA", audio.Narrow, g711.AppendA, decodeA}

	L16     Codec = plain{"L16", audio.Narrow, appendL16, decodeL16}
	L16Wide Codec = plain{"L16", audio.Wide, appendL16, decodeL16}
)

// plain is its own encoder and decoder.
type plain struct {
	name   string
	rate   int
	encode func([]byte, []int16) []byte
	decode func([]int16, []byte) ([]int16, error)
}

func (p plain) Encoding() string    { return p.name }
func (p plain) Clock() uint32       { return uint32(p.rate) }
func (p plain) Rate() int           { return p.rate }
func (p plain) NewEncoder() Encoder { return &p }
func (p plain) NewDecoder() Decoder { return &p }

func (p plain) Encode(dst []byte, pcm []int16) []byte { return p.encode(dst, pcm) }

func (p plain) Decode(dst []int16, payload []byte) ([]int16, error) {
	if err := tooLarge(payload); err != nil {
		return dst, err
	}
	return p.decode(dst, payload)
}

func decodeU(dst []int16, payload []byte) ([]int16, error) {
	return g711.AppendLinearU(dst, payload), nil
}

func decodeA(dst []int16, payload []byte) ([]int16, error) {
	return g711.AppendLinearA(dst, payload), nil
}

func appendL16(dst []byte, pcm []int16) []byte {
	for _, s := range pcm {
		dst = binary.BigEndian.AppendUint16(dst, uint16(s))
	}
	return dst
}

func decodeL16(dst []int16, payload []byte) ([]int16, error) {
	if len(payload)%2 != 0 {
		return dst, fmt.Errorf("%w: L16 of %d bytes, a sample has two", ErrPayload, len(payload))
	}
	for ; len(payload) > 0; payload = payload[2:] {
		dst = append(dst, int16(binary.BigEndian.Uint16(payload)))
	}
	return dst, nil
}
