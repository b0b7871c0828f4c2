package dialplan

import (
	"slices"
	"strconv"

	"parley/internal/contract"
	"parley/internal/voice"
)

// ringGroup is the devices of a group's members. What a member's own forwarding says does not count here: its calls are the
// group's. Who does not want to be disturbed is not.
func (r *resolution) ringGroup(dn string) *contract.ResolveResponse {
	rule := "ring group " + dn
	g := r.plan.groups[dn]
	switch {
	case g == nil:
		return r.refuse(notFound, rule, "the members of ring group "+dn+" are not known yet")
	case slices.Contains(r.diverted, dn):
		return r.refuse(looped, rule, "forwarding goes round in a ring over "+dn)
	case len(r.diverted) > maxDiverted:
		return r.refuse(tooFar, rule, "the call was forwarded more than "+strconv.Itoa(maxDiverted)+" times")
	}
	out := &contract.RingGroup{Strategy: g.Strategy, RingBusy: g.RingBusy, Members: make([]contract.GroupMember, 0, len(g.Members))}
	for _, m := range g.Members {
		typ, dev, ok := r.numbers.find(r.tenant, m.DN)
		switch {
		case !ok || typ != voice.DNExtension:
			r.skip(rule, m.DN, "is no extension")
		case dev.options[voice.OptionDoNotDisturb] == "true":
			r.skip(rule, m.DN, "does not want to be disturbed")
		default:
			member := contract.GroupMember{Weight: max(m.Weight, 1)}
			member.Kind, member.Number, member.Contact, member.Options = contract.RouteDevice, m.DN, dev.contact, dev.options
			if member.RingSeconds = m.Seconds; m.Seconds == 0 {
				member.RingSeconds = g.RingSeconds
			}
			if t := r.plan.byDN[dev.through]; dev.through != "" && t != nil {
				addTargets(&member.ResolveResponse, t, m.DN)
			}
			out.Members = append(out.Members, member)
		}
	}
	if r.explain {
		r.step(rule, "rings "+strconv.Itoa(len(out.Members))+" of "+strconv.Itoa(len(g.Members))+" members, "+string(g.Strategy))
	}
	return &contract.ResolveResponse{
		Kind: contract.RouteGroup, Number: dn, RingSeconds: g.RingSeconds, OnNoAnswer: forwardTo(dn, g.Overflow), Group: out,
	}
}

func (r *resolution) skip(rule, dn, why string) {
	if r.explain {
		r.step(rule, "passes over "+dn+", which "+why)
	}
}
