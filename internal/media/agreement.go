package media

import (
	"net/netip"
	"strings"
	"time"

	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// Remote is where a peer's media is, from its SDP and the message that brought it.
type Remote struct {
	RTP, RTCP  netip.AddrPort
	Mux        bool       // RTCP goes on the port of RTP: both sides said so (RFC 5761)
	Signalling netip.Addr // where its SIP comes from; helps to find a peer behind NAT. May be zero
	Fixed      bool       // the peer is not behind NAT: take RTP only from where the SDP says
}

// RemoteOf is the Remote that a body describes, which came in SIP from the host signalling. Mux is left to those who
// know both descriptions.
func RemoteOf(a sdp.Audio, signalling netip.Addr) Remote {
	return Remote{RTP: netip.AddrPortFrom(a.Addr, a.Port), RTCP: a.RTCP, Signalling: signalling.Unmap().WithZone("")}
}

// Agreement is the outcome of an offer and its answer with one peer (RFC 3264).
type Agreement struct {
	Remote    Remote
	Direction sdp.Direction // what the peer does, as its own SDP puts it
	Send      []sdp.Format  // what the peer can receive, best first, with its payload types; none = anything
	Receive   []sdp.Format  // what the peer may send, with the payload types we told it; none = anything
	PTime     time.Duration // of what we send; 0 = 20 ms
	Reports   bool          // the peer takes extended reports (a=rtcp-xr, RFC 3611 §5)
	Guard     Guard         // nil = not encrypted. The leg closes it when it is replaced, and at its own end
}

// Agree begins to treat the peer as was agreed, from the next packet on. An address of zeros, or port 0, leaves the
// address as it was, since it means hold. An address that differs from the one before arms symmetric RTP anew, and
// so does SIP from another host; the same ones (a session refresh) do not. The slices are kept and must not change. The error wraps voice.ErrInvalid when
// nothing may be sent to the address; then all stays as it was. After Close it is ErrClosed, and the guard is closed.
func (l *Leg) Agree(a Agreement) error {
	if err := l.plausible(a.Remote); err != nil {
		return err
	}
	now := l.plane.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		if a.Guard != nil && a.Guard != l.agreed.Guard {
			a.Guard.Close()
		}
		return ErrClosed
	}
	if !a.Remote.RTP.IsValid() || a.Remote.RTP.Addr().IsUnspecified() || a.Remote.RTP.Port() == 0 {
		a.Remote.RTP, a.Remote.RTCP = l.agreed.Remote.RTP, l.agreed.Remote.RTCP
	}
	if a.Remote.RTP != l.agreed.Remote.RTP {
		l.latch = latch{announced: a.Remote.RTP}
		l.control = netip.AddrPort{}
		l.expectFrom(now)
	} else if was := l.latch.signalling; was.IsValid() && a.Remote.Signalling.IsValid() && was != a.Remote.Signalling {
		l.latch.arm() // behind another NAT now, where its SDP says what it said before
		l.control = netip.AddrPort{}
	}
	l.latch.signalling, l.latch.fixed = a.Remote.Signalling, a.Remote.Fixed
	talked := l.talkingLocked()
	if old := l.agreed.Guard; old != nil && old != a.Guard {
		old.Close()
	}
	l.agreed, l.format, l.mapped, l.recode = a, sdp.Format{}, mapping{}, nil
	l.agreement++
	l.stream.Agree(a.Receive, a.Send, a.Reports)
	if l.talkingLocked() && !talked {
		l.expectFrom(now)
	}
	if g, ok := a.Guard.(beginner); ok {
		g.Begin(l.agreed.Remote.RTP, l.rtp.reply)
	}
	return nil
}

// plausible refuses addresses that no peer can have: those would make us send to everybody, to our own services, or
// to ourselves.
func (l *Leg) plausible(to Remote) error {
	for _, a := range []netip.AddrPort{to.RTP, to.RTCP} {
		addr := a.Addr()
		switch {
		case !a.IsValid() || addr.IsUnspecified() || a.Port() == 0:
		case addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return voice.Errorf(voice.ErrInvalid, "media cannot be sent to %v: it is no address of a host", a)
		case addr.IsLoopback() && to.Signalling.IsValid() && !to.Signalling.IsLoopback():
			return voice.Errorf(voice.ErrInvalid, "media cannot be sent to %v: the peer is on another host, %v", a, to.Signalling)
		case l.plane.ours(addr) && a.Port()&^1 == l.port:
			return voice.Errorf(voice.ErrInvalid, "media cannot be sent to %v: that is the port of this leg itself", a)
		}
	}
	return nil
}

// formatOf finds the format of a payload type that the peer sent. Without any formats everything is agreed on.
func (l *Leg) formatOf(payload uint8) (sdp.Format, bool) {
	if l.format.Clock != 0 && l.format.Type == payload {
		return l.format, true
	}
	for _, f := range l.agreed.Receive {
		if f.Type == payload {
			l.format = f
			return f, true
		}
	}
	return sdp.Format{Type: payload, Clock: 8000}, len(l.agreed.Receive) == 0
}

// sentAs is the format of a payload type that goes to the peer.
func (l *Leg) sentAs(payload uint8) sdp.Format {
	for _, f := range l.agreed.Send {
		if f.Type == payload {
			return f
		}
	}
	return sdp.Format{Type: payload, Clock: 8000}
}

// mapping remembers what a format of the joined leg is called by the peer.
type mapping struct {
	from    sdp.Format
	payload uint8
	ok      bool
}

// mapLocked finds the payload type under which the peer knows a format of the joined leg.
func (l *Leg) mapLocked(f sdp.Format) (uint8, bool) {
	if l.mapped.ok && l.mapped.from == f {
		return l.mapped.payload, true
	}
	if len(l.agreed.Send) == 0 {
		return f.Type, true
	}
	for _, s := range l.agreed.Send {
		if same(s, f) {
			l.mapped = mapping{f, s.Type, true}
			return s.Type, true
		}
	}
	return 0, false
}

// same tells whether two formats are one way of coding. Static types may do without a name (RFC 3551 §6).
func same(a, b sdp.Format) bool {
	if a.Encoding == "" || b.Encoding == "" {
		return a.Type == b.Type
	}
	return a.Clock == b.Clock && strings.EqualFold(a.Encoding, b.Encoding)
}
