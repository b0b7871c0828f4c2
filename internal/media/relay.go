package media

import (
	"net/netip"
	"sync"
	"time"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// Side is one of the two sides of a relay.
type Side int

// The sides.
const (
	A Side = iota
	B
)

// Other is the other side.
func (s Side) Other() Side { return 1 - s }

func (s Side) String() string { return [...]string{"A", "B"}[s] }

// Hooks are called when something happens in a relay, from the goroutine that moves its packets: they must not wait.
// They may call the relay.
type Hooks struct {
	Digit   func(Side, Digit)         // a side sent a telephone-event; once an event, when it is over
	Silence func(Side, time.Duration) // a watched side has sent nothing for so long; once a silence
}

// Remote is what is known of a peer's media, from its SDP and the message that brought it.
type Remote struct {
	RTP, RTCP  netip.AddrPort
	Mux        bool         // the peer said rtcp-mux; RTCP goes on the port of RTP when both did (RFC 5761)
	Encrypted  bool         // SRTP: only the headers of RTP are read
	Formats    []sdp.Format // what the peer can receive
	Signalling netip.Addr   // where its SIP comes from; helps to find a peer behind NAT. May be zero
	Fixed      bool         // the peer is not behind NAT: take RTP only from where the SDP says
}

// RemoteOf is the Remote that a body describes, which came in SIP from the host signalling.
func RemoteOf(a sdp.Audio, signalling netip.Addr) Remote {
	return Remote{
		RTP: netip.AddrPortFrom(a.Addr, a.Port), RTCP: a.RTCP, Mux: a.Mux, Encrypted: a.Encrypted,
		Formats: a.Formats, Signalling: signalling.Unmap().WithZone(""),
	}
}

// Stats is what is known of one side.
type Stats struct {
	Packets, Bytes uint64 // RTP received from the side, with its headers
	Sent           uint64 // RTP packets sent to the side
	RTCP           uint64 // RTCP packets received from the side
	Lost           int64  // RTP packets that were to come from the side and did not (RFC 3550 A.3)
	Jitter         time.Duration
	Dropped        uint64 // datagrams that were not passed on, of strangers too
	Held           uint64 // of these, those that hold kept back
	SSRC           uint32
	Payload        uint8          // payload type of the last packet that was no telephone-event
	Source         netip.AddrPort // where its RTP comes from; zero before the first packet
	Last           time.Time      // when RTP or RTCP last came; zero for never
	Report         Report         // what the side's RTCP says of the stream it hears
}

// Relay is the media of one call. See [Plane.Open].
type Relay struct {
	plane *Plane
	hooks Hooks
	lane  uint32 // which of a driver's goroutines moves its packets

	mu     sync.Mutex // guards what follows, and is held while a packet of the call is handled
	legs   [2]leg
	watch  time.Duration // silence that is told of; 0 for none
	closed bool
	notes  []note // made under the lock, told after it
}

// note is something to tell the hooks.
type note struct {
	side    Side
	digit   Digit
	silence time.Duration // 0 for a digit
}

// Ports are our RTP and RTCP port towards the peer of a side.
func (r *Relay) Ports(s Side) (rtp, rtcp uint16) {
	port := r.legs[s].port // does not change
	return port, port + 1
}

// SetRemote says where the peer of a side is. An address of zeros, or port 0, leaves the address as it was, since it
// means hold. An address that differs from the one before arms symmetric RTP anew; the same one (a session refresh)
// does not. The error wraps voice.ErrInvalid when nothing may be sent to the address.
func (r *Relay) SetRemote(s Side, to Remote) error {
	if err := r.plausible(s, to); err != nil {
		return err
	}
	now := r.plane.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &r.legs[s]
	if !to.RTP.IsValid() || to.RTP.Addr().IsUnspecified() || to.RTP.Port() == 0 {
		to.RTP, to.RTCP = l.remote.RTP, l.remote.RTCP
	}
	if to.RTP != l.remote.RTP {
		l.latch = latch{announced: to.RTP}
		l.control = netip.AddrPort{}
		l.expectFrom(now)
	}
	l.latch.signalling, l.latch.fixed = to.Signalling, to.Fixed
	l.remote = to
	for side := range r.legs { // a side sends the other's payload types, but some send their own
		leg, other := &r.legs[side], &r.legs[1-side]
		leg.formats = append(append([]sdp.Format(nil), other.remote.Formats...), leg.remote.Formats...)
		leg.format = sdp.Format{}
	}
	return nil
}

// plausible refuses addresses that no peer can have: those would make us send to everybody, to our own services, or
// to ourselves.
func (r *Relay) plausible(s Side, to Remote) error {
	for _, a := range []netip.AddrPort{to.RTP, to.RTCP} {
		addr := a.Addr()
		switch {
		case !a.IsValid() || addr.IsUnspecified() || a.Port() == 0:
		case addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return voice.Errorf(voice.ErrInvalid, "media cannot be sent to %v: it is no address of a host", a)
		case addr.IsLoopback() && to.Signalling.IsValid() && !to.Signalling.IsLoopback():
			return voice.Errorf(voice.ErrInvalid, "media cannot be sent to %v: the peer is on another host, %v", a, to.Signalling)
		case r.plane.ours(addr) && r.owns(a.Port()):
			return voice.Errorf(voice.ErrInvalid, "media of side %v cannot be sent to %v: that is this relay itself", s, a)
		}
	}
	return nil
}

// owns tells whether a port is one of this relay.
func (r *Relay) owns(port uint16) bool { return port&^1 == r.legs[A].port || port&^1 == r.legs[B].port }

// Relearn arms symmetric RTP of a side anew, for a re-INVITE that came the right way and names the same address.
func (r *Relay) Relearn(s Side) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.legs[s].latch.arm()
	r.legs[s].control = netip.AddrPort{}
}

// SetDirection says what the peer of a side does, as its own SDP puts it: a packet passes when its sender sends and the
// other side receives. RTCP passes always (RFC 3264 §5.1). New relays have SendRecv on both sides.
func (r *Relay) SetDirection(s Side, d sdp.Direction) {
	now := r.plane.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.talkingLocked()
	r.legs[s].direction = d
	if r.talkingLocked() && !before {
		r.legs[A].expectFrom(now)
		r.legs[B].expectFrom(now)
	}
}

// talkingLocked tells whether both sides are to send and be heard. Only then is silence a sign of anything: a phone
// that holds may say that it sends, and have no music.
func (r *Relay) talkingLocked() bool {
	return r.legs[A].direction == sdp.SendRecv && r.legs[B].direction == sdp.SendRecv
}

// Watch has the Silence hook called when a side has sent neither RTP nor RTCP for d, from now on; see Idle for when that
// counts. It is called up to a quarter of a second late. 0 ends it.
func (r *Relay) Watch(d time.Duration) {
	now := r.plane.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = d
	for s := range r.legs {
		r.legs[s].expectFrom(now)
	}
}

// expectFrom begins a new time of waiting for the peer.
func (l *leg) expectFrom(now time.Time) { l.expected, l.silent = now, false }

// Idle is for how long the peer of a side has sent neither RTP nor RTCP. It is 0 while either side holds, and starts
// anew when none does any more, when the peer gets another address, and with Watch.
func (r *Relay) Idle(s Side) time.Duration {
	now := r.plane.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.talkingLocked() {
		return 0
	}
	return r.legs[s].idle(now)
}

// Stats is what is known of a side; after Close, what was known then.
func (r *Relay) Stats(s Side) Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &r.legs[s]
	stats := Stats{
		Packets: l.count.packets, Bytes: l.count.bytes, Sent: l.count.sent, RTCP: l.count.rtcp,
		Lost: l.receiver.lost + l.receiver.losses(), Jitter: l.receiver.jitterTime(), Held: l.count.dropped[dropHeld],
		SSRC: l.receiver.ssrc, Payload: l.receiver.payload, Source: l.latch.source, Last: l.heard, Report: l.report,
	}
	for _, n := range l.count.dropped {
		stats.Dropped += n
	}
	return stats
}

// Close closes the sockets and returns the ports to the pool. It may be called any number of times.
func (r *Relay) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	for s := range r.legs {
		r.closePair(&r.legs[s])
	}
	counts := [2]counters{r.legs[A].count, r.legs[B].count}
	r.mu.Unlock()
	r.plane.closed(r, &counts)
}

// sweep looks for what is noticed by nothing happening.
func (r *Relay) sweep(now time.Time) {
	r.mu.Lock()
	for s := range r.legs {
		l := &r.legs[s]
		r.noteDigits(Side(s), l.digits.silent(now, nil))
		if idle := l.idle(now); r.watch > 0 && r.talkingLocked() && !l.silent && idle >= r.watch && !r.closed {
			l.silent = true
			r.notes = append(r.notes, note{side: Side(s), silence: idle})
		}
	}
	notes := r.takeNotes()
	r.mu.Unlock()
	r.tell(notes)
}

func (r *Relay) noteDigits(s Side, done []Digit) {
	for _, d := range done {
		r.notes = append(r.notes, note{side: s, digit: d})
	}
}

// takeNotes empties the list of what is to be told.
func (r *Relay) takeNotes() []note {
	notes := r.notes
	r.notes = nil
	return notes
}

// tell calls the hooks. Nobody holds the lock.
func (r *Relay) tell(notes []note) {
	for _, n := range notes {
		switch {
		case n.silence > 0 && r.hooks.Silence != nil:
			r.hooks.Silence(n.side, n.silence)
		case n.silence == 0 && r.hooks.Digit != nil:
			r.hooks.Digit(n.side, n.digit)
		}
	}
}
