package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	maxPeople    = 10_000      // persons remembered; beyond it an arbitrary one is forgotten
	maxPersonAge = time.Minute // backstop, should a change event be late
)

// person is what a token check needs to know of somebody. The zero value is nobody.
type person struct {
	exists   bool
	disabled bool
	roles    []voice.Role
	proof    string // signer.proof of the password hash; the hash itself is not kept
}

// people remembers persons read from services/config until the stream CONFIG says that they changed.
type people struct {
	f     *fabric.Fabric
	proof func(passwordHash string) string
	now   func() time.Time

	mu         sync.Mutex // guards what follows; not held while config is asked
	known      map[personKey]knownPerson
	fallback   string // name of the default tenant, "" = not known
	generation uint64 // rises with each change, so that an answer older than a change is not kept
}

type personKey struct{ tenant, user string }

type knownPerson struct {
	person
	read time.Time
}

func newPeople(f *fabric.Fabric, proof func(string) string, now func() time.Time) *people {
	return &people{f: f, proof: proof, now: now, known: map[personKey]knownPerson{}}
}

// get returns the person, who may not exist, from memory or from config. good tells whether what memory holds will
// do; if not, config is asked: the news of a change may still be on its way, e.g. of the password that the token in
// hand was issued for.
func (p *people) get(ctx context.Context, tenant, user string, good func(person) bool) (person, error) {
	key := personKey{tenant, user}
	p.mu.Lock()
	k, ok := p.known[key]
	generation := p.generation
	p.mu.Unlock()
	if ok && p.now().Sub(k.read) < maxPersonAge && good(k.person) {
		return k.person, nil
	}
	body, err := p.read(ctx, tenant, user)
	if err != nil && !errors.Is(err, voice.ErrNotFound) {
		return person{}, err
	}
	found := person{}
	if err == nil {
		found = person{exists: true, disabled: body.Disabled, roles: body.Roles, proof: p.proof(body.PasswordHash)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.generation == generation {
		p.makeRoomLocked()
		p.known[key] = knownPerson{found, p.now()}
	}
	return found, nil
}

func (p *people) makeRoomLocked() {
	if len(p.known) < maxPeople {
		return
	}
	for k := range p.known {
		delete(p.known, k)
		return
	}
}

// read asks config for a person with the password hash; voice.ErrNotFound when there is none.
func (p *people) read(ctx context.Context, tenant, user string) (voice.Person, error) {
	res, err := fabric.Call(ctx, p.f, contract.ConfigGet, contract.ConfigKey{
		Tenant: tenant, Kind: voice.KindPerson, Key: user, Secrets: true,
	})
	if err != nil {
		return voice.Person{}, fmt.Errorf("read person %s of %s: %w", user, tenant, err)
	}
	var body voice.Person
	if err := json.Unmarshal(res.Body, &body); err != nil {
		return voice.Person{}, fmt.Errorf("person %s of %s: %w", user, tenant, err)
	}
	return body, nil
}

// tenantOr returns name, or the name of the default tenant when name is "".
func (p *people) tenantOr(ctx context.Context, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	p.mu.Lock()
	fallback, generation := p.fallback, p.generation
	p.mu.Unlock()
	if fallback != "" {
		return fallback, nil
	}
	fallback, err := p.findDefault(ctx)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.generation == generation {
		p.fallback = fallback
	}
	return fallback, nil
}

// findDefault pages through the tenants for the one that is the default.
func (p *people) findDefault(ctx context.Context) (string, error) {
	req := contract.ConfigListRequest{Tenant: voice.SystemTenant, Kind: voice.KindTenant, Limit: 1000}
	for {
		page, err := fabric.Call(ctx, p.f, contract.ConfigList, req)
		if err != nil {
			return "", fmt.Errorf("find the default tenant: %w", err)
		}
		for _, r := range page.Resources {
			var t voice.Tenant
			if err := json.Unmarshal(r.Body, &t); err != nil {
				return "", fmt.Errorf("tenant %s: %w", r.Key, err)
			}
			if t.Default {
				return r.Key, nil
			}
		}
		if page.Next == "" {
			return "", voice.Errorf(voice.ErrNotFound, "no tenant is the default one")
		}
		req.After = page.Next
	}
}

// changed forgets what a change of configuration is about.
func (p *people) changed(m fabric.Message) error {
	var ev voice.ConfigChanged
	if err := json.Unmarshal(m.Data, &ev); err != nil {
		p.forgetAll()
		return fmt.Errorf("event on CONFIG, sequence %d: %w", m.Seq, err)
	}
	switch ev.Kind {
	case voice.KindPerson:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.generation++
		delete(p.known, personKey{ev.Tenant, ev.Key})
	case voice.KindTenant:
		p.forgetAll()
	}
	return nil
}

func (p *people) forgetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation++
	clear(p.known)
	p.fallback = ""
}
