package secure

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha256" // for the fingerprints of peers
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/pion/logging"
)

// maxHandshakes is how many of them a process has under way at a time. Beyond it the first message of a peer is dropped,
// and comes again.
const maxHandshakes = 256

// Identity is who a process is in DTLS: a key and a certificate that nobody signed, since what proves it is its
// fingerprint in SDP (RFC 5763 §5). One serves all calls of a process, and lives as long as that does.
type Identity struct {
	certificate tls.Certificate
	fingerprint Fingerprint
	slots       chan struct{} // one for each handshake under way
	quiet       logging.LoggerFactory
}

// NewIdentity makes a key and a certificate.
func NewIdentity() (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for DTLS: %w", err)
	}
	const serialBits, years = 64, 10
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("make a certificate for DTLS: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "voice"}, // says nothing about the house
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(years, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for DTLS: %w", err)
	}
	return &Identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: fingerprintOf(crypto.SHA256, der), slots: make(chan struct{}, maxHandshakes),
		quiet: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}, // a stranger could fill a log
	}, nil
}

// Fingerprint is for a=fingerprint.
func (i *Identity) Fingerprint() Fingerprint { return i.fingerprint }

// Fingerprint is a hash of a certificate (RFC 8122 §5).
type Fingerprint struct {
	hash crypto.Hash
	sum  string // bytes
}

// hashName is a hash's name in SDP, "" for one that is not strong enough.
func hashName(h crypto.Hash) string {
	switch h {
	case crypto.SHA256:
		return "sha-256"
	case crypto.SHA384:
		return "sha-384"
	case crypto.SHA512:
		return "sha-512"
	}
	return ""
}

func hashOf(name string) (crypto.Hash, bool) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if strings.EqualFold(hashName(h), name) {
			return h, true
		}
	}
	return 0, false
}

func fingerprintOf(h crypto.Hash, certificate []byte) Fingerprint {
	w := h.New()
	_, _ = w.Write(certificate) // a hash takes everything
	return Fingerprint{h, string(w.Sum(nil))}
}

// ParseFingerprint reads what stands behind "a=fingerprint:".
func ParseFingerprint(value string) (Fingerprint, error) {
	name, digits, _ := strings.Cut(strings.TrimSpace(value), " ")
	h, ok := hashOf(name)
	if !ok {
		return Fingerprint{}, fmt.Errorf("a=fingerprint with hash %.20q: %w", name, ErrUnsupported)
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), ":", ""))
	if err != nil || len(sum) != h.Size() {
		return Fingerprint{}, fmt.Errorf("a=fingerprint:%s is not %d bytes in hexadecimal", name, h.Size())
	}
	return Fingerprint{h, string(sum)}, nil
}

// String is what stands behind "a=fingerprint:". It is no secret.
func (f Fingerprint) String() string {
	var b strings.Builder
	b.WriteString(hashName(f.hash))
	for i := range len(f.sum) {
		separator := ":"
		if i == 0 {
			separator = " "
		}
		fmt.Fprintf(&b, "%s%02X", separator, f.sum[i])
	}
	return b.String()
}

// ErrStranger is a peer whose certificate is not the one that its SDP announced.
var ErrStranger = errors.New("the certificate is not that of the SDP")

// verify tells whether a certificate is one that was announced.
func verify(announced []Fingerprint, certificates [][]byte) error {
	if len(certificates) == 0 {
		return fmt.Errorf("no certificate: %w", ErrStranger)
	}
	for _, f := range announced {
		if fingerprintOf(f.hash, certificates[0]) == f {
			return nil
		}
	}
	return ErrStranger
}
