package recording

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"parley/internal/httpapi/apitest"
	"parley/internal/media/audio"
	"parley/internal/media/wav"
	"parley/internal/obs"
	"parley/internal/voice"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" { // the process that is killed
		recordForEver(dir)
		return
	}
	goleak.VerifyTestMain(m, apitest.Clock())
}

const (
	frame   = 160
	patient = 20 * time.Second
)

// party is somebody in a call.
type party struct {
	mu    sync.Mutex
	sinks map[int]audio.Sink
	next  int
}

func (p *party) Listen(to audio.Sink) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sinks == nil {
		p.sinks = map[int]audio.Sink{}
	}
	id := p.next
	p.next++
	p.sinks[id] = to
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.sinks, id)
	}
}

// says gives the sinks of a party a frame.
func (p *party) says(pcm []int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sinks {
		_ = s.Write(pcm) // a recording that is over says so
	}
}

func (p *party) listeners() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sinks)
}

// scene is a store with a clock of its own, which parties that speak move.
type scene struct {
	*Recordings
	t    *testing.T
	reg  *prometheus.Registry
	done chan Ledger

	mu   sync.Mutex
	at   time.Time
	free int64
}

func start(t *testing.T, dir string, change func(*Config)) *scene {
	t.Helper()
	s := &scene{t: t, reg: prometheus.NewRegistry(), done: make(chan Ledger, 10), at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), free: 1 << 40}
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	var err error
	s.Recordings, err = New(Options{Node: "n1", Dir: dir, Config: cfg, Registry: s.reg, Health: obs.NewHealth(), Now: s.clock,
		Free: func(string) (int64, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.free, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *scene) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *scene) elapse(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = s.at.Add(d)
}

var uuid = strings.Repeat("0a", 16)

func (s *scene) begin(left, right *party) *Tape {
	s.t.Helper()
	tape, err := s.Begin(Call{Tenant: "demo", CallUUID: uuid, ThreadID: uuid, Reason: ByDN}, func(l Ledger) { s.done <- l })
	if err != nil {
		s.t.Fatal(err)
	}
	tape.Hear(Left, Party{"1001", left})
	if right != nil {
		tape.Hear(Right, Party{"1002", right})
	}
	return tape
}

// heard waits until the file is open, which a call does not.
func (s *scene) heard(parties ...*party) {
	s.t.Helper()
	until(s.t, "everybody is heard", func() bool {
		for _, p := range parties {
			if p.listeners() == 0 {
				return false
			}
		}
		return true
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !ok(); time.Sleep(time.Millisecond) { // between two looks
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", patient, what)
		}
	}
}

// talk has parties say something, each its tone, for so long, never faster than the disk of a busy machine takes it.
func (s *scene) talk(t *Tape, d time.Duration, tones map[*party]float64) {
	s.t.Helper()
	for at := time.Duration(0); at < d; at += audio.FrameTime {
		for p, hz := range tones {
			p.says(tone(hz, audio.FrameTime))
		}
		s.elapse(audio.FrameTime)
		if at%time.Second == 980*time.Millisecond {
			want := (t.Ledger().Duration - time.Second) * 32000 / time.Second
			until(s.t, "the disk has it", func() bool {
				info, err := os.Stat(t.path + soundEnding)
				return err == nil && info.Size() >= int64(want) || t.Ledger().State == StatePaused
			})
		}
	}
}

// end stops a tape and checks what can be checked of any.
func (s *scene) end(t *Tape) (Ledger, wav.File) {
	s.t.Helper()
	t.Stop()
	return s.ended()
}

func (s *scene) ended() (Ledger, wav.File) {
	s.t.Helper()
	var l Ledger
	select {
	case l = <-s.done:
	case <-time.After(patient):
		s.t.Fatal("the recording does not end")
	}
	b, err := os.ReadFile(filepath.Join(s.o.Dir, l.File))
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := wav.Parse(b)
	sum := sha256.Sum256(b)
	if err != nil || f.Cut || f.Channels != 2 || l.SHA256 != hex.EncodeToString(sum[:]) || l.Bytes != int64(len(b)) || l.Duration != f.Duration() || l.State != StateStopped {
		s.t.Errorf("ledger %+v of a file of %d bytes, %v, hash %x, cut %v: %v", l, len(b), f.Duration(), sum, f.Cut, err)
	}
	return l, f
}

func tone(hz float64, d time.Duration) []int16 {
	pcm := make([]int16, int(d)*audio.Narrow/int(time.Second))
	for i := range pcm {
		pcm[i] = int16(10000 * math.Sin(2*math.Pi*hz*float64(i)/audio.Narrow))
	}
	return pcm
}

// loud is how much of a tone is in a stretch of sound: 1 = all there is, for one that talk says.
func loud(pcm []int16, hz float64, from, to time.Duration) float64 {
	var re, im float64
	a, b := int(from)*audio.Narrow/int(time.Second), int(to)*audio.Narrow/int(time.Second)
	b = min(b, len(pcm))
	for i := a; i < b; i++ {
		re += float64(pcm[i]) * math.Cos(2*math.Pi*hz*float64(i)/audio.Narrow)
		im += float64(pcm[i]) * math.Sin(2*math.Pi*hz*float64(i)/audio.Narrow)
	}
	return 2 * math.Hypot(re, im) / float64(max(1, b-a)) / 10000
}

func expect(t *testing.T, what string, pcm []int16, hz float64, from, to time.Duration, want float64) {
	t.Helper()
	if got := loud(pcm, hz, from, to); math.Abs(got-want) > 0.05 {
		t.Errorf("%s: %v Hz from %v to %v is %.2f, want %v", what, hz, from, to, got, want)
	}
}

const sec = time.Second

// The two sides are beside each other, and a pause is what the setting says.
func TestPauses(t *testing.T) {
	for _, pauses := range []string{KeepPauses, LeaveOutPauses} {
		t.Run(pauses, func(t *testing.T) {
			s := start(t, t.TempDir(), func(c *Config) { c.Pauses = pauses })
			a, b := &party{}, &party{}
			tape := s.begin(a, b)
			s.heard(a, b)
			s.talk(tape, 2*sec, map[*party]float64{a: 400, b: 1000})
			if err := tape.Pause(); err != nil {
				t.Fatal(err)
			}
			if err := tape.Pause(); !errors.Is(err, voice.ErrConflict) {
				t.Errorf("a second pause: %v", err)
			}
			if l := tape.Ledger(); l.State != StatePaused || l.Duration != 2*sec || len(l.Pauses) != 1 || !l.Pauses[0].To.IsZero() {
				t.Errorf("ledger %+v, want one that is paused after two seconds", l)
			}
			s.talk(tape, sec, map[*party]float64{a: 600, b: 600})
			if err := tape.Resume(); err != nil {
				t.Fatal(err)
			}
			s.talk(tape, 2*sec, map[*party]float64{a: 800, b: 1400})
			l, f := s.end(tape)
			began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			if len(l.Pauses) != 1 || l.Pauses[0] != (voice.Span{From: began.Add(2 * sec), To: began.Add(3 * sec)}) || l.Gaps != nil || l.Error != "" {
				t.Errorf("ledger %+v, want a pause of a second after two, and no gap", l)
			}
			length, after := 5*sec, 3*sec
			if l.LeftOut {
				length, after = 4*sec, 2*sec
			}
			if l.LeftOut != (pauses == LeaveOutPauses) || l.Duration != length {
				t.Errorf("left out: %v, %v long, want %v", l.LeftOut, l.Duration, length)
			}
			sides := f.Split()
			expect(t, "left", sides[0], 400, 0, 2*sec, 1)
			expect(t, "left", sides[0], 1000, 0, 2*sec, 0)
			expect(t, "right", sides[1], 1000, 0, 2*sec, 1)
			expect(t, "left", sides[0], 800, after, length, 1)
			expect(t, "right", sides[1], 1400, after, length, 1)
			for i, side := range sides {
				expect(t, []string{"left", "right"}[i], side, 600, 0, length, 0) // what was said in the pause
			}
			if err := tape.Resume(); !errors.Is(err, voice.ErrConflict) {
				t.Errorf("Resume after the end: %v", err)
			}
			if a.listeners()+b.listeners() != 0 {
				t.Error("somebody is still listened to")
			}
			if _, err := os.Stat(tape.path + openEnding); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the ledger is still open: %v", err)
			}
		})
	}
}

// After a transfer another party is in the right channel, at the moment at which it came; while nobody is there, that is a gap.
func TestEndsAreReplaced(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	a, b, c := &party{}, &party{}, &party{}
	tape := s.begin(a, b)
	s.heard(a, b)
	s.talk(tape, sec, map[*party]float64{a: 400, b: 1000})
	tape.Hear(Right, Party{"1003", c})
	s.talk(tape, sec, map[*party]float64{a: 400, b: 1000, c: 1400})
	tape.Hear(Left)
	tape.Hear(Right)
	s.talk(tape, sec, map[*party]float64{a: 600, b: 600, c: 600})
	tape.Hear(Right, Party{"1003", c}, Party{"1002", b})
	s.talk(tape, sec, map[*party]float64{a: 600, b: 2200, c: 1800})
	if e, err := s.entry(tape.path); err != nil || !slices.Equal(e.Left, []string{"1001"}) || !slices.Equal(e.Right, []string{"1002", "1003"}) {
		t.Errorf("the ledger names %v and %v, %v", e.Left, e.Right, err)
	}
	l, f := s.end(tape)
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if len(l.Gaps) != 1 || l.Gaps[0] != (voice.Span{From: began.Add(2 * sec), To: began.Add(3 * sec)}) {
		t.Errorf("gaps %v, want the third second", l.Gaps)
	}
	if l.Duration != 3*sec {
		t.Errorf("it is %v long, want three seconds", l.Duration)
	}
	sides := f.Split()
	expect(t, "left", sides[0], 400, 0, 2*sec, 1)
	expect(t, "left", sides[0], 600, 2*sec, 3*sec, 0)
	expect(t, "right", sides[1], 1000, 0, sec, 1)
	expect(t, "right", sides[1], 1000, sec, 3*sec, 0)
	expect(t, "right", sides[1], 1400, sec, 2*sec, 1)
	expect(t, "right", sides[1], 1800, 2*sec, 3*sec, 1)
	expect(t, "right", sides[1], 2200, 2*sec, 3*sec, 1) // a conference: two at once
}

// A store that cannot be written costs the recording and nothing else, and everybody is told.
func TestDiskRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, nil)
	a := &party{}
	s.begin(a, nil)
	l := <-s.done
	if l.State != StateStopped || l.Error == "" || strings.Contains(l.Error, dir) || len(l.Gaps) != 1 || !l.Gaps[0].To.IsZero() {
		t.Errorf("ledger %+v, want one that says that nothing is recorded, and no path", l)
	}
	s.alarmed("not a directory", 1)
}

// alarmed checks health and metric.
func (s *scene) alarmed(why string, failed float64) {
	s.t.Helper()
	level, checks := s.o.Health.Report()
	if level != obs.LevelDegraded || !strings.Contains(checks[0].Reason, why) {
		s.t.Errorf("health %v: %+v, want degraded for %q", level, checks, why)
	}
	if got := float64(s.m.failed.Load()); got != failed {
		s.t.Errorf("sips_call_recording_failed is %v, want %v", got, failed)
	}
	if n, err := testutil.GatherAndCount(s.reg, "sips_call_recording_failed"); n != 1 || err != nil {
		s.t.Errorf("%d of sips_call_recording_failed: %v", n, err)
	}
}

// What is reserved on the disk stays free: what goes on ends with what it has, and nothing begins until there is room again.
func TestReserve(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.ReserveMB = 100 })
	a, b := &party{}, &party{}
	tape := s.begin(a, b)
	s.heard(a, b)
	s.talk(tape, sec, map[*party]float64{a: 400, b: 1000})
	s.set(99 << 20)
	s.look()
	l, f := s.ended()
	if !strings.Contains(l.Error, "99 MB left") || f.Duration() != sec || len(l.Gaps) != 1 || !l.Gaps[0].To.IsZero() {
		t.Errorf("ledger %+v, want a second and why there is no more", l)
	}
	if _, err := s.Begin(Call{Tenant: "demo", CallUUID: uuid}, func(Ledger) { t.Error("told of nothing") }); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("Begin on a full disk: %v", err)
	}
	s.alarmed("99 MB left", 2)
	s.set(100 << 20)
	s.look()
	s.elapse(2 * troubled)
	s.look()
	if level, checks := s.o.Health.Report(); level != obs.LevelPass {
		t.Errorf("health %v after that: %+v", level, checks)
	}
	s.end(s.begin(a, b))
}

func (s *scene) set(free int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = free
}

// Old recordings go, and the oldest of too many; conferences, strangers' files and what is recorded now stay.
func TestSweep(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.RetentionDays, c.QuotaMB = 10, 1 })
	keep := filepath.Join(s.o.Dir, "demo", "conference", "old.wav")
	stranger := filepath.Join(s.o.Dir, "demo", "2020-01-01", "notes.txt")
	for _, path := range []string{keep, stranger} {
		if err := errors.Join(makeFolder(filepath.Dir(path)), os.WriteFile(path, make([]byte, 4<<20), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	now := s.clock()
	had := func(age time.Duration, size int) string {
		id := newID(now.Add(-age), uuid)
		path := filepath.Join(s.o.Dir, inStore("demo", id))
		e := Entry{Of: Call{Tenant: "demo", CallUUID: uuid}, RecordingLedger: Ledger{ID: id, State: StateStopped}}
		if err := errors.Join(makeFolder(filepath.Dir(path)), e.write(path+doneEnding), os.WriteFile(path+soundEnding, make([]byte, size), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const day = 24 * time.Hour
	old, first, second, last := had(11*day, 10), had(3*day, 600<<10), had(2*day, 600<<10), had(day, 300<<10)
	a := &party{}
	tape := s.begin(a, nil)
	s.heard(a)
	s.sweep(t.Context())
	for path, want := range map[string]bool{old: false, first: false, second: true, last: true, tape.path: true} {
		_, err := os.Stat(path + soundEnding)
		if there := err == nil; there != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(path), there, want)
		}
	}
	for _, path := range []string{keep, stranger} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if got := s.m.stored.Load(); got < 900<<10 || got > 905<<10 {
		t.Errorf("%d bytes are stored, want those of two, their ledgers and a beginning", got)
	}
	s.end(tape)
}

// No more than so many at once, and none after Close; what goes on then is on disk.
func TestLimits(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.MaxTapes = 2 })
	a := &party{}
	one, two := s.begin(a, nil), s.begin(a, nil)
	if one.entry.ID == two.entry.ID {
		t.Error("two recordings of a call in one millisecond have one name")
	}
	if _, err := s.Begin(Call{Tenant: "demo", CallUUID: uuid}, nil); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("a third: %v", err)
	}
	for range maxPauses {
		if err := errors.Join(one.Pause(), one.Resume()); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Pause(); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("one more pause than there may be: %v", err)
	}
	s.Close()
	for range 2 {
		s.ended()
	}
	if _, err := s.Begin(Call{Tenant: "demo", CallUUID: uuid}, nil); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Begin after Close: %v", err)
	}
	if _, err := start(t, "", nil).Begin(Call{Tenant: "demo", CallUUID: uuid}, nil); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Begin without a store: %v", err)
	}
}

func TestConfig(t *testing.T) {
	if errs := DefaultConfig().Check(); errs != nil {
		t.Error(errs)
	}
	bad := Config{Encoding: "mp3", Pauses: "no", Warning: "shout", WarningEvery: time.Second, RetentionDays: -1, QuotaMB: -1, ReserveMB: -1, MaxTapes: -1}
	if errs := bad.Check(); len(errs) != 8 {
		t.Errorf("%d complaints about %+v: %v", len(errs), bad, errs)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

// BenchmarkFrame: what a recorded call costs the clock of the media plane, a frame of each side.
func BenchmarkFrame(b *testing.B) {
	r, err := New(Options{Node: "n1", Dir: b.TempDir(), Config: DefaultConfig(), Registry: prometheus.NewRegistry(), Health: obs.NewHealth()})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	left, right := &party{}, &party{}
	tape, err := r.Begin(Call{Tenant: "demo", CallUUID: uuid}, func(Ledger) {})
	if err != nil {
		b.Fatal(err)
	}
	tape.Hear(Left, Party{"1001", left})
	tape.Hear(Right, Party{"1002", right})
	for left.listeners() == 0 || right.listeners() == 0 {
		time.Sleep(time.Millisecond) // until the file is open
	}
	pcm := tone(440, audio.FrameTime)
	b.ReportAllocs()
	for b.Loop() {
		left.says(pcm)
		right.says(pcm)
	}
	b.ReportMetric(float64(audio.FrameTime)/(float64(b.Elapsed())/float64(b.N)), "recordings/core")
}
