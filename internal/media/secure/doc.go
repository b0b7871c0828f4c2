// Package secure encrypts the audio of calls and proves who the peer is. It is what stands between a leg of package
// media and the wire: [SDES] takes its keys from SDP (RFC 4568), [DTLS] agrees on them with the peer itself (RFC 5763,
// RFC 5764) and is what browsers speak, together with [ICE], of which a server with a public address needs the small
// half only (RFC 8445 §2.5, "lite"). The packets are SRTP and SRTCP (RFC 3711, RFC 7714) by pion/srtp.
//
// State: a context for each direction of a leg, made of one master key: the rollover counter and the window against
// replays of each SSRC (some 250 bytes each, [maxSources] at most). A context lives as long as its key does, over any
// number of re-INVITEs, since a rollover counter that is lost makes a stream unreadable for good. When a peer changes
// its key, the former one is good until the first packet under the new one.
//
// Secrets: master keys are made by crypto/rand, leave the process in SDP only ([Crypto.Attribute]), hide themselves from
// every verb of fmt and from slog, and are overwritten by [Key.Wipe]; the keys derived from them live inside the ciphers
// until the garbage collector takes those. The private key of a [Certificate] never leaves memory.
//
// Concurrency: all methods may be called at once from anywhere. Each direction has a lock of its own that is held for
// one packet. SDES has no goroutines; DTLS has those of pion/dtls while a handshake is under way, two minutes at most,
// and none afterwards.
//
// Limits: a packet with a key that was not agreed on costs one attempt at its authentication tag and leaves nothing
// behind. Datagrams for STUN and DTLS are limited by number and by source, see [ICE] and [DTLS].
//
// Not here: new keys before the lifetime of a master key is over (2^48 packets of SRTP, 2^31 of SRTCP: at the rate of
// audio a thousand centuries for the one, 300 years for the other; the context then refuses to send), several master
// keys at once (more than one MKI), Cryptex (RFC 9335), ICE with candidates of our own beyond one, TURN.
package secure
