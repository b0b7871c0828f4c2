// Package record writes what is heard to a file: one party, two of them mixed, or two side by side as the channels of a
// stereo file.
//
// A [Recorder] has an audio.Sink for each side, and [Recorder.More] where several speak on one. The clock of the media plane puts frames into a ring of [ringTime], and
// [Recorder.Run], the only one who touches the disk, takes them out. So a slow disk costs sound and never time: what does
// not fit any more is counted, and is silence in the file, at its place ([Gap]). Two sides stay together because each moment has
// one place in the ring; a side that was away for a while comes back at the place where the other is.
//
// The file is valid at any moment, and lags behind by less than a second (package wav says how); it is synced at the
// end, and every ten seconds by then. Silence before the first word and behind the last can be left out, and the
// recording ends by itself after silence, at its longest, or when the disk fails. What it is then is a [Result].
//
// Concurrency: each sink has one writer, everything else may be called from anywhere. The lock is held for the copying of
// a frame by a sink, and of a quarter of a second by Run.
//
// Limits: 64 KB for a stereo recording at 8,000 samples a second; [MaxLength].
package record
