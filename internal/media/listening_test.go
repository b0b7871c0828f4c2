package media

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/sdp"
)

func TestWhatAPeerSaysIsHeardByAll(t *testing.T) {
	for name, format := range map[string]sdp.Format{"PCMU": formatU, "PCMA": formatA, "L16 wide": formatWide} {
		t.Run(name, func(t *testing.T) {
			l, ph, port := played(t, formatU, formatA, formatWide)
			k := ph.talker(t, port, format)
			narrow, wide := newRecorder(audio.Narrow, 2*time.Second), newRecorder(audio.Wide, 2*time.Second)
			l.Listen(narrow)
			l.Listen(wide)
			k.say(speech(k.rate, 1500*time.Millisecond))
			for _, r := range []*recorder{narrow, wide} {
				understood(t, r.rate, speech(r.rate, 1500*time.Millisecond), r.sound(t), 0.97)
			}
		})
	}
}

func TestAnImpairedStreamIsHeard(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, test := range map[string]struct {
		path  func(n int) int
		least float64
	}{
		"losses":      {func(n int) int { return min(1, n%15) }, 0.8},
		"repetitions": {func(int) int { return 1 + r.IntN(2) }, 0.98},
	} {
		t.Run(name, func(t *testing.T) {
			l, ph, port := played(t, formatU)
			k := ph.talker(t, port, formatU)
			k.path = test.path
			heard := newRecorder(audio.Narrow, 2500*time.Millisecond)
			l.Listen(heard)
			k.say(speech(8000, 2200*time.Millisecond))
			understood(t, 8000, speech(8000, 2*time.Second), heard.sound(t), test.least)
		})
	}
}

// A machine that stands still for a moment spoils what is heard, so there is more than one attempt.
func TestPacketsInAnotherOrderAreHeardInTheirs(t *testing.T) {
	bad := ""
	for range 3 {
		if bad = anotherOrder(t); bad == "" {
			return
		}
	}
	t.Error(bad)
}

func anotherOrder(t *testing.T) (bad string) {
	l, ph, port := played(t, formatU)
	k := ph.talker(t, port, formatU)
	heard := newRecorder(audio.Narrow, 2*time.Second)
	l.Listen(heard)
	pcm := speech(8000, 1800*time.Millisecond)
	start := time.Now()
	for at := 0; at+320 <= len(pcm); at += 320 { // the second of each pair comes first
		first, second := k.packet(pcm[at:at+160]), k.packet(pcm[at+160:at+320])
		ph.send(ph.rtp, port, second)
		ph.send(ph.rtp, port, first)
		<-time.After(time.Until(start.Add(time.Duration(at+320) * time.Second / 8000)))
	}
	return misunderstood(8000, pcm[:12000], heard.sound(t), 0.95)
}

func TestAStreamThatBeginsAnewIsHeard(t *testing.T) {
	for name, change := range map[string]func(p *phone){
		"another SSRC":         func(p *phone) { p.header.SSRC++ },
		"numbers from random":  func(p *phone) { p.header.SequenceNumber, p.header.Timestamp = p.header.SequenceNumber-31000, 77 },
		"timestamps only":      func(p *phone) { p.header.Timestamp += 1 << 28 },
		"numbers only, a few ": func(p *phone) { p.header.SequenceNumber += 500 },
	} {
		t.Run(name, func(t *testing.T) {
			l, ph, port := played(t, formatU)
			k := ph.talker(t, port, formatU)
			heard := newRecorder(audio.Narrow, 2600*time.Millisecond)
			l.Listen(heard)
			pcm := speech(8000, 2200*time.Millisecond)
			k.say(pcm[:8000])
			change(ph)
			k.say(pcm[8000:])
			all := heard.sound(t)
			understood(t, 8000, pcm[:7200], all, 0.95)
			understood(t, 8000, pcm[9600:], all[9600:], 0.95)
		})
	}
}

func TestARecordingKeepsItsTimeThroughSilenceAndHold(t *testing.T) {
	l, ph, port := played(t, formatU)
	k := ph.talker(t, port, formatU)
	heard := newRecorder(audio.Narrow, 3*time.Second)
	start := time.Now()
	l.Listen(heard)
	pcm := speech(8000, 3*time.Second)
	k.say(pcm[:8000])
	held := ph.speaks(formatU)
	held.Direction = sdp.Inactive
	agree(t, l, held)
	k.say(make([]int16, 4000)) // which nobody should hear, were it loud
	agree(t, l, ph.speaks(formatU))
	before := heard.so()
	k.say(pcm[12000:22400])
	all := heard.sound(t)
	took := time.Since(start)
	understood(t, 8000, pcm[:8000], all, 0.95)
	understood(t, 8000, pcm[12000:20000], all[12000:], 0.95)
	if quiet := before[len(before)-1600:]; loudness(quiet) > 100 {
		t.Errorf("loudness %.0f while the peer holds", loudness(quiet))
	}
	if length := time.Duration(len(all)) * time.Second / 8000; length < took-500*time.Millisecond || length > took+500*time.Millisecond {
		t.Errorf("%v were heard in %v", length, took)
	}
}

func TestListeningDoesNotTouchTheTalk(t *testing.T) {
	c := newCall(t, startPlane(t, testConfig(), newDriver), Hooks{})
	heard, sent := newRecorder(audio.Narrow, 1300*time.Millisecond), newRecorder(audio.Narrow, 1300*time.Millisecond)
	c.legA.Listen(heard)
	c.legB.ListenSent(sent)
	k := c.a.talker(t, c.portA, formatU)
	pcm := speech(8000, time.Second)
	go k.say(pcm)
	packets := c.b.takes(c.portB, number(40))
	got := decoded(t, formatU, packets)
	if r, lag := likeness(pcm[:6000], got, 1); r < 0.999 || lag != 0 {
		t.Errorf("the other side heard something else: %.3f", r)
	}
	for name, r := range map[string]*recorder{"heard": heard, "sent": sent} {
		t.Log(name)
		understood(t, 8000, pcm[:6400], r.sound(t), 0.97)
	}
	c.b.takes(c.portB, number(10)) // the talker comes to its end
}

func TestWhatIsPlayedToAPeerCanBeHeard(t *testing.T) {
	l, ph, _ := played(t, formatA)
	go swallow(ph.rtp)
	sent := newRecorder(audio.Narrow, 1500*time.Millisecond)
	l.ListenSent(sent)
	l.Play(newTape(audio.Narrow, 2*time.Second), nil)
	understood(t, 8000, speech(8000, time.Second), sent.sound(t), 0.97)
}

// counter is a sink that counts, and is full at some time.
type counter struct {
	n     atomic.Int64
	limit int64
}

func (*counter) Rate() int { return audio.Narrow }

func (c *counter) Write([]int16) error {
	if n := c.n.Add(1); c.limit > 0 && n >= c.limit {
		return errors.New("full")
	}
	return nil
}

func TestListenersComeAndGo(t *testing.T) {
	l, _, _ := played(t, formatU)
	full, stays := &counter{limit: 3}, &counter{}
	l.Listen(full)
	stop := l.Listen(stays)
	eventually(t, "frames", func() bool { return stays.n.Load() > 10 })
	if n := full.n.Load(); n != 3 {
		t.Errorf("a sink that was full after 3 frames was given %d", n)
	}
	stop()
	stop()
	eventually(t, "nobody listens", func() bool { return l.plane.clock.Stats().Listening == 0 })
	late := &counter{}
	l.Listen(late)
	eventually(t, "frames again", func() bool { return late.n.Load() > 2 })
	l.Close()
	if n := l.plane.clock.Stats().Listening; n != 0 {
		t.Errorf("%d listen to a leg that is closed", n)
	}
	l.Listen(late)() // has no effect
}

func TestALateListenerHearsTheMiddle(t *testing.T) {
	l, ph, port := played(t, formatU)
	k := ph.talker(t, port, formatU)
	pcm := speech(8000, 2*time.Second)
	k.say(pcm[:4000])
	heard := newRecorder(audio.Narrow, 1300*time.Millisecond)
	l.Listen(heard)
	k.say(pcm[4000:])
	understood(t, 8000, pcm[4000:10400], heard.sound(t), 0.97)
}
