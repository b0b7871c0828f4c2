// Package impair is a bad network for tests: a UDP relay that loses (one by one or in runs), doubles, delays and reorders
// datagrams, or spaces them as a slow clock would, in both directions between peers and a server on loopback. It knows
// nothing of what they carry, SIP or RTP; a test may watch what comes out of it. The server sees each peer at an address of its own, as behind a NAT.
//
// What happens to the n-th datagram of a peer in one direction depends on the seed, the peer's turn and n alone ([Bad.Fate]), so
// a run that fails can be run again with the same losses, as far as the programs at both ends send the same.
//
// A Relay is made of a goroutine that reads peers and one a peer that reads the server. Datagrams under way are timers. Close
// waits for all of them.
package impair
