package media

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/audio"
	"parley/internal/media/dtmf"
	"parley/internal/media/sdp"
)

// keysOf reads the keys that telephone-events of a payload type tell.
func keysOf(packets []rtp.Packet, payload uint8, clock uint32) string {
	var r dtmf.Reader
	var done []dtmf.Digit
	now := time.Now()
	for _, p := range packets {
		if p.PayloadType == payload {
			done = r.Packet(&p.Header, p.Payload, clock, now, done)
		}
	}
	var keys []byte
	for _, d := range done {
		keys = append(keys, d.Key)
	}
	return string(keys)
}

// ended is enough packets for so many telephone-events with all their ends.
func ended(payload uint8, events int) func([]rtp.Packet) bool {
	return func(all []rtp.Packet) bool {
		ends := 0
		for _, p := range all {
			if p.PayloadType == payload && p.Payload[1]&0x80 != 0 {
				ends++
			}
		}
		return ends >= 3*events
	}
}

func TestKeysAreTelephoneEvents(t *testing.T) {
	l, ph, port := played(t, formatU, formatEvent)
	if err := l.Press("1#D5"); err != nil {
		t.Fatal(err)
	}
	packets := ph.takes(port, ended(101, 4))
	if got := keysOf(packets, 101, 8000); got != "1#D5" {
		t.Errorf("keys %q", got)
	}
	var begin rtp.Packet
	var duration uint16
	for i, p := range packets {
		if p.SequenceNumber != packets[0].SequenceNumber+uint16(i) {
			t.Fatalf("packet %d: %v after %v", i, p.Header, packets[0].Header)
		}
		now := binary.BigEndian.Uint16(p.Payload[2:])
		if p.Marker {
			if later := p.Timestamp - begin.Timestamp; i > 0 && later < 8*160 {
				t.Errorf("a key begins %d units after the one before", later)
			}
			begin, duration = p, 0
		} else if p.Timestamp != begin.Timestamp {
			t.Errorf("timestamp %d within an event that began at %d", p.Timestamp, begin.Timestamp)
		}
		if now < duration || now == duration && p.Payload[1]&0x80 == 0 {
			t.Errorf("duration %d after %d", now, duration)
		}
		duration = now
	}
}

func TestKeysGoBetweenSoundThatIsPlayed(t *testing.T) {
	l, ph, port := played(t, formatU, formatEvent)
	l.Play(newTape(audio.Narrow, 2*time.Second), nil)
	before := ph.takes(port, number(10))
	if err := l.Press("42"); err != nil {
		t.Fatal(err)
	}
	packets := append(before, ph.takes(port, ended(101, 2))...)
	after := ph.takes(port, number(20))
	packets = append(packets, after...)
	if got := keysOf(packets, 101, 8000); got != "42" {
		t.Errorf("keys %q", got)
	}
	first, last := packets[0], packets[0]
	for i, p := range packets[1:] {
		if p.SequenceNumber != last.SequenceNumber+1 || int32(p.Timestamp-last.Timestamp) < 0 {
			t.Errorf("packet %d: %v after %v", i+1, p.Header, last.Header)
		}
		last = p
	}
	// The timestamps know how long the keys took: all in all as many as the time that went by.
	if span, packets := last.Timestamp-first.Timestamp, uint32(10+20+20); span < (packets-4)*160 || span > (packets+50)*160 { // a busy machine may be a second late
		t.Errorf("%d units of timestamps go by with two keys between 30 packets", span)
	}
	// The source went on meanwhile.
	got := decoded(t, formatU, after)
	if r, lag := likeness(got, speech(8000, 2*time.Second)[20*160:], 30*160); r < 0.98 || lag < 6*160 || lag > 14*160 {
		t.Errorf("goes on with a correlation of %.3f at frame %d, want 30", r, 20+lag/160)
	}
}

func TestKeysToAPeerWithoutEventsAreTones(t *testing.T) {
	for name, format := range map[string]sdp.Format{"narrow": formatA, "wide": formatWide} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, ph, port := played(t, format)
			if err := l.Press("7*"); err != nil {
				t.Fatal(err)
			}
			rate := int(format.Clock)
			pcm := decoded(t, format, ph.takes(port, number(19)))
			for i, key := range []byte("7*") {
				from := rate * i / 5
				tone, pause := pcm[from+rate/100:from+rate*9/100], pcm[from+rate*11/100:min(len(pcm), from+rate*19/100)]
				if got := heardKey(tone, rate); got != key {
					t.Errorf("key %q sounds like %q", key, got)
				}
				if loudness(pause) > loudness(tone)/30 {
					t.Errorf("after key %q a pause with loudness %.0f of %.0f", key, loudness(pause), loudness(tone))
				}
			}
		})
	}
}

// heardKey is the key whose frequencies are the loudest.
func heardKey(pcm []int16, rate int) byte {
	loudest := func(of []float64) int {
		best, most := 0, 0.0
		for i, hz := range of {
			var sin, cos float64
			for n, v := range pcm {
				turn := 2 * math.Pi * hz * float64(n) / float64(rate)
				sin += float64(v) * math.Sin(turn)
				cos += float64(v) * math.Cos(turn)
			}
			if e := math.Hypot(sin, cos); e > most {
				best, most = i, e
			}
		}
		return best
	}
	return "123A456B789C*0#D"[4*loudest([]float64{697, 770, 852, 941})+loudest([]float64{1209, 1336, 1477, 1633})]
}

func TestKeysThatCannotBe(t *testing.T) {
	l, ph, port := played(t, formatU, formatEvent)
	if err := l.Press("12x"); err == nil {
		t.Error("x was pressed")
	}
	if err := l.Press(strings.Repeat("1", dtmf.MaxQueue+1)); err == nil {
		t.Errorf("more than %d keys wait", dtmf.MaxQueue)
	}
	if err := l.Press(""); err != nil {
		t.Error(err)
	}
	if err := l.Press("3"); err != nil {
		t.Error(err)
	}
	if got := keysOf(ph.takes(port, ended(101, 1)), 101, 8000); got != "3" {
		t.Errorf("keys %q", got)
	}
	eventually(t, "nothing is pressed", func() bool { return l.plane.clock.Stats().Playing == 0 })
	l.Close()
	if err := l.Press("1"); err == nil {
		t.Error("a key was pressed on a leg that is closed")
	}
}

func TestTheJoinedLegIsHeardAgainAfterKeys(t *testing.T) {
	c := newCall(t, startPlane(t, testConfig(), newDriver), Hooks{})
	c.talk()
	if err := c.legB.Press("9"); err != nil {
		t.Fatal(err)
	}
	packets := c.b.takes(c.portB, ended(101, 1))
	last := packets[len(packets)-1]
	eventually(t, "nothing is pressed", func() bool { return c.legB.plane.clock.Stats().Playing == 0 })
	got := c.b.hears(c.b.rtp, c.a.audio(c.portA), c.portB)
	if got.SequenceNumber != last.SequenceNumber+1 || !got.Marker || int32(got.Timestamp-last.Timestamp) < 7*160 {
		t.Errorf("goes on with %v after %v", got.Header, last.Header)
	}
}
