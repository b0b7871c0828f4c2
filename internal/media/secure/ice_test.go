package secure

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v3"
)

// The sample request of RFC 5769 §2.1, whose password is known.
const (
	sampleRequest = `000100582112a442b7e7a701bc34d686fa87dfae 802200105354554e207465737420636c69656e74 002400046e0001ff
		80290008932ff9b151263b36 000600096576746a3a68367659202020 000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004e57a3bcf`
	samplePassword = "VOkJxbRl1RmTxUk/WvJxBt"
)

var peerAddr = netip.MustParseAddrPort("192.0.2.1:32853")

// ask builds a check with another implementation.
func ask(t testing.TB, local, remote Credentials, more ...stun.Setter) []byte {
	t.Helper()
	setters := append([]stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername(local.Ufrag + ":" + remote.Ufrag)}, more...)
	setters = append(setters, stun.NewShortTermIntegrity(local.pwd), stun.Fingerprint)
	m, err := stun.Build(setters...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// raw is an attribute.
func raw(kind stun.AttrType, value ...byte) stun.Setter {
	return stun.RawAttribute{Type: kind, Value: value}
}

var (
	controlling = raw(stun.AttrICEControlling, 1, 2, 3, 4, 5, 6, 7, 8)
	nominating  = raw(stun.AttrUseCandidate)
)

func priority(p uint32) stun.Setter {
	return raw(stun.AttrPriority, byte(p>>24), byte(p>>16), byte(p>>8), byte(p))
}

// answers sends a datagram to an agent and returns what came back.
func answers(a *agent, b []byte, from netip.AddrPort) (out []*stun.Message, good bool) {
	good = a.handle(b, from, func(b []byte, to netip.AddrPort) {
		m := &stun.Message{Raw: bytes.Clone(b)}
		if err := m.Decode(); err != nil || to != from {
			panic(fmt.Sprint(err, to))
		}
		out = append(out, m)
	})
	return out, good
}

func TestCheckOfRFC5769(t *testing.T) {
	a := newAgent(Credentials{"evtj", samplePassword}, Credentials{"h6vY", ""})
	defer a.close()
	var c check
	b := unhex(t, sampleRequest)
	if !c.read(b) || string(c.username) != "evtj:h6vY" || c.priority != 0x6e0001ff || !c.controlled || c.nominates || !c.genuine(a.mac) {
		t.Fatalf("read as %+v", c)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if c.read(bad) && c.genuine(a.mac) {
			t.Errorf("taken with byte %d changed", i)
		}
	}
	out, good := answers(a, b, peerAddr) // it says that it is controlled, as we are
	var code stun.ErrorCodeAttribute
	if len(out) != 1 || good || out[0].Type != stun.BindingError || code.GetFrom(out[0]) != nil || code.Code != stun.CodeRoleConflict {
		t.Errorf("answered %v", out)
	}
}

func TestChecksAreAnswered(t *testing.T) {
	ours, theirs := NewCredentials(), NewCredentials()
	a := newAgent(ours, theirs)
	defer a.close()
	for _, from := range []netip.AddrPort{peerAddr, netip.MustParseAddrPort("[2001:db8::7]:32853")} {
		out, good := answers(a, ask(t, ours, theirs, controlling, priority(5)), from)
		if len(out) != 1 || !good {
			t.Fatalf("%d answers, good: %v", len(out), good)
		}
		var mapped stun.XORMappedAddress
		if err := errors.Join(mapped.GetFrom(out[0]), stun.NewShortTermIntegrity(ours.pwd).Check(out[0]), stun.Fingerprint.Check(out[0])); err != nil {
			t.Error(err)
		}
		if at, _ := netip.AddrFromSlice(mapped.IP); out[0].Type != stun.BindingSuccess || netip.AddrPortFrom(at.Unmap(), uint16(mapped.Port)) != from {
			t.Errorf("%v says %v, want %v", out[0].Type, mapped, from)
		}
		if !a.admits(from) {
			t.Errorf("%v is not admitted", from)
		}
	}
	if to, _ := a.peer(); to.IsValid() {
		t.Errorf("%v is nominated, without a word", to)
	}
	out, good := answers(a, ask(t, ours, theirs, controlling, raw(0x0033, 1), raw(0x7001, 1, 2)), peerAddr)
	var code stun.ErrorCodeAttribute
	var unknown stun.UnknownAttributes
	if len(out) != 1 || good || code.GetFrom(out[0]) != nil || code.Code != stun.CodeUnknownAttribute || unknown.GetFrom(out[0]) != nil || len(unknown) != 2 {
		t.Errorf("attributes that must be known: %v %v", out, unknown)
	}
}

// Who does not know the credentials is not answered, whatever he sends.
func TestStrangersAreNotAnswered(t *testing.T) {
	ours, theirs := NewCredentials(), NewCredentials()
	a := newAgent(ours, theirs)
	defer a.close()
	good := ask(t, ours, theirs, controlling, nominating)
	noPrint, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ours.Ufrag+":"+theirs.Ufrag), stun.NewShortTermIntegrity(ours.pwd))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ours.Ufrag+":"+theirs.Ufrag), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	response, err := stun.Build(stun.BindingSuccess, stun.TransactionID, stun.NewUsername(ours.Ufrag+":"+theirs.Ufrag), stun.NewShortTermIntegrity(ours.pwd), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"another password": ask(t, Credentials{ours.Ufrag, theirs.pwd}, theirs), "another name": ask(t, Credentials{theirs.Ufrag, ours.pwd}, theirs),
		"of another call": ask(t, ours, Credentials{Ufrag: "other"}), "no fingerprint": noPrint.Raw, "no integrity": plain.Raw, "an answer": response.Raw,
		"cut": good[:len(good)-4], "longer": append(bytes.Clone(good), 0, 0, 0, 0), "empty": {}, "short": {0, 1}, "huge": bytes.Repeat(good, 50),
	} {
		if out, good := answers(a, b, peerAddr); len(out) != 0 || good {
			t.Errorf("%s: answered %v", name, out)
		}
	}
	if a.admits(peerAddr) {
		t.Error("a stranger is admitted")
	}
}

// The pair of the highest priority that is being nominated is the one; a peer that moves is followed when it has stopped to
// nominate where it was.
func TestNomination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := NewCredentials(), NewCredentials()
		a := newAgent(ours, theirs)
		defer a.close()
		at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(peerAddr.Addr(), port) }
		for i, step := range []struct {
			after    time.Duration
			from     uint16
			priority uint32
			nominate bool
			want     uint16 // port of the nominated pair, 0: none
		}{
			{0, 1, 9, false, 0}, {0, 2, 5, true, 2}, {0, 3, 4, true, 2}, {0, 1, 9, true, 1}, {0, 2, 5, true, 1},
			{3 * time.Second, 1, 9, true, 1}, {3 * time.Second, 2, 5, true, 1}, {3 * time.Second, 1, 9, false, 1}, {0, 2, 5, true, 2},
		} {
			time.Sleep(step.after)
			more := []stun.Setter{controlling, priority(step.priority)}
			if step.nominate {
				more = append(more, nominating)
			}
			answers(a, ask(t, ours, theirs, more...), at(step.from))
			if to, _ := a.peer(); to.Port() != step.want {
				t.Errorf("step %d: %v is nominated, want port %d", i, to, step.want)
			}
		}
		for port := range uint16(100) {
			answers(a, ask(t, ours, theirs, controlling), at(1000+port))
		}
		if len(a.checked) != maxChecked || !a.admits(at(1099)) || a.admits(at(1001)) {
			t.Errorf("%d addresses are remembered: %v", len(a.checked), a.checked)
		}
	})
}

// A peer that checks no more gets nothing more, until it checks again.
func TestConsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := identities(t)
		mine, yours := NewCredentials(), NewCredentials()
		d, _ := guardFor(t, ours, Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}, Local: mine, Remote: yours})
		defer d.Close()
		if err := d.audio.session.agree(NewCrypto(1, CM80), NewCrypto(1, CM80)); err != nil {
			t.Fatal(err)
		}
		confirm := func() {
			d.Handle(ask(t, mine, yours, controlling, nominating), peerAddr, func([]byte, netip.AddrPort) {})
		}
		seq := uint16(0)
		protect := func() error {
			seq++
			_, err := d.Protect(nil, packetOf(t, 7, seq, 20), false)
			return err
		}
		for range 5 {
			confirm()
			time.Sleep(consentFor - time.Second)
			if err := protect(); err != nil {
				t.Fatalf("with checks: %v", err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := protect(); !errors.Is(err, ErrConsent) {
			t.Errorf("without checks: %v, want %v", err, ErrConsent)
		}
		confirm()
		if err := protect(); err != nil || d.Peer() != peerAddr {
			t.Errorf("with checks again: %v, at %v", err, d.Peer())
		}
	})
}

// Somebody who knows the name, which goes over the wire in the clear, has the verifications limited.
func TestVerificationsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := NewCredentials(), NewCredentials()
		a := newAgent(ours, theirs)
		defer a.close()
		forged, good := ask(t, Credentials{ours.Ufrag, theirs.pwd}, theirs), ask(t, ours, theirs, controlling)
		for range 10 * checkBurst {
			answers(a, forged, peerAddr)
		}
		if out, _ := answers(a, good, peerAddr); len(out) > 0 {
			t.Error("there was no limit")
		}
		time.Sleep(time.Second)
		if out, _ := answers(a, good, peerAddr); len(out) != 1 {
			t.Error("no answer a second later")
		}
	})
}

func TestCredentials(t *testing.T) {
	c := NewCredentials()
	if back, err := ParseCredentials(c.Ufrag, c.Password()); err != nil || back != c {
		t.Errorf("%v came back as %v (%v)", c, back, err)
	}
	for _, bad := range [][2]string{{"abc", c.pwd}, {"abcd", "short"}, {"ab d", c.pwd}, {"abcd", c.pwd + "-"}, {strings.Repeat("a", 257), c.pwd}} {
		if c, err := ParseCredentials(bad[0], bad[1]); err == nil {
			t.Errorf("%q is %v", bad, c)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, c, c, c); strings.Contains(shown, c.pwd) || strings.Contains(shown, fmt.Sprintf("%x", c.pwd)) {
		t.Errorf("a password is shown: %s", shown)
	}
	if got, want := Candidate(netip.MustParseAddrPort("192.0.2.1:4000"), 1), "1 1 udp 2130706431 192.0.2.1 4000 typ host"; got != want {
		t.Errorf("candidate %q, want %q", got, want)
	}
}

// A browser checks, nominates and shakes hands, in either role; before it checked, its handshake is not heard.
func TestICEAndDTLS(t *testing.T) {
	for _, setup := range []Setup{Passive, Active} {
		t.Run(string(setup), func(t *testing.T) {
			t.Parallel()
			ours, theirs := identities(t)
			mine, yours := NewCredentials(), NewCredentials()
			d, outcomes := guardFor(t, ours, Terms{Setup: setup, Fingerprints: []Fingerprint{theirs.Fingerprint()}, Local: mine, Remote: yours})
			n := serve(t, d)
			conn := listen(t)
			at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
			d.Handle(clientHello(t), at, n.send)
			d.mu.Lock()
			if len(d.audio.shakes) != 0 {
				t.Error("a handshake began before ICE")
			}
			d.mu.Unlock()
			if _, err := conn.WriteTo(ask(t, mine, yours, controlling, nominating, priority(7)), net.UDPAddrFromAddrPort(n.addr())); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 2048)
			size, _, err := conn.ReadFrom(b)
			if m := (&stun.Message{Raw: b[:size]}); err != nil || m.Decode() != nil || m.Type != stun.BindingSuccess {
				t.Fatalf("answered %x (%v)", b[:size], err)
			}
			if d.Peer() != at {
				t.Errorf("the peer is at %v, want %v", d.Peer(), at)
			}
			var peer *dtls.Conn
			if setup == Passive {
				peer, err = dial(t, conn, n, peerOptions(theirs, ours, bothProfiles...))
			} else {
				peer, err = accept(t, conn, n, peerOptions(theirs, ours, bothProfiles...))
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := receive(t, "the outcome", outcomes); err != nil {
				t.Fatal(err)
			}
			talk(t, n, peerSession(t, peer, setup == Passive), conn)
		})
	}
}
