package panel_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/server/panel"
)

func draw(t *testing.T, p panel.Panel) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	width := 0
	for _, line := range strings.Split(strings.Trim(b.String(), "\n"), "\n") {
		w := utf8.RuneCountInString(line)
		if width == 0 {
			width = w
		}
		if w != width || w > 100 {
			t.Errorf("a line of %d columns in a box of %d: %s", w, width, line)
		}
	}
	return b.String()
}

var base = panel.Panel{
	Node: "edge-1", Version: "v1.2.3", Pages: "http://127.0.0.1:8080", DataDir: "/var/lib/parley",
	SIP: []string{"udp://192.0.2.7:5060", "tls://192.0.2.7:5061"}, Certificate: "/var/lib/parley/tls/cert.pem",
}

func TestFirstStartShowsEverythingOnce(t *testing.T) {
	p := base
	p.Accounts = &panel.Accounts{Domain: "demo.local", Admin: panel.Account{Name: "admin", Password: "a-password-of-the-admin"}}
	for _, n := range []string{"1001", "1002", "1003"} {
		p.Accounts.Extensions = append(p.Accounts.Extensions, panel.Account{Name: n, Password: "secret-of-" + n})
	}
	out := draw(t, p)
	for _, want := range []string{
		"edge-1", "v1.2.3", "http://127.0.0.1:8080", "udp://192.0.2.7:5060", "tls://192.0.2.7:5061", "tls/cert.pem", "demo.local",
		"admin   a-password-of-the-admin", "1001   secret-of-1001", "1002   secret-of-1002", "1003   secret-of-1003", "192.0.2.7:5060  (",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the panel lacks %q:\n%s", want, out)
		}
	}
}

func TestLaterStartsShowNoSecrets(t *testing.T) {
	out := draw(t, base)
	if strings.Contains(strings.ToLower(out), "password") || !strings.Contains(out, "http://127.0.0.1:8080") {
		t.Errorf("the panel of a later start:\n%s", out)
	}
}

func TestPanelSaysWhoIsNotReady(t *testing.T) {
	p := base
	p.Waiting = "registrar, web"
	if out := draw(t, p); !strings.Contains(out, "not ready: registrar, web") {
		t.Errorf("the panel of a node that waits:\n%s", out)
	}
}
