// Package media carries the audio of calls through the node's own UDP ports (RFC 3550).
//
// A [Pool] owns the range of ports, a [Plane] the threads that move datagrams, and a [Relay] is one call: two sides, A
// and B, each with a port pair of its own towards its peer. What arrives on one side leaves on the other exactly as it
// came: payload types, SSRC, sequence numbers and timestamps untouched. On the way the relay looks at the header: it
// learns where a peer behind NAT really is (symmetric RTP), counts what a side sends and loses (RFC 3550 A.3, A.8),
// reads RTCP, notices telephone-events (RFC 4733), and drops what a held side should not hear. What is said about
// media in SIP is in the package sdp below this one.
//
// State: a port is one entry of a ring, 16 bytes, whether in use or not; sockets exist only while a relay is open. A
// relay is about 2 KB and four sockets. A returned pair rests for the quarantine at the end of the queue before
// another call can get it, so that what is still on its way to the old call meets a closed port and not a stranger's
// ear. Hence new relays a second = pairs / 2 / quarantine, at most. Nothing is stored.
//
// Concurrency: on Linux a few goroutines, one for every two processors, move everything, each over an epoll set of its
// own; elsewhere there is one for each socket. Each relay has one lock, held for a packet's way through (some
// microseconds, never across anything that waits). All methods may be called at once from anywhere. Callbacks are
// called without the lock, from the goroutine that moves packets, and therefore must not wait.
//
// Limits: 2,048 bytes a datagram; a side may send [Config].MaxPacketRate packets a second, so that two relays that
// are made to point at each other go round slowly rather than for ever faster; an address that is not plausible
// (multicast, port 0, our own port) is refused; only the first second or so of a call can move the address of a peer.
//
// Not here: codecs, playing, recording, mixing, SRTP. Those end a stream, and will stand where a side's peer stands now.
package media
