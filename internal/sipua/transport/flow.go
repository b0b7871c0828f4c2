package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Transport is the name of a SIP transport as it stands in a listen URL and, in upper case, in a Via.
type Transport string

// The transports.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
	TLS Transport = "tls"
	WS  Transport = "ws"
	WSS Transport = "wss"
)

// transports in the order of their index.
var transports = [...]Transport{UDP, TCP, TLS, WS, WSS}

// index is the place of t in transports; t is one of them.
func (t Transport) index() int {
	switch t {
	case TCP:
		return 1
	case TLS:
		return 2
	case WS:
		return 3
	case WSS:
		return 4
	}
	return 0
}

// web tells whether t is a WebSocket (RFC 7118).
func (t Transport) web() bool { return t == WS || t == WSS }

// Reliable tells whether t is a stream: no retransmission by the transaction layer (RFC 3261 §17).
func (t Transport) Reliable() bool { return t != UDP }

// Secure tells whether t is encrypted.
func (t Transport) Secure() bool { return t == TLS || t == WSS }

// Via is the name of t in a Via header.
func (t Transport) Via() string {
	switch t {
	case UDP:
		return "UDP"
	case TCP:
		return "TCP"
	case TLS:
		return "TLS"
	case WS:
		return "WS"
	case WSS:
		return "WSS"
	}
	return ""
}

// Message is one whole SIP message as it was received.
type Message struct {
	Data     []byte    // from the start line to the end of the body; valid until the handler returns
	Flow     Flow      // where it came from and how to answer
	Received time.Time // when it was read; messages read in one go share it
}

// Flow is a way to a peer: a UDP socket and an address, or a connection. It is a small comparable value; copy it freely.
// The zero Flow leads nowhere: Valid is false and Send fails.
type Flow struct {
	udp    *udpSocket // one of udp and conn is set
	conn   *conn
	remote netip.AddrPort
	local  netip.AddrPort
}

// What Send and Dial may fail with.
var (
	ErrClosed    = errors.New("transport: connection closed")
	ErrQueueFull = errors.New("transport: peer does not read, its queue is full")
	ErrTooLarge  = errors.New("transport: message does not fit")
	ErrNoRoute   = errors.New("transport: no listener for this transport or address family")
)

// CloseReason says why a connection ended; it is also a label of a metric, so the set is closed.
type CloseReason string

// Why a connection ended.
const (
	ClosedByPeer     CloseReason = "peer"      // the other side closed or reset it
	ClosedIdle       CloseReason = "idle"      // silent for too long, or no first message in time
	ClosedNoPong     CloseReason = "no_pong"   // a WebSocket that did not answer our ping
	ClosedHandshake  CloseReason = "handshake" // the TLS or WebSocket handshake failed or took too long
	ClosedSlow       CloseReason = "slow"      // a message came, or our queue went, too slowly
	ClosedBadMessage CloseReason = "malformed" // bytes that cannot be SIP, so the stream cannot be cut any more
	ClosedBanned     CloseReason = "banned"
	ClosedByUs       CloseReason = "local" // Flow.Close
	ClosedShutdown   CloseReason = "shutdown"
	ClosedError      CloseReason = "error" // the network failed
)

// Valid tells whether f leads anywhere.
func (f Flow) Valid() bool { return f.udp != nil || f.conn != nil }

// ID names the connection: unique on this node over restarts, so an old id never names a new connection. "" for UDP.
func (f Flow) ID() string {
	if f.conn == nil {
		return ""
	}
	return f.conn.id
}

// Transport is how f carries messages.
func (f Flow) Transport() Transport {
	switch {
	case f.conn != nil:
		return f.conn.transport
	case f.udp != nil:
		return UDP
	}
	return ""
}

// Dialled tells whether we opened the connection: then Local has a port that nobody listens on.
func (f Flow) Dialled() bool { return f.conn != nil && f.conn.listener == nil }

// Remote is the address at the other end, as we see it (IPv4 never in its IPv6 form).
func (f Flow) Remote() netip.AddrPort { return f.remote }

// Local is our address on this flow: for UDP the one the datagram was sent to, on a wildcard listener too (Linux).
func (f Flow) Local() netip.AddrPort { return f.local }

// Send sends one whole message. It does not keep b and does not wait for the peer. An error means that it will not
// arrive; nil does not mean that it will.
func (f Flow) Send(b []byte) error {
	switch {
	case f.udp != nil:
		at := f.udp.set.sending()
		return f.sent(f.udp.set, b, at, f.udp.send(b, f.local, f.remote))
	case f.conn != nil:
		at := f.conn.set.sending()
		return f.sent(f.conn.set, b, at, f.conn.send(b))
	}
	return fmt.Errorf("%w: no flow", ErrNoRoute)
}

// sending is the time before a message is sent, if anybody wants to know.
func (s *Set) sending() (at time.Time) {
	if s.opts.Sent != nil {
		at = time.Now()
	}
	return at
}

// sent tells Options.Sent of a message, unless it could not be sent.
func (f Flow) sent(s *Set, b []byte, at time.Time, err error) error {
	if err == nil && s.opts.Sent != nil {
		s.opts.Sent(f, b, at)
	}
	return err
}

// To is f with another destination: the same UDP socket and local address. A connection has one destination only,
// so there To returns f itself.
func (f Flow) To(remote netip.AddrPort) Flow {
	if f.udp != nil {
		f.remote = remote
	}
	return f
}

// Vouch says that somebody who authenticated over f is to be served until then, most often the end of a registration.
// The connection is not idle before, and the source is known (see Limits). Call it again on each refresh; a time in
// the past takes it back for the connection.
func (f Flow) Vouch(until time.Time) {
	switch {
	case f.udp != nil:
		f.udp.set.limiter.vouch(f.remote.Addr(), f.udp.set.since(until))
	case f.conn != nil:
		f.conn.vouch(until)
	}
}

// Close ends the connection once what is queued has left; nothing happens on UDP.
func (f Flow) Close() {
	if f.conn != nil {
		f.conn.closeGently(ClosedByUs)
	}
}
