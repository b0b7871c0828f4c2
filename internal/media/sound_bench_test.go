package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/audio"
	"parley/internal/media/codec"
	"parley/internal/media/sdp"
)

// loop is a source without an end.
type loop struct {
	tape
	at int
}

func (l *loop) Read(dst []int16) (int, error) {
	for n := 0; n < len(dst); {
		if l.at == len(l.pcm) {
			l.at = 0
		}
		m := copy(dst[n:], l.pcm[l.at:])
		n, l.at = n+m, l.at+m
	}
	return len(dst), nil
}

// hole is a sink of no bottom.
type hole int

func (h hole) Rate() int             { return int(h) }
func (hole) Write(pcm []int16) error { return nil }

// BenchmarkPlayers plays to phones over sockets, 50 packets a second each, and tells what the process takes for it, with what
// the kernel takes for sending. An iteration is one packet.
func BenchmarkPlayers(b *testing.B) {
	for _, format := range []sdp.Format{formatU, formatG722} {
		for _, players := range []int{100, 500, 1000} {
			b.Run(fmt.Sprintf("%s/players=%d", format.Encoding, players), func(b *testing.B) { benchmarkPlayers(b, players, format) })
		}
	}
}

func benchmarkPlayers(b *testing.B, players int, format sdp.Format) {
	cfg := testConfig()
	cfg.FirstPort, cfg.LastPort = 10000, 19999
	p := startPlane(b, cfg, newDriver)
	load := startLoad(b)
	pcm := speech(audio.Narrow, time.Second)
	for i := range players {
		l := openLeg(b, p, Hooks{})
		agree(b, l, Agreement{Remote: Remote{RTP: load.addrs[i%2]}, Direction: sdp.SendRecv, Send: []sdp.Format{format}})
		defer l.Play(&loop{tape: tape{rate: audio.Narrow, pcm: pcm}}, nil)()
	}
	sent := func() uint64 {
		total, _ := p.totals()
		return total.sent
	}
	for sent() < uint64(players) { // all have begun
		<-time.After(time.Millisecond)
	}
	b.ResetTimer()
	before, start, first := cpu(b), time.Now(), sent()
	for sent()-first < uint64(b.N) {
		<-time.After(audio.FrameTime)
	}
	took, used, packets := time.Since(start), cpu(b)-before, sent()-first
	b.StopTimer()
	each := float64(used.Nanoseconds()) / float64(packets)
	b.ReportMetric(each, "cpu-ns/packet")
	b.ReportMetric(100*used.Seconds()/took.Seconds(), "%core")
	b.ReportMetric(1e9/50/each, "players/core")
	s := p.clock.Stats()
	b.ReportMetric(float64(s.Late)/float64(s.Ticks), "late/tick")
}

// soundLeg is a leg that is not on the network, whose peer knows a format.
func soundLeg(b *testing.B, formats ...sdp.Format) *Leg {
	b.Helper()
	cfg := testConfig()
	cfg.MaxPacketRate = 1 << 40
	l := openLeg(b, startPlane(b, cfg, func(Config) (driver, error) { return &netDriver{}, nil }), Hooks{})
	agree(b, l, Agreement{Remote: Remote{RTP: netip.MustParseAddrPort("127.0.0.1:4000")}, Direction: sdp.SendRecv, Send: formats, Receive: formats})
	l.rtp.io.close()
	l.rtp.io = nowhere{}
	return l
}

// BenchmarkPlay is a frame of one player, without the system's part: read, coded, made a packet, counted.
func BenchmarkPlay(b *testing.B) {
	for _, format := range []sdp.Format{formatU, formatA, formatG722} {
		b.Run(format.Encoding, func(b *testing.B) {
			l := soundLeg(b, format)
			p := &player{leg: l, source: &loop{tape: tape{rate: audio.Narrow, pcm: speech(audio.Narrow, time.Second)}}, frame: make([]int16, 160)}
			l.player = p
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				p.Tick(now)
			}
			l.player = nil
		})
	}
}

// BenchmarkListen is a packet and a frame of one listener: through the buffer, decoded, given to the sink.
func BenchmarkListen(b *testing.B) {
	for _, format := range []sdp.Format{formatU, formatA, formatG722} {
		for _, rate := range []int{audio.Narrow, audio.Wide} {
			b.Run(fmt.Sprintf("%s/%d", format.Encoding, rate), func(b *testing.B) {
				l := soundLeg(b, format)
				l.Listen(hole(rate))
				e := l.heardBy
				e.turn.Leave() // its turns are ours
				h := rtp.Header{Version: 2, SSRC: 7, PayloadType: format.Type}
				c, _ := codec.Find(format.Encoding, format.Clock)
				payload := c.NewEncoder().Encode(nil, speech(c.Rate(), time.Second)[:audio.Frame(c.Rate())])
				now := time.Now()
				b.ReportAllocs()
				for b.Loop() {
					l.mu.Lock()
					e.take(&h, payload, format, now)
					l.mu.Unlock()
					e.Tick(now.Add(5 * time.Millisecond))
					h.SequenceNumber++
					h.Timestamp += 160
					now = now.Add(audio.FrameTime)
				}
			})
		}
	}
}

// BenchmarkTranscode is a packet on its way between two legs without a common format, without the system's part.
func BenchmarkTranscode(b *testing.B) {
	for _, pair := range [][2]sdp.Format{{formatU, formatA}, {formatA, formatG722}, {formatG722, formatU}} {
		b.Run(pair[0].Encoding+"-"+pair[1].Encoding, func(b *testing.B) {
			in, out := soundLeg(b, pair[0]), soundLeg(b, pair[1])
			Join(in, out)
			c, _ := codec.Find(pair[0].Encoding, pair[0].Clock)
			packet, err := (&rtp.Packet{
				Header:  rtp.Header{Version: 2, SSRC: 7, PayloadType: pair[0].Type},
				Payload: c.NewEncoder().Encode(nil, speech(c.Rate(), time.Second)[:audio.Frame(c.Rate())]),
			}).Marshal()
			if err != nil {
				b.Fatal(err)
			}
			from, seq := netip.MustParseAddrPort("127.0.0.1:4000"), uint16(0)
			datagram := make([]byte, len(packet))
			b.ReportAllocs()
			for b.Loop() {
				binary.BigEndian.PutUint16(packet[2:], seq)
				binary.BigEndian.PutUint32(packet[4:], uint32(seq)*160)
				seq++
				copy(datagram, packet)
				in.mu.Lock()
				in.arrived(in.rtp, datagram, from, in.plane.now())
			}
			if in, out := in.Stats(), out.Stats(); out.Sent == 0 || in.Dropped > 0 {
				b.Fatalf("%d sent and %d dropped, want all sent", out.Sent, in.Dropped)
			}
		})
	}
}
