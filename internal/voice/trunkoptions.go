package voice

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options of a trunk or softswitch, in section TServer, that the SIP node reads; those of its place in the dial plan are
// with the dial plan's.
const (
	OptionCapacity       = "capacity"         // calls at once, both ways, on each node; 0 = no limit
	OptionOOSCheck       = "oos-check"        // seconds between OPTIONS; 0 = nobody asks
	OptionOOSForce       = "oos-force"        // seconds without an answer to OPTIONS until a target is out of service
	OptionRecovery       = "recovery-timeout" // seconds until a target that is out of service is asked, or believed, again
	OptionPatience       = "response-timeout" // seconds without any response to an INVITE until the next target is tried
	OptionTLSVerify      = "tls-verify"       // "false": any certificate will do
	OptionAuthUser       = "auth-user"        // who we are when the trunk challenges us
	OptionAuthPassword   = "auth-password"    // kept sealed, see internal/passwd
	OptionAuthRealm      = "auth-realm"       // answer challenges of this realm only
	OptionRegister       = "register"         // SIP URI of the registrar of a provider
	OptionRegisterUser   = "register-user"    // user of the address-of-record there; default: auth-user, or the DN
	OptionRegisterTime   = "register-expires" // seconds to ask for
	OptionAuthenticate   = "authenticate-requests"
	OptionTrustedSource  = "trusted-source"  // whose INVITEs are the carrier's without a password: contact, address or none
	OptionOverrideDomain = "override-domain" // host of From, To and P-Asserted-Identity towards the trunk
	OptionOverrideFrom   = "override-from"   // user of From towards the trunk, where the carrier wants the account there
	OptionCPN            = "cpn"             // number shown to those called; of an extension it goes before that of the trunk
	OptionSoftswitch     = "softswitch"      // of an extension: the softswitch that its calls go through

	OptionCountryCode         = "country-code"
	OptionNationalPrefix      = "national-prefix"
	OptionInternationalPrefix = "international-prefix"
	OptionBareNumbers         = "bare-numbers"
	OptionNumberFormatOut     = "number-format-out" // of the number called
	OptionNumberFormatIn      = "number-format-in"
	OptionCPNFormatOut        = "cpn-format-out" // of the number that calls
	OptionCPNFormatIn         = "cpn-format-in"
)

// TrustedSource says whose INVITEs are taken for the carrier's without a password.
type TrustedSource string

// The sources that may be trusted.
const (
	TrustContact TrustedSource = "contact" // from the address and port of a target
	TrustAddress TrustedSource = "address" // from its address and any port: so no phone may send from there
	TrustNobody  TrustedSource = "none"
)

// TrunkOptions is what the options of a trunk or softswitch mean to the SIP node.
type TrunkOptions struct {
	Contacts []string // SIP URIs in the order to try
	Prefix   string
	Priority int

	Capacity int
	OOSCheck time.Duration // 0 = nobody asks
	OOSForce time.Duration
	Recovery time.Duration // 0 = as OOSCheck; without that a failed call has no consequences
	Patience time.Duration
	Verify   bool // certificates

	AuthUser     string
	AuthPassword string // sealed
	AuthRealm    string

	Register        string
	RegisterUser    string
	RegisterExpires time.Duration

	Authenticate bool // INVITEs are challenged, wherever they come from
	Trusted      TrustedSource
	Domain       string
	From         string
	CPN          string

	Numbers                                  NumberPlan
	CalledOut, CalledIn, CallerOut, CallerIn NumberFormat
}

// Defaults and limits of the options of a trunk.
const (
	DefaultOOSForce        = 5 * time.Second
	DefaultPatience        = 4 * time.Second
	DefaultRegisterExpires = time.Hour
	maxTrunkSeconds        = 86400
	maxCapacity            = 1_000_000
)

// ParseTrunkOptions reads section TServer of dn. It always returns something to work with; problems names each option whose
// value cannot be used, which then has its default.
func ParseTrunkOptions(dn string, o map[string]string) (t TrunkOptions, problems []FieldError) {
	p := optionParser{o: o}
	t = TrunkOptions{
		Prefix:          o[OptionPrefix],
		Capacity:        p.number(OptionCapacity, 0, 0, maxCapacity),
		OOSCheck:        p.seconds(OptionOOSCheck, 0, 0),
		OOSForce:        p.seconds(OptionOOSForce, DefaultOOSForce, 1),
		Recovery:        p.seconds(OptionRecovery, 0, 0),
		Patience:        p.seconds(OptionPatience, DefaultPatience, 1),
		Verify:          p.yes(OptionTLSVerify, true),
		AuthUser:        p.text(OptionAuthUser),
		AuthPassword:    o[OptionAuthPassword],
		AuthRealm:       p.text(OptionAuthRealm),
		Register:        o[OptionRegister],
		RegisterUser:    p.text(OptionRegisterUser),
		RegisterExpires: p.seconds(OptionRegisterTime, DefaultRegisterExpires, 60),
		Authenticate:    p.authenticate(),
		Trusted:         TrustedSource(p.word(OptionTrustedSource, string(TrustContact), string(TrustAddress), string(TrustNobody))),
		Domain:          o[OptionOverrideDomain],
		From:            p.text(OptionOverrideFrom),
		CPN:             p.symbols(OptionCPN, maxPlanNumber),
		Numbers: NumberPlan{
			CountryCode:         p.digits(OptionCountryCode, 3),
			NationalPrefix:      p.digits(OptionNationalPrefix, 4),
			InternationalPrefix: p.digits(OptionInternationalPrefix, 6),
			Bare:                BareNumbers(p.word(OptionBareNumbers, string(BareAsIs), string(BareNational), string(BareInternational))),
		},
		CalledOut: p.format(OptionNumberFormatOut),
		CalledIn:  p.format(OptionNumberFormatIn),
		CallerOut: p.format(OptionCPNFormatOut),
		CallerIn:  p.format(OptionCPNFormatIn),
	}
	t.Priority, _ = strconv.Atoi(o[OptionPriority]) // the dial plan's, which checks it
	if t.RegisterUser == "" {
		if t.RegisterUser = t.AuthUser; t.RegisterUser == "" {
			t.RegisterUser = dn
		}
	}
	if c := o[OptionContact]; c != "" && c != "*" {
		t.Contacts = append(t.Contacts, c)
	}
	for c := range strings.SplitSeq(o[OptionContactBackup], ",") {
		if c = strings.TrimSpace(c); c != "" {
			t.Contacts = append(t.Contacts, c)
		}
	}
	return t, p.problems
}

// optionParser reads values and notes what cannot be read.
type optionParser struct {
	o        map[string]string
	problems []FieldError
}

func (p *optionParser) bad(name, format string, args ...any) {
	p.problems = append(p.problems, FieldError{Field: name, Reason: fmt.Sprintf(format, args...)})
}

func (p *optionParser) number(name string, def, least, most int) int {
	s, given := p.o[name]
	if !given {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		p.bad(name, "%.64q is not a number from %d to %d", s, least, most)
		return def
	}
	return n
}

func (p *optionParser) seconds(name string, def time.Duration, least int) time.Duration {
	s, given := p.o[name]
	if !given {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > maxTrunkSeconds {
		p.bad(name, "%.64q is not a number of seconds; want %d to %d", s, least, maxTrunkSeconds)
		return def
	}
	return time.Duration(n) * time.Second
}

func (p *optionParser) yes(name string, def bool) bool {
	switch s, given := p.o[name]; {
	case !given:
		return def
	case s == "true":
		return true
	case s == "false":
		return false
	default:
		p.bad(name, "%.64q is neither true nor false", s)
		return def
	}
}

// word takes one of words; the first is the default.
func (p *optionParser) word(name string, words ...string) string {
	s, given := p.o[name]
	switch {
	case !given:
		return words[0]
	case slices.Contains(words, s):
		return s
	}
	p.bad(name, "%.64q is not known; want %s or %s", s, strings.Join(words[:len(words)-1], ", "), words[len(words)-1])
	return words[0]
}

func (p *optionParser) format(name string) NumberFormat {
	f := NumberFormat(p.word(name, string(NumberAsDialled), string(NumberE164), string(NumberInternational), string(NumberNational), string(NumberDigits)))
	if f != NumberAsDialled && p.o[OptionCountryCode] == "" {
		p.bad(name, "needs the option %s, which says what country national numbers are of", OptionCountryCode)
		return NumberAsDialled
	}
	return f
}

func (p *optionParser) digits(name string, most int) string {
	s := p.o[name]
	if len(s) > most || strings.Trim(s, "0123456789") != "" {
		p.bad(name, "%.64q cannot be used; want at most %d digits", s, most)
		return ""
	}
	return s
}

func (p *optionParser) symbols(name string, most int) string {
	s := p.o[name]
	if len(s) > most || !DialSymbols(s) {
		p.bad(name, "%.64q is not a number; want at most %d digits, '+', '*' or '#'", s, most)
		return ""
	}
	return s
}

// text takes what may stand in a quoted string and in the user part of a URI.
func (p *optionParser) text(name string) string {
	const most = 128
	s := p.o[name]
	if len(s) > most || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c == 0x7f }) {
		p.bad(name, "want at most %d bytes without quotes, backslashes and control characters", most)
		return ""
	}
	return s
}

// authenticate reads a list of methods; of those that a trunk sends, INVITE alone can be challenged.
func (p *optionParser) authenticate() bool {
	yes := false
	for word := range strings.SplitSeq(p.o[OptionAuthenticate], ",") {
		switch strings.ToLower(strings.TrimSpace(word)) {
		case "":
		case "invite":
			yes = true
		default:
			p.bad(OptionAuthenticate, "%.64q is not known here; want invite, or leave the option out", word)
		}
	}
	return yes
}
