package tenant

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

const (
	tokenVersion = "v1"
	maxTokenLen  = 2048 // bytes; a longer one is refused before any work
	tokenIDBytes = 16
	proofBytes   = 12 // of the fingerprint of the credentials; enough to tell two hashes apart
)

// errToken says that a text is not a token of this cluster. It does not say why: that helps only who forges.
var errToken = errors.New("not a valid token")

// claims is what a token says, in short keys because it travels with each request.
type claims struct {
	Tenant  string `json:"t"`
	User    string `json:"u"`
	ID      string `json:"i"` // random, names the token for revocation
	Issued  int64  `json:"a"` // Unix seconds
	Expires int64  `json:"e"` // Unix seconds; the token is good before it
	Proof   string `json:"p"` // fingerprint of the person's credentials when it was issued
}

// expired tells whether the token has ended by now.
func (c claims) expired(now time.Time) bool { return now.Unix() >= c.Expires }

// signer makes and checks tokens:
//
//	v1 . base64url(JSON of claims) . base64url(HMAC-SHA256(key, "v1." + the middle part))
//
// base64url is without padding and strict (RFC 4648 §3.5), so that no second text is the same token. The MAC is
// checked before the claims are looked at. There is no algorithm in the token to choose, hence none to confuse; a
// better one would be a new version.
type signer struct{ key []byte }

var b64 = base64.RawURLEncoding.Strict()

// newTokenID returns the id of a new token.
func newTokenID() string {
	var id [tokenIDBytes]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	return b64.EncodeToString(id[:])
}

// sign returns the token that says c.
func (s signer) sign(c claims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed := tokenVersion + "." + b64.EncodeToString(body)
	token := signed + "." + b64.EncodeToString(s.mac("token", signed))
	if len(token) > maxTokenLen {
		return "", errors.New("the names in the token are too long")
	}
	return token, nil
}

// parse returns what token says if it was signed with this key, whether or not it has expired, else errToken.
func (s signer) parse(token string) (claims, error) {
	if len(token) > maxTokenLen {
		return claims{}, errToken
	}
	version, rest, _ := strings.Cut(token, ".")
	payload, mac, found := strings.Cut(rest, ".")
	if version != tokenVersion || !found {
		return claims{}, errToken
	}
	got, err := b64.DecodeString(mac)
	if err != nil || strings.ContainsAny(mac, "\r\n") {
		return claims{}, errToken
	}
	if !hmac.Equal(got, s.mac("token", version+"."+payload)) {
		return claims{}, errToken
	}
	body, err := b64.DecodeString(payload)
	if err != nil {
		return claims{}, errToken
	}
	var c claims
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return claims{}, errToken
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) || c.Tenant == "" || c.User == "" || c.ID == "" {
		return claims{}, errToken
	}
	return c, nil
}

// proof returns the fingerprint of a password hash. It changes with the password (each hash has a salt of its own)
// and tells nothing about it.
func (s signer) proof(passwordHash string) string {
	return b64.EncodeToString(s.mac("credentials", passwordHash)[:proofBytes])
}

// mac keeps the two uses of the key apart by their purpose.
func (s signer) mac(purpose, text string) []byte {
	h := hmac.New(sha256.New, s.key)
	_, _ = io.WriteString(h, "parley "+purpose+"\x00"+text) // a hash never fails
	return h.Sum(nil)
}
