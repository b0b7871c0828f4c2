// Package play gives sound that exists already: clips, one after the other or round and round, louder or softer, paused
// and taken up again.
//
// A [Clip] is immutable and shared: five hundred callers who hear the same music have a place in it each, and one copy
// among them. Clips of µ-law stay as they are, in the program's own image if they are part of it, and are expanded
// frame by frame while they are played. Whatever comes from a file is read before it is played: a [Cache] loads it, keeps
// it within a limit of bytes, and reads it again when the file has changed. Nothing is read from a disk in
// [Player.Read].
//
// A [Player] is an audio.Source. What interrupts it (barge-in, a pause, a jump, another volume) is a ramp of some
// milliseconds rather than a click.
//
// Concurrency: a Player is read by the clock of the media plane and told what to do by anybody; its lock is held for the
// copying of one frame. A Cache may be used by many at once; one that wants what another is loading waits for it.
package play
