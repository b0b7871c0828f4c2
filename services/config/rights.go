package config

import "parley/internal/voice"

// rights are what the writer of a plan may do. Other services have checked for themselves: see everything.
type rights struct {
	all bool
	who voice.Principal
}

var everything = rights{all: true}

func rightsOf(who voice.Principal) rights { return rights{who: who} }

// touch is asked for each resource of a plan before its password is compared with the one there is, changed or not:
// who may not write a resource must not find out either whether a guess would have changed it.
func (r rights) touch(what id, before, after any) error {
	if r.all {
		return nil
	}
	tenant := what.tenant
	if what.kind == voice.KindTenant {
		tenant = what.key
	}
	if !r.who.MayWrite(tenant) {
		return voice.Errorf(voice.ErrForbidden, "your role does not allow to change tenant %q", tenant)
	}
	for _, body := range []any{before, after} { // nobody makes himself more than he is, nor takes over somebody who is
		if p, ok := body.(*voice.Person); ok && isSystem(p) && !r.who.Has(voice.RoleSystem) {
			return voice.Errorf(voice.ErrForbidden, "only the role system may write persons who have it (%q)", what.key)
		}
	}
	return nil
}

// change is asked for each resource that would change.
func (r rights) change(what id) error {
	if !r.all && what.kind == voice.KindTenant && !r.who.Has(voice.RoleSystem) {
		return voice.Errorf(voice.ErrForbidden, "only the role system may change tenants (%q)", what.key)
	}
	return nil
}
