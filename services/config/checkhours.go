package config

import (
	"strings"

	"parley/internal/voice"
)

// This file holds what is known of the things that routing scripts look up: business hours and lists.

// Limits of what scripts look up.
const (
	maxOpenTimes   = 64
	maxSpecialDays = 400
	maxItems       = 10_000 // of a list
	maxItemKeys    = 64
	maxListBytes   = 1 << 20
)

func checkBusinessHours(r *report, b *voice.BusinessHours) {
	checkTitle(r, "name", b.Name)
	if b.Times == nil {
		b.Times = []voice.TimeSpan{}
	}
	if len(b.Times) > maxOpenTimes {
		r.bad("times", "has %d entries; want at most %d", len(b.Times), maxOpenTimes)
		return
	}
	for i, t := range b.Times {
		if len(t.Days) > maxDays {
			r.bad(index("times", i)+".days", "has %d entries; want at most %d", len(t.Days), maxDays)
		}
	}
	if len(b.SpecialDays) > maxSpecialDays {
		r.bad("special_days", "has %d entries; want at most %d", len(b.SpecialDays), maxSpecialDays)
		return
	}
	for i, d := range b.SpecialDays {
		checkText(r, index("special_days", i)+".name", d.Name, maxText)
	}
	_, problems := voice.ParseHours(*b)
	for _, p := range problems {
		r.bad(p.Field, "%s", p.Reason)
	}
}

func hoursSearch(b *voice.BusinessHours) string {
	var words []string
	for _, d := range b.SpecialDays {
		words = append(words, d.Name)
	}
	return strings.Join(words, " ")
}

func checkList(r *report, l *voice.List) {
	checkTitle(r, "name", l.Name)
	if l.Items == nil {
		l.Items = map[string]map[string]string{}
	}
	if len(l.Items) > maxItems {
		r.bad("items", "has %d entries; want at most %d", len(l.Items), maxItems)
		return
	}
	size := 0
	for _, item := range sortedKeys(l.Items) {
		keys := l.Items[item]
		checkOptionName(r, "items."+item, item)
		if len(keys) > maxItemKeys {
			r.bad("items."+item, "has %d keys; want at most %d", len(keys), maxItemKeys)
			continue
		}
		checkOptions(r, "items."+item, keys)
		for key, value := range keys {
			size += len(item) + len(key) + len(value)
		}
	}
	if size > maxListBytes {
		r.bad("items", "has %d bytes; want at most %d", size, maxListBytes)
	}
}
