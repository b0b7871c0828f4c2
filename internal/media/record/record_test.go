package record

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
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/media/audio"
	"parley/internal/media/wav"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" { // the process that is killed
		recordForEver(path)
		return
	}
	goleak.VerifyTestMain(m)
}

const frame = 160

// recording is a recorder that runs.
type recording struct {
	*Recorder
	t    testing.TB
	done chan Result
}

func begin(t testing.TB, cfg Config) *recording {
	t.Helper()
	cfg.Path = filepath.Join(t.TempDir(), "a.wav")
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recording{Recorder: r, t: t, done: make(chan Result, 1)}
	go func() { rec.done <- r.Run(context.Background()) }()
	return rec
}

// both puts what two people say into a recording, frame by frame, as the clock does, and never faster than Run takes it.
func (r *recording) both(left, right []int16) {
	r.t.Helper()
	for i := 0; i < max(len(left), len(right)); i += frame {
		for s, pcm := range [][]int16{left, right} {
			if i < len(pcm) {
				if err := r.sides[s].Write(pcm[i:min(i+frame, len(pcm))]); err != nil && !errors.Is(err, ErrEnded) {
					r.t.Fatal(err)
				}
			}
		}
		r.settled()
	}
}

// settled waits until half of the ring is free.
func (r *recording) settled() {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		r.mu.Lock()
		waiting, over := r.now()-r.taken, r.reason != ""
		r.mu.Unlock()
		if over || waiting < r.moments(ringTime)/2 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d moments wait to be written", waiting)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

// result waits for the end, and checks what can be checked of any recording.
func (r *recording) result() (Result, wav.File) {
	r.t.Helper()
	var res Result
	select {
	case res = <-r.done:
	case <-time.After(20 * time.Second):
		r.t.Fatal("it does not end")
	}
	b, err := os.ReadFile(res.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := wav.Parse(b)
	if err != nil || f.Cut {
		r.t.Fatalf("the file is cut (%v) or bad: %v", f.Cut, err)
	}
	sum := sha256.Sum256(b)
	if res.SHA256 != hex.EncodeToString(sum[:]) || res.Bytes != int64(len(b)) || res.Duration != f.Duration() {
		r.t.Errorf("result %+v, but the file has %d bytes, %v and hash %x", res, len(b), f.Duration(), sum)
	}
	return res, f
}

func tone(hz float64, d time.Duration) []int16 {
	pcm := make([]int16, int(d)*audio.Narrow/int(time.Second))
	for i := range pcm {
		pcm[i] = int16(10000 * math.Sin(2*math.Pi*hz*float64(i)/audio.Narrow))
	}
	return pcm
}

func silence(d time.Duration) []int16 { return make([]int16, int(d)*audio.Narrow/int(time.Second)) }

func same(t *testing.T, what string, got, want []int16) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d samples, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: sample %d is %d, want %d", what, i, got[i], want[i])
		}
	}
}

func TestMono(t *testing.T) {
	r := begin(t, Config{})
	said := tone(440, 3210*time.Millisecond)
	r.both(said, nil)
	if r.Duration() != 3210*time.Millisecond {
		t.Errorf("it lasts %v by now", r.Duration())
	}
	r.Stop()
	res, f := r.result()
	same(t, "the file", f.Mono(audio.Narrow), said)
	if res.Reason != Stopped || res.Lost != 0 || !res.Spoken {
		t.Errorf("result %+v", res)
	}
	if err := r.Left().Write(said[:frame]); !errors.Is(err, ErrEnded) {
		t.Errorf("Write after the end = %v", err)
	}
}

func TestStereoAndMixed(t *testing.T) {
	left, right := tone(440, 2*time.Second), tone(1000, 2*time.Second)
	r := begin(t, Config{Layout: Stereo})
	r.both(left, right)
	r.Stop()
	_, f := r.result()
	sides := f.Split()
	same(t, "left", sides[0], left)
	same(t, "right", sides[1], right)

	r = begin(t, Config{Layout: Mixed})
	r.both(left, right)
	r.Stop()
	_, f = r.result()
	sum := make([]int16, len(left))
	for i := range sum {
		sum[i] = left[i] + right[i]
	}
	same(t, "mixed", f.Mono(audio.Narrow), sum)
}

// One side comes later, is away for a while, and goes earlier; what both say at one moment stays at one moment.
func TestSidesStayTogether(t *testing.T) {
	for _, layout := range []Layout{Stereo, Mixed} {
		r := begin(t, Config{Layout: layout})
		left, right := tone(440, 4*time.Second), tone(1000, 4*time.Second)
		present := func(i int) bool {
			at := time.Duration(i) * time.Second / audio.Narrow
			return at >= 700*time.Millisecond && at < 1500*time.Millisecond || at >= 2100*time.Millisecond && at < 3*time.Second
		}
		for i := 0; i < len(left); i += frame {
			r.both(left[i:i+frame], nil)
			if present(i) {
				r.both(nil, right[i:i+frame])
			} else {
				clear(right[i : i+frame])
			}
		}
		r.Stop()
		_, f := r.result()
		if layout == Stereo {
			sides := f.Split()
			same(t, "left", sides[0], left)
			same(t, "right", sides[1], right)
			continue
		}
		for i := range left {
			left[i] += right[i]
		}
		same(t, "mixed", f.Mono(audio.Narrow), left)
	}
}

func TestTrim(t *testing.T) {
	r := begin(t, Config{Trim: true})
	said := tone(440, time.Second)
	r.both(silence(5*time.Second), nil)
	r.both(said, nil)
	r.both(silence(time.Second), nil)
	r.both(said, nil)
	r.both(silence(4*time.Second), nil)
	r.Stop()
	res, f := r.result()
	want := append(append(append(append(silence(margin), said...), silence(time.Second)...), said...), silence(margin)...)
	same(t, "the file", f.Mono(audio.Narrow), want)
	if res.Duration != 3*time.Second+2*margin {
		t.Errorf("it lasts %v", res.Duration)
	}
}

func TestNobodySpeaks(t *testing.T) {
	r := begin(t, Config{Trim: true, StartSilence: 3 * time.Second})
	click := silence(5 * time.Second)
	click[8000] = 30000
	r.both(click, nil)
	if res, f := r.result(); res.Reason != Silence || res.Spoken || f.Samples() != 0 {
		t.Errorf("result %+v with %d samples", res, f.Samples())
	}
}

func TestEndsAfterSilence(t *testing.T) {
	r := begin(t, Config{EndSilence: 2 * time.Second, StartSilence: 10 * time.Second})
	r.both(silence(3*time.Second), nil)
	r.both(tone(440, time.Second), nil)
	r.both(silence(10*time.Second), nil)
	if res, _ := r.result(); res.Reason != Silence || res.Duration != 6*time.Second {
		t.Errorf("result %+v, want an end after 6 s", res)
	}
}

func TestLongest(t *testing.T) {
	for _, trim := range []bool{false, true} {
		r := begin(t, Config{Longest: 1234 * time.Millisecond, Trim: trim, Encoding: wav.ULaw})
		r.both(tone(440, 3*time.Second), nil)
		if res, f := r.result(); res.Reason != Longest || res.Duration != 1234*time.Millisecond || f.Encoding != wav.ULaw {
			t.Errorf("trim %v: result %+v", trim, res)
		}
	}
	r := begin(t, Config{Longest: time.Second, Trim: true})
	r.both(silence(2*time.Second), nil)
	if res, _ := r.result(); res.Reason != Longest || res.Duration != 0 {
		t.Errorf("silence only: %+v", res)
	}
}

func TestPause(t *testing.T) {
	r := begin(t, Config{Layout: Stereo})
	a, b := tone(440, time.Second), tone(1000, time.Second)
	r.both(a, b)
	r.Pause()
	r.both(b, a)
	r.Resume()
	r.both(b, a)
	r.Stop()
	_, f := r.result()
	sides := f.Split()
	same(t, "left", sides[0], append(append([]int16{}, a...), b...))
	same(t, "right", sides[1], append(append([]int16{}, b...), a...))
}

// Several on one side are added up, also one who comes later and goes earlier.
func TestMore(t *testing.T) {
	r := begin(t, Config{Layout: Stereo})
	left, right, third := tone(440, 3*time.Second), tone(1000, 3*time.Second), tone(1700, 3*time.Second)
	more := r.More(1)
	for i := 0; i < len(left); i += frame {
		r.both(left[i:i+frame], right[i:i+frame])
		if i < 8000 || i >= 16000 {
			clear(third[i : i+frame])
		} else if err := more.Write(third[i : i+frame]); err != nil {
			t.Fatal(err)
		}
	}
	r.Stop()
	_, f := r.result()
	for i := range right {
		right[i] += third[i]
	}
	sides := f.Split()
	same(t, "left", sides[0], left)
	same(t, "right", sides[1], right)
	for range MaxSides - 3 {
		if r.More(0) == nil {
			t.Fatal("too few sides")
		}
	}
	if r.More(0) != nil {
		t.Error("one side more than there may be")
	}
}

// With KeepPauses a pause is silence of its length, and what comes after it is where it belongs.
func TestKeepPauses(t *testing.T) {
	r := begin(t, Config{Layout: Stereo, KeepPauses: true})
	a, b := tone(440, time.Second), tone(1000, time.Second)
	r.both(a, b)
	r.Pause()
	r.both(b, a)
	r.Resume()
	r.both(b, a)
	r.Stop()
	res, f := r.result()
	sides, quiet := f.Split(), silence(time.Second)
	same(t, "left", sides[0], slices.Concat(a, quiet, b))
	same(t, "right", sides[1], slices.Concat(b, quiet, a))
	if res.Lost != 0 || res.Gaps != nil {
		t.Errorf("result %+v, want nothing lost by a pause", res)
	}
}

// What the disk does not take in time is silence at its place, and counted; what follows is where it belongs.
func TestSlowDisk(t *testing.T) {
	r, err := New(Config{Path: filepath.Join(t.TempDir(), "a.wav")})
	if err != nil {
		t.Fatal(err)
	}
	said := tone(440, 3*time.Second) // a second more than there is room for, and nobody takes it out
	for i := 0; i < len(said); i += frame {
		if err := r.Left().Write(said[i : i+frame]); err != nil {
			t.Fatal(err)
		}
	}
	rec := &recording{Recorder: r, t: t, done: make(chan Result, 1)}
	go func() { rec.done <- r.Run(context.Background()) }()
	rec.settled()
	rec.both(said, nil)
	r.Stop()
	res, f := rec.result()
	if res.Lost != time.Second || res.Duration != 6*time.Second {
		t.Errorf("result %+v, want one second lost of six", res)
	}
	if want := []Gap{{2 * time.Second, 3 * time.Second}}; !slices.Equal(res.Gaps, want) {
		t.Errorf("gaps %v, want %v", res.Gaps, want)
	}
	want := append(append(append([]int16{}, said[:16000]...), silence(time.Second)...), said...)
	same(t, "the file", f.Mono(audio.Narrow), want)
}

func TestContextEnds(t *testing.T) {
	r, err := New(Config{Path: filepath.Join(t.TempDir(), "a.wav")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if res := r.Run(ctx); res.Reason != Stopped || res.Err != nil || res.Duration != 0 {
		t.Errorf("result %+v", res)
	}
}

// A disk that is full: /dev/full takes the open and refuses every write, so the file cannot even begin; a limit of the
// process on the size of files fails later.
func TestDiskErrors(t *testing.T) {
	if _, err := New(Config{Path: "/dev/full"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("New on a full disk = %v", err)
	}
	if _, err := New(Config{Path: filepath.Join(t.TempDir(), "none", "a.wav")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("New in a directory that is not there = %v", err)
	}
	if _, err := New(Config{Path: filepath.Join(t.TempDir(), "a.wav"), Longest: MaxLength + 1}); err == nil || !strings.Contains(err.Error(), "12h") {
		t.Errorf("New with too long a length = %v", err)
	}

	r := begin(t, Config{})
	if err := r.file.Close(-1); err != nil { // the disk is gone
		t.Fatal(err)
	}
	for range 1000 {
		if err := r.Left().Write(tone(440, time.Second)); err != nil {
			break
		}
		r.settled()
	}
	res := <-r.done
	if res.Reason != DiskError || !errors.Is(res.Err, os.ErrClosed) || !strings.Contains(res.Err.Error(), res.Path) {
		t.Errorf("result %+v", res)
	}
	if err := r.Left().Write(make([]int16, frame)); !errors.Is(err, ErrEnded) {
		t.Errorf("Write after that = %v", err)
	}
}

// Two sides are written from two goroutines, and everything else happens meanwhile.
func TestConcurrent(t *testing.T) {
	r := begin(t, Config{Layout: Stereo, Trim: true})
	said := tone(440, time.Second)
	var wg sync.WaitGroup
	for s := range 2 {
		wg.Go(func() {
			for i := range 500 {
				if r.sides[s].Write(said[i%50*frame:(i%50+1)*frame]) != nil {
					return
				}
				switch i % 100 {
				case 30:
					r.Pause()
				case 33:
					r.Resume()
				case 50:
					r.Duration()
				}
			}
		})
	}
	wg.Wait()
	r.Stop()
	r.result()
}

// BenchmarkStereo: two sides of a frame each, and what Run does with them but for the disk.
func BenchmarkStereo(b *testing.B) {
	r, err := New(Config{Path: filepath.Join(b.TempDir(), "a.wav"), Layout: Stereo})
	if err != nil {
		b.Fatal(err)
	}
	defer r.file.Close(0)
	said, buf := tone(440, time.Second), make([]int16, 0, 4000)
	b.ReportAllocs()
	for b.Loop() {
		for s := range 2 {
			if err := r.sides[s].Write(said[:frame]); err != nil {
				b.Fatal(err)
			}
		}
		r.take(buf)
	}
	if r.lost > 0 {
		b.Fatalf("%d samples were lost", r.lost)
	}
	b.ReportMetric(float64(audio.FrameTime)/(float64(b.Elapsed())/float64(b.N)), "recordings/core")
}
