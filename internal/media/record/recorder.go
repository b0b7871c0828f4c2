package record

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/wav"
)

// Layout is what becomes of the two sides.
type Layout int

// The layouts. In Mono there is a left side only.
const (
	Mono   Layout = iota
	Mixed         // one channel
	Stereo        // the left side in the first channel, the right one in the second
)

// Config is what is recorded, and for how long.
type Config struct {
	Path     string
	Encoding wav.Encoding // 0 is PCM; ULaw and ALaw take half of that
	Rate     int          // 0 is audio.Narrow
	Layout   Layout

	Longest      time.Duration // 0 is MaxLength
	StartSilence time.Duration // ends when nobody has said anything for so long; 0 is never
	EndSilence   time.Duration // ends when nobody has said anything more for so long; 0 is never
	Trim         bool          // silence at the beginning and at the end is left out
	Threshold    float64       // what is speech, in dBov; 0 is -45
	KeepPauses   bool          // a pause is silence of its length; otherwise it is left out
}

// MaxLength is how long a recording may be.
const MaxLength = 12 * time.Hour

const (
	ringTime  = 2 * time.Second        // what the disk may be late by
	wakeTime  = 250 * time.Millisecond // of sound that waits before Run is woken
	patience  = 40 * time.Millisecond  // how far a side may be behind the other without having missed something
	margin    = 200 * time.Millisecond // of silence that stays around speech
	syncEvery = 10 * time.Second

	defaultThreshold = -45.0 // dBov
	voicedFrames     = 2     // in a row are speech; one is a click
	maxGaps          = 64    // that are told apart; what is lost after them makes the last one longer
)

// Reason is why a recording ended.
type Reason string

// The reasons.
const (
	Stopped   Reason = "stopped"
	Longest   Reason = "max_length"
	Silence   Reason = "silence"
	DiskError Reason = "disk_error"
)

// ErrEnded is what a sink says when the recording is over.
var ErrEnded = errors.New("the recording has ended")

// Recorder records one file.
type Recorder struct {
	cfg      Config
	channels int
	longest  int64   // in moments: samples of each channel
	loud     float64 // mean square above which a frame is speech
	file     *wav.Writer
	wake     chan struct{} // of Run; holds one

	mu        sync.Mutex
	sides     []*side // those of Left and Right, and more of either
	ring      []int16 // moment m is at m modulo its length; all that is not filled is 0
	taken     int64   // moments that Run has taken out
	start     int64   // moment with which the file begins; -1 while silence is left out
	lastVoice int64   // moment behind the last speech; 0 is none
	lost      int64   // samples for which there was no room
	gaps      []Gap   // where these would have been
	paused    bool
	reason    Reason // "" while it goes on
}

// side is one of the two sinks.
type side struct {
	r       *Recorder
	channel int
	at      int64 // moment that its next sample belongs to
	voiced  int   // frames in a row
}

// New creates the file. Nothing is recorded before Run.
func New(cfg Config) (*Recorder, error) {
	cfg.Encoding = cmp.Or(cfg.Encoding, wav.PCM)
	cfg.Rate = cmp.Or(cfg.Rate, audio.Narrow)
	cfg.Longest = cmp.Or(cfg.Longest, MaxLength)
	cfg.Threshold = cmp.Or(cfg.Threshold, defaultThreshold)
	if cfg.Longest < 0 || cfg.Longest > MaxLength {
		return nil, fmt.Errorf("record %s: a length of %v, want up to %v", cfg.Path, cfg.Longest, MaxLength)
	}
	r := &Recorder{cfg: cfg, channels: 1, wake: make(chan struct{}, 1)}
	if cfg.Layout == Stereo {
		r.channels = 2
	}
	file, err := wav.Create(cfg.Path, wav.Format{Encoding: cfg.Encoding, Rate: cfg.Rate, Channels: r.channels, SyncEvery: syncEvery})
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r.file = file
	r.longest = r.moments(cfg.Longest)
	r.loud = 32768 * 32768 * math.Pow(10, cfg.Threshold/10)
	r.ring = make([]int16, int(r.moments(ringTime))*r.channels)
	if cfg.Trim {
		r.start = -1
	}
	for i := range 2 {
		r.sides = append(r.sides, &side{r: r, channel: i % r.channels})
	}
	return r, nil
}

func (r *Recorder) moments(d time.Duration) int64 {
	return int64(d) * int64(r.cfg.Rate) / int64(time.Second)
}

func (r *Recorder) time(moments int64) time.Duration {
	return time.Duration(moments) * time.Second / time.Duration(r.cfg.Rate)
}

// Left is the sink of the one side, and of all there is in [Mono].
func (r *Recorder) Left() audio.Sink { return r.sides[0] }

// Right is the sink of the other side.
func (r *Recorder) Right() audio.Sink { return r.sides[1] }

// MaxSides is how many sides a recording may have.
const MaxSides = 64

// More is a further sink of a side, 0 for the left and 1 for the right one: what several say at one moment is added up. It is
// nil when there are too many; those that are not written to any more do no harm and may be given to somebody else.
func (r *Recorder) More(of int) audio.Sink {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sides) == MaxSides {
		return nil
	}
	s := &side{r: r, channel: of % r.channels}
	r.sides = append(r.sides, s)
	return s
}

// Pause leaves out what comes until Resume, for both sides; with [Config.KeepPauses] its time stays.
func (r *Recorder) Pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = true
	now := r.now()
	for _, s := range r.sides {
		s.at = now
	}
}

// Resume goes on where Pause was called.
func (r *Recorder) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = false
}

// Stop ends the recording; Run returns when all is on disk.
func (r *Recorder) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(Stopped)
}

// Duration is how long the file is by now.
func (r *Recorder) Duration() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.start < 0 {
		return 0
	}
	return r.time(r.now() - r.start)
}

// now is the moment up to which something was written by any side.
func (r *Recorder) now() int64 {
	now := int64(0)
	for _, s := range r.sides {
		now = max(now, s.at)
	}
	return now
}

func (r *Recorder) endLocked(why Reason) {
	if r.reason == "" {
		r.reason = why
		r.wakeLocked()
	}
}

func (r *Recorder) wakeLocked() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Rate implements [audio.Sink].
func (s *side) Rate() int { return s.r.cfg.Rate }

// Write implements [audio.Sink].
func (s *side) Write(src []int16) error {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason != "" {
		return ErrEnded
	}
	if r.paused && !r.cfg.KeepPauses {
		return nil
	}
	if now := r.now(); s.at+r.moments(patience) < now {
		s.at = max(r.taken, now-min(int64(len(src)), r.moments(patience))) // it missed something, and is in time again
	}
	if !r.paused {
		s.listen(src)
	}
	if r.start >= 0 {
		src = src[:max(0, min(int64(len(src)), r.start+r.longest-s.at))]
	}
	if r.paused {
		s.at += int64(len(src)) // what is not filled is silence
	} else {
		s.put(src)
	}
	r.judge()
	if r.reason == "" && r.now()-r.taken >= r.moments(wakeTime) {
		r.wakeLocked()
	}
	return nil
}

// listen notices speech.
func (s *side) listen(src []int16) {
	power := int64(0)
	for _, v := range src {
		power += int64(v) * int64(v)
	}
	if len(src) == 0 || float64(power)/float64(len(src)) < s.r.loud {
		s.voiced = 0
		return
	}
	if s.voiced++; s.voiced < voicedFrames {
		return
	}
	r := s.r
	r.lastVoice = max(r.lastVoice, s.at+int64(len(src)))
	if r.start < 0 {
		r.start = max(r.taken, s.at-int64(len(src))-r.moments(margin))
	}
}

// put stores samples at their moments. Where the ring is full they are lost, and the moment stays silent.
func (s *side) put(src []int16) {
	r, c := s.r, int64(s.r.channels)
	size := int64(len(r.ring)) / c
	room := max(0, min(int64(len(src)), r.taken+size-s.at))
	skip := max(0, min(room, r.taken-s.at)) // Run did not wait for this side any longer
	cell := (s.at + skip) % size * c
	for i := skip; i < room; i++ {
		at := &r.ring[cell+int64(s.channel)]
		*at = int16(max(math.MinInt16, min(math.MaxInt16, int32(*at)+int32(src[i])))) // the sum, where a channel has several sides
		if cell += c; cell == int64(len(r.ring)) {
			cell = 0
		}
	}
	r.miss(s.at, skip)
	r.miss(s.at+room, int64(len(src))-room)
	s.at += int64(len(src))
}

// miss notes that n samples of a side, from moment at on, have no place.
func (r *Recorder) miss(at, n int64) {
	if n <= 0 {
		return
	}
	r.lost += n
	from, to := r.time(at-max(0, r.start)), r.time(at-max(0, r.start)+n)
	if last := len(r.gaps) - 1; last >= 0 && (from <= r.gaps[last].To+patience || len(r.gaps) == maxGaps) {
		r.gaps[last].To = max(r.gaps[last].To, to)
		return
	}
	r.gaps = append(r.gaps, Gap{From: from, To: to})
}

// judge ends the recording when it is time.
func (r *Recorder) judge() {
	now := r.now()
	switch {
	case r.start >= 0 && now-r.start >= r.longest, r.start < 0 && now >= r.longest:
		r.endLocked(Longest)
	case r.lastVoice == 0 && r.cfg.StartSilence > 0 && now >= r.moments(r.cfg.StartSilence),
		r.lastVoice > 0 && r.cfg.EndSilence > 0 && now-r.lastVoice >= r.moments(r.cfg.EndSilence):
		r.endLocked(Silence)
	}
}
