// Package codec turns linear sound into what RTP carries, and back.
package codec

// Codec is one way to code sound. Codecs are values that are shared; what has a memory is an [Encoder] or a [Decoder].
type Codec interface {
	// Encoding is the name in SDP, as in "PCMU", and Clock the rate of its RTP timestamps, which for G722 is 8,000
	// while its sound has 16,000 samples a second (RFC 3551 §4.5.2).
	Encoding() string
	Clock() uint32
	// Rate is the samples a second of the linear sound.
	Rate() int
	NewEncoder() Encoder
	NewDecoder() Decoder
}

// Encoder codes one stream.
type Encoder interface {
	// Encode appends the code of pcm to dst and returns it. pcm is whole frames of 10 ms.
	Encode(dst []byte, pcm []int16) []byte
}

// Decoder decodes one stream.
type Decoder interface {
	// Decode appends the sound of a payload to dst and returns it. The error says what is wrong with the payload.
	Decode(dst []int16, payload []byte) ([]int16, error)
}
