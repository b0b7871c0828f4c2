package httpapi

import (
	"context"
	"log/slog"
	"net"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
	"parley/internal/voice"
)

// Verifier tells who a bearer token stands for, or voice.ErrUnauthorized.
type Verifier func(ctx context.Context, token string) (voice.Principal, error)

// Options describe one service to its HTTP server.
type Options struct {
	Service  string // short name, e.g. "registrar"
	Title    string // for the OpenAPI document
	Version  string
	Registry *prometheus.Registry // what /metrics shows
	Health   *obs.Health
	Verify   Verifier
	Log      *slog.Logger
}

// Server is the HTTP side of one service.
type Server struct{}

// New builds the server; it listens to nothing until Serve.
func New(o Options) *Server { panic("httpapi: being built") }

// API is where a service registers its operations (huma.Register). Every operation needs a bearer token.
func (s *Server) API() huma.API { panic("httpapi: being built") }

// App is the Fiber application underneath, for what OpenAPI cannot describe (SSE, WebSocket).
func (s *Server) App() *fiber.App { panic("httpapi: being built") }

// Serve answers on ln until ctx ends, then lets requests in progress finish for a bounded time.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error { panic("httpapi: being built") }

// PrincipalFrom returns who is calling, inside an operation.
func PrincipalFrom(ctx context.Context) voice.Principal { panic("httpapi: being built") }

// Problem turns an error of a door into a problem+json answer: 404 for voice.ErrNotFound, 409 for ErrConflict,
// ErrExists and ErrReferenced, 422 with the fields for ErrInvalid, 401, 403, 429 with Retry-After, 503, 504, and a 500 that tells nothing.
func Problem(err error) error { panic("httpapi: being built") }
