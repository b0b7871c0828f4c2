package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	seenStep      = time.Minute // how exactly the cookie tells when the session was last used
	maxCookie     = 3072        // bytes of a session cookie; a longer one is not ours
	csrfBytes     = 18
	visitorBytes  = 16 // of the random value that stands for somebody who has not signed in
	purposeCookie = "session"
	purposeForm   = "form"
	purposeGuest  = "guest"
)

// keyring signs what the pages hand out and get back. Its key is the cluster secret "web".
type keyring struct{ key []byte }

var b64 = base64.RawURLEncoding.Strict()

func (k keyring) mac(purpose, text string) []byte {
	h := hmac.New(sha256.New, k.key)
	_, _ = io.WriteString(h, "parley web "+purpose+"\x00"+text) // a hash never fails
	return h.Sum(nil)
}

// sealed is what the session cookie says.
type sealed struct {
	token string    // bearer token of services/tenant
	seen  time.Time // when the session was last used, to the minute or so
}

// seal returns the cookie: token~seen~mac. The token has its own signature; this one is about when it was last used.
func (k keyring) seal(s sealed) string {
	text := s.token + "~" + strconv.FormatInt(s.seen.Unix(), 10)
	return text + "~" + b64.EncodeToString(k.mac(purposeCookie, text))
}

// unseal reads a cookie. ok is false unless this cluster made it.
func (k keyring) unseal(cookie string) (s sealed, ok bool) {
	cut := strings.LastIndexByte(cookie, '~')
	if cut < 0 || len(cookie) > maxCookie {
		return sealed{}, false
	}
	text := cookie[:cut]
	mac, err := b64.DecodeString(cookie[cut+1:])
	if err != nil || !hmac.Equal(mac, k.mac(purposeCookie, text)) {
		return sealed{}, false
	}
	token, seen, found := strings.Cut(text, "~")
	unix, err := strconv.ParseInt(seen, 10, 64)
	if !found || err != nil {
		return sealed{}, false
	}
	return sealed{token: token, seen: time.Unix(unix, 0)}, true
}

// formToken is the CSRF token of every form of a session; a sign-in brings a new bearer token and with it another one.
func (k keyring) formToken(token string) string {
	return b64.EncodeToString(k.mac(purposeForm, token)[:csrfBytes])
}

// guestToken is the CSRF token of the sign-in form, bound to the random value in the visitor's cookie.
func (k keyring) guestToken(visitor string) string {
	return b64.EncodeToString(k.mac(purposeGuest, visitor)[:csrfBytes])
}

// sameToken compares without telling how far two tokens agree.
func sameToken(got, want string) bool { return hmac.Equal([]byte(got), []byte(want)) }

func newVisitor() string {
	var v [visitorBytes]byte
	_, _ = rand.Read(v[:]) // never fails, by its contract
	return b64.EncodeToString(v[:])
}
