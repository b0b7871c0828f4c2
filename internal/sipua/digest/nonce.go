package digest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Layout of a nonce before base64.
const (
	idSize    = 12 // 6 bytes time, 4 bytes counter, 2 bytes random
	macSize   = 12 // of HMAC-SHA256: 96 bits, as IPsec truncates it (RFC 4868 takes 128 for a busier line)
	nonceSize = idSize + macSize
	nonceText = nonceSize / 3 * 4
)

// maxSkew is how far ahead of ours the clock of another node may be.
const maxSkew = time.Minute

// Nonce is a nonce as it stands in a challenge.
type Nonce [nonceText]byte

// nonceID tells nonces apart; it is the part of a nonce that its MAC protects.
type nonceID [idSize]byte

// Scope is what a nonce is good for.
type Scope struct {
	Realm  string
	Source netip.Addr // who asked; the zero Addr leaves the nonce unbound
}

// Nonce makes a nonce. It stores nothing.
func (a *Authority) Nonce(scope Scope) Nonce {
	s := a.scratch.Get().(*scratch)
	defer a.scratch.Put(s)

	var raw [nonceSize]byte
	ms := uint64(a.now().UnixMilli())
	binary.BigEndian.PutUint64(raw[:8], ms<<16)
	// The counter keeps the nonces of one process apart, the random bits those of two: neither needs to be secret.
	binary.BigEndian.PutUint32(raw[6:10], a.counter.Add(1))
	binary.BigEndian.PutUint16(raw[10:12], uint16(rand.Uint32()))
	copy(raw[idSize:], s.mac(raw[:idSize], scope))

	var n Nonce
	base64.RawURLEncoding.Encode(n[:], raw[:])
	return n
}

// openNonce tells whether text is a nonce of this cluster for that scope, and when it was made.
func (a *Authority) openNonce(s *scratch, text string, scope Scope) (id nonceID, issuedMS int64, ok bool) {
	if len(text) != nonceText {
		return id, 0, false
	}
	copy(s.text[:], text)
	var raw [nonceSize]byte
	if _, err := nonceEncoding.Decode(raw[:], s.text[:]); err != nil {
		return id, 0, false
	}
	copy(id[:], raw[:idSize])
	if !hmac.Equal(raw[idSize:], s.mac(raw[:idSize], scope)) {
		return id, 0, false
	}
	return id, id.issuedMS(), true
}

// nonceEncoding refuses stray bits, so that a nonce has one spelling only.
var nonceEncoding = base64.RawURLEncoding.Strict()

// issuedMS is when the nonce was made, in milliseconds since 1970.
func (id *nonceID) issuedMS() int64 {
	return int64(binary.BigEndian.Uint64(id[:8]) >> 16)
}

// scratch is the working memory of one Nonce or Verify; keeping it on the heap in a pool is what keeps them from
// allocating, as a hash behind an interface makes its arguments escape.
type scratch struct {
	keyed hash.Hash // HMAC-SHA256 under the secret
	text  [nonceText]byte
	buf   []byte
	sum   [sha256.Size]byte
	ha2   [2 * sha256.Size]byte
	want  [2 * sha256.Size]byte
}

// mac returns the truncated HMAC of a nonce's id within scope; the result is valid until the next call.
func (s *scratch) mac(id []byte, scope Scope) []byte {
	s.buf = append(s.buf[:0], id...)
	addr := scope.Source.Unmap().As16() // the zero Addr gives sixteen zero bytes
	s.buf = append(s.buf, addr[:]...)
	s.buf = append(s.buf, scope.Realm...)
	s.keyed.Reset()
	s.keyed.Write(s.buf)
	return s.keyed.Sum(s.sum[:0])[:macSize]
}
