package passwd

import (
	"errors"
	"strings"
	"testing"

	"parley/internal/voice"
)

func TestHashAndVerify(t *testing.T) {
	const plain = "correct horse"
	a, b := Hash(plain), Hash(plain)
	if a == b {
		t.Error("two hashes of one password are equal: the salt is not fresh")
	}
	if !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash = %s, want PHC form with the present cost", a)
	}
	for _, c := range []struct {
		plain string
		want  bool
	}{{plain, true}, {"Correct horse", false}, {"", false}, {plain + "\x00", false}} {
		if ok, err := Verify(a, c.plain); ok != c.want || err != nil {
			t.Errorf("Verify(%q) = %v, %v, want %v", c.plain, ok, err, c.want)
		}
	}
}

func TestVerifyKnownHash(t *testing.T) {
	// From the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 24
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := Verify(phc, "password"); !ok || err != nil {
		t.Errorf("Verify(reference hash) = %v, %v, want true", ok, err)
	}
}

func TestVerifyRefusesHostileHashes(t *testing.T) {
	for name, phc := range map[string]string{
		"empty":          "",
		"plain":          "password",
		"bcrypt":         "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":        "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"no memory":      "$argon2id$v=19$m=0,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"4 GiB":          "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"a million":      "$argon2id$v=19$m=19456,t=1000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"no lanes":       "$argon2id$v=19$m=19456,t=2,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"trailing":       "$argon2id$v=19$m=19456,t=2,p=1,x=9$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"short salt":     "$argon2id$v=19$m=19456,t=2,p=1$c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"not base64":     "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$!!!",
		"other version":  "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"padded base64":  "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ=$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"negative":       "$argon2id$v=19$m=-1,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"leading zeroes": "$argon2id$v=19$m=019456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		if ok, err := Verify(phc, "password"); ok || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: Verify = %v, %v, want ErrFormat", name, ok, err)
		}
	}
}

func TestCheckPolicy(t *testing.T) {
	for _, c := range []struct {
		user, plain string
		ok          bool
	}{
		{"alice", "correct horse", true},
		{"alice", "pässwörd", true},
		{"alice", "", false},
		{"alice", "short", false},
		{"alice", strings.Repeat("ab", MaxLength), false},
		{"alice.smith", "Alice.Smith", false},
		{"alice", "aaaaaaaaaaaa", false},
		{"alice", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", false},
	} {
		if why := CheckPolicy(c.user, c.plain); (why == "") != c.ok {
			t.Errorf("CheckPolicy(%q, %q) = %q, want ok %v", c.user, c.plain, why, c.ok)
		}
	}
}

func TestSIP(t *testing.T) {
	// RFC 7616 §3.9.1: user Mufasa, realm http-auth@example.org, password "Circle of Life".
	got := SIP("Mufasa", "http-auth@example.org", "Circle of Life")
	want := voice.SIPAuth{
		Username: "Mufasa", Realm: "http-auth@example.org", MD5: "3d78807defe7de2157e2b0b6573a855f",
		SHA256: "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232",
	}
	if got != want {
		t.Errorf("SIP = %+v, want %+v", got, want)
	}
	if !VerifySIP(got, "Circle of Life") || VerifySIP(got, "circle of life") {
		t.Error("VerifySIP does not tell the password from another")
	}
	got.SHA256 = ""
	if VerifySIP(got, "Circle of Life") {
		t.Error("VerifySIP accepts half of the digests")
	}
}

func BenchmarkVerify(b *testing.B) {
	phc := Hash("correct horse")
	for b.Loop() {
		Verify(phc, "correct horse") //nolint:errcheck // measured, not checked
	}
}
