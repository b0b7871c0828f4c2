package workspace

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// grant is a token that waits to be fetched with a code (RFC 6749 §4.1).
type grant struct {
	token    string
	expires  time.Time // of the token; zero = not known
	redirect string    // the code is good only with the redirect_uri it was asked for with (§4.1.3)
	until    time.Time
}

// codes are authorization codes: good once, for a minute.
type codes struct {
	mu    sync.Mutex // guards what follows
	byKey map[string]grant
}

func (t *codes) put(g grant) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey == nil {
		t.byKey = map[string]grant{}
	}
	if len(t.byKey) >= maxCodes {
		return "", false
	}
	code := newKey()
	t.byKey[code] = g
	return code, true
}

func (t *codes) take(code, redirect string, now time.Time) (grant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.byKey[code]
	delete(t.byKey, code) // tried once, whatever comes of it
	return g, ok && g.redirect == redirect && now.Before(g.until)
}

func (t *codes) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for code, g := range t.byKey {
		if !now.Before(g.until) {
			delete(t.byKey, code)
		}
	}
}

// oauthError is a refusal as RFC 6749 §5.2 writes it.
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func refuseOAuth(c *exchange, code int, kind, why string) error {
	return c.reply(code, oauthError{kind, why})
}

// oauthFailure is the refusal of a sign-in.
func (s *Service) oauthFailure(c *exchange, err error) error {
	switch voice.CodeOf(err) {
	case "unauthorized", "not_found", "invalid":
		return refuseOAuth(c, http.StatusBadRequest, "invalid_grant", "the name or the password is wrong")
	case "overloaded":
		return refuseOAuth(c, http.StatusTooManyRequests, "temporarily_unavailable", "too many attempts; try again in a few minutes")
	}
	s.log.Error("sign-in of a desktop", "err", err)
	return refuseOAuth(c, http.StatusServiceUnavailable, "temporarily_unavailable", "sign-in is not possible at the moment")
}

// tokenOf gives a token for a password or a code (RFC 6749 §4.1.3, §4.3.2). username may name the tenant: "acme\alice".
func (s *Service) tokenOf(c *exchange) error {
	form := c.PostFormValue
	switch form("grant_type") {
	case "password":
		session, err := s.signIn(c, form("username"), form("password"))
		if err != nil {
			return s.oauthFailure(c, err)
		}
		return c.reply(http.StatusOK, s.tokenBody(session.Token, session.Expires))
	case "authorization_code":
		g, ok := s.codes.take(form("code"), form("redirect_uri"), s.o.Now())
		if !ok {
			return refuseOAuth(c, http.StatusBadRequest, "invalid_grant", "the code is not valid, was used, or belongs to another redirect_uri")
		}
		return c.reply(http.StatusOK, s.tokenBody(g.token, g.expires))
	case "":
		return refuseOAuth(c, http.StatusBadRequest, "invalid_request", "grant_type is missing")
	}
	return refuseOAuth(c, http.StatusBadRequest, "unsupported_grant_type", "grant_type is one of password and authorization_code")
}

func (s *Service) tokenBody(token string, expires time.Time) any {
	body := map[string]any{"access_token": token, "token_type": "bearer", "scope": "*"}
	if !expires.IsZero() { // of a token that somebody brought it is not known
		body["expires_in"] = max(0, int64(expires.Sub(s.o.Now())/time.Second))
	}
	return body
}

func (s *Service) signIn(c *exchange, user, password string) (contract.Session, error) {
	tenant := ""
	if before, after, ok := strings.Cut(user, `\`); ok {
		tenant, user = before, after
	}
	return s.o.SignIn(c.Context(), contract.SignInRequest{Tenant: tenant, User: user, Password: password, Source: c.source()})
}

// authorize gives a code to who sends a name and a password, or a token, and leads back to redirect_uri with it (RFC 6749
// §4.1.1). There is no page: a desktop asks its user itself. Nothing here makes a browser send a password by itself, so no
// page of somebody else can have a code made.
func (s *Service) authorize(c *exchange) error {
	redirect := c.query("redirect_uri")
	back, err := url.Parse(redirect)
	if c.query("response_type") != "code" || err != nil || !back.IsAbs() || back.Host == "" || back.Fragment != "" || len(redirect) > 2048 ||
		back.Scheme != "https" && back.Scheme != "http" {
		return refuseOAuth(c, http.StatusBadRequest, "invalid_request", "response_type=code and an absolute redirect_uri are needed")
	}
	token, expires, err := s.credentials(c)
	if err != nil {
		return s.oauthFailure(c, err)
	}
	code, ok := s.codes.put(grant{token: token, expires: expires, redirect: redirect, until: s.o.Now().Add(codeLife)})
	if !ok {
		return refuseOAuth(c, http.StatusServiceUnavailable, "temporarily_unavailable", "too many codes wait to be used")
	}
	q := back.Query()
	q.Set("code", code)
	if state := c.query("state"); state != "" {
		q.Set("state", state)
	}
	back.RawQuery = q.Encode()
	return c.redirect(back.String())
}

// credentials are those of the header Authorization: Basic (RFC 7617) signs in, Bearer (RFC 6750) is a token already.
func (s *Service) credentials(c *exchange) (token string, expires time.Time, err error) {
	scheme, rest, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer") && rest != "":
		_, err := s.o.Verify(c.Context(), rest)
		return rest, time.Time{}, err
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(rest)
		user, password, ok := strings.Cut(string(plain), ":")
		if err != nil || !ok {
			return "", time.Time{}, voice.ErrUnauthorized
		}
		session, err := s.signIn(c, user, password)
		return session.Token, session.Expires, err
	}
	return "", time.Time{}, voice.ErrUnauthorized
}

// userInfo says who a token stands for.
func (s *Service) userInfo(c *exchange) error {
	scheme, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return s.refusal(c, voice.Errorf(voice.ErrUnauthorized, "a valid bearer token is needed"))
	}
	p, err := s.o.Verify(c.Context(), strings.TrimSpace(token))
	if err != nil {
		return s.refusal(c, err)
	}
	return c.reply(http.StatusOK, map[string]any{
		"username": p.User, "contact_center_id": p.Tenant, "authorities": p.Roles, "user": map[string]any{"cmeUserName": p.User},
	})
}

// person reads who a token stands for.
func (s *Service) person(ctx context.Context, p voice.Principal) (voice.Person, error) {
	var out voice.Person
	err := s.read(ctx, voice.KindPerson, p.Tenant, p.User, &out)
	return out, err
}
