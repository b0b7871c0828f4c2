// Package secure encrypts the audio of calls and proves who the peer is. It is what stands between a leg of package
// media and the wire: [SDES] takes its keys from SDP (RFC 4568), [DTLS] agrees on them with the peer itself (RFC 5763,
// RFC 5764) and is what browsers speak, together with ICE, of which a server with an address of its own needs the small
// half only (RFC 8445 §2.5, "lite"). The packets are SRTP and SRTCP (RFC 3711, RFC 7714) by pion/srtp, the handshake is
// pion/dtls'. A [Party] agrees on all that with one peer, over the offers and answers of a call.
//
// State: a context for each direction of a leg, made of one master key: the rollover counter and the window against
// replays of each SSRC (some 250 bytes each, [maxSources] at most). A context lives as long as its key does, over any
// number of re-INVITEs, since a rollover counter that is lost makes a stream unreadable for good. When a peer changes
// its key, the former one is good until the first packet under the new one.
//
// Secrets: master keys are made by crypto/rand, leave the process in SDP only ([Crypto.Attribute]), hide themselves from
// every verb of fmt and from slog, as passwords of ICE do, and are overwritten by [Key.Wipe] and when a guard is closed;
// the keys derived from them live inside the ciphers until the garbage collector takes those. The private key of an
// [Identity] never leaves memory, and a restart makes another.
//
// Concurrency: all methods may be called at once from anywhere, and nothing waits. Whoever calls Handle holds no lock that
// reply takes, since an answer may leave before it returns; no lock of ours is held then. Each direction has a lock of its
// own that is held for one packet. A [Party] is for one goroutine at a time. SDES has no goroutines. DTLS has four for
// each handshake under way, 30 seconds at most, and for 20 seconds after it, in which the peer may ask for our last
// message again; then none, and Close ends them.
//
// Limits: a packet under a key that was not agreed on costs one attempt at its authentication tag and leaves nothing
// behind. A check of ICE from somebody who does not know the name of the call costs its checksum and is not answered;
// from somebody who does, a hundred a second are looked at. [maxPeers] addresses may shake hands with a guard at a time,
// [shakeRate] begin a second, [maxHandshakes] with the process at a time; with ICE only addresses that proved to know the
// password.
//
// Not here: new keys before the lifetime of a master key is over (2^48 packets of SRTP, 2^31 of SRTCP: at the rate of
// audio a thousand centuries for the one, 300 years for the other; the context then refuses to send), several master
// keys at once (more than one MKI), Cryptex (RFC 9335), the whole of ICE, TURN.
package secure
