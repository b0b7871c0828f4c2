package config

import (
	"strings"

	"parley/internal/store"
	"parley/internal/voice"
)

// kind is what the service knows of one kind of resource. Bodies are pointers to the type of the kind.
type kind struct {
	name     voice.Kind
	keyField string // the field of the body that is the key
	empty    func() any
	key      func(body any) *string
	check    func(r *report, body any)  // syntax; also brings the body into its stored form
	refs     func(body any) []pointer   // what it points at
	claims   func(body any) []store.Ref // what only one may have
	search   func(body any) string      // what a match looks into
	typ      func(body any) string      // what ListQuery.Type compares
}

// pointer is a field that names another resource of the tenant.
type pointer struct {
	field string
	to    store.Ref
}

// Claims are kept beside the references of a resource, under kinds that do not exist, and answer "who has it?".
const (
	claimDomain  voice.Kind = "#domain"   // of a tenant; the tenants are all in the system tenant, so over all of them
	claimDefault voice.Kind = "#default"  // of the default tenant
	claimAgentID voice.Kind = "#agent_id" // of a person
	claimSystem  voice.Kind = "#system"   // of persons with the role system; not exclusive
	claimProfile voice.Kind = "#profile"  // of the calling profile that a group of callers has by default
)

// def describes a kind with its own type.
type def[T any] struct {
	key    func(*T) *string
	check  func(*report, *T)
	refs   func(*T) []pointer
	claims func(*T) []store.Ref
	search func(*T) string
	typ    func(*T) string
}

func define[T any](name voice.Kind, keyField string, d def[T]) *kind {
	k := &kind{
		name: name, keyField: keyField,
		empty:  func() any { return new(T) },
		key:    func(b any) *string { return d.key(b.(*T)) },
		check:  func(r *report, b any) { d.check(r, b.(*T)) },
		refs:   func(any) []pointer { return nil },
		claims: func(any) []store.Ref { return nil },
		search: func(any) string { return "" },
		typ:    func(any) string { return "" },
	}
	if d.refs != nil {
		k.refs = func(b any) []pointer { return d.refs(b.(*T)) }
	}
	if d.claims != nil {
		k.claims = func(b any) []store.Ref { return d.claims(b.(*T)) }
	}
	if d.search != nil {
		k.search = func(b any) string { return d.search(b.(*T)) }
	}
	if d.typ != nil {
		k.typ = func(b any) string { return d.typ(b.(*T)) }
	}
	return k
}

// kindList returns the kinds in the order of a provisioning file: what is pointed at mostly before what points.
func kindList() []*kind {
	return []*kind{
		define(voice.KindTenant, "name", def[voice.Tenant]{
			key: func(t *voice.Tenant) *string { return &t.Name }, check: checkTenant, claims: tenantClaims,
			search: func(t *voice.Tenant) string { return strings.Join(t.Domains, " ") },
		}),
		define(voice.KindDN, "number", def[voice.DN]{
			key: func(d *voice.DN) *string { return &d.Number }, check: checkDN, refs: dnRefs,
			search: func(d *voice.DN) string { return d.Name }, typ: func(d *voice.DN) string { return string(d.Type) },
		}),
		define(voice.KindSkill, "name", def[voice.Skill]{
			key: func(s *voice.Skill) *string { return &s.Name }, check: checkSkill,
			search: func(s *voice.Skill) string { return s.Description },
		}),
		define(voice.KindPlace, "name", def[voice.Place]{
			key: func(p *voice.Place) *string { return &p.Name }, check: checkPlace, refs: placeRefs,
			search: func(p *voice.Place) string { return strings.Join(p.DNs, " ") },
		}),
		define(voice.KindPerson, "username", def[voice.Person]{
			key: func(p *voice.Person) *string { return &p.Username }, check: checkPerson, refs: personRefs, claims: personClaims,
			search: func(p *voice.Person) string {
				return strings.Join([]string{p.FirstName, p.LastName, p.Email, p.AgentID}, " ")
			},
		}),
		define(voice.KindScript, "name", def[voice.Script]{
			key: func(s *voice.Script) *string { return &s.Name }, check: checkScript,
		}),
		define(voice.KindBusinessHours, "name", def[voice.BusinessHours]{
			key: func(b *voice.BusinessHours) *string { return &b.Name }, check: checkBusinessHours, search: hoursSearch,
		}),
		define(voice.KindList, "name", def[voice.List]{
			key: func(l *voice.List) *string { return &l.Name }, check: checkList,
		}),
		define(voice.KindVoicemailProfile, "name", def[voice.VoicemailProfile]{
			key: func(p *voice.VoicemailProfile) *string { return &p.Name }, check: checkProfile,
		}),
		define(voice.KindMailbox, "number", def[voice.Mailbox]{
			key: func(m *voice.Mailbox) *string { return &m.Number }, check: checkMailbox, refs: mailboxRefs,
			search: func(m *voice.Mailbox) string { return m.Owner },
		}),
		define(voice.KindPartition, "name", def[voice.Partition]{
			key: func(p *voice.Partition) *string { return &p.Name }, check: checkPartition, refs: partitionRefs, search: partitionSearch,
		}),
		define(voice.KindCallingProfile, "name", def[voice.CallingProfile]{
			key: func(p *voice.CallingProfile) *string { return &p.Name }, check: checkCallingProfile, refs: profileRefs, claims: profileClaims,
			search: func(p *voice.CallingProfile) string { return strings.Join(p.Partitions, " ") },
		}),
	}
}

// kinds is the table by name, and in order.
type kinds struct {
	list   []*kind
	byName map[voice.Kind]*kind
}

func newKinds() kinds {
	k := kinds{list: kindList(), byName: map[voice.Kind]*kind{}}
	for _, one := range k.list {
		k.byName[one.name] = one
	}
	return k
}

// find returns the kind of that name, or voice.ErrNotFound.
func (k kinds) find(name voice.Kind) (*kind, error) {
	if found, ok := k.byName[name]; ok {
		return found, nil
	}
	return nil, voice.Errorf(voice.ErrNotFound, "there is no kind of resource called %.64q", string(name))
}

func tenantClaims(t *voice.Tenant) []store.Ref {
	var c []store.Ref
	for _, d := range t.Domains {
		c = append(c, store.Ref{Kind: claimDomain, Key: d})
	}
	if t.Default {
		c = append(c, store.Ref{Kind: claimDefault, Key: "default"})
	}
	return c
}

func personClaims(p *voice.Person) []store.Ref {
	var c []store.Ref
	if p.AgentID != "" {
		c = append(c, store.Ref{Kind: claimAgentID, Key: p.AgentID})
	}
	if isSystem(p) {
		c = append(c, store.Ref{Kind: claimSystem, Key: "system"})
	}
	return c
}

func dnRefs(d *voice.DN) []pointer {
	out := append(dialRefs(d), ringGroupRefs(d)...)
	if d.Application != "" {
		out = append(out, pointer{"application", store.Ref{Kind: voice.KindScript, Key: d.Application}})
	}
	return out
}

func placeRefs(p *voice.Place) []pointer {
	var out []pointer
	for i, dn := range p.DNs {
		out = append(out, pointer{index("dns", i), store.Ref{Kind: voice.KindDN, Key: dn}})
	}
	return out
}

func personRefs(p *voice.Person) []pointer {
	var out []pointer
	if p.Place != "" {
		out = append(out, pointer{"place", store.Ref{Kind: voice.KindPlace, Key: p.Place}})
	}
	for _, skill := range sortedKeys(p.Skills) {
		out = append(out, pointer{"skills." + skill, store.Ref{Kind: voice.KindSkill, Key: skill}})
	}
	return out
}

// systemProfile is the voicemail profile that is there even if nobody has made it.
const systemProfile = "SystemProfile"

func mailboxRefs(m *voice.Mailbox) []pointer {
	var out []pointer
	if m.Owner != "" {
		out = append(out, pointer{"owner", store.Ref{Kind: voice.KindPerson, Key: m.Owner}})
	}
	if m.Profile != "" && m.Profile != systemProfile {
		out = append(out, pointer{"profile", store.Ref{Kind: voice.KindVoicemailProfile, Key: m.Profile}})
	}
	return out
}
