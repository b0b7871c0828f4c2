package frontend

import (
	"slices"

	"parley/internal/voice"
)

// filter is which events a client wants and may see. Everything that is given must fit.
type filter struct {
	tenant string
	scope  scope

	dns   []string          // ThisDN is one of them
	types []voice.EventName // it is one of them
	call  string            // ConnID, CallUUID or CallThreadID
	agent *agentFilter

	registering bool     // only events of registered DNs: none at first
	registered  []string // by RequestRegisterAddress
}

// agentFilter is an agent: what is told of him, and of his DNs.
type agentFilter struct {
	names []string // user name, and AgentID where there is one
	dns   []string
}

func (f *filter) wants(it *item) bool {
	h := &it.head
	switch {
	case it.tenant != f.tenant:
		return false
	case !f.scope.covers(h.ThisDN) && (f.scope.agent == "" || h.AgentID != f.scope.agent):
		return false
	case len(f.dns) > 0 && !slices.Contains(f.dns, h.ThisDN):
		return false
	case f.registering && !slices.Contains(f.registered, h.ThisDN):
		return false
	case len(f.types) > 0 && !slices.Contains(f.types, h.ID):
		return false
	case f.call != "" && f.call != h.ConnID && f.call != h.CallUUID && f.call != h.CallThreadID && f.call != h.PreviousConnID:
		return false
	case f.agent != nil && !slices.Contains(f.agent.dns, h.ThisDN) && (h.AgentID == "" || !slices.Contains(f.agent.names, h.AgentID)):
		return false
	}
	return true
}

// maxRegistered is how many DNs one stream may register.
const maxRegistered = 1000

// register adds a DN; it tells whether there was room.
func (f *filter) register(dn string) bool {
	if slices.Contains(f.registered, dn) {
		return true
	}
	if len(f.registered) >= maxRegistered {
		return false
	}
	f.registered = append(slices.Clip(f.registered), dn)
	return true
}

// unregister takes a DN out; it tells whether it was there.
func (f *filter) unregister(dn string) bool {
	i := slices.Index(f.registered, dn)
	if i < 0 {
		return false
	}
	f.registered = slices.Delete(slices.Clone(f.registered), i, i+1)
	return true
}
