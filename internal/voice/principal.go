package voice

import "slices"

// Principal is who stands behind a request: a signed-in person or a token.
type Principal struct {
	Tenant string `json:"tenant"`
	User   string `json:"user"`
	Roles  []Role `json:"roles"`
}

// Has tells whether p holds r.
func (p Principal) Has(r Role) bool { return slices.Contains(p.Roles, r) }

// MayRead tells whether p may see the configuration of tenant.
func (p Principal) MayRead(tenant string) bool {
	return p.Has(RoleSystem) || p.Tenant == tenant && (p.Has(RoleAdmin) || p.Has(RoleSupervisor))
}

// MayWrite tells whether p may change the configuration of tenant.
func (p Principal) MayWrite(tenant string) bool {
	return p.Has(RoleSystem) || p.Tenant == tenant && p.Has(RoleAdmin)
}
