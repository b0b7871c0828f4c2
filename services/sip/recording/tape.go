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

// Party is somebody who is heard.
type Party struct {
	DN    string // or number, for those beyond a trunk
	Voice Voice
}

// maxParties is how many of a channel the ledger names.
const maxParties = 50

// Call is what is recorded.
type Call struct {
	Tenant   string `json:"tenant"`
	CallUUID string `json:"call_uuid"`
	ThreadID string `json:"thread_id"`
	ConnID   string `json:"conn_id"`
	Asked    string `json:"asked,omitempty"` // by whom, where it was a request
	Reason   string `json:"-"`               // ByDN, ByTrunk or ByRequest; the ledger says it
}

// Tape is a recording under way.
type Tape struct {
	r     *Recordings
	path  string              // without its ending
	done  func(ledger Ledger) // told once, when nothing is written any more
	wrote chan struct{}       // holds one: there is something new to write into the ledger's file

	mu    sync.Mutex
	entry Entry
	rec   *record.Recorder // nil until the file is open, and when it cannot be
	heard [2][]*hearing
	spare [2][]audio.Sink // of those who are not heard any more
	over  bool            // no more is wanted
	why   string          // it ended before its time; "" = it did not
}

// Ledger is short for the one of the events.
type Ledger = voice.RecordingLedger

// hearing is a party that is heard. Until the file is open it has no sink.
type hearing struct {
	Party
	sink audio.Sink
	stop func()
}

// Hear has a channel hear these from now on, and nobody else.
func (t *Tape) Hear(ch Channel, parties ...Party) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.heard[ch] = slices.DeleteFunc(t.heard[ch], func(h *hearing) bool {
		stays := slices.ContainsFunc(parties, func(p Party) bool { return p.Voice == h.Voice })
		if !stays {
			t.deafLocked(ch, h)
		}
		return !stays
	})
	for _, p := range parties {
		if !slices.ContainsFunc(t.heard[ch], func(h *hearing) bool { return h.Voice == p.Voice }) {
			h := &hearing{Party: p}
			t.heard[ch] = append(t.heard[ch], h)
			t.listenLocked(ch, h)
			t.nameLocked(ch, p.DN)
		}
	}
	t.gapLocked()
}

// nameLocked puts a party into the ledger.
func (t *Tape) nameLocked(ch Channel, dn string) {
	names := &t.entry.Left
	if ch == Right {
		names = &t.entry.Right
	}
	if !slices.Contains(*names, dn) && len(*names) < maxParties {
		*names = append(slices.Clip(*names), dn)
		t.tellDisk()
	}
}

// listenLocked has a party heard.
func (t *Tape) listenLocked(ch Channel, h *hearing) {
	if t.rec == nil || h.stop != nil {
		return
	}
	if n := len(t.spare[ch]); n > 0 {
		h.sink, t.spare[ch] = t.spare[ch][n-1], t.spare[ch][:n-1]
	} else if h.sink = t.rec.More(int(ch)); h.sink == nil {
		return // more than anybody would understand
	}
	h.stop = h.Voice.Listen(h.sink)
}

// deafLocked ends that. A frame at hand may still be written; for the recorder it belongs to that moment.
func (t *Tape) deafLocked(ch Channel, h *hearing) {
	if h.stop != nil {
		h.stop()
		t.spare[ch] = append(t.spare[ch], h.sink)
	}
}

// gapLocked notes whether anybody is heard.
func (t *Tape) gapLocked() {
	deaf := len(t.heard[Left])+len(t.heard[Right]) == 0
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
	for ch, all := range t.heard {
		for _, h := range all {
			t.deafLocked(Channel(ch), h)
		}
		t.heard[ch] = nil
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
	t.spare = [2][]audio.Sink{{rec.Left()}, {rec.Right()}}
	for ch, all := range t.heard {
		for _, h := range all {
			t.listenLocked(Channel(ch), h)
		}
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
