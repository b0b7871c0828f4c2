package node

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"parley/internal/sipua/transport"
)

// certificates returns what tls and wss listeners serve, nil when there are no such listeners. Without one in the
// configuration a self-signed certificate is made once and kept, since phones may be given it.
func (n *Node) certificates() (*transport.Certificates, error) {
	wanted := false
	for _, l := range n.cfg.SIP.Listen {
		wanted = wanted || strings.HasPrefix(l, "tls:") || strings.HasPrefix(l, "wss:")
	}
	if !wanted {
		return nil, nil
	}
	cert, key := n.cfg.SIP.TLS.Cert, n.cfg.SIP.TLS.Key
	if cert == "" {
		cert, key = n.dir.join("tls", "cert.pem"), n.dir.join("tls", "key.pem")
		if err := n.selfSign(cert, key); err != nil {
			return nil, fmt.Errorf("node.data_dir: make a self-signed certificate: %w", err)
		}
		n.selfSigned = cert
	}
	c, err := transport.LoadCertificates(cert, key)
	if err != nil {
		return nil, fmt.Errorf("sip.tls: %w; name a PEM certificate and its key that this account may read", err)
	}
	return c, nil
}

// trunkRoots is what the certificates of trunks are checked by: the authorities of the machine, and those of sip.tls.ca.
func (n *Node) trunkRoots() (*x509.CertPool, error) {
	if n.cfg.SIP.TLS.CA == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("sip.tls.ca: the authorities of the machine: %w", err)
	}
	text, err := os.ReadFile(n.cfg.SIP.TLS.CA)
	if err != nil {
		return nil, fmt.Errorf("sip.tls.ca: %w", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("sip.tls.ca: there is no certificate in %s; want a PEM file", n.cfg.SIP.TLS.CA)
	}
	return pool, nil
}

func (n *Node) selfSign(cert, key string) error {
	if _, err := os.Stat(cert); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err // there is one, from an earlier start
	}
	hosts, err := transport.LocalHosts(n.cfg.SIP.ExternalHost)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(cert), 0o700); err != nil {
		return err
	}
	if err := os.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) { // a key without its certificate: killed in between
		return err
	}
	if err := transport.WriteSelfSigned(cert, key, hosts); err != nil {
		return err
	}
	n.log.Info("self-signed certificate made", slog.String("file", cert), slog.Any("hosts", hosts))
	return nil
}
