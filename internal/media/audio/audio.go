// Package audio is linear sound: what a player gives, a recorder takes and a mixer adds up. Samples are signed 16 bits,
// one channel, at 8,000 a second ([Narrow], what G.711 carries) or 16,000 ([Wide], G.722). Sound moves in frames of
// [FrameTime], because that is how phones send it.
//
// A [Source] is pulled and a [Sink] is pushed by the clock of the media plane, which serves all streams of a node one
// after the other: neither may wait for anything, a file or a lock that is held for long included.
//
// Between rates there is [Resampler], and for the loudness of sound [Level], [Scale] and [Add], which cut what is too loud
// and never let it wrap.
//
// Not here: how sound is coded (package codec), where it comes from and goes to.
package audio

import "time"

// Samples a second.
const (
	Narrow = 8000
	Wide   = 16000
)

// FrameTime is the time that one frame lasts.
const FrameTime = 20 * time.Millisecond

// Frame is the number of samples in a frame.
func Frame(rate int) int { return rate / int(time.Second/FrameTime) }

// Source gives sound. Its methods are called by one goroutine at a time.
type Source interface {
	// Rate is [Narrow] or [Wide], and does not change.
	Rate() int
	// Read fills dst and returns how many samples it wrote: fewer than len(dst) only together with an error, which is
	// io.EOF at the regular end. It does not wait: a source that has nothing to say gives silence.
	Read(dst []int16) (int, error)
}

// Sink takes sound. Its methods are called by one goroutine at a time.
type Sink interface {
	// Rate is [Narrow] or [Wide], and does not change.
	Rate() int
	// Write takes all of src, which belongs to the caller again when it returns. It does not wait. After an error it
	// is not called any more.
	Write(src []int16) error
}
