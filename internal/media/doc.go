// Package media carries the audio of calls through the node's own UDP ports (RFC 3550).
//
// A [Pool] owns the range of ports, a [Plane] the threads that move datagrams, and a [Relay] is one call: two sides, A
// and B, each with a port pair of its own towards its peer. What arrives on one side leaves on the other exactly as it
// came: payload types, SSRC, sequence numbers and timestamps untouched. On the way the relay looks at the header: it
// learns where a peer behind NAT really is (symmetric RTP), counts what a side sends and loses (RFC 3550 A.3, A.8),
// reads RTCP, notices telephone-events (RFC 4733), and drops what a held side should not hear. What is said about
// media in SIP is in the package sdp below this one.
//
// State: a port pair is one entry of a ring, 16 bytes, whether in use or not; sockets exist only while a relay is open.
// A relay is 3 KB and four sockets, hence four file descriptors; opening and closing one takes 60 µs. A returned pair
// rests for the quarantine at the end of the queue before another call can get it, so that what is still on its way to
// the old call meets a closed port and not a stranger's ear. Hence at most pairs / 2 relays at a time, and
// pairs / 2 / quarantine new ones a second. Nothing is stored.
//
// Concurrency: on Linux a few goroutines, one for every two processors, move everything, each over an epoll set of its
// own; elsewhere there is one for each socket. Each relay has one lock, held for a packet's way through (some
// microseconds, never across anything that waits). All methods may be called at once from anywhere. Callbacks are
// called without the lock, from the goroutine that moves packets, and therefore must not wait.
//
// Limits: 2,048 bytes a datagram. A side may send [Config].MaxPacketRate packets a second, so that two relays that are
// made to point at each other go round slowly rather than for ever faster. An address that is not plausible
// (multicast, our own port) is refused, and a peer's address moves without a word in SIP only in the first seconds of
// a call. Link-local addresses of IPv6 are not served.
//
// Not here: codecs, playing, recording, mixing, SRTP. Those end a stream, and will stand where a side's peer stands now.
package media
