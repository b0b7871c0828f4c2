package digest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of an Authority.
type Options struct {
	Secret   []byte           // shared by all nodes of a cluster, 16 bytes at least
	Lifetime time.Duration    // of a nonce
	Remember int              // used nonces remembered at the most, about 64 bytes each; 0 = 131,072
	Legacy   bool             // take credentials without qop, as RFC 2069 had them, one use a nonce
	MatchURI bool             // deny credentials whose uri is not the Request-URI; see SameResource
	Now      func() time.Time // nil = time.Now
}

const defaultRemember = 128 << 10

// Authority makes nonces and judges credentials. See the package comment.
type Authority struct {
	lifetimeMS int64
	legacy     bool
	matchURI   bool
	now        func() time.Time
	counter    atomic.Uint32
	guard      *replayGuard
	seed       maphash.Seed
	scratch    sync.Pool // of *scratch
}

// New returns an Authority, or an error that says which option is wrong.
func New(o Options) (*Authority, error) {
	if len(o.Secret) < 16 {
		return nil, errors.New("digest: secret shorter than 16 bytes")
	}
	if o.Lifetime < time.Second {
		return nil, errors.New("digest: nonce lifetime below one second")
	}
	if o.Remember == 0 {
		o.Remember = defaultRemember
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	secret := append([]byte(nil), o.Secret...)
	a := &Authority{
		lifetimeMS: o.Lifetime.Milliseconds(),
		legacy:     o.Legacy,
		matchURI:   o.MatchURI,
		now:        o.Now,
		guard:      newReplayGuard(o.Remember, o.Now().UnixMilli()),
		seed:       maphash.MakeSeed(),
	}
	a.scratch.New = func() any {
		return &scratch{keyed: hmac.New(sha256.New, secret), buf: make([]byte, 0, 256)}
	}
	return a, nil
}

// AppendChallenge appends the value of a WWW-Authenticate header. A realm with quotes or backslashes is escaped.
func AppendChallenge(dst []byte, realm string, alg Algorithm, nonce Nonce, stale bool) []byte {
	dst = append(dst, `Digest realm="`...)
	for i := 0; i < len(realm); i++ {
		if realm[i] == '"' || realm[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, realm[i])
	}
	dst = append(dst, `", nonce="`...)
	dst = append(dst, nonce[:]...)
	dst = append(dst, `", algorithm=`...)
	dst = append(dst, alg.String()...)
	if stale {
		dst = append(dst, `, stale=true`...)
	}
	return append(dst, `, qop="auth"`...)
}

// Request is what Verify must know of the request that brought the credentials.
type Request struct {
	Method string
	URI    string // the Request-URI
	CallID string // with CSeq it tells a retransmission from a replay
	CSeq   uint32
	Scope  Scope // as given to Nonce
}

// Verdict is the judgement on credentials.
type Verdict uint8

// The verdicts. Only OK and Retransmission let the request in. The zero Verdict does not.
const (
	Denied         Verdict = iota // wrong password or user, or (MatchURI) another Request-URI: challenge again, and count it against the source
	Unsupported                   // an algorithm that is not served, or no qop: challenge again
	Stale                         // the nonce is too old, or none of ours for this source: challenge again with stale=true
	Replayed                      // right password, but this nonce-count was used before: as Stale
	OK                            // right
	Retransmission                // right, and the same request as the last one accepted with this nonce
)

// String names the verdict for logs and metrics.
func (v Verdict) String() string {
	switch v {
	case Denied:
		return "denied"
	case Unsupported:
		return "unsupported"
	case Stale:
		return "stale"
	case Replayed:
		return "replayed"
	case OK:
		return "ok"
	case Retransmission:
		return "retransmission"
	}
	return "unknown"
}

// Verify judges credentials against ha1, H(username:realm:password) by the algorithm the credentials name: 16 bytes
// for MD5, 32 for SHA-256. For a user who does not exist, or must not be let in, the caller passes some other bytes of
// that length with known = false: the work is the same and the verdict never lets him in.
//
// A nonce that is not valid makes the credentials Stale before the password is looked at: the answer tells
// nothing of it (RFC 7616 §3.3), and nobody can have guesses judged without receiving at the address he claims.
func (a *Authority) Verify(c *Credentials, r *Request, ha1 []byte, known bool) Verdict {
	if c.Algorithm == AlgorithmUnknown || c.QOP == "" && !a.legacy {
		return Unsupported
	}
	s := a.scratch.Get().(*scratch)
	defer a.scratch.Put(s)

	id, issuedMS, ok := a.openNonce(s, c.Nonce, r.Scope)
	if age := a.now().UnixMilli() - issuedMS; !ok || age > a.lifetimeMS || age < -maxSkew.Milliseconds() {
		return Stale
	}
	right := s.matches(c, r.Method, ha1)
	if !known || !right || c.Realm != r.Scope.Realm || a.matchURI && !SameResource(c.URI, r.URI) {
		return Denied
	}
	count := c.Count
	if c.QOP == "" {
		count = 1
	}
	return a.guard.use(id, count, a.fingerprint(c, r))
}

// fingerprint is the same for a retransmission and differs for anything else.
func (a *Authority) fingerprint(c *Credentials, r *Request) uint64 {
	var h maphash.Hash
	h.SetSeed(a.seed)
	h.WriteString(c.Response)
	h.WriteString(c.CNonce)
	h.WriteByte(0)
	h.WriteString(r.CallID)
	h.WriteByte(byte(r.CSeq))
	h.WriteByte(byte(r.CSeq >> 8))
	h.WriteByte(byte(r.CSeq >> 16))
	h.WriteByte(byte(r.CSeq >> 24))
	return h.Sum64()
}

// matches computes the response (RFC 7616 §3.4.1) and compares it in constant time.
func (s *scratch) matches(c *Credentials, method string, ha1 []byte) bool {
	s.buf = append(s.buf[:0], method...)
	s.buf = append(s.buf, ':')
	s.buf = append(s.buf, c.URI...)
	n := s.hash(c.Algorithm, s.ha2[:])

	s.buf = hex.AppendEncode(s.buf[:0], ha1)
	s.buf = append(s.buf, ':')
	s.buf = append(s.buf, c.Nonce...)
	s.buf = append(s.buf, ':')
	if c.QOP != "" {
		s.buf = append(s.buf, c.NC...)
		s.buf = append(s.buf, ':')
		s.buf = append(s.buf, c.CNonce...)
		s.buf = append(s.buf, ':')
		s.buf = append(s.buf, c.QOP...)
		s.buf = append(s.buf, ':')
	}
	s.buf = append(s.buf, s.ha2[:n]...)
	s.hash(c.Algorithm, s.want[:])

	// Some clients write hex in capitals. Folding is done on what the stranger sent, so its time tells nothing.
	s.buf = append(s.buf[:0], c.Response...)
	for i, b := range s.buf {
		if 'A' <= b && b <= 'F' {
			s.buf[i] = b + 'a' - 'A'
		}
	}
	return 2*len(ha1) == n && subtle.ConstantTimeCompare(s.buf, s.want[:n]) == 1
}

// hash writes the hash of s.buf to dst in hex and returns its length.
func (s *scratch) hash(alg Algorithm, dst []byte) int {
	if alg == SHA256 {
		sum := sha256.Sum256(s.buf)
		return hex.Encode(dst, sum[:])
	}
	sum := md5.Sum(s.buf)
	return hex.Encode(dst, sum[:])
}

// SameResource tells whether the uri of credentials and a Request-URI name the same thing. RFC 7616 §3.4.6 leaves
// room, and phones use it: parameters, the case of scheme and host, and a port of 5060 may differ.
//
// Many go further and write the address they send to, and proxies on the way rewrite the Request-URI. The comparison keeps
// credentials from being moved to another resource; as a nonce is good only for its realm and source, and the method is
// hashed, there is little left to move them to. So it is made only where Options.MatchURI asks for it.
func SameResource(uri, requestURI string) bool {
	return uri == requestURI || strings.EqualFold(bareURI(uri), bareURI(requestURI))
}

// bareURI takes parameters, headers and the default port off a SIP URI.
func bareURI(u string) string {
	at := strings.LastIndexByte(u, '@') + 1
	if i := strings.IndexAny(u[at:], ";?"); i >= 0 {
		u = u[:at+i]
	}
	return strings.TrimSuffix(u, ":5060")
}

// HA1 returns H(username:realm:password), nil for an unknown algorithm.
func HA1(alg Algorithm, username, realm, password string) []byte {
	text := []byte(username + ":" + realm + ":" + password)
	switch alg {
	case MD5:
		sum := md5.Sum(text)
		return sum[:]
	case SHA256:
		sum := sha256.Sum256(text)
		return sum[:]
	}
	return nil
}
