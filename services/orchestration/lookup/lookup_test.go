package lookup

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"parley/internal/scxml"
	"parley/internal/voice"
)

func resource(t *testing.T, kind voice.Kind, body any) voice.Resource {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return voice.Resource{Kind: kind, Body: raw}
}

func TestCall(t *testing.T) {
	tables, err := FromResources([]voice.Resource{
		resource(t, voice.KindBusinessHours, voice.BusinessHours{
			Name: "shop", Timezone: "Europe/Berlin", Times: []voice.TimeSpan{{Days: []string{"mon-fri"}, From: "09:00", To: "18:00"}},
			SpecialDays: []voice.SpecialDay{{Date: "12-25"}},
		}),
		resource(t, voice.KindList, voice.List{Name: "customers", Items: map[string]map[string]string{"4930": {"level": "gold"}}}),
		resource(t, voice.KindSkill, voice.Skill{Name: "english"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	monday := time.Date(2026, 11, 23, 23, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		args []any
		at   time.Time
		want any
	}{
		{"getListItemValue", []any{"customers", "4930", "level"}, monday, "gold"},
		{"getListItemValue", []any{"customers", 4930.0, "level"}, monday, "gold"}, // a number that a script made
		{"getListItemValue", []any{"customers", "4931", "level"}, monday, scxml.Undefined},
		{"getListItemValue", []any{"customers"}, monday, scxml.Undefined},
		{"inBusinessHours", []any{"shop"}, monday, false},
		{"inBusinessHours", []any{"shop"}, monday.Add(-12 * time.Hour), true},
		{"isSpecialDay", []any{"shop"}, monday, false},
		{"isSpecialDay", []any{"shop"}, time.Date(2026, 12, 24, 23, 30, 0, 0, time.UTC), true},
		{"dayInZone", []any{"Europe/Berlin"}, monday, "tue"},
		{"timeInZone", []any{"America/New_York"}, monday, "18:30"},
		{"dateInZone", []any{"Asia/Tokyo"}, monday, "2026-11-24"},
		{"timeInZone", nil, monday, "23:30"},
	} {
		if got, known, err := tables.Call("session."+c.name, c.args, c.at); err != nil || !known || got != c.want {
			t.Errorf("%s(%v) = %v, %v, %v, want %v", c.name, c.args, got, known, err, c.want)
		}
	}
	for name, args := range map[string][]any{"getListItemValue": {"nobody"}, "inBusinessHours": {"never"}, "isSpecialDay": nil, "dayInZone": {"Mars"}} {
		if v, _, err := tables.Call("session."+name, args, monday); err == nil {
			t.Errorf("%s(%v) = %v, want an error", name, args, v)
		}
	}
	if _, known, _ := tables.Call("statistic.sData", nil, monday); known {
		t.Error("statistic.sData is known here, want it left to others")
	}
}

func TestWhatCannotBeUsedIsNamed(t *testing.T) {
	tables, err := New([]voice.BusinessHours{{Name: "bad", Timezone: "Mars"}, {Name: "good"}}, nil)
	if err == nil || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("New = %v, want the name of what is wrong", err)
	}
	if _, _, err := tables.Call("session.inBusinessHours", []any{"good"}, time.Time{}); err != nil {
		t.Errorf("the rest cannot be used: %v", err)
	}
}
