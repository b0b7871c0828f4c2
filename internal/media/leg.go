package media

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"parley/internal/media/dtmf"
	"parley/internal/media/quality"
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// Hooks are called when something happens on a leg, from the goroutine that moves its packets: they must not wait. They may
// call the leg.
type Hooks struct {
	Digit   func(Digit)         // the peer pressed a key; once a press, when it is over
	Silence func(time.Duration) // the watched peer has sent nothing for so long; once a silence
}

// Leg is the media of one party: a pair of ports, and the peer they lead to. What it sends is one stream of ours, with one
// SSRC and numbers without a break, wherever the audio comes from. See [Plane.Open].
type Leg struct {
	plane *Plane
	hooks Hooks
	lane  uint32 // which of a driver's goroutines moves its packets
	port  uint16 // even; does not change

	mu        sync.Mutex // guards what follows, and is held while a packet comes in or goes out. Never two legs' at once
	rtp, rtcp *socket
	agreed    Agreement
	agreement uint32 // how many there were
	joined    *Leg   // is heard by this one's peer, and hears it
	closed    bool
	notes     []note // made under the lock, told after it

	// What comes.
	latch   latch
	control netip.AddrPort // where its RTCP came from, zero before
	format  sdp.Format     // of the last packet, found again without a search
	digits  dtmf.Reader
	echoes  echoes
	clear   []byte // RTP at hand that was encrypted; as onward, of the goroutine that reads our RTP socket

	// Who listens, and what the peer hears instead of the joined leg. See listening.go, playing.go, pressing.go.
	heardBy *ear // nil while nobody listens, as the next one
	sentBy  *ear
	player  *player
	keys    *presser

	toned *listener // looks for keys in the sound; nil while none does

	// What goes.
	out    numbering
	mapped mapping
	recode *transcoder // nil until the joined leg says something in a format that the peer does not know
	sealed []byte      // the packet at hand, encrypted; or RTCP that was
	made   []byte      // the packet at hand, of our own making

	stream quality.Stream
	count  counters
	onward packet // RTP at hand; of the one goroutine that reads our RTP socket, with or without the lock

	watch    time.Duration // silence that is told of; 0 for none
	heard    time.Time     // last RTP or RTCP of the peer
	expected time.Time     // from when on it should be heard
	silent   bool          // and was told to be silent

	second   int64  // the second at hand, and the packets in it
	inSecond [2]int // of the peer, and of strangers
}

// note is something to tell the hooks.
type note struct {
	digit   Digit
	silence time.Duration // 0 for a digit
}

// Stats is what a leg did.
type Stats struct {
	Packets, Bytes uint64         // RTP received from the peer, with its headers
	Sent           uint64         // RTP packets sent to the peer
	RTCP           uint64         // RTCP packets received from the peer
	Dropped        uint64         // datagrams of the peer that went nowhere, those of strangers too
	Held           uint64         // of these, those that hold kept back
	SSRC           uint32         // of what is sent to the peer
	Source         netip.AddrPort // where its RTP comes from; zero before the first packet
	Last           time.Time      // when RTP or RTCP last came; zero for never
}

// Open takes a pair of ports from the pool, binds them, and returns a leg that waits for its peer. The error wraps
// voice.ErrOverloaded when there are no ports to be had, and voice.ErrUnavailable when the plane has ended.
func (p *Plane) Open(hooks Hooks) (*Leg, error) {
	l := &Leg{plane: p, hooks: hooks, lane: p.opened.Add(1)}
	if err := l.bind(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	ended := p.ended
	if !ended {
		p.legs[l] = struct{}{}
	}
	p.mu.Unlock()
	if ended {
		l.Close()
		return nil, voice.Errorf(voice.ErrUnavailable, "this node carries no more media: it is shutting down")
	}
	return l, nil
}

// bind gives the leg its ports. The lock is held because packets may come from the first bind on.
func (l *Leg) bind() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ssrc := rand.Uint32()
	l.out = newNumbering(ssrc)
	l.stream = quality.New(ssrc)
	l.agreed.Direction, l.expected = sdp.SendRecv, l.plane.now()
	l.rtp, l.rtcp = &socket{leg: l}, &socket{leg: l, control: true}
	port, err := l.plane.pool.acquire(l.bindPair)
	if err != nil {
		l.closed = true
		return err
	}
	l.port = port
	return nil
}

// bindPair binds both sockets, or none.
func (l *Leg) bindPair(port uint16) (err error) {
	d, bind := l.plane.driver, l.plane.cfg.Bind
	if l.rtp.io, err = d.open(l.rtp, netip.AddrPortFrom(bind, port)); err != nil {
		return err
	}
	if l.rtcp.io, err = d.open(l.rtcp, netip.AddrPortFrom(bind, port+1)); err != nil {
		l.rtp.io.close()
	}
	return err
}

// Ports are our RTP and RTCP port towards the peer.
func (l *Leg) Ports() (rtp, rtcp uint16) { return l.port, l.port + 1 }

// Stats is what the leg did; after Close, what it had done.
func (l *Leg) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := Stats{
		Packets: l.count.packets, Bytes: l.count.bytes, Sent: l.count.sent, RTCP: l.count.rtcp, Held: l.count.dropped[dropHeld],
		SSRC: l.out.ssrc, Source: l.latch.source, Last: l.heard,
	}
	for _, n := range l.count.dropped {
		stats.Dropped += n
	}
	return stats
}

// Figures is how the audio was, in both directions; after Close, how it had been.
func (l *Leg) Figures() quality.Figures {
	now := l.plane.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stream.Figures(now)
}

// Close says goodbye to the peer, closes the sockets and returns the ports to the pool. It may be called any number of
// times.
func (l *Leg) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	player := l.player
	tell := l.endLocked(player, ErrClosed)
	l.releaseLocked()
	l.toned = nil
	l.deafenLocked(l.heardBy)
	l.deafenLocked(l.sentBy)
	l.sayLocked(l.stream.WriteBye(l.made[:0], l.plane.now()))
	if l.agreed.Guard != nil {
		l.agreed.Guard.Close()
	}
	l.rtp.io.close()
	l.rtcp.io.close()
	l.plane.pool.put(l.port)
	counts := l.count
	l.mu.Unlock()
	l.Part()
	if tell {
		player.tell()
	}
	l.plane.closed(l, &counts)
}
