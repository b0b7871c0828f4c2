package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"parley/internal/store"
	"parley/internal/voice"
)

// This file holds what is known of the dial plan: partitions, calling profiles, and the options of numbers that speak
// of them.

// Limits of the dial plan.
const (
	maxRules      = 500 // of a partition
	maxTimes      = 32  // of a partition
	maxDays       = 7   // of a span of time
	maxPartitions = 32  // of a profile
	maxDigits     = 32  // to strip, or to put before a number
	maxRing       = 3600
	maxPriority   = 1000
)

func checkPartition(r *report, p *voice.Partition) {
	checkTitle(r, "name", p.Name)
	if _, err := voice.ParseTimezone(p.Timezone); err != nil {
		r.bad("timezone", "%v", err)
	}
	if len(p.Times) > maxTimes {
		r.bad("times", "has %d entries; want at most %d", len(p.Times), maxTimes)
	}
	for i, s := range p.Times {
		if len(s.Days) > maxDays {
			r.bad(index("times", i)+".days", "has %d entries; want at most %d", len(s.Days), maxDays)
		}
		if _, bad := voice.ParseTimeSpan(s); bad != nil {
			r.bad(index("times", i)+"."+bad.Field, "%s", bad.Reason)
		}
	}
	if p.Rules == nil {
		p.Rules = []voice.DialRule{}
	}
	if len(p.Rules) > maxRules {
		r.bad("rules", "has %d entries; want at most %d", len(p.Rules), maxRules)
	}
	checkRules(r, p.Rules)
}

func checkRules(r *report, rules []voice.DialRule) {
	patterns := make([]voice.DialPattern, 0, len(rules))
	for i := range rules {
		rule, at := &rules[i], index("rules", i)+"."
		pattern, err := voice.ParseDialPattern(rule.Pattern)
		if err != nil {
			r.bad(at+"pattern", "%v", err)
		} else if slices.ContainsFunc(patterns, pattern.Equal) {
			r.bad(at+"pattern", "%q matches the same numbers as another rule of this partition, so one of them has no effect", rule.Pattern)
		}
		patterns = append(patterns, pattern)
		checkRule(r, at, rule, pattern)
	}
}

func checkRule(r *report, at string, rule *voice.DialRule, pattern voice.DialPattern) {
	switch rule.Action {
	case "":
		rule.Action = voice.RuleAllow
	case voice.RuleAllow:
	case voice.RuleBlock:
		if rule.Strip != 0 || rule.Prepend != "" || rule.Target != "" {
			r.bad(at+"action", "is block, so there is nothing to strip, prepend or send to a target; leave those out")
		}
	default:
		r.bad(at+"action", "%q is not an action; want allow or block", rule.Action)
	}
	if rule.Strip < 0 || rule.Strip > maxDigits {
		r.bad(at+"strip", "%d is not a number of digits; want 0 to %d", rule.Strip, maxDigits)
	} else if rule.Strip > pattern.Len() && pattern.String() != "" {
		r.bad(at+"strip", "is %d, but %q also matches numbers of %d digits", rule.Strip, rule.Pattern, pattern.Len())
	}
	if len(rule.Prepend) > maxDigits || !voice.DialSymbols(rule.Prepend) {
		r.bad(at+"prepend", "%.64q cannot begin a number; want at most %d digits, '+', '*' or '#'", rule.Prepend, maxDigits)
	}
	checkText(r, at+"comment", rule.Comment, maxDescription)
}

func partitionRefs(p *voice.Partition) []pointer {
	var out []pointer
	for i, rule := range p.Rules {
		if rule.Target != "" {
			out = append(out, pointer{index("rules", i) + ".target", store.Ref{Kind: voice.KindDN, Key: rule.Target}})
		}
	}
	return out
}

// partitionSearch lists the patterns and comments, so that people find the rule for a number they know.
func partitionSearch(p *voice.Partition) string {
	var words []string
	for _, rule := range p.Rules {
		words = append(words, rule.Pattern, rule.Comment)
	}
	return strings.Join(words, " ")
}

var (
	profileUses  = []voice.ProfileUse{voice.ProfileInternal, voice.ProfileInbound}
	outsideCalls = []voice.OutsideCalls{voice.OutsideAllow, voice.OutsideRules, voice.OutsideBlock}
)

func checkCallingProfile(r *report, p *voice.CallingProfile) {
	checkTitle(r, "name", p.Name)
	if p.Partitions == nil {
		p.Partitions = []string{}
	}
	if len(p.Partitions) > maxPartitions {
		r.bad("partitions", "has %d entries; want at most %d", len(p.Partitions), maxPartitions)
	}
	for i, name := range p.Partitions {
		if slices.Contains(p.Partitions[:i], name) {
			r.bad(index("partitions", i), "%q is there twice", name)
		}
	}
	for i, use := range p.DefaultFor {
		switch {
		case !slices.Contains(profileUses, use):
			r.bad(index("default_for", i), "%q is not a group of callers; want %s", use, listed(profileUses))
		case slices.Contains(p.DefaultFor[:i], use):
			r.bad(index("default_for", i), "%q is there twice", use)
		}
	}
	if p.OutsideCalls != "" && !slices.Contains(outsideCalls, p.OutsideCalls) {
		r.bad("outside_calls", "%q is not known; want %s", p.OutsideCalls, listed(outsideCalls))
	}
}

func profileRefs(p *voice.CallingProfile) []pointer {
	var out []pointer
	for i, name := range p.Partitions {
		out = append(out, pointer{index("partitions", i), store.Ref{Kind: voice.KindPartition, Key: name}})
	}
	return out
}

func profileClaims(p *voice.CallingProfile) []store.Ref {
	var c []store.Ref
	for _, use := range p.DefaultFor {
		c = append(c, store.Ref{Kind: claimProfile, Key: string(use)})
	}
	return c
}

// claimedProfileField names the field of p that claims to be the default for use.
func claimedProfileField(p *voice.CallingProfile, use string) string {
	return index("default_for", slices.Index(p.DefaultFor, voice.ProfileUse(use)))
}

// forwardOptions are the options of an extension that send its calls elsewhere.
var forwardOptions = []string{
	voice.OptionForwardAlways, voice.OptionForwardBusy, voice.OptionForwardNoAnswer, voice.OptionForwardOffline,
}

// checkDialOptions checks the options of section TServer that the dial plan reads.
func checkDialOptions(r *report, d *voice.DN) {
	const section = "options.TServer."
	o := d.Options["TServer"]
	for _, name := range forwardOptions {
		to, given := o[name]
		box, isBox := forwardMailbox(d.Number, to)
		switch {
		case !given:
		case d.Type != voice.DNExtension:
			r.bad(section+name, "only an extension forwards its calls; this is %s", article(string(d.Type)))
		case isBox && numberPattern.MatchString(box):
		case !numberPattern.MatchString(to):
			r.bad(section+name, "%.64q is neither a number nor %s nor %s:MAILBOX", to, voice.ForwardVoicemail, voice.ForwardVoicemail)
		case to == d.Number:
			r.bad(section+name, "is the number itself")
		}
	}
	if v, given := o[voice.OptionDoNotDisturb]; given && v != "true" && v != "false" {
		r.bad(section+voice.OptionDoNotDisturb, "%.64q is neither true nor false", v)
	}
	checkRange(r, section, o, voice.OptionNoAnswerTimeout, "a number of seconds", maxRing)
	checkRange(r, section, o, voice.OptionPriority, "a place in the order of trunks", maxPriority)
	if p := o[voice.OptionReplacePrefix]; len(p) > maxDigits || !voice.DialSymbols(p) {
		r.bad(section+voice.OptionReplacePrefix, "%.64q cannot begin a number; want at most %d digits, '+', '*' or '#'", p, maxDigits)
	}
	if backups, given := o[voice.OptionContactBackup]; given {
		for uri := range strings.SplitSeq(backups, ",") {
			if err := checkSIPURI(strings.TrimSpace(uri)); err != nil {
				r.bad(section+voice.OptionContactBackup, "%v", err)
			}
		}
	}
}

func checkRange(r *report, section string, options map[string]string, name, what string, limit int) {
	if s, given := options[name]; given {
		if n, err := strconv.Atoi(s); err != nil || n < 0 || n > limit {
			r.bad(section+name, "%.64q is not %s; want 0 to %d", s, what, limit)
		}
	}
}

// forwardMailbox tells whether a forwarding of number goes to a mailbox, and to which.
func forwardMailbox(number, to string) (box string, ok bool) {
	if to == voice.ForwardVoicemail {
		return number, true
	}
	return strings.CutPrefix(to, voice.ForwardVoicemail+":")
}

// dialRefs are what the options of a number point at.
func dialRefs(d *voice.DN) []pointer {
	var out []pointer
	o := d.Options["TServer"]
	if name := o[voice.OptionCallingProfile]; name != "" {
		out = append(out, pointer{"options.TServer." + voice.OptionCallingProfile, store.Ref{Kind: voice.KindCallingProfile, Key: name}})
	}
	out = append(out, softswitchRef(d)...)
	seen := map[string]bool{}
	for _, name := range forwardOptions {
		if box, ok := forwardMailbox(d.Number, o[name]); ok && !seen[box] {
			seen[box] = true
			out = append(out, pointer{fmt.Sprintf("options.TServer.%s", name), store.Ref{Kind: voice.KindMailbox, Key: box}})
		}
	}
	return out
}
