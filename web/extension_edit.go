package web

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"parley/internal/voice"
	"parley/web/ui"
)

const (
	generatedLen   = 20 // characters of base32: 100 bits
	minSIPPassword = 8
)

// generatePassword makes a password that is easily typed on a phone: lower-case letters and digits 2 to 7.
func generatePassword() string { return strings.ToLower(rand.Text()[:generatedLen]) }

// extensionForm is the form of a new or an existing extension, as it was filled in.
type extensionForm struct {
	New                   bool
	Action                string
	Number, Name, Options string
	PasswordMode          string
	Version               int64
	OptionsOpen           bool
	Problem               *ui.Problem
	Errors                map[string]string
}

func (f *extensionForm) fields() []string { return []string{"number", "name", "password", "options"} }

// again shows the form with what is wrong, or gives up with an error a form cannot explain.
func (f *extensionForm) again(r *request, err error) error {
	problem, errs, ok := formProblem(err, f.fields()...)
	if !ok {
		return err
	}
	f.Problem, f.Errors = problem, errs
	r.c.Status(fiber.StatusUnprocessableEntity)
	return f.show(r)
}

func (f *extensionForm) show(r *request) error {
	title := "New extension"
	if !f.New {
		title = "Edit " + f.Number
	}
	return r.page("extension_form", title, "extensions", f)
}

func (s *Server) newExtension(r *request) error {
	f := &extensionForm{New: true, Action: tenantPath(r.tenant, "extensions"), Options: "TServer.contact = *\n"}
	return f.show(r)
}

func (s *Server) createExtension(r *request) error {
	f := &extensionForm{
		New: true, Action: tenantPath(r.tenant, "extensions"), OptionsOpen: true,
		Number: r.form("number"), Name: r.form("name"), Options: r.raw("options"), PasswordMode: r.form("password_mode"),
	}
	password := r.raw("password")
	if f.PasswordMode != "type" {
		password = generatePassword()
	} else if utf8.RuneCountInString(password) < minSIPPassword {
		return f.again(r, invalidField("password", "is too short; at least %d characters are wanted", minSIPPassword))
	}
	options, err := parseOptions("options", f.Options)
	if err != nil {
		return f.again(r, err)
	}
	if f.Number == "" {
		return f.again(r, invalidField("number", "is missing"))
	}
	dn := voice.DN{Number: f.Number, Type: voice.DNExtension, Name: f.Name, Password: password, Options: options}
	if err := r.put(r.tenant, voice.KindDN, f.Number, 0, dn); err != nil {
		return f.again(r, err)
	}
	return s.showAccount(r, f.Number, password)
}

func (s *Server) editExtension(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	f := &extensionForm{
		Action: tenantPath(r.tenant, "extensions", res.Key), Number: res.Key, Name: dn.Name,
		Options: formatOptions(dn.Options), OptionsOpen: len(dn.Options) > 0, Version: res.Version,
	}
	return f.show(r)
}

func (s *Server) updateExtension(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	f := &extensionForm{
		Action: tenantPath(r.tenant, "extensions", res.Key), Number: res.Key, Name: r.form("name"),
		Options: r.raw("options"), OptionsOpen: true, Version: version,
	}
	if dn.Options, err = parseOptions("options", f.Options); err != nil {
		return f.again(r, err)
	}
	dn.Name = f.Name
	if err := r.put(r.tenant, voice.KindDN, res.Key, version, dn); err != nil {
		return f.again(r, err)
	}
	return r.done(f.Action, "saved")
}

// confirmView asks before something that cannot be taken back.
type confirmView struct {
	Back, BackText, Crumb         string
	Heading, Text, Button, Action string
	Danger                        bool
	Version                       int64
	Problem                       *ui.Problem
}

// again shows the question with what is wrong.
func (v *confirmView) again(r *request, nav string, err error) error {
	problem, _, ok := formProblem(err)
	if !ok {
		return err
	}
	v.Problem = problem
	r.c.Status(fiber.StatusConflict)
	return r.page("confirm", v.Heading, nav, v)
}

func (r *request) deleteQuestion(number string, version int64) *confirmView {
	base := tenantPath(r.tenant, "extensions", number)
	return &confirmView{
		Back: base, BackText: number, Crumb: "Delete", Heading: "Delete extension " + number + "?", Action: base + "/delete", Danger: true, Version: version,
		Text: "Its SIP account ends at once: phones that use it can neither register nor call. This cannot be undone.", Button: "Delete extension",
	}
}

func (s *Server) confirmDeleteExtension(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	v := r.deleteQuestion(res.Key, res.Version)
	return r.page("confirm", v.Heading, "extensions", v)
}

func (s *Server) deleteExtension(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	if err := r.remove(r.tenant, voice.KindDN, res.Key, version); err != nil {
		return r.deleteQuestion(res.Key, version).again(r, "extensions", err)
	}
	return r.done(tenantPath(r.tenant, "extensions"), "deleted")
}

func (r *request) passwordQuestion(number string, version int64) *confirmView {
	base := tenantPath(r.tenant, "extensions", number)
	return &confirmView{
		Back: base, BackText: number, Crumb: "New password", Heading: "New password for " + number + "?", Action: base + "/password", Version: version,
		Text: "Phones with the present password can register no more until they are given the new one.", Button: "Generate password",
	}
}

func (s *Server) confirmPassword(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	v := r.passwordQuestion(res.Key, res.Version)
	return r.page("confirm", v.Heading, "extensions", v)
}

func (s *Server) resetPassword(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	dn.Password = generatePassword()
	if err := r.put(r.tenant, voice.KindDN, res.Key, version, dn); err != nil {
		return r.passwordQuestion(res.Key, version).again(r, "extensions", err)
	}
	return s.showAccount(r, res.Key, dn.Password)
}

// parseOptions reads one option a line: section.option = value. Blank lines and lines that begin with # are skipped. What is
// wrong is told of that field of the form.
func parseOptions(field, text string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		section, option, dotted := strings.Cut(strings.TrimSpace(name), ".")
		if !found || !dotted || section == "" || option == "" {
			return nil, invalidField(field, "line %d is not section.option = value", i+1)
		}
		if out[section] == nil {
			out[section] = map[string]string{}
		}
		if _, twice := out[section][option]; twice {
			return nil, invalidField(field, "line %d gives %s.%s a second time", i+1, section, option)
		}
		out[section][option] = strings.TrimSpace(value)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// formatOptions writes what parseOptions reads, in order.
func formatOptions(options map[string]map[string]string) string {
	var b strings.Builder
	for _, f := range optionFacts(options) {
		fmt.Fprintf(&b, "%s = %s\n", f.Name, f.Value)
	}
	return b.String()
}

// fact is a name and its value.
type fact struct{ Name, Value string }

func optionFacts(options map[string]map[string]string) []fact {
	var out []fact
	for section, values := range options {
		for option, value := range values {
			out = append(out, fact{section + "." + option, value})
		}
	}
	slices.SortFunc(out, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
	return out
}
