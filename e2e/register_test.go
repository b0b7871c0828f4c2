package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/e2e/peer"
	"parley/e2e/phone"
)

// The accounts printed by the first start register with the softphones that the README names, over every transport
// those have. The certificate made at the first start is checked, not waved through.
func TestSoftphonesRegisterWithPrintedAccounts(t *testing.T) {
	p := start(t, "first", "")
	ca := filepath.Join(p.dir, "data", "tls", "cert.pem")
	n := 0
	for i, transport := range []string{"udp", "tcp", "tls"} {
		for j, phone := range []struct {
			name       string
			start      func(testing.TB, peer.Account) *peer.Process
			registered func(*peer.Process)
		}{
			{"baresip", peer.Baresip, peer.BaresipRegistered},
			{"linphone", peer.Linphone, peer.LinphoneRegistered},
		} {
			number := []string{"1001", "1002", "1003", "1004", "1005", "1006"}[2*i+j]
			n++
			if !t.Run(phone.name+"/"+transport, func(t *testing.T) {
				a := peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local",
					Transport: transport, Server: p.sip(transport), CA: ca}
				phone.registered(phone.start(p.t, a)) // p.t: the phones stay for the count below
			}) {
				return
			}
		}
	}
	p.awaitContacts(n)
	for _, transport := range []string{"ws", "wss"} {
		for _, sha256 := range []bool{false, true} {
			browser := dial(t, p, transport)
			ph := phone.Phone{Line: browser, User: "1007", Password: p.printedPassword("1007"), Domain: "demo.local", SHA256: sha256}
			res, err := ph.Register(300)
			if err != nil || res.Status != 200 {
				t.Fatalf("REGISTER over %s, SHA-256 %v: %+v %v", transport, sha256, res, err)
			}
		}
	}
}

// A phone whose connection ends is out of service at once, not when its registration would expire.
func TestLostConnectionEndsItsBindings(t *testing.T) {
	p := start(t, "lost", "")
	line := dial(t, p, "wss")
	ph := phone.Phone{Line: line, User: "1001", Password: p.printedPassword("1001"), Domain: "demo.local"}
	if res, err := ph.Register(3600); err != nil || res.Status != 200 {
		t.Fatalf("REGISTER: %+v %v", res, err)
	}
	p.awaitContacts(1)
	line.Close()
	p.awaitContacts(0)
}

// What a phone may read in the answers to its REGISTERs.
func TestRegisterAnswers(t *testing.T) {
	p := start(t, "answers", "")
	ph := phone.Phone{Line: dial(t, p, "udp"), User: "1001", Password: p.printedPassword("1001"), Domain: "demo.local"}
	res, err := ph.Register(1)
	if err != nil || res.Status != 423 || res.Get("min-expires") == "" {
		t.Errorf("expires=1: %+v %v, want 423 with Min-Expires", res, err)
	}
	res, err = ph.Register(600)
	if err != nil || res.Status != 200 || !strings.Contains(res.Get("contact"), "expires=") {
		t.Errorf("expires=600: %+v %v, want 200 with Contact and expires", res, err)
	}
	if via := res.Get("via"); !strings.Contains(via, "received=127.0.0.1") || strings.Contains(via, "rport;") {
		t.Errorf("Via %q, want received and rport filled in (RFC 3581)", via)
	}
	if res, err = ph.Register(0); err != nil || res.Status != 200 || res.Get("contact") != "" {
		t.Errorf("expires=0: %+v %v, want 200 without Contact", res, err)
	}
}

// kill -9 loses neither registrations nor configuration.
func TestKillAndRestart(t *testing.T) {
	p := start(t, "killed", "")
	password := p.printedPassword("1002")
	for range 3 {
		ph := phone.Phone{Line: dial(t, p, "udp"), User: "1002", Password: password, Domain: "demo.local"}
		if res, err := ph.Register(3600); err != nil || res.Status != 200 {
			t.Fatalf("REGISTER: %+v %v", res, err)
		}
	}
	if out, code := p.cli("apply", "-f", provision(t, `tenants: [{name: demo, dns: [{number: "1099", type: extension, password: kill-minus-nine}]}]`)); code != 0 {
		t.Fatalf("apply: %s", out)
	}
	p.proc.Kill()
	p.run()
	p.awaitContacts(3)
	for user, secret := range map[string]string{"1002": password, "1099": "kill-minus-nine"} {
		ph := phone.Phone{Line: dial(t, p, "udp"), User: user, Password: secret, Domain: "demo.local"}
		if res, err := ph.Register(3600); err != nil || res.Status != 200 {
			t.Errorf("REGISTER of %s after the restart: %+v %v", user, res, err)
		}
	}
}

// dial opens a line to the node, trusting its own certificate where there is TLS.
func dial(t testing.TB, p *platform, transport string) phone.Line {
	t.Helper()
	l, err := phone.Dial(t.Context(), transport, p.sip(transport), p.trust())
	if err != nil {
		t.Fatalf("dial %s: %v", transport, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// trust is a TLS configuration that accepts the certificate of the node's first start and nothing else.
func (p *platform) trust() *tls.Config {
	p.t.Helper()
	pem, err := os.ReadFile(filepath.Join(p.dir, "data", "tls", "cert.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

func provision(t testing.TB, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "provision.yaml")
	writeFile(t, path, yaml)
	return path
}
