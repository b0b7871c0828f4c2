package recording

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/internal/media/wav"
	"parley/internal/voice"
)

const (
	lookEvery  = 2 * time.Second // at what is free on the disk
	sweepEvery = time.Minute
)

// stored is a recording as it lies in the store.
type stored struct {
	path  string // without its ending
	begun time.Time
	bytes int64
	open  bool
}

func (s *stored) id() string { return filepath.Base(s.path) }

// look sees what is free on the disk. With less than the reserve nothing begins, and what goes on ends: the disk is for the
// calls themselves, and what they cost, first.
func (r *Recordings) look() {
	free, err := r.o.Free(r.o.Dir)
	reserve := int64(r.o.Config.ReserveMB) << 20
	if err != nil || free >= reserve {
		r.full.Store(nil) // where nobody can tell, the recordings themselves will
		r.tellHealth()
		return
	}
	why := fmt.Sprintf("the disk of the recordings has %d MB left, and %d MB are reserved (calls.recording.reserve_mb)", free>>20, r.o.Config.ReserveMB)
	r.full.Store(&why)
	r.tellHealth()
	for _, t := range r.all() {
		t.end(why)
	}
}

// walk finds the recordings of all tenants; do may delete the one it gets.
func (r *Recordings) walk(ctx context.Context, do func(*stored)) error {
	tenants, err := folders(r.o.Dir)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		dates, err := folders(filepath.Join(r.o.Dir, tenant))
		if err != nil {
			return err
		}
		for _, date := range dates {
			if _, err := time.Parse(dateForm, date); err != nil {
				continue // conferences have a folder of their own
			}
			if err := walkDate(ctx, filepath.Join(r.o.Dir, tenant, date), do); err != nil {
				return err
			}
		}
	}
	return nil
}

// walkDate finds the recordings of a folder.
func walkDate(ctx context.Context, dir string, do func(*stored)) error {
	files, err := os.ReadDir(dir) // by name, so that those of one recording follow each other
	if err != nil {
		return err
	}
	var at *stored
	for _, f := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		id, ending, _ := strings.Cut(f.Name(), ".")
		begun, ok := begun(id)
		info, err := f.Info()
		if !ok || err != nil { // none of ours, or gone by now
			continue
		}
		if at == nil || at.id() != id {
			if at != nil {
				do(at)
			}
			at = &stored{path: filepath.Join(dir, id), begun: begun}
		}
		at.bytes += info.Size()
		at.open = at.open || "."+ending == openEnding
	}
	if at != nil {
		do(at)
	}
	return nil
}

// folders are the names of those in dir; a store in which nothing was recorded has none.
func folders(dir string) ([]string, error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, f := range all {
		if f.IsDir() {
			names = append(names, f.Name())
		}
	}
	return names, err
}

// recover completes what is open and that no tape writes: the process that did was killed.
func (r *Recordings) recover(ctx context.Context) {
	err := r.walk(ctx, func(s *stored) {
		if !s.open || r.running(s.id()) != nil {
			return
		}
		if err := r.complete(s.path); err != nil {
			r.o.Log.Error("a recording that was cut off cannot be completed", "path", s.path, "err", err)
		}
	})
	if err != nil && ctx.Err() == nil {
		r.o.Log.Error("recordings that were cut off are looked for", "err", err)
	}
}

// complete mends the file and closes the ledger of a recording that was cut off.
func (r *Recordings) complete(path string) error {
	if _, err := os.Stat(path + doneEnding); err == nil { // killed between the last two steps
		if err := os.Remove(path + openEnding); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil // it ended while we looked
	}
	e, err := readEntry(path)
	if err != nil {
		return err
	}
	const cut = "the node ended while it recorded"
	e.State, e.Error = StateStopped, cut
	length, err := wav.Mend(path + soundEnding)
	if err != nil {
		e.Error = cut + ": " + sentence(err)
	}
	e.Duration = length
	if e.Bytes, e.SHA256, err = digest(path + soundEnding); err != nil {
		e.Error = cut + ": " + sentence(err)
	}
	last := e.wall(length)
	for _, spans := range [][]voice.Span{e.Pauses, e.Gaps} {
		if n := len(spans); n > 0 && spans[n-1].To.IsZero() {
			last = later(last, spans[n-1].From)
			spans[n-1].To = last
		}
	}
	e.Gaps = append(e.Gaps, voice.Span{From: last}) // nobody knows how long the call went on
	if err := e.close(path); err != nil {
		return err
	}
	r.m.failed.Add(1)
	r.logEnd(e)
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
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

// sweep deletes what is too old, and the oldest of what is too much.
func (r *Recordings) sweep(ctx context.Context) {
	var kept []stored
	total := int64(0)
	oldest := time.Time{}
	if days := r.o.Config.RetentionDays; days > 0 {
		oldest = r.now().AddDate(0, 0, -days)
	}
	err := r.walk(ctx, func(s *stored) {
		if s.begun.Before(oldest) && r.running(s.id()) == nil {
			r.remove(s.path, "age")
			return
		}
		total += s.bytes
		if r.o.Config.QuotaMB > 0 {
			kept = append(kept, *s)
		}
	})
	if err != nil {
		if ctx.Err() == nil {
			r.o.Log.Error("the store of recordings cannot be tidied", "err", err)
		}
		return // what was not seen must not make something else the oldest
	}
	quota := int64(r.o.Config.QuotaMB) << 20
	slices.SortFunc(kept, func(a, b stored) int { return a.begun.Compare(b.begun) })
	for i := 0; quota > 0 && total > quota && i < len(kept); i++ {
		if r.running(kept[i].id()) == nil && r.remove(kept[i].path, "quota") {
			total -= kept[i].bytes
		}
	}
	r.m.stored.Store(total)
	r.tellHealth()
}

// remove deletes a recording, its ledger last, so that one that was half deleted is found again.
func (r *Recordings) remove(path, why string) bool {
	for _, ending := range []string{soundEnding, openEnding, doneEnding} {
		if err := os.Remove(path + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.o.Log.Error("a recording cannot be deleted", "path", path, "err", err)
			return false
		}
	}
	_ = os.Remove(filepath.Dir(path)) // where that was the last of its day; others keep it
	r.m.deleted.WithLabelValues(why).Inc()
	return true
}
