package config

import (
	"slices"
	"strings"

	"parley/internal/store"
	"parley/internal/voice"
)

// Limits of a ring group.
const (
	maxMembers = 50
	maxWeight  = 1000
)

var ringStrategies = []voice.RingStrategy{voice.RingSimultaneous, voice.RingSequential, voice.RingLeastLoaded}

func checkRingGroup(r *report, d *voice.DN) {
	g := d.RingGroup
	switch {
	case g == nil && d.Type != voice.DNRingGroup:
		return
	case g == nil:
		r.bad("ring_group", "is missing; a ring-group needs members")
		return
	case d.Type != voice.DNRingGroup:
		r.bad("ring_group", "only a ring-group has members; this is %s", article(string(d.Type)))
	}
	if g.Strategy == "" {
		g.Strategy = voice.RingSimultaneous
	}
	if !slices.Contains(ringStrategies, g.Strategy) {
		r.bad("ring_group.strategy", "%.64q is not a strategy; want %s", string(g.Strategy), listed(ringStrategies))
	}
	if n := len(g.Members); n == 0 || n > maxMembers {
		r.bad("ring_group.members", "has %d entries; want 1 to %d", n, maxMembers)
	}
	checkSeconds(r, "ring_group.ring_seconds", g.RingSeconds)
	for i, m := range g.Members {
		at := index("ring_group.members", i)
		if slices.ContainsFunc(g.Members[:i], func(o voice.RingMember) bool { return o.DN == m.DN }) {
			r.bad(at+".dn", "%q is there twice", m.DN)
		}
		if m.DN == d.Number {
			r.bad(at+".dn", "is the group itself")
		}
		if m.Weight < 0 || m.Weight > maxWeight {
			r.bad(at+".weight", "%d is not a weight; want 1 to %d, or none", m.Weight, maxWeight)
		}
		checkSeconds(r, at+".seconds", m.Seconds)
	}
	switch box, isBox := forwardMailbox(d.Number, g.Overflow); {
	case g.Overflow == "", isBox && numberPattern.MatchString(box):
	case g.Overflow == d.Number:
		r.bad("ring_group.overflow", "is the group itself")
	case !numberPattern.MatchString(g.Overflow):
		r.bad("ring_group.overflow", "%.64q is neither a number nor %s:MAILBOX", g.Overflow, voice.ForwardVoicemail)
	}
}

func checkSeconds(r *report, field string, n int) {
	if n < 0 || n > maxRing {
		r.bad(field, "%d is not a number of seconds; want 0 to %d", n, maxRing)
	}
}

// ringGroupRefs are the members of a group, and the mailbox it goes to.
func ringGroupRefs(d *voice.DN) []pointer {
	if d.RingGroup == nil {
		return nil
	}
	var out []pointer
	for i, m := range d.RingGroup.Members {
		out = append(out, pointer{index("ring_group.members", i) + ".dn", store.Ref{Kind: voice.KindDN, Key: m.DN}})
	}
	if box, ok := strings.CutPrefix(d.RingGroup.Overflow, voice.ForwardVoicemail+":"); ok {
		out = append(out, pointer{"ring_group.overflow", store.Ref{Kind: voice.KindMailbox, Key: box}})
	}
	return out
}
