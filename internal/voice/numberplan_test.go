package voice

import (
	"strings"
	"testing"
)

var (
	germany = NumberPlan{CountryCode: "49", NationalPrefix: "0", InternationalPrefix: "00"}
	america = NumberPlan{CountryCode: "1", NationalPrefix: "1", InternationalPrefix: "011", Bare: BareNational}
	digits  = NumberPlan{CountryCode: "49", NationalPrefix: "0", InternationalPrefix: "00", Bare: BareInternational}
	spain   = NumberPlan{CountryCode: "34", InternationalPrefix: "00", Bare: BareNational}
)

func TestNumberPlan(t *testing.T) {
	for _, c := range []struct {
		what                                string
		plan                                NumberPlan
		number                              string
		e164, international, national, bare string
	}{
		{"national", germany, "030123456", "+4930123456", "004930123456", "030123456", "4930123456"},
		{"already E.164", germany, "+4930123456", "+4930123456", "004930123456", "030123456", "4930123456"},
		{"abroad", germany, "0044201234567", "+44201234567", "0044201234567", "0044201234567", "44201234567"},
		{"abroad in E.164", germany, "+44201234567", "+44201234567", "0044201234567", "0044201234567", "44201234567"},
		{"emergency", germany, "110", "110", "110", "110", "110"},
		{"extension", germany, "1001", "1001", "1001", "1001", "1001"},
		{"local, which nobody can complete", germany, "1234567", "1234567", "1234567", "1234567", "1234567"},
		{"service code", germany, "*31#030123456", "*31#030123456", "*31#030123456", "*31#030123456", "*31#030123456"},
		{"a name", germany, "anonymous", "anonymous", "anonymous", "anonymous", "anonymous"},
		{"nothing", germany, "", "", "", "", ""},
		{"a plus alone", germany, "+", "+", "+", "+", "+"},
		{"ten digits", america, "2125551234", "+12125551234", "01112125551234", "12125551234", "12125551234"},
		{"eleven digits", america, "12125551234", "+12125551234", "01112125551234", "12125551234", "12125551234"},
		{"abroad from there", america, "0114930123456", "+4930123456", "0114930123456", "0114930123456", "4930123456"},
		{"a carrier's digits", digits, "4930123456", "+4930123456", "004930123456", "030123456", "4930123456"},
		{"no national prefix", spain, "912345678", "+34912345678", "0034912345678", "912345678", "34912345678"},
		{"a plan that knows nothing", NumberPlan{}, "030123456", "030123456", "030123456", "030123456", "030123456"},
		{"but a plus", NumberPlan{}, "+4930123456", "+4930123456", "+4930123456", "+4930123456", "4930123456"},
		{"very long", germany, "0" + strings.Repeat("1", 40), "0" + strings.Repeat("1", 40), "0" + strings.Repeat("1", 40), "0" + strings.Repeat("1", 40), "0" + strings.Repeat("1", 40)},
	} {
		for f, want := range map[NumberFormat]string{NumberE164: c.e164, NumberInternational: c.international,
			NumberNational: c.national, NumberDigits: c.bare, NumberAsDialled: c.number, "": c.number} {
			if got := c.plan.Format(c.number, f); got != want {
				t.Errorf("%s: Format(%q, %s) = %q, want %q", c.what, c.number, f, got, want)
			}
		}
	}
}

// FuzzNumberPlan: a number written once is written the same the second time, E.164 says the same as what it came from, and what
// is no number is left alone.
func FuzzNumberPlan(f *testing.F) {
	f.Add("030123456", "49", "0", "00", uint8(0))
	f.Add("+12125551234", "1", "1", "011", uint8(1))
	f.Add("", "", "", "", uint8(2))
	f.Fuzz(func(t *testing.T, number, country, national, international string, bare uint8) {
		options := map[string]string{OptionCountryCode: country, OptionNationalPrefix: national, OptionInternationalPrefix: international,
			OptionBareNumbers: []string{"as-is", "national", "international"}[bare%3]}
		o, problems := ParseTrunkOptions("gw", options)
		if len(problems) > 0 {
			return
		}
		p := o.Numbers
		e164 := p.Format(number, NumberE164)
		if again := p.Format(e164, NumberE164); again != e164 {
			t.Errorf("%+v: %q is %q and then %q", p, number, e164, again)
		}
		if e164 != number && !strings.HasPrefix(e164, "+") {
			t.Errorf("%+v: %q is %q in E.164", p, number, e164)
		}
		for _, format := range []NumberFormat{NumberInternational, NumberNational, NumberDigits} {
			if direct, over := p.Format(number, format), p.Format(e164, format); direct != over {
				t.Errorf("%+v: %q is %q directly and %q by way of E.164, as %s", p, number, direct, over, format)
			}
		}
		if !DialSymbols(number) && e164 != number {
			t.Errorf("%q became %q", number, e164)
		}
	})
}

func TestTrunkOptionsHaveDefaults(t *testing.T) {
	o, problems := ParseTrunkOptions("gw1", map[string]string{"contact": "sip:a", "contact-backup": "sip:b, sip:c", "capacity": "x"})
	if len(problems) != 1 || problems[0].Field != "capacity" {
		t.Errorf("problems %+v", problems)
	}
	if len(o.Contacts) != 3 || o.Contacts[2] != "sip:c" || !o.Verify || o.Trusted != TrustContact || o.Authenticate || o.OOSCheck != 0 ||
		o.Patience != DefaultPatience || o.RegisterUser != "gw1" || o.Capacity != 0 {
		t.Errorf("options %+v", o)
	}
	o, problems = ParseTrunkOptions("gw1", map[string]string{"auth-user": "us", "authenticate-requests": "INVITE", "oos-check": "10"})
	if len(problems) != 0 || o.RegisterUser != "us" || !o.Authenticate || len(o.Contacts) != 0 {
		t.Errorf("options %+v, %+v", o, problems)
	}
}
