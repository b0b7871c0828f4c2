package fabric_test

import (
	"slices"
	"strings"
	"testing"

	"parley/internal/fabric"
)

func TestToken(t *testing.T) {
	for plain, want := range map[string]string{
		"":             "=",
		"1001":         "1001",
		"+4930123":     "=2B4930123",
		"a.b":          "a=2Eb",
		"*":            "=2A",
		">":            "=3E",
		"a b\r\n":      "a=20b=0D=0A",
		"=":            "=3D",
		"=41":          "=3D41",
		"ü":            "=C3=BC",
		"\xff":         "=FF",
		"Call-ID_/x9Z": "Call-ID_/x9Z",
		"$KV":          "=24KV",
	} {
		if got := fabric.Token(plain); got != want {
			t.Errorf("Token(%q) = %q, want %q", plain, got, want)
		}
		if got, ok := fabric.Untoken(want); got != plain || !ok {
			t.Errorf("Untoken(%q) = %q, %v, want %q", want, got, ok, plain)
		}
	}
}

func TestUntokenRefuses(t *testing.T) {
	for what, s := range map[string]string{
		"nothing": "", "a dot": "a.b", "an escape of what needs none": "=41", "lower-case hex": "=2b", "half an escape": "a=2",
		"an empty escape inside": "a=", "no hex": "=G0", "a blank": "a b", "two empties": "==",
	} {
		if got, ok := fabric.Untoken(s); ok || got != "" {
			t.Errorf("%s: Untoken(%q) = %q, %v, want refused", what, s, got, ok)
		}
	}
}

func TestSubject(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{fabric.Subject("call", "demo", "*", ">"), "call.demo.=2A.=3E"},
		{fabric.Subject("call", "a.b", ""), "call.a=2Eb.="},
		{fabric.Filter("call", "demo", fabric.Any, fabric.Rest), "call.demo.*.>"},
		{fabric.Filter("call", "de*mo", fabric.Rest), "call.de=2Amo.>"},
		{fabric.Subject("call"), "call"},
		{fabric.Key("demo", "10.1"), "demo.10=2E1"},
		{fabric.Key("192.0.2.1"), "192=2E0=2E2=2E1"},
		{fabric.Key("", ""), "=.="},
		{fabric.Key(), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	tokens := []string{"demo", "", "a.b", "ü", "=2E"}
	if got := fabric.SplitKey(fabric.Key(tokens...)); !slices.Equal(got, tokens) {
		t.Errorf("SplitKey(Key(%q)) = %q", tokens, got)
	}
}

// FuzzToken: a token comes back, means one thing, and holds nothing that a subject or a key gives a meaning.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "1001", "a.b", "*", ">", "=", "=41", "a b", "\x00\x7f", "ü", "\xff\xfe"} {
		f.Add(s, "=2E")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ta, tb := fabric.Token(a), fabric.Token(b)
		if ta == "" || strings.ContainsFunc(ta, func(r rune) bool { return strings.ContainsRune(".*> $", r) || r < ' ' || r >= 0x7f }) {
			t.Errorf("Token(%q) = %q", a, ta)
		}
		if back, ok := fabric.Untoken(ta); back != a || !ok {
			t.Errorf("Untoken(Token(%q)) = %q, %v", a, back, ok)
		}
		if (a == b) != (ta == tb) {
			t.Errorf("Token(%q) = %q, Token(%q) = %q", a, ta, b, tb)
		}
		if back := fabric.SplitKey(fabric.Key(a, b)); !slices.Equal(back, []string{a, b}) {
			t.Errorf("SplitKey(Key(%q, %q)) = %q", a, b, back)
		}
	})
}

// FuzzUntoken: whatever comes, a value or a refusal, and a value only for what Token makes.
func FuzzUntoken(f *testing.F) {
	for _, s := range []string{"", "=", "==", "=2", "=2E", "=2e", "=41", "a.b", "a=20b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		plain, ok := fabric.Untoken(s)
		if ok && fabric.Token(plain) != s {
			t.Errorf("Untoken(%q) = %q, whose token is %q", s, plain, fabric.Token(plain))
		}
		if !ok && plain != "" {
			t.Errorf("Untoken(%q) = %q and refused", s, plain)
		}
	})
}
