package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"parley/internal/voice"
)

const problemJSON = "application/problem+json"

var problemType = reflect.TypeFor[ProblemDetails]()

// ProblemDetails is the body of every error answer (RFC 9457). Code and the file positions are extensions.
type ProblemDetails struct {
	Title  string        `json:"title" doc:"The HTTP status in words"`
	Status int           `json:"status" doc:"HTTP status code"`
	Detail string        `json:"detail,omitempty" doc:"What went wrong, as a sentence"`
	Code   voice.Code    `json:"code,omitempty" doc:"Stable name of the kind of problem"`
	Errors []ProblemItem `json:"errors,omitempty" doc:"Each field at fault"`

	headers http.Header
	cause   error // for the log of a 5xx; never sent
}

// ProblemItem is one field at fault, with its place in the file when the request carried one.
type ProblemItem struct {
	Message  string `json:"message" doc:"What is wrong and what is wanted"`
	Location string `json:"location,omitempty" doc:"Path of the field, e.g. body.number"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
}

// Error is the detail, so that ProblemDetails travels as an error.
func (p *ProblemDetails) Error() string { return p.Detail }

// GetStatus makes huma answer with the status of p.
func (p *ProblemDetails) GetStatus() int { return p.Status }

// GetHeaders makes huma send the headers that belong to p.
func (p *ProblemDetails) GetHeaders() http.Header { return p.headers }

// ContentType makes huma send p as problem+json.
func (p *ProblemDetails) ContentType(string) string { return problemJSON }

// statuses gives each code its HTTP status and the sentence for a caller when the error brings none.
var statuses = map[voice.Code]struct {
	status int
	detail string
}{
	"not_found":    {http.StatusNotFound, "there is no such resource"},
	"conflict":     {http.StatusConflict, "it was changed by somebody else meanwhile"},
	"exists":       {http.StatusConflict, "it exists already"},
	"referenced":   {http.StatusConflict, "something still refers to it"},
	"invalid":      {http.StatusUnprocessableEntity, "the request is invalid"},
	"unauthorized": {http.StatusUnauthorized, "a valid bearer token is needed"},
	"forbidden":    {http.StatusForbidden, "your role does not allow this"},
	"overloaded":   {http.StatusTooManyRequests, "too many requests, try again later"},
	"unavailable":  {http.StatusServiceUnavailable, "the service is not available at the moment"},
	"timeout":      {http.StatusGatewayTimeout, "there was no answer in time"},
	"internal":     {http.StatusInternalServerError, "internal error"},
}

// retryAfter is what 429 and 503 tell a client, in seconds.
const retryAfter = "2"

// Problem turns an error of a door into a problem+json answer: 404 for voice.ErrNotFound, 409 for ErrConflict,
// ErrExists and ErrReferenced, 422 with the fields for ErrInvalid, 401, 403, 429 with Retry-After, 503, 504, and a
// 500 that tells nothing. The sentence of a *voice.Error is shown, other error texts are not. Problem(nil) is nil.
func Problem(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[huma.StatusError](err); ok {
		return err
	}
	return problemOf(err)
}

func problemOf(err error) *ProblemDetails {
	code := voice.CodeOf(err)
	s := statuses[code]
	p := &ProblemDetails{Title: http.StatusText(s.status), Status: s.status, Detail: s.detail, Code: code, cause: err}
	ve, ok := errors.AsType[*voice.Error](err)
	if ok && code != "internal" && ve.Message != "" {
		p.Detail = ve.Message
		for _, f := range ve.Fields {
			p.Errors = append(p.Errors, ProblemItem{Message: f.Reason, Location: f.Field, File: f.File, Line: f.Line, Column: f.Column})
		}
	}
	switch s.status {
	case http.StatusUnauthorized:
		p.headers = http.Header{"Www-Authenticate": {`Bearer realm="parley"`}}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		p.headers = http.Header{"Retry-After": {retryAfter}}
	}
	return p
}

// statusProblem is a problem that HTTP itself has: no route, wrong method, body too large.
func statusProblem(status int, detail string) *ProblemDetails {
	for code, s := range statuses {
		if s.status == status && status != http.StatusConflict {
			return &ProblemDetails{Title: http.StatusText(status), Status: status, Detail: s.detail, Code: code}
		}
	}
	return &ProblemDetails{Title: http.StatusText(status), Status: status, Detail: detail}
}

// ReadProblem turns an error answer back into the error it was made from: a *voice.Error that wraps its sentinel.
// A body that is no problem+json gives an error by status alone.
func ReadProblem(status int, body []byte) error {
	var p ProblemDetails
	if err := json.Unmarshal(body, &p); err != nil || p.Status == 0 {
		p = ProblemDetails{Status: status, Detail: fmt.Sprintf("%d %s", status, http.StatusText(status))}
	}
	if p.Code == "" {
		p.Code = statusProblem(p.Status, "").Code
	}
	switch {
	case p.Code != "":
	case p.Status >= 400 && p.Status < 500:
		p.Code = "invalid"
	default:
		p.Code = "internal"
	}
	e := &voice.Error{Code: p.Code, Message: p.Detail}
	for _, i := range p.Errors {
		e.Fields = append(e.Fields, voice.FieldError{File: i.File, Line: i.Line, Column: i.Column, Field: i.Location, Reason: i.Message})
	}
	return e
}

// ownProblem is the one place where errors pass on their way out of an operation: huma's own become ours, without the
// echo of the value (it may be a password) and without the text of errors nobody meant for strangers.
func (s *Server) ownProblem(ctx huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case *huma.ErrorModel:
		p := statusProblem(e.Status, e.Detail)
		if e.Status < http.StatusInternalServerError {
			p.Detail = e.Detail
			for _, d := range e.Errors {
				p.Errors = append(p.Errors, ProblemItem{Message: d.Message, Location: d.Location})
			}
		} else {
			p.cause = errors.New(e.Detail)
			for _, d := range e.Errors {
				p.cause = fmt.Errorf("%w: %w", p.cause, d)
			}
		}
		s.logCause(ctx.Method(), ctx.Operation().Path, p)
		return p, nil
	case *ProblemDetails:
		s.logCause(ctx.Method(), ctx.Operation().Path, e)
	}
	return v, nil
}

// fiberError answers what went wrong outside of an operation.
func (s *Server) fiberError(c *fiber.Ctx, err error) error {
	if fe, ok := errors.AsType[*fiber.Error](err); ok {
		lingerAfter(c, fe.Code)
		detail := http.StatusText(fe.Code)
		switch fe.Code {
		case http.StatusMethodNotAllowed:
			detail = "the resource does not know this method; see the header Allow"
		case http.StatusRequestEntityTooLarge:
			detail = "the request body is larger than this resource takes"
		case http.StatusBadRequest:
			detail = "the request is not well-formed HTTP"
		}
		return writeProblem(c, statusProblem(fe.Code, detail))
	}
	p, ok := errors.AsType[*ProblemDetails](err)
	if !ok {
		p = problemOf(err)
	}
	s.logCause(c.Method(), c.Path(), p)
	return writeProblem(c, p)
}

func writeProblem(c *fiber.Ctx, p *ProblemDetails) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("render problem: %w", err)
	}
	for k, v := range p.headers {
		c.Set(k, v[0])
	}
	c.Set(fiber.HeaderContentType, problemJSON)
	return c.Status(p.Status).Send(body)
}

// logCause logs the error behind a 5xx; this is where such an error stops travelling.
func (s *Server) logCause(method, path string, p *ProblemDetails) {
	if p.Status < http.StatusInternalServerError || p.cause == nil {
		return
	}
	s.log.Error("request failed", "method", method, "path", path, "status", p.Status, "err", p.cause)
}

func (s *Server) logPanic(c *fiber.Ctx, r any) {
	s.log.Error("panic in a request", "method", c.Method(), "route", c.Route().Path, "panic", r, "stack", string(debug.Stack()))
}
