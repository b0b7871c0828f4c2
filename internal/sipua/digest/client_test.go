package digest

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// What the client answers, the server side of this package takes: for each algorithm, again with the same nonce, and once more
// when the nonce became stale.
func TestClientAgainstAuthority(t *testing.T) {
	now := time.Now()
	a, err := New(Options{Secret: []byte("0123456789abcdef"), Lifetime: time.Minute, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []Algorithm{MD5, SHA256} {
		scope := Scope{Realm: `a "carrier"`}
		s := &Session{Identity: Identity{User: `us\er`, Password: "secret"}}
		challenge := func(stale bool) string { return string(AppendChallenge(nil, scope.Realm, alg, a.Nonce(scope), stale)) }
		judge := func(method string) Verdict {
			t.Helper()
			fields := s.Credentials(method, "sip:4711@carrier.example")
			if len(fields) != 1 || fields[0].Name != "Proxy-Authorization" {
				t.Fatalf("fields %+v", fields)
			}
			var c Credentials
			if err := Parse(fields[0].Value, &c); err != nil {
				t.Fatalf("%s: %v", fields[0].Value, err)
			}
			return a.Verify(&c, &Request{Method: method, URI: "sip:4711@carrier.example", CallID: "x", CSeq: 1, Scope: scope},
				HA1(alg, `us\er`, scope.Realm, "secret"), true)
		}
		if fields := s.Credentials("INVITE", "sip:x"); fields != nil {
			t.Errorf("credentials before any challenge: %+v", fields)
		}
		if err := s.Challenged(407, []string{challenge(false)}, false); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"INVITE", "BYE"} { // the second brings a higher nonce-count
			if v := judge(method); v != OK {
				t.Errorf("%v, %s: %v", alg, method, v)
			}
		}
		now = now.Add(2 * time.Minute)
		if v := judge("INVITE"); v != Stale {
			t.Errorf("%v: an old nonce is %v", alg, v)
		}
		if err := s.Challenged(407, []string{challenge(true)}, true); err != nil {
			t.Errorf("%v: a stale nonce is no reason to give up: %v", alg, err)
		}
		if v := judge("INVITE"); v != OK {
			t.Errorf("%v: after the stale one: %v", alg, v)
		}
		if err := s.Challenged(407, []string{challenge(false)}, true); !errors.Is(err, ErrRefused) {
			t.Errorf("%v: refused credentials: %v, want ErrRefused", alg, err)
		}
	}
}

// The examples of RFC 7616 §3.9.1 and RFC 2617 §3.5.
func TestClientKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		alg            Algorithm
		realm, nonce   string
		cnonce, answer string
	}{
		{MD5, "http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "8ca523f5e9506fed4657c9700eebdbec"},
		{SHA256, "http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
	} {
		a := answering{challenge: Challenge{Realm: c.realm, Nonce: c.nonce, Algorithm: c.alg, Auth: true}, cnonce: c.cnonce,
			ha1: HA1(c.alg, "Mufasa", c.realm, "Circle of Life")}
		if got := a.credentials("Mufasa", "GET", "/dir/index.html"); !strings.Contains(got, `response="`+c.answer+`"`) {
			t.Errorf("%v: %s", c.alg, got)
		}
	}
}

func TestClientChoosesChallenges(t *testing.T) {
	md5 := `Digest realm="a", nonce="n1", qop="auth"`
	sha := `Digest realm="a", nonce="n2", algorithm=SHA-256, qop="auth-int,auth", opaque="o"`
	other := `Digest realm="b", nonce="n3", algorithm=SHA-256`
	future := `Digest realm="a", nonce="n4", algorithm=SHA3-512`
	for _, c := range []struct {
		name, realm string
		values      []string
		nonce       string
		err         error
	}{
		{"the stronger", "", []string{md5, sha}, "n2", nil},
		{"what it knows", "", []string{future, md5}, "n1", nil},
		{"of its realm", "a", []string{other, md5}, "n1", nil},
		{"of no other realm", "c", []string{other, md5}, "", ErrNoChallenge},
		{"nothing it knows", "", []string{future, "Basic realm=x", ""}, "", ErrNoChallenge},
		{"auth-int alone", "", []string{`Digest realm="a", nonce="n", qop="auth-int"`}, "", ErrNoChallenge},
	} {
		s := Session{Identity: Identity{User: "u", Password: "p", Realm: c.realm}}
		if err := s.Challenged(401, c.values, false); !errors.Is(err, c.err) || s.server.challenge.Nonce != c.nonce {
			t.Errorf("%s: nonce %q, %v", c.name, s.server.challenge.Nonce, err)
		}
	}
	s := Session{Identity: Identity{User: "u", Password: "p"}}
	if s.Challenged(401, []string{md5}, false) != nil || s.Challenged(407, []string{sha}, false) != nil {
		t.Fatal("challenges of a proxy and of the server behind it were not taken")
	}
	fields := s.Credentials("INVITE", "sip:x")
	if len(fields) != 2 || !strings.Contains(fields[1].Value, `opaque="o"`) || strings.Contains(fields[0].Value, "opaque") {
		t.Errorf("fields %+v", fields)
	}
	s = Session{}
	if s.Challenged(401, []string{`Digest realm="a", nonce="n"`}, false) != nil || strings.Contains(s.Credentials("BYE", "sip:x")[0].Value, "nc=") {
		t.Error("a challenge without qop wants an answer without nonce-count (RFC 2069)")
	}
}

// FuzzParseChallenge: a value or an error, never both, and what is read can be answered and read back.
func FuzzParseChallenge(f *testing.F) {
	f.Add(`Digest realm="a", nonce="n", algorithm=SHA-256, qop="auth,auth-int", stale=TRUE, opaque=""`)
	f.Add(`Digest nonce=n,realm=`)
	f.Fuzz(func(t *testing.T, value string) {
		c, err := ParseChallenge(value)
		if err != nil {
			return
		}
		if c.Nonce == "" {
			t.Errorf("%q has no nonce", value)
		}
		s := Session{Identity: Identity{User: "u", Password: "p"}}
		if s.Challenged(401, []string{value}, false) != nil {
			return
		}
		var back Credentials
		if err := Parse(s.Credentials("INVITE", "sip:x@y")[0].Value, &back); err != nil {
			if len(c.Nonce)+len(c.Opaque)+len(c.Realm) < maxField {
				t.Errorf("the answer to %q cannot be read: %v", value, err)
			}
		} else if back.Nonce != c.Nonce || back.Realm != c.Realm {
			t.Errorf("%q is answered with nonce %q and realm %q", value, back.Nonce, back.Realm)
		}
	})
}
