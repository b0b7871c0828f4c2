package fabric

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"parley/internal/voice"
)

// Bounds of an error on the wire.
const (
	maxErrorText   = 1024 // bytes of message
	maxErrorFields = 100
)

// outwardError is err as a *voice.Error: itself, or its sentinel with its text. What wraps no sentinel is a defect or
// a broken dependency, and its text is not for callers.
func outwardError(err error) *voice.Error {
	if e, ok := err.(*voice.Error); ok { //nolint:errorlint // only the very error, not one that is wrapped
		return e
	}
	out := &voice.Error{Code: voice.CodeOf(err), Message: err.Error()}
	var inner *voice.Error
	if errors.As(err, &inner) {
		out.Fields = inner.Fields
	}
	if out.Code == "internal" {
		out.Message, out.Fields = "internal error", nil
	}
	return out
}

// encodeError gives what travels: code and message as headers, fields as JSON in the body.
func encodeError(err error) (code, message string, fields []byte) {
	e := outwardError(err)
	code, message = string(e.Code), headerText(e.Message)
	if len(e.Fields) > 0 {
		fields, err = json.Marshal(e.Fields[:min(len(e.Fields), maxErrorFields)])
		if err != nil {
			fields = nil // strings and numbers only: cannot happen
		}
	}
	return code, message, fields
}

// decodeError is the other direction; it takes whatever comes.
func decodeError(code, message string, body []byte) *voice.Error {
	c := voice.Code(code)
	if c.Sentinel() == voice.ErrInternal { //nolint:errorlint // the sentinel itself
		c = "internal" // also for codes of a newer version
	}
	e := &voice.Error{Code: c, Message: headerText(message)}
	if len(body) > 0 && json.Unmarshal(body, &e.Fields) != nil {
		e.Fields = nil
	}
	if len(e.Fields) > maxErrorFields {
		e.Fields = e.Fields[:maxErrorFields]
	}
	return e
}

// headerText is s as one line of a header: never empty, bounded, without control bytes.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > maxErrorText {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:maxErrorText], ""))
	}
	if s == "" {
		return "error without a message"
	}
	return s
}
