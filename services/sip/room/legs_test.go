package room

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/media"
	"parley/internal/media/audio"
	"parley/internal/media/codec/g711"
	"parley/internal/media/sdp"
	"parley/internal/media/wav"
)

// peer is a phone behind a leg of a real plane: it sends a tone in G.711 every 20 ms and keeps what comes.
type peer struct {
	hz   float64
	conn *net.UDPConn
	leg  *media.Leg

	mu  sync.Mutex
	pcm []int16
}

var pcmu = []sdp.Format{{Type: 0, Encoding: "PCMU", Clock: 8000}}

func newPeer(t *testing.T, plane *media.Plane, hz float64) *peer {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	leg, err := plane.Open(media.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	here := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	err = leg.Agree(media.Agreement{Remote: media.Remote{RTP: here}, Direction: sdp.SendRecv, Send: pcmu, Receive: pcmu})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{hz: hz, conn: conn, leg: leg}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() { p.hear() })
	wg.Go(func() { p.talk(t, stop) })
	t.Cleanup(func() {
		leg.Close()
		close(stop)
		conn.Close()
		wg.Wait()
	})
	return p
}

func (p *peer) talk(t *testing.T, stop <-chan struct{}) {
	port, _ := p.leg.Ports()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	clock := time.NewTicker(audio.FrameTime)
	defer clock.Stop()
	h := rtp.Header{Version: 2, SSRC: uint32(p.hz)}
	for {
		select {
		case <-stop:
			return
		case <-clock.C:
		}
		pcm := make([]int16, audio.Frame(audio.Narrow))
		for i := range pcm {
			pcm[i] = int16(level * math.Sin(2*math.Pi*p.hz*float64(int(h.Timestamp)+i)/audio.Narrow))
		}
		b, err := (&rtp.Packet{Header: h, Payload: g711.AppendU(nil, pcm)}).Marshal()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = p.conn.WriteToUDPAddrPort(b, to) // fails when the test is over
		h.SequenceNumber++
		h.Timestamp += uint32(len(pcm))
	}
}

func (p *peer) hear() {
	b := make([]byte, 2048)
	for {
		n, err := p.conn.Read(b)
		if err != nil {
			return
		}
		var packet rtp.Packet
		if packet.Unmarshal(b[:n]) == nil && packet.PayloadType == 0 {
			p.mu.Lock()
			p.pcm = g711.AppendLinearU(p.pcm, packet.Payload)
			p.mu.Unlock()
		}
	}
}

// last waits until a second and a half more was heard, and gives the last second of it.
func (p *peer) last(t *testing.T) []int16 {
	t.Helper()
	from, deadline := -1, time.After(20*time.Second)
	for {
		p.mu.Lock()
		n := len(p.pcm)
		if from < 0 {
			from = n
		}
		if n-from >= 12000 {
			defer p.mu.Unlock()
			return append([]int16(nil), p.pcm[n-8000:]...)
		}
		p.mu.Unlock()
		select {
		case <-deadline:
			t.Fatalf("%v heard %d samples in 20 s", p.hz, n-from)
		case <-time.After(audio.FrameTime):
		}
	}
}

// middle is how loud a tone is in most tenths of a second: a machine with other things to do may disturb some.
func middle(pcm []int16, hz float64) float64 {
	loud, n := 0.0, 0
	for i := 0; i+800 <= len(pcm); i += 800 {
		loud += heard(pcm[i:i+800], hz)
		n++
	}
	return loud / float64(max(1, n))
}

// Three phones on real sockets, with an observer and a coach: who hears whom, and what is recorded.
func TestRoomOfLegs(t *testing.T) {
	cfg := media.DefaultConfig()
	cfg.Bind, cfg.FirstPort, cfg.LastPort, cfg.Quarantine = netip.MustParseAddr("127.0.0.1"), 14000, 14999, 0
	pool, err := media.NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plane, err := media.NewPlane(pool, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- plane.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r, _ := house(t, Options{Recordings: t.TempDir()})
	var peers []*peer
	for i, who := range []struct {
		hz   float64
		role contract.ConferenceRole
		of   string
	}{{450, "", ""}, {750, "", ""}, {1250, "", ""}, {1650, contract.RoleObserver, ""}, {2250, contract.RoleCoach, "call-1"}} {
		p := newPeer(t, plane, who.hz)
		peers = append(peers, p)
		if err := r.Enter(Entry{Tenant: "acme", Room: "r", ID: fmt.Sprint("call-", i), Role: who.role, Of: who.of, Voice: p.leg}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	path, err := r.Record(contract.RecordConferenceRequest{Tenant: "acme", Room: "r", On: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	peers[0].last(t) // the prompt that it is recorded
	for i, row := range [][]bool{
		{false, true, true, false, false},
		{true, false, true, false, true},
		{true, true, false, false, false},
		{true, true, true, false, false},
		{true, true, true, false, false},
	} {
		pcm := peers[i].last(t)
		for j, hears := range row {
			if got := middle(pcm, peers[j].hz); hears && (got < 0.5 || got > 1.3) || !hears && got > 0.15 {
				t.Errorf("%v hears %v at %.2f, want it to be heard: %v", peers[i].hz, peers[j].hz, got, hears)
			}
		}
	}
	r.Close()
	f, err := wav.Load(path, wav.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	pcm := f.Mono(audio.Narrow)
	pcm = pcm[max(0, len(pcm)-8000):]
	for j, hears := range []bool{true, true, true, false, false} {
		if got := middle(pcm, peers[j].hz); hears && (got < 0.5 || got > 1.3) || !hears && got > 0.15 {
			t.Errorf("the recording has %v at %.2f, want it to be heard: %v", peers[j].hz, got, hears)
		}
	}
}
