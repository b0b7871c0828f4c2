package secure

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrUnsupported is a crypto attribute that asks for what we do not have. Another one of the same offer may do.
var ErrUnsupported = errors.New("not supported")

// errCrypto is an attribute that is no crypto attribute.
var errCrypto = errors.New("not as RFC 4568 has it")

// Limits of RFC 4568 §9.2.
const (
	maxTag       = 999999999
	maxMKILength = 128
	maxAttribute = 1024 // bytes; a line with one key has about 80
)

// Crypto is one a=crypto attribute (RFC 4568 §9.1): the key that its sender will use, for one suite.
type Crypto struct {
	Tag   int // by which an answer names the line of the offer that it takes
	Suite Suite
	Key   Key
	mki   string // bytes that every packet with this key carries (RFC 3711 §3.1), or ""
}

// NewCrypto is a line of ours, with a new key.
func NewCrypto(tag int, s Suite) Crypto { return Crypto{Tag: tag, Suite: s, Key: NewKey(s)} }

// Offer is a line for each suite, best first, each with a key of its own.
func Offer() []Crypto {
	var lines []Crypto
	for i, s := range Suites() {
		lines = append(lines, NewCrypto(i+1, s))
	}
	return lines
}

// Choose returns the first attribute of an offer that we can use, and our answer to it. The values are those behind
// "a=crypto:", in their order; those that we cannot use are passed over, as RFC 4568 §5.1.2 says. The error tells what
// was wrong with each, without any key.
func Choose(values []string) (remote, answer Crypto, err error) {
	var errs []error
	for _, v := range values {
		c, err := ParseCrypto(v)
		if err == nil {
			return c, NewCrypto(c.Tag, c.Suite), nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return Crypto{}, Crypto{}, fmt.Errorf("no a=crypto: %w", ErrUnsupported)
	}
	return Crypto{}, Crypto{}, errors.Join(errs...)
}

// Accept finds which line of our offer an answer took. The answer has the peer's own key (RFC 4568 §5.1.3).
func Accept(offer []Crypto, value string) (local, remote Crypto, err error) {
	if remote, err = ParseCrypto(value); err != nil {
		return Crypto{}, Crypto{}, err
	}
	for _, local := range offer {
		if local.Tag == remote.Tag && local.Suite == remote.Suite {
			return local, remote, nil
		}
	}
	return Crypto{}, Crypto{}, fmt.Errorf("a=crypto:%d %v answers no line that was offered: %w", remote.Tag, remote.Suite, errCrypto)
}

// ParseCrypto reads what stands behind "a=crypto:". An error never has the key in it.
func ParseCrypto(value string) (Crypto, error) {
	if len(value) > maxAttribute {
		return Crypto{}, fmt.Errorf("a=crypto of %d bytes: %w", len(value), errCrypto)
	}
	fields := strings.Fields(value)
	if len(fields) < 3 {
		return Crypto{}, fmt.Errorf("a=crypto without tag, suite and key: %w", errCrypto)
	}
	tag, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || tag > maxTag {
		return Crypto{}, fmt.Errorf("a=crypto whose tag is no number of nine digits: %w", errCrypto)
	}
	s, ok := suiteOf(fields[1])
	if !ok {
		return Crypto{}, fmt.Errorf("a=crypto:%d with suite %.40q: %w", tag, fields[1], ErrUnsupported)
	}
	c := Crypto{Tag: int(tag), Suite: s}
	if err := c.readKey(fields[2]); err != nil {
		return Crypto{}, fmt.Errorf("a=crypto:%d %v: %w", tag, s, err)
	}
	for _, p := range fields[3:] {
		if err := checkParameter(p); err != nil {
			return Crypto{}, fmt.Errorf("a=crypto:%d %v: %w", tag, s, err)
		}
	}
	return c, nil
}

// readKey reads "inline:" key||salt ["|" lifetime] ["|" MKI ":" length]. The lifetime is that of the sender's key; we do
// not hold it to it.
func (c *Crypto) readKey(params string) error {
	if strings.Contains(params, ";") {
		return fmt.Errorf("several master keys: %w", ErrUnsupported)
	}
	method, info, _ := strings.Cut(params, ":")
	if !strings.EqualFold(method, "inline") {
		return fmt.Errorf("a key that is not inline: %w", ErrUnsupported)
	}
	encoded, rest, _ := strings.Cut(info, "|")
	secret, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil || len(secret) != keySize+c.Suite.saltSize() {
		return fmt.Errorf("the key is not %d bytes in base64: %w", keySize+c.Suite.saltSize(), errCrypto)
	}
	defer clear(secret)
	if c.Key, err = keyOf(c.Suite, secret[:keySize], secret[keySize:]); err != nil {
		return err
	}
	for part := range strings.SplitSeq(rest, "|") {
		if number, length, ok := strings.Cut(part, ":"); ok {
			if c.mki, err = readMKI(number, length); err != nil {
				return err
			}
		} else if part != "" && !isLifetime(part) {
			return fmt.Errorf("a lifetime that is no number of packets: %w", errCrypto)
		}
	}
	return nil
}

// readMKI makes the bytes of a master key identifier: a number, in so many bytes (RFC 4568 §6.1).
func readMKI(number, length string) (string, error) {
	n, err := strconv.ParseUint(length, 10, 8)
	if err != nil || n < 1 || n > maxMKILength {
		return "", fmt.Errorf("an MKI that is not 1 to %d bytes long: %w", maxMKILength, errCrypto)
	}
	v, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n < 8 && v>>(8*n) != 0 {
		return "", fmt.Errorf("an MKI that is no number of %d bytes: %w", n, errCrypto)
	}
	mki := make([]byte, n)
	for i := range min(8, int(n)) {
		mki[int(n)-1-i] = byte(v >> (8 * i))
	}
	return string(mki), nil
}

// isLifetime tells whether s is a number, or a power of two as in "2^31".
func isLifetime(s string) bool {
	_, err := strconv.ParseUint(strings.TrimPrefix(s, "2^"), 10, 64)
	return err == nil
}

// checkParameter tells whether a session parameter can be lived with (RFC 4568 §6.3). A window for replays (WSH) is a
// hint to the receiver, and one that begins with "-" may be ignored. All others change the packets.
func checkParameter(p string) error {
	name, _, _ := strings.Cut(p, "=")
	if strings.HasPrefix(p, "-") || name == "WSH" {
		return nil
	}
	return fmt.Errorf("session parameter %.40q: %w", name, ErrUnsupported)
}

// Attribute is what stands behind "a=crypto:", with the key: for SDP and nothing else.
func (c Crypto) Attribute() string {
	return strconv.Itoa(c.Tag) + " " + c.Suite.String() + " " + c.Key.inline()
}

// String is the attribute without its key.
func (c Crypto) String() string { return strconv.Itoa(c.Tag) + " " + c.Suite.String() + " " + hidden }

// Format hides the key from every verb.
func (c Crypto) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// same tells whether packets under c and other are written with the same key in the same way.
func (c Crypto) same(other Crypto) bool { return c.Key.Equal(other.Key) && c.mki == other.mki }
