package secure

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzHandle gives a guard whatever may come on its port. It answers nothing but checks that know the password, begins no
// more handshakes than it may, and never has keys.
func FuzzHandle(f *testing.F) {
	ours, theirs := identities(f)
	mine, yours := Credentials{"ours", "0123456789012345678901"}, Credentials{"their", "0123456789012345678901"}
	f.Add(unhex(f, sampleRequest), false)
	f.Add(ask(f, mine, yours, controlling, nominating), true)
	f.Add(clientHello(f), false)
	f.Add(clientHello(f), true)
	f.Add([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, ice bool) {
		terms := Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}}
		if ice {
			terms.Local, terms.Remote = mine, yours
		}
		d, err := NewDTLS(ours, terms, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(b)
		answered := 0
		for range 2 { // what comes twice is no other matter
			d.Handle(b, peerAddr, func(out []byte, to netip.AddrPort) {
				if len(out) > 0 && out[0] <= lastSTUN {
					answered++
				}
			})
		}
		m := &stun.Message{Raw: bytes.Clone(b)}
		knows := ice && m.Decode() == nil && stun.NewShortTermIntegrity(mine.pwd).Check(m) == nil
		if answered > 0 && !knows {
			t.Errorf("%x was answered", b)
		}
		if !bytes.Equal(b, before) {
			t.Error("the datagram was written to")
		}
		d.mu.Lock()
		shakes := len(d.audio.shakes)
		d.mu.Unlock()
		if shakes > 1 || shakes == 1 && (ice || !isClientHello(b)) {
			t.Errorf("%d handshakes for %x", shakes, b)
		}
		if _, err := d.Protect(nil, make([]byte, 20), false); err == nil {
			t.Error("keys out of nothing")
		}
		d.Close()
		d.running.Wait()
	})
}

// FuzzCheck reads STUN beside another implementation: what we take for a good check, it does too.
func FuzzCheck(f *testing.F) {
	local, remote := Credentials{"evtj", samplePassword}, Credentials{Ufrag: "h6vY"}
	f.Add(unhex(f, sampleRequest))
	f.Add(ask(f, local, remote, controlling, nominating, priority(7)))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := newAgent(local, remote)
		defer a.close()
		var c check
		if !c.read(b) || !c.genuine(a.mac) {
			return
		}
		m := &stun.Message{Raw: bytes.Clone(b)}
		if err := m.Decode(); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if err := stun.NewShortTermIntegrity(samplePassword).Check(m); err != nil {
			t.Errorf("%x: %v", b, err)
		}
		if err := stun.Fingerprint.Check(m); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	})
}

// FuzzUnprotect gives a guard packets that are not the peer's.
func FuzzUnprotect(f *testing.F) {
	a, b := pairOf(f, CM80)
	sent, err := a.Protect(nil, packetOf(f, 7, 1, 20), false)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sent[:len(sent)-1], false)
	f.Add(reports(f, 7), true)
	f.Add(bytes.Repeat([]byte{0xBE, 0xDE}, 40), false)
	f.Fuzz(func(t *testing.T, p []byte, rtcp bool) {
		if bytes.Equal(p, sent) {
			return
		}
		if out, err := b.Unprotect([]byte("x"), p, rtcp); err == nil || string(out) != "x" {
			t.Errorf("%x is %x (%v)", p, out, err)
		}
		if n := len(b.session.in.sources); n != 0 {
			t.Errorf("%d sources", n)
		}
	})
}
