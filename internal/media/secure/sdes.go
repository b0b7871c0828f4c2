package secure

import (
	"fmt"
	"net/netip"
)

// SDES guards a leg with keys that both sides told in SDP (RFC 4568). Such keys are as secret as the signalling is: they
// are worth something over TLS.
type SDES struct{ session session }

// NewSDES makes a guard of our line and the peer's, which must be of one suite.
func NewSDES(local, remote Crypto) (*SDES, error) {
	s := &SDES{}
	if err := s.Agree(local, remote); err != nil {
		return nil, err
	}
	return s, nil
}

// Agree sets the keys again, after a re-INVITE. A key that stays goes on as it was, rollover counters and all, so it
// may be called with the same keys any number of times.
func (s *SDES) Agree(local, remote Crypto) error {
	if local.Suite != remote.Suite {
		return fmt.Errorf("a=crypto: we have %v and the peer %v: %w", local.Suite, remote.Suite, errCrypto)
	}
	return s.session.agree(local, remote)
}

// Handle drops what is neither RTP nor RTCP: a peer with keys from SDP has nothing else to say.
func (*SDES) Handle([]byte, netip.AddrPort, func([]byte, netip.AddrPort)) {}

// Protect appends the packet, encrypted, to dst. packet may be dst[:0] made longer, and overlaps dst in no other way.
func (s *SDES) Protect(dst, packet []byte, rtcp bool) ([]byte, error) {
	return s.session.out.protect(dst, packet, rtcp)
}

// Unprotect appends what a packet of the peer says to dst, or tells that it is none.
func (s *SDES) Unprotect(dst, packet []byte, rtcp bool) ([]byte, error) {
	return s.session.in.unprotect(dst, packet, rtcp)
}

// Peer is unknown to SDES.
func (*SDES) Peer() netip.AddrPort { return netip.AddrPort{} }

// Close forgets the keys.
func (s *SDES) Close() { s.session.close() }
