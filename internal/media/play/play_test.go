package play

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/wav"
)

// ramped is a clip in which each sample says where it is.
func ramped(from, samples int) *Clip {
	pcm := make([]int16, samples)
	for i := range pcm {
		pcm[i] = int16(from + i)
	}
	return NewClip(audio.Narrow, pcm)
}

// readAll reads frames until the end.
func readAll(t *testing.T, p *Player) []int16 {
	t.Helper()
	var all []int16
	frame := make([]int16, audio.Frame(p.Rate()))
	for range 100000 {
		n, err := p.Read(frame)
		all = append(all, frame[:n]...)
		if err == io.EOF {
			return all
		}
		if err != nil || n != len(frame) {
			t.Fatalf("Read = %d, %v", n, err)
		}
	}
	t.Fatal("no end")
	return nil
}

func read(t *testing.T, p *Player) []int16 {
	t.Helper()
	frame := make([]int16, audio.Frame(p.Rate()))
	if n, err := p.Read(frame); n != len(frame) || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	return frame
}

func TestSequence(t *testing.T) {
	p := New(ramped(1, 100), Silence(audio.Narrow, 10*time.Millisecond), ramped(101, 333))
	if p.Duration() != 513*time.Second/8000 {
		t.Errorf("lasts %v", p.Duration())
	}
	got := readAll(t, p)
	if len(got) != 513 {
		t.Fatalf("%d samples, want 513", len(got))
	}
	for i, s := range got {
		want := int16(i + 1)
		if i >= 100 {
			want = 0
		}
		if i >= 180 {
			want = int16(i - 180 + 101)
		}
		if s != want {
			t.Fatalf("sample %d is %d, want %d", i, s, want)
		}
	}
	if n, err := p.Read(make([]int16, 160)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	if p.Stopped() {
		t.Error("it says that it was stopped")
	}
}

func TestNothingToPlay(t *testing.T) {
	for _, p := range []*Player{New(), New().Loop(Forever), New(Silence(audio.Narrow, 0)).Loop(3)} {
		if got := readAll(t, p); len(got) != 0 {
			t.Errorf("%d samples of nothing", len(got))
		}
	}
}

func TestLoop(t *testing.T) {
	got := readAll(t, New(ramped(1, 100), ramped(101, 57)).Loop(3))
	if len(got) != 3*157 {
		t.Fatalf("%d samples, want 3 times 157", len(got))
	}
	for i, s := range got {
		if s != int16(i%157+1) {
			t.Fatalf("sample %d is %d, want %d", i, s, i%157+1)
		}
	}
	forever := New(ramped(1, 7)).Loop(Forever)
	for i := range 100 {
		for j, s := range read(t, forever) {
			if want := int16((i*160+j)%7 + 1); s != want {
				t.Fatalf("sample %d is %d, want %d", i*160+j, s, want)
			}
		}
	}
}

// steady is a clip of one value, in which a click is a step.
func steady() *Clip {
	pcm := make([]int16, 80000)
	for i := range pcm {
		pcm[i] = 10000
	}
	return NewClip(audio.Narrow, pcm)
}

// smooth fails when two neighbours differ by more than a ramp allows.
func smooth(t *testing.T, what string, pcm []int16) {
	t.Helper()
	for i := 1; i < len(pcm); i++ {
		if d := math.Abs(float64(pcm[i]) - float64(pcm[i-1])); d > 10000./80+1 {
			t.Fatalf("%s: a step of %v at %d", what, d, i)
		}
	}
}

func TestStopIsSoft(t *testing.T) {
	p := New(steady()).Loop(Forever)
	heard := read(t, p)
	p.Stop()
	heard = append(heard, readAll(t, p)...)
	smooth(t, "stop", heard)
	if len(heard) != 160+80 {
		t.Errorf("it went on for %d samples, want 80", len(heard)-160)
	}
	if !p.Stopped() {
		t.Error("it does not say that it was stopped")
	}
}

func TestPauseAndResume(t *testing.T) {
	p := New(steady())
	heard := read(t, p)
	p.Pause()
	heard = append(heard, read(t, p)...)
	if heard[len(heard)-1] != 0 {
		t.Errorf("after a frame of pause there is %d", heard[len(heard)-1])
	}
	at := p.Position()
	for range 50 {
		heard = append(heard, read(t, p)...)
	}
	if p.Position() != at {
		t.Errorf("a pause moves from %v to %v", at, p.Position())
	}
	p.Resume()
	heard = append(heard, read(t, p)...)
	smooth(t, "pause", heard)
	if heard[len(heard)-1] != 10000 {
		t.Errorf("after resume there is %d", heard[len(heard)-1])
	}
	p.Pause()
	p.Stop() // a paused player stops, too
	if rest := readAll(t, p); len(rest) > 160 {
		t.Errorf("%d samples after stop", len(rest))
	}
}

func TestVolume(t *testing.T) {
	p := New(steady())
	p.SetVolume(-20)
	if got := read(t, p)[0]; got != 1000 {
		t.Errorf("-20 dB of 10,000 is %d", got)
	}
	p.SetVolume(6.0206)
	heard := append(read(t, p), read(t, p)...)
	smooth(t, "volume", heard)
	if last := heard[len(heard)-1]; last < 19990 || last > 20010 {
		t.Errorf("+6 dB of 10,000 is %d", last)
	}
	p.SetVolume(100)
	if heard = append(read(t, p), read(t, p)...); heard[len(heard)-1] != math.MaxInt16 {
		t.Errorf("too loud is %d, want the loudest there is", heard[len(heard)-1])
	}
	p.SetVolume(MinVolume)
	for range 4 {
		heard = read(t, p)
	}
	if heard[159] != 0 {
		t.Errorf("the lowest volume is %d", heard[159])
	}
}

func TestSeek(t *testing.T) {
	p := New(ramped(1, 4000), ramped(4001, 4000))
	p.Seek(750 * time.Millisecond)
	if got := read(t, p)[0]; got != 6001 {
		t.Errorf("begins with %d, want 6001", got)
	}
	if p.Position() != 770*time.Millisecond {
		t.Errorf("is at %v", p.Position())
	}
	p.Skip(-500 * time.Millisecond)
	if p.Position() != 270*time.Millisecond {
		t.Errorf("a jump back leads to %v", p.Position())
	}
	read(t, p) // 10 ms of fading out, 10 ms of fading in
	if got := read(t, p)[0]; got != 270*8+80+1 {
		t.Errorf("goes on with %d, want %d", got, 270*8+80+1)
	}
	p.Seek(-time.Second)
	read(t, p)
	if got := p.Position(); got != 10*time.Millisecond {
		t.Errorf("the beginning is %v", got)
	}
	p.Seek(time.Hour)
	if rest := readAll(t, p); len(rest) > 160 {
		t.Errorf("%d samples after the end", len(rest))
	}

	s := New(steady())
	heard := read(t, s)
	s.Seek(5 * time.Second)
	smooth(t, "seek", append(append(heard, read(t, s)...), read(t, s)...))
}

func TestMixedRates(t *testing.T) {
	p := New(Silence(audio.Wide, time.Second), Beep(audio.Narrow, time.Second), Silence(audio.Narrow, time.Second))
	if p.Rate() != audio.Wide || p.Duration() != 3*time.Second {
		t.Errorf("%d samples a second for %v", p.Rate(), p.Duration())
	}
}

func TestCache(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, seconds int, value byte) string {
		path := filepath.Join(dir, name)
		b := make([]byte, 8000*seconds)
		for i := range b {
			b[i] = value
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := func(c *Cache, path string) *Clip {
		t.Helper()
		clip, err := c.Load(path, audio.Narrow)
		if err != nil {
			t.Fatal(err)
		}
		return clip
	}
	c := NewCache(32000, wav.DefaultLimits())
	a, b := file("a.ulaw", 1, 0x80), file("b.ulaw", 2, 0x80)

	var wg sync.WaitGroup
	clips := make([]*Clip, 20)
	for i := range clips {
		wg.Go(func() { clips[i], _ = c.Load(a, audio.Narrow) })
	}
	wg.Wait()
	for _, clip := range clips {
		if clip == nil || clip != clips[0] {
			t.Fatal("twenty who ask at once do not share one clip")
		}
	}
	second := load(c, b)
	if load(c, a) != clips[0] || c.Used() != 24000 {
		t.Errorf("%d bytes are kept, want 24,000", c.Used())
	}
	load(c, file("c.ulaw", 2, 0x80)) // b goes: a was used after it
	if c.Used() != 24000 || load(c, a) != clips[0] {
		t.Errorf("%d bytes are kept, want a and c with 24,000", c.Used())
	}
	if load(c, b) == second {
		t.Error("b is still there")
	}
	if large := load(c, file("large.ulaw", 5, 0x80)); large.Duration() != 5*time.Second || c.Used() > 32000 {
		t.Errorf("%d bytes are kept after one that is too large", c.Used())
	}

	file("a.ulaw", 1, 0x00) // same size, other sound
	if err := os.Chtimes(a, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var got [1]int16
	load(c, a).Copy(got[:], 0)
	if got[0] != -32124 {
		t.Errorf("a file that changed still sounds like %d", got[0])
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(a, audio.Narrow); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
	bad := filepath.Join(dir, "bad.wav")
	if err := os.WriteFile(bad, []byte("no sound"), 0o600); err != nil {
		t.Fatal(err)
	}
	used := c.Used()
	for range 2 {
		if _, err := c.Load(bad, audio.Narrow); !errors.Is(err, wav.ErrFormat) {
			t.Errorf("a file without sound: %v", err)
		}
	}
	if c.Used() != used {
		t.Errorf("a file without sound takes %d bytes", c.Used()-used)
	}
}

// Everything may be told to a player while it is read; the race detector looks on.
func TestToldWhileRead(t *testing.T) {
	p := New(steady()).Loop(Forever)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				switch (i + j) % 5 {
				case 0:
					p.Pause()
				case 1:
					p.Resume()
				case 2:
					p.SetVolume(float64(j%70 - 60))
				case 3:
					p.Seek(time.Duration(j) * 20 * time.Millisecond)
				default:
					p.Skip(-time.Duration(j) * time.Millisecond)
				}
			}
			p.Stop()
		})
	}
	readAll(t, p)
	wg.Wait()
}

// BenchmarkPlayers: players of one clip in µ-law, at another volume than the clip's; a core serves 50 frames a second each.
func BenchmarkPlayers(b *testing.B) {
	f := wav.File{Encoding: wav.ULaw, Channels: 1, Rate: 8000, Bits: 8, Data: make([]byte, 80000)}
	p := New(FromFile(f, audio.Narrow)).Loop(Forever)
	p.SetVolume(-6)
	frame := make([]int16, audio.Frame(audio.Narrow))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Read(frame); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(audio.FrameTime)/(float64(b.Elapsed())/float64(b.N)), "players/core")
}
