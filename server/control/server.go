package control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// Node is what a server shows and does. Errors are those of the doors.
type Node interface {
	Status(ctx context.Context) contract.StatusReport
	Cluster(ctx context.Context) Cluster
	Apply(ctx context.Context, req contract.ConfigApplyRequest) (contract.ConfigApplyResponse, error)
	Export(ctx context.Context, req contract.ConfigExportRequest) (contract.ConfigExportResponse, error)
	IssueToken(ctx context.Context, req contract.IssueTokenRequest) (contract.Session, error)
	Resolve(ctx context.Context, req *contract.ResolveRequest) (*contract.ResolveResponse, error)
	Script(ctx context.Context, req ScriptRequest) (ScriptAnswer, error)
	Treat(ctx context.Context, req *contract.TreatmentRequest) (*contract.RequestAnswer, error)
	Route(ctx context.Context, req *contract.RouteCallRequest) (*contract.RequestAnswer, error)
	Request(ctx context.Context, req *voice.Request) (*contract.RequestAnswer, error)
}

// Cluster is all nodes alive, this one first, and those that did not answer.
type Cluster struct {
	Nodes  []contract.StatusReport `json:"nodes"`
	Silent []string                `json:"silent,omitempty"` // id: why
}

// TokenRequest asks for a token of a person.
type TokenRequest struct {
	Tenant string `json:"tenant"`
	User   string `json:"user"`
	TTL    string `json:"ttl"` // as time.ParseDuration reads it; "" = 24h
}

const (
	maxBody       = 64 << 20
	drainTime     = 3 * time.Second
	unknownCaller = "local"
)

// Server answers on the control socket.
type Server struct {
	node Node
	log  *slog.Logger
}

// New returns a server for node; it starts nothing.
func New(node Node, log *slog.Logger) *Server { return &Server{node: node, log: log} }

type callerKey struct{}

// Serve answers on ln until ctx ends, then lets requests in progress finish for a few seconds. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, callerKey{}, caller(c))
		},
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err := srv.Shutdown(drain)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close() // a profile or a stream still running is cut
		}
		stopped <- err
	})
	err := srv.Serve(ln)
	if stop() { // ctx still lives: the listener broke
		return errors.Join(err, srv.Close())
	}
	return <-stopped
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, s.node.Status(r.Context()), nil)
	})
	mux.HandleFunc("GET /cluster", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, s.node.Cluster(r.Context()), nil)
	})
	mux.HandleFunc("POST /apply", s.apply)
	mux.HandleFunc("GET /export", s.export)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /dial", s.dial)
	mux.HandleFunc("POST /script", s.script)
	mux.HandleFunc("POST /treat", s.treat)
	mux.HandleFunc("POST /route", s.route)
	mux.HandleFunc("POST /request", s.request)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func (s *Server) apply(w http.ResponseWriter, r *http.Request) {
	var req contract.ConfigApplyRequest
	if err := decode(w, r, &req); err != nil {
		s.answer(w, nil, err)
		return
	}
	req.User = callerOf(r)
	res, err := s.node.Apply(r.Context(), req)
	s.answer(w, res, err)
}

func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	secrets, err := strconv.ParseBool(r.URL.Query().Get("secrets"))
	if err != nil {
		s.answer(w, nil, voice.Invalid(voice.FieldError{Field: "query.secrets", Reason: "want true or false"}))
		return
	}
	res, err := s.node.Export(r.Context(), contract.ConfigExportRequest{Tenant: r.URL.Query().Get("tenant"), Secrets: secrets})
	s.answer(w, res, err)
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	var req TokenRequest
	if err := decode(w, r, &req); err != nil {
		s.answer(w, nil, err)
		return
	}
	ttl, err := time.ParseDuration(req.TTL)
	if req.TTL != "" && err != nil {
		s.answer(w, nil, voice.Invalid(voice.FieldError{Field: "ttl", Reason: "want a duration such as 24h"}))
		return
	}
	session, err := s.node.IssueToken(r.Context(), contract.IssueTokenRequest{Tenant: req.Tenant, User: req.User, TTL: ttl, By: callerOf(r)})
	s.answer(w, session, err)
}

func (s *Server) dial(w http.ResponseWriter, r *http.Request) {
	var req contract.ResolveRequest
	if err := decode(w, r, &req); err != nil {
		s.answer(w, nil, err)
		return
	}
	res, err := s.node.Resolve(r.Context(), &req)
	s.answer(w, res, err)
}

func (s *Server) treat(w http.ResponseWriter, r *http.Request) {
	var req contract.TreatmentRequest
	if err := decode(w, r, &req); err != nil {
		s.answer(w, nil, err)
		return
	}
	res, err := s.node.Treat(r.Context(), &req)
	s.answer(w, res, err)
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	var req contract.RouteCallRequest
	if err := decode(w, r, &req); err != nil {
		s.answer(w, nil, err)
		return
	}
	res, err := s.node.Route(r.Context(), &req)
	s.answer(w, res, err)
}

func (s *Server) request(w http.ResponseWriter, r *http.Request) {
	var req voice.Request
	if err := decode(w, r, &req); err != nil {
		s.answer(w, nil, err)
		return
	}
	req.User = callerOf(r)
	res, err := s.node.Request(r.Context(), &req)
	s.answer(w, res, err)
}

// callerOf is the account that sent r.
func callerOf(r *http.Request) string {
	name, _ := r.Context().Value(callerKey{}).(string)
	return name
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return voice.Errorf(voice.ErrInvalid, "the request cannot be read: %v", err)
	}
	return nil
}

// answer writes v, or err as a problem.
func (s *Server) answer(w http.ResponseWriter, v any, err error) {
	status, kind := http.StatusOK, "application/json"
	if err != nil {
		var p *httpapi.ProblemDetails
		if !errors.As(httpapi.Problem(err), &p) {
			p = &httpapi.ProblemDetails{Status: http.StatusInternalServerError}
		}
		if p.Status >= http.StatusInternalServerError {
			p.Detail = err.Error() // whoever reaches the socket may read the log as well
			s.log.Error("control request failed", slog.Any("err", err))
		}
		v, status, kind = p, p.Status, "application/problem+json"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.log.Debug("control answer not taken", slog.Any("err", err))
	}
}
