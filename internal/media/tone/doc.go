// Package tone is what a telephone network tells callers without words: dial tone, ring-back, busy, congestion ("fast
// busy"), call waiting and the special information tone, as each country has them.
//
// Frequencies and cadences are those of ITU-T E.180 supplement 2 and of operators' bulletins; what they leave to choose (a country
// often lists several) is what callers there hear today. Levels follow E.180 clause 7: -10 dBm0, all frequencies of a
// tone together.
//
// The table in countries.go is meant to be read and extended by hand. A country that is not in it has the tones that E.180
// recommends to everybody, and so has one for a kind of tone where it has none of its own.
//
// A [Source] is an [audio.Source] without end, or with one after [Source.For]. Concurrency: it belongs to one goroutine, as any
// source does. Reading allocates nothing.
package tone
