package phone

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Payload types of our offers (RFC 3551, RFC 4733).
const (
	PCMU   = 0
	Digits = 101
)

// Audio is one end of RTP and RTCP on a pair of ports of loopback. It keeps what comes; tests ask for it.
type Audio struct {
	t         testing.TB
	rtp, ctrl *net.UDPConn
	ssrc      uint32

	mu   sync.Mutex // guards what follows
	seq  uint16
	ts   uint32
	got  []Packet
	rtcp [][]byte
	sr   struct { // the last sender report that came: the middle of its NTP time, and when it came
		middle uint32
		at     time.Time
	}
	wg sync.WaitGroup
}

// Packet is one RTP packet that came.
type Packet struct {
	Type    int
	Seq     uint16
	Time    uint32
	SSRC    uint32
	Marker  bool
	Payload []byte
	From    net.Addr
	At      time.Time
}

// OpenAudio opens an end; it closes with the test.
func OpenAudio(t testing.TB) *Audio {
	t.Helper()
	open := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := &Audio{t: t, rtp: open(), ctrl: open(), ssrc: uint32(time.Now().UnixNano())}
	a.wg.Go(func() { a.read(a.rtp, a.packet) })
	a.wg.Go(func() { a.read(a.ctrl, a.report) })
	t.Cleanup(func() {
		a.rtp.Close()
		a.ctrl.Close()
		a.wg.Wait()
	})
	return a
}

func (a *Audio) read(c *net.UDPConn, take func([]byte, net.Addr)) {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		take(slices.Clone(buf[:n]), from)
	}
}

func (a *Audio) packet(b []byte, from net.Addr) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, Packet{Type: int(b[1] & 0x7f), Marker: b[1]&0x80 != 0, Seq: binary.BigEndian.Uint16(b[2:]),
		Time: binary.BigEndian.Uint32(b[4:]), SSRC: binary.BigEndian.Uint32(b[8:]), Payload: b[12:], From: from, At: time.Now()})
}

func (a *Audio) report(b []byte, _ net.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rtcp = append(a.rtcp, b)
	if len(b) >= 28 && b[1] == 200 {
		a.sr.middle, a.sr.at = binary.BigEndian.Uint32(b[10:]), time.Now()
	}
}

// Got is what came so far.
func (a *Audio) Got() []Packet {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

// Reports is the RTCP that came so far.
func (a *Audio) Reports() [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.rtcp)
}

// SSRC names what this end sends.
func (a *Audio) SSRC() uint32 { return a.ssrc }

// Offer describes the end: G.711 u-law and digits. direction is sendrecv, sendonly, recvonly or inactive.
func (a *Audio) Offer(direction string) string {
	return Offer(a.rtp.LocalAddr().(*net.UDPAddr).Port, a.ctrl.LocalAddr().(*net.UDPAddr).Port, direction)
}

// Offer describes an end at ports of loopback.
func Offer(rtp, rtcp int, direction string) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP %d %d\r\na=rtpmap:%[2]d PCMU/8000\r\na=rtpmap:%[3]d telephone-event/8000\r\na=fmtp:%[3]d 0-15\r\na=rtcp:%[4]d\r\na=%[5]s\r\n",
		rtp, PCMU, Digits, rtcp, direction)
}

// answerTo is our description as the answer to an offer: with the direction that goes with the offer's (RFC 3264 §6.1).
func answerTo(ours, offer string) string {
	for theirs, answer := range map[string]string{"a=sendonly": "recvonly", "a=recvonly": "sendonly", "a=inactive": "inactive"} {
		if strings.Contains(offer, theirs) {
			for _, d := range []string{"sendrecv", "sendonly", "recvonly", "inactive"} {
				ours = strings.Replace(ours, "a="+d, "a="+answer, 1)
			}
			return ours
		}
	}
	return ours
}

// Ends reads from a description where RTP and RTCP go.
func Ends(sdp string) (rtp, rtcp *net.UDPAddr, err error) {
	host, port, control := "", 0, 0
	for _, l := range strings.Split(sdp, "\r\n") {
		f := strings.Fields(l)
		switch {
		case strings.HasPrefix(l, "c=IN IP4 ") && len(f) == 3:
			host = f[2]
		case strings.HasPrefix(l, "m=audio ") && len(f) > 2:
			if port, err = strconv.Atoi(f[1]); err != nil {
				return nil, nil, err
			}
		case strings.HasPrefix(l, "a=rtcp:"):
			if control, err = strconv.Atoi(strings.TrimPrefix(f[0], "a=rtcp:")); err != nil {
				return nil, nil, err
			}
		}
	}
	if host == "" || port == 0 {
		return nil, nil, fmt.Errorf("no audio in %q", sdp)
	}
	if control == 0 {
		control = port + 1
	}
	ip := net.ParseIP(host)
	return &net.UDPAddr{IP: ip, Port: port}, &net.UDPAddr{IP: ip, Port: control}, nil
}

// Say sends one packet of 20 ms of audio.
func (a *Audio) Say(to *net.UDPAddr, payload []byte) {
	a.mu.Lock()
	a.seq, a.ts = a.seq+1, a.ts+160
	b := a.header(PCMU, false, a.ts)
	a.mu.Unlock()
	a.write(a.rtp, append(b, payload...), to)
}

// Press sends a digit as RFC 4733 §2.5 has it: the event while it lasts, and its end three times.
func (a *Audio) Press(to *net.UDPAddr, event byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ts += 160
	const steps = 5
	for i := 1; i <= steps+2; i++ {
		a.seq++
		end, duration := byte(0), uint16(160*min(i, steps))
		if i >= steps {
			end = 0x80
		}
		b := append(a.header(Digits, i == 1, a.ts), event, end|10)
		a.write(a.rtp, binary.BigEndian.AppendUint16(b, duration), to)
	}
}

// Report sends a receiver report about nobody (RFC 3550 §6.4.2) with our name.
func (a *Audio) Report(to *net.UDPAddr) {
	b := binary.BigEndian.AppendUint32([]byte{0x80, 201, 0, 1}, a.ssrc)
	name := "x@y"
	b = binary.BigEndian.AppendUint32(append(b, 0x81, 202, 0, 3), a.ssrc)
	b = append(append(append(b, 1, byte(len(name))), name...), 0, 0, 0)
	a.write(a.ctrl, b, to)
}

// Loss is how many packets of the stream that comes were lost of those that should have come (RFC 3550 A.3), as the highest
// number tells. The stream must be one, and shorter than its numbers.
func (a *Audio) Loss() (lost, expected int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return loss(a.got)
}

func loss(got []Packet) (lost, expected int) {
	if len(got) == 0 {
		return 0, 0
	}
	seen, high := map[uint16]bool{}, uint16(0)
	for _, p := range got {
		seen[p.Seq] = true
		if ahead := p.Seq - got[0].Seq; ahead < 1<<15 {
			high = max(high, ahead)
		}
	}
	return int(high) + 1 - len(seen), int(high) + 1
}

// ReportHeard sends a receiver report about what came (RFC 3550 §6.4.2): losses, jitter of A.8, and the answer to the last
// sender report.
func (a *Audio) ReportHeard(to *net.UDPAddr) {
	a.mu.Lock()
	got, sr := slices.Clone(a.got), a.sr
	a.mu.Unlock()
	if len(got) == 0 {
		return
	}
	lost, expected := loss(got)
	held := uint32(0)
	if !sr.at.IsZero() {
		held = uint32(time.Since(sr.at) * 65536 / time.Second)
	}
	b := binary.BigEndian.AppendUint32([]byte{0x81, 201, 0, 7}, a.ssrc)
	for _, word := range []uint32{got[0].SSRC, uint32(lost) & 0xffffff, uint32(got[0].Seq) + uint32(expected) - 1, uint32(Jitter(got) * 8), sr.middle, held} {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	a.write(a.ctrl, b, to)
}

// Jitter of packets of 8,000 ticks a second, in milliseconds, as RFC 3550 A.8 computes it.
func Jitter(got []Packet) (ms float64) {
	for i := 1; i < len(got); i++ {
		spacing := got[i].At.Sub(got[i-1].At).Seconds() * 1000
		d := spacing - float64(int32(got[i].Time-got[i-1].Time))/8
		ms += (max(d, -d) - ms) / 16
	}
	return ms
}

func (a *Audio) header(pt byte, marker bool, ts uint32) []byte {
	if marker {
		pt |= 0x80
	}
	b := binary.BigEndian.AppendUint16([]byte{0x80, pt}, a.seq)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, ts), a.ssrc)
}

func (a *Audio) write(c *net.UDPConn, b []byte, to *net.UDPAddr) {
	if _, err := c.WriteToUDP(b, to); err != nil {
		a.t.Errorf("send audio: %v", err)
	}
}
