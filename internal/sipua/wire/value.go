package wire

import (
	"bytes"
	"strings"
)

// Next cuts the first of several values of a header at the first comma outside quotes and angle brackets (RFC 3261
// §7.3.1). more is false when value was the last.
func Next(values []byte) (value, rest []byte, more bool) {
	i := indexOutside(values, ',')
	if i < 0 {
		return trim(values), nil, false
	}
	return trim(values[:i]), values[i+1:], true
}

// indexOutside finds c outside quoted strings and angle brackets, -1 when it is not there.
func indexOutside(b []byte, c byte) int {
	if bytes.IndexByte(b, c) < 0 { // most headers have one value
		return -1
	}
	quoted, bracket := false, false
	for i := 0; i < len(b); i++ {
		switch x := b[i]; {
		case quoted:
			if x == '\\' {
				i++
			} else if x == '"' {
				quoted = false
			}
		case x == '"':
			quoted = true
		case x == '<':
			bracket = true
		case x == '>':
			bracket = false
		case x == c && !bracket:
			return i
		}
	}
	return -1
}

// Address is the parts of a name-addr or addr-spec with its parameters (RFC 3261 §20.10): From, To, Contact, Route.
type Address struct {
	Display []byte // as written, quotes included
	URI     []byte
	Params  []byte // what follows the URI, from the first ';' on
}

// ParseAddress reads one address. It refuses what could be read in two ways: unbalanced quotes or brackets, blanks in
// the URI, and display names that are neither quoted nor tokens.
func ParseAddress(v []byte, a *Address) bool {
	*a = Address{}
	v = trim(v)
	rest := v
	if len(v) > 0 && v[0] == '"' {
		end := closingQuote(v)
		if end < 0 {
			return false
		}
		a.Display = v[:end+1]
		if rest = trim(v[end+1:]); len(rest) == 0 || rest[0] != '<' {
			return false
		}
	} else if lt := bytes.IndexByte(v, '<'); lt >= 0 && !bytes.ContainsAny(v[:lt], ";") {
		a.Display = trim(v[:lt])
		for _, c := range a.Display {
			if !tokenChar[c] && !blank(c) && c < 0x80 {
				return false
			}
		}
		rest = v[lt:]
	}
	if len(rest) > 0 && rest[0] == '<' {
		gt := bytes.IndexByte(rest, '>')
		if gt < 0 {
			return false
		}
		a.URI, a.Params = rest[1:gt], trim(rest[gt+1:])
	} else {
		end := bytes.IndexByte(rest, ';')
		if end < 0 {
			end = len(rest)
		}
		a.URI, a.Params = trim(rest[:end]), rest[end:]
	}
	return plausibleURI(a.URI) && wellFormedParams(a.Params)
}

// closingQuote finds the quote that ends the quoted string b starts with.
func closingQuote(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// plausibleURI tells whether u is one word with a scheme, of any kind.
func plausibleURI(u []byte) bool {
	if bytes.IndexByte(u, ':') < 1 {
		return false
	}
	for _, c := range u {
		if c <= ' ' || c == '<' || c == '>' || c == '"' || c == 0x7f {
			return false
		}
	}
	return true
}

// wellFormedParams tells whether p is empty or starts with ';' and its quotes are closed.
func wellFormedParams(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if p[0] != ';' {
		return false
	}
	for i := 0; i < len(p); i++ {
		if p[i] == '"' {
			end := closingQuote(p[i:])
			if end < 0 {
				return false
			}
			i += end
		}
	}
	return true
}

// NextParam cuts the first parameter off ";a=b;c". A quoted value keeps its quotes; value is nil without '='.
func NextParam(params []byte) (name, value, rest []byte, ok bool) {
	for len(params) > 0 && (params[0] == ';' || blank(params[0])) {
		params = params[1:]
	}
	if len(params) == 0 {
		return nil, nil, nil, false
	}
	end := endOfParam(params)
	name, value, has := bytes.Cut(params[:end], []byte("="))
	if has {
		value = trim(value)
	}
	return trim(name), value, params[end:], true
}

// endOfParam finds the first ';' outside quotes, or the end.
func endOfParam(params []byte) int {
	end := bytes.IndexByte(params, ';')
	if end < 0 {
		end = len(params)
	}
	if bytes.IndexByte(params[:end], '"') < 0 {
		return end
	}
	for i, quoted := 0, false; i < len(params); i++ {
		switch c := params[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			return i
		}
	}
	return len(params)
}

// Param finds a parameter by name, in any case, and takes the quotes off its value. ok is true for one without a value too.
func Param(params []byte, name string) (value []byte, ok bool) {
	for {
		n, v, rest, more := NextParam(params)
		if !more {
			return nil, false
		}
		if equalFold(n, name) {
			if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			return v, true
		}
		params = rest
	}
}

// URI is the parts of a URI; of other schemes than sip and sips only Scheme is set.
type URI struct {
	Scheme  []byte
	User    []byte // as written: see Unescape. Without password
	Host    []byte // an IPv6 address keeps its brackets
	Port    int    // 0 when there is none
	Params  []byte // from the first ';' on
	Headers []byte // behind '?'
}

// SIP tells whether u is a sip or sips URI.
func (u *URI) SIP() bool { return equalFold(u.Scheme, "sip") || equalFold(u.Scheme, "sips") }

// Tel tells whether u is a tel URI (RFC 3966).
func (u *URI) Tel() bool { return equalFold(u.Scheme, "tel") }

// ParseURI reads a URI (RFC 3261 §19.1). It refuses what could be read in two ways.
func ParseURI(b []byte, u *URI) bool {
	*u = URI{}
	if !plausibleURI(b) {
		return false
	}
	colon := bytes.IndexByte(b, ':')
	u.Scheme = b[:colon]
	if !isToken(u.Scheme) {
		return false
	}
	if !u.SIP() {
		return true
	}
	b = b[colon+1:]
	if at := bytes.IndexByte(b, '@'); at >= 0 {
		u.User, _, _ = bytes.Cut(b[:at], []byte(":"))
		if at == 0 || bytes.IndexByte(b[at+1:], '@') >= 0 {
			return false
		}
		b = b[at+1:]
	}
	return parseHostPart(b, u)
}

// parseHostPart reads host[:port][;params][?headers].
func parseHostPart(b []byte, u *URI) bool {
	b, u.Headers, _ = bytes.Cut(b, []byte("?"))
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		b, u.Params = b[:i], b[i:]
	}
	var ok bool
	u.Host, u.Port, ok = hostPort(b)
	return ok
}

// hostPort cuts host[:port]; port is 0 when there is none.
func hostPort(b []byte) (host []byte, port int, ok bool) {
	host = b
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return nil, 0, false
		}
		host = b[:end+1]
	} else if i := bytes.IndexByte(b, ':'); i >= 0 {
		host = b[:i]
	}
	if rest := b[len(host):]; len(rest) > 0 {
		port, ok = number(trim(rest[1:]), 65535)
		if !ok || rest[0] != ':' {
			return nil, 0, false
		}
	}
	host = trim(host)
	return host, port, validHost(host)
}

// validHost tells whether h consists of what a name or an address is made of. Underscores are let in: they are in use.
func validHost(h []byte) bool {
	if len(h) == 0 || len(h) > 255 {
		return false
	}
	for _, c := range h {
		if c != '.' && c != '-' && c != '_' && c != ':' && c != '[' && c != ']' && c != '%' &&
			(c < '0' || c > '9') && (lower(c) < 'a' || lower(c) > 'z') {
			return false
		}
	}
	return h[0] == '[' || !bytes.ContainsAny(h, ":[]")
}

// Unescape undoes %-escapes (RFC 3261 §19.1.2). What is no valid escape stays as it is.
func Unescape(b []byte) string {
	if bytes.IndexByte(b, '%') < 0 {
		return string(b)
	}
	var s strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			hi, ok1 := unhex(b[i+1])
			lo, ok2 := unhex(b[i+2])
			if ok1 && ok2 {
				s.WriteByte(hi<<4 | lo)
				i += 2
				continue
			}
		}
		s.WriteByte(b[i])
	}
	return s.String()
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= lower(c) && lower(c) <= 'f':
		return lower(c) - 'a' + 10, true
	}
	return 0, false
}
