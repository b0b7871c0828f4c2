package media

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/audio"
	"parley/internal/media/dtmf"
	"parley/internal/media/sdp"
)

var (
	formatG722  = sdp.Format{Type: 9, Encoding: "G722", Clock: 8000}
	formatNoise = sdp.Format{Type: 13, Encoding: comfortNoise, Clock: 8000}
	formatOpus  = sdp.Format{Type: 111, Encoding: "opus", Clock: 48000}
	eventWide   = sdp.Format{Type: 97, Encoding: telephoneEvent, Clock: 16000}
)

// between is a call between phones that know different formats.
func between(t testing.TB, a, b []sdp.Format) *call {
	t.Helper()
	c := newCall(t, startPlane(t, testConfig(), newDriver), Hooks{})
	agree(t, c.legA, c.a.speaks(a...))
	agree(t, c.legB, c.b.speaks(b...))
	return c
}

func TestLegsWithoutACommonFormatHearEachOther(t *testing.T) {
	for name, test := range map[string]struct {
		from, to sdp.Format
		least    float64
	}{
		"PCMU to PCMA":      {formatU, formatA, 0.999},
		"PCMA to PCMU":      {formatA, formatU, 0.999},
		"PCMU to G722":      {formatU, formatG722, 0.98},
		"G722 to PCMA":      {formatG722, formatA, 0.98},
		"L16 wide to PCMU":  {formatWide, formatU, 0.98},
		"PCMA to L16 wide":  {formatA, formatWide, 0.98},
		"G722 to wide L16 ": {formatG722, formatWide, 0.98},
	} {
		t.Run(name, func(t *testing.T) {
			c := between(t, []sdp.Format{test.from}, []sdp.Format{formatG729, test.to})
			k := c.a.talker(t, c.portA, test.from)
			pcm := speech(k.rate, time.Second)
			var packets []rtp.Packet
			for frame := audio.Frame(k.rate); len(pcm) >= frame; pcm = pcm[frame:] {
				c.a.send(c.a.rtp, c.portA, k.packet(pcm[:frame]))
				packets = append(packets, c.b.takes(c.portB, number(1))...)
			}
			for i, p := range packets {
				step := uint32(test.to.Clock / 50)
				if p.PayloadType != test.to.Type || p.SequenceNumber != packets[0].SequenceNumber+uint16(i) ||
					p.Timestamp != packets[0].Timestamp+uint32(i)*step || p.Marker != (i == 0) {
					t.Fatalf("packet %d: %v after %v", i, p.Header, packets[0].Header)
				}
			}
			rate := c.b.talker(t, c.portB, test.to).rate
			if r, lag := likeness(speech(rate, 900*time.Millisecond), decoded(t, test.to, packets), rate/50); r < test.least {
				t.Errorf("correlation %.4f after %d samples, want %.3f", r, lag, test.least)
			}
		})
	}
}

// Gaps and order stay visible to the peer, in the same distances.
func TestWhatIsLostStaysLostWhenItIsCodedAnew(t *testing.T) {
	c := between(t, []sdp.Format{formatU}, []sdp.Format{formatWide})
	k := c.a.talker(t, c.portA, formatU)
	pcm := speech(8000, time.Second)
	packet := func(i int) []byte { return k.packet(pcm[i*160 : (i+1)*160]) }
	send := func(b []byte) rtp.Packet {
		c.a.send(c.a.rtp, c.portA, b)
		return c.b.takes(c.portB, number(1))[0]
	}
	first := send(packet(0))
	packet(1)
	third, late := packet(2), packet(3)
	if got := send(packet(4)); got.SequenceNumber != first.SequenceNumber+4 || got.Timestamp != first.Timestamp+4*320 {
		t.Errorf("%v after %v with three between them", got.Header, first.Header)
	}
	if got := send(late); got.SequenceNumber != first.SequenceNumber+3 || got.Timestamp != first.Timestamp+3*320 {
		t.Errorf("a late one is %v, the first was %v", got.Header, first.Header)
	}
	if got := send(third); got.SequenceNumber != first.SequenceNumber+2 || got.Timestamp != first.Timestamp+2*320 {
		t.Errorf("a later one is %v, the first was %v", got.Header, first.Header)
	}
}

func TestEqualFormatsPassAsTheyAre(t *testing.T) {
	for name, f := range map[string]sdp.Format{"opus": formatOpus, "G729": formatG729, "something new": {Type: 120, Encoding: "lyra", Clock: 16000}} {
		t.Run(name, func(t *testing.T) {
			there := f
			there.Type = 99
			c := between(t, []sdp.Format{f, formatU}, []sdp.Format{formatA, there})
			b := c.a.next(f.Type, []byte("nobody here can read this"))
			c.a.send(c.a.rtp, c.portA, b)
			if got := c.b.takes(c.portB, number(1))[0]; got.PayloadType != 99 || string(got.Payload) != "nobody here can read this" {
				t.Errorf("heard %v", got)
			}
			// And what the other side does not know is coded anew beside it.
			k := c.a.talker(t, c.portA, formatU)
			c.a.send(c.a.rtp, c.portA, k.packet(speech(8000, 20*time.Millisecond)))
			if got := c.b.takes(c.portB, number(1))[0]; got.PayloadType != 8 || len(got.Payload) != 160 {
				t.Errorf("heard %v", got)
			}
		})
	}
}

func TestEventsBetweenClocks(t *testing.T) {
	c := between(t, []sdp.Format{formatU, formatEvent}, []sdp.Format{formatWide, eventWide})
	k := c.a.talker(t, c.portA, formatU)
	pcm := speech(8000, time.Second)
	var packets []rtp.Packet
	send := func(b []byte) {
		c.a.send(c.a.rtp, c.portA, b)
		packets = append(packets, c.b.takes(c.portB, number(1))...)
	}
	send(k.packet(pcm[:160]))
	begin := c.a.header.Timestamp
	for i := range 7 {
		payload := []byte{5, 10, 0, 0}
		binary.BigEndian.PutUint16(payload[2:], uint16(160*min(i+1, 5)))
		if i >= 4 {
			payload[1] |= 0x80
		}
		c.a.header.Timestamp = begin
		send(c.a.next(101, payload))
	}
	c.a.header.Timestamp = begin + 5*160
	send(k.packet(pcm[160:320]))
	if got := keysOf(packets, eventWide.Type, 16000); got != "5" {
		t.Errorf("keys %q", got)
	}
	first, last := packets[0], packets[len(packets)-1]
	if d := binary.BigEndian.Uint16(packets[7].Payload[2:]); d != 1600 {
		t.Errorf("an event of %d units, want 1600", d)
	}
	for _, p := range packets[1:8] {
		if p.Timestamp != first.Timestamp+320 {
			t.Errorf("an event at %d, want %d", p.Timestamp, first.Timestamp+320)
		}
	}
	if last.Timestamp != first.Timestamp+6*320 || last.SequenceNumber != first.SequenceNumber+8 {
		t.Errorf("goes on with %v after %v", last.Header, first.Header)
	}
}

func TestEventsBecomeTonesForAPeerWithoutThem(t *testing.T) {
	c := between(t, []sdp.Format{formatU, formatEvent}, []sdp.Format{formatU})
	k := c.a.talker(t, c.portA, formatU)
	c.a.send(c.a.rtp, c.portA, k.packet(speech(8000, 20*time.Millisecond)))
	last := c.b.takes(c.portB, number(1))[0]
	var w dtmf.Writer
	if err := w.Press("8"); err != nil {
		t.Fatal(err)
	}
	for stamp := c.a.header.Timestamp; w.Busy(); stamp += 160 {
		if p, ok := w.Next(stamp, 160, 8000); ok {
			c.a.header.Timestamp = p.Stamp
			c.a.send(c.a.rtp, c.portA, c.a.next(101, p.Payload[:]))
		}
	}
	packets := c.b.takes(c.portB, number(9))
	if got := heardKey(decoded(t, formatU, packets)[80:720], 8000); got != '8' {
		t.Errorf("key %q", got)
	}
	if packets[0].SequenceNumber != last.SequenceNumber+1 {
		t.Errorf("%v after %v: the events that did not pass look like losses", packets[0].Header, last.Header)
	}
}

func TestComfortNoiseThatThePeerDoesNotKnow(t *testing.T) {
	c := between(t, []sdp.Format{formatU, formatNoise}, []sdp.Format{formatA})
	k := c.a.talker(t, c.portA, formatU)
	pcm := speech(8000, time.Second)
	c.a.send(c.a.rtp, c.portA, k.packet(pcm[:160]))
	first := c.b.takes(c.portB, number(1))[0]
	c.a.send(c.a.rtp, c.portA, c.a.next(13, []byte{60}))
	c.a.header.Timestamp += 10 * 160
	c.a.send(c.a.rtp, c.portA, k.packet(pcm[160:320]))
	got := c.b.takes(c.portB, number(1))[0]
	if got.SequenceNumber != first.SequenceNumber+1 || got.Timestamp != first.Timestamp+12*160 {
		t.Errorf("%v after %v: a pause looks like a loss", got.Header, first.Header)
	}
}

func TestGarbageIsNotCodedAnew(t *testing.T) {
	c := between(t, []sdp.Format{formatU, formatWide}, []sdp.Format{formatA})
	for _, b := range [][]byte{c.a.next(0, nil), c.a.next(96, make([]byte, 1601)), c.a.next(96, []byte{1})} {
		c.a.send(c.a.rtp, c.portA, b)
	}
	padded := c.a.next(0, []byte{1, 2, 3, 200})
	padded[0] |= 0x20 // the padding is longer than the packet
	c.a.send(c.a.rtp, c.portA, padded)
	eventually(t, "all to be dropped", func() bool { return c.legA.Stats().Dropped == 4 })
	c.b.silence(c.b.rtp)
}

// opusSpeech is what make.sh of the codec's tests made: packets of Opus, and what they sound like at 16 kHz.
func opusSpeech(t testing.TB) (packets [][]byte, sound []int16) {
	t.Helper()
	b, err := os.ReadFile("codec/testdata/opus/hybrid.packets")
	if err != nil {
		t.Fatal(err)
	}
	for len(b) >= 2 {
		n := 2 + int(binary.LittleEndian.Uint16(b))
		packets, b = append(packets, b[2:n]), b[n:]
	}
	if b, err = os.ReadFile("codec/testdata/opus/hybrid.raw"); err != nil {
		t.Fatal(err)
	}
	for ; len(b) >= 2; b = b[2:] {
		sound = append(sound, int16(binary.LittleEndian.Uint16(b)))
	}
	return packets, sound
}

// A browser that speaks Opus is heard by a phone that does not; a phone is heard by a browser in what else that knows.
func TestOpusIsHeardByPhonesWithoutIt(t *testing.T) {
	c := between(t, []sdp.Format{formatOpus, formatU}, []sdp.Format{formatA})
	payloads, want := opusSpeech(t)
	step := uint32(len(want) / len(payloads)) // samples of a packet at 16 kHz
	var packets []rtp.Packet
	for i, payload := range payloads {
		b := c.a.next(formatOpus.Type, payload)
		c.a.header.Timestamp += 3*step - 160
		c.a.send(c.a.rtp, c.portA, b)
		packets = append(packets, c.b.takes(c.portB, number(1))...)
		if p := packets[i]; p.PayloadType != 8 || p.Timestamp != packets[0].Timestamp+uint32(i)*step/2 {
			t.Fatalf("packet %d: %v after %v", i, p.Header, packets[0].Header)
		}
	}
	half, err := audio.NewResampler(audio.Wide, audio.Narrow)
	if err != nil {
		t.Fatal(err)
	}
	narrow := half.Resample(nil, want)
	if r, _ := likeness(narrow[:len(narrow)-200], decoded(t, formatA, packets), 200); r < 0.98 {
		t.Errorf("correlation %.3f", r)
	}
	k := c.b.talker(t, c.portB, formatA)
	c.b.send(c.b.rtp, c.portB, k.packet(speech(8000, 20*time.Millisecond)))
	if got := c.a.takes(c.portA, number(1))[0]; got.PayloadType != 0 || len(got.Payload) != 160 {
		t.Errorf("the browser hears %v", got.Header)
	}
}

// Many gateways go on sending sound while a key is pressed. Sound that is coded anew and events that pass are one stream, so
// that all packets of an event have one timestamp still.
func TestEventsBetweenSoundThatIsCodedAnew(t *testing.T) {
	c := between(t, []sdp.Format{formatU, formatEvent}, []sdp.Format{formatA, formatEvent})
	k := c.a.talker(t, c.portA, formatU)
	pcm := speech(8000, time.Second)
	var packets []rtp.Packet
	send := func(b []byte) {
		c.a.send(c.a.rtp, c.portA, b)
		packets = append(packets, c.b.takes(c.portB, number(1))...)
	}
	send(k.packet(pcm[:160]))
	begin := c.a.header.Timestamp
	for i := range 7 {
		payload := []byte{5, 10, 0, 0}
		binary.BigEndian.PutUint16(payload[2:], uint16(160*min(i+1, 5)))
		if i >= 4 {
			payload[1] |= 0x80
		}
		now := c.a.header.Timestamp
		c.a.header.Timestamp = begin
		send(c.a.next(formatEvent.Type, payload))
		c.a.header.Timestamp = now
		send(k.packet(pcm[160:320]))
	}
	if got := keysOf(packets, formatEvent.Type, 8000); got != "5" {
		t.Errorf("keys %q, one 5 was pressed", got)
	}
	for i, p := range packets {
		want := packets[0].Timestamp + uint32(160*((i+1)/2))
		if p.PayloadType == formatEvent.Type {
			want = packets[0].Timestamp + 160
		}
		if p.Timestamp != want || p.SequenceNumber != packets[0].SequenceNumber+uint16(i) {
			t.Errorf("packet %d: %v after %v", i, p.Header, packets[0].Header)
		}
	}
}

// Who dials from memory presses faster than the tones are long that are made of it; each key is heard.
func TestKeysThatComeFasterThanTheirTones(t *testing.T) {
	c := between(t, []sdp.Format{formatU, formatEvent}, []sdp.Format{formatU})
	for _, key := range []byte{1, 2, 3} {
		begin := c.a.header.Timestamp
		for i := range 5 {
			payload := []byte{key, 10, 0, 0}
			binary.BigEndian.PutUint16(payload[2:], uint16(160*min(i+1, 3)))
			if i >= 2 {
				payload[1] |= 0x80
			}
			c.a.header.Timestamp = begin
			c.a.send(c.a.rtp, c.portA, c.a.next(formatEvent.Type, payload))
		}
		c.a.header.Timestamp = begin + 800
	}
	pcm := decoded(t, formatU, c.b.takes(c.portB, number(25)))
	var heard []byte
	for at := 80; at+640 <= len(pcm); at += 1600 { // 100 ms of each key, and as long a pause
		heard = append(heard, heardKey(pcm[at:at+640], 8000))
	}
	if string(heard) != "123" {
		t.Errorf("heard %q, pressed 123", heard)
	}
}
