package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/media/audio"
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// played is a leg with a phone that knows these formats, and its RTP port.
func played(t testing.TB, formats ...sdp.Format) (*Leg, *phone, uint16) {
	t.Helper()
	l, ph := openLeg(t, startPlane(t, testConfig(), newDriver), Hooks{}), newPhone(t, 0xA)
	agree(t, l, ph.speaks(formats...))
	port, _ := l.Ports()
	return l, ph, port
}

// result is a done of Play that can be waited for.
func result() (func(error), chan error) {
	ch := make(chan error, 2)
	return func(err error) { ch <- err }, ch
}

// ends waits for what done was told, and that it was told once.
func ends(t testing.TB, ch chan error, want error) {
	t.Helper()
	select {
	case err := <-ch:
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("done(%v), want %v", err, want)
		}
	case <-time.After(patience):
		t.Fatalf("done was not called, want %v", want)
	}
	select {
	case err := <-ch:
		t.Errorf("done was called again: %v", err)
	default:
	}
}

func TestASourceIsHeardAsItIs(t *testing.T) {
	for _, test := range []struct {
		format sdp.Format
		rate   int
		ptime  time.Duration
		want   float64
	}{
		{formatU, audio.Narrow, 0, 0.999}, {formatA, audio.Narrow, 20 * time.Millisecond, 0.999},
		{formatU, audio.Narrow, 30 * time.Millisecond, 0.999}, {formatA, audio.Narrow, 60 * time.Millisecond, 0.999},
		{formatU, audio.Narrow, 10 * time.Millisecond, 0.999}, {formatU, audio.Narrow, time.Second, 0.999},
		{formatWide, audio.Wide, 20 * time.Millisecond, 0.999}, {formatWide, audio.Narrow, 40 * time.Millisecond, 0.98},
		{formatU, audio.Wide, 20 * time.Millisecond, 0.98},
	} {
		t.Run(fmt.Sprintf("%s/%d/%v", test.format.Encoding, test.rate, test.ptime), func(t *testing.T) {
			t.Parallel()
			l, ph, port := played(t, formatG729, test.format, formatEvent)
			a := ph.speaks(formatG729, test.format, formatEvent)
			a.PTime = test.ptime
			agree(t, l, a)
			ptime := min(max(test.ptime, 20*time.Millisecond), 60*time.Millisecond)
			const sound = 600 * time.Millisecond
			done, ended := result()
			l.Play(newTape(test.rate, sound), done)
			packets := ph.takes(port, number(int(sound/ptime)))
			ends(t, ended, nil)
			step := uint32(ptime * time.Duration(test.format.Clock) / time.Second)
			for i, p := range packets {
				first := packets[0]
				if p.SSRC != l.Stats().SSRC || p.SequenceNumber != first.SequenceNumber+uint16(i) || p.Timestamp != first.Timestamp+uint32(i)*step ||
					p.Marker != (i == 0) || p.PayloadType != test.format.Type {
					t.Fatalf("packet %d: %v after %v", i, p.Header, first.Header)
				}
			}
			rate := int(test.format.Clock)
			if r, lag := likeness(speech(rate, sound), decoded(t, test.format, packets), rate/100); r < test.want {
				t.Errorf("correlation %.4f with a delay of %d samples, want %.3f", r, lag, test.want)
			}
			ph.silence(ph.rtp)
		})
	}
}

func TestWhatTheJoinedLegSaysWaitsWhileSomethingIsPlayed(t *testing.T) {
	c := newCall(t, startPlane(t, testConfig(), newDriver), Hooks{})
	c.talk()
	done, ended := result()
	c.legB.Play(newTape(audio.Narrow, 100*time.Millisecond), done)
	before := c.b.takes(c.portB, number(1))[0]
	if !before.Marker {
		t.Error("the beginning has no marker")
	}
	c.a.audio(c.portA)
	c.a.hears(c.a.rtp, c.b.audio(c.portB), c.portA) // the other way nothing has changed
	rest := c.b.takes(c.portB, number(4))
	ends(t, ended, nil)
	last := rest[3]
	if got := c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB); !got.Marker || got.SequenceNumber != last.SequenceNumber+1 ||
		int32(got.Timestamp-last.Timestamp) <= 0 || got.SSRC != last.SSRC {
		t.Errorf("the joined leg goes on with %v after %v", got.Header, last.Header)
	}
	if s := c.legA.Stats(); s.Dropped != 1 {
		t.Errorf("%d packets were dropped while something was played, want 1", s.Dropped)
	}
}

func TestEachSourceIsToldItsEndOnce(t *testing.T) {
	l, ph, port := played(t, formatU)
	first, firstEnd := result()
	second, secondEnd := result()
	third, thirdEnd := result()
	stopFirst := l.Play(endless(audio.Narrow), first)
	ph.takes(port, number(2))
	stopSecond := l.Play(endless(audio.Wide), second)
	ends(t, firstEnd, ErrReplaced)
	stopFirst() // has no effect on the second
	ph.takes(port, number(2))
	stopSecond()
	stopSecond()
	ends(t, secondEnd, ErrStopped)
	l.Play(endless(audio.Narrow), third)
	l.Close()
	l.Close()
	ends(t, thirdEnd, ErrClosed)
	fourth, fourthEnd := result()
	l.Play(endless(audio.Narrow), fourth)()
	ends(t, fourthEnd, ErrClosed)
	ends(t, failing(t, errBroken), errBroken)
}

var errBroken = errors.New("the file is broken")

// failing plays a source that ends with an error.
func failing(t *testing.T, err error) chan error {
	l, ph, port := played(t, formatU)
	done, ended := result()
	l.Play(brokenTape{newTape(audio.Narrow, 50*time.Millisecond), err}, done)
	ph.takes(port, number(3)) // all that could be read, the last packet filled up
	return ended
}

type brokenTape struct {
	*tape
	err error
}

func (b brokenTape) Read(dst []int16) (int, error) {
	n, err := b.tape.Read(dst)
	if err != nil {
		err = b.err
	}
	return n, err
}

func TestDoneMayPlayTheNext(t *testing.T) {
	l, ph, port := played(t, formatU)
	done, ended := result()
	l.Play(newTape(audio.Narrow, 60*time.Millisecond), func(error) {
		l.Play(newTape(audio.Narrow, 60*time.Millisecond), done)
	})
	packets := ph.takes(port, number(6))
	ends(t, ended, nil)
	if packets[5].SequenceNumber != packets[0].SequenceNumber+5 || !packets[3].Marker {
		t.Errorf("%v", packets)
	}
}

func TestASourceWaitsUntilItCanBeHeard(t *testing.T) {
	l, ph := openLeg(t, startPlane(t, testConfig(), newDriver), Hooks{}), newPhone(t, 0xA)
	port, _ := l.Ports()
	source := newTape(audio.Narrow, 200*time.Millisecond)
	done, ended := result()
	l.Play(source, done)
	pass := func() { // some ticks
		t.Helper()
		before := l.plane.clock.Stats().Ticks
		eventually(t, "ticks", func() bool { return l.plane.clock.Stats().Ticks > before+3 })
	}
	read := func() int {
		source.mu.Lock()
		defer source.mu.Unlock()
		return source.read
	}
	if pass(); read() != 0 {
		t.Error("the source was read before there was anybody to hear it")
	}
	agree(t, l, ph.speaks(formatU))
	packets := ph.takes(port, number(3))
	held := ph.speaks(formatU)
	held.Direction = sdp.SendOnly
	agree(t, l, held)
	pass()
	waits := read()
	if pass(); read() != waits {
		t.Error("the source was read while the peer holds")
	}
	agree(t, l, ph.speaks(formatA)) // which changes the codec, too
	ends(t, ended, nil)
	packets = append(packets, ph.came()...)
	resumed := 0
	for i, p := range packets[1:] {
		if p.SequenceNumber != packets[0].SequenceNumber+uint16(i)+1 {
			t.Errorf("packet %d has number %d", i, p.SequenceNumber)
		}
		if p.Marker {
			resumed++
			if p.PayloadType != formatA.Type || p.Timestamp-packets[i].Timestamp < 3*160 {
				t.Errorf("goes on with %v after %v", p.Header, packets[i].Header)
			}
		}
	}
	if resumed != 1 {
		t.Errorf("%d packets have a marker after the first, want 1", resumed)
	}
}

func TestNothingCanBePlayedToAPeerWithForeignCodecs(t *testing.T) {
	l, ph, _ := played(t, formatG729, formatEvent)
	done, ended := result()
	l.Play(endless(audio.Narrow), done)
	ends(t, ended, voice.ErrInvalid)
	ph.silence(ph.rtp)
}

func TestPlayingFromManySides(t *testing.T) {
	l, ph, _ := played(t, formatU)
	go swallow(ph.rtp)
	const sides, times = 4, 50
	told := make(chan error, sides*times)
	for range sides {
		go func() {
			for i := range times {
				stop := l.Play(endless(audio.Narrow), func(err error) { told <- err })
				if i%3 == 0 {
					stop()
				}
			}
		}()
	}
	for range sides*times - 1 {
		select {
		case <-told:
		case <-time.After(patience):
			t.Fatal("somebody was not told the end")
		}
	}
	l.Close()
	select { // the last one may have stopped itself before
	case <-told:
	case <-time.After(patience):
		t.Fatal("the last was not told the end")
	}
}

// lateKeys is a guard that has keys from some time on, and then adds a byte to each packet.
type lateKeys struct{ there atomic.Bool }

var errNoKeys = errors.New("no keys yet")

func (g *lateKeys) Protect(dst, packet []byte, _ bool) ([]byte, error) {
	if !g.there.Load() {
		return dst, errNoKeys
	}
	return append(append(dst, packet...), 0xEE), nil
}

func (g *lateKeys) Unprotect(dst, packet []byte, _ bool) ([]byte, error) {
	return append(dst, packet[:len(packet)-1]...), nil
}

func (*lateKeys) Handle([]byte, netip.AddrPort, func([]byte, netip.AddrPort)) {}
func (*lateKeys) Peer() netip.AddrPort                                        { return netip.AddrPort{} }
func (*lateKeys) Close()                                                      {}

// What was read before there were keys is not lost.
func TestASourceWaitsForKeys(t *testing.T) {
	l, ph, port := played(t, formatU)
	guard := &lateKeys{}
	a := ph.speaks(formatU)
	a.Guard = guard
	agree(t, l, a)
	sent := newRecorder(audio.Narrow, 200*time.Millisecond)
	l.ListenSent(sent)
	done, ended := result()
	l.Play(newTape(audio.Narrow, 200*time.Millisecond), done)
	before := l.plane.clock.Stats().Ticks
	eventually(t, "ticks", func() bool { return l.plane.clock.Stats().Ticks > before+5 })
	ph.silence(ph.rtp)
	guard.there.Store(true)
	packets := ph.takes(port, number(10))
	ends(t, ended, nil)
	for i, p := range packets {
		if p.SequenceNumber != packets[0].SequenceNumber+uint16(i) || p.Marker != (i == 0) || len(p.Payload) != 161 {
			t.Errorf("packet %d: %v of %d bytes", i, p.Header, len(p.Payload))
		}
		packets[i].Payload = p.Payload[:160]
	}
	if r, lag := likeness(speech(8000, 200*time.Millisecond), decoded(t, formatU, packets), 1); r < 0.999 || lag != 0 {
		t.Errorf("correlation %.3f", r)
	}
}

func TestTheClockShowsItsFigures(t *testing.T) {
	reg := prometheus.NewRegistry()
	pool, err := NewPool(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlane(pool, &netDriver{}, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := start(func() error { return p.Run(ctx) })
	l, ph := openLeg(t, p, Hooks{}), newPhone(t, 0xA)
	agree(t, l, ph.speaks(formatU))
	l.Play(endless(audio.Narrow), nil)
	l.Listen(hole(audio.Narrow))
	l.ListenSent(hole(audio.Narrow))
	eventually(t, "ticks", func() bool { return p.clock.Stats().Ticks > 3 })
	value := func(name string) (sum float64) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "parley_media_"+name {
				for _, m := range f.Metric {
					sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
		return sum
	}
	if n := value("streams"); n != 3 {
		t.Errorf("%v streams, want 3", n)
	}
	if value("ticks_total") < 3 || value("tick_seconds_total") <= 0 {
		t.Errorf("%v ticks took %v s", value("ticks_total"), value("tick_seconds_total"))
	}
	l.Close()
	if n := value("streams"); n != 0 {
		t.Errorf("%v streams when the leg is closed", n)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
