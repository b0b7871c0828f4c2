package transport

import (
	"context"
	"time"
)

const (
	sweepMax         = time.Second // how often connections are looked at, unless limits are shorter than four of these
	sweepMin         = 5 * time.Millisecond
	sweepRoutes      = time.Minute
	sweepCertificate = 5 * time.Second
)

// sweep watches the times of connections, and the certificate files, until ctx ends. One goroutine for all costs 20,000
// connections about a millisecond each second, and idle ones no timer.
func (s *Set) sweep(ctx context.Context) {
	period := s.sweepPeriod()
	tick := time.NewTicker(period)
	defer tick.Stop()
	var conns []*conn
	var routesDue, certDue time.Duration
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := s.now()
		conns = s.conns.all(conns[:0])
		for _, c := range conns {
			c.check(now, &s.limits)
		}
		clear(conns) // do not keep the closed ones alive
		if routesDue += period; routesDue >= sweepRoutes {
			routesDue = 0
			s.routes.forget()
		}
		if certDue += period; certDue >= sweepCertificate && s.opts.Certificates != nil {
			certDue = 0
			s.renewCertificates()
		}
	}
}

// sweepPeriod is short enough for the shortest limit.
func (s *Set) sweepPeriod() time.Duration {
	l := s.limits
	shortest := min(l.HandshakeTimeout, l.FirstMessageTimeout, l.PartialTimeout, l.IdleTimeout, l.VouchedIdleTimeout,
		l.WriteTimeout, l.PingInterval)
	return min(max(shortest/4, sweepMin), sweepMax)
}

// check ends a connection whose time is up.
func (c *conn) check(now int64, l *Limits) {
	over := func(since int64, limit time.Duration) bool { return now-since > int64(limit) }
	stalled, partial := c.sock.stalled.Load(), c.partial.Load()
	switch {
	case stalled != 0 && over(stalled, l.WriteTimeout):
		c.abort(ClosedSlow)
	case c.closing(): // only its queue is waited for
	case !c.isReady():
		if over(c.opened, l.HandshakeTimeout) {
			c.abort(ClosedHandshake)
		}
	case partial != 0 && over(partial, l.PartialTimeout):
		c.abort(ClosedSlow)
	case c.first.Load() == 0 && c.listener != nil && over(c.ready.Load(), l.FirstMessageTimeout):
		c.abort(ClosedIdle)
	default:
		c.checkIdle(now, l)
	}
}

// checkIdle ends a connection that has been silent for too long, and asks a WebSocket for a sign of life before.
func (c *conn) checkIdle(now int64, l *Limits) {
	last := c.sock.lastRead.Load()
	silence := time.Duration(now - last)
	if c.ws != nil && silence > l.PingInterval {
		if asked := c.pinged.Load(); asked <= last {
			c.ping(now)
		} else if now-asked > int64(l.PingInterval) {
			c.abort(ClosedNoPong)
			return
		}
	}
	switch until := c.vouched.Load(); {
	case until == 0 && silence > l.IdleTimeout,
		until != 0 && now > until && silence > l.VouchedIdleTimeout:
		c.closeGently(ClosedIdle)
	}
}

// renewCertificates reads certificate files that have changed.
func (s *Set) renewCertificates() {
	switch changed, err := s.opts.Certificates.Poll(); {
	case err != nil:
		s.log.Error("certificate not reloaded, the one in use stays", "err", err)
	case changed:
		s.log.Info("certificate reloaded", "expires", s.opts.Certificates.NotAfter())
	}
}
