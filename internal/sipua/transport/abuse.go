package transport

import (
	"context"
	"net/netip"
	"time"
)

// abuseQueue is how many reports may wait for Options.Abuse; more are counted and lost, which only delays a ban.
const abuseQueue = 256

type abuseReport struct {
	source netip.Addr
	reason string
	weight int
}

// garbage reports a datagram that is no SIP, unless its source may well be forged.
func (s *Set) garbage(source netip.Addr, why dropReason, now time.Time) {
	if s.opts.Abuse == nil || s.limiter.isKnown(source, s.since(now)) || s.trusts(source) {
		return
	}
	s.offence(source, dropNames[why], now)
}

// offence counts one against a source and reports once a second.
func (s *Set) offence(source netip.Addr, reason string, now time.Time) {
	if s.opts.Abuse == nil {
		return
	}
	weight := s.limiter.offend(source, s.since(now))
	if weight == 0 {
		return
	}
	select {
	case s.abuse <- abuseReport{source, reason, weight}:
	default:
		s.lostAbuse.Add(1)
	}
}

// reportAbuse hands reports on until ctx ends.
func (s *Set) reportAbuse(ctx context.Context) {
	for {
		select {
		case r := <-s.abuse:
			s.opts.Abuse(r.source, r.reason, r.weight)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Set) trusts(source netip.Addr) bool { return s.opts.Trusted != nil && s.opts.Trusted(source) }

func (s *Set) bans(source netip.Addr) bool { return s.opts.Banned != nil && s.opts.Banned(source) }
