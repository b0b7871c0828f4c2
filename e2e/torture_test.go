package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"parley/e2e/phone"
)

// Every message of RFC 4475, over datagrams and over connections, and the node serves phones as before. Which of them
// are accepted and which refused is tested where they are read (internal/sipua/wire).
func TestTortureMessages(t *testing.T) {
	files, err := filepath.Glob("../internal/sipua/wire/testdata/torture/*.dat")
	if err != nil || len(files) < 49 {
		t.Fatalf("%d torture messages, want 49: %v", len(files), err)
	}
	p := start(t, "tortured", patient)
	secret := p.printedPassword("1001")
	for _, transport := range []string{"udp", "tcp", "ws"} {
		for _, f := range files {
			msg, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			l := dial(t, p, transport)
			_ = l.Write(msg) // the other side may hang up while we write
			l.Close()
		}
		ph := phone.Phone{Line: dial(t, p, transport), User: "1001", Password: secret, Domain: "demo.local"}
		if res, err := ph.Register(300); err != nil || res.Status != 200 {
			t.Errorf("REGISTER over %s after the torture: %+v %v", transport, res, err)
		}
	}
	s, err := p.askStatus()
	if err != nil || s.Level.String() != "pass" {
		t.Errorf("status after the torture: %v %v", s.Level, err)
	}
}
