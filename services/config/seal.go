package config

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"parley/internal/passwd"
	"parley/internal/voice"
)

// hashes remembers the password hashes of one write over its attempts, since each takes tens of milliseconds.
type hashes struct {
	mu   sync.Mutex // guards made
	made map[hashKey]string
}

type hashKey struct {
	id           id
	plain, known string // as typed, and the hash it is compared with
}

func newHashes() *hashes { return &hashes{made: map[hashKey]string{}} }

// seal turns what was typed into what is stored. A password that fits the hash there is leaves it alone, so that
// applying a file twice changes nothing; a body without a password keeps the one there is.
func (p *planner) seal(ctx context.Context) error {
	if p.out.any() {
		return nil // nothing will be written; do not spend a minute on the way to saying so
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range p.wants {
		switch body := w.body.(type) {
		case *voice.DN:
			before, _ := w.before.(*voice.DN)
			p.sealDN(w, body, before)
			if err := p.sealTrunk(ctx, w, body, before); err != nil {
				return waited(g, err)
			}
		case *voice.Person:
			before, _ := w.before.(*voice.Person)
			if body.Password == "" {
				keepHash(body, before)
				continue
			}
			if err := p.s.acquireHash(ctx); err != nil {
				return waited(g, err)
			}
			g.Go(func() error {
				defer p.s.releaseHash()
				p.sealPerson(w.id, body, before)
				return nil
			})
		}
	}
	return g.Wait()
}

// waited lets what was started end before its results are given up.
func waited(g *errgroup.Group, err error) error {
	if werr := g.Wait(); werr != nil {
		return werr
	}
	return err
}

func (p *planner) sealDN(w *want, d, before *voice.DN) {
	realm := p.tenants[w.tenant].Realm
	var known *voice.SIPAuth
	if before != nil && before.Auth != nil && before.Auth.Realm == realm && before.Auth.Username == d.Number {
		known = before.Auth
	}
	switch {
	case !hasAccount(d.Type):
		d.Auth = nil
	case d.Password != "" && known != nil && passwd.VerifySIP(*known, d.Password):
		d.Auth = known
	case d.Password != "":
		auth := passwd.SIP(d.Number, realm, d.Password)
		d.Auth = &auth
	case d.Auth == nil:
		d.Auth = known
	case d.Auth.Realm != realm:
		w.report(&p.out).bad("auth.realm", "is %q; the realm of tenant %q is %q, and digests of another are of no use", d.Auth.Realm, w.tenant, realm)
	}
	d.Password = ""
}

func keepHash(person, before *voice.Person) {
	if person.PasswordHash == "" && before != nil {
		person.PasswordHash = before.PasswordHash
	}
}

func (p *planner) sealPerson(who id, person, before *voice.Person) {
	k := hashKey{id: who, plain: person.Password}
	if before != nil {
		k.known = before.PasswordHash
	}
	p.hashes.mu.Lock()
	hash, ok := p.hashes.made[k]
	p.hashes.mu.Unlock()
	if !ok {
		same := false
		if k.known != "" {
			same, _ = passwd.Verify(k.known, k.plain) // a hash that cannot be read fits nothing
		}
		if hash = k.known; !same {
			hash = passwd.Hash(k.plain)
		}
		p.hashes.mu.Lock()
		p.hashes.made[k] = hash
		p.hashes.mu.Unlock()
	}
	person.Password, person.PasswordHash = "", hash
}

// acquireHash waits for one of the places of those who hash passwords: each takes passwd.MemoryKiB.
func (s *Service) acquireHash(ctx context.Context) error {
	select {
	case s.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) releaseHash() { <-s.hashing }
