package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"parley/internal/obs"
	"parley/internal/voice"
)

// Limits of a listener.
const (
	maxConns  = 512      // connections at once; one more is told 503 and closed
	maxHeader = 8 * 1024 // bytes of start line and headers; more gets 431

	readTimeout  = 15 * time.Second // for one whole request, from its first byte
	idleTimeout  = 75 * time.Second // between requests of a connection
	writeTimeout = 15 * time.Second // for one write to block; a response may take many

	drainTime = 5 * time.Second // for requests in progress when Serve is told to stop
	killTime  = 2 * time.Second // more, for handlers whose context was then cancelled
)

// DefaultMaxBody is the largest request body in bytes. An operation that takes more says so in
// huma.Operation.MaxBodyBytes; that works for paths without parameters.
const DefaultMaxBody = 1 << 20

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
type Server struct {
	opts  Options
	log   *slog.Logger
	app   *fiber.App
	api   huma.API
	conns conns

	base     atomic.Pointer[context.Context] // what requests run under; cancelled when draining took too long
	stopping chan struct{}                   // closed when Serve begins to drain
	bodies   map[string]int                  // path -> body limit, where it is more than the default; fixed before Serve
}

// New builds the server; it listens to nothing until Serve.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, log: o.Log, stopping: make(chan struct{}), bodies: map[string]int{}}
	s.app = fiber.New(fiber.Config{
		AppName:                      o.Service,
		DisableStartupMessage:        true,
		CaseSensitive:                true,
		StrictRouting:                true,
		BodyLimit:                    DefaultMaxBody,
		ReadBufferSize:               maxHeader,
		ReadTimeout:                  readTimeout,
		IdleTimeout:                  idleTimeout,
		Concurrency:                  4 * maxConns, // never reached: the accept loop counts for itself
		DisablePreParseMultipartForm: true,
		ErrorHandler:                 s.fiberError,
	})
	s.app.Server().ConnState = s.conns.changed
	s.app.Server().HeaderReceived = s.bodyLimit
	s.app.Use(s.guard)
	s.openRoutes()
	s.api = humafiber.New(s.app, s.apiConfig())
	s.api.UseMiddleware(copyStrings, s.authenticate)
	return s
}

// API is where a service registers its operations (huma.Register). Every operation needs a bearer token.
func (s *Server) API() huma.API { return s.api }

// App is the Fiber application underneath, for what OpenAPI cannot describe (SSE, WebSocket). Its handlers are open
// to all unless they come after [Server.RequireToken].
func (s *Server) App() *fiber.App { return s.app }

// Stopping is closed when Serve begins to stop, so that responses without an end (SSE) can end.
func (s *Server) Stopping() <-chan struct{} { return s.stopping }

// guard runs around every request: it gives the context, catches panics and keeps answers out of caches.
func (s *Server) guard(c *fiber.Ctx) (err error) {
	if base := s.base.Load(); base != nil {
		c.SetUserContext(*base)
	}
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderCacheControl, "no-store")
	defer func() {
		if r := recover(); r != nil {
			s.logPanic(c, r)
			c.Response().Reset()
			err = fiber.ErrInternalServerError
		}
	}()
	return c.Next()
}

// bodyLimit lets the few paths that take large bodies have them, if the caller at least claims to be somebody.
func (s *Server) bodyLimit(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	limit, ok := s.bodies[pathOf(h.RequestURI())]
	if !ok || len(h.Peek(fiber.HeaderAuthorization)) == 0 {
		limit = DefaultMaxBody
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: limit}
}

func pathOf(uri []byte) string {
	for i, b := range uri {
		if b == '?' {
			return string(uri[:i])
		}
	}
	return string(uri)
}

// apiConfig is huma without its own routes: no documentation page that loads scripts from elsewhere, no $schema links,
// and the OpenAPI document served by us, since huma's route builds it without a lock.
func (s *Server) apiConfig() huma.Config {
	const prefix = "#/components/schemas/"
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: s.opts.Title, Version: s.opts.Version},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry(prefix, huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					securityScheme: {Type: "http", Scheme: "bearer", Description: "a token of `parley token` or of a sign-in"},
				},
			},
			OnAddOperation: []huma.AddOpFunc{s.describe},
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{s.ownProblem},
	}
}

const securityScheme = "bearer"

// describe completes the OpenAPI entry of an operation: its security, its errors, and its body limit for us.
func (s *Server) describe(doc *huma.OpenAPI, op *huma.Operation) {
	op.Security = []map[string][]string{{securityScheme: {}}}
	schema := doc.Components.Schemas.Schema(problemType, true, "")
	errors := &huma.Response{
		Description: "A problem (RFC 9457)",
		Content:     map[string]*huma.MediaType{problemJSON: {Schema: schema}},
	}
	for status := range op.Responses {
		if status >= "400" { // also "default"
			delete(op.Responses, status)
		}
	}
	op.Responses["default"] = errors
	if op.MaxBodyBytes > DefaultMaxBody {
		s.bodies[op.Path] = int(op.MaxBodyBytes)
	}
}

// document renders the OpenAPI document once, when the first caller asks for it.
func (s *Server) document() func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) {
		doc := s.api.OpenAPI()
		delete(doc.Components.Schemas.Map(), "ErrorModel")  // huma's own errors, which never leave: see ownProblem
		delete(doc.Components.Schemas.Map(), "ErrorDetail") // the same
		return json.Marshal(doc)
	})
}
