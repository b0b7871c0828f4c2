package passwd

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Cost of a new hash: the first choice of OWASP for argon2id with little memory.
const (
	MemoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1

	saltBytes = 16
	keyBytes  = 32
)

// Bounds of a hash that comes from outside (a provisioning file), so that verifying it cannot exhaust the node.
const (
	maxMemoryKiB = 128 * 1024
	maxPasses    = 16
	maxLanes     = 8
)

// Length of a person's password in characters. There are no rules about kinds of characters (NIST SP 800-63B §3.1.1).
const (
	MinLength = 8
	MaxLength = 256
)

// ErrFormat says that a string is not an argon2id hash in PHC form with an acceptable cost.
var ErrFormat = errors.New("not an argon2id hash in PHC form")

// CheckPolicy tells why plain may not be the password of user, as the end of a sentence, or "".
func CheckPolicy(user, plain string) string {
	n := utf8.RuneCountInString(plain)
	switch {
	case plain == "":
		return "must not be empty"
	case !utf8.ValidString(plain):
		return "must be valid UTF-8"
	case n < MinLength:
		return fmt.Sprintf("must have at least %d characters", MinLength)
	case n > MaxLength:
		return fmt.Sprintf("must have at most %d characters", MaxLength)
	case strings.EqualFold(plain, user):
		return "must not be the user name"
	case strings.Count(plain, plain[:1]) == len(plain):
		return "must not be one character repeated"
	}
	return ""
}

// Hash returns the argon2id hash of plain with a fresh salt, in PHC form.
func Hash(plain string) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails (Go 1.24)
	return encode(params{MemoryKiB, passes, lanes, salt, derive(plain, params{MemoryKiB, passes, lanes, salt, nil}, keyBytes)})
}

// Verify tells whether phc was made from plain. The error is ErrFormat.
func Verify(phc, plain string) (bool, error) {
	p, err := decode(phc)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(derive(plain, p, len(p.key)), p.key) == 1, nil
}

// Check tells whether phc could be verified, without doing it.
func Check(phc string) error {
	_, err := decode(phc)
	return err
}

// Decoy does the work of a Verify that fails, so that an unknown user takes as long as a known one.
func Decoy(plain string) {
	derive(plain, params{MemoryKiB, passes, lanes, make([]byte, saltBytes), nil}, keyBytes)
}

type params struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func derive(plain string, p params, size int) []byte {
	return argon2.IDKey([]byte(plain), p.salt, p.passes, p.memory, p.lanes, uint32(size))
}

var b64 = base64.RawStdEncoding.Strict()

func encode(p params) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes, b64.EncodeToString(p.salt), b64.EncodeToString(p.key))
}

func decode(phc string) (params, error) {
	var p params
	part := strings.Split(phc, "$")
	if len(phc) > 512 || len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, ErrFormat
	}
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return p, fmt.Errorf("%w: cost: %w", ErrFormat, err)
	}
	if p.lanes < 1 || p.lanes > maxLanes || p.passes < 1 || p.passes > maxPasses || p.memory < 8*uint32(p.lanes) || p.memory > maxMemoryKiB {
		return p, fmt.Errorf("%w: cost out of bounds", ErrFormat)
	}
	var err, err2 error
	p.salt, err = b64.DecodeString(part[4])
	p.key, err2 = b64.DecodeString(part[5])
	if err != nil || err2 != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.key) < 16 || len(p.key) > 64 {
		return p, fmt.Errorf("%w: salt or key", ErrFormat)
	}
	if encode(p) != phc {
		return p, fmt.Errorf("%w: not in canonical form", ErrFormat)
	}
	return p, nil
}
