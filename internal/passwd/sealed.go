package passwd

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// SealedPrefix begins a password that a Sealer sealed.
const SealedPrefix = "sealed:"

// ErrSealed is returned for what a Sealer cannot open: it was sealed by another platform or for another number, or changed.
var ErrSealed = errors.New("the sealed password is not this platform's for this number; give the password itself")

// Sealer keeps passwords that must be known again: those we show to others, whose realm nobody knows beforehand, so that no
// digest of them will do. They are encrypted with AES-256-GCM under a key that only the nodes of the cluster have.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns a Sealer for a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("passwd: a key to seal with has 32 bytes, not %d", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("passwd: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("passwd: %w", err)
	}
	return &Sealer{aead}, nil
}

// Seal encrypts a password for an owner, such as tenant and number; it can be opened for no other. Sealing twice gives two
// texts.
func (s *Sealer) Seal(owner, plain string) string {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return SealedPrefix + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, []byte(plain), []byte(owner)))
}

// Open returns the password, or ErrSealed.
func (s *Sealer) Open(owner, sealed string) (string, error) {
	text, ok := strings.CutPrefix(sealed, SealedPrefix)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(b) < s.aead.NonceSize() {
		return "", ErrSealed
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, b[:n], b[n:], []byte(owner))
	if err != nil {
		return "", ErrSealed
	}
	return string(plain), nil
}
