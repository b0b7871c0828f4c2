package web

import (
	"errors"
	"slices"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/ui"
)

// meView is one's own page: the device at one's place, and the password.
type meView struct {
	FullName, Place string
	Devices         []deviceView
	Roles           []fact
	Problem         *ui.Problem
	Errors          map[string]string
}

type deviceView struct {
	Number   string
	State    stateView
	Bindings []contract.Binding
}

func (s *Server) me(r *request) error { return s.showMe(r, &meView{}) }

func (s *Server) showMe(r *request, v *meView) error {
	var p voice.Person
	if _, err := r.read(r.who.Tenant, voice.KindPerson, r.who.User, &p); err != nil {
		return err
	}
	v.FullName, v.Place = fullName(p), p.Place
	if p.Place != "" {
		var place voice.Place
		_, err := r.read(r.who.Tenant, voice.KindPlace, p.Place, &place)
		if err != nil && !errors.Is(err, voice.ErrNotFound) {
			return err
		}
		for _, dn := range place.DNs {
			b := s.bindingsOf(r.ctx, r.who.Tenant, dn)
			v.Devices = append(v.Devices, deviceView{Number: dn, State: b.state(), Bindings: b.Bindings})
		}
	}
	for _, known := range roleTexts {
		if slices.Contains(r.who.Roles, known.role) {
			v.Roles = append(v.Roles, fact{string(known.role), known.text})
		}
	}
	return r.page("me", "My profile", "me", v)
}

// changePassword checks the present password by a sign-in (so that lock-out counts here too), stores the new one, which
// ends every token of the person, and signs in again with it.
func (s *Server) changePassword(r *request) error {
	v := &meView{}
	again := func(status int, err error) error {
		var ok bool
		if v.Problem, v.Errors, ok = formProblem(err, "current", "password", "again"); !ok {
			return err
		}
		r.c.Status(status)
		return s.showMe(r, v)
	}
	current, next := r.raw("current"), r.raw("new")
	switch {
	case next != r.raw("again"):
		return again(fiber.StatusUnprocessableEntity, invalidField("again", "is not the same"))
	case next == "":
		return again(fiber.StatusUnprocessableEntity, invalidField("password", "is missing"))
	}
	check := contract.SignInRequest{Tenant: r.who.Tenant, User: r.who.User, Password: current, Source: r.source(), TTL: s.cfg.SessionMax}
	session, err := fabric.Call(r.ctx, s.f, contract.SignIn, check)
	if errors.Is(err, voice.ErrUnauthorized) {
		return again(fiber.StatusUnprocessableEntity, invalidField("current", "is wrong"))
	}
	if err != nil {
		return err
	}
	// The token of this check is not handed to anybody; the new password ends it, unless that is refused.
	if err := s.storePassword(r, next); err != nil {
		if _, revokeErr := fabric.Call(r.ctx, s.f, contract.RevokeToken, session.Token); revokeErr != nil {
			return errors.Join(err, revokeErr)
		}
		return again(fiber.StatusUnprocessableEntity, err)
	}
	check.Password = next
	if session, err = fabric.Call(r.ctx, s.f, contract.SignIn, check); err != nil {
		return err
	}
	s.setSession(r.c, r.keys, session.Token)
	return r.done("/me", "password")
}

func (s *Server) storePassword(r *request, password string) error {
	var p voice.Person
	res, err := r.read(r.who.Tenant, voice.KindPerson, r.who.User, &p)
	if err != nil {
		return err
	}
	p.Password = password
	return r.put(r.who.Tenant, voice.KindPerson, res.Key, res.Version, p)
}
