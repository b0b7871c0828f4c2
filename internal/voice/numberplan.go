package voice

import "strings"

// NumberFormat is how telephone numbers are written.
type NumberFormat string

// The formats.
const (
	NumberAsDialled     NumberFormat = "as-dialled"    // nothing is done to them
	NumberE164          NumberFormat = "e164"          // +4930123456
	NumberInternational NumberFormat = "international" // 004930123456, with the prefix of the plan
	NumberNational      NumberFormat = "national"      // 030123456, with the prefix of the plan; numbers abroad international
	NumberDigits        NumberFormat = "digits"        // 4930123456
)

// BareNumbers says what a number without any prefix is.
type BareNumbers string

// The kinds of bare numbers. Short ones (see shortNumber) are always what they are.
const (
	BareAsIs          BareNumbers = "as-is"         // local or internal: it is left alone
	BareNational      BareNumbers = "national"      // national without its prefix, as in North America
	BareInternational BareNumbers = "international" // with country code and without prefix, as many carriers send it
)

// NumberPlan says how numbers are written in a country (ITU-T E.164, E.123). The zero plan understands nothing but a
// leading plus.
type NumberPlan struct {
	CountryCode         string // 49
	NationalPrefix      string // 0; "" = none
	InternationalPrefix string // 00, 011
	Bare                BareNumbers
}

const (
	// shortNumber is the most digits of a number that no plan knows: emergency and service numbers, extensions.
	shortNumber = 6
	// maxPlanNumber is the most symbols of a number that is looked at: E.164 has 15 digits, prefixes come on top.
	maxPlanNumber = 32
)

// Format writes number in a format. What is no telephone number, or cannot be told, stays as it is: names, short numbers,
// numbers with * or #.
func (p NumberPlan) Format(number string, f NumberFormat) string {
	if f == NumberAsDialled || f == "" {
		return number
	}
	digits, ok := p.e164(number)
	if !ok {
		return number
	}
	switch f {
	case NumberE164:
		return "+" + digits
	case NumberDigits:
		return digits
	case NumberNational:
		if national, ours := strings.CutPrefix(digits, p.CountryCode); ours && p.CountryCode != "" && p.NationalPrefix+national != "" {
			return p.NationalPrefix + national
		}
	}
	if p.InternationalPrefix == "" {
		return "+" + digits
	}
	return p.InternationalPrefix + digits
}

// e164 returns the digits of number with country code, false when it is no number of that kind.
func (p NumberPlan) e164(number string) (digits string, ok bool) {
	if rest, plus := strings.CutPrefix(number, "+"); plus {
		return rest, isDigits(rest)
	}
	if len(number) <= shortNumber || len(number) > maxPlanNumber || !isDigits(number) {
		return "", false
	}
	if rest, yes := strings.CutPrefix(number, p.InternationalPrefix); yes && p.InternationalPrefix != "" && rest != "" {
		return rest, true
	}
	if rest, yes := strings.CutPrefix(number, p.NationalPrefix); yes && p.NationalPrefix != "" && rest != "" && p.CountryCode != "" {
		return p.CountryCode + rest, true
	}
	switch p.Bare {
	case BareInternational:
		return number, true
	case BareNational:
		if p.CountryCode != "" {
			return p.CountryCode + number, true
		}
	}
	return "", false
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
