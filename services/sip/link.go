package sip

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/passwd"
	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/services/sip/trunk"
)

// Reached is where peers reach the front door of the process; a Sender that is one knows.
type Reached interface {
	// Reached returns the address of the first listener for a transport, false when there is none.
	Reached(transport.Transport) (netip.AddrPort, bool)
}

// linkTrunks gives the trunks their way to the world, before the first call.
func (s *Service) linkTrunks(ctx context.Context, tokens *sipua.Tokens) error {
	secret, err := fabric.Call(ctx, s.f, contract.ClusterSecret, contract.TrunkSecret)
	if err != nil {
		return err
	}
	sealer, err := passwd.NewSealer(secret)
	if err != nil {
		return fmt.Errorf("sip: %w", err)
	}
	s.trunks.Attach(trunk.Link{
		Sender: s.sender, Tokens: tokens, Secret: secret, Contact: s.contactBy, Leases: s.f.Bucket(fabric.BucketLeases),
		Open: func(sealed, tenant, dn string) (string, error) {
			return sealer.Open(contract.TrunkOwner(tenant, dn), sealed)
		},
	})
	return nil
}

// contactBy is host and port where a peer reaches us by a transport, "" when it does not.
func (s *Service) contactBy(t transport.Transport) string {
	host, _, err := net.SplitHostPort(s.contact)
	front, ok := s.sender.(Reached)
	if err != nil || !ok {
		return s.contact
	}
	at, ok := front.Reached(t)
	if !ok {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(int(at.Port())))
}
