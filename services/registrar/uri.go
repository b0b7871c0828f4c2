package registrar

import "strings"

// sipURI is a SIP or SIPS URI taken apart; the strings are parts of the text.
type sipURI struct {
	scheme string // as written
	user   string // "user" or "user:password", escapes kept
	host   string // name, IPv4 address or [IPv6 address]
	port   string // "" when not given
	params string // from the first ';' on
	header string // behind '?'
}

// cutURI takes a SIP or SIPS URI apart (RFC 3261 §19.1.1). It checks what comparing needs, not the whole grammar;
// ok is false for another scheme or a URI without a host.
func cutURI(s string) (u sipURI, ok bool) {
	colon := strings.IndexByte(s, ':')
	if colon < 0 {
		return u, false
	}
	u.scheme, s = s[:colon], s[colon+1:]
	if !strings.EqualFold(u.scheme, "sip") && !strings.EqualFold(u.scheme, "sips") {
		return u, false
	}
	// A user part may hold ';' and '?', so look for '@' first; host, parameters and headers hold none unescaped.
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if at == 0 {
			return u, false
		}
		u.user, s = s[:at], s[at+1:]
	}
	if q := strings.IndexByte(s, '?'); q >= 0 {
		s, u.header = s[:q], s[q+1:]
	}
	if semi := strings.IndexByte(s, ';'); semi >= 0 {
		s, u.params = s[:semi], s[semi:]
	}
	u.host, u.port, ok = cutHostPort(s)
	return u, ok
}

// cutHostPort takes "host", "host:port", "[v6]" or "[v6]:port" apart.
func cutHostPort(s string) (host, port string, ok bool) {
	end := strings.IndexByte(s, ':')
	if strings.HasPrefix(s, "[") {
		end = strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false
		}
		end++
	}
	if end < 0 || end == len(s) {
		return s, "", s != "" && hostBytes(s)
	}
	host, port = s[:end], s[end:]
	if len(port) < 2 || len(port) > 6 || port[0] != ':' {
		return "", "", false
	}
	port = port[1:]
	for i := 0; i < len(port); i++ {
		if port[i] < '0' || port[i] > '9' {
			return "", "", false
		}
	}
	return host, port, host != "" && hostBytes(host)
}

// hostBytes tells whether s has only bytes that a host name or an address may have.
func hostBytes(s string) bool {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case b == '.', b == '-', b == '_', b == ':', b == '[', b == ']':
		default:
			return false
		}
	}
	return true
}

// sameURI compares two SIP URIs as RFC 3261 §19.1.4 says: scheme and host without case, the user with it, escapes
// by what they stand for, a port only if both give it or neither; the parameters transport, user, ttl, method and
// maddr must agree even if only one has them, others only if both do; headers must be the same set.
func sameURI(a, b string) bool {
	if a == b {
		return true
	}
	x, ok := cutURI(a)
	if !ok {
		return false
	}
	y, ok := cutURI(b)
	if !ok {
		return false
	}
	return strings.EqualFold(x.scheme, y.scheme) &&
		sameEscaped(x.user, y.user, false) &&
		strings.EqualFold(x.host, y.host) &&
		x.port == y.port &&
		coveredParams(x.params, y.params) && coveredParams(y.params, x.params) &&
		coveredHeaders(x.header, y.header) && coveredHeaders(y.header, x.header)
}

// coveredParams tells whether no parameter of a speaks against b.
func coveredParams(a, b string) bool {
	for name, value := range params(a) {
		other, found := findParam(b, name)
		switch {
		case found && !sameEscaped(value, other, true):
			return false
		case !found && mustMatch(name):
			return false
		}
	}
	return true
}

// mustMatch names the URI parameters that count even when one of two URIs leaves them out.
func mustMatch(name string) bool {
	switch len(name) {
	case 3, 4, 5, 6, 9:
		for _, n := range [...]string{"ttl", "user", "maddr", "method", "transport"} {
			if sameEscaped(name, n, true) {
				return true
			}
		}
	}
	return false
}

// coveredHeaders tells whether each header of a is in b with the same value.
func coveredHeaders(a, b string) bool {
	for a != "" {
		var one string
		one, a, _ = strings.Cut(a, "&")
		name, value, _ := strings.Cut(one, "=")
		found := false
		for rest := b; rest != "" && !found; {
			var other string
			other, rest, _ = strings.Cut(rest, "&")
			n, v, _ := strings.Cut(other, "=")
			found = sameEscaped(name, n, true) && sameEscaped(value, v, false)
		}
		if !found {
			return false
		}
	}
	return true
}

// params walks over ";name=value;name" and gives names and values.
func params(s string) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for s != "" {
			var one string
			one, s, _ = strings.Cut(strings.TrimPrefix(s, ";"), ";")
			name, value, _ := strings.Cut(one, "=")
			if name != "" && !yield(name, value) {
				return
			}
		}
	}
}

func findParam(s, name string) (value string, found bool) {
	for n, v := range params(s) {
		if sameEscaped(n, name, true) {
			return v, true
		}
	}
	return "", false
}

// sameEscaped compares two strings after undoing %-escapes, with or without case.
func sameEscaped(a, b string, fold bool) bool {
	for a != "" && b != "" {
		var x, y byte
		x, a = unescapeByte(a)
		y, b = unescapeByte(b)
		if fold {
			x, y = lower(x), lower(y)
		}
		if x != y {
			return false
		}
	}
	return a == b
}

// unescapeByte takes one byte, escaped or not, off the front of s.
func unescapeByte(s string) (byte, string) {
	if s[0] == '%' && len(s) >= 3 {
		hi, ok1 := unhex(s[1])
		lo, ok2 := unhex(s[2])
		if ok1 && ok2 {
			return hi<<4 | lo, s[3:]
		}
	}
	return s[0], s[1:]
}

func unhex(b byte) (byte, bool) {
	switch b = lower(b); {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	}
	return 0, false
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
