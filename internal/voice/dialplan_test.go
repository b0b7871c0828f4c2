package voice_test

import (
	"strings"
	"testing"
	"time"

	"parley/internal/voice"
)

func mustPattern(t testing.TB, text string) voice.DialPattern {
	t.Helper()
	p, err := voice.ParseDialPattern(text)
	if err != nil {
		t.Fatalf("ParseDialPattern(%q) = %v", text, err)
	}
	return p
}

func TestPatternsMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, yes, no string // numbers, with blanks between
	}{
		{"911", "911", "91 9111 912"},
		{"9XX", "900 999", "90 9000 9*1 899"},
		{"NZ", "21 99", "11 20 2"},
		{"nzx", "210", "110"},
		{"[13-5]0", "10 30 40 50", "20 60 0"},
		{"[*#+]1", "*1 #1 +1", "11"},
		{"0.", "00 012*#", "0"},
		{"0!", "0 00 0123", "10 0a"},
		{".", "1 +49", "alice"},
		{"!", "1", "a1"},
		{"+49ZX.", "+493012", "+4903012 +4930"},
		{"*6[0-9]", "*65", "*6"},
	} {
		p := mustPattern(t, c.pattern)
		for n := range strings.FieldsSeq(c.yes) {
			if !p.Match(n) {
				t.Errorf("%s does not match %s", c.pattern, n)
			}
		}
		for n := range strings.FieldsSeq(c.no) {
			if p.Match(n) {
				t.Errorf("%s matches %s", c.pattern, n)
			}
		}
	}
}

func TestPatternsThatAreNone(t *testing.T) {
	for pattern, word := range map[string]string{
		"": "empty", "9.1": "after", "9!.": "after", "[12": "without ']'", "[]": "empty", "[5-2]": "span", "[1-]": "span",
		"[*-#]": "span", "[a]": "set", "9a": "want digits", "9 1": "want digits", "é": "want digits", "]": "want digits",
		strings.Repeat("1", voice.MaxDialPattern+1): "at most",
	} {
		if p, err := voice.ParseDialPattern(pattern); err == nil || !strings.Contains(err.Error(), word) || p.String() != "" {
			t.Errorf("ParseDialPattern(%q) = %v, %v; want an error with %q", pattern, p, err, word)
		}
	}
}

func TestMoreSpecificComesFirst(t *testing.T) {
	order := []string{"911", "91[12]", "91N", "91Z", "91X", "91X.", "91.", "91!", "9NX", "9X1", "9XX", "9XX!", "9!", "NXX", "XXX", ".", "!"}
	for i, a := range order {
		for j, b := range order {
			got := mustPattern(t, a).Compare(mustPattern(t, b))
			if i < j && got >= 0 || i > j && got <= 0 || i == j && got != 0 {
				t.Errorf("Compare(%s, %s) = %d", a, b, got)
			}
		}
	}
	if !mustPattern(t, "[0-9]").Equal(mustPattern(t, "X")) || mustPattern(t, "1.").Equal(mustPattern(t, "1!")) {
		t.Error("patterns that mean the same are equal, and only they")
	}
}

func TestLiteral(t *testing.T) {
	for pattern, want := range map[string]string{"911": "911", "9XX": "9", "+49[3]*#N": "+493*#", "X1": "", ".": "", "00!": "00"} {
		if got := mustPattern(t, pattern).Literal(); got != want {
			t.Errorf("Literal of %s = %q, want %q", pattern, got, want)
		}
	}
}

// A pattern or an error, never both; what matches is long enough, of the right symbols and of the right beginning. Of
// two patterns that match, the longer literal is the more specific.
func FuzzDialPattern(f *testing.F) {
	for _, p := range []string{"9XX", "+49[1-37]N.", "[*#]!", "[5-2]", "0", "["} {
		f.Add(p, "9.", "911")
	}
	f.Fuzz(func(t *testing.T, text, other, number string) {
		p, err := voice.ParseDialPattern(text)
		if err != nil {
			if p.String() != "" || p.Match(number) && number != "" {
				t.Errorf("%q is no pattern (%v) and matches %q", text, err, number)
			}
			return
		}
		if p.String() != text || p.Compare(p) != 0 || !p.Equal(p) {
			t.Errorf("%q is not itself", text)
		}
		if p.Match(number) && (len(number) < p.Len() || !voice.DialSymbols(number) || !strings.HasPrefix(number, p.Literal())) {
			t.Errorf("%q matches %q", text, number)
		}
		q, err := voice.ParseDialPattern(other)
		if err == nil && p.Match(number) && q.Match(number) && len(p.Literal()) > len(q.Literal()) && p.Compare(q) >= 0 {
			t.Errorf("of %q and %q, which match %q, the second is more specific", text, other, number)
		}
	})
}

func TestSpans(t *testing.T) {
	week := func(days ...string) []string { return days }
	for _, c := range []struct {
		name string
		span voice.TimeSpan
		yes  string // weekday and time; 2026-11-22 is a Sunday
		no   string
	}{
		{"office hours", voice.TimeSpan{Days: week("mon-fri"), From: "08:00", To: "18:00"}, "mon08:00 fri17:59", "mon07:59 fri18:00 sat12:00 sun12:00"},
		{"across midnight", voice.TimeSpan{Days: week("fri"), From: "22:00", To: "06:00"}, "fri22:00 fri23:59 sat00:00 sat05:59", "fri05:00 fri21:59 sat06:00 sat22:00"},
		{"over the weekend", voice.TimeSpan{Days: week("sat-mon")}, "sat00:00 sun12:00 mon23:59", "tue00:00 fri23:59"},
		{"until midnight", voice.TimeSpan{From: "18:00"}, "wed18:00 wed23:59", "wed00:00 wed17:59"},
		{"until midnight, written as the next day", voice.TimeSpan{Days: week("wed"), From: "18:00", To: "00:00"}, "wed23:59", "thu00:00 wed00:00"},
		{"a whole day from noon", voice.TimeSpan{Days: week("Wed"), From: "12:00", To: "12:00"}, "wed12:00 thu11:59", "wed11:59 thu12:00"},
		{"always", voice.TimeSpan{}, "sun00:00 wed23:59", ""},
	} {
		w, bad := voice.ParseTimeSpan(c.span)
		if bad != nil {
			t.Errorf("%s: %v", c.name, bad)
			continue
		}
		for text := range strings.FieldsSeq(c.yes) {
			if !w.Contains(moment(t, text)) {
				t.Errorf("%s: %s is not in it", c.name, text)
			}
		}
		for text := range strings.FieldsSeq(c.no) {
			if w.Contains(moment(t, text)) {
				t.Errorf("%s: %s is in it", c.name, text)
			}
		}
	}
}

// moment reads wed18:00.
func moment(t *testing.T, text string) time.Time {
	t.Helper()
	day := strings.Index("sunmontuewedthufrisat", text[:3]) / 3
	at, err := time.Parse("15:04", text[3:])
	if err != nil {
		t.Fatal(err)
	}
	return time.Date(2026, 11, 22+day, at.Hour(), at.Minute(), 0, 0, time.UTC)
}

func TestSpansThatAreNone(t *testing.T) {
	for field, s := range map[string]voice.TimeSpan{
		"days[1]": {Days: []string{"mon", "funday"}},
		"days[0]": {Days: []string{"mon-"}},
		"from":    {From: "24:00"},
		"to":      {To: "24:01"},
	} {
		if _, bad := voice.ParseTimeSpan(s); bad == nil || bad.Field != field {
			t.Errorf("ParseTimeSpan(%+v) = %v, want a problem with %s", s, bad, field)
		}
	}
	for _, text := range []string{"8:00", "08:60", "0800", "-1:00", "+1:00", "25:00", "ab:cd"} {
		if _, bad := voice.ParseTimeSpan(voice.TimeSpan{From: text}); bad == nil {
			t.Errorf("%q passes for a time of day", text)
		}
	}
}

func TestTimezones(t *testing.T) {
	for _, name := range []string{"", "UTC", "Europe/Berlin", "Pacific/Kiritimati"} {
		if _, err := voice.ParseTimezone(name); err != nil {
			t.Errorf("ParseTimezone(%q) = %v", name, err)
		}
	}
	for _, name := range []string{"Local", "Mars/Olympus", "../../etc/passwd", "/etc/localtime"} {
		if _, err := voice.ParseTimezone(name); err == nil {
			t.Errorf("%q passes for a time zone", name)
		}
	}
}
