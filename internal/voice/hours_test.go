package voice

import (
	"testing"
	"time"
)

var shop = BusinessHours{
	Name: "shop", Timezone: "Europe/Berlin",
	Times: []TimeSpan{{Days: []string{"mon-fri"}, From: "09:00", To: "18:00"}, {Days: []string{"fri"}, From: "22:00", To: "02:00"}},
	SpecialDays: []SpecialDay{
		{Date: "12-25", Name: "Christmas"},
		{Date: "2026-12-24", Name: "Christmas Eve", From: "09:00", To: "12:00"}, {Date: "2026-12-24", From: "13:00", To: "14:00"},
		{Date: "2026-12-27", Name: "Sale", From: "10:00", To: "24:00"},
	},
}

func TestHours(t *testing.T) {
	h, bad := ParseHours(shop)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	for text, want := range map[string]bool{
		"2026-11-23T08:59:59+01:00": false, // a Monday
		"2026-11-23T09:00:00+01:00": true,
		"2026-11-23T17:59:00+01:00": true,
		"2026-11-23T18:00:00+01:00": false,
		"2026-11-23T08:30:00Z":      true, // half past nine in Berlin
		"2026-07-20T07:30:00Z":      true, // half past nine in summer
		"2026-07-20T16:30:00Z":      false,
		"2026-11-28T01:59:00+01:00": true, // Saturday, of the Friday before
		"2026-11-28T02:00:00+01:00": false,
		"2026-12-24T11:59:00+01:00": true, // a Thursday
		"2026-12-24T12:30:00+01:00": false,
		"2026-12-24T13:30:00+01:00": true,
		"2026-12-24T15:00:00+01:00": false,
		"2026-12-25T10:00:00+01:00": false, // a Friday
		"2027-12-25T10:00:00+01:00": false,
		"2026-12-26T01:00:00+01:00": true, // Saturday after a closed Friday: the week knows of no holiday
		"2026-12-27T23:59:00+01:00": true, // a Sunday
		"2026-12-20T12:00:00+01:00": false,
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Open(at); got != want {
			t.Errorf("Open(%s) = %v, want %v", text, got, want)
		}
	}
	if name, is := h.Special(time.Date(2026, 12, 24, 23, 30, 0, 0, time.UTC)); !is || name != "Christmas" {
		t.Errorf("half past midnight in Berlin on 25 December: %q, %v", name, is)
	}
}

func TestHoursNameWhatIsWrong(t *testing.T) {
	_, bad := ParseHours(BusinessHours{
		Timezone: "Mars", Times: []TimeSpan{{}, {Days: []string{"someday"}}},
		SpecialDays: []SpecialDay{{Date: "02-29"}, {Date: "02-30"}, {Date: "2026-13-01"}, {Date: "12-24", From: "18:00", To: "12:00"}, {Date: ""}},
	})
	var fields []string
	for _, b := range bad {
		fields = append(fields, b.Field)
	}
	want := []string{"timezone", "times[1].days[0]", "special_days[1].date", "special_days[2].date", "special_days[3].to", "special_days[4].date"}
	if len(fields) != len(want) {
		t.Fatalf("fields at fault: %v, want %v", fields, want)
	}
	for i := range want {
		if fields[i] != want[i] {
			t.Errorf("field %d = %s, want %s", i, fields[i], want[i])
		}
	}
}
