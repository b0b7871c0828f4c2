package registrar

import (
	"errors"
	"strconv"
	"strings"
)

// Limits on one value of Contact.
const (
	maxContact      = 1024 // bytes of the value
	maxURI          = 512  // bytes of the URI in it
	maxContactParam = 32
	maxInstance     = 128 // bytes of +sip.instance
)

// errContact is what parseContact returns for anything it cannot read.
var errContact = errors.New("malformed contact")

// contact is one value of Contact (RFC 3261 §20.10), without its display name. Strings are parts of the value.
type contact struct {
	uri      string
	q        uint16 // thousandths, 1000 when not given
	expires  int64  // seconds, -1 when not given or unreadable
	instance string // +sip.instance without its quotes (RFC 5626 §4.1), e.g. <urn:uuid:…>
	regID    uint32 // reg-id, 0 when not given
}

// parseContact reads one value of Contact: a name-addr or an addr-spec with parameters. A star is no contact.
func parseContact(value string) (contact, error) {
	c := contact{q: 1000, expires: -1}
	if len(value) > maxContact || !printable(value) {
		return c, errContact
	}
	uri, rest, ok := cutAddress(strings.TrimSpace(value))
	if !ok || len(uri) > maxURI || strings.ContainsAny(uri, " \t<>\"") {
		return c, errContact
	}
	if _, ok := cutURI(uri); !ok {
		return c, errContact
	}
	c.uri = uri
	for n := 0; rest != ""; n++ {
		name, val, tail, ok := cutHeaderParam(rest)
		if !ok || n >= maxContactParam || !c.set(name, val) {
			return c, errContact
		}
		rest = tail
	}
	return c, nil
}

// cutAddress takes the URI out of a name-addr or addr-spec; rest holds the parameters, from the first ';' on.
func cutAddress(s string) (uri, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		_, tail, ok := cutQuoted(s)
		if !ok {
			return "", "", false
		}
		s = strings.TrimLeft(tail, " \t")
		if !strings.HasPrefix(s, "<") {
			return "", "", false
		}
	}
	open := strings.IndexByte(s, '<')
	semi := strings.IndexByte(s, ';')
	if open >= 0 && (semi < 0 || open < semi) { // a '<' behind a ';' belongs to a parameter of an addr-spec
		end := strings.IndexByte(s[open:], '>')
		if end < 0 {
			return "", "", false
		}
		return strings.TrimSpace(s[open+1 : open+end]), strings.TrimLeft(s[open+end+1:], " \t"), true
	}
	// An addr-spec: its parameters belong to the header, not to the URI (RFC 3261 §20.10).
	if semi < 0 {
		return strings.TrimSpace(s), "", true
	}
	return strings.TrimSpace(s[:semi]), s[semi:], true
}

// cutHeaderParam takes `;name`, `;name=token` or `;name="quoted"` off the front of s.
func cutHeaderParam(s string) (name, value, rest string, ok bool) {
	if s[0] != ';' {
		return "", "", "", false
	}
	s = strings.TrimLeft(s[1:], " \t")
	end := strings.IndexAny(s, "=;\"")
	if end < 0 {
		return strings.TrimRight(s, " \t"), "", "", true
	}
	name = strings.TrimRight(s[:end], " \t")
	if s[end] == '"' {
		return "", "", "", false
	}
	if s[end] == ';' {
		return name, "", s[end:], true
	}
	s = strings.TrimLeft(s[end+1:], " \t")
	if strings.HasPrefix(s, `"`) {
		value, rest, ok = cutQuoted(s)
		rest = strings.TrimLeft(rest, " \t")
		return name, value, rest, ok && (rest == "" || rest[0] == ';')
	}
	if end = strings.IndexByte(s, ';'); end < 0 {
		end = len(s)
	}
	value = strings.TrimRight(s[:end], " \t")
	return name, value, s[end:], !strings.ContainsAny(value, "\"<>,")
}

// cutQuoted takes a quoted-string off the front of s, which begins with a quote; escapes stay as they are.
func cutQuoted(s string) (value, rest string, ok bool) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return s[1:i], s[i+1:], true
		case '\\':
			i++
		}
	}
	return "", "", false
}

// set stores one parameter; false means that it makes the contact invalid. Parameters it does not know are passed over.
func (c *contact) set(name, value string) bool {
	switch {
	case strings.EqualFold(name, "expires"):
		c.expires = parseSeconds(value)
	case strings.EqualFold(name, "q"):
		var ok bool
		c.q, ok = parseQ(value)
		return ok
	case strings.EqualFold(name, "+sip.instance"):
		c.instance = value
		return len(value) <= maxInstance && !strings.ContainsAny(value, `"\`)
	case strings.EqualFold(name, "reg-id"):
		n, err := strconv.ParseUint(value, 10, 31)
		c.regID = uint32(n)
		return err == nil && n > 0 // RFC 5626 §4.2: 1 to 2^31-1
	}
	return true
}

// parseSeconds reads delta-seconds; -1 for what is none, such as the date that RFC 2543 allowed. RFC 3261 §20.10
// has a malformed value treated like none. A number too large for the header's 32 bits is cut to them.
func parseSeconds(s string) int64 {
	s = strings.TrimSpace(s)
	if s == "" {
		return -1
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = min(n*10+int64(s[i]-'0'), 1<<32-1)
	}
	return n
}

// parseQ reads a qvalue, 0 to 1 with up to three decimals (RFC 3261 §25.1), into thousandths.
func parseQ(s string) (uint16, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" && (whole != "" || frac == "") || len(frac) > 3 {
		return 0, false
	}
	q := 0
	for i, unit := 0, 100; i < len(frac); i, unit = i+1, unit/10 {
		if frac[i] < '0' || frac[i] > '9' {
			return 0, false
		}
		q += int(frac[i]-'0') * unit
	}
	if whole == "1" {
		q += 1000
	}
	return uint16(q), q <= 1000
}

// printable tells whether s can be written into a header again: no control byte, so no line break either.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
