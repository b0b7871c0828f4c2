package media

import (
	"testing"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/dtmf"
)

func TestOnePressIsToldOnce(t *testing.T) {
	type press struct {
		key  byte
		how  Way
		at   time.Duration
		told bool
	}
	const ms = time.Millisecond
	for name, presses := range map[string][]press{
		"event, then tone":                 {{'5', ByEvent, 0, true}, {'5', ByTone, 80 * ms, false}},
		"tone, then event":                 {{'5', ByTone, 0, true}, {'5', ByEvent, 60 * ms, false}},
		"in three ways":                    {{'5', ByTone, 0, true}, {'5', ByEvent, 60 * ms, false}, {'5', BySignaling, 200 * ms, false}},
		"twice":                            {{'5', ByEvent, 0, true}, {'5', ByEvent, 150 * ms, true}},
		"twice, in two ways":               {{'5', ByEvent, 0, true}, {'5', ByEvent, 150 * ms, true}, {'5', ByTone, 200 * ms, false}, {'5', ByTone, 350 * ms, false}},
		"twice, one after the other":       {{'5', ByTone, 0, true}, {'5', ByEvent, 50 * ms, false}, {'5', ByTone, 200 * ms, true}, {'5', ByEvent, 250 * ms, false}},
		"three times, one only as a tone":  {{'5', ByEvent, 0, true}, {'5', ByTone, 50 * ms, false}, {'5', ByTone, 300 * ms, true}, {'5', ByEvent, 3 * time.Second, true}},
		"two keys, the tones later":        {{'1', ByEvent, 0, true}, {'2', ByEvent, 120 * ms, true}, {'1', ByTone, 180 * ms, false}, {'2', ByTone, 300 * ms, false}},
		"the same key much later":          {{'1', ByEvent, 0, true}, {'1', ByTone, 5 * time.Second, true}},
		"events that are no keys are told": {{0, ByEvent, 0, true}, {0, BySignaling, 10 * ms, true}},
	} {
		var e echoes
		begin := time.Unix(1000, 0)
		for i, p := range presses {
			d := Digit{Digit: dtmf.Digit{Key: p.key, Duration: 100 * ms}, How: p.how}
			if known := e.known(d, begin.Add(p.at)); known == p.told {
				t.Errorf("%s: press %d, %q by %v: known %v, want %v", name, i, p.key, p.how, known, !p.told)
			}
		}
	}
}

func TestKeysOfSignallingAndOfEvents(t *testing.T) {
	digits := make(chan Digit, 10)
	l, ph := openLeg(t, startPlane(t, testConfig(), newDriver), Hooks{Digit: func(d Digit) { digits <- d }}), newPhone(t, 0xA)
	agree(t, l, ph.speaks(formatU, formatEvent))
	port, _ := l.Ports()
	for range 3 {
		ph.header.Timestamp = 800
		ph.send(ph.rtp, port, ph.next(101, []byte{7, 0x8A, 3, 32}))
	}
	want := Digit{dtmf.Digit{Key: '7', Event: 7, Duration: 100 * time.Millisecond}, ByEvent}
	if got := waitFor(t, digits); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	l.Told(dtmf.Digit{Key: '7', Event: 7, Duration: 250 * time.Millisecond}) // the same press
	want = Digit{dtmf.Digit{Key: '8', Event: 8, Duration: 250 * time.Millisecond}, BySignaling}
	l.Told(want.Digit)
	if got := waitFor(t, digits); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	l.Close()
	l.Told(want.Digit) // nobody is told any more
	select {
	case d := <-digits:
		t.Errorf("told of %+v", d)
	default:
	}
}

// keySound is what keys sound like, at 8 kHz, with silence around them.
func keySound(t testing.TB, keys string) []int16 {
	t.Helper()
	s, err := dtmf.NewSound(audio.Narrow, keys, dtmf.DefaultShape())
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, 1600)
	frame := make([]int16, 160)
	for err == nil {
		var n int
		n, err = s.Read(frame)
		pcm = append(pcm, frame[:n]...)
	}
	return append(pcm, make([]int16, 4800)...)
}

func TestKeysInTheSoundAreHeardWhenAskedFor(t *testing.T) {
	digits := make(chan Digit, 100)
	l, ph := openLeg(t, startPlane(t, testConfig(), newDriver), Hooks{Digit: func(d Digit) { digits <- d }}), newPhone(t, 0xA)
	agree(t, l, ph.speaks(formatA, formatEvent))
	port, _ := l.Ports()
	k := ph.talker(t, port, formatA)
	k.say(keySound(t, "12")) // nobody listens
	l.HearTones(true)
	l.HearTones(true)
	k.say(keySound(t, "4711#A"))
	for _, key := range []byte("4711#A") {
		if d := waitFor(t, digits); d.Key != key || d.How != ByTone || d.Duration < 40*time.Millisecond { // 100 ms, but for what came too late to be heard
			t.Errorf("%+v, want the tone of %q", d, key)
		}
	}
	l.HearTones(false)
	k.say(keySound(t, "56"))
	ph.header.Timestamp += 8000
	ph.send(ph.rtp, port, ph.next(101, []byte{9, 0x8A, 3, 32}))
	if d := waitFor(t, digits); d.Key != '9' || d.How != ByEvent {
		t.Errorf("%+v, want the event of 9", d)
	}
	if n := l.plane.clock.Stats().Listening; n != 0 {
		t.Errorf("%d listen still", n)
	}
}

func TestTonesOfAClosedLeg(t *testing.T) {
	l, _, _ := played(t, formatU)
	l.HearTones(true)
	l.Close()
	l.HearTones(true)
	if n := l.plane.clock.Stats().Listening; n != 0 {
		t.Errorf("%d listen to a closed leg", n)
	}
}

func TestTonesAndEventsOfOnePressAreOne(t *testing.T) {
	digits := make(chan Digit, 100)
	l, ph := openLeg(t, startPlane(t, testConfig(), newDriver), Hooks{Digit: func(d Digit) { digits <- d }}), newPhone(t, 0xA)
	agree(t, l, ph.speaks(formatU, formatEvent))
	port, _ := l.Ports()
	l.HearTones(true)
	k := ph.talker(t, port, formatU)
	for range 2 { // 33: the sound of each, and its event
		pcm := keySound(t, "3")
		k.say(pcm[:1600])
		ph.header.Timestamp += 160
		for range 3 {
			ph.send(ph.rtp, port, ph.next(101, []byte{3, 0x8A, 3, 32}))
			ph.header.Timestamp -= 160
		}
		k.say(pcm[1600:4800])
	}
	k.say(keySound(t, "5"))
	for _, want := range []Digit{{dtmf.Digit{Key: '3'}, ByEvent}, {dtmf.Digit{Key: '3'}, ByEvent}, {dtmf.Digit{Key: '5'}, ByTone}} {
		if d := waitFor(t, digits); d.Key != want.Key || d.How != want.How {
			t.Errorf("%+v, want %q by %v", d, want.Key, want.How)
		}
	}
}

// waitFor waits for the next of what a hook tells.
func waitFor[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited for %v", patience)
		panic("not reached")
	}
}
