package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"parley/internal/voice"
)

func TestProblemRoundTrip(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{voice.ErrNotFound, 404},
		{voice.ErrConflict, 409},
		{voice.ErrExists, 409},
		{voice.ErrReferenced, 409},
		{voice.ErrInvalid, 422},
		{voice.ErrUnauthorized, 401},
		{voice.ErrForbidden, 403},
		{voice.ErrOverloaded, 429},
		{voice.ErrUnavailable, 503},
		{voice.ErrTimeout, 504},
		{voice.ErrInternal, 500},
		{voice.Errorf(voice.ErrReferenced, "place p1 still uses it"), 409},
		{voice.Invalid(voice.FieldError{File: "a.yaml", Line: 3, Column: 5, Field: "tenants[0].name", Reason: "is missing"}), 422},
	} {
		p, ok := errors.AsType[*ProblemDetails](Problem(fmt.Errorf("secret path: %w", c.err)))
		if !ok || p.Status != c.status {
			t.Errorf("Problem(%v) = %+v, want status %d", c.err, p, c.status)
			continue
		}
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		back := ReadProblem(p.Status, body)
		if voice.CodeOf(back) != voice.CodeOf(c.err) {
			t.Errorf("%v came back as %v (%s)", c.err, back, voice.CodeOf(back))
		}
		want, hasText := errors.AsType[*voice.Error](c.err)
		got, _ := errors.AsType[*voice.Error](back)
		if hasText && (got.Message != want.Message || len(got.Fields) != len(want.Fields) || len(want.Fields) > 0 && got.Fields[0] != want.Fields[0]) {
			t.Errorf("%+v came back as %+v", want, got)
		}
	}
	if Problem(nil) != nil {
		t.Error("Problem(nil) is not nil")
	}
}

func TestReadProblemOfSomethingElse(t *testing.T) {
	for status, want := range map[int]error{404: voice.ErrNotFound, 418: voice.ErrInvalid, 502: voice.ErrInternal, 429: voice.ErrOverloaded} {
		if err := ReadProblem(status, []byte("<html>")); !errors.Is(err, want) {
			t.Errorf("ReadProblem(%d, html) = %v, want %v", status, err, want)
		}
	}
}

func TestMatchVersion(t *testing.T) {
	for _, c := range []struct {
		ifMatch, ifNoneMatch string
		version              int64
		given, bad           bool
	}{
		{"", "", 0, false, false},
		{`"3"`, "", 3, true, false},
		{ETag(12), "", 12, true, false},
		{"*", "", AnyVersion, true, false},
		{"", "*", 0, true, false},
		{`W/"3"`, "", 0, false, true},
		{`3`, "", 0, false, true},
		{`"3","4"`, "", 0, false, true},
		{`"-1"`, "", 0, false, true},
		{"", `"3"`, 0, false, true},
		{"*", "*", 0, false, true},
	} {
		v, given, err := MatchVersion(c.ifMatch, c.ifNoneMatch)
		if v != c.version || given != c.given || errors.Is(err, voice.ErrInvalid) != c.bad {
			t.Errorf("MatchVersion(%q, %q) = %d, %v, %v; want %d, %v, invalid %v", c.ifMatch, c.ifNoneMatch, v, given, err, c.version, c.given, c.bad)
		}
	}
}
