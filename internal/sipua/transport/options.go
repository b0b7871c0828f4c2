package transport

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say where to listen and whom to call. Handler and Listen are required, the rest has defaults.
type Options struct {
	// Listen holds URLs such as "udp://0.0.0.0:5060", "tcp://[::1]:5060", "tls://:5061", "ws://:5062/sip" and
	// "wss://:5063". The host is an IP address, "localhost", or empty for all addresses; port 0 takes a free one.
	// The path of ws and wss is where the upgrade is taken; empty takes it on any path.
	Listen []string

	// Handler gets each message that passed the guards, on the goroutine that read it. It must return soon and must
	// not keep Message.Data.
	Handler func(Message)

	// Closed is told once for each connection that was ever seen by Handler or returned by Dial, after its last
	// message, on the goroutine that read it. It may be nil.
	Closed func(Flow, CloseReason)

	// Certificates serve tls and wss listeners; required when there are any.
	Certificates *Certificates

	// ClientTLS is used by Dial for tls; nil verifies the server by the roots of the machine.
	ClientTLS *tls.Config

	// Origins lists the host patterns (path.Match) browsers may come from on ws and wss: "pbx.example.com",
	// "https://*.example.com". Empty allows only the host the browser asked for; "*" allows all. A client that
	// sends no Origin is no browser and is let in.
	Origins []string

	// Banned tells whether a source is not to be served. Asked for each datagram, each new connection and each
	// message on one: it must be quick. May be nil.
	Banned func(netip.Addr) bool

	// Trusted tells whether a source is free of rate limits and of caps by source: trunks, other nodes. Asked for
	// each datagram of a source that is not known yet: it must be quick. May be nil.
	Trusted func(netip.Addr) bool

	// Abuse hears of sources that send garbage or too much, at most once a second and source, on a goroutine of its
	// own; weight is the number of offences since. A UDP source can be forged, so nothing that came by UDP is
	// reported against an address that is trusted or has registered (see Flow.Vouch). May be nil.
	Abuse func(source netip.Addr, reason string, weight int)

	Limits     Limits
	Sockets    int                   // UDP sockets a listener (SO_REUSEPORT); 0 = 1. More help from 4 cores on
	Node       string                // id of this node; only for logs
	Registerer prometheus.Registerer // may be nil
	Log        *slog.Logger          // may be nil
}

// Limits bound what strangers can make us do. Zero fields take the default in brackets; a negative rate is no limit.
//
// Sources are in three classes. Trusted ones (Options.Trusted) are free. Known ones have authenticated over a flow
// not long ago (Flow.Vouch) and have a bucket of their own that strangers cannot push out; their limit is
// far above what an office behind one NAT or a load generator sends. Everybody else is a stranger, with a bucket a source and
// one bucket for all strangers together: a flood from 60,000 forged sources runs into the second, and the known
// do not feel it. IPv6 sources count by /64, the size one customer gets.
type Limits struct {
	MaxMessage int // bytes of one message, headers and body [65,535]
	MaxHeaders int // bytes of start line and headers [16,384]

	StrangerRate  int // datagrams a second from one source that has not authenticated [2,000]
	StrangerBurst int // that many at once [10,000]
	StrangersRate int // datagrams a second from all such sources together [30,000]
	KnownRate     int // datagrams a second from one source that has [100,000]
	Sources       int // strangers told apart, and as many known; memory is 48 bytes each [16,384]

	MaxConnections      int           // connections accepted at once, all listeners [20,000]
	MaxPerSource        int           // of them from one source [2,000]
	ConnectRate         int           // new connections a second from one source [100]
	ConnectBurst        int           // that many at once [1,000]
	StreamRate          int           // messages a second on one connection nobody vouched for; faster ones are read slower [2,000]
	MaxQueue            int           // bytes waiting to be sent on one connection [262,144]
	HandshakeTimeout    time.Duration // TLS and WebSocket handshakes together [10 s]
	FirstMessageTimeout time.Duration // from the end of the handshake to the first whole message [30 s]
	PartialTimeout      time.Duration // from the first byte of a message to its last [10 s]
	IdleTimeout         time.Duration // without any byte, on a connection nobody vouched for [3 min]
	VouchedIdleTimeout  time.Duration // the same on one somebody did; reached only after the vouched time has ended [10 min]
	WriteTimeout        time.Duration // for the peer to take what is queued [10 s]
	PingInterval        time.Duration // between our WebSocket pings [30 s]
	DrainTimeout        time.Duration // for what is queued to leave when Run ends [2 s]
}
