package sip

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/voice"
)

// trunk is where calls come from without credentials: whoever sends from its address is the carrier.
type trunk struct {
	tenant, dn string
	at         netip.AddrPort // of its contact
}

// trunkTable finds trunks by the address a request came from. It is replaced, never changed.
type trunkTable struct{ byHost map[netip.Addr][]trunk }

// of returns the trunk that sends from there. A carrier may send from another port than it listens on; among several
// on one host that of the port comes first.
func (t *trunkTable) of(from netip.AddrPort) *trunk {
	if t == nil {
		return nil
	}
	list := t.byHost[from.Addr().Unmap()]
	for i := range list {
		if list[i].at.Port() == from.Port() {
			return &list[i]
		}
	}
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}

// trunkChanged reads the trunks again when one of them may have changed.
func (s *Service) trunkChanged(ch contract.DirectoryChange) {
	if ch.Number != "" && ch.Op != voice.OpDelete {
		if r, ok := s.dir.DN(ch.Tenant, ch.Number); ok && !r.IsTrunk() {
			return
		}
	}
	s.readTrunks()
}

func (s *Service) readTrunks() {
	t := &trunkTable{byHost: map[netip.Addr][]trunk{}}
	for _, r := range s.dir.Trunks() {
		options, err := r.Options()
		if err != nil {
			s.log.Error("options of a trunk", "err", err)
			continue
		}
		contacts := options["TServer"][voice.OptionContact] + "," + options["TServer"][voice.OptionContactBackup]
		for contact := range strings.SplitSeq(contacts, ",") {
			at, err := netip.ParseAddrPort(addressOf(strings.TrimSpace(contact)))
			if err != nil {
				continue // a name, or none: nobody is known by it
			}
			at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
			t.byHost[at.Addr()] = append(t.byHost[at.Addr()], trunk{r.Tenant, r.Number, at})
		}
	}
	s.trunks.Store(t)
}

// beginInbound begins a call that comes by a trunk. The tenant is the trunk's, whatever host the carrier wrote, and the
// caller who the carrier says he is (RFC 3325 §5: it is trusted).
func (s *Service) beginInbound(req *sip.Request, tx sipua.ServerTx, t *trunk) {
	tn, ok := s.dir.Tenant(t.tenant)
	if !ok {
		s.m.refused.WithLabelValues("no-tenant").Inc()
		tx.Respond(sip.NewResponseFromRequest(req, 404, "Not Found", nil))
		return
	}
	s.begin(req, tx, tn, party{trunk: t.dn, shown: assertedNumber(req), display: displayName(req)})
}

// assertedNumber is who calls, as a carrier says.
func assertedNumber(req *sip.Request) string {
	if h := req.GetHeader("P-Asserted-Identity"); h != nil {
		uri := h.Value()
		if _, rest, ok := strings.Cut(uri, "<"); ok {
			uri, _, _ = strings.Cut(rest, ">")
		}
		var u sip.Uri
		if sip.ParseUri(uri, &u) == nil && u.User != "" {
			return unescape(u.User)
		}
	}
	return unescape(req.From().Address.User)
}
