package prompt

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/configs"
	"parley/internal/media/play"
	"parley/internal/media/wav"
	"parley/internal/voice"
)

func library(t testing.TB, dir string) *Library {
	t.Helper()
	l, err := New(dir, play.NewCache(1<<20, wav.DefaultLimits()))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Each line of the list has a file and each file a line, no larger together than what the program should carry.
func TestListAndFilesAgree(t *testing.T) {
	list, err := ParseList(configs.Prompts)
	if err != nil {
		t.Fatal(err)
	}
	var names, files []string
	for _, line := range list {
		names = append(names, line.Name)
	}
	size := int64(0)
	err = fs.WalkDir(builtIn, "en", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		files = append(files, strings.TrimSuffix(strings.TrimPrefix(path, "en/"), ".wav"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	slices.Sort(files)
	for _, n := range names {
		if _, ok := slices.BinarySearch(files, n); !ok {
			t.Errorf("%s is in configs/prompts/en.txt and has no sound; run go tool task prompts", n)
		}
	}
	for _, n := range files {
		if _, ok := slices.BinarySearch(names, n); !ok {
			t.Errorf("internal/media/prompt/en/%s.wav is not in configs/prompts/en.txt; run go tool task prompts", n)
		}
	}
	if size > 2_800_000 {
		t.Errorf("the prompts take %d bytes", size)
	}
}

// All built-in prompts are equally loud, clip nowhere, and begin and end with silence.
func TestSoundOfBuiltIn(t *testing.T) {
	l := library(t, "")
	prompts, err := l.List("acme", "en")
	if err != nil {
		t.Fatal(err)
	}
	if len(prompts) < 300 {
		t.Fatalf("there are %d prompts", len(prompts))
	}
	for _, p := range prompts {
		clip, err := l.Clip("acme", "en", p.Name)
		if err != nil {
			t.Fatal(err)
		}
		pcm := make([]int16, clip.Samples())
		clip.Copy(pcm, 0)
		want, within := -20.0, 1.0
		if p.Name == OnHold {
			want = -24
		}
		if level := dBov(pcm); math.Abs(level-want) > within && !(level < want && peak(pcm) > 27000) {
			t.Errorf("%s is at %.1f dBov, want %v", p.Name, level, want)
		}
		if peak(pcm) > 30500 {
			t.Errorf("%s peaks at %d", p.Name, peak(pcm))
		}
		if d := clip.Duration(); d < 100*time.Millisecond || d > 5*time.Second && p.Name != OnHold {
			t.Errorf("%s lasts %v", p.Name, d)
		}
		if p.Name != OnHold && (abs(pcm[0]) > 100 || abs(pcm[len(pcm)-1]) > 100) {
			t.Errorf("%s begins with %d and ends with %d", p.Name, pcm[0], pcm[len(pcm)-1])
		}
	}
}

// dBov is the level of the frames within 25 dB of the loudest.
func dBov(pcm []int16) float64 {
	var powers []float64
	for i := 0; i+160 <= len(pcm); i += 160 {
		p := 0.0
		for _, s := range pcm[i : i+160] {
			p += float64(s) * float64(s) / 160
		}
		powers = append(powers, p)
	}
	loudest, sum, n := slices.Max(powers), 0.0, 0.0
	for _, p := range powers {
		if p > loudest/316 {
			sum, n = sum+p, n+1
		}
	}
	return 10 * math.Log10(sum/n/(32768*32768))
}

func abs(s int16) int { return max(int(s), -int(s)) }

func peak(pcm []int16) int {
	p := 0
	for _, s := range pcm {
		p = max(p, abs(s))
	}
	return p
}

// The music goes from its end to its beginning as smoothly as it goes on anywhere else.
func TestMusicHasNoSeam(t *testing.T) {
	clip, err := library(t, "").Clip("acme", "en", OnHold)
	if err != nil {
		t.Fatal(err)
	}
	if clip.Duration() != time.Minute {
		t.Errorf("the music lasts %v", clip.Duration())
	}
	pcm := make([]int16, clip.Samples())
	clip.Copy(pcm, 0)
	largest := 0
	for i := 1; i < len(pcm); i++ {
		largest = max(largest, abs(pcm[i]-pcm[i-1]))
	}
	if seam := abs(pcm[0] - pcm[len(pcm)-1]); seam > largest/2 {
		t.Errorf("a step of %d at the seam, the largest elsewhere is %d", seam, largest)
	}
	second := func(at int) float64 { return dBov(pcm[at*8000 : (at+1)*8000]) }
	for at := range 60 {
		if level := second(at); level < -36 || level > -15 {
			t.Errorf("second %d is at %.1f dBov", at, level)
		}
	}
}

// ulaw is a file whose every sample has a value.
func ulaw(t *testing.T, path string, value byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte{value}, 800), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOrder goes from the last resort to the first.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	l := library(t, dir)
	hears := func(language string) int16 {
		t.Helper()
		clip, err := l.Clip("acme", language, "queue/next")
		if err != nil {
			t.Fatal(err)
		}
		if clip.Samples() != 800 {
			return -1 // built in
		}
		var s [1]int16
		clip.Copy(s[:], 0)
		return s[0]
	}
	if got := hears("en-GB"); got != -1 {
		t.Fatalf("without any file: %d", got)
	}
	ulaw(t, filepath.Join(dir, "acme", "en", "queue", "next.ulaw"), 0xFE)
	if got := hears("en_gb"); got != 8 {
		t.Errorf("with en: %d", got)
	}
	if got := hears("de-AT"); got != 8 {
		t.Errorf("in a language that nobody has: %d", got)
	}
	ulaw(t, filepath.Join(dir, "acme", "en-GB", "queue", "next.ulaw"), 0xFD)
	if got := hears("en-gb"); got != 16 {
		t.Errorf("with en-GB: %d", got)
	}
	if got := hears("en"); got != 8 {
		t.Errorf("en after en-GB came: %d", got)
	}
	if got := hears(""); got != 8 {
		t.Errorf("no language: %d", got)
	}
	if clip, err := l.Clip("other", "en-GB", "queue/next"); err != nil || clip.Samples() == 800 {
		t.Errorf("another tenant has this one's file: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "acme", "en-GB")); err != nil {
		t.Fatal(err)
	}
	if got := hears("en-GB"); got != 8 {
		t.Errorf("after en-GB went: %d", got)
	}
	bad := filepath.Join(dir, "acme", "en", "queue", "next.wav")
	if err := os.WriteFile(bad, []byte("no sound"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Clip("acme", "en", "queue/next"); !errors.Is(err, wav.ErrFormat) || !strings.Contains(err.Error(), bad) {
		t.Errorf("a file that is no sound: %v", err)
	}
}

func TestNamesStayInside(t *testing.T) {
	dir := t.TempDir()
	ulaw(t, filepath.Join(dir, "secret.ulaw"), 0xFE)
	l := library(t, filepath.Join(dir, "prompts"))
	ulaw(t, filepath.Join(dir, "prompts", "acme", "en", "x.ulaw"), 0xFE)
	for _, c := range [][3]string{
		{"acme", "en", "../../../secret"}, {"..", "en", "secret"}, {"acme/..", "..", "secret"}, {"acme", "en/../..", "secret"},
		{"acme", "..", "secret"}, {"acme", "en", "/secret"}, {"acme", "en", ""}, {"acme", "en", "a//b"}, {"acme", "en", "x\x00"},
		{"acme", "en", strings.Repeat("x", 300)}, {"acme", "en", "a/b/c/d/e"}, {"", "en", "x"},
	} {
		if _, err := l.Clip(c[0], c[1], c[2]); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("Clip(%q) = %v, want not found", c, err)
		}
	}
	if _, err := l.Clip("acme", "en", "x"); err != nil {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	ulaw(t, filepath.Join(dir, "acme", "en-GB", "welcome.ulaw"), 0xFE)
	ulaw(t, filepath.Join(dir, "acme", "en", "1234.ulaw"), 0xFE)
	ulaw(t, filepath.Join(dir, "acme", "en", "notes.txt"), 0xFE)
	ulaw(t, filepath.Join(dir, "acme", "de", "only_german.ulaw"), 0xFE)
	l := library(t, dir)
	prompts, err := l.List("acme", "en-GB")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Prompt{}
	for _, p := range prompts {
		got[p.Name] = p
		if _, err := l.Clip("acme", "en-GB", p.Name); err != nil {
			t.Errorf("%s is listed: %v", p.Name, err)
		}
	}
	want := map[string]Prompt{
		"welcome": {Name: "welcome", Language: "en-GB", Text: "Welcome.", File: filepath.Join(dir, "acme", "en-GB", "welcome.ulaw")},
		"1234":    {Name: "1234", Language: "en", File: filepath.Join(dir, "acme", "en", "1234.ulaw")},
		"goodbye": {Name: "goodbye", Language: "en", Text: "Goodbye."},
		"notes":   {}, "only_german": {},
	}
	for name, p := range want {
		if got[name] != p {
			t.Errorf("%s is %+v, want %+v", name, got[name], p)
		}
	}
}

// Many callers hear the same few prompts at once.
func TestAskedByMany(t *testing.T) {
	l := library(t, t.TempDir())
	first, err := l.Clip("acme", "en", "welcome")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if clip, err := l.Clip("other", "en-US", "welcome"); err != nil || clip != first {
				t.Errorf("another copy, %v", err)
			}
		})
	}
	wg.Wait()
}

func TestText(t *testing.T) {
	l := library(t, "")
	for text, want := range map[string]string{
		"Welcome. For an agent, press 1. To leave a message, press 2.": "welcome menu/agent key/press_1 menu/message key/press_2",
		"please HOLD":                 "please_hold",
		"You are number 3 in line!":   "queue/position number/3 queue/in_line",
		"Please wait, please wait...": "please_wait please_wait",
	} {
		names, err := l.Text(text)
		if got := strings.Join(names, " "); got != want || err != nil {
			t.Errorf("Text(%q) = %q, %v, want %q", text, got, err, want)
		}
		if _, err := l.Clips("acme", "en", names...); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{"Welcome to Wonderland", "", "...", strings.Repeat("welcome ", maxWords+1)} {
		if names, err := l.Text(text); err == nil {
			t.Errorf("Text(%.40q) = %v", text, names)
		}
	}
	if _, err := l.Text("Welcome to Wonderland"); !strings.Contains(err.Error(), "wonderland") {
		t.Errorf("the error does not say what is missing: %v", err)
	}
}

func TestParseList(t *testing.T) {
	for list, want := range map[string]string{
		"a = b\n\n# c\na = d": "line 4: a is in line 1 already", "a b": "line 1: want", "a/../b = c": "line 1: \"a/../b\" is no name", "a = ": "line 1: want",
	} {
		if _, err := ParseList(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseList(%q) = %v, want %q", list, err, want)
		}
	}
}
