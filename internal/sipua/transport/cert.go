package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Certificates is one certificate and key read from files, and read again when they change. All methods may be
// called at once.
type Certificates struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]

	mu   sync.Mutex // guards seen, and makes reloads take turns
	seen [2]fileMark
}

// fileMark tells one version of a file from another.
type fileMark struct {
	modified time.Time
	size     int64
}

// LoadCertificates reads a PEM chain and its key; the error names the file at fault.
func LoadCertificates(certFile, keyFile string) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again. On an error the certificate in use stays. Connections in place are not touched.
func (c *Certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	marks, err := c.marks()
	if err != nil {
		return err
	}
	return c.loadLocked(marks)
}

// Poll reads the files again if they look changed, and tells whether they were. A version that cannot be used is
// reported once.
func (c *Certificates) Poll() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	marks, err := c.marks()
	if err != nil || marks == c.seen {
		// Half of a replacement may be missing for a moment: the next call sees the whole, or Reload complains.
		return false, nil
	}
	return true, c.loadLocked(marks)
}

func (c *Certificates) marks() (m [2]fileMark, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		st, err := os.Stat(name)
		if err != nil {
			return m, fmt.Errorf("certificate: %w", err)
		}
		m[i] = fileMark{st.ModTime(), st.Size()}
	}
	return m, nil
}

func (c *Certificates) loadLocked(marks [2]fileMark) error {
	c.seen = marks
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return nil
}

// NotAfter is when the certificate in use expires.
func (c *Certificates) NotAfter() time.Time {
	if pair := c.current.Load(); pair != nil && pair.Leaf != nil {
		return pair.Leaf.NotAfter
	}
	return time.Time{}
}

// Config is a server configuration (TLS 1.2 or later) that always serves the certificate in use.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// No NextProtos: a client may offer any, and SIP and HTTP/1.1 are told apart by the port.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}

// selfSignedYears is how long a self-signed certificate is good: longer than the phones that were told to trust it.
const selfSignedYears = 10

// WriteSelfSigned makes an ECDSA P-256 key and a certificate for hosts (names and IP addresses) that proves nothing
// to anybody who has not been told to trust it, and writes them as PEM, the key readable by the owner only. A file
// that exists already is kept, and the error wraps fs.ErrExist.
func WriteSelfSigned(certFile, keyFile string, hosts []string) error {
	certPEM, keyPEM, err := selfSigned(hosts)
	if err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	if _, err := os.Stat(certFile); err == nil {
		return &fs.PathError{Op: "create", Path: certFile, Err: fs.ErrExist}
	}
	if err := writeNew(keyFile, keyPEM, 0o600); err != nil {
		return err
	}
	if err := writeNew(certFile, certPEM, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyFile)) // half a pair is worth nothing
	}
	return nil
}

// writeNew writes a file that must not exist, down to the disk.
func writeNew(name string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func selfSigned(hosts []string) (certPEM, keyPEM []byte, err error) {
	if len(hosts) == 0 {
		return nil, nil, errors.New("no host names given")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: hosts[0], Organization: []string{"Parley self-signed"}},
		NotBefore:             now.Add(-time.Hour), // clocks of phones are not exact
		NotAfter:              now.AddDate(selfSignedYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // so that it can be imported as its own authority
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// LocalHosts lists what a self-signed certificate of this machine should name: the extra ones given (empty strings
// are skipped), the host name, localhost and all local addresses but link-local ones.
func LocalHosts(extra ...string) ([]string, error) {
	hosts := slices.DeleteFunc(slices.Clone(extra), func(h string) bool { return h == "" })
	if name, err := os.Hostname(); err == nil && name != "" {
		hosts = append(hosts, name)
	}
	hosts = append(hosts, "localhost")
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("local addresses: %w", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			hosts = append(hosts, n.IP.String())
		}
	}
	var unique []string
	for _, h := range hosts {
		if !slices.Contains(unique, h) {
			unique = append(unique, h)
		}
	}
	return unique, nil
}
