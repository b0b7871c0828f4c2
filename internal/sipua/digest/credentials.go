package digest

import (
	"errors"
	"strings"
)

// Limits on the value of an Authorization header. A longer value is refused before it is looked at.
const (
	MaxValue  = 2048 // bytes of the whole value
	maxParams = 32   // parameters, known or not
	maxField  = 512  // bytes of one parameter's value
	maxCNonce = 128  // bytes of a cnonce
	ncDigits  = 8    // hexadecimal digits of a nonce-count
)

// Errors of Parse.
var (
	ErrNotDigest = errors.New("digest: not the Digest scheme")
	ErrMalformed = errors.New("digest: malformed credentials")
	ErrTooLong   = errors.New("digest: credentials too long")
)

// Algorithm is a hash function for digests.
type Algorithm uint8

// The algorithms; AlgorithmUnknown stands for one that is named but not served.
const (
	AlgorithmUnknown Algorithm = iota
	MD5
	SHA256
)

// String returns the token of RFC 7616 §6.1.
func (a Algorithm) String() string {
	switch a {
	case MD5:
		return "MD5"
	case SHA256:
		return "SHA-256"
	default:
		return "unknown"
	}
}

// ParseAlgorithm returns the algorithm of that token, case ignored, or AlgorithmUnknown.
func ParseAlgorithm(token string) Algorithm {
	switch {
	case strings.EqualFold(token, "MD5"):
		return MD5
	case strings.EqualFold(token, "SHA-256"):
		return SHA256
	default:
		return AlgorithmUnknown
	}
}

// Credentials are the parameters of an Authorization value (RFC 7616 §3.4). Username and Realm are unquoted with
// escapes undone; the others are the text between the quotes, because that is what clients hash.
// The strings are parts of the value given to Parse.
type Credentials struct {
	Username  string
	Realm     string
	Nonce     string
	URI       string
	Response  string
	CNonce    string
	NC        string // as written, for the hash
	Count     uint32 // NC as a number
	QOP       string // "auth", or "" from a client of RFC 2069
	Algorithm Algorithm
}

// Parse reads the value of an Authorization header into c. It demands the Digest scheme, the parameters username,
// realm, nonce, uri and response, each parameter once, and cnonce and nc where qop is given. Parameters it does not
// know are skipped, and opaque with them: the Authority sends none. On error c is not to be used.
func Parse(value string, c *Credentials) error {
	*c = Credentials{Algorithm: MD5} // RFC 7616 §3.4: no algorithm means MD5
	if len(value) > MaxValue {
		return ErrTooLong
	}
	rest, ok := cutScheme(value)
	if !ok {
		return ErrNotDigest
	}
	var seen uint
	for n := 0; ; n++ {
		name, val, quoted, tail, err := nextParam(rest)
		if err != nil {
			return err
		}
		if name == "" {
			break
		}
		if n >= maxParams || len(val) > maxField {
			return ErrTooLong
		}
		bit, err := c.set(name, val, quoted)
		if err != nil {
			return err
		}
		if bit != 0 && seen&bit != 0 {
			return ErrMalformed // twice the same: whoever sends that tries something
		}
		seen |= bit
		rest = tail
	}
	return c.check(seen)
}

// The known parameters as bits of a set.
const (
	bitUsername uint = 1 << iota
	bitRealm
	bitNonce
	bitURI
	bitResponse
	bitCNonce
	bitNC
	bitQOP
	bitAlgorithm

	bitsNeeded = bitUsername | bitRealm | bitNonce | bitURI | bitResponse
)

// set stores one parameter and returns its bit, 0 for one that does not matter here.
func (c *Credentials) set(name, val string, quoted bool) (uint, error) {
	switch len(name) { // spares most of the comparisons
	case 2:
		if strings.EqualFold(name, "nc") {
			c.NC = val
			return bitNC, c.setCount(val)
		}
	case 3:
		if strings.EqualFold(name, "uri") {
			c.URI = val
			return bitURI, nil
		}
		if strings.EqualFold(name, "qop") {
			c.QOP = val
			return bitQOP, nil
		}
	case 5:
		if strings.EqualFold(name, "nonce") {
			c.Nonce = val
			return bitNonce, nil
		}
		if strings.EqualFold(name, "realm") {
			c.Realm = unescape(val, quoted)
			return bitRealm, nil
		}
	case 6:
		if strings.EqualFold(name, "cnonce") {
			c.CNonce = val
			return bitCNonce, nil
		}
	case 8:
		if strings.EqualFold(name, "username") {
			c.Username = unescape(val, quoted)
			return bitUsername, nil
		}
		if strings.EqualFold(name, "response") {
			c.Response = val
			return bitResponse, nil
		}
	case 9:
		if strings.EqualFold(name, "algorithm") {
			c.Algorithm = ParseAlgorithm(val)
			return bitAlgorithm, nil
		}
	}
	return 0, nil
}

// setCount reads a nonce-count: hexadecimal, eight digits by the grammar, fewer from some phones.
func (c *Credentials) setCount(s string) error {
	if s == "" || len(s) > ncDigits {
		return ErrMalformed
	}
	var n uint32
	for i := 0; i < len(s); i++ {
		d, ok := unhex(s[i])
		if !ok {
			return ErrMalformed
		}
		n = n<<4 | uint32(d)
	}
	c.Count = n
	return nil
}

// check finds what is missing or does not fit together.
func (c *Credentials) check(seen uint) error {
	if seen&bitsNeeded != bitsNeeded || c.Username == "" || c.Nonce == "" || c.URI == "" {
		return ErrMalformed
	}
	if c.QOP == "" {
		if seen&bitQOP != 0 {
			return ErrMalformed
		}
		return nil
	}
	if !strings.EqualFold(c.QOP, "auth") || c.CNonce == "" || len(c.CNonce) > maxCNonce || seen&bitNC == 0 || c.Count == 0 {
		return ErrMalformed
	}
	return nil
}

// cutScheme takes "Digest" and the blank behind it off the front.
func cutScheme(s string) (rest string, ok bool) {
	s = trimLeft(s)
	const scheme = "digest"
	if len(s) <= len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) || !isSpace(s[len(scheme)]) {
		return "", false
	}
	return s[len(scheme)+1:], true
}

// nextParam takes `name = token` or `name = "quoted"` and the comma behind it off the front of s. name is ""
// at the end. The value of a quoted string is what stands between the quotes, escapes included.
func nextParam(s string) (name, val string, quoted bool, rest string, err error) {
	s = trimLeft(s)
	for len(s) > 0 && s[0] == ',' { // empty list elements are allowed (RFC 9110 §5.6.1)
		s = trimLeft(s[1:])
	}
	if s == "" {
		return "", "", false, "", nil
	}
	i := 0
	for i < len(s) && isToken(s[i]) {
		i++
	}
	name, s = s[:i], trimLeft(s[i:])
	if name == "" || s == "" || s[0] != '=' {
		return "", "", false, "", ErrMalformed
	}
	s = trimLeft(s[1:])
	if s != "" && s[0] == '"' {
		val, rest, err = cutQuoted(s)
		quoted = true
	} else {
		i = 0
		for i < len(s) && isToken(s[i]) {
			i++
		}
		val, rest = s[:i], s[i:]
		if val == "" {
			err = ErrMalformed
		}
	}
	if err != nil {
		return "", "", false, "", err
	}
	rest = trimLeft(rest)
	if rest != "" && rest[0] != ',' {
		return "", "", false, "", ErrMalformed
	}
	return name, val, quoted, rest, nil
}

// cutQuoted takes a quoted-string off the front of s, which begins with a quote.
func cutQuoted(s string) (val, rest string, err error) {
	for i := 1; i < len(s); i++ {
		switch b := s[i]; {
		case b == '"':
			return s[1:i], s[i+1:], nil
		case b == '\\':
			i++
		case b < ' ' && b != '\t' || b == 0x7f:
			return "", "", ErrMalformed
		}
	}
	return "", "", ErrMalformed
}

// unescape undoes quoted-pairs; it allocates only where there is one.
func unescape(s string, quoted bool) string {
	if !quoted || strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func trimLeft(s string) string {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}

// isSpace knows the linear white space of a header, folded lines included.
func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// isToken tells whether b may stand in a token (RFC 3261 §25.1), or in a uri that a phone forgot to quote: none of the
// bytes added can end a parameter.
func isToken(b byte) bool {
	switch {
	case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		return true
	case b == '-', b == '.', b == '!', b == '%', b == '*', b == '_', b == '+', b == '`', b == '\'', b == '~':
		return true
	case b == ':', b == '/', b == '@':
		return true
	}
	return false
}

func unhex(b byte) (byte, bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}
