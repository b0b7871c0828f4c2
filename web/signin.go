package web

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/ui"
)

// signInView is the sign-in form.
type signInView struct {
	User, Tenant, Next string
	Problem            *ui.Problem
}

func (s *Server) signInPage(r *request) error {
	v := signInView{Next: ownPath(r.query("next"))}
	return r.page("signin", "Sign in", "", v)
}

// signIn checks name and password with services/tenant, which takes its time, counts and locks out.
func (s *Server) signIn(r *request) error {
	v := signInView{User: r.form("user"), Tenant: r.form("tenant"), Next: ownPath(r.form("next"))}
	session, err := fabric.Call(r.ctx, s.f, contract.SignIn, contract.SignInRequest{
		Tenant: v.Tenant, User: v.User, Password: r.raw("password"), Source: r.source(), TTL: s.cfg.SessionMax,
	})
	switch {
	case errors.Is(err, voice.ErrUnauthorized), errors.Is(err, voice.ErrInvalid):
		v.Problem = &ui.Problem{Text: "The name or the password is wrong."}
		r.c.Status(fiber.StatusUnauthorized)
		return r.page("signin", "Sign in", "", v)
	case errors.Is(err, voice.ErrOverloaded):
		v.Problem = &ui.Problem{Text: "There were too many failed attempts. Please wait a few minutes and try again."}
		r.c.Status(fiber.StatusTooManyRequests)
		r.c.Set(fiber.HeaderRetryAfter, "300")
		return r.page("signin", "Sign in", "", v)
	case err != nil:
		return err
	}
	s.setSession(r.c, r.keys, session.Token)
	s.setCookie(r.c, cookieVisitor, "", -time.Hour)
	if v.Next == "" {
		v.Next = "/"
	}
	return r.c.Redirect(v.Next, fiber.StatusSeeOther)
}

// ownPath returns next if it leads to a page of this site, else "". Browsers read "//host" and "/\host" as elsewhere.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(u.Path, "/signin") {
		return ""
	}
	return next
}

// signOut revokes the token everywhere, then forgets the cookie.
func (s *Server) signOut(r *request) error {
	if _, err := fabric.Call(r.ctx, s.f, contract.RevokeToken, r.token); err != nil && !errors.Is(err, voice.ErrUnauthorized) {
		return err
	}
	s.setCookie(r.c, cookieSession, "", -time.Hour)
	return r.done("/signin", "signed-out")
}

// theme remembers light or dark. Anybody may choose for himself; the worst a forged request does is change a colour.
func (s *Server) theme(c *fiber.Ctx) error {
	choice := string(c.Context().PostArgs().Peek("theme"))
	if choice != "light" && choice != "dark" {
		return fiber.ErrBadRequest
	}
	s.setCookie(c, cookieTheme, choice, 365*24*time.Hour)
	back := ownPath(string(c.Context().PostArgs().Peek("back")))
	if back == "" {
		back = "/"
	}
	return c.Redirect(back, fiber.StatusSeeOther)
}

// themeOf returns what was chosen: light, dark, or "" for what the system prefers.
func (s *Server) themeOf(c *fiber.Ctx) string {
	switch choice := s.cookie(c, cookieTheme); choice {
	case "light", "dark":
		return choice
	}
	return ""
}

// switchTenant leads the system role to the extensions of another tenant and remembers it.
func (s *Server) switchTenant(r *request) error {
	name := r.query("tenant")
	if name == "" {
		return r.c.Redirect("/", fiber.StatusSeeOther)
	}
	if _, err := r.get(voice.SystemTenant, voice.KindTenant, name); err != nil {
		return err
	}
	s.setCookie(r.c, cookieScope, url.QueryEscape(name), 30*24*time.Hour)
	return r.c.Redirect(tenantPath(name, "extensions"), fiber.StatusSeeOther)
}
