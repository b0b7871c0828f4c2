package media

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"parley/internal/media/audio"
	"parley/internal/voice"
)

// recorded sends packets that were coded before, whatever it is given.
type recorded struct{ packets [][]byte }

func (r *recorded) Encode(dst []byte, _ []int16) []byte {
	dst = append(dst, r.packets[0]...)
	r.packets = r.packets[1:]
	return dst
}

// opusOf is packets of 20 ms that libopus coded, and what it hears in them itself at 16 kHz (see make.sh beside them).
func opusOf(t *testing.T, mode string) (packets [][]byte, want []int16) {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile("codec/testdata/opus/" + mode + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for b := read(".packets"); len(b) >= 2; {
		n := 2 + int(binary.LittleEndian.Uint16(b))
		packets, b = append(packets, b[2:n]), b[n:]
	}
	for b := read(".raw"); len(b) >= 2; b = b[2:] {
		want = append(want, int16(binary.LittleEndian.Uint16(b)))
	}
	return packets, want
}

// A phone that sends Opus is heard, in each of its modes.
func TestOpusIsHeard(t *testing.T) {
	for _, mode := range []string{"silk", "hybrid", "celt"} {
		packets, want := opusOf(t, mode)
		l, ph, port := played(t, formatOpus, formatU)
		k := ph.talker(t, port, formatOpus)
		k.encoder = &recorded{packets}
		heard := newRecorder(audio.Wide, time.Duration(len(packets))*audio.FrameTime+time.Second/2)
		l.Listen(heard)
		k.say(make([]int16, len(packets)*audio.Frame(audio.Wide)))
		understood(t, audio.Wide, want, heard.sound(t), .95)
	}
}

// What we say to it ourselves goes in the codec that it knows besides.
func TestOpusIsNotSpoken(t *testing.T) {
	l, ph, port := played(t, formatOpus, formatA)
	done, ended := result()
	l.Play(newTape(audio.Narrow, 100*time.Millisecond), done)
	for _, p := range ph.takes(port, number(5)) {
		if p.PayloadType != formatA.Type {
			t.Errorf("payload type %d was sent, want %d", p.PayloadType, formatA.Type)
		}
	}
	ends(t, ended, nil)

	l, _, _ = played(t, formatOpus)
	done, ended = result()
	l.Play(newTape(audio.Narrow, 100*time.Millisecond), done)
	ends(t, ended, voice.ErrInvalid)
}
