package transport

import (
	"crypto/tls"
)

// Certificates is one certificate and key read from files, and read again when they change.
type Certificates struct{}

// LoadCertificates reads a PEM chain and its key; the error names the file.
func LoadCertificates(certFile, keyFile string) (*Certificates, error) {
	panic("transport: being built")
}

// Reload reads the files again. On an error the certificate in use stays. Connections in place are not touched.
func (c *Certificates) Reload() error { panic("transport: being built") }

// Config is a server configuration (TLS 1.2 or later) that always serves the certificate in use.
func (c *Certificates) Config() *tls.Config { panic("transport: being built") }

// WriteSelfSigned makes an ECDSA P-256 key and a certificate for hosts (names and IP addresses), good for ten years
// to ourselves and for nobody else, and writes them: the key with mode 0600. Existing files are kept and an error is returned.
func WriteSelfSigned(certFile, keyFile string, hosts []string) error { panic("transport: being built") }

// LocalHosts lists what a self-signed certificate of this machine should name: localhost, the host name, all local
// addresses, and extra ones given (empty strings are skipped).
func LocalHosts(extra ...string) ([]string, error) { panic("transport: being built") }
