package voice

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // partitions name time zones, and small machines and containers often have no table of them
)

const dayMinutes = 24 * 60

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// WeekSpan is a TimeSpan that was understood.
type WeekSpan struct {
	days     [7]bool // on which it begins, by time.Weekday
	from, to int     // minutes of the day; to <= from: on the next day
}

// ParseTimeSpan reads a span; the error names the field at fault.
func ParseTimeSpan(s TimeSpan) (WeekSpan, *FieldError) {
	var w WeekSpan
	var ok bool
	for i, text := range s.Days {
		if !w.addDays(text) {
			return WeekSpan{}, &FieldError{Field: "days[" + strconv.Itoa(i) + "]", Reason: fmt.Sprintf("%q is not a day; want mon, tue, wed, thu, fri, sat, sun, or a span such as mon-fri", text)}
		}
	}
	if len(s.Days) == 0 {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	if w.from, ok = minutes(s.From, 0); !ok || w.from == dayMinutes {
		return WeekSpan{}, &FieldError{Field: "from", Reason: fmt.Sprintf("%q is not a time of day; want HH:MM from 00:00 to 23:59", s.From)}
	}
	if w.to, ok = minutes(s.To, dayMinutes); !ok {
		return WeekSpan{}, &FieldError{Field: "to", Reason: fmt.Sprintf("%q is not a time of day; want HH:MM from 00:00 to 24:00", s.To)}
	}
	return w, nil
}

// addDays marks a day, or a span of days that may go over the end of the week.
func (w *WeekSpan) addDays(text string) bool {
	first, last, span := strings.Cut(strings.ToLower(text), "-")
	if !span {
		last = first
	}
	from, to := weekday(first), weekday(last)
	if from < 0 || to < 0 {
		return false
	}
	for d := from; ; d = (d + 1) % 7 {
		w.days[d] = true
		if d == to {
			return true
		}
	}
}

func weekday(name string) int {
	for i, n := range dayNames {
		if n == name {
			return i
		}
	}
	return -1
}

// minutes reads HH:MM; "" is def.
func minutes(text string, def int) (int, bool) {
	if text == "" {
		return def, true
	}
	if len(text) != len("00:00") || text[2] != ':' {
		return 0, false
	}
	h, err := strconv.ParseUint(text[:2], 10, 8)
	m, err2 := strconv.ParseUint(text[3:], 10, 8)
	total := int(h)*60 + int(m)
	return total, err == nil && err2 == nil && m < 60 && total <= dayMinutes
}

// Contains tells whether the wall clock of at, in at's own time zone, is within the span.
func (w WeekSpan) Contains(at time.Time) bool {
	now := at.Hour()*60 + at.Minute()
	today := int(at.Weekday())
	if w.from < w.to {
		return w.days[today] && now >= w.from && now < w.to
	}
	return w.days[today] && now >= w.from || w.days[(today+6)%7] && now < w.to
}

// ParseTimezone returns the time zone of an IANA name; "" is UTC. The machine's own zone has no name here, as nodes may
// stand in several.
func ParseTimezone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("%q is not a time zone; want a name such as Europe/Berlin or UTC", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%.64q is not a time zone; want a name such as Europe/Berlin or UTC", name)
	}
	return loc, nil
}
