package prompt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/voice"
)

// Digits says keys one by one: 0 to 9, *, #, +; blanks, dashes, dots and parentheses are pauses.
func Digits(s string) ([]string, error) {
	var out []string
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			out = append(out, "number/"+string(r))
		case r == '*':
			out = append(out, "key/star")
		case r == '#':
			out = append(out, "key/pound")
		case r == '+':
			out = append(out, "key/plus")
		case strings.ContainsRune(" -./()", r):
			if len(out) > 0 && out[len(out)-1] != Pause {
				out = append(out, Pause)
			}
		default:
			return nil, fmt.Errorf("%q in %q is no key of a phone: %w", r, s, voice.ErrInvalid)
		}
	}
	return out, nil
}

// Phone says a number as people do, digit by digit: four at the end, groups of three before them.
func Phone(number string) ([]string, error) {
	if strings.ContainsAny(number, " -./()") {
		return Digits(number) // it was grouped by somebody who knew
	}
	keys, err := Digits(number)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, key := range keys {
		if left := len(keys) - i; i > 0 && left >= 4 && (left-4)%3 == 0 && keys[i-1] != "key/plus" {
			out = append(out, Pause)
		}
		out = append(out, key)
	}
	return out, nil
}

// scale is the names of thousands.
var scale = []struct {
	size int64
	name string
}{{1e9, "billion"}, {1e6, "million"}, {1e3, "thousand"}, {100, "hundred"}}

// Cardinal says a number as in "four hundred eleven", up to 999,999,999,999; more is said digit by digit.
func Cardinal(n int64) []string {
	if n < 0 {
		if n == -1<<63 {
			n++ // it has no positive counterpart, and is said digit by digit anyway
		}
		return append([]string{"number/minus"}, Cardinal(-n)...)
	}
	if n >= 1e12 {
		out, _ := Digits(strconv.FormatInt(n, 10)) // digits are digits
		return out
	}
	for _, s := range scale {
		if n >= s.size {
			out := append(Cardinal(n/s.size), "number/"+s.name)
			if n %= s.size; n > 0 {
				out = append(out, Cardinal(n)...)
			}
			return out
		}
	}
	if n <= 20 {
		return []string{"number/" + strconv.FormatInt(n, 10)}
	}
	out := []string{"number/" + strconv.FormatInt(n/10*10, 10)}
	if n%10 > 0 {
		out = append(out, "number/"+strconv.FormatInt(n%10, 10))
	}
	return out
}

// Ordinal says a place in a row, as in "twenty first": a cardinal whose last word is another.
func Ordinal(n int64) []string {
	out := Cardinal(n)
	if n >= 1e12 || n <= -1e12 {
		return out
	}
	last := len(out) - 1
	out[last] = strings.Replace(out[last], "number/", "ordinal/", 1)
	if out[last] == "ordinal/0" {
		out[last] = "number/0" // there is no such place
	}
	return out
}

// Decimal says a number with a point, as in "twelve point five".
func Decimal(s string) ([]string, error) {
	whole, part, point := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no number: %w", s, voice.ErrInvalid)
	}
	out := Cardinal(n)
	if n == 0 && strings.HasPrefix(whole, "-") {
		out = append([]string{"number/minus"}, out...)
	}
	if !point {
		return out, nil
	}
	digits, err := Digits(part)
	if err != nil || strings.Trim(part, "0123456789") != "" || part == "" {
		return nil, fmt.Errorf("%q is no number: %w", s, voice.ErrInvalid)
	}
	return append(append(out, "number/point"), digits...), nil
}

// Clock says a time of day, as in "four eleven P M".
func Clock(hour, minute int) []string {
	switch {
	case hour%24 == 0 && minute == 0:
		return []string{"time/midnight"}
	case hour == 12 && minute == 0:
		return []string{"time/noon"}
	}
	out := Cardinal(int64((hour+11)%12 + 1))
	switch {
	case minute >= 10:
		out = append(out, Cardinal(int64(minute))...)
	case minute > 0:
		out = append(append(out, "number/oh"), Cardinal(int64(minute))...)
	}
	if hour%24 < 12 {
		return append(out, "time/am")
	}
	return append(out, "time/pm")
}

// Date says a day as somebody would who speaks at another moment: "today", "yesterday", "tomorrow", "Monday, March
// third", and the year if it is another one.
func Date(day, now time.Time) []string {
	now = now.In(day.Location())
	y, m, d := day.Date()
	for offset, name := range map[int]string{-1: "day/yesterday", 0: "day/today", 1: "day/tomorrow"} {
		ny, nm, nd := now.AddDate(0, 0, offset).Date()
		if y == ny && m == nm && d == nd {
			return []string{name}
		}
	}
	out := append([]string{fmt.Sprintf("weekday/%d", day.Weekday())}, monthDay(m, d)...)
	if y != now.Year() {
		out = append(out, year(y)...)
	}
	return out
}

// DateTime says a day and a time of it.
func DateTime(t, now time.Time) []string {
	return append(append(Date(t, now), "time/at"), Clock(t.Hour(), t.Minute())...)
}

func monthDay(m time.Month, d int) []string {
	return append([]string{fmt.Sprintf("month/%d", m)}, Ordinal(int64(d))...)
}

// year says 1905 as "nineteen oh five" and 2005 as "two thousand five".
func year(y int) []string {
	century, rest := int64(y/100), int64(y%100)
	switch {
	case y < 1000 || y > 9999 || y/10%100 == 0 || y%1000 == 0:
		return Cardinal(int64(y))
	case rest == 0:
		return append(Cardinal(century), "number/hundred")
	case rest < 10:
		return append(append(Cardinal(century), "number/oh"), Cardinal(rest)...)
	}
	return append(Cardinal(century), Cardinal(rest)...)
}

// Duration says a time that passes in its two largest units, as in "two minutes five seconds".
func Duration(d time.Duration) []string {
	var out []string
	left := int64(max(0, d.Round(time.Second)) / time.Second)
	parts := 0
	for _, u := range []struct {
		seconds int64
		name    string
	}{{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}} {
		n := left / u.seconds
		left %= u.seconds
		if n > 0 && parts < 2 {
			out = append(append(out, Cardinal(n)...), plural("unit/"+u.name, n))
		}
		if n > 0 || parts > 0 {
			parts++
		}
	}
	if out == nil {
		return []string{"number/0", "unit/seconds"}
	}
	return out
}

func plural(name string, n int64) string {
	if n == 1 {
		return name
	}
	return name + "s"
}

// currencies are the names of the large and the small coin, of one and of more of them.
var currencies = map[string][4]string{
	"USD": {"dollar", "dollars", "cent", "cents"},
	"EUR": {"euro", "euros", "cent", "cents"},
	"GBP": {"pound", "pounds", "penny", "pence"},
}

// Money says an amount of the smallest coins of USD, EUR or GBP, as in "four dollars and eleven cents".
func Money(amount int64, currency string) ([]string, error) {
	names, ok := currencies[strings.ToUpper(currency)]
	if !ok {
		return nil, fmt.Errorf("currency %q is not spoken, want USD, EUR or GBP: %w", currency, voice.ErrInvalid)
	}
	var out []string
	if amount < 0 {
		out, amount = append(out, "number/minus"), max(-amount, 0)
	}
	coins := func(n int64, one, more string) {
		if n == 1 {
			more = one
		}
		out = append(append(out, Cardinal(n)...), "money/"+more)
	}
	large, small := amount/100, amount%100
	if large > 0 || small == 0 {
		coins(large, names[0], names[1])
	}
	if large > 0 && small > 0 {
		out = append(out, "number/and")
	}
	if small > 0 {
		coins(small, names[2], names[3])
	}
	return out, nil
}

// Number says what DIGITS of a treatment holds, whose first digit chooses how the rest is said:
//
//	0  one at a time   0411  four one one
//	1  a time          1411  four eleven A M        (hours and minutes, the last two, of 24 hours)
//	2  a date          20411 April eleventh         (MMDD, MMDDYYYY or YYYYMMDD)
//	3  a phone number  35551212  five five five, one two one two
//	4  money           4411  four dollars and eleven cents
//	5  a number        5411  four hundred eleven
func Number(digits string) ([]string, error) {
	bad := func(want string) ([]string, error) {
		return nil, fmt.Errorf("DIGITS %q: want %s: %w", digits, want, voice.ErrInvalid)
	}
	if len(digits) < 2 || len(digits) > 40 {
		return bad("a digit that says how it is spoken, and up to 39 that are")
	}
	rest := digits[1:]
	n, err := strconv.ParseInt(rest, 10, 64)
	numeric := err == nil && strings.Trim(rest, "0123456789") == ""
	switch digits[0] {
	case '0':
		return Digits(rest)
	case '1':
		if !numeric || len(rest) > 4 || n/100 > 23 || n%100 > 59 {
			return bad("1 and a time, as in 11630")
		}
		return Clock(int(n/100), int(n%100)), nil
	case '2':
		day, ok := parseDate(rest)
		if !ok {
			return bad("2 and a date, as in 20411 or 204112026")
		}
		out := monthDay(day.Month(), day.Day())
		if len(rest) == 8 {
			out = append(out, year(day.Year())...)
		}
		return out, nil
	case '3':
		return Phone(rest)
	case '4':
		if !numeric {
			return bad("4 and an amount in cents")
		}
		return Money(n, "USD")
	case '5':
		if !numeric {
			return bad("5 and a number")
		}
		return Cardinal(n), nil
	}
	return bad("0 (digits), 1 (time), 2 (date), 3 (phone), 4 (money) or 5 (number) first")
}

func parseDate(s string) (time.Time, bool) {
	layouts := []string{"0102", "01022006", "20060102"}
	if len(s) == 4 {
		s, layouts = s+"2024", layouts[1:2] // a leap year: 29 February is a date
	}
	i := slices.IndexFunc(layouts, func(l string) bool { _, err := time.Parse(l, s); return err == nil })
	if i < 0 {
		return time.Time{}, false
	}
	t, err := time.Parse(layouts[i], s)
	return t, err == nil
}
