// Package g711 is ITU-T G.711: sound of 8,000 samples a second, each of them one byte, in A-law or µ-law.
//
// Codes are as RTP carries them (RFC 3551 §4.5.14): A-law with its even bits inverted, µ-law with all bits inverted. Linear
// samples are 16 bits; the recommendation's own scales, 13 bits for A-law and 14 for µ-law, are their upper bits, so
// its values appear here times 8 and times 4. A sample that lies on a decision value belongs to the interval above it.
//
// State: tables made once when the program starts, 22 KB. Concurrency: none is needed.
package g711
