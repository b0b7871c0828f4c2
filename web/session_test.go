package web

import (
	"strings"
	"testing"
	"time"
)

var testKeys = keyring{key: []byte("0123456789abcdef0123456789abcdef")}

func TestSealRoundTrip(t *testing.T) {
	s := sealed{token: "v1.abc.def", seen: time.Unix(1_700_000_000, 0)}
	got, ok := testKeys.unseal(testKeys.seal(s))
	if !ok || got.token != s.token || !got.seen.Equal(s.seen) {
		t.Errorf("unseal(seal(%+v)) = %+v, %v", s, got, ok)
	}
}

func TestUnsealRefusesWhatWasNotSealed(t *testing.T) {
	good := testKeys.seal(sealed{token: "v1.abc.def", seen: time.Unix(1_700_000_000, 0)})
	for name, cookie := range map[string]string{
		"empty": "", "no mac": "v1.abc.def~1700000000", "another key": keyring{[]byte("other")}.seal(sealed{token: "v1.abc.def"}),
		"used later":      strings.Replace(good, "~17", "~18", 1),
		"another token":   strings.Replace(good, "abc", "abd", 1),
		"mac of a form":   "v1.abc.def~1700000000~" + testKeys.formToken("v1.abc.def~1700000000"),
		"too long":        strings.Repeat("a", maxCookie) + good,
		"only separators": "~~",
	} {
		if s, ok := testKeys.unseal(cookie); ok {
			t.Errorf("%s: unseal = %+v, want refused", name, s)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	f.Add(testKeys.seal(sealed{token: "v1.abc.def", seen: time.Unix(1_700_000_000, 0)}))
	f.Add("a~1~b")
	f.Fuzz(func(t *testing.T, cookie string) {
		s, ok := testKeys.unseal(cookie)
		if ok && testKeys.seal(s) != cookie {
			t.Fatalf("%q opens, but is not what was sealed", cookie)
		}
		if !ok && s != (sealed{}) {
			t.Fatalf("unseal(%q) = %+v, false", cookie, s)
		}
	})
}

func TestFormTokensDiffer(t *testing.T) {
	a, b := testKeys.formToken("v1.a.b"), testKeys.formToken("v1.a.c")
	if a == b || a == testKeys.guestToken("v1.a.b") {
		t.Error("two sessions, or a session and a visitor, share a form token")
	}
}

func TestOwnPath(t *testing.T) {
	for in, want := range map[string]string{
		"/t/demo/extensions?q=1":   "/t/demo/extensions?q=1",
		"":                         "",
		"https://evil.example/":    "",
		"//evil.example/":          "",
		`/\evil.example`:           "",
		"/\tx":                     "",
		"javascript:alert(1)":      "",
		"t/demo":                   "",
		"/signin?next=%2Fsignin":   "",
		"/%2F%2Fevil.example/":     "/%2F%2Fevil.example/",
		"/\r\nSet-Cookie: x=y":     "",
		"http:evil.example/path":   "",
		"/bans#" + "with-fragment": "/bans#with-fragment",
	} {
		if got := ownPath(in); got != want {
			t.Errorf("ownPath(%q) = %q, want %q", in, got, want)
		}
	}
}
