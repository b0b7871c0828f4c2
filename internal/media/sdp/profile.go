package sdp

// Profile is the protocol of an m= line: what the packets are, and how they are protected.
type Profile uint8

// The profiles that are carried.
const (
	AVP        Profile = iota // plain RTP (RFC 3551)
	AVPF                      // with earlier RTCP (RFC 4585)
	SAVP                      // SRTP (RFC 3711), with keys from SDP
	SAVPF                     // both (RFC 5124)
	DTLS                      // SRTP with keys from a handshake (RFC 5764)
	WebRTC                    // the same with earlier RTCP, as browsers do, with ICE (RFC 8834)
	profileEnd = iota
)

func (p Profile) String() string {
	return [...]string{"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"}[p]
}

// Encrypted tells whether packets must be encrypted.
func (p Profile) Encrypted() bool { return p >= SAVP }

func profileOf(proto string) (Profile, bool) {
	for p := range Profile(profileEnd) {
		if p.String() == proto {
			return p, true
		}
	}
	return 0, false
}

// Keys is how keys for SRTP are agreed on.
type Keys uint8

// The ways.
const (
	NoKeys    Keys = iota // not encrypted
	Told                  // a=crypto: each side says its own (RFC 4568)
	Handshake             // DTLS, between certificates whose fingerprints are said (RFC 5763)
)
