package registrar

import (
	"context"
	"sync"
	"time"

	"parley/internal/contract"
)

const (
	maxChanges  = 10_000          // numbers that wait to be looked at; more, and all are
	changeRetry = 5 * time.Second // when a removal failed
)

// changes collects what the directory says has changed, until the registrar has looked.
type changes struct {
	wake chan struct{} // capacity 1: something waits

	mu  sync.Mutex // guards what follows
	all bool
	of  map[[2]string]struct{} // tenant and number
}

// note is called by the directory, and must not wait.
func (c *changes) note(d contract.DirectoryChange) {
	c.mu.Lock()
	if d.Number == "" || len(c.of) >= maxChanges {
		c.all, c.of = true, nil
	} else if !c.all {
		if c.of == nil {
			c.of = map[[2]string]struct{}{}
		}
		c.of[[2]string{d.Tenant, d.Number}] = struct{}{}
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it is told already
	}
}

func (c *changes) take() (all bool, of map[[2]string]struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, of = c.all, c.of
	c.all, c.of = false, nil
	return all, of
}

// followDirectory ends the registrations of numbers that may not register any more, until ctx ends.
func (s *Service) followDirectory(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changes.wake:
		}
		if s.removeStrays(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(changeRetry):
		}
	}
}

// removeStrays looks at what changed; false means that something is left to be tried again.
func (s *Service) removeStrays(ctx context.Context) bool {
	all, of := s.changes.take()
	var strays []aorKey
	if all {
		strays = s.index.keys(func(k aorKey) bool { return !s.registrable(k) })
	}
	for n := range of {
		if t, ok := s.index.known(n[0]); ok && !s.registrable(aorKey{t, n[1]}) {
			strays = append(strays, aorKey{t, n[1]})
		}
	}
	for _, k := range strays {
		if _, err := s.remove(ctx, k, func(*binding) bool { return true }, reasonRemoved); err != nil {
			s.log.Warn("end the registration of a number that may not register", "tenant", k.tenant.name, "dn", k.dn, "err", err)
			s.changes.note(contract.DirectoryChange{})
			return false
		}
	}
	return true
}

// registrable tells whether a number may have registrations at all.
func (s *Service) registrable(k aorKey) bool {
	e, ok := s.dir.DN(k.tenant.name, k.dn)
	if !ok || !e.HasAuth || !registers(e.Type) {
		return false
	}
	ok, err := mayRegister(e)
	return ok || err != nil // options that cannot be read are no reason to throw a phone out
}
