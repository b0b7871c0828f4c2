package media

import "net/netip"

// Guard stands between a leg and the wire where its audio is encrypted (SRTP, RFC 3711), and proves who the peer is.
// Package secure has them. Its methods may be called at once from anywhere. The leg holds its lock around all of them but
// Handle and HandleControl, and reply takes it: so those two may call reply, and the others must leave that to a goroutine.
type Guard interface {
	// Handle takes a datagram that is neither RTP nor RTCP (STUN, DTLS; RFC 7983). reply sends on the socket it came to;
	// it may be kept and called later, from any goroutine.
	Handle(b []byte, from netip.AddrPort, reply func(b []byte, to netip.AddrPort))
	// Protect appends the encrypted packet to dst. The error says why there is none, as before there are keys.
	Protect(dst, packet []byte, rtcp bool) ([]byte, error)
	// Unprotect appends the packet that was encrypted to dst, if it is the peer's and new.
	Unprotect(dst, packet []byte, rtcp bool) ([]byte, error)
	// Peer is the address that ICE proved; zero before, and without ICE.
	Peer() netip.AddrPort
	// Close ends what it does by itself.
	Close()
}

// beginner is a Guard that may have to speak first: the leg tells it where the peer is, by its SDP.
type beginner interface {
	Begin(to netip.AddrPort, reply func(b []byte, to netip.AddrPort))
}

// twoPorts is a Guard that has to know which datagrams came to our port for RTCP, since the peer shakes hands there, too.
type twoPorts interface {
	HandleControl(b []byte, from netip.AddrPort, reply func(b []byte, to netip.AddrPort))
}

// kind is what a datagram on a port of a leg is, by its first bytes (RFC 7983 §7, RFC 5761 §4).
type kind int

const (
	kindNone kind = iota // nothing we know
	kindAudio
	kindControl   // RTCP
	kindHandshake // STUN or DTLS
)

// Payload types of RTCP, seen where RTP has marker and payload type (RFC 5761 §4).
const (
	firstRTCP = 192
	lastRTCP  = 223
)

// kindOf tells what a datagram is.
func kindOf(b []byte) kind {
	switch {
	case len(b) == 0:
		return kindNone
	case b[0] <= 3, b[0] >= 20 && b[0] <= 63:
		return kindHandshake
	case b[0]>>6 != 2 || len(b) < 8:
		return kindNone
	case b[1] >= firstRTCP && b[1] <= lastRTCP:
		return kindControl
	}
	return kindAudio
}
