package secure

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"

	"github.com/pion/srtp/v3"
)

// Suite is a set of algorithms for SRTP.
type Suite uint8

// The suites, best first.
const (
	GCM128 Suite = iota + 1 // AEAD_AES_128_GCM (RFC 7714)
	CM80                    // AES_CM_128_HMAC_SHA1_80 (RFC 3711), which everybody has
	CM32                    // the same with a tag of 32 bits for RTP
)

// Suites are all of them, in the order in which they are offered.
func Suites() []Suite { return []Suite{GCM128, CM80, CM32} }

// String is the name of RFC 4568 and RFC 7714.
func (s Suite) String() string {
	switch s {
	case GCM128:
		return "AEAD_AES_128_GCM"
	case CM80:
		return "AES_CM_128_HMAC_SHA1_80"
	case CM32:
		return "AES_CM_128_HMAC_SHA1_32"
	}
	return "no suite"
}

func suiteOf(name string) (Suite, bool) {
	for _, s := range Suites() {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

func (s Suite) profile() srtp.ProtectionProfile {
	switch s {
	case GCM128:
		return srtp.ProtectionProfileAeadAes128Gcm
	case CM32:
		return srtp.ProtectionProfileAes128CmHmacSha1_32
	}
	return srtp.ProtectionProfileAes128CmHmacSha1_80
}

const (
	keySize     = 16 // of all three suites
	saltSize    = 14
	saltSizeGCM = 12
)

func (s Suite) saltSize() int {
	if s == GCM128 {
		return saltSizeGCM
	}
	return saltSize
}

// Key is a master key with its salt. It shows itself to nobody: who needs the bytes is [Crypto.Attribute].
type Key struct {
	suite Suite
	b     [keySize + saltSize]byte // the salt follows the key at once; what is behind it is zero
}

// NewKey makes a key.
func NewKey(s Suite) Key {
	k := Key{suite: s}
	_, _ = rand.Read(k.bytes()) // it does not fail
	return k
}

// keyOf makes a key of its bytes.
func keyOf(s Suite, master, salt []byte) (Key, error) {
	if len(master) != keySize || len(salt) != s.saltSize() {
		return Key{}, fmt.Errorf("key of %v: %d bytes of key and %d of salt, want %d and %d", s, len(master), len(salt), keySize, s.saltSize())
	}
	k := Key{suite: s}
	copy(k.b[:], master)
	copy(k.b[keySize:], salt)
	return k, nil
}

// bytes are key and salt, as SDP has them.
func (k *Key) bytes() []byte { return k.b[:keySize+k.suite.saltSize()] }

func (k *Key) master() []byte { return k.b[:keySize] }

func (k *Key) salt() []byte { return k.bytes()[keySize:] }

// Suite is what the key is for.
func (k Key) Suite() Suite { return k.suite }

// Equal tells whether two keys are the same, in constant time.
func (k Key) Equal(other Key) bool {
	return k.suite == other.suite && subtle.ConstantTimeCompare(k.b[:], other.b[:]) == 1
}

// Wipe overwrites the key.
func (k *Key) Wipe() { clear(k.b[:]) }

func (k *Key) inline() string { return "inline:" + base64.StdEncoding.EncodeToString(k.bytes()) }

// hidden is what a secret shows of itself.
const hidden = "***"

// Format hides the key from every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String hides the key.
func (k Key) String() string { return hidden }

// MarshalText hides the key from JSON and all else that asks for text.
func (k Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the key from slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(hidden) }
