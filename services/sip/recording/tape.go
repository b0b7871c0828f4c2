package recording

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/record"
	"parley/internal/voice"
)

// Voice is what a tape wants of the audio of a party; the leg of a call is one.
type Voice interface {
	// Listen has a sink take what the party says, until stop.
	Listen(to audio.Sink) (stop func())
}

// Channel is one of the two of a file.
type Channel int

// The channels.
const (
	Left  Channel = iota // who called
	Right                // who is talked to
)

// The states that a ledger tells.
const (
	StateRecording = "Recording"
	StatePaused    = "Paused"
	StateStopped   = "Stopped"
)

// Why a call is recorded.
const (
	ByDN      = "dn"
	ByTrunk   = "trunk"
	ByRequest = "request"
)

// maxPauses is how many a recording may have, since each is in every event about it.
const maxPauses = 200

// Call is what is recorded.
type Call struct {
	Tenant   string `json:"tenant"`
	CallUUID string `json:"call_uuid"`
	ThreadID string `json:"thread_id"`
	ConnID   string `json:"conn_id"`
	Caller   string `json:"caller"`          // its number, in the left channel
	Called   string `json:"called"`          // the right channel at the beginning
	Trunk    string `json:"trunk,omitempty"` // that the call came or went by
	Asked    string `json:"asked,omitempty"` // by whom, where it was a request
	Reason   string `json:"-"`               // ByDN, ByTrunk or ByRequest; the ledger says it
}

// Tape is a recording under way.
type Tape struct {
	r     *Recordings
	path  string              // without its ending
	done  func(ledger Ledger) // told once, when nothing is written any more
	wrote chan struct{}       // holds one: there is something new to write into the ledger's file

	mu     sync.Mutex
	entry  Entry
	rec    *record.Recorder // nil until the file is open, and when it cannot be
	voices [2]Voice
	stops  [2]func() // end the listening
	over   bool      // no more is wanted
	why    string    // it ended before its time; "" = it did not
}

// Ledger is short for the one of the events.
type Ledger = voice.RecordingLedger

// Hear has a channel hear another voice from now on, nil for nobody.
func (t *Tape) Hear(ch Channel, v Voice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.voices[ch] == v || t.over {
		return
	}
	t.voices[ch] = v
	t.listenLocked(ch)
	t.gapLocked()
}

// listenLocked connects a channel with its voice. The voice before may still write the frame at hand; the recorder
// takes it for the same moment.
func (t *Tape) listenLocked(ch Channel) {
	if stop := t.stops[ch]; stop != nil {
		stop()
		t.stops[ch] = nil
	}
	if t.rec == nil || t.voices[ch] == nil {
		return
	}
	sink := t.rec.Left()
	if ch == Right {
		sink = t.rec.Right()
	}
	t.stops[ch] = t.voices[ch].Listen(sink)
}

// gapLocked notes whether anybody is heard.
func (t *Tape) gapLocked() {
	deaf := t.voices[Left] == nil && t.voices[Right] == nil
	gaps := t.entry.Gaps
	open := len(gaps) > 0 && gaps[len(gaps)-1].To.IsZero()
	switch {
	case deaf && !open && len(gaps) < maxPauses:
		t.entry.Gaps = append(gaps, voice.Span{From: t.r.now()})
	case !deaf && open:
		t.entry.Gaps[len(gaps)-1].To = t.r.now()
	}
}

// Pause has the recording leave out what is said until Resume. It tells whether it goes on, and was not paused already.
func (t *Tape) Pause() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
		return voice.Errorf(voice.ErrConflict, "the recording has ended")
	case t.entry.State == StatePaused:
		return voice.Errorf(voice.ErrConflict, "the recording is paused already")
	case len(t.entry.Pauses) == maxPauses:
		return voice.Errorf(voice.ErrOverloaded, "the recording has been paused %d times, which is the most", maxPauses)
	}
	t.entry.State = StatePaused
	t.entry.Pauses = append(t.entry.Pauses, voice.Span{From: t.r.now()})
	if t.rec != nil {
		t.rec.Pause()
	}
	t.tellDisk()
	return nil
}

// Resume goes on.
func (t *Tape) Resume() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
		return voice.Errorf(voice.ErrConflict, "the recording has ended")
	case t.entry.State != StatePaused:
		return voice.Errorf(voice.ErrConflict, "the recording is not paused")
	}
	t.entry.State = StateRecording
	t.entry.Pauses[len(t.entry.Pauses)-1].To = t.r.now()
	if t.rec != nil {
		t.rec.Resume()
	}
	t.tellDisk()
	return nil
}

// Stop ends the recording. The ledger is complete when done is told.
func (t *Tape) Stop() { t.end("") }

// end is a stop for a reason: "" for one that was asked for.
func (t *Tape) end(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.why = why
	t.endLocked()
	if t.rec != nil {
		t.rec.Stop()
	}
}

// endLocked lets go of the voices and closes what is open in the ledger.
func (t *Tape) endLocked() {
	if t.over {
		return
	}
	t.over = true
	for ch, stop := range t.stops {
		if stop != nil {
			stop()
		}
		t.voices[ch], t.stops[ch] = nil, nil
	}
	now := t.r.now()
	for _, spans := range [][]voice.Span{t.entry.Pauses, t.entry.Gaps} {
		if n := len(spans); n > 0 && spans[n-1].To.IsZero() {
			spans[n-1].To = now
		}
	}
	t.tellDisk()
}

// Ledger is the ledger as it is now.
func (t *Tape) Ledger() Ledger {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.copyLocked().RecordingLedger
}

func (t *Tape) copyLocked() Entry {
	e := t.entry
	e.Pauses, e.Gaps = slices.Clone(e.Pauses), slices.Clone(e.Gaps)
	if t.rec != nil && e.State != StateStopped {
		e.Duration = t.rec.Duration()
	}
	return e
}

func (t *Tape) tellDisk() {
	select {
	case t.wrote <- struct{}{}:
	default: // it is told already
	}
}

// run makes the files, has them written, and completes them.
func (t *Tape) run(ctx context.Context) {
	rec, err := t.open()
	if err != nil {
		t.finish(record.Result{Reason: record.DiskError, Err: err})
		return
	}
	results := make(chan record.Result, 1)
	go func() { results <- rec.Run(ctx) }()
	for {
		select {
		case <-t.wrote:
			t.mu.Lock()
			e := t.copyLocked()
			t.mu.Unlock()
			if err := e.write(t.path + openEnding); err != nil {
				t.end(err.Error())
			}
		case res := <-results:
			t.finish(res)
			return
		}
	}
}

// open begins the two files; from then on the voices are heard.
func (t *Tape) open() (*record.Recorder, error) {
	t.mu.Lock()
	e := t.copyLocked()
	t.mu.Unlock()
	if err := makeFolder(filepath.Dir(t.path)); err != nil {
		return nil, err
	}
	if err := e.write(t.path + openEnding); err != nil {
		return nil, err
	}
	rec, err := record.New(record.Config{Path: t.path + soundEnding, Layout: record.Stereo, Encoding: encodings[t.r.o.Config.Encoding],
		KeepPauses: t.r.o.Config.Pauses == KeepPauses})
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec = rec
	switch {
	case t.over:
		rec.Stop()
	case t.entry.State == StatePaused:
		rec.Pause()
	}
	for ch := range t.voices {
		t.listenLocked(Channel(ch))
	}
	return rec, nil
}

// finish completes the ledger and tells it.
func (t *Tape) finish(res record.Result) {
	t.mu.Lock()
	t.endLocked()
	e := &t.entry
	e.Duration, e.Bytes, e.SHA256 = res.Duration, res.Bytes, res.SHA256
	switch {
	case res.Err != nil:
		e.Error = sentence(res.Err)
		e.Gaps = append(e.Gaps, voice.Span{From: t.r.now()}) // until the call ends
	case t.why != "":
		e.Error = t.why
		e.Gaps = append(e.Gaps, voice.Span{From: t.r.now()})
	case res.Reason == record.Longest:
		e.Error = fmt.Sprintf("it ended after %v, which is the longest", res.Duration)
	case res.Lost > 0:
		e.Error = fmt.Sprintf("%v of sound came faster than the disk took it; they are silence in the file", res.Lost)
	}
	for _, g := range res.Gaps {
		e.Gaps = append(e.Gaps, voice.Span{From: e.wall(g.From), To: e.wall(g.To)})
	}
	slices.SortStableFunc(e.Gaps, func(a, b voice.Span) int { return a.From.Compare(b.From) })
	e.State = StateStopped
	whole := t.copyLocked()
	t.mu.Unlock()
	if err := whole.close(t.path); err != nil && whole.Error == "" {
		whole.Error = sentence(err)
	}
	t.r.ended(t, &whole)
	t.done(whole.RecordingLedger)
}

// wall is the time at which a place of the file was said.
func (e *Entry) wall(at time.Duration) time.Time {
	when := e.Start.Add(at)
	cuts := slices.Clone(e.Gaps)
	if e.LeftOut {
		cuts = append(cuts, e.Pauses...)
	}
	slices.SortFunc(cuts, func(a, b voice.Span) int { return a.From.Compare(b.From) })
	for _, c := range cuts {
		if !c.From.After(when) && !c.To.IsZero() {
			when = when.Add(c.To.Sub(c.From))
		}
	}
	return when
}

// sentence is an error without the folders of this machine.
func sentence(err error) string { return cmp.Or(withoutPath(err), "the disk failed") }

// log says how a recording ended.
func (r *Recordings) logEnd(e *Entry) {
	attrs := []slog.Attr{slog.String("tenant", e.Of.Tenant), slog.String("call", e.Of.CallUUID), slog.String("id", e.ID), slog.Duration("duration", e.Duration),
		slog.Int64("bytes", e.Bytes), slog.String("sha256", e.SHA256)}
	if e.Error != "" {
		r.o.Log.LogAttrs(context.Background(), slog.LevelError, "a recording is not whole", append(attrs, slog.String("err", e.Error))...)
		return
	}
	r.o.Log.LogAttrs(context.Background(), slog.LevelInfo, "recorded", attrs...)
}
