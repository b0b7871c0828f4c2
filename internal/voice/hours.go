package voice

import (
	"strconv"
	"strings"
	"time"
)

// The kinds that routing scripts look things up in.
const (
	KindBusinessHours Kind = "business_hours"
	KindList          Kind = "lists"
)

// BusinessHours says when somebody is there: a week, and the days that are different.
type BusinessHours struct {
	Name        string       `json:"name"`
	Timezone    string       `json:"timezone,omitempty"` // IANA name such as Europe/Berlin; default UTC
	Times       []TimeSpan   `json:"times"`              // when it is open; none = never, but on special days
	SpecialDays []SpecialDay `json:"special_days,omitempty"`
}

// SpecialDay is a day that is not like its weekday. Several entries of one date are open at several times. What begins on
// the day before and ends on it is not part of it.
type SpecialDay struct {
	Date string `json:"date"` // YYYY-MM-DD, or MM-DD for each year
	Name string `json:"name,omitempty"`
	From string `json:"from,omitempty"` // HH:MM; without From and To it is closed all day
	To   string `json:"to,omitempty"`   // HH:MM up to 24:00, not included
}

// List is a list object: what is known of things by their name, key by key.
type List struct {
	Name  string                       `json:"name"`
	Items map[string]map[string]string `json:"items"` // item -> key -> value
}

// Hours is a BusinessHours that was understood.
type Hours struct {
	zone    *time.Location
	week    []WeekSpan
	special map[string]day // by YYYY-MM-DD or MM-DD
}

// day is what a special day has.
type day struct {
	name string
	open []WeekSpan
}

// ParseHours reads business hours; the problems name the fields at fault.
func ParseHours(b BusinessHours) (*Hours, []FieldError) {
	var bad []FieldError
	h := &Hours{special: map[string]day{}}
	var err error
	if h.zone, err = ParseTimezone(b.Timezone); err != nil {
		bad = append(bad, FieldError{Field: "timezone", Reason: err.Error()})
	}
	for i, t := range b.Times {
		w, problem := ParseTimeSpan(t)
		if problem != nil {
			bad = append(bad, FieldError{Field: "times[" + strconv.Itoa(i) + "]." + problem.Field, Reason: problem.Reason})
		}
		h.week = append(h.week, w)
	}
	for i, s := range b.SpecialDays {
		if problem := h.add(s); problem != nil {
			bad = append(bad, FieldError{Field: "special_days[" + strconv.Itoa(i) + "]." + problem.Field, Reason: problem.Reason})
		}
	}
	return h, bad
}

func (h *Hours) add(s SpecialDay) *FieldError {
	if !isDate(s.Date) {
		return &FieldError{Field: "date", Reason: strconv.Quote(s.Date) + " is not a date; want YYYY-MM-DD, or MM-DD for each year"}
	}
	d := h.special[s.Date]
	if s.Name != "" {
		d.name = s.Name
	}
	if s.From != "" || s.To != "" {
		w, problem := ParseTimeSpan(TimeSpan{From: s.From, To: s.To})
		if problem != nil {
			return problem
		}
		if w.to <= w.from {
			return &FieldError{Field: "to", Reason: "a special day ends with its date; want a time after from"}
		}
		d.open = append(d.open, w)
	}
	h.special[s.Date] = d
	return nil
}

func isDate(text string) bool {
	if len(text) == len("01-02") {
		text = "2024-" + text // a leap year, so that 29 February is a day
	}
	_, err := time.Parse(time.DateOnly, text)
	return err == nil && !strings.ContainsAny(text, " +")
}

// Open tells whether somebody is there at that moment.
func (h *Hours) Open(at time.Time) bool {
	at = at.In(h.zone)
	if d, is := h.specialDay(at); is {
		for _, w := range d.open {
			if w.Contains(at) {
				return true
			}
		}
		return false
	}
	for _, w := range h.week {
		if w.Contains(at) {
			return true
		}
	}
	return false
}

// Special tells whether the day of that moment is a special one, and its name.
func (h *Hours) Special(at time.Time) (name string, is bool) {
	d, is := h.specialDay(at.In(h.zone))
	return d.name, is
}

// specialDay is that of a date; one with a year goes before one of each year.
func (h *Hours) specialDay(at time.Time) (day, bool) {
	d, is := h.special[at.Format(time.DateOnly)]
	if !is {
		d, is = h.special[at.Format("01-02")]
	}
	return d, is
}
