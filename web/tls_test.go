package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a self-signed one for the loopback address.
func certificate(t *testing.T) (config TLS, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config = TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{config.Cert: {Type: "CERTIFICATE", Bytes: der}, config.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return config, pool
}

func TestPagesOverTLS(t *testing.T) {
	t.Parallel()
	config, pool := certificate(t)
	h := newHouse(t, setUp{config: func(c *Config) { c.TLS = config }})
	h.url = "https://" + h.addr
	v := h.visitor()
	v.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(v.client.CloseIdleConnections)
	a := v.post("/signin", "/signin", "user", "root", "password", testPassword)
	if a.status != http.StatusSeeOther {
		t.Fatalf("sign-in over TLS = %d", a.status)
	}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if !c.Secure || !strings.HasPrefix(c.Name, hostPrefix) || c.Path != "/" || c.Domain != "" {
			t.Errorf("cookie over TLS: %+v, want it Secure and bound to this host", c)
		}
	}
	page := v.get("/")
	if page.status != 200 || page.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("GET / over TLS = %d, Strict-Transport-Security %q", page.status, page.header.Get("Strict-Transport-Security"))
	}
	s := v.listen(t, "topic=overview")
	s.want("a live stream over TLS", part("counts", "Registered numbers"))
}
