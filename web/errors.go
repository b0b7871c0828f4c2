package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"parley/internal/voice"
	"parley/web/ui"
)

var (
	errSignIn   = errors.New("web: not signed in")
	errForm     = errors.New("web: a form that is not ours, or is too old")
	errStarting = errors.New("web: still starting")
)

// csp lets a page use its own files only, and be framed by nobody.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// around runs around every page: headers that protect it, and a page instead of an error.
func (s *Server) around(c *fiber.Ctx) (err error) {
	start := s.now()
	c.Set(fiber.HeaderContentSecurityPolicy, csp)
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set(fiber.HeaderPermissionsPolicy, "camera=(), microphone=(), geolocation=()")
	if s.cert != nil {
		c.Set(fiber.HeaderStrictTransportSecurity, "max-age=31536000")
	}
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic in a page", "method", c.Method(), "route", c.Route().Path, "panic", r, "stack", string(debug.Stack()))
			err = s.problemPage(c, voice.ErrInternal)
		}
		s.metrics.request(c.Method(), c.Response().StatusCode(), s.now().Sub(start))
	}()
	if err := c.Next(); err != nil {
		return s.problemPage(c, err)
	}
	return nil
}

// message is a page that says one thing.
type message struct {
	Icon, Heading, Text string
	Links               []link
}

type link struct {
	Href, Text string
	Primary    bool
}

// problemPage is where an error becomes a page. What only the operator may know goes to the log.
func (s *Server) problemPage(c *fiber.Ctx, err error) error {
	if errors.Is(err, errSignIn) {
		return s.toSignIn(c)
	}
	home := link{Href: "/", Text: "To the overview", Primary: true}
	again := link{Href: strings.Clone(c.OriginalURL()), Text: "Try again", Primary: true}
	status, m := fiber.StatusInternalServerError, message{Icon: "alert", Heading: "Something went wrong here",
		Text: "It has been logged. Try again, and tell whoever runs this platform if it stays.", Links: []link{home}}
	fe, isFiber := errors.AsType[*fiber.Error](err)
	switch {
	case isFiber && fe.Code < 500 && fe.Code != fiber.StatusNotFound && fe.Code != fiber.StatusMethodNotAllowed:
		status, m = fe.Code, message{Icon: "alert", Heading: "This request cannot be answered", Text: "It is not what a page of Parley sends.", Links: []link{home}}
	case isFiber && fe.Code < 500, errors.Is(err, voice.ErrNotFound):
		status, m = fiber.StatusNotFound, message{Icon: "lost", Heading: "There is nothing here", Text: "The page does not exist, or what it was about has been deleted.", Links: []link{home}}
	case errors.Is(err, voice.ErrForbidden):
		status, m = fiber.StatusForbidden, message{Icon: "lock", Heading: "This is not yours to see", Text: "Your role does not allow it. An administrator can change that.", Links: []link{{Href: "/me", Text: "To my profile", Primary: true}}}
	case errors.Is(err, errForm):
		status, m = fiber.StatusForbidden, message{Icon: "lock", Heading: "This form is too old", Text: "It was not sent by a page of your present session, so nothing was changed. Open the page again and repeat.", Links: []link{home}}
	case errors.Is(err, errStarting), errors.Is(err, voice.ErrUnavailable), errors.Is(err, voice.ErrTimeout):
		status, m = fiber.StatusServiceUnavailable, message{Icon: "alert", Heading: "Not available at the moment", Text: "A service this page needs does not answer. It may be starting.", Links: []link{again}}
	case errors.Is(err, voice.ErrOverloaded):
		status, m = fiber.StatusTooManyRequests, message{Icon: "alert", Heading: "Too many requests", Text: "Wait a moment and try again.", Links: []link{again}}
	}
	if status >= 500 && !errors.Is(err, errStarting) {
		s.log.LogAttrs(c.UserContext(), slog.LevelError, "page failed", slog.String("method", c.Method()), slog.String("path", c.Path()), slog.Any("err", err))
	}
	if c.Method() != fiber.MethodGet {
		m.Links = slices.DeleteFunc(m.Links, func(l link) bool { return l.Text == again.Text })
		m.Links = append(m.Links, home)
	}
	body, err := s.ui.Page("message", &ui.Page{Title: m.Heading, Theme: s.themeOf(c), Version: s.version, Data: m})
	if err != nil {
		return err
	}
	return s.html(c.Status(status), body)
}

// toSignIn sends a page's reader to the sign-in page and back after it; a live stream just gets 401.
func (s *Server) toSignIn(c *fiber.Ctx) error {
	if c.Path() == "/live" {
		return c.SendStatus(fiber.StatusUnauthorized)
	}
	next := ""
	if c.Method() == fiber.MethodGet && c.Path() != "/" {
		next = "?next=" + url.QueryEscape(strings.Clone(c.OriginalURL()))
	}
	return c.Redirect("/signin"+next, fiber.StatusSeeOther)
}

// formProblem turns what a door said about a form into words: errs beside their fields, the rest at the top. ok is
// false for errors a form has nothing to say about. known are the names of the form's fields.
func formProblem(err error, known ...string) (p *ui.Problem, errs map[string]string, ok bool) {
	ve, isVoice := errors.AsType[*voice.Error](err)
	switch {
	case errors.Is(err, voice.ErrConflict):
		return &ui.Problem{Text: "Somebody else changed this meanwhile, so nothing was saved. Open it again to see the present state."}, nil, true
	case isVoice && errors.Is(err, voice.ErrExists):
		if len(known) > 0 {
			return nil, map[string]string{known[0]: "Exists already."}, true
		}
		return &ui.Problem{Text: "It exists already."}, nil, true
	case isVoice && errors.Is(err, voice.ErrReferenced):
		p := &ui.Problem{Text: "It is still in use, so it was not deleted."}
		for _, f := range ve.Fields {
			p.Items = append(p.Items, strings.Trim(f.Field+": "+f.Reason, ": "))
		}
		if len(ve.Fields) == 0 {
			p.Items = []string{ve.Message}
		}
		return p, nil, true
	case isVoice && errors.Is(err, voice.ErrInvalid):
		p, errs := splitFields(ve, known)
		return p, errs, true
	}
	return nil, nil, false
}

func splitFields(ve *voice.Error, known []string) (*ui.Problem, map[string]string) {
	errs := map[string]string{}
	var rest []string
	for _, f := range ve.Fields {
		name := fieldName(f.Field, known)
		switch {
		case name == "":
			rest = append(rest, strings.Trim(f.Field+": "+f.Reason, ": "))
		default:
			errs[name] = strings.TrimSpace(errs[name] + " " + sentence(f.Reason))
		}
	}
	if len(ve.Fields) == 0 {
		rest = []string{ve.Message}
	}
	text := "Please check what is marked below. Nothing was saved."
	if len(errs) == 0 {
		text = "This cannot be saved."
	}
	return &ui.Problem{Text: text, Items: rest}, errs
}

// sentence makes one of a reason, which continues "the field ...".
func sentence(reason string) string {
	first, size := utf8.DecodeRuneInString(reason)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(reason[size:], ".") + "."
}

// fieldName finds the field of a form in a path such as "tenants[0].dns[3].number" or "body.options.TServer".
func fieldName(path string, known []string) string {
	for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '/' }) {
		segment, _, _ = strings.Cut(segment, "[")
		if slices.Contains(known, segment) {
			return segment
		}
	}
	return ""
}

// invalidField is a problem a form finds by itself, in the same shape as that of a door.
func invalidField(field, format string, args ...any) error {
	return voice.Invalid(voice.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)})
}
