package voice

import (
	"context"
	"errors"
	"fmt"
)

// The sentinel errors. A door carries the code of one of these over the wire and turns it back into the
// same sentinel on the other side, so errors.Is works wherever the service runs.
var (
	ErrNotFound     = errors.New("not found")
	ErrConflict     = errors.New("conflict")            // a version or revision was not the expected one
	ErrExists       = errors.New("already exists")      // created twice
	ErrInvalid      = errors.New("invalid")             // the request is wrong; see Error.Fields
	ErrReferenced   = errors.New("still referenced")    // a delete that would leave dangling references
	ErrUnauthorized = errors.New("not authenticated")   // no or wrong credentials
	ErrForbidden    = errors.New("not allowed")         // good credentials, missing right
	ErrUnavailable  = errors.New("service unavailable") // nobody serves the door, or the fabric is away
	ErrOverloaded   = errors.New("too many requests")   // a limit was reached; try later
	ErrTimeout      = errors.New("deadline exceeded")   // no answer in time
	ErrInternal     = errors.New("internal error")      // a defect or a broken dependency; details are in the log
)

// Code is the stable name of a sentinel on the wire.
type Code string

// codes pairs every sentinel with its wire name; the order is the order of matching.
var codes = []struct {
	code Code
	err  error
}{
	{"not_found", ErrNotFound},
	{"conflict", ErrConflict},
	{"exists", ErrExists},
	{"invalid", ErrInvalid},
	{"referenced", ErrReferenced},
	{"unauthorized", ErrUnauthorized},
	{"forbidden", ErrForbidden},
	{"unavailable", ErrUnavailable},
	{"overloaded", ErrOverloaded},
	{"timeout", ErrTimeout},
	{"internal", ErrInternal},
}

// CodeOf returns the wire code of err: the code of the first sentinel it wraps, "timeout" for a context
// deadline, and "internal" for anything else. CodeOf(nil) is "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "internal"
}

// Sentinel returns the error that code names; an unknown code is ErrInternal.
func (c Code) Sentinel() error {
	for _, k := range codes {
		if k.code == c {
			return k.err
		}
	}
	return ErrInternal
}

// FieldError says what is wrong with one field of a request or of a file.
type FieldError struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // 1-based; 0 = unknown
	Column int    `json:"column,omitempty"` // 1-based; 0 = unknown
	Field  string `json:"field"`            // path such as tenants[0].dns[3].number
	Reason string `json:"reason"`           // a sentence: what is wrong and what is wanted
}

// Error renders "file:line:column: field: reason", leaving out what is unknown.
func (e FieldError) Error() string {
	where := e.Field + ": "
	if e.File != "" {
		if e.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, where)
		} else {
			where = fmt.Sprintf("%s: %s", e.File, where)
		}
	}
	return where + e.Reason
}

// Error is an error that travels: a sentinel (by Code), a sentence for a person, and the fields at fault.
type Error struct {
	Code    Code         `json:"code"`
	Message string       `json:"message"`
	Fields  []FieldError `json:"fields,omitempty"`
}

// Errorf returns an *Error of the given sentinel with a sentence for a person.
func Errorf(sentinel error, format string, args ...any) *Error {
	return &Error{Code: CodeOf(sentinel), Message: fmt.Sprintf(format, args...)}
}

// Invalid returns an ErrInvalid that lists the fields at fault.
func Invalid(fields ...FieldError) *Error {
	msg := "invalid request"
	if len(fields) == 1 {
		msg = fields[0].Error()
	} else if len(fields) > 1 {
		msg = fmt.Sprintf("%d problems, the first: %s", len(fields), fields[0].Error())
	}
	return &Error{Code: "invalid", Message: msg, Fields: fields}
}

func (e *Error) Error() string { return e.Message }

// Unwrap makes errors.Is(err, voice.ErrNotFound) and its like work.
func (e *Error) Unwrap() error { return e.Code.Sentinel() }
