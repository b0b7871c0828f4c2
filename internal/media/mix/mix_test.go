package mix

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/media/audio"
	"parley/internal/media/play"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// person says a tone of his own and remembers what he hears.
type person struct {
	*Port
	t    testing.TB
	rate int
	hz   float64 // 0 is silence
	at   int
	ear  []int16
}

const volume = 5000

func join(t testing.TB, m *Mixer, rate int, hz float64) *person {
	t.Helper()
	p, err := m.Join(fmt.Sprint(hz), rate)
	if err != nil {
		t.Fatal(err)
	}
	return &person{Port: p, t: t, rate: rate, hz: hz}
}

func (p *person) say() {
	p.t.Helper()
	pcm := make([]int16, audio.Frame(p.rate))
	for i := range pcm {
		pcm[i] = int16(volume * math.Sin(2*math.Pi*p.hz*float64(p.at)/float64(p.rate)))
		p.at++
	}
	if err := p.Sink().Write(pcm); err != nil && !errors.Is(err, ErrLeft) {
		p.t.Fatal(err)
	}
}

func (p *person) listen() {
	p.t.Helper()
	pcm := make([]int16, audio.Frame(p.rate))
	if n, err := p.Source().Read(pcm); err != nil && err != io.EOF || err == nil && n != len(pcm) {
		p.t.Fatalf("Read = %d, %v", n, err)
	}
	p.ear = append(p.ear, pcm...)
}

// ticks lets the clock go on: first all speak, then all listen.
func ticks(n int, people ...*person) {
	for range n {
		for _, p := range people {
			p.say()
		}
		for _, p := range people {
			p.listen()
		}
	}
}

// hears is the level of a tone in the second half of what was heard, 1 being that at which it was said.
func (p *person) hears(hz float64) float64 {
	pcm := p.ear[len(p.ear)/2:]
	var re, im float64
	for i, s := range pcm {
		a := 2 * math.Pi * hz * float64(i) / float64(p.rate)
		re += float64(s) * math.Cos(a)
		im += float64(s) * math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(pcm)) / volume
}

// expect runs half a second and checks who hears whom.
func expect(t *testing.T, what string, matrix [][]float64, people ...*person) {
	t.Helper()
	for _, p := range people {
		p.ear = nil
	}
	ticks(50, people...)
	for i, l := range people {
		for j, s := range people {
			if s.hz == 0 {
				continue
			}
			if got := l.hears(s.hz); math.Abs(got-matrix[i][j]) > 0.03 {
				t.Errorf("%s: %v hears %v at %.3f, want %v", what, l.hz, s.hz, got, matrix[i][j])
			}
		}
	}
}

func TestThree(t *testing.T) {
	m := New(0)
	a, b, c := join(t, m, audio.Narrow, 400), join(t, m, audio.Narrow, 700), join(t, m, audio.Narrow, 1100)
	expect(t, "plain", [][]float64{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}}, a, b, c)

	// What comes out is the sum to the last bit, in the tick in which it was said.
	one := make([]int16, 160)
	for i := range one {
		one[i] = int16(i)
	}
	for _, p := range []*person{a, b, c} {
		if err := p.Sink().Write(one); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*person{a, b, c} {
		p.listen()
		for i, s := range p.ear[len(p.ear)-160:] {
			if s != int16(2*i) {
				t.Fatalf("sample %d is %d, want %d", i, s, 2*i)
			}
		}
	}

	b.SetMute(true)
	c.SetGain(-6.0206)
	expect(t, "b muted, c softer", [][]float64{{0, 0, .5}, {1, 0, .5}, {1, 0, 0}}, a, b, c)
	b.SetMute(false)
	c.SetGain(6.0206)
	a.SetDeaf(true)
	expect(t, "a deaf, c louder", [][]float64{{0, 0, 0}, {1, 0, 2}, {1, 1, 0}}, a, b, c)
}

func TestRoles(t *testing.T) {
	m := New(0)
	caller, agent := join(t, m, audio.Narrow, 400), join(t, m, audio.Narrow, 700)
	boss, spy := join(t, m, audio.Narrow, 1100), join(t, m, audio.Narrow, 1700)
	if err := errors.Join(boss.SetRole(Coach, agent.Port), spy.SetRole(Observer, nil)); err != nil {
		t.Fatal(err)
	}
	expect(t, "coach and observer", [][]float64{
		{0, 1, 0, 0},
		{1, 0, 1, 0},
		{1, 1, 0, 0},
		{1, 1, 0, 0},
	}, caller, agent, boss, spy)
	want := map[ID][]ID{1: {2}, 2: {1, 3}, 3: {1, 2}, 4: {1, 2}}
	if got := m.Matrix(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("Matrix = %v, want %v", got, want)
	}
	if err := boss.SetRole(Talker, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, "the coach joins in", [][]float64{{0, 1, 1, 0}, {1, 0, 1, 0}, {1, 1, 0, 0}, {1, 1, 1, 0}}, caller, agent, boss, spy)

	// Single cells: the caller does not hear the agent, hears the observer, and everybody hears himself who wants to.
	err := errors.Join(m.Hear(caller.ID(), agent.ID(), false), m.Hear(caller.ID(), spy.ID(), true), m.Hear(agent.ID(), agent.ID(), true))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "cells", [][]float64{{0, 0, 1, 1}, {1, 1, 1, 0}, {1, 1, 0, 0}, {1, 1, 1, 0}}, caller, agent, boss, spy)
	if err := spy.SetRole(Observer, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, "a role sets cells back", [][]float64{{0, 0, 1, 0}, {1, 1, 1, 0}, {1, 1, 0, 0}, {1, 1, 1, 0}}, caller, agent, boss, spy)

	// A coach whose agent leaves is heard by nobody.
	if err := boss.SetRole(Coach, agent.Port); err != nil {
		t.Fatal(err)
	}
	agent.Leave()
	expect(t, "the agent has left", [][]float64{{0, 0, 0}, {1, 0, 0}, {1, 0, 0}}, caller, boss, spy)
	if n, err := agent.Source().Read(make([]int16, 160)); n != 0 || err != io.EOF {
		t.Errorf("who has left reads %d, %v", n, err)
	}
	if err := agent.Sink().Write(make([]int16, 160)); !errors.Is(err, ErrLeft) {
		t.Errorf("who has left writes: %v", err)
	}
	for what, err := range map[string]error{
		"a role of one who left": agent.SetRole(Talker, nil), "coach of one who left": boss.SetRole(Coach, agent.Port),
		"coach of nobody": boss.SetRole(Coach, nil), "coach of himself": boss.SetRole(Coach, boss.Port), "what is no role": boss.SetRole("king", nil),
		"cells of one who left": m.Hear(agent.ID(), boss.ID(), true), "a speaker who left": m.Hear(boss.ID(), agent.ID(), true),
	} {
		if err == nil {
			t.Errorf("%s is no error", what)
		}
	}
}

func TestNarrowAndWide(t *testing.T) {
	m := New(0)
	a, b := join(t, m, audio.Narrow, 400), join(t, m, audio.Narrow, 2900)
	c, d := join(t, m, audio.Wide, 1100), join(t, m, audio.Wide, 5000)
	matrix := [][]float64{
		{0, 1, 1, 0}, // 5,000 Hz do not pass into 8,000 samples a second
		{1, 0, 1, 0},
		{1, 1, 0, 1},
		{1, 1, 1, 0},
	}
	expect(t, "both rates", matrix, a, b, c, d)
	if got := a.hears(3000); got > 0.01 {
		t.Errorf("5,000 Hz fold back to 3,000 at %.3f", got)
	}
	if got := c.hears(16000 - 8000 - 2900 + 0); got > 0.01 { // 5,100 Hz is the image of 2,900
		t.Errorf("2,900 Hz have an image at 5,100 of %.3f", got)
	}
}

// Fifty shout: nothing wraps round, and what is loudest stays loudest.
func TestLimiter(t *testing.T) {
	for v := int32(-60 * 32768); v < 60*32768; v += 97 {
		got, next := v, v+97
		if v > knee || v < -knee {
			got = bend(v)
		}
		if next > knee || next < -knee {
			next = bend(next)
		}
		if got > math.MaxInt16 || got < -math.MaxInt16 || next < got || next-got > 97 {
			t.Fatalf("%d becomes %d and %d becomes %d", v, got, v+97, next)
		}
	}
	m := New(0)
	var people []*person
	for range 50 {
		people = append(people, join(t, m, audio.Narrow, 400))
	}
	ticks(10, people...)
	loudest := slices.Max(people[0].ear)
	if loudest < 32000 {
		t.Errorf("the loudest sample is %d", loudest)
	}
}

// Somebody writes without being read for a while, or the other way round: what is heard afterwards is what is said now.
func TestOutOfStep(t *testing.T) {
	m := New(0)
	a, b := join(t, m, audio.Narrow, 400), join(t, m, audio.Narrow, 700)
	for range 20 {
		b.say()
	}
	if b.queued > queueFrames*160 {
		t.Errorf("%d samples wait", b.queued)
	}
	ticks(2*lateRounds+4, a, b)
	if b.queued != 0 {
		t.Errorf("%d samples still wait", b.queued)
	}
	for range 20 {
		a.listen()
	}
	expect(t, "in step again", [][]float64{{0, 1}, {1, 0}}, a, b)

	// Reads of any size give the same sound.
	c := join(t, m, audio.Narrow, 0)
	for range 30 {
		a.say()
		for n := 0; n < 160; n += 32 {
			part := make([]int16, 32)
			if got, err := c.Source().Read(part); got != 32 || err != nil {
				t.Fatalf("Read = %d, %v", got, err)
			}
			c.ear = append(c.ear, part...)
		}
	}
	if got := c.hears(400); math.Abs(got-1) > 0.03 {
		t.Errorf("in parts it is heard at %.3f", got)
	}
}

// keeper is a sink that keeps what it gets.
type keeper struct {
	pcm  []int16
	left int // writes that it takes
}

func (k *keeper) Rate() int { return audio.Narrow }

func (k *keeper) Write(src []int16) error {
	if k.left--; k.left < 0 {
		return io.ErrShortWrite
	}
	k.pcm = append(k.pcm, src...)
	return nil
}

func TestAnnouncementAndTap(t *testing.T) {
	m := New(0)
	a, b := join(t, m, audio.Narrow, 400), join(t, m, audio.Narrow, 700)
	k := &keeper{left: 100}
	if _, err := m.Tap("recorder", k); err != nil {
		t.Fatal(err)
	}
	beep := play.Beep(audio.Narrow, time.Second)
	over := make(chan error, 1)
	if _, err := m.Announce("beep", play.New(beep), func(err error) { over <- err }); err != nil {
		t.Fatal(err)
	}
	expectBeep := func(want float64) {
		t.Helper()
		a.ear, b.ear = nil, nil
		ticks(25, a, b)
		for _, p := range []*person{a, b} {
			if got := p.hears(1000); math.Abs(got-want) > 0.05 {
				t.Errorf("%v hears the announcement at %.3f, want %.3f", p.hz, got, want)
			}
		}
		if got := a.hears(700); math.Abs(got-1) > 0.03 {
			t.Errorf("a hears b at %.3f meanwhile", got)
		}
	}
	expectBeep(8231. / volume)
	ticks(27, a, b) // the first tick of a room has no round before it
	select {
	case err := <-over:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	default:
		t.Error("after its end nobody was told")
	}
	expectBeep(0)
	if n := len(m.Participants()); n != 3 {
		t.Errorf("%d are in the room, want two and the recorder", n)
	}
	tap := &person{rate: audio.Narrow, ear: k.pcm[8000:]}
	for hz, want := range map[float64]float64{400: 1, 700: 1} {
		if got := tap.hears(hz); math.Abs(got-want) > 0.03 {
			t.Errorf("the tap has %v at %.3f", hz, got)
		}
	}
	ticks(50, a, b)
	if n := len(m.Participants()); n != 2 || len(k.pcm) != 100*160 {
		t.Errorf("%d are in the room after the tap said an error, and it has %d samples", n, len(k.pcm))
	}
	stop, err := m.Announce("music", play.New(beep).Loop(play.Forever), func(error) { t.Error("told, though it was stopped") })
	if err != nil {
		t.Fatal(err)
	}
	ticks(2, a, b)
	stop.Leave()
	expectBeep(0)
}

func TestParticipants(t *testing.T) {
	m := New(3)
	a, b := join(t, m, audio.Narrow, 400), join(t, m, audio.Wide, 700)
	b.SetGain(100)
	b.SetDeaf(true)
	if err := b.SetRole(Coach, a.Port); err != nil {
		t.Fatal(err)
	}
	c := join(t, m, audio.Narrow, 0)
	c.SetMute(true)
	ticks(3, a, c)
	got := m.Participants()
	level := 20*math.Log10(volume/32768.) - 3.01
	if math.Abs(got[0].Level-level) > 0.1 {
		t.Errorf("a is at %.1f dBov, want %.1f", got[0].Level, level)
	}
	got[0].Level = 0
	want := []Participant{
		{ID: 1, Name: "400", Role: Talker},
		{ID: 2, Name: "700", Role: Coach, Of: 1, Gain: 20, Deaf: true, Level: audio.Quietest},
		{ID: 3, Name: "0", Role: Talker, Muted: true, Level: audio.Quietest},
	}
	if !slices.Equal(got, want) {
		t.Errorf("Participants = %+v, want %+v", got, want)
	}
	if _, err := m.Join("d", audio.Narrow); !errors.Is(err, ErrFull) {
		t.Errorf("a fourth in a room for three: %v", err)
	}
	if _, err := m.Join("d", 44100); err == nil {
		t.Error("44,100 samples a second")
	}
	if m.Port(2) != b.Port || m.Port(9) != nil {
		t.Error("Port does not find who is there")
	}
	m.Close()
	if _, err := m.Join("d", audio.Narrow); !errors.Is(err, ErrClosed) {
		t.Errorf("joins a closed room: %v", err)
	}
	if n, err := a.Source().Read(make([]int16, 160)); n != 0 || err != io.EOF {
		t.Errorf("in a closed room one reads %d, %v", n, err)
	}
}

// People come, go, and change while others talk; the race detector looks on.
func TestComingAndGoing(t *testing.T) {
	m := New(0)
	a, b := join(t, m, audio.Narrow, 400), join(t, m, audio.Narrow, 700)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				p, err := m.Join("guest", []int{audio.Narrow, audio.Wide}[(i+n)%2])
				if err != nil {
					t.Error(err)
					return
				}
				_ = p.Sink().Write(make([]int16, 160))
				_, _ = p.Source().Read(make([]int16, 160))
				_ = p.SetRole([]Role{Coach, Observer, Talker}[n%3], a.Port)
				_ = m.Hear(a.ID(), p.ID(), false)
				p.SetGain(float64(n % 10))
				p.SetMute(n%2 == 0)
				m.Participants()
				m.Matrix()
				p.Leave()
			}
		})
	}
	ticks(200, a, b)
	close(stop)
	wg.Wait()
	// In the turmoil a guest may begin a round before both have spoken. After it, all is as before.
	ticks(2*lateRounds, a, b)
	expect(t, "after all have left", [][]float64{{0, 1}, {1, 0}}, a, b)
}

func BenchmarkRoom(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
		wide int // of them
	}{{"3", 3, 0}, {"50", 50, 0}, {"3-wide", 3, 3}, {"50-mixed", 50, 5}} {
		b.Run(c.name, func(b *testing.B) {
			m := New(0)
			type end struct {
				sink   audio.Sink
				source audio.Source
				pcm    []int16
			}
			var ends []end
			for i := range c.n {
				rate := audio.Narrow
				if i < c.wide {
					rate = audio.Wide
				}
				p := join(b, m, rate, 400)
				pcm := make([]int16, audio.Frame(rate))
				for j := range pcm {
					pcm[j] = int16(3000 * math.Sin(float64(i+j)))
				}
				ends = append(ends, end{p.Sink(), p.Source(), pcm})
			}
			out := make([]int16, audio.Frame(audio.Wide))
			b.ReportAllocs()
			for b.Loop() {
				for _, e := range ends {
					if err := e.sink.Write(e.pcm); err != nil {
						b.Fatal(err)
					}
				}
				for _, e := range ends {
					if _, err := e.source.Read(out[:len(e.pcm)]); err != nil {
						b.Fatal(err)
					}
				}
			}
			tick := float64(b.Elapsed()) / float64(b.N)
			b.ReportMetric(float64(audio.FrameTime)/tick*float64(c.n), "calls/core")
		})
	}
}
