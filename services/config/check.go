package config

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/internal/contract"
	"parley/internal/passwd"
	"parley/internal/voice"
)

// Limits of fields, in bytes or entries.
const (
	maxText        = 128     // names of people and things as shown
	maxDescription = 512     //
	maxDomains     = 32      // of a tenant
	maxPlaceDNs    = 32      // of a place
	maxSkills      = 256     // of a person
	maxSections    = 32      // of options
	maxOptions     = 256     // in all sections together
	maxOptionName  = 128     //
	maxOptionValue = 4096    //
	maxSIPPassword = 128     //
	maxSCXML       = 1 << 20 //
	maxSkillLevel  = 100
)

var (
	namePattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	numberPattern   = regexp.MustCompile(`^[A-Za-z0-9+*#][A-Za-z0-9+*#._-]{0,63}$`)
	usernamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)
	labelPattern    = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	hexPattern      = regexp.MustCompile(`^[0-9a-f]*$`)
)

func checkTenant(r *report, t *voice.Tenant) {
	if !namePattern.MatchString(t.Name) {
		r.bad("name", "%q is not a tenant's name; want 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit", t.Name)
	}
	if t.Domains == nil {
		t.Domains = []string{}
	}
	if len(t.Domains) > maxDomains {
		r.bad("domains", "has %d entries; want at most %d", len(t.Domains), maxDomains)
	}
	seen := map[string]bool{}
	for i, d := range t.Domains {
		host := contract.NormalHost(d)
		if !isHost(host) {
			r.bad(index("domains", i), "%q is not a SIP domain; want a host name such as pbx.example.com", d)
		}
		if seen[host] {
			r.bad(index("domains", i), "%q is there twice", d)
		}
		seen[host] = true
		t.Domains[i] = host
	}
	if t.Realm == "" { // kept from then on, so that another first domain does not void every password
		t.Realm = t.Name
		if len(t.Domains) > 0 {
			t.Realm = t.Domains[0]
		}
	}
	if len(t.Realm) > maxText || strings.ContainsFunc(t.Realm, func(c rune) bool { return c == '"' || c == '\\' || unicode.IsControl(c) }) {
		r.bad("realm", "%q cannot be a digest realm; want at most %d bytes without quotes, backslashes and control characters", t.Realm, maxText)
	}
	if len(t.Domains) == 0 && !t.Default {
		r.bad("domains", "is empty; a tenant that is not the default one is found by its domains, so it needs one")
	}
	checkOptions(r, "options", t.Options)
	checkFeatures(r, t)
}

// isHost tells whether h, in normal form, is a host name (RFC 1123 §2.1) or an IP address.
func isHost(h string) bool {
	if net.ParseIP(strings.Trim(h, "[]")) != nil {
		return true
	}
	if len(h) == 0 || len(h) > 253 {
		return false
	}
	for label := range strings.SplitSeq(h, ".") {
		if !labelPattern.MatchString(label) {
			return false
		}
	}
	return true
}

var dnTypes = []voice.DNType{voice.DNExtension, voice.DNRoutingPoint, voice.DNVoicemailAccess, voice.DNTrunk, voice.DNSoftswitch, voice.DNRingGroup}

// hasAccount tells whether a number of this type signs in with a password.
func hasAccount(t voice.DNType) bool {
	return t == voice.DNExtension || t == voice.DNTrunk || t == voice.DNSoftswitch
}

func checkDN(r *report, d *voice.DN) {
	checkNumber(r, "number", d.Number)
	if !slices.Contains(dnTypes, d.Type) {
		r.bad("type", "%q is not a type of number; want %s", d.Type, listed(dnTypes))
	}
	checkText(r, "name", d.Name, maxText)
	if d.Application != "" && d.Type != voice.DNRoutingPoint {
		r.bad("application", "only a routing-point has an application; this is %s", article(string(d.Type)))
	}
	if !hasAccount(d.Type) && (d.Password != "" || d.Auth != nil) {
		r.bad("password", "%s does not register, so it has no password", article(string(d.Type)))
	}
	if len(d.Password) > maxSIPPassword || strings.ContainsFunc(d.Password, unicode.IsControl) || !utf8.ValidString(d.Password) {
		r.bad("password", "want at most %d bytes of text without control characters", maxSIPPassword)
	}
	if d.Password != "" && d.Auth != nil {
		r.bad("auth", "is what a password becomes; give one of them, not both")
	}
	if d.Auth != nil {
		checkAuth(r, d)
	}
	checkRingGroup(r, d)
	total := 0
	if len(d.Options) > maxSections {
		r.bad("options", "has %d sections; want at most %d", len(d.Options), maxSections)
	}
	for _, section := range sortedKeys(d.Options) {
		checkOptionName(r, "options."+section, section)
		checkOptions(r, "options."+section, d.Options[section])
		total += len(d.Options[section])
	}
	if total > maxOptions {
		r.bad("options", "has %d entries; want at most %d", total, maxOptions)
	}
	checkTServer(r, d)
}

func checkAuth(r *report, d *voice.DN) {
	if d.Auth.Username != d.Number {
		r.bad("auth.username", "is %q; it must be the number %q", d.Auth.Username, d.Number)
	}
	for field, c := range map[string]struct {
		digest string
		length int
	}{"auth.md5": {d.Auth.MD5, 32}, "auth.sha256": {d.Auth.SHA256, 64}} {
		if len(c.digest) != c.length || !hexPattern.MatchString(c.digest) {
			r.bad(field, "want %d lower-case hexadecimal digits", c.length)
		}
	}
}

// checkTServer checks the options whose meaning is known already.
func checkTServer(r *report, d *voice.DN) {
	const section = "options.TServer."
	o := d.Options["TServer"]
	contact, given := o["contact"]
	switch {
	case !given && (d.Type == voice.DNTrunk || d.Type == voice.DNSoftswitch):
		r.bad("options.TServer.contact", "is missing; %s needs the SIP URI it is reached at, such as sip:10.0.0.9:5060", article(string(d.Type)))
	case given && contact == "*" && d.Type == voice.DNExtension: // wherever it registers from
	case given:
		if err := checkSIPURI(contact); err != nil {
			r.bad(section+"contact", "%v", err)
		}
	}
	if p, ok := o["prefix"]; ok && strings.Trim(p, "0123456789+*#") != "" {
		r.bad(section+"prefix", "%q cannot begin a number; want digits, '+', '*' or '#'", p)
	}
	checkTrunk(r, d)
	checkAudio(r, d)
	checkDialOptions(r, d)
	checkRoutePoint(r, d)
}

// checkSIPURI tells what is wrong with the SIP URI of a trunk: sip:[user@]host[:port][;params].
func checkSIPURI(s string) error {
	wrong := func(why string) error {
		return fmt.Errorf("%q is not a SIP URI (%s); want one such as sip:10.0.0.9:5060", s, why)
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == '<' || c == '>' || c == '"' || c == 0x7f }) {
		return wrong("blanks, quotes and brackets are not allowed")
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme != "sip" && scheme != "sips" {
		return wrong("it begins with neither sip: nor sips:")
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, ";")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	host, port := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		host, port = rest[:i], rest[i+1:]
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return wrong("the port is not 1 to 65535")
		}
	}
	if !isHost(contract.NormalHost(host)) {
		return wrong("the host is not one")
	}
	return nil
}

func checkSkill(r *report, s *voice.Skill) {
	checkTitle(r, "name", s.Name)
	checkText(r, "description", s.Description, maxDescription)
}

func checkPlace(r *report, p *voice.Place) {
	checkTitle(r, "name", p.Name)
	if p.DNs == nil {
		p.DNs = []string{}
	}
	if len(p.DNs) > maxPlaceDNs {
		r.bad("dns", "has %d numbers; want at most %d", len(p.DNs), maxPlaceDNs)
	}
	for i, dn := range p.DNs {
		if slices.Contains(p.DNs[:i], dn) {
			r.bad(index("dns", i), "%q is there twice", dn)
		}
	}
}

var roles = []voice.Role{voice.RoleAgent, voice.RoleSupervisor, voice.RoleAdmin, voice.RoleSystem}

func isSystem(p *voice.Person) bool { return slices.Contains(p.Roles, voice.RoleSystem) }

func checkPerson(r *report, p *voice.Person) {
	if !usernamePattern.MatchString(p.Username) {
		r.bad("username", "%q is not a user name; want 1 to 64 letters, digits or . _ @ + -, the first a letter or digit", p.Username)
	}
	checkText(r, "first_name", p.FirstName, maxText)
	checkText(r, "last_name", p.LastName, maxText)
	if a, err := mail.ParseAddress(p.Email); p.Email != "" && (err != nil || a.Address != p.Email || len(p.Email) > 254) {
		r.bad("email", "%q is not an e-mail address", p.Email)
	}
	if p.AgentID != "" && !usernamePattern.MatchString(p.AgentID) {
		r.bad("agent_id", "%q is not an agent id; want 1 to 64 letters, digits or . _ @ + -", p.AgentID)
	}
	if p.Password != "" {
		if why := passwd.CheckPolicy(p.Username, p.Password); why != "" {
			r.bad("password", "%s", why)
		}
		if p.PasswordHash != "" {
			r.bad("password_hash", "is what a password becomes; give one of them, not both")
		}
	}
	if p.PasswordHash != "" && passwd.Check(p.PasswordHash) != nil {
		r.bad("password_hash", "is not an argon2id hash in PHC form ($argon2id$v=19$m=…,t=…,p=…$salt$hash) with a cost that is acceptable")
	}
	if len(p.Skills) > maxSkills {
		r.bad("skills", "has %d entries; want at most %d", len(p.Skills), maxSkills)
	}
	for _, s := range sortedKeys(p.Skills) {
		if l := p.Skills[s]; l < 0 || l > maxSkillLevel {
			r.bad("skills."+s, "%d is not a skill level; want 0 to %d", l, maxSkillLevel)
		}
	}
	for i, role := range p.Roles {
		switch {
		case !slices.Contains(roles, role):
			r.bad(index("roles", i), "%q is not a role; want %s", role, listed(roles))
		case slices.Contains(p.Roles[:i], role):
			r.bad(index("roles", i), "%q is there twice", role)
		}
	}
}

func checkScript(r *report, s *voice.Script) {
	checkTitle(r, "name", s.Name)
	checkText(r, "comment", s.Comment, maxComment)
	switch {
	case s.SCXMLFile != "": // what was in the file has been put in place by whoever read it
		r.bad("scxml_file", "only a provisioning file may name a file; give the text itself in scxml")
	case s.SCXML == "":
		r.bad("scxml", "is missing; a script needs its SCXML text")
	case len(s.SCXML) > maxSCXML:
		r.bad("scxml", "has %d bytes; want at most %d", len(s.SCXML), maxSCXML)
	default:
		if err := checkSCXML(s.SCXML); err != nil {
			r.bad("scxml", "%v", err)
		}
	}
}

// checkSCXML tells whether text is well-formed XML with the root of SCXML. Whether it makes sense is for the
// interpreter to say.
func checkSCXML(text string) error {
	dec := xml.NewDecoder(bytes.NewReader([]byte(text)))
	root := ""
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("is not well-formed XML: %w", err)
		}
		if e, ok := t.(xml.StartElement); ok && root == "" {
			root = e.Name.Local
		}
	}
	if root != "scxml" {
		return fmt.Errorf("has the root element %q; want <scxml>", root)
	}
	return nil
}

func checkProfile(r *report, p *voice.VoicemailProfile) {
	checkTitle(r, "name", p.Name)
	checkOptions(r, "options", p.Options)
}

func checkMailbox(r *report, m *voice.Mailbox) {
	checkNumber(r, "number", m.Number)
	checkOptions(r, "options", m.Options)
}

func checkNumber(r *report, field, number string) {
	if !numberPattern.MatchString(number) {
		r.bad(field, "%q is not a number; want 1 to 64 letters, digits or + * # . _ -, the first no punctuation but + * #", number)
	}
}

// checkTitle checks a name that is a key and is shown to people: letters of any script, single blanks within.
func checkTitle(r *report, field, s string) {
	ok := s != "" && len(s) <= maxText && utf8.ValidString(s) && s == strings.TrimSpace(s) && !strings.ContainsAny(s, "/\\\"<>")
	if !ok || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		r.bad(field, "%q cannot be a name; want 1 to %d bytes of text without / \\ \" < > and without blanks at its ends", s, maxText)
	}
}

func checkText(r *report, field, s string, limit int) {
	if len(s) > limit || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		r.bad(field, "want at most %d bytes of text without control characters", limit)
	}
}

func checkOptions(r *report, field string, options map[string]string) {
	if len(options) > maxOptions {
		r.bad(field, "has %d entries; want at most %d", len(options), maxOptions)
	}
	for _, name := range sortedKeys(options) {
		checkOptionName(r, field+"."+name, name)
		if v := options[name]; len(v) > maxOptionValue || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			r.bad(field+"."+name, "want at most %d bytes of text", maxOptionValue)
		}
	}
}

func checkOptionName(r *report, field, name string) {
	if name == "" || len(name) > maxOptionName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsGraphic(c) }) {
		r.bad(field, "%q cannot be the name of an option; want 1 to %d bytes of text", name, maxOptionName)
	}
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func listed[S ~string](all []S) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = string(s)
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func article(noun string) string {
	if noun == "" {
		return "a number without type"
	}
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}
