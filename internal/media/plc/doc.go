// Package plc fills the gaps of sound that was lost on its way, and takes little pieces out of sound that there is too
// much of, so that neither is heard much.
//
// A [Concealer] stands behind a decoder that knows nothing of losses, as in ITU-T G.711 Appendix I: it finds the pitch
// of what was heard last (66 to 200 Hz) and repeats the last period of it, after 10 ms the last two and after 20 ms the
// last three, since one period over and over is a beep. From 10 ms on the repetition fades, and is silent after 60 ms. The
// sound that comes after a gap is blended in. Unlike the appendix it adds no delay: where that smooths the sound before
// the gap, which then must not have been played yet, this one starts the repetition at the height where the sound stopped.
//
// [Shorten] takes one period of the pitch out, [Quiet] tells where it does not even matter.
//
// State: 49 ms of sound, twice. No concurrency; one Concealer serves one stream.
package plc
