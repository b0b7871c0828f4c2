// Package codec turns linear sound into what RTP carries, and back: G.711 in both laws and G.722 (packages g711 and g722
// below it have the numbers), Opus as far as it can be decoded ([Opus] tells how far that is), linear PCM in network byte order ("L16", RFC 3551 §4.5.11), and the comfort noise of RFC 3389.
//
// [Find] knows a codec by the name and clock rate that SDP gives. What it does not know can still pass from one leg to
// another that wants the same; it is only not coded or decoded here.
//
// Concurrency: a [Codec] is a value that all share. An [Encoder], a [Decoder] and a [Noise] belong to one stream and to
// one goroutine at a time.
//
// Limits: a payload of more than [MaxPayload] bytes is refused, one that is broken gives an error and no sound. Nothing
// in a payload makes a decoder grow. With room in dst nothing is allocated.
//
// Not here: when a gap is to be filled, and with what (the jitter buffer knows), and the spectrum of comfort noise.
package codec
