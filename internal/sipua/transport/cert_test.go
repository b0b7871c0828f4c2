package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// serial connects and tells which certificate it was shown.
func serial(t *testing.T, s *Set) string {
	t.Helper()
	c := tls.Client(dialTCP(t, at(t, s, TLS)), insecure())
	roundTrip(t, c, request(1, 0))
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestCertificateReload(t *testing.T) {
	certs, certFile, keyFile := certificate(t)
	o := echoOptions("tls://127.0.0.1:0")
	o.Certificates = certs
	s := start(t, o)
	before := serial(t, s)
	old := tls.Client(dialTCP(t, at(t, s, TLS)), insecure())
	roundTrip(t, old, request(1, 0))

	if err := os.WriteFile(certFile, []byte("half a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	if changed, err := certs.Poll(); !changed || err == nil {
		t.Errorf("Poll of a broken file = %t, %v", changed, err)
	}
	if changed, err := certs.Poll(); changed || err != nil {
		t.Errorf("second Poll of the same broken file = %t, %v, want silence", changed, err)
	}
	if got := serial(t, s); got != before {
		t.Errorf("with a broken file certificate %s is served, want %s still", got, before)
	}

	os.Remove(certFile)
	os.Remove(keyFile)
	if err := certs.Reload(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Reload without files = %v", err)
	}
	if err := WriteSelfSigned(certFile, keyFile, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	s.renewCertificates() // what the sweep does every few seconds
	if got := serial(t, s); got == before {
		t.Error("the old certificate is still served")
	}
	roundTrip(t, old, request(2, 0)) // the connection from before goes on
}

func TestSelfSignedCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	hosts, err := LocalHosts("pbx.example.com", "", "192.0.2.7", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pbx.example.com", "192.0.2.7", "localhost", "127.0.0.1"} {
		if !slices.Contains(hosts, want) {
			t.Errorf("LocalHosts = %v, misses %s", hosts, want)
		}
	}
	if err := WriteSelfSigned(certFile, keyFile, hosts); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(keyFile); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v, want mode 0600", st.Mode(), err)
	}
	certs, err := LoadCertificates(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	leaf := certs.current.Load().Leaf
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	for _, h := range []string{"pbx.example.com", "192.0.2.7", "localhost", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: h}); err != nil {
			t.Errorf("for %s: %v", h, err)
		}
	}
	if left := time.Until(certs.NotAfter()); left < 9*365*24*time.Hour {
		t.Errorf("good for %s", left)
	}
	if err := WriteSelfSigned(certFile, keyFile, hosts); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing over it = %v, want fs.ErrExist", err)
	}
	os.Remove(keyFile)
	if err := WriteSelfSigned(certFile, keyFile, hosts); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing over the certificate alone = %v, want fs.ErrExist", err)
	}
	if _, err := os.Stat(keyFile); err == nil {
		t.Error("a key was left that belongs to no certificate")
	}
	if err := WriteSelfSigned(filepath.Join(dir, "x"), filepath.Join(dir, "y"), nil); err == nil {
		t.Error("a certificate for nobody was written")
	}
	if c, err := LoadCertificates(certFile, keyFile); err == nil || c != nil {
		t.Errorf("LoadCertificates without a key = %v, %v", c, err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	certs, _, _ := certificate(t)
	o := echoOptions("tls://127.0.0.1:0")
	o.Certificates = certs
	s := start(t, o)
	old := insecure()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(dialTCP(t, at(t, s, TLS)), old).Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}
