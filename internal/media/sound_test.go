package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/audio"
	"parley/internal/media/codec"
	"parley/internal/media/sdp"
)

var (
	formatU     = sdp.Format{Type: 0, Encoding: "PCMU", Clock: 8000}
	formatA     = sdp.Format{Type: 8, Encoding: "PCMA", Clock: 8000}
	formatWide  = sdp.Format{Type: 96, Encoding: "L16", Clock: 16000}
	formatEvent = sdp.Format{Type: 101, Encoding: telephoneEvent, Clock: 8000}
	formatG729  = sdp.Format{Type: 18, Encoding: "G729", Clock: 8000}
)

// speaks is what is agreed with a phone that knows these formats, best first.
func (p *phone) speaks(formats ...sdp.Format) Agreement {
	return Agreement{Remote: p.remote(), Direction: sdp.SendRecv, Send: formats, Receive: formats}
}

// speech is sound that is nowhere like itself: words with a pitch that rises and falls, and pauses between them.
func speech(rate int, d time.Duration) []int16 {
	pcm := make([]int16, int(d)*rate/int(time.Second))
	phase := 0.0
	for i := range pcm {
		t := float64(i) / float64(rate)
		phase += 2 * math.Pi * (120 + 40*math.Sin(2*math.Pi*0.37*t) + 10*t) / float64(rate)
		loud := math.Max(0.1, math.Sin(2*math.Pi*1.3*t)+0.5) * 5000
		pcm[i] = int16(loud * (math.Sin(phase) + 0.5*math.Sin(2*phase+1) + 0.3*math.Sin(3*phase+2)))
	}
	return pcm
}

// tape is a source that plays what it has, and then says EOF.
type tape struct {
	rate int
	pcm  []int16
	mu   sync.Mutex
	read int // samples so far
}

func newTape(rate int, d time.Duration) *tape { return &tape{rate: rate, pcm: speech(rate, d)} }

func (t *tape) Rate() int { return t.rate }

func (t *tape) Read(dst []int16) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := copy(dst, t.pcm[t.read:])
	t.read += n
	if n < len(dst) {
		return n, io.EOF
	}
	return n, nil
}

// endless is a source of silence.
type endless int

func (e endless) Rate() int { return int(e) }

func (endless) Read(dst []int16) (int, error) {
	clear(dst)
	return len(dst), nil
}

// recorder is a sink that keeps all, until it has enough.
type recorder struct {
	rate   int
	mu     sync.Mutex
	pcm    []int16
	enough int
	full   chan struct{} // closed when there is enough
}

func newRecorder(rate int, d time.Duration) *recorder {
	return &recorder{rate: rate, enough: int(d) * rate / int(time.Second), full: make(chan struct{})}
}

func (r *recorder) Rate() int { return r.rate }

func (r *recorder) Write(pcm []int16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.pcm) >= r.enough
	r.pcm = append(r.pcm, pcm...)
	if !before && len(r.pcm) >= r.enough {
		close(r.full)
	}
	return nil
}

// sound waits until there is enough, and returns it.
func (r *recorder) sound(t testing.TB) []int16 {
	t.Helper()
	select {
	case <-r.full:
	case <-time.After(patience):
		t.Fatalf("only %d samples came, want %d", len(r.so()), r.enough)
	}
	return r.so()
}

func (r *recorder) so() []int16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int16(nil), r.pcm...)
}

// takes collects packets from our port until enough says so.
func (p *phone) takes(port uint16, enough func(all []rtp.Packet) bool) []rtp.Packet {
	p.t.Helper()
	var all []rtp.Packet
	for !enough(all) {
		var one rtp.Packet
		if err := one.Unmarshal(p.datagram(p.rtp, port)); err != nil {
			p.t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// came is what came and was not looked at yet.
func (p *phone) came() []rtp.Packet {
	p.t.Helper()
	var all []rtp.Packet
	b := make([]byte, maxDatagram)
	for {
		if err := p.rtp.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			p.t.Fatal(err)
		}
		n, err := p.rtp.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		var one rtp.Packet
		if err := errors.Join(err, one.Unmarshal(bytes.Clone(b[:n]))); err != nil {
			p.t.Fatal(err)
		}
		all = append(all, one)
	}
}

// number is enough packets.
func number(n int) func([]rtp.Packet) bool {
	return func(all []rtp.Packet) bool { return len(all) >= n }
}

// decoded is the sound of packets, one after the other.
func decoded(t testing.TB, f sdp.Format, packets []rtp.Packet) []int16 {
	t.Helper()
	c, ok := codec.Find(f.Encoding, f.Clock)
	if !ok {
		t.Fatalf("no codec for %v", f)
	}
	var pcm []int16
	d := c.NewDecoder()
	for _, p := range packets {
		if p.PayloadType != f.Type {
			continue
		}
		var err error
		if pcm, err = d.Decode(pcm, p.Payload); err != nil {
			t.Fatal(err)
		}
	}
	return pcm
}

// talker sends sound to one of our ports as a phone does: a packet every 20 ms by its own clock.
type talker struct {
	phone   *phone
	port    uint16
	format  sdp.Format
	encoder codec.Encoder
	rate    int
	path    func(n int) int // how often packet n goes; nil for once
}

func (p *phone) talker(t testing.TB, port uint16, f sdp.Format) *talker {
	t.Helper()
	c, ok := codec.Find(f.Encoding, f.Clock)
	if !ok {
		t.Fatalf("no codec for %v", f)
	}
	return &talker{phone: p, port: port, format: f, encoder: c.NewEncoder(), rate: c.Rate()}
}

// packet makes the next packet of sound.
func (k *talker) packet(pcm []int16) []byte {
	h := &k.phone.header
	b := k.phone.next(k.format.Type, k.encoder.Encode(nil, pcm))
	h.Timestamp += uint32(len(pcm)*int(k.format.Clock)/k.rate) - 160
	return b
}

// say sends sound in time. It returns when all is sent.
func (k *talker) say(pcm []int16) {
	k.phone.t.Helper()
	frame := audio.Frame(k.rate)
	start := time.Now()
	for n := 0; len(pcm) >= frame; n++ {
		b := k.packet(pcm[:frame])
		pcm = pcm[frame:]
		times := 1
		if k.path != nil {
			times = k.path(n)
		}
		for range times {
			k.phone.send(k.phone.rtp, k.port, b)
		}
		<-time.After(time.Until(start.Add(time.Duration(n+1) * audio.FrameTime)))
	}
}

// swallow reads what comes to a socket and forgets it, until the socket is closed.
func swallow(conn *net.UDPConn) {
	b := make([]byte, maxDatagram)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// likeness is the correlation of want with got, which may be later by up to most samples, where they fit best; and that delay.
func likeness(want, got []int16, most int) (float64, int) {
	best, at := 0.0, 0
	for lag := range min(most, len(got)) {
		if r := correlation(want, got[lag:], 8); r > best {
			best, at = r, lag
		}
	}
	return correlation(want, got[min(at, len(got)):], 1), at
}

// understood fails unless most of got is like want, part by part, each up to half a second late. Not all of it has to be: where
// tests share a machine with others, its threads may not run for longer than any buffer waits.
func understood(t testing.TB, rate int, want, got []int16, least float64) {
	t.Helper()
	if bad := misunderstood(rate, want, got, least); bad != "" {
		t.Error(bad)
	}
}

// misunderstood says what is wrong; "" is nothing.
func misunderstood(rate int, want, got []int16, least float64) string {
	part, late := rate/5, rate/2
	parts, unlike, worst := 0, 0, 1.0
	for at := 0; at+part+late <= min(len(want)+late, len(got)); at += part {
		if loudness(want[at:at+part]) < 300 {
			continue
		}
		parts++
		if r, _ := likeness(want[at:at+part], got[at:at+part+late], late); r < least {
			unlike++
			worst = min(worst, r)
		}
	}
	if parts == 0 || unlike > parts*4/10 {
		return fmt.Sprintf("at %d: %d of %d parts have a correlation below %.3f, the worst %.3f", rate, unlike, parts, least, worst)
	}
	return ""
}

// correlation looks at every step-th sample.
func correlation(a, b []int16, step int) float64 {
	var product, energyA, energyB float64
	for i := 0; i < min(len(a), len(b)); i += step {
		x, y := float64(a[i]), float64(b[i])
		product += x * y
		energyA += x * x
		energyB += y * y
	}
	return product / math.Sqrt(max(1, energyA*energyB))
}

func loudness(pcm []int16) float64 {
	var sum float64
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(1, len(pcm))))
}
