package prompt

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"parley/internal/voice"
)

// say is what names sound like, and fails if there is one that nobody could play.
func say(t *testing.T, l *Library, names []string) string {
	t.Helper()
	if _, err := l.Clips("acme", "en", names...); err != nil {
		t.Error(err)
	}
	words := make([]string, 0, len(names))
	for _, n := range names {
		if n == Pause {
			words = append(words, Pause)
			continue
		}
		words = append(words, l.texts[n])
	}
	return strings.ReplaceAll(strings.Join(words, " "), " ,", ",")
}

func TestCardinalAndOrdinal(t *testing.T) {
	l := library(t, "")
	for n, want := range map[int64][2]string{
		0: {"zero", "zero"}, 1: {"one", "first"}, 12: {"twelve", "twelfth"}, 20: {"twenty", "twentieth"}, 21: {"twenty one", "twenty first"},
		40: {"forty", "fortieth"}, 99: {"ninety nine", "ninety ninth"}, 100: {"one hundred", "one hundredth"},
		411: {"four hundred eleven", "four hundred eleventh"}, 1000: {"one thousand", "one thousandth"}, 1001: {"one thousand one", "one thousand first"},
		-5: {"minus five", "minus fifth"}, 2_000_000: {"two million", "two millionth"},
		999_999_999_999: {"nine hundred ninety nine billion nine hundred ninety nine million nine hundred ninety nine thousand nine hundred ninety nine",
			"nine hundred ninety nine billion nine hundred ninety nine million nine hundred ninety nine thousand nine hundred ninety ninth"},
		1_000_000_000_000: {"one zero zero zero zero zero zero zero zero zero zero zero zero", "one zero zero zero zero zero zero zero zero zero zero zero zero"},
	} {
		if got := say(t, l, Cardinal(n)); got != want[0] {
			t.Errorf("Cardinal(%d) = %q, want %q", n, got, want[0])
		}
		if got := say(t, l, Ordinal(n)); got != want[1] {
			t.Errorf("Ordinal(%d) = %q, want %q", n, got, want[1])
		}
	}
	for _, n := range []int64{math.MinInt64, math.MaxInt64} {
		say(t, l, Cardinal(n))
		say(t, l, Ordinal(n))
	}
	for n := range int64(2000) {
		say(t, l, Cardinal(n))
		say(t, l, Ordinal(n))
	}
}

func TestDateAndTime(t *testing.T) {
	l := library(t, "")
	zone := time.FixedZone("", -5*3600)
	now := time.Date(2026, 3, 1, 23, 30, 0, 0, zone)
	for day, want := range map[string]string{
		"2026-03-01": "today", "2026-02-28": "yesterday", "2026-03-02": "tomorrow", "2026-03-03": "Tuesday March third",
		"2025-12-31": "Wednesday December thirty first twenty twenty five", "2000-01-01": "Saturday January first two thousand",
		"1999-11-11": "Thursday November eleventh nineteen ninety nine", "1905-05-05": "Friday May fifth nineteen oh five",
		"1900-06-20": "Wednesday June twentieth nineteen hundred", "2007-07-07": "Saturday July seventh two thousand seven",
	} {
		d, err := time.ParseInLocation(time.DateOnly, day, zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := say(t, l, Date(d, now.UTC())); got != want {
			t.Errorf("Date(%s) = %q, want %q", day, got, want)
		}
	}
	for clock, want := range map[[2]int]string{
		{0, 0}: "midnight", {12, 0}: "noon", {0, 5}: "twelve oh five A M", {12, 30}: "twelve thirty P M", {9, 0}: "nine A M", {23, 59}: "eleven fifty nine P M",
	} {
		if got := say(t, l, Clock(clock[0], clock[1])); got != want {
			t.Errorf("Clock(%v) = %q, want %q", clock, got, want)
		}
	}
	if got := say(t, l, DateTime(now.Add(-24*time.Hour), now)); got != "yesterday at eleven thirty P M" {
		t.Errorf("DateTime = %q", got)
	}
	for d, want := range map[time.Duration]string{
		0: "zero seconds", -time.Second: "zero seconds", time.Second: "one second", 65 * time.Second: "one minute five seconds",
		2 * time.Minute: "two minutes", time.Hour: "one hour", time.Hour + 5*time.Second: "one hour",
		25*time.Hour + 30*time.Minute: "one day one hour", 1499 * time.Millisecond: "one second",
	} {
		if got := say(t, l, Duration(d)); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestMoneyAndDecimal(t *testing.T) {
	l := library(t, "")
	for _, c := range []struct {
		amount   int64
		currency string
		want     string
	}{
		{411, "USD", "four dollars and eleven cents"}, {100, "usd", "one dollar"}, {1, "USD", "one cent"}, {0, "EUR", "zero euros"},
		{201, "GBP", "two pounds and one penny"}, {-50, "GBP", "minus fifty pence"},
	} {
		names, err := Money(c.amount, c.currency)
		if got := say(t, l, names); got != c.want || err != nil {
			t.Errorf("Money(%d, %s) = %q, %v, want %q", c.amount, c.currency, got, err, c.want)
		}
	}
	if _, err := Money(1, "XXX"); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("Money of a currency that is not known: %v", err)
	}
	for s, want := range map[string]string{"12.5": "twelve point five", "-0.05": "minus zero point zero five", "7": "seven"} {
		names, err := Decimal(s)
		if got := say(t, l, names); got != want || err != nil {
			t.Errorf("Decimal(%s) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "a", "1.", "1.x", "1.2.3", "1.#"} {
		if names, err := Decimal(s); err == nil {
			t.Errorf("Decimal(%q) = %v", s, names)
		}
	}
}

func TestNumberOfTreatment(t *testing.T) {
	l := library(t, "")
	for digits, want := range map[string]string{
		"0411": "four one one", "0*#": "star pound", "1411": "four eleven A M", "11630": "four thirty P M", "20411": "April eleventh",
		"20229": "February twenty ninth", "204112026": "April eleventh twenty twenty six", "220260411": "April eleventh twenty twenty six",
		"35551212": "five five five, one two one two", "315551234567": "one, five five five, one two three, four five six seven",
		"3+15551234567": "plus one, five five five, one two three, four five six seven",
		"4411":          "four dollars and eleven cents", "5411": "four hundred eleven", "500": "zero",
	} {
		names, err := Number(digits)
		if got := say(t, l, names); got != want || err != nil {
			t.Errorf("Number(%s) = %q, %v, want %q", digits, got, err, want)
		}
	}
	for _, digits := range []string{"", "0", "6411", "12400", "11260", "1-1", "20230", "2123", "4x", "5-3", "3abc", "0" + strings.Repeat("1", 40)} {
		if names, err := Number(digits); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("Number(%q) = %v, %v, want invalid", digits, names, err)
		}
	}
}

// FuzzNumber: whatever is asked for, there are clips for all of it, or an error.
func FuzzNumber(f *testing.F) {
	f.Add("0411")
	f.Add("220260411")
	f.Add("3+1 (555) 12-12")
	l := library(f, "")
	f.Fuzz(func(t *testing.T, digits string) {
		names, err := Number(digits)
		if err != nil {
			return
		}
		if _, err := l.Clips("acme", "en", names...); err != nil {
			t.Errorf("Number(%q) = %v: %v", digits, names, err)
		}
	})
}
