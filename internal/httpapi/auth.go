package httpapi

import (
	"context"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"parley/internal/voice"
)

type principalKey struct{}

// PrincipalFrom returns who is calling, inside an operation or after [Server.RequireToken]; the zero Principal, who
// may do nothing, elsewhere.
func PrincipalFrom(ctx context.Context) voice.Principal {
	p, _ := ctx.Value(principalKey{}).(voice.Principal)
	return p
}

// WithPrincipal returns a context in which p is calling.
func WithPrincipal(ctx context.Context, p voice.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// authenticate lets an operation run only for a good token.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	p, err := s.verify(ctx.Context(), ctx.Header("Authorization"))
	if err != nil {
		c := humafiber.Unwrap(ctx)
		if err := s.fiberError(c, err); err != nil {
			s.log.Error("answer a refused request", "err", err)
		}
		return
	}
	next(huma.WithContext(ctx, WithPrincipal(ctx.Context(), p)))
}

// RequireToken is the same for handlers on App: the principal is in the context of c.UserContext().
func (s *Server) RequireToken(c *fiber.Ctx) error {
	p, err := s.verify(c.UserContext(), strings.Clone(c.Get(fiber.HeaderAuthorization)))
	if err != nil {
		return err
	}
	c.SetUserContext(WithPrincipal(c.UserContext(), p))
	return c.Next()
}

// verify reads "Bearer <token>" (RFC 6750 §2.1). A missing, malformed and wrong token get the same answer.
func (s *Server) verify(ctx context.Context, authorization string) (voice.Principal, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return voice.Principal{}, voice.ErrUnauthorized
	}
	p, err := s.opts.Verify(ctx, token)
	if err != nil && voice.CodeOf(err) == "unauthorized" {
		err = voice.ErrUnauthorized // whatever sentence it brought
	}
	return p, err
}

// copyStrings gives operations strings of their own instead of views into a buffer that Fiber reuses, and path
// parameters without their percent escapes.
func copyStrings(ctx huma.Context, next func(huma.Context)) { next(ownedContext{ctx}) }

type innerContext huma.Context

type ownedContext struct{ innerContext }

// Unwrap lets humafiber.Unwrap find its own context.
func (c ownedContext) Unwrap() huma.Context { return c.innerContext }

func (c ownedContext) Param(name string) string {
	raw := c.innerContext.Param(name)
	plain, err := url.PathUnescape(raw)
	if err != nil {
		return strings.Clone(raw) // a lone '%' stands for itself
	}
	return strings.Clone(plain)
}

func (c ownedContext) Query(name string) string  { return strings.Clone(c.innerContext.Query(name)) }
func (c ownedContext) Header(name string) string { return strings.Clone(c.innerContext.Header(name)) }
func (c ownedContext) Method() string            { return strings.Clone(c.innerContext.Method()) }
func (c ownedContext) Host() string              { return strings.Clone(c.innerContext.Host()) }
