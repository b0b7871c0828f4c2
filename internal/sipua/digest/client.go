package digest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Errors of the client side.
var (
	ErrNoChallenge = errors.New("digest: no challenge that can be answered")
	ErrRefused     = errors.New("digest: the credentials were refused")
)

// Challenge is the parameters of a WWW-Authenticate or Proxy-Authenticate value (RFC 7616 §3.3). Nonce and Opaque are the text
// between the quotes, which goes back as it is.
type Challenge struct {
	Realm     string
	Nonce     string
	Opaque    string
	Algorithm Algorithm
	Auth      bool // qop "auth" is offered; without any qop the answer is that of RFC 2069
	Stale     bool // the credentials were right, the nonce too old
}

// ParseChallenge reads the value of a challenge. What it does not know is skipped; an algorithm it does not know is
// AlgorithmUnknown.
func ParseChallenge(value string) (Challenge, error) {
	c := Challenge{Algorithm: MD5}
	if len(value) > MaxValue {
		return c, ErrTooLong
	}
	rest, ok := cutScheme(value)
	if !ok {
		return c, ErrNotDigest
	}
	qop, realm := false, false
	for n := 0; ; n++ {
		name, val, quoted, tail, err := nextParam(rest)
		if err != nil {
			return c, err
		}
		if name == "" {
			break
		}
		if n >= maxParams || len(val) > maxField {
			return c, ErrTooLong
		}
		rest = tail
		switch strings.ToLower(name) {
		case "realm":
			c.Realm, realm = unescape(val, quoted), true
		case "nonce":
			c.Nonce = val
		case "opaque":
			c.Opaque = val
		case "algorithm":
			c.Algorithm = ParseAlgorithm(val)
		case "stale":
			c.Stale = strings.EqualFold(val, "true")
		case "qop":
			qop = true
			for word := range strings.SplitSeq(val, ",") {
				c.Auth = c.Auth || strings.EqualFold(strings.TrimSpace(word), "auth")
			}
		}
	}
	switch {
	case !realm || c.Nonce == "":
		return c, ErrMalformed
	case qop && !c.Auth:
		return c, fmt.Errorf("%w: only another qop than auth is offered", ErrNoChallenge)
	}
	return c, nil
}

// Identity is who answers challenges.
type Identity struct {
	User     string
	Password string
	Realm    string // answer this one only; "" = any
}

// Session is the client side of one dialog, or of requests outside of any: it remembers the challenges it answered, so that the
// next request brings credentials at once, with a higher nonce-count. A proxy on the way and the server at its end may
// each want their own. A Session is for one goroutine at a time. The zero Session with an Identity is ready.
type Session struct {
	Identity Identity
	server   answering // to 401
	proxy    answering // to 407
}

// answering is one challenge and how often it was answered.
type answering struct {
	challenge Challenge
	ha1       []byte
	cnonce    string
	count     uint32
}

// Status of challenges and the header fields that belong to them (RFC 3261 §22.2, §22.3).
const (
	statusServer = 401
	statusProxy  = 407
)

// ChallengeHeader is the header field with the challenges of a response, "" when the status brings none.
func ChallengeHeader(status int) string {
	switch status {
	case statusServer:
		return "WWW-Authenticate"
	case statusProxy:
		return "Proxy-Authenticate"
	}
	return ""
}

// Challenged takes the challenges of a response. The best of those it can answer is remembered (RFC 8760 §2.4: SHA-256 before MD5). sent
// tells whether the request that was refused brought credentials made from Session for this status: then only a stale nonce is
// worth another try, and anything else is ErrRefused.
func (s *Session) Challenged(status int, values []string, sent bool) error {
	slot := s.slot(status)
	var best *Challenge
	for _, v := range values {
		c, err := ParseChallenge(v)
		if err != nil || c.Algorithm == AlgorithmUnknown || s.Identity.Realm != "" && c.Realm != s.Identity.Realm {
			continue
		}
		if best == nil || c.Algorithm > best.Algorithm {
			best = &c
		}
	}
	switch {
	case slot == nil || best == nil:
		return ErrNoChallenge
	case sent && !best.Stale:
		*slot = answering{}
		return ErrRefused
	}
	var cnonce [8]byte
	_, _ = rand.Read(cnonce[:]) // never fails
	*slot = answering{
		challenge: *best, cnonce: hex.EncodeToString(cnonce[:]),
		ha1: HA1(best.Algorithm, s.Identity.User, best.Realm, s.Identity.Password),
	}
	return nil
}

func (s *Session) slot(status int) *answering {
	switch status {
	case statusServer:
		return &s.server
	case statusProxy:
		return &s.proxy
	}
	return nil
}

// Knows tells whether there is a challenge of that kind to make credentials from.
func (s *Session) Knows(status int) bool {
	slot := s.slot(status)
	return slot != nil && slot.challenge.Nonce != ""
}

// Credentials returns the header fields that prove who sends a request, none before the first challenge. Each call is
// for another request.
func (s *Session) Credentials(method, uri string) (out []Field) {
	if s.Knows(statusServer) {
		out = append(out, Field{"Authorization", s.server.credentials(s.Identity.User, method, uri)})
	}
	if s.Knows(statusProxy) {
		out = append(out, Field{"Proxy-Authorization", s.proxy.credentials(s.Identity.User, method, uri)})
	}
	return out
}

// Field is a header field.
type Field struct{ Name, Value string }

func (a *answering) credentials(user, method, uri string) string {
	a.count++
	c := &a.challenge
	cred := Credentials{Nonce: c.Nonce, URI: uri, Algorithm: c.Algorithm}
	if c.Auth {
		cred.QOP, cred.CNonce, cred.NC = "auth", a.cnonce, fmt.Sprintf("%08x", a.count)
	}
	b := append([]byte(`Digest username=`), quoted(user)...)
	b = append(b, `, realm=`...)
	b = append(b, quoted(c.Realm)...)
	b = append(b, `, nonce="`+c.Nonce+`", uri="`+uri+`", response="`+response(&cred, method, a.ha1)+`", algorithm=`+c.Algorithm.String()...)
	if c.Auth {
		b = append(b, `, cnonce="`+cred.CNonce+`", qop=auth, nc=`+cred.NC...)
	}
	if c.Opaque != "" {
		b = append(b, `, opaque="`+c.Opaque+`"`...)
	}
	return string(b)
}

// response computes the answer (RFC 7616 §3.4.1).
func response(c *Credentials, method string, ha1 []byte) string {
	s := scratch{buf: []byte(method + ":" + c.URI)}
	n := s.hash(c.Algorithm, s.ha2[:])
	s.buf = hex.AppendEncode(s.buf[:0], ha1)
	s.buf = append(s.buf, ":"+c.Nonce+":"...)
	if c.QOP != "" {
		s.buf = append(s.buf, c.NC+":"+c.CNonce+":"+c.QOP+":"...)
	}
	s.buf = append(s.buf, s.ha2[:n]...)
	return string(s.want[:s.hash(c.Algorithm, s.want[:])])
}

// quoted makes a quoted-string.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
