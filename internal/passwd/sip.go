package passwd

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"parley/internal/voice"
)

// SIP returns what digest verification needs: H(username:realm:password) with MD5 and SHA-256 in lower-case hex
// (RFC 3261 §22.4, RFC 8760). MD5 is there because most phones know nothing better.
func SIP(username, realm, password string) voice.SIPAuth {
	a1 := []byte(username + ":" + realm + ":" + password)
	m, s := md5.Sum(a1), sha256.Sum256(a1)
	return voice.SIPAuth{Username: username, Realm: realm, MD5: hex.EncodeToString(m[:]), SHA256: hex.EncodeToString(s[:])}
}

// VerifySIP tells whether auth was made from password.
func VerifySIP(auth voice.SIPAuth, password string) bool {
	want := SIP(auth.Username, auth.Realm, password)
	return subtle.ConstantTimeCompare([]byte(want.MD5+want.SHA256), []byte(auth.MD5+auth.SHA256)) == 1
}
