package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// people knows which DNs belong to whom, from the configuration: those of his place.
type people struct {
	f   *fabric.Fabric
	now func() time.Time

	mu    sync.Mutex // guards known
	known map[[2]string]belongings
}

// belongings are what a person has. They are shared: read only.
type belongings struct {
	dns   []string
	agent string // AgentID
	until time.Time
}

const (
	peopleFresh = 5 * time.Second // how long an answer of the config service holds
	peopleKept  = 10_000          // answers kept at the most
)

func newPeople(f *fabric.Fabric, now func() time.Time) *people {
	return &people{f: f, now: now, known: map[[2]string]belongings{}}
}

// of is what a person has; somebody who does not exist has nothing.
func (p *people) of(ctx context.Context, tenant, user string) (belongings, error) {
	k := [2]string{tenant, user}
	p.mu.Lock()
	b, ok := p.known[k]
	p.mu.Unlock()
	if now := p.now(); ok && now.Before(b.until) {
		return b, nil
	}
	b, err := p.read(ctx, tenant, user)
	if err != nil {
		return belongings{}, err
	}
	b.until = p.now().Add(peopleFresh)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= peopleKept {
		clear(p.known)
	}
	p.known[k] = b
	return b, nil
}

func (p *people) read(ctx context.Context, tenant, user string) (b belongings, err error) {
	var who voice.Person
	if found, err := p.get(ctx, tenant, voice.KindPerson, user, &who); err != nil || !found {
		return b, err
	}
	b.agent = who.AgentID
	if who.Place == "" {
		return b, nil
	}
	var place voice.Place
	if _, err := p.get(ctx, tenant, voice.KindPlace, who.Place, &place); err != nil {
		return b, err
	}
	b.dns = place.DNs
	return b, nil
}

func (p *people) get(ctx context.Context, tenant string, kind voice.Kind, key string, into any) (found bool, err error) {
	res, err := fabric.Call(ctx, p.f, contract.ConfigGet, contract.ConfigKey{Tenant: tenant, Kind: kind, Key: key})
	if errors.Is(err, voice.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(res.Body, into)
}

// scope is what somebody may see and do of a tenant.
type scope struct {
	whole bool     // everything
	dns   []string // else these DNs
	agent string   // and the agent of this AgentID
}

// covers tells whether a DN is in it.
func (sc scope) covers(dn string) bool { return sc.whole || slices.Contains(sc.dns, dn) }

var errRole = voice.Errorf(voice.ErrForbidden, "your roles do not allow this")

// scopeOf is what a principal may see and do of a tenant: the system role everywhere, administrators and supervisors
// everything of their tenant (there are no groups of agents that a supervisor could be limited to), an agent what
// belongs to the DNs of his place.
func (s *Service) scopeOf(ctx context.Context, p voice.Principal, tenant string) (scope, error) {
	switch {
	case p.MayRead(tenant):
		return scope{whole: true}, nil
	case p.Tenant != tenant || !p.Has(voice.RoleAgent):
		return scope{}, errRole
	}
	b, err := s.people.of(ctx, tenant, p.User)
	if err != nil {
		return scope{}, err
	}
	return scope{dns: b.dns, agent: b.agent}, nil
}

// forSupervisors are the requests that agents may not make, whatever the DN.
func forSupervisors(name voice.RequestName) bool {
	return name == voice.RequestMonitorNextCall || name == voice.RequestCancelMonitoring
}

// allowed says why a request may not be made; nil = it may.
func (sc scope) allowed(r *voice.Request) *voice.TError {
	switch {
	case sc.whole:
		return nil
	case forSupervisors(r.Name):
		return voice.TErrorf(voice.TErrNotRegistered, "%s is for supervisors", r.Name)
	case r.ThisDN == "":
		return voice.TErrorf(voice.TErrNotRegistered, "say in ThisDN for which of your DNs you ask")
	case !sc.covers(r.ThisDN):
		return voice.TErrorf(voice.TErrNotRegistered, "%.64s is none of your DNs", r.ThisDN)
	}
	return nil
}
