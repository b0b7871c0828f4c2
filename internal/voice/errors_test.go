package voice_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"parley/internal/voice"
)

// A sentinel survives the way over the wire: its code leads back to it, and wrapping on either side does not matter.
func TestCodesLeadBackToTheirSentinels(t *testing.T) {
	for _, sentinel := range []error{
		voice.ErrNotFound, voice.ErrConflict, voice.ErrExists, voice.ErrInvalid, voice.ErrReferenced, voice.ErrUnauthorized,
		voice.ErrForbidden, voice.ErrUnavailable, voice.ErrOverloaded, voice.ErrTimeout, voice.ErrInternal,
	} {
		code := voice.CodeOf(fmt.Errorf("get 1001: %w", sentinel))
		if got := code.Sentinel(); got != sentinel {
			t.Errorf("CodeOf(%v) = %q, which leads to %v", sentinel, code, got)
		}
		if err := voice.Errorf(sentinel, "no luck with %d", 1001); !errors.Is(err, sentinel) || err.Error() != "no luck with 1001" {
			t.Errorf("Errorf(%v) = %v, not the sentinel with its sentence", sentinel, err)
		}
	}
}

func TestCodeOfOtherErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want voice.Code
	}{
		{nil, ""},
		{errors.New("disk on fire"), "internal"},
		{context.DeadlineExceeded, "timeout"},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), "timeout"},
	} {
		if got := voice.CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
	if got := voice.Code("of the future").Sentinel(); got != voice.ErrInternal {
		t.Errorf("an unknown code leads to %v, want ErrInternal", got)
	}
}

// A message names as much of the place as is known, in the form editors can jump to.
func TestFieldErrorNamesThePlace(t *testing.T) {
	for _, c := range []struct {
		err  voice.FieldError
		want string
	}{
		{voice.FieldError{Field: "number", Reason: "is missing"}, "number: is missing"},
		{voice.FieldError{File: "lab.yaml", Field: "number", Reason: "is missing"}, "lab.yaml: number: is missing"},
		{voice.FieldError{File: "lab.yaml", Line: 7, Column: 3, Field: "tenants[0].dns[2].number", Reason: "is missing"},
			"lab.yaml:7:3: tenants[0].dns[2].number: is missing"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%+v reads %q, want %q", c.err, got, c.want)
		}
	}
}

func TestInvalidCountsItsProblems(t *testing.T) {
	one, two := voice.FieldError{Field: "a", Reason: "is wrong"}, voice.FieldError{Field: "b", Reason: "is worse"}
	if got := voice.Invalid(one).Error(); got != "a: is wrong" {
		t.Errorf("one problem reads %q", got)
	}
	err := voice.Invalid(one, two)
	if got := err.Error(); got != "2 problems, the first: a: is wrong" || !errors.Is(err, voice.ErrInvalid) || len(err.Fields) != 2 {
		t.Errorf("two problems read %q with %d fields", got, len(err.Fields))
	}
}

func TestRights(t *testing.T) {
	person := func(roles ...voice.Role) voice.Principal {
		return voice.Principal{Tenant: "demo", User: "alice", Roles: roles}
	}
	for _, c := range []struct {
		name        string
		p           voice.Principal
		tenant      string
		read, write bool
	}{
		{"agent in his tenant", person(voice.RoleAgent), "demo", false, false},
		{"supervisor in his tenant", person(voice.RoleSupervisor), "demo", true, false},
		{"admin in his tenant", person(voice.RoleAdmin), "demo", true, true},
		{"admin elsewhere", person(voice.RoleAdmin), "other", false, false},
		{"system elsewhere", person(voice.RoleSystem), "other", true, true},
		{"nobody", voice.Principal{}, "demo", false, false},
	} {
		if r, w := c.p.MayRead(c.tenant), c.p.MayWrite(c.tenant); r != c.read || w != c.write {
			t.Errorf("%s: read %v write %v, want %v %v", c.name, r, w, c.read, c.write)
		}
	}
}
