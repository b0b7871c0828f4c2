package sip

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	sound "parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/media/record"
	"parley/internal/media/wav"
	"parley/internal/voice"
	"parley/services/sip/treatment"
)

// announcements are what users recorded (RecordUserAnnouncement): <dir>/<tenant>/<user>/<number>.wav. They are on the node
// that recorded them.
type announcements struct {
	dir   string // "" = nothing can be recorded
	cache *play.Cache

	tapes sync.WaitGroup // recordings under way

	mu   sync.Mutex      // guards busy
	busy map[string]bool // files being recorded
}

// Limits of what a user may record; how long a recording may be is said by the package treatment.
const (
	maxAnnouncements = 100      // of a user
	announcementRAM  = 16 << 20 // bytes of those that were heard lately
)

func newAnnouncements(dir string) *announcements {
	return &announcements{dir: dir, cache: play.NewCache(announcementRAM, wav.DefaultLimits()), busy: map[string]bool{}}
}

// plainName is a name that may be that of a file as it is.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9@._-]{0,63}$`)

// fileName makes any name one of a file; two names never become one, since a plain name has no %.
func fileName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	if len(name) > 64 { // its hexadecimal would be too long for a file system
		return fmt.Sprintf("%%%%%x", sha256.Sum256([]byte(name)))
	}
	return fmt.Sprintf("%%%x", name)
}

func (a *announcements) folder(tenant, user string) string {
	return filepath.Join(a.dir, fileName(tenant), fileName(user))
}

// clip is a recording to be heard.
func (a *announcements) clip(tenant, user, id string) (*play.Clip, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > maxAnnouncements {
		return nil, voice.Errorf(voice.ErrNotFound, "USER_ANN_ID %.32q is not a number from 1 to %d", id, maxAnnouncements)
	}
	path := a.path(tenant, user, n)
	a.mu.Lock()
	busy := a.busy[path]
	a.mu.Unlock()
	if a.dir != "" && !busy {
		clip, err := a.cache.Load(path, sound.Narrow)
		if !errors.Is(err, fs.ErrNotExist) {
			return clip, err
		}
	}
	return nil, voice.Errorf(voice.ErrNotFound, "user %.64q has recorded no announcement %d here", user, n)
}

func (a *announcements) path(tenant, user string, n int) string {
	return filepath.Join(a.folder(tenant, user), strconv.Itoa(n)+".wav")
}

// room tells why a user may record nothing more; nil = he may.
func (a *announcements) room(tenant, user string) error {
	_, _, err := a.free(tenant, user)
	return err
}

// free finds the first number that no announcement has.
func (a *announcements) free(tenant, user string) (n int, path string, err error) {
	if a.dir == "" {
		return 0, "", voice.Errorf(voice.ErrUnavailable, "this node has no directory for announcements")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for n = 1; n <= maxAnnouncements; n++ {
		path = a.path(tenant, user, n)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !a.busy[path] {
			return n, path, nil
		}
	}
	return 0, "", voice.Errorf(voice.ErrOverloaded, "user %.64q has %d announcements, which is the most; delete one", user, maxAnnouncements)
}

// tape is a recording under way.
type tape struct {
	id   string
	sink sound.Sink
	stop func(keep bool) // ends it; done is told later. Only the first call counts
}

// record begins to record. done is told from another goroutine how long it became and whether it was kept, when the file is
// complete or gone: one in which nobody began to speak in time is not kept.
func (a *announcements) record(ctx context.Context, tenant string, r *treatment.Recording, done func(length time.Duration, kept bool, err error)) (*tape, error) {
	n, path, err := a.free(tenant, r.User)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("announcement of %s: %w", r.User, err)
	}
	a.mu.Lock()
	if a.busy[path] {
		a.mu.Unlock()
		return nil, voice.Errorf(voice.ErrConflict, "somebody else records for %.64q at this moment", r.User)
	}
	a.busy[path] = true
	a.mu.Unlock()
	free := func() {
		a.mu.Lock()
		delete(a.busy, path)
		a.mu.Unlock()
	}
	rec, err := record.New(record.Config{Path: path, Encoding: wav.ULaw, Longest: r.Total, StartSilence: r.Start, Trim: true})
	if err != nil {
		free()
		return nil, fmt.Errorf("announcement of %s: %w", r.User, err)
	}
	var once sync.Once
	drop := false // read when Run has returned, which is after stop
	t := &tape{id: strconv.Itoa(n), sink: rec.Left(), stop: func(keep bool) {
		once.Do(func() {
			a.mu.Lock()
			drop = !keep
			a.mu.Unlock()
			rec.Stop()
		})
	}}
	a.tapes.Go(func() { // ends with ctx, and with the longest time of the recording
		res := rec.Run(ctx)
		a.mu.Lock()
		kept := !drop && res.Spoken && res.Err == nil && res.Reason != record.Silence
		a.mu.Unlock()
		if !kept {
			_ = os.Remove(path) // one that stays is found and can be heard
		}
		free()
		done(res.Duration, kept, res.Err)
	})
	return t, nil
}
