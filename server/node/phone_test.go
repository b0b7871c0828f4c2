package node_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/phone"
	"parley/internal/contract"
	"parley/server/control"
	"parley/server/settings"
)

// address is where a service is reached with a scheme, as host:port.
func (p *platform) address(service, scheme string) string {
	p.t.Helper()
	for _, s := range p.status.Services {
		for _, a := range s.Address {
			if rest, ok := strings.CutPrefix(a, scheme+"://"); ok && s.Name == service {
				return strings.TrimSuffix(rest, "/")
			}
		}
	}
	p.t.Fatalf("%s has no %s address: %+v", service, scheme, p.status.Services)
	return ""
}

// register registers an account of the first start, or takes its registration back with expires 0.
func (p *platform) register(transport, number string, expires int) {
	p.t.Helper()
	pem, err := os.ReadFile(filepath.Join(p.cfg.Node.DataDir, "tls", "cert.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	line, err := phone.Dial(p.t.Context(), transport, p.address(settings.SIPProxy, transport), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		p.t.Fatalf("dial %s: %v", transport, err)
	}
	p.t.Cleanup(func() { line.Close() })
	ph := phone.Phone{Line: line, User: number, Password: password(p.t, p.accounts(), number), Domain: "demo.local"}
	res, err := ph.Register(expires)
	if err != nil || res.Status != 200 {
		p.t.Fatalf("REGISTER of %s over %s: %+v %v\n%s", number, transport, res, err, p.stderr)
	}
}

// report asks the node for its status over its control socket.
func (p *platform) report() contract.StatusReport {
	p.t.Helper()
	c, err := control.NewLocal(p.cfg.Node.DataDir).Cluster(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return c.Nodes[0]
}

// await polls until ok says nil.
func await(t *testing.T, ok func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// awaitContacts waits until the platform counts n contacts.
func (p *platform) awaitContacts(n int) {
	p.t.Helper()
	await(p.t, func() error {
		if r := p.report(); r.Contacts != n {
			return fmt.Errorf("%d contacts, want %d", r.Contacts, n)
		}
		return nil
	})
}

// accounts is the node whose first start made the accounts: p itself, or another one of its cluster.
func (p *platform) accounts() *platform {
	if p.stdoutOf != nil {
		return p.stdoutOf
	}
	return p
}
