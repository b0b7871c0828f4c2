package sip

import (
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/media/sdp"
)

// Audio may go from phone to phone (Config.Direct) where that is sure to work: neither is behind a NAT, as far as its SIP and
// its session description show, both are on networks that reach each other, and both encrypt in the same way or not at all.
// In doubt it goes through the node, and so does a call
// that is recorded. The question is asked with each offer, because the answer to one cannot take back what
// the offer said; a call that once goes through the node stays there.

// setDirect decides for the contacts of an attempt, as far as their SIP tells.
func (c *call) setDirect(contacts []contract.Binding) {
	c.direct = c.cfg.Direct && c.invite != nil && !c.device.record && !c.w.device(c.id.tenant, c.plan.Number, "").record && inTheOpen(c.invite.Contact(), c.hosts[caller])
	for i := range contacts {
		at, ok := seenOpenly(&contacts[i])
		c.direct = c.direct && ok && sameNetwork(c.hosts[caller], at)
	}
}

// mayGoDirectly adds what the session description of side from says.
func (c *call) mayGoDirectly(from side, s *sdp.Session) bool {
	if !c.direct {
		return false
	}
	a, ok := s.Audio()
	return ok && (a.Addr.IsUnspecified() || a.Addr == c.hosts[from].Unmap()) && a.Profile == c.audio.ends[from.other()].profile()
}

// isOffer tells whether a session description in m is an offer, where that can be seen from m alone (RFC 3264 §4).
func isOffer(m sip.Message) bool {
	req, ok := m.(*sip.Request)
	return ok && (req.IsInvite() || req.Method == sip.UPDATE)
}

// inTheOpen tells whether a contact names the address that its owner was seen at.
func inTheOpen(contact *sip.ContactHeader, seen netip.Addr) bool {
	if contact == nil {
		return false
	}
	at, err := netip.ParseAddr(contact.Address.Host)
	return err == nil && at.Unmap() == seen.Unmap()
}

// seenOpenly returns the address of a registered or fixed contact, if the contact is what it says.
func seenOpenly(b *contract.Binding) (at netip.Addr, ok bool) {
	var u sip.Uri
	if sip.ParseUri(b.Contact, &u) != nil {
		return at, false
	}
	at, err := netip.ParseAddr(u.Host)
	if err != nil {
		return at, false
	}
	if b.Received == "" {
		return at, b.Flow == "" // of a fixed contact there is nothing else to be known
	}
	seen, err := netip.ParseAddrPort(b.Received)
	return at, err == nil && seen.Addr().Unmap() == at.Unmap()
}

// sameNetwork tells whether two hosts, neither behind a NAT as seen from here, can be expected to reach each other.
func sameNetwork(a, b netip.Addr) bool {
	a, b = a.Unmap(), b.Unmap()
	if !a.IsValid() || !b.IsValid() || a.Is4() != b.Is4() || a.IsLinkLocalUnicast() || b.IsLinkLocalUnicast() {
		return false
	}
	return a.IsLoopback() == b.IsLoopback() && a.IsPrivate() == b.IsPrivate()
}
