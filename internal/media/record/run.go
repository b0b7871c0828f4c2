package record

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"
)

// Result is a recording that is over.
type Result struct {
	Path     string
	Duration time.Duration
	Bytes    int64  // of the file
	SHA256   string // of the file, in hex
	Reason   Reason
	Spoken   bool          // somebody said something
	Lost     time.Duration // of sound, of both sides, that came faster than the disk took it; silence stands in its place
	Gaps     []Gap         // where in the file that is, in their order
	Err      error         // of the disk; the file holds what it took
}

// Gap is silence in a file that stands for sound which was lost, of one side or of both.
type Gap struct{ From, To time.Duration }

// Run writes to the disk until the recording ends; when ctx does, that is a stop. Call it once.
func (r *Recorder) Run(ctx context.Context) Result {
	defer context.AfterFunc(ctx, r.Stop)()
	buf := make([]int16, 0, int(r.moments(wakeTime))*r.channels)
	var failed error
	for over := false; !over; {
		<-r.wake
		for failed == nil {
			var more bool
			if buf, more, over = r.take(buf[:0]); !more {
				break
			}
			failed = r.file.Write(buf)
		}
		if failed != nil {
			r.fail()
			over = true
		}
	}
	return r.finish(failed)
}

// fail ends the recording because of the disk, unless it has ended already.
func (r *Recorder) fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(DiskError)
}

// take appends what can be written now to buf, up to its capacity, and frees its place. There is more while it says so; over
// says that nothing will come any more.
func (r *Recorder) take(buf []int16) (_ []int16, more, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := int64(r.channels)
	size := int64(len(r.ring)) / c
	until := r.ready()
	if r.start < 0 || r.taken < r.start { // silence that is left out
		r.discard(until)
	}
	n := min(until-r.taken, int64(cap(buf))/c)
	if r.start < 0 || n <= 0 {
		return buf, false, r.reason != ""
	}
	for n > 0 { // twice where the ring ends
		first := r.taken % size
		part := min(n, size-first)
		cells := r.ring[first*c : (first+part)*c]
		buf = append(buf, cells...)
		clear(cells)
		r.taken += part
		n -= part
	}
	return buf, true, false
}

// ready is the moment up to which nothing can change any more: all sides were there, or some will not come.
func (r *Recorder) ready() int64 {
	now := r.now()
	if r.reason != "" {
		return now
	}
	all := now
	for _, s := range r.sides {
		all = min(all, s.at)
	}
	return max(all, now-r.moments(patience))
}

// discard drops what is before the first speech, but for a margin.
func (r *Recorder) discard(until int64) {
	to := until - r.moments(margin)
	if r.start >= 0 {
		to = r.start
	}
	c := int64(r.channels)
	size := int64(len(r.ring)) / c
	for ; r.taken < to; r.taken++ {
		m := r.taken % size
		clear(r.ring[m*c : (m+1)*c])
	}
}

// finish closes the file and looks at what it is.
func (r *Recorder) finish(failed error) Result {
	r.mu.Lock()
	keep := int64(-1)
	if r.cfg.Trim {
		keep = max(0, r.lastVoice+r.moments(margin)-max(0, r.start))
	}
	res := Result{Path: r.cfg.Path, Reason: r.reason, Spoken: r.lastVoice > 0, Lost: r.time(r.lost), Gaps: r.gaps}
	r.mu.Unlock()

	err := r.file.Close(keep)
	if failed == nil {
		failed = err
	}
	res.Duration = r.time(r.file.Samples())
	if res.Bytes, res.SHA256, err = digest(r.cfg.Path); failed == nil {
		failed = err
	}
	if failed != nil {
		res.Reason, res.Err = DiskError, fmt.Errorf("record %s: %w", r.cfg.Path, failed)
	}
	return res
}

func digest(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
