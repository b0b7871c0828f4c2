package tenant

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"testing"
	"time"
)

var testSigner = signer{key: []byte("0123456789abcdef0123456789abcdef")}

func sample() claims {
	return claims{Tenant: "demo", User: "alice", ID: "AAAA", Issued: 1_700_000_000, Expires: 1_700_003_600, Proof: "p"}
}

func signed(t testing.TB, s signer, c claims) string {
	t.Helper()
	token, err := s.sign(c)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return token
}

func TestTokenRoundTrip(t *testing.T) {
	for _, c := range []claims{
		sample(),
		{Tenant: "täst", User: `o"brien <\x00>`, ID: "x", Proof: ""},
	} {
		token := signed(t, testSigner, c)
		got, err := testSigner.parse(token)
		if err != nil || got != c {
			t.Errorf("parse(sign(%+v)) = %+v, %v", c, got, err)
		}
	}
}

func TestTokenRefusesWhatItDidNotSign(t *testing.T) {
	good := signed(t, testSigner, sample())
	payload := strings.Split(good, ".")[1]
	mac := strings.Split(good, ".")[2]
	flip := func(s string, at int) string {
		b := []byte(s)
		if b[at] == 'A' {
			b[at] = 'B'
		} else {
			b[at] = 'A'
		}
		return string(b)
	}
	for name, token := range map[string]string{
		"empty":              "",
		"another key":        signed(t, signer{key: []byte("another")}, sample()),
		"another version":    "v2" + good[2:],
		"no mac":             "v1." + payload,
		"empty mac":          "v1." + payload + ".",
		"payload changed":    "v1." + flip(payload, 4) + "." + mac,
		"mac changed":        "v1." + payload + "." + flip(mac, 4),
		"mac, unused bits":   good[:len(good)-1] + nextInGroup(good[len(good)-1]),
		"mac padded":         good + "=",
		"line end in mac":    good + "\n",
		"mac of other use":   "v1." + payload + "." + b64.EncodeToString(testSigner.mac("credentials", "v1."+payload)),
		"too long":           "v1." + strings.Repeat("A", maxTokenLen) + ".A",
		"mac without prefix": "v1." + payload + "." + b64.EncodeToString(plainMAC("v1."+payload)),
	} {
		if c, err := testSigner.parse(token); err == nil || c != (claims{}) {
			t.Errorf("%s: parse = %+v, %v, want an error and no claims", name, c, err)
		}
	}
}

// nextInGroup changes only bits that a 32-byte MAC does not use in its last base64 character.
func nextInGroup(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)|1])
}

func plainMAC(text string) []byte {
	h := hmac.New(sha256.New, testSigner.key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func TestTokenSignedButStrange(t *testing.T) {
	for _, body := range []string{
		`{}`, `null`, `[]`, `{"t":"demo","u":"alice","i":""}`, `{"t":"demo","u":"alice","i":"x","admin":true}`,
		`{"t":"demo","u":"alice","i":"x"} {"t":"other"}`, `{"t":"demo","u":"alice","i":"x"`,
	} {
		text := "v1." + b64.EncodeToString([]byte(body))
		token := text + "." + b64.EncodeToString(testSigner.mac("token", text))
		if c, err := testSigner.parse(token); err == nil {
			t.Errorf("parse of %s = %+v, want an error", body, c)
		}
	}
}

func TestTokenTooLongToSign(t *testing.T) {
	c := sample()
	c.User = strings.Repeat("x", maxTokenLen)
	if token, err := testSigner.sign(c); err == nil {
		t.Errorf("sign = %d bytes, want an error: parse would refuse it", len(token))
	}
}

func TestTokenExpires(t *testing.T) {
	c := sample()
	for at, want := range map[int64]bool{c.Expires - 1: false, c.Expires: true, c.Expires + 1: true} {
		if got := c.expired(time.Unix(at, 0)); got != want {
			t.Errorf("expired at %d = %v, want %v", at-c.Expires, got, want)
		}
	}
}

func FuzzToken(f *testing.F) {
	good, err := testSigner.sign(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("v1..")
	f.Add("v1.e30.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := testSigner.parse(token)
		if err != nil {
			if c != (claims{}) {
				t.Fatalf("parse(%q) = %+v and %v, want one of them", token, c, err)
			}
			return
		}
		again := signed(t, testSigner, c)
		if again != token {
			t.Fatalf("%q and %q are the same token", token, again)
		}
	})
}

func BenchmarkTokenParse(b *testing.B) {
	token := signed(b, testSigner, sample())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := testSigner.parse(token); err != nil {
			b.Fatal(err)
		}
	}
}
