package sip

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sound "parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/voice"
	"parley/services/sip/treatment"
)

// speakInto records a beep for a user, and returns when its file is complete or gone.
func speakInto(t *testing.T, a *announcements, user string, keep bool) (id string, kept bool) {
	t.Helper()
	type end struct {
		kept bool
		err  error
	}
	ended := make(chan end, 1)
	tape, err := a.record(t.Context(), "demo", &treatment.Recording{User: user, Total: time.Minute}, func(_ time.Duration, kept bool, err error) { ended <- end{kept, err} })
	if err != nil {
		t.Fatal(err)
	}
	beep := play.New(play.Beep(sound.Narrow, time.Second))
	frame := make([]int16, sound.Frame(sound.Narrow))
	for range 50 {
		if _, err := beep.Read(frame); err != nil {
			t.Fatal(err)
		}
		if err := tape.sink.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.clip("demo", user, tape.id); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("a recording can be heard before it is complete: %v", err)
	}
	tape.stop(keep)
	tape.stop(!keep) // the first call counts
	select {
	case e := <-ended:
		if e.err != nil {
			t.Fatal(e.err)
		}
		return tape.id, e.kept
	case <-time.After(10 * time.Second):
		t.Fatal("the recording does not end")
	}
	return "", false
}

func TestAnnouncements(t *testing.T) {
	a := newAnnouncements(t.TempDir())
	defer a.tapes.Wait()
	for i, c := range []struct {
		keep bool
		id   string
	}{{true, "1"}, {false, "2"}, {true, "2"}} {
		if id, kept := speakInto(t, a, "anna", c.keep); id != c.id || kept != c.keep {
			t.Errorf("recording %d is %s, kept: %v", i, id, kept)
		}
	}
	clip, err := a.clip("demo", "anna", "2")
	if err != nil || clip.Duration() < 500*time.Millisecond {
		t.Errorf("%v, %v", clip, err)
	}
	for _, id := range []string{"3", "0", "x", "../1", "101"} {
		if _, err := a.clip("demo", "anna", id); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("announcement %q: %v", id, err)
		}
	}
	for n := 3; n <= maxAnnouncements; n++ {
		if err := os.WriteFile(a.path("demo", "anna", n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.room("demo", "anna"); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("one more than there may be: %v", err)
	}
	if err := newAnnouncements("").room("demo", "anna"); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("without a directory: %v", err)
	}
}

// Whatever a user is called, his files are in a folder of his own under that of the tenant.
func TestAnnouncementsStayInTheirFolder(t *testing.T) {
	dir := t.TempDir()
	a := newAnnouncements(dir)
	seen := map[string]string{}
	for _, user := range []string{"anna", "anna@demo.local", "..", ".", "../x", "a/b", "a\x00b", "%2e2e", "ü", strings.Repeat("x", 100), "Anna"} {
		path := a.path("demo", user, 1)
		rel, err := filepath.Rel(filepath.Join(dir, "demo"), path)
		if err != nil || filepath.Dir(filepath.Dir(rel)) != "." || strings.HasPrefix(rel, ".") {
			t.Errorf("user %q has %s", user, path)
		}
		if other, taken := seen[path]; taken {
			t.Errorf("users %q and %q share %s", user, other, path)
		}
		seen[path] = user
	}
}
