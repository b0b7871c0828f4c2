package dialplan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/voice"
)

// plan is what one tenant has beside its extensions. It never changes.
type plan struct {
	trunks   []*trunk // with a prefix; longest first, then by priority
	byDN     map[string]*trunk
	apps     map[string]string // application by route point
	groups   map[string]*voice.RingGroup
	profiles map[string]*profile
	inside   *profile // of callers inside, nil: none
	outside  *profile // of callers outside, nil: none
}

// trunk is a way out.
type trunk struct {
	dn       string
	contacts []string
	prefix   string
	replace  string // in place of prefix, if swap
	swap     bool
	priority int
}

// profile is what a group of callers may dial.
type profile struct {
	name         string
	outsideCalls voice.OutsideCalls // "": by where the caller is
	partitions   []*partition
	rules        map[string][]*rule // by what their patterns begin with; the most specific first
	longest      int                // of the keys of rules
}

type partition struct {
	name  string
	zone  *time.Location
	times []voice.WeekSpan // none = always
}

type rule struct {
	pattern   voice.DialPattern
	partition int // index in the profile
	block     bool
	strip     int
	prepend   string
	target    string
}

// inForce tells whether the rules of the partition hold at a time.
func (p *partition) inForce(at time.Time) bool {
	if len(p.times) == 0 {
		return true
	}
	at = at.In(p.zone)
	for i := range p.times {
		if p.times[i].Contains(at) {
			return true
		}
	}
	return false
}

// material is what a plan is made of, as it came from the config service.
type material struct {
	profiles, partitions, dns []voice.Resource
}

// newPlan understands m. What cannot be understood is left out and told in problems: the config service checks what it
// takes, so it was written by another version.
func newPlan(m *material) (*plan, []error) {
	p := &plan{byDN: map[string]*trunk{}, apps: map[string]string{}, groups: map[string]*voice.RingGroup{}, profiles: map[string]*profile{}}
	var problems []error
	for _, r := range m.dns {
		if err := p.addDN(r); err != nil {
			problems = append(problems, err)
		}
	}
	slices.SortFunc(p.trunks, func(a, b *trunk) int {
		return cmp.Or(cmp.Compare(len(b.prefix), len(a.prefix)), cmp.Compare(a.prefix, b.prefix),
			cmp.Compare(a.priority, b.priority), cmp.Compare(a.dn, b.dn))
	})
	partitions := map[string]partRules{}
	for _, r := range m.partitions {
		part, err := newPartition(r)
		if err != nil {
			problems = append(problems, err)
		}
		partitions[r.Key] = part
	}
	for _, r := range m.profiles {
		if err := p.addProfile(r, partitions); err != nil {
			problems = append(problems, err)
		}
	}
	return p, problems
}

func (p *plan) addDN(r voice.Resource) error {
	var dn voice.DN
	if err := json.Unmarshal(r.Body, &dn); err != nil {
		return fmt.Errorf("number %q: %w", r.Key, err)
	}
	switch dn.Type {
	case voice.DNRoutingPoint:
		p.apps[r.Key] = dn.Application
	case voice.DNRingGroup:
		if dn.RingGroup != nil {
			p.groups[r.Key] = dn.RingGroup
		}
	case voice.DNTrunk, voice.DNSoftswitch:
		t := newTrunk(r.Key, dn.Options[section])
		p.byDN[t.dn] = t
		if t.prefix != "" {
			p.trunks = append(p.trunks, t)
		}
	}
	return nil
}

func newTrunk(dn string, options map[string]string) *trunk {
	t := &trunk{dn: dn, prefix: options[voice.OptionPrefix]}
	t.replace, t.swap = options[voice.OptionReplacePrefix]
	t.priority, _ = strconv.Atoi(options[voice.OptionPriority]) // checked by the config service; else the first
	if c := options[voice.OptionContact]; c != "" && c != anyContact {
		t.contacts = append(t.contacts, c)
	}
	for c := range strings.SplitSeq(options[voice.OptionContactBackup], ",") {
		if c = strings.TrimSpace(c); c != "" {
			t.contacts = append(t.contacts, c)
		}
	}
	return t
}

// send is the number that goes over the trunk in place of one that begins with its prefix.
func (t *trunk) send(number string) string {
	if !t.swap {
		return number
	}
	return t.replace + number[len(t.prefix):]
}

// partRules is a partition with its rules, which each profile sorts among those of its others.
type partRules struct {
	*partition
	rules []rule
}

func newPartition(r voice.Resource) (partRules, error) {
	out := partRules{partition: &partition{name: r.Key}}
	var body voice.Partition
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return out, fmt.Errorf("partition %q: %w", r.Key, err)
	}
	var err error
	if out.zone, err = voice.ParseTimezone(body.Timezone); err != nil {
		return out, fmt.Errorf("partition %q: %w", r.Key, err) // without rules: better none than at the wrong time
	}
	for _, s := range body.Times {
		span, bad := voice.ParseTimeSpan(s)
		if bad != nil {
			return out, fmt.Errorf("partition %q: %w", r.Key, bad)
		}
		out.times = append(out.times, span)
	}
	for _, b := range body.Rules {
		pattern, err := voice.ParseDialPattern(b.Pattern)
		if err != nil {
			return out, fmt.Errorf("partition %q: pattern %w", r.Key, err)
		}
		out.rules = append(out.rules, rule{
			pattern: pattern, block: b.Action == voice.RuleBlock,
			strip: min(max(b.Strip, 0), pattern.Len()), prepend: b.Prepend, target: b.Target,
		})
	}
	return out, nil
}

// addProfile makes a profile of partitions that are known. One that is not, is being made at this moment, and its
// notice is on the way.
func (p *plan) addProfile(r voice.Resource, known map[string]partRules) error {
	var body voice.CallingProfile
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return fmt.Errorf("calling profile %q: %w", r.Key, err)
	}
	out := &profile{name: r.Key, outsideCalls: body.OutsideCalls, rules: map[string][]*rule{}}
	var rules []*rule
	for _, name := range body.Partitions {
		part, ok := known[name]
		if !ok || len(out.partitions) == maxPartitions {
			continue
		}
		for _, one := range part.rules {
			one.partition = len(out.partitions)
			rules = append(rules, &one)
		}
		out.partitions = append(out.partitions, part.partition)
	}
	slices.SortStableFunc(rules, func(a, b *rule) int {
		return cmp.Or(a.pattern.Compare(b.pattern), cmp.Compare(a.partition, b.partition))
	})
	for _, one := range rules {
		key := one.pattern.Literal()
		out.rules[key] = append(out.rules[key], one)
		out.longest = max(out.longest, len(key))
	}
	p.profiles[out.name] = out
	for _, use := range body.DefaultFor {
		switch use {
		case voice.ProfileInternal:
			p.inside = out
		case voice.ProfileInbound:
			p.outside = out
		}
	}
	return nil
}

// maxPartitions of a profile, as a set of them is the bits of a word.
const maxPartitions = 32

// unknownProfile is that of a number whose own is not known yet: until it is, the number may not do more than it shall.
var unknownProfile = profile{name: "(not known)", outsideCalls: voice.OutsideBlock}

// profile returns the profile that a number names.
func (p *plan) profile(name string) *profile {
	if found, ok := p.profiles[name]; ok {
		return found
	}
	return &unknownProfile
}

// has tells whether the plan holds something of a number.
func (p *plan) has(number string) bool {
	_, trunk := p.byDN[number]
	_, app := p.apps[number]
	return trunk || app || p.groups[number] != nil
}

// trunksFor returns the trunks with the longest prefix of number.
func (p *plan) trunksFor(number string) []*trunk {
	for i, t := range p.trunks {
		if !strings.HasPrefix(number, t.prefix) || len(t.send(number)) == 0 {
			continue
		}
		end := i + 1
		for end < len(p.trunks) && p.trunks[end].prefix == t.prefix {
			end++
		}
		return p.trunks[i:end]
	}
	return nil
}
