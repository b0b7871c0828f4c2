package secure

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// parties are a node's and a peer's, which is one of ours too.
func parties(t testing.TB) (ours, theirs *Party) {
	t.Helper()
	a, b := identities(t)
	return NewParty(a, nil), NewParty(b, nil)
}

// exchange is an offer of a and the answer of b; it returns both guards.
func exchange(t testing.TB, a, b *Party, way Way, ice bool) (ofA, ofB Guard) {
	t.Helper()
	answer, ofB, err := b.Answer(way, a.Offer(way, ice))
	if err != nil {
		t.Fatal(err)
	}
	if ofA, err = a.Accept(way, answer); err != nil {
		t.Fatal(err)
	}
	return ofA, ofB
}

// Keys that were told stay over re-INVITEs from either side, and so does the guard.
func TestPartyTold(t *testing.T) {
	a, b := parties(t)
	guardA, guardB := exchange(t, a, b, Told, false)
	defer guardA.Close()
	defer guardB.Close()
	seq := uint16(0)
	pass := func(from, to Guard) {
		t.Helper()
		seq++
		plain := packetOf(t, 7, seq, 20)
		sent, err := from.Protect(nil, plain, false)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := to.Unprotect(nil, sent, false); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%x (%v), want %x", got, err, plain)
		}
	}
	pass(guardA, guardB)
	pass(guardB, guardA)
	key := a.local.Key
	for i, from := range []*Party{a, b, b, a} {
		to := b
		if from == b {
			to = a
		}
		if x, y := exchange(t, from, to, Told, false); from == a && (x != guardA || y != guardB) || from == b && (x != guardB || y != guardA) {
			t.Errorf("exchange %d made new guards", i)
		}
		pass(guardA, guardB)
		pass(guardB, guardA)
	}
	if !a.local.Key.Equal(key) {
		t.Error("the key is another")
	}
	if _, err := a.Accept(Told, Said{Crypto: []string{NewCrypto(9, GCM128).Attribute()}}); !errors.Is(err, errCrypto) {
		t.Errorf("an answer to a line that was not offered: %v", err)
	}
	if _, err := a.Accept(Told, Said{}); !errors.Is(err, errCrypto) {
		t.Errorf("an answer without a line: %v", err)
	}
	if _, _, err := a.Answer(Told, Said{Crypto: []string{"1 NONE inline:x"}}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an offer with nothing for us: %v", err)
	}
	pass(guardA, guardB)
	a.Forget()
	if a.local.Key.b != [keySize + saltSize]byte{} {
		t.Error("a key is there after it was forgotten")
	}
}

// A handshake's association stays while certificate and role do, whoever offers; ICE starts again when the peer says so.
func TestPartyHandshake(t *testing.T) {
	a, b := parties(t)
	guardA, guardB := exchange(t, a, b, Handshake, true)
	if a.dtls.setup() != Active || b.dtls.setup() != Passive {
		t.Errorf("roles %v and %v", a.dtls.setup(), b.dtls.setup())
	}
	for range 2 {
		x, y := exchange(t, a, b, Handshake, true)
		y2, x2 := exchange(t, b, a, Handshake, true)
		if x != guardA || x2 != guardA || y != guardB || y2 != guardB {
			t.Fatal("a re-INVITE made new guards")
		}
	}
	if a.dtls.ice.username != a.ours.Ufrag+":"+b.ours.Ufrag || b.dtls.ice.username != b.ours.Ufrag+":"+a.ours.Ufrag {
		t.Errorf("checks are by %q and %q", a.dtls.ice.username, b.dtls.ice.username)
	}
	before := b.ours
	a.ours = NewCredentials()
	if x, y := exchange(t, a, b, Handshake, true); x != guardA || y != guardB || b.ours == before || b.dtls.ice.username != b.ours.Ufrag+":"+a.ours.Ufrag {
		t.Errorf("ICE again: new guards, or checks by %q with %v before", b.dtls.ice.username, before)
	}
	other, _ := identities(t)
	offer := a.Offer(Handshake, true)
	offer.Fingerprints = []string{"sha-1 00", other.Fingerprint().String()}
	if _, y, err := b.Answer(Handshake, offer); err != nil || y == guardB {
		t.Errorf("another certificate: %v, or the guard of the one before", err)
	}
	for name, bad := range map[string]Said{
		"no fingerprint": {Setup: ActPass}, "weak fingerprint": {Setup: ActPass, Fingerprints: []string{"sha-1 00"}},
		"no role":         {Fingerprints: offer.Fingerprints},
		"credentials bad": {Setup: ActPass, Fingerprints: offer.Fingerprints, Ufrag: "a", Pwd: "b"},
	} {
		was := b.ours
		if _, _, err := b.Answer(Handshake, bad); err == nil || b.ours != was {
			t.Errorf("%s: %v", name, err)
		}
	}
	if g, err := b.Accept(Plain, Said{}); g != nil || err != nil {
		t.Errorf("plain from now on: %v, %v", g, err)
	}
	guardA.Close()
	guardB.Close()
}

// Several who got one offer answer: the last answer holds.
func TestPartyForks(t *testing.T) {
	a, b := parties(t)
	c, _ := parties(t)
	offer := a.Offer(Told, false)
	answerB, guardB, errB := b.Answer(Told, offer)
	answerC, guardC, errC := c.Answer(Told, offer)
	_, err1 := a.Accept(Told, answerB)
	guardA, err2 := a.Accept(Told, answerC)
	if err := errors.Join(errB, errC, err1, err2); err != nil {
		t.Fatal(err)
	}
	for _, g := range []Guard{guardA, guardB, guardC} {
		defer g.Close()
	}
	plain := packetOf(t, 7, 1, 20)
	sent, err := guardC.Protect(nil, plain, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := guardA.Unprotect(nil, sent, false); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%x (%v)", got, err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", offer, offer, offer, answerB); strings.Contains(shown, "inline") {
		t.Errorf("keys are shown: %s", shown)
	}
}
