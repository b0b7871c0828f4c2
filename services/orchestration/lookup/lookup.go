// Package lookup answers the functions of scripts that look something up: business hours, special days, time in a zone, items of
// lists. What there is comes from the configuration of a running node, or from the file of a test; the answers are the same.
//
// A [Tables] never changes once it is used, and may be shared; whoever learns of a change makes another one.
package lookup

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/internal/scxml"
	"parley/internal/voice"
)

// Functions are the names that [Tables.Call] knows, as module.Host names them.
var Functions = []string{
	"session.getListItemValue", "session.inBusinessHours", "session.isSpecialDay", "session.dayInZone", "session.timeInZone", "session.dateInZone",
}

// Tables is what there is to look things up in, of one tenant.
type Tables struct {
	hours map[string]*voice.Hours
	lists map[string]voice.List
}

// New makes tables of resources; the errors name what cannot be used, and the rest is used.
func New(hours []voice.BusinessHours, lists []voice.List) (*Tables, error) {
	t := &Tables{hours: map[string]*voice.Hours{}, lists: map[string]voice.List{}}
	var errs []error
	for _, b := range hours {
		h, problems := voice.ParseHours(b)
		if len(problems) > 0 {
			errs = append(errs, fmt.Errorf("business hours %q: %w", b.Name, voice.Invalid(problems...)))
			continue
		}
		t.hours[b.Name] = h
	}
	for _, l := range lists {
		t.lists[l.Name] = l
	}
	return t, errors.Join(errs...)
}

// FromResources makes tables of what the configuration has; resources of other kinds are passed over.
func FromResources(resources []voice.Resource) (*Tables, error) {
	var (
		hours []voice.BusinessHours
		lists []voice.List
		errs  []error
	)
	for _, r := range resources {
		switch r.Kind {
		case voice.KindBusinessHours:
			var b voice.BusinessHours
			errs = append(errs, json.Unmarshal(r.Body, &b))
			hours = append(hours, b)
		case voice.KindList:
			var l voice.List
			errs = append(errs, json.Unmarshal(r.Body, &l))
			lists = append(lists, l)
		}
	}
	t, err := New(hours, lists)
	return t, errors.Join(append(errs, err)...)
}

// Call answers a function as it is at that moment. Known is false for functions of somebody else. An error is thrown in the
// script: a name that nothing has is a mistake, while an item that a list does not have is undefined.
func (t *Tables) Call(name string, args []any, now time.Time) (v any, known bool, err error) {
	if !slices.Contains(Functions, name) {
		return nil, false, nil
	}
	text := make([]string, 3)
	for i, a := range args[:min(len(args), 3)] {
		if a != scxml.Undefined && a != nil {
			text[i] = scxml.Text(a)
		}
	}
	v, err = t.answer(strings.TrimPrefix(name, "session."), text, now)
	return v, true, err
}

func (t *Tables) answer(name string, args []string, now time.Time) (any, error) {
	switch name {
	case "getListItemValue":
		l, ok := t.lists[args[0]]
		if !ok {
			return nil, fmt.Errorf("there is no list %q", args[0])
		}
		if v, ok := l.Items[args[1]][args[2]]; ok {
			return v, nil
		}
		return scxml.Undefined, nil
	case "inBusinessHours", "isSpecialDay":
		h, ok := t.hours[args[0]]
		if !ok {
			return nil, fmt.Errorf("there are no business hours %q", args[0])
		}
		if name == "inBusinessHours" {
			return h.Open(now), nil
		}
		_, is := h.Special(now)
		return is, nil
	}
	zone, err := voice.ParseTimezone(args[0])
	if err != nil {
		return nil, err
	}
	now = now.In(zone)
	switch name {
	case "dayInZone":
		return strings.ToLower(now.Format("Mon")), nil
	case "timeInZone":
		return now.Format("15:04"), nil
	}
	return now.Format(time.DateOnly), nil
}
