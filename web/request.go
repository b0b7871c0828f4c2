package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/ui"
)

// request is one request of a known state: who asks, for which tenant, and the CSRF token of the forms it may answer with.
// Strings it gives are copies and may be kept.
type request struct {
	*Server
	c      *fiber.Ctx
	ctx    context.Context
	keys   *keyring
	who    voice.Principal // the zero Principal on open pages
	token  string          // bearer token; "" on open pages
	csrf   string
	tenant string // of the path, "" where it has none
}

// right tells whether somebody may come in; tenant is that of the path.
type right func(p voice.Principal, tenant string) bool

func anybody(voice.Principal, string) bool         { return true }
func reader(p voice.Principal, tenant string) bool { return p.MayRead(tenant) }
func writer(p voice.Principal, tenant string) bool { return p.MayWrite(tenant) }
func system(p voice.Principal, _ string) bool      { return p.Has(voice.RoleSystem) }
func admin(p voice.Principal, _ string) bool       { return p.MayWrite(p.Tenant) }
func readsAnything(p voice.Principal) bool         { return p.MayRead(p.Tenant) }

// Names of the cookies; the prefix makes browsers refuse them from anywhere but this host over TLS.
const (
	cookieSession = "parley_session"
	cookieVisitor = "parley_visitor"
	cookieTheme   = "parley_theme"
	cookieScope   = "parley_tenant"
	hostPrefix    = "__Host-"
)

func (s *Server) cookieName(name string) string {
	if s.cfg.secure() {
		return hostPrefix + name
	}
	return name
}

// setCookie sets a cookie no script can read. life 0 keeps it until the browser closes; a negative one removes it.
func (s *Server) setCookie(c *fiber.Ctx, name, value string, life time.Duration) {
	ck := &fiber.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", HTTPOnly: true, Secure: s.cfg.secure(), SameSite: fiber.CookieSameSiteLaxMode,
	}
	if life != 0 {
		ck.MaxAge = max(int(life/time.Second), -1)
		ck.Expires = s.now().Add(life)
	}
	c.Cookie(ck)
}

func (s *Server) cookie(c *fiber.Ctx, name string) string {
	return strings.Clone(c.Cookies(s.cookieName(name)))
}

// open lets anybody in. A visitor gets a random value, to which the CSRF token of the sign-in form is bound.
func (s *Server) open(h func(*request) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		keys := s.keys.Load()
		if keys == nil {
			return errStarting
		}
		visitor := s.cookie(c, cookieVisitor)
		if len(visitor) != b64.EncodedLen(visitorBytes) {
			visitor = newVisitor()
			s.setCookie(c, cookieVisitor, visitor, 0)
		}
		r := &request{Server: s, c: c, ctx: c.UserContext(), keys: keys, csrf: keys.guestToken(visitor)}
		if err := r.checkForm(); err != nil {
			return err
		}
		return h(r)
	}
}

// signedIn lets in whoever has a good session and the right; others are sent to the sign-in page.
func (s *Server) signedIn(may right, h func(*request) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		keys := s.keys.Load()
		if keys == nil {
			return errStarting
		}
		ticket, ok := keys.unseal(s.cookie(c, cookieSession))
		now := s.now()
		if !ok || now.Sub(ticket.seen) > s.cfg.SessionIdle {
			return errSignIn
		}
		who, err := fabric.Call(c.UserContext(), s.f, contract.VerifyToken, ticket.token)
		if voice.CodeOf(err) == "unauthorized" {
			return errSignIn
		}
		if err != nil {
			return err
		}
		r := &request{Server: s, c: c, ctx: c.UserContext(), keys: keys, who: who, token: ticket.token, csrf: keys.formToken(ticket.token)}
		r.tenant = r.param("tenant")
		if !may(who, r.tenant) {
			return voice.ErrForbidden
		}
		if err := r.checkForm(); err != nil {
			return err
		}
		// A live stream is not use: an overview left open on a wall must not keep a session for ever.
		if now.Sub(ticket.seen) > seenStep && c.Path() != "/live" {
			s.setSession(c, keys, ticket.token)
		}
		return h(r)
	}
}

// setSession puts the bearer token into the session cookie, as used now. The token ends by itself at SessionMax.
func (s *Server) setSession(c *fiber.Ctx, keys *keyring, token string) {
	s.setCookie(c, cookieSession, keys.seal(sealed{token: token, seen: s.now()}), 0)
}

// checkForm refuses a POST that did not come from one of our own forms: by what the browser says of its origin, and
// by the token of the form.
func (r *request) checkForm() error {
	if r.c.Method() != fiber.MethodPost {
		return nil
	}
	site := r.c.Get("Sec-Fetch-Site")
	if site != "" && site != "same-origin" || !r.sameOrigin() || !sameToken(r.raw("csrf"), r.csrf) {
		r.metrics.csrf.Inc()
		return errForm
	}
	return nil
}

// sameOrigin compares Origin, where the browser sends it, with the host that was asked.
func (r *request) sameOrigin() bool {
	origin := r.c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return true
	}
	o, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if public, err := url.Parse(r.cfg.PublicURL); err == nil && public.Host != "" && strings.EqualFold(o.Host, public.Host) {
		return true
	}
	return strings.EqualFold(o.Host, string(r.c.Context().Host()))
}

// param returns a parameter of the path without its percent escapes.
func (r *request) param(name string) string {
	raw := r.c.Params(name)
	plain, err := url.PathUnescape(raw)
	if err != nil {
		plain = raw // a lone '%' stands for itself
	}
	return strings.Clone(plain)
}

// form returns a field of the form without blanks around it, raw the same as it was typed.
func (r *request) form(name string) string { return strings.TrimSpace(r.raw(name)) }
func (r *request) raw(name string) string  { return string(r.c.Context().PostArgs().Peek(name)) }

// formAll returns every value of a field that may be given several times.
func (r *request) formAll(name string) []string {
	var out []string
	for _, v := range r.c.Context().PostArgs().PeekMulti(name) {
		out = append(out, string(v))
	}
	return out
}

// query returns a parameter behind the question mark, cut to a length nobody reaches by hand.
func (r *request) query(name string) string {
	const most = 256
	v := r.c.Query(name)
	return strings.TrimSpace(strings.Clone(v[:min(len(v), most)]))
}

// source is where the request came from.
func (r *request) source() netip.Addr {
	ap, err := netip.ParseAddrPort(r.c.Context().RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// sessionID stands for the session where the token itself must not.
func (r *request) sessionID() string {
	sum := sha256.Sum256([]byte(r.token))
	return base64.RawStdEncoding.EncodeToString(sum[:12])
}

// scope is the tenant that the navigation leads to: that of the path, else the one last worked on, else the own.
func (r *request) scope() string {
	if r.tenant != "" && r.tenant != voice.SystemTenant {
		return r.tenant
	}
	if r.who.Has(voice.RoleSystem) {
		if last, err := url.QueryUnescape(r.cookie(r.c, cookieScope)); err == nil && last != "" {
			return last
		}
	}
	return r.who.Tenant
}

// page renders a page for whoever asks.
func (r *request) page(name, title, nav string, data any) error {
	p := &ui.Page{
		Title: title, Nav: nav, Path: strings.Clone(r.c.OriginalURL()), Theme: r.themeOf(r.c), CSRF: r.csrf, Version: r.version,
		Node: r.f.Node(), Data: data, Flash: flashes[r.c.Query("done")],
	}
	if r.token != "" {
		p.Viewer, p.Scope = viewer(r.who), r.scope()
		if p.Viewer.System {
			var err error
			if p.Tenants, err = r.tenantNames(p.Scope); err != nil {
				return err
			}
		}
	}
	return r.send(name, p)
}

func (s *Server) html(c *fiber.Ctx, body []byte) error {
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	return c.Send(body)
}

func (r *request) send(name string, p *ui.Page) error {
	body, err := r.ui.Page(name, p)
	if err != nil {
		return err
	}
	return r.html(r.c, body)
}

// done goes on to a page after a form has done its work, with a word about it (see flashes).
func (r *request) done(path, what string) error {
	return r.c.Redirect(path+"?done="+what, fiber.StatusSeeOther)
}

// flashes are the words of done. The query names one, it never brings its own text.
var flashes = map[string]*ui.Flash{
	"saved":      {Kind: "good", Text: "The changes are saved."},
	"created":    {Kind: "good", Text: "Created."},
	"deleted":    {Kind: "good", Text: "Deleted."},
	"removed":    {Kind: "good", Text: "The contact was removed. The phone comes back with its next registration."},
	"banned":     {Kind: "good", Text: "The address is banned on every node."},
	"lifted":     {Kind: "good", Text: "The ban is lifted."},
	"password":   {Kind: "good", Text: "Your password is changed. Your other sessions have ended."},
	"hung-up":    {Kind: "good", Text: "The call is being ended."},
	"over":       {Kind: "good", Text: "That call is over already."},
	"signed-out": {Kind: "good", Text: "You are signed out."},
}

func viewer(p voice.Principal) *ui.Viewer {
	v := &ui.Viewer{User: p.User, Tenant: p.Tenant, RoleName: "no role", System: p.Has(voice.RoleSystem), Admin: p.MayWrite(p.Tenant), Reads: readsAnything(p)}
	for _, known := range []voice.Role{voice.RoleAgent, voice.RoleSupervisor, voice.RoleAdmin, voice.RoleSystem} {
		if p.Has(known) {
			v.RoleName = string(known)
		}
	}
	return v
}

// tenantPath is the address of a page of tenant, each part escaped.
func tenantPath(tenant string, parts ...string) string {
	path := "/t/" + url.PathEscape(tenant)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}
