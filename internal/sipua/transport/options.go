package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say where to listen and whom to call. Handler and Listen are required, the rest has defaults.
type Options struct {
	// Listen holds URLs such as "udp://0.0.0.0:5060", "tcp://[::1]:5060", "tls://:5061", "ws://:5062/sip" and
	// "wss://:5063". The host is an IP address, "localhost", or empty for all addresses of both families; port 0
	// takes a free one. The path of ws and wss is where the upgrade is taken; empty takes it on any path.
	Listen []string

	// Handler gets each message that passed the guards, on the goroutine that read it. It must return soon and must
	// not keep Message.Data. A panic in it loses that message, is logged and counted, and stops nothing else.
	Handler func(Message)

	// Closed is told once for each connection that was ever seen by Handler or returned by Dial, after its last
	// message, on the goroutine that read it. It may be nil.
	Closed func(Flow, CloseReason)

	// Sent is told of each message that was handed over for sending, on the goroutine that sends, and when that was: an
	// answer may have been read before Sent is called. It must return at once and must not keep the bytes. It may be nil.
	Sent func(f Flow, b []byte, at time.Time)

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
	// each datagram of a source that is not known: it must be quick. May be nil.
	Trusted func(netip.Addr) bool

	// Abuse hears of sources that send garbage or too much, at most once a second and source, on a goroutine of its
	// own; weight is the number of offences since the last report. A UDP source can be forged, so nothing that came
	// by UDP is held against an address that is trusted or has authenticated (Flow.Vouch). May be nil.
	Abuse func(source netip.Addr, reason string, weight int)

	Limits     Limits
	Sockets    int                   // UDP sockets a listener (SO_REUSEPORT, Linux only); 0 = 1. More help from 4 cores on
	Registerer prometheus.Registerer // may be nil
	Log        *slog.Logger          // may be nil
}

// Limits bound what strangers can make us do. Zero fields take the default in brackets; a negative rate is no limit.
//
// Sources are in three classes. Trusted ones (Options.Trusted) are free. Known ones have authenticated over a flow
// not long ago (Flow.Vouch) and have a bucket of their own that strangers cannot push out; its default is far above
// what an office behind one NAT or a load generator sends. Everybody else is a stranger, with a bucket a source and
// one bucket for all strangers together: a flood from 60,000 forged sources runs into the second, and the known do
// not feel it. Loopback is a source like any other. IPv6 sources count by /64, the size one customer gets.
//
// On a connection the source is proven, so the rate of messages is a matter of each connection: one that is too
// fast is not cut but read more slowly, and TCP tells the sender.
type Limits struct {
	MaxMessage int `yaml:"max_message"` // bytes of one message, headers and body [65,535]
	MaxHeaders int `yaml:"max_headers"` // bytes of start line and headers on a stream [16,384]

	StrangerRate  int `yaml:"stranger_rate"`  // datagrams a second from one source that has not authenticated [2,000]
	StrangerBurst int `yaml:"stranger_burst"` // that many at once [10,000]
	StrangersRate int `yaml:"strangers_rate"` // datagrams a second from all such sources together, twice that at once [30,000]
	KnownRate     int `yaml:"known_rate"`     // datagrams a second from one source that has, or messages on one such connection [100,000]
	Strangers     int `yaml:"strangers"`      // strangers told apart; the one seen longest ago is forgotten first; 32 bytes each [16,384]
	Known         int `yaml:"known"`          // known sources; the one that ends first is forgotten first; 32 bytes each [131,072]

	MaxConnections int `yaml:"max_connections"` // connections accepted at once, all listeners [20,000]
	MaxPerSource   int `yaml:"max_per_source"`  // of them from one source [2,000]
	ConnectRate    int `yaml:"connect_rate"`    // new connections a second from one source that has not authenticated [100]
	ConnectBurst   int `yaml:"connect_burst"`   // that many at once [1,000]
	StreamRate     int `yaml:"stream_rate"`     // messages a second on one connection nobody vouched for, twice that at once [2,000]
	MaxQueue       int `yaml:"max_queue"`       // bytes waiting to be sent on one connection [262,144]

	HandshakeTimeout    time.Duration `yaml:"handshake_timeout"`     // TLS and WebSocket handshakes together [10s]
	FirstMessageTimeout time.Duration `yaml:"first_message_timeout"` // from the end of the handshake to the first whole message [30s]
	PartialTimeout      time.Duration `yaml:"partial_timeout"`       // from the first byte of a message to its last [10s]
	IdleTimeout         time.Duration `yaml:"idle_timeout"`          // without any byte, on a connection nobody vouched for [3m]
	VouchedIdleTimeout  time.Duration `yaml:"vouched_idle_timeout"`  // without any byte, after the vouched time has ended [10m]
	WriteTimeout        time.Duration `yaml:"write_timeout"`         // for the peer to take any of what is queued [10s]
	PingInterval        time.Duration `yaml:"ping_interval"`         // silence on a WebSocket after which we ping; as long again for the pong [30s]
	DrainTimeout        time.Duration `yaml:"drain_timeout"`         // for what is queued to leave when Run ends [2s]
}

// withDefaults fills the zero fields in.
func (l Limits) withDefaults() Limits {
	number := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	duration := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	number(&l.MaxMessage, 65535)
	number(&l.MaxHeaders, 16384)
	number(&l.StrangerRate, 2000)
	number(&l.StrangerBurst, 10000)
	number(&l.StrangersRate, 30000)
	number(&l.KnownRate, 100000)
	number(&l.Strangers, 16384)
	number(&l.Known, 131072)
	number(&l.MaxConnections, 20000)
	number(&l.MaxPerSource, 2000)
	number(&l.ConnectRate, 100)
	number(&l.ConnectBurst, 1000)
	number(&l.StreamRate, 2000)
	number(&l.MaxQueue, 256<<10)
	duration(&l.HandshakeTimeout, 10*time.Second)
	duration(&l.FirstMessageTimeout, 30*time.Second)
	duration(&l.PartialTimeout, 10*time.Second)
	duration(&l.IdleTimeout, 3*time.Minute)
	duration(&l.VouchedIdleTimeout, 10*time.Minute)
	duration(&l.WriteTimeout, 10*time.Second)
	duration(&l.PingInterval, 30*time.Second)
	duration(&l.DrainTimeout, 2*time.Second)
	return l
}

// validate reports every field that makes no sense; l has its defaults.
func (l Limits) validate() error {
	var errs []error
	positive := func(name string, v int) {
		if v <= 0 {
			errs = append(errs, fmt.Errorf("limits.%s: must be above 0, is %d", name, v))
		}
	}
	positive("max_message", l.MaxMessage)
	positive("max_headers", l.MaxHeaders)
	positive("stranger_burst", l.StrangerBurst)
	positive("strangers", l.Strangers)
	positive("known", l.Known)
	positive("max_connections", l.MaxConnections)
	positive("max_per_source", l.MaxPerSource)
	positive("connect_burst", l.ConnectBurst)
	positive("max_queue", l.MaxQueue)
	for name, d := range map[string]time.Duration{
		"handshake_timeout": l.HandshakeTimeout, "first_message_timeout": l.FirstMessageTimeout,
		"partial_timeout": l.PartialTimeout, "idle_timeout": l.IdleTimeout, "vouched_idle_timeout": l.VouchedIdleTimeout,
		"write_timeout": l.WriteTimeout, "ping_interval": l.PingInterval, "drain_timeout": l.DrainTimeout,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("limits.%s: must not be negative, is %s", name, d))
		}
	}
	if l.MaxMessage > 0 && l.MaxHeaders > l.MaxMessage {
		errs = append(errs, fmt.Errorf("limits.max_headers: %d is above max_message, %d", l.MaxHeaders, l.MaxMessage))
	}
	return errors.Join(errs...)
}

// validate reports everything wrong with o but the listen URLs.
func (o Options) validate(needCertificate bool) error {
	var errs []error
	if o.Handler == nil {
		errs = append(errs, errors.New("no Handler"))
	}
	if needCertificate && o.Certificates == nil {
		errs = append(errs, errors.New("tls and wss listeners need Certificates"))
	}
	if o.Sockets < 0 || o.Sockets > 64 {
		errs = append(errs, fmt.Errorf("sockets must be 0 to 64, is %d", o.Sockets))
	}
	for _, p := range o.Origins {
		if _, err := path.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("origin pattern %q: %w", p, err))
		}
	}
	return errors.Join(errors.Join(errs...), o.Limits.validate())
}
