package secure

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/pion/dtls/v3"
)

// identities are of a node and of its peer.
func identities(t testing.TB) (ours, theirs *Identity) {
	t.Helper()
	ours, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err = NewIdentity(); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// guardFor makes a guard, and a channel of how its handshakes ended.
func guardFor(t testing.TB, ours *Identity, terms Terms) (*DTLS, chan error) {
	t.Helper()
	outcomes := make(chan error, 100)
	d, err := NewDTLS(ours, terms, func(err error) { outcomes <- err })
	if err != nil {
		t.Fatal(err)
	}
	return d, outcomes
}

// peerOptions are those of a plain DTLS client or server with an identity, which wants to see that of the node.
func peerOptions(theirs, ours *Identity, profiles ...dtls.SRTPProtectionProfile) []dtls.Option {
	return []dtls.Option{dtls.WithCertificates(theirs.certificate), dtls.WithInsecureSkipVerify(true), dtls.WithFlightInterval(repeatAfter),
		dtls.WithSRTPProtectionProfiles(profiles...), dtls.WithVerifyPeerCertificate(func(c [][]byte, _ [][]*x509.Certificate) error {
			return verify([]Fingerprint{ours.Fingerprint()}, c)
		})}
}

// dial is a DTLS client that shakes hands with a node over conn.
func dial(t testing.TB, conn net.PacketConn, to *node, opts []dtls.Option) (*dtls.Conn, error) {
	t.Helper()
	var client []dtls.ClientOption
	for _, o := range opts {
		client = append(client, o)
	}
	c, err := dtls.ClientWithOptions(conn, net.UDPAddrFromAddrPort(to.addr()), client...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c, c.HandshakeContext(ctx)
}

// accept is a DTLS server that a node shakes hands with.
func accept(t testing.TB, conn net.PacketConn, from *node, opts []dtls.Option) (*dtls.Conn, error) {
	t.Helper()
	server := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
	for _, o := range opts {
		server = append(server, o)
	}
	c, err := dtls.ServerWithOptions(conn, net.UDPAddrFromAddrPort(from.addr()), server...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c, c.HandshakeContext(ctx)
}

// peerSession is what the other side of an association has for keys.
func peerSession(t testing.TB, c *dtls.Conn, client bool) *session {
	t.Helper()
	state, ok := c.ConnectionState()
	profile, chosen := c.SelectedSRTPProtectionProfile()
	if !ok || !chosen {
		t.Fatal("no keys for SRTP were agreed on")
	}
	k, err := export(&state, profile, client)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{}
	if err := s.agree(k.local, k.remote); err != nil {
		t.Fatal(err)
	}
	return s
}

// talk sends a packet each way.
func talk(t testing.TB, n *node, s *session, conn net.PacketConn) {
	t.Helper()
	plain := packetOf(t, 7, 1, 160)
	sent, err := s.out.protect(nil, plain, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteTo(sent, net.UDPAddrFromAddrPort(n.addr())); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "the peer's packet", n.heard); !bytes.Equal(got, plain) {
		t.Errorf("the node heard %x, want %x", got, plain)
	}
	back, err := n.guard.Protect(nil, plain, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.in.unprotect(nil, back, false); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("the peer heard %x (%v), want %x", got, err, plain)
	}
}

var bothProfiles = []dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_128_GCM}

// A peer begins, over a network that is good or loses every third datagram, and both sides have the same keys, of the best
// suite that both know.
func TestPeerBegins(t *testing.T) {
	for name, c := range map[string]struct {
		lose     func(int) bool
		profiles []dtls.SRTPProtectionProfile
		want     Suite
	}{
		"good network":                 {func(int) bool { return false }, bothProfiles, GCM128},
		"old peer":                     {func(int) bool { return false }, bothProfiles[:1], CM80},
		"every third datagram is lost": {func(n int) bool { return n%3 == 1 }, bothProfiles, GCM128},
		"most are lost at first":       {func(n int) bool { return n < 6 && n%4 != 3 }, bothProfiles, GCM128},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := identities(t)
			d, outcomes := guardFor(t, ours, Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}})
			n := serve(t, d)
			if _, err := d.Protect(nil, packetOf(t, 7, 1, 20), false); !errors.Is(err, ErrNoKeys) {
				t.Errorf("before the handshake: %v", err)
			}
			conn := listen(t)
			client, err := dial(t, &lossy{PacketConn: conn, lose: c.lose}, n, peerOptions(theirs, ours, c.profiles...))
			if err != nil {
				t.Fatal(err)
			}
			if err := receive(t, "the outcome", outcomes); err != nil {
				t.Fatal(err)
			}
			talk(t, n, peerSession(t, client, true), conn)
			d.audio.session.out.mu.Lock()
			defer d.audio.session.out.mu.Unlock()
			if got := d.audio.session.out.key.Suite; got != c.want {
				t.Errorf("suite %v, want %v", got, c.want)
			}
		})
	}
}

// We begin, towards a server that waits for us.
func TestWeBegin(t *testing.T) {
	ours, theirs := identities(t)
	d, outcomes := guardFor(t, ours, Terms{Setup: Active, Fingerprints: []Fingerprint{theirs.Fingerprint()}})
	n := serve(t, d)
	conn := listen(t)
	d.Begin(conn.LocalAddr().(*net.UDPAddr).AddrPort(), n.send)
	s, err := accept(t, &lossy{PacketConn: conn, lose: func(i int) bool { return i%5 == 0 }}, n, peerOptions(theirs, ours, bothProfiles...))
	if err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the outcome", outcomes); err != nil {
		t.Fatal(err)
	}
	talk(t, n, peerSession(t, s, false), conn)
}

// A peer whose RTCP has a port of its own shakes hands for that, too, and its reports are under those keys. They come in any
// order, and reports go under the keys of audio until there are others.
func TestControlApart(t *testing.T) {
	ours, theirs := identities(t)
	d, outcomes := guardFor(t, ours, Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}})
	audio, control := serve(t, d), serveControl(t, d)
	var sessions []*session
	for _, n := range []*node{control, audio} {
		if n == audio {
			if _, err := d.Protect(nil, packetOf(t, 7, 1, 20), false); !errors.Is(err, ErrNoKeys) {
				t.Errorf("audio under the keys of RTCP: %v", err)
			}
		}
		c, err := dial(t, listen(t), n, peerOptions(theirs, ours, bothProfiles...))
		if err != nil {
			t.Fatal(err)
		}
		if err := receive(t, "the outcome", outcomes); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, peerSession(t, c, true))
	}
	for i, rtcp := range []bool{true, false} {
		plain := packetOf(t, 7, 1, 20)
		if rtcp {
			plain = reports(t, 7)
		}
		sent, err := d.Protect(nil, plain, rtcp)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sessions[i].in.unprotect(nil, sent, rtcp); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("RTCP %v: the peer reads %x (%v)", rtcp, got, err)
		}
		if sent, err = sessions[i].out.protect(nil, plain, rtcp); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Unprotect(nil, sent, rtcp); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("RTCP %v: we read %x (%v)", rtcp, got, err)
		}
	}
}

// A stranger with a certificate of its own gets no keys, and does not keep the peer from getting them.
func TestStrangersGetNoKeys(t *testing.T) {
	ours, theirs := identities(t)
	_, stranger := identities(t)
	d, outcomes := guardFor(t, ours, Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}})
	n := serve(t, d)
	if _, err := dial(t, listen(t), n, peerOptions(stranger, ours, bothProfiles...)); err == nil {
		t.Error("a stranger shook hands")
	}
	if err := receive(t, "the outcome", outcomes); !errors.Is(err, ErrStranger) {
		t.Errorf("outcome %v, want %v", err, ErrStranger)
	}
	if _, err := d.Protect(nil, packetOf(t, 7, 1, 20), false); !errors.Is(err, ErrNoKeys) {
		t.Errorf("after the stranger: %v", err)
	}
	// Two that begin and then say nothing more do not matter either.
	hello := clientHello(t)
	for range 2 {
		if _, err := listen(t).WriteTo(hello, net.UDPAddrFromAddrPort(n.addr())); err != nil {
			t.Fatal(err)
		}
	}
	conn := listen(t)
	c, err := dial(t, conn, n, peerOptions(theirs, ours, bothProfiles...))
	if err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the outcome", outcomes); err != nil {
		t.Fatal(err)
	}
	talk(t, n, peerSession(t, c, true), conn)
	eventually(t, "the two to be sent away", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.audio.shakes) == 1
	})
	select {
	case err := <-outcomes:
		t.Errorf("told of those who came too late: %v", err)
	default:
	}
}

// clientHello is the first datagram of a client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	ours, theirs := identities(t)
	sent := make(chan []byte, 10)
	w := newWire(netip.MustParseAddrPort("127.0.0.1:9"), func(b []byte, _ netip.AddrPort) {
		select {
		case sent <- bytes.Clone(b):
		default:
		}
	})
	var opts []dtls.ClientOption
	for _, o := range peerOptions(theirs, ours, bothProfiles...) {
		opts = append(opts, o)
	}
	c, err := dtls.ClientWithOptions(w, w.RemoteAddr(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.HandshakeContext(ctx) }()
	b := receive(t, "the first datagram", sent)
	cancel()
	<-done
	_ = c.Close()
	return b
}

// A peer that says nothing after its first words costs a handshake for as long as its deadline; others that come meanwhile
// find maxPeers at most, and closing the guard ends them all.
func TestHandshakesAreLimited(t *testing.T) {
	ours, theirs := identities(t)
	d, _ := guardFor(t, ours, Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}})
	hello := clientHello(t)
	for port := range uint16(1000) {
		d.Handle(hello, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port+1), func([]byte, netip.AddrPort) {})
	}
	d.mu.Lock()
	got := len(d.audio.shakes)
	d.mu.Unlock()
	if got != maxPeers {
		t.Errorf("%d handshakes with strangers, want %d", got, maxPeers)
	}
	if len(ours.slots) > maxPeers {
		t.Errorf("%d of the process", len(ours.slots))
	}
	d.Close()
	d.running.Wait()
	if n := len(ours.slots); n != 0 {
		t.Errorf("%d handshakes are still counted", n)
	}
}

// Strangers begin a few handshakes a second, and the address that the SDP announced may whenever it likes.
func TestStrangersBeginSeldom(t *testing.T) {
	ours, theirs := identities(t)
	d, _ := guardFor(t, ours, Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}})
	hello, nobody := clientHello(t), func([]byte, netip.AddrPort) {}
	peer := netip.MustParseAddrPort("192.0.2.7:4000")
	d.Begin(peer, nobody)
	begun := func(from netip.AddrPort) bool {
		d.Handle(hello, from, nobody)
		d.mu.Lock()
		defer d.mu.Unlock()
		n := len(d.audio.shakes)
		for _, h := range d.audio.shakes {
			_ = h.wire.Close() // it failed
		}
		d.audio.shakes = nil
		return n > 0
	}
	n := 0
	for port := range uint16(10 * shakeBurst) {
		if begun(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port+1)) {
			n++
		}
	}
	if n < shakeBurst || n > 2*shakeBurst { // a slow machine gives it time for some more
		t.Errorf("strangers began %d handshakes at once, want about %d", n, shakeBurst)
	}
	for range 2 * shakeBurst {
		if !begun(peer) {
			t.Fatal("the peer has to wait for strangers")
		}
	}
	d.Close()
	d.running.Wait()
}

func TestTermsOfReinvites(t *testing.T) {
	ours, theirs := identities(t)
	_, other := identities(t)
	mine, yours := NewCredentials(), NewCredentials()
	terms := Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}, Local: mine, Remote: yours}
	d, _ := guardFor(t, ours, terms)
	defer d.Close()
	if err := d.Agree(terms); err != nil {
		t.Errorf("the same: %v", err)
	}
	restart := terms
	restart.Local, restart.Remote = NewCredentials(), NewCredentials()
	if err := d.Agree(restart); err != nil || d.ice.username != restart.Local.Ufrag+":"+restart.Remote.Ufrag {
		t.Errorf("ICE again: %v, checks are by %q", err, d.ice.username)
	}
	hash, _ := hashOf("sha-512")
	anew := fingerprintOf(hash, theirs.certificate.Certificate[0])
	for name, again := range map[string][]Fingerprint{
		"twice": {theirs.Fingerprint(), theirs.Fingerprint()}, "beside another": {other.Fingerprint(), theirs.Fingerprint()}, "hashed anew": {anew},
	} {
		repeated := terms
		repeated.Fingerprints = again
		if name == "hashed anew" { // it takes a handshake to know that this is the same
			d.shown = theirs.certificate.Certificate[0]
		}
		if err := d.Agree(repeated); err != nil {
			t.Errorf("the same certificate, %s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Terms){
		"another certificate": func(t *Terms) { t.Fingerprints = []Fingerprint{other.Fingerprint()} },
		"another role":        func(t *Terms) { t.Setup = Active },
		"no ICE any more":     func(t *Terms) { t.Local, t.Remote = Credentials{}, Credentials{} },
	} {
		changed := terms
		change(&changed)
		if err := d.Agree(changed); !errors.Is(err, ErrNewAssociation) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewDTLS(ours, Terms{Setup: Passive}, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without a fingerprint: %v", err)
	}
	if _, err := NewDTLS(ours, Terms{Setup: ActPass, Fingerprints: terms.Fingerprints}, nil); err == nil {
		t.Error("a role that is none")
	}
}

func TestSetup(t *testing.T) {
	for offered, want := range map[Setup]Setup{ActPass: Passive, Active: Passive, Passive: Active, "holdconn": "", "": ""} {
		if got, err := AnswerSetup(offered); got != want || (err == nil) != (want != "") {
			t.Errorf("answer to %q: %q (%v), want %q", offered, got, err, want)
		}
	}
	for answered, want := range map[Setup]Setup{Active: Passive, Passive: Active, ActPass: ""} {
		if got, err := AcceptSetup(answered); got != want || (err == nil) != (want != "") {
			t.Errorf("role after %q: %q (%v), want %q", answered, got, err, want)
		}
	}
}

func TestFingerprints(t *testing.T) {
	ours, theirs := identities(t)
	der := ours.certificate.Certificate[0]
	for _, h := range []string{"sha-256", "SHA-384", "sha-512"} {
		hash, _ := hashOf(h)
		f := fingerprintOf(hash, der)
		back, err := ParseFingerprint(f.String())
		if err != nil || back != f {
			t.Errorf("%v came back as %v (%v)", f, back, err)
		}
		if err := verify([]Fingerprint{theirs.Fingerprint(), back}, [][]byte{der}); err != nil {
			t.Errorf("%s: %v", h, err)
		}
		if err := verify([]Fingerprint{back}, theirs.certificate.Certificate); !errors.Is(err, ErrStranger) {
			t.Errorf("%s of another: %v", h, err)
		}
	}
	if err := verify([]Fingerprint{ours.Fingerprint()}, nil); !errors.Is(err, ErrStranger) {
		t.Errorf("no certificate: %v", err)
	}
	for _, bad := range []string{"", "sha-1 00:01", "md5 00", "sha-256", "sha-256 00:01", "sha-256 zz" + ours.Fingerprint().String()[10:]} {
		if f, err := ParseFingerprint(bad); err == nil {
			t.Errorf("%q is %v", bad, f)
		}
	}
}
