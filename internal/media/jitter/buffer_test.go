package jitter

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/media/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

func TestWithoutFaultsAllIsHeardAsItWas(t *testing.T) {
	for _, c := range []linear{narrow, wide, {16000, 48000}} {
		for _, ptime := range []time.Duration{10 * ms, 20 * ms, 30 * ms, 40 * ms} {
			t.Run(fmt.Sprintf("%d/%d/%v", c.rate, c.clock, ptime), func(t *testing.T) {
				s := newSender(c, ptime)
				pcm := speech(c.rate, 6*time.Second)
				s.talk(pcm, wire)
				b := New(nil)
				got := hear(b, s.arrivals, 6*time.Second)
				if r, lag := likeness(pcm[:4*c.rate], got, c.rate/5); r < 0.9999 || lag > c.rate*110/1000 {
					t.Errorf("correlation %.5f after %v", r, time.Duration(lag)*time.Second/time.Duration(c.rate))
				}
				f := b.Figures()
				f.Delay, f.Wanted, f.Removed = 0, 0, 0
				if f != (Figures{}) {
					t.Errorf("%+v of a path without a fault", f)
				}
			})
		}
	}
}

func TestAnImpairedPathIsStillUnderstood(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	for _, test := range []struct {
		name  string
		tempo float64
		least float64
		path  func(n int, leaves time.Duration) []time.Duration
		check func(f Figures) bool
	}{
		{"jitter", 1, 0.97, func(_ int, leaves time.Duration) []time.Duration {
			return []time.Duration{leaves + 30*ms + random(60*ms)}
		}, func(f Figures) bool { return f.Wanted > 55*ms && f.Wanted < 75*ms && f.Late < 20 }},
		{"order", 1, 0.98, func(n int, leaves time.Duration) []time.Duration {
			if n%10 == 3 {
				return []time.Duration{leaves + 75*ms} // two others overtake it
			}
			return []time.Duration{leaves + 30*ms}
		}, func(f Figures) bool { return f.Late < 5 && f.Lost < 5 }},
		{"every packet twice", 1, 0.999, func(_ int, leaves time.Duration) []time.Duration {
			return []time.Duration{leaves + 30*ms, leaves + 31*ms}
		}, func(f Figures) bool { return f.Duplicates >= 990 && f.Late == 0 && f.Lost == 0 }},
		{"single losses", 1, 0.93, func(n int, leaves time.Duration) []time.Duration {
			if n%20 == 5 {
				return nil
			}
			return []time.Duration{leaves + 30*ms}
		}, func(f Figures) bool { return f.Lost == 50 && f.Concealed > 900*ms && f.Concealed < 1200*ms }},
		{"bursts of losses", 1, 0.9, func(n int, leaves time.Duration) []time.Duration {
			if n%100 > 95 {
				return nil
			}
			return []time.Duration{leaves + 30*ms}
		}, func(f Figures) bool { return f.Lost == 36 || f.Lost == 40 }},
		{"a sender that is quick", 1.002, 0.85, wire, func(f Figures) bool {
			return f.Removed > 20*ms && f.Delay < 60*ms && f.Lost == 0
		}},
		{"a sender that is slow", 0.998, 0.85, wire, func(f Figures) bool {
			return f.Inserted+f.Concealed >= 20*ms && f.Lost == 0 && f.Late == 0
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSender(narrow, 20*ms)
			s.tempo = test.tempo
			pcm := speech(8000, 20*time.Second)
			s.talk(pcm, test.path)
			b := New(nil)
			got := hear(b, s.arrivals, 20*time.Second)
			alike(t, 8000, pcm[8000:], got[8000:], test.least)
			if f := b.Figures(); !test.check(f) {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestTheDelayGrowsQuicklyAndShrinksSlowly(t *testing.T) {
	s := newSender(narrow, 20*ms)
	pcm := speech(8000, 40*time.Second)
	s.talk(pcm, func(n int, leaves time.Duration) []time.Duration {
		if n >= 250 && n < 300 && n%5 == 0 { // a bad second
			return []time.Duration{leaves + 150*ms}
		}
		return []time.Duration{leaves + 30*ms}
	})
	b := New(nil)
	var good, bad, after time.Duration
	epoch, arrivals := time.Unix(0, 0), s.arrivals
	hearUntil := func(from, to time.Duration) time.Duration {
		for due := from; due < to; due += audio.FrameTime {
			for i := range arrivals {
				if a := &arrivals[i]; a.at > due-audio.FrameTime && a.at <= due {
					b.Push(&a.packet, epoch.Add(a.at))
				}
			}
			b.Pull(epoch.Add(due))
		}
		return b.Figures().Delay
	}
	good = hearUntil(0, 5*time.Second)
	bad = hearUntil(5*time.Second, 6500*ms)
	after = hearUntil(6500*ms, 40*time.Second)
	if good > 65*ms || bad < 110*ms || bad > MaxDelay || after > 45*ms {
		t.Errorf("delay %v, after late packets %v, half a minute later %v", good, bad, after)
	}
}

func TestSilenceThatIsNotSentKeepsItsTime(t *testing.T) {
	for _, noise := range []bool{false, true} {
		t.Run(fmt.Sprintf("noise=%v", noise), func(t *testing.T) {
			s := newSender(narrow, 20*ms)
			pcm := speech(8000, 12*time.Second)
			heardAt := make([]int16, 0, len(pcm))
			for second := range 6 { // every second second is not sent
				part := pcm[second*2*8000:]
				s.talk(part[:8000], wire)
				heardAt = append(append(heardAt, part[:8000]...), make([]int16, 8000)...)
				if noise {
					p := s.packet
					p.Kind, p.Codec, p.Payload = Noise, nil, []byte{50}
					s.arrivals = append(s.arrivals, arrival{s.at + 30*ms, p})
					s.packet.Sequence++
				}
				s.pause(time.Second)
			}
			b := New(nil)
			got := hear(b, s.arrivals, 12*time.Second)
			for second := range 5 {
				from := second * 2 * 8000
				if r, _ := likeness(heardAt[from:from+8000], got[from:from+8000+1600], 1200); r < 0.99 {
					t.Errorf("second %d: correlation %.3f", second*2, r)
				}
				level := loudness(got[from+8000+1600 : from+16000-800])
				if want := 32768 * 0.00316; noise && (level < want*0.9 || level > want*1.1) { // -50 dB
					t.Errorf("second %d: noise of %.0f, want %.0f", second*2+1, level, want)
				} else if !noise && level != 0 {
					t.Errorf("second %d: %.0f, want silence", second*2+1, level)
				}
			}
			if f := b.Figures(); f.Lost != 0 || f.Late != 0 || f.Restarts != 0 || f.Concealed > 5*100*ms {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestTelephoneEventsAreNoLosses(t *testing.T) {
	s := newSender(narrow, 20*ms)
	pcm := speech(8000, 4*time.Second)
	s.talk(pcm[:16000], wire)
	event := s.packet
	event.Kind, event.Codec, event.Payload = Other, nil, nil
	for i := range 12 { // an event of 200 ms, its end three times
		event.Sequence = s.packet.Sequence
		s.packet.Sequence++
		s.arrivals = append(s.arrivals, arrival{s.at + time.Duration(min(i, 9))*20*ms + 30*ms, event})
	}
	s.pause(200 * ms)
	s.talk(pcm[17600:], wire)
	b := New(nil)
	got := hear(b, s.arrivals, 4*time.Second)
	if r, _ := likeness(pcm[:16000], got, 1200); r < 0.999 {
		t.Errorf("what was before has a correlation of %.4f", r)
	}
	if level := loudness(got[16000+1200 : 17600-100]); level != 0 {
		t.Errorf("loudness %.0f while the key is pressed, want silence", level)
	}
	if r, _ := likeness(pcm[17600:24000], got[17600:], 1200); r < 0.999 {
		t.Errorf("what comes after has a correlation of %.4f", r)
	}
	if f := b.Figures(); f.Lost != 0 || f.Late != 0 || f.Duplicates != 0 || f.Concealed > 60*ms {
		t.Errorf("%+v", f)
	}
}

func TestANewStreamTakesTheOldOnesPlace(t *testing.T) {
	for name, change := range map[string]func(s *sender){
		"another SSRC":              func(s *sender) { s.packet.SSRC, s.packet.Sequence, s.packet.Timestamp = 2, 77, 12345 },
		"numbers start again":       func(s *sender) { s.packet.Sequence -= 20000 },
		"numbers start a bit lower": func(s *sender) { s.packet.Sequence -= 50 },
		"numbers jump ahead":        func(s *sender) { s.packet.Sequence += 9000 },
		"timestamps jump ahead":     func(s *sender) { s.packet.Timestamp += 1 << 20 },
		"timestamps jump back":      func(s *sender) { s.packet.Timestamp -= 1 << 30 },
		"both":                      func(s *sender) { s.packet.Sequence, s.packet.Timestamp = 3, 0 },
		"another clock":             func(s *sender) { s.codec.clock, s.packet.Codec = 16000, linear{8000, 16000} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSender(narrow, 20*ms)
			pcm := speech(8000, 6*time.Second)
			s.talk(pcm[:2*8000], wire)
			change(s)
			s.talk(pcm[2*8000:], wire)
			b := New(nil)
			got := hear(b, s.arrivals, 6*time.Second)
			if r, _ := likeness(pcm[5*8000/2:5*8000], got[5*8000/2:], 1200); r < 0.99 {
				t.Errorf("what comes after has a correlation of %.3f", r)
			}
			if r, _ := likeness(pcm[:15000], got[:17000], 1200); r < 0.99 {
				t.Errorf("what was before has a correlation of %.3f", r)
			}
			if f := b.Figures(); f.Restarts != 1 {
				t.Errorf("%+v, want one restart", f)
			}
		})
	}
}

func TestAFewStrangePacketsChangeNothing(t *testing.T) {
	s := newSender(narrow, 20*ms)
	pcm := speech(8000, 4*time.Second)
	s.talk(pcm, func(n int, leaves time.Duration) []time.Duration {
		if n%25 == 24 {
			p := s.packet
			p.Sequence += uint16(5000 + n*3)
			p.Payload = s.codec.Encode(nil, speech(8000, 20*ms))
			s.arrivals = append(s.arrivals, arrival{leaves + 25*ms, p})
			p.Sequence, p.Payload = s.packet.Sequence+1, make([]byte, MaxPayload+1)
			s.arrivals = append(s.arrivals, arrival{leaves + 25*ms, p})
		}
		return wire(n, leaves)
	})
	b := New(nil)
	got := hear(b, s.arrivals, 5*time.Second)
	if r, _ := likeness(pcm[:3*8000], got, 1200); r < 0.9999 {
		t.Errorf("correlation %.4f", r)
	}
	if f := b.Figures(); f.Restarts != 0 || f.Lost != 0 || f.Refused != 8 {
		t.Errorf("%+v", f)
	}
}

func TestAStallOfTheNetworkIsCaughtUpWith(t *testing.T) {
	s := newSender(narrow, 20*ms)
	pcm := speech(8000, 10*time.Second)
	s.talk(pcm, func(n int, leaves time.Duration) []time.Duration {
		if n >= 100 {
			return []time.Duration{max(leaves+30*ms, 3*time.Second)}
		}
		return wire(n, leaves)
	})
	told := 0
	b := New(func(uint16) { told++ })
	hear(b, s.arrivals, 10*time.Second)
	f := b.Figures()
	if told != int(f.Discarded()) {
		t.Errorf("told of %d that were discarded, %+v", told, f)
	}
	if f.Overflow < 15 || f.Delay > MaxDelay+40*ms {
		t.Errorf("after 800 ms in which nothing came, and then all at once: %+v", f)
	}
}

func TestEveryPullIsAFrame(t *testing.T) {
	b := New(nil)
	for i := range 100 {
		pcm, rate := b.Pull(time.Unix(0, int64(i)*int64(20*ms)))
		if len(pcm) != 160 || rate != 8000 || loudness(pcm) != 0 {
			t.Fatalf("%d samples at %d of loudness %.0f before anything came", len(pcm), rate, loudness(pcm))
		}
	}
}

func TestNoAllocationOncePacketsFlow(t *testing.T) {
	b := New(nil)
	s := newSender(narrow, 20*ms)
	s.talk(speech(8000, 8*time.Second), func(n int, leaves time.Duration) []time.Duration {
		if n%9 == 4 {
			return nil
		}
		return []time.Duration{leaves + time.Duration(n%4)*7*ms}
	})
	now := time.Unix(0, 0)
	at, next := time.Duration(0), 0
	frame := func() {
		for ; next < len(s.arrivals) && s.arrivals[next].at <= at; next++ {
			b.Push(&s.arrivals[next].packet, now.Add(s.arrivals[next].at))
		}
		b.Pull(now.Add(at))
		at += audio.FrameTime
	}
	for range 100 {
		frame()
	}
	if n := testing.AllocsPerRun(250, frame); n != 0 {
		t.Errorf("%.2f allocations a frame", n)
	}
}
