// Package media carries the audio of calls through the node's own UDP ports (RFC 3550).
//
// A [Pool] owns the range of ports, a [Plane] the threads that move datagrams, and a [Leg] is one party of a call: a port
// pair of its own towards its peer. What an offer and its answer agreed on with the peer is told to the leg ([Leg.Agree]),
// and that of other parties does not matter to it. Legs that are joined ([Join]) hear each other. What a leg sends is one
// stream with an SSRC of ours, whoever speaks in it: audio of a joined leg keeps its gaps and its order, and gets our
// numbers, timestamps and the payload type the peer gave the codec. RTCP ends at each leg, which tells its peer how it
// hears it and is told how it is heard (package quality). What is said about media in SIP is in the package sdp below this one.
//
// On the way a leg learns where a peer behind NAT really is (symmetric RTP), notices telephone-events (RFC 4733), drops what
// a held peer should not hear, and has a [Guard] decrypt and encrypt (package secure).
//
// A leg can also end a stream or begin one: [Leg.Play] lets its peer hear a source instead of the joined leg, [Leg.Press] keys,
// [Leg.Listen] and [Leg.ListenSent] give sinks what the peer says and hears, behind a jitter buffer (package jitter), and
// [Leg.HearTones] looks for keys in it. All of these have their turns every 20 ms on one clock (package pace), first those
// that listen and then those that play, so that what plays can be what was just heard. Between joined legs that share no
// format sound is coded anew in the packet's path, without a buffer. Formats that nobody here
// understands pass between legs that both know them.
//
// A frame costs, without the system's part: played 0.3 µs in G.711 and 35 µs in G.722, listened to 0.5 and 20 µs, coded anew
// 0.5 and 26 µs. With the kernel's sending a core plays to 3,500 peers in G.711, or to 520 in G.722.
//
// State: a port pair is one entry of a ring, 16 bytes, whether in use or not; sockets exist only while a leg is open. A leg
// is 3 KB and two sockets; opening and closing one takes 30 µs. A returned pair rests for the quarantine at the end of
// the queue before another call can get it, so that what is still on its way to the old call meets a closed port and not a
// stranger's ear. Hence at most so many legs as pairs at a time, and pairs / quarantine new ones a second. Nothing is
// stored.
//
// Concurrency: on Linux a few goroutines, one for every two processors, move everything, each over an epoll set of its own;
// elsewhere there is one for each socket. Each leg has one lock, held while a packet comes in or goes out (some
// microseconds, never across anything that waits), and no goroutine holds the locks of two. All methods may be called at
// once from anywhere. Callbacks are called without the lock, from the goroutine that moves packets, and therefore must not wait.
// Sources and sinks are called without the lock as well, from the clock's goroutines, one at a time each.
//
// Limits: 2,048 bytes a datagram. A peer may send [Config].MaxPacketRate packets a second, so that two nodes that are made
// to point at each other go round slowly rather than for ever faster. An address that is not plausible (multicast, our
// own port) is refused, and a peer's address moves without a word in SIP only in the first seconds of a call. Link-local
// addresses of IPv6 are not served.
package media
