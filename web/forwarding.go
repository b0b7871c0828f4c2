package web

import (
	"maps"

	"github.com/gofiber/fiber/v2"

	"parley/internal/voice"
	"parley/web/ui"
)

// forwardFields are what becomes of calls to an extension, and what it may dial.
func forwardFields() []optionField {
	const to = "A number, “voicemail” for its own mailbox, or voicemail:2000 for another."
	return []optionField{
		{Name: voice.OptionForwardAlways, Label: "Always", Hint: "All its calls go there; the phone does not ring. " + to},
		{Name: voice.OptionForwardBusy, Label: "When it is busy", Hint: to},
		{Name: voice.OptionForwardNoAnswer, Label: "When nobody answers", Hint: to},
		{Name: voice.OptionForwardOffline, Label: "When no phone is registered", Hint: to},
		{Name: voice.OptionNoAnswerTimeout, Label: "Rings for (seconds)", Kind: "number", Hint: "Empty: as long as the node lets calls ring."},
	}
}

// forwardingForm is the form of an extension's forwardings.
type forwardingForm struct {
	Number, Action, Back string
	Fields               []optionField
	Profile              string
	Profiles             []string
	Version              int64
	Problem              *ui.Problem
	Errors               map[string]string
}

func (f *forwardingForm) show(r *request) error {
	var err error
	if f.Profiles, err = r.namesOf(voice.KindCallingProfile); err != nil {
		return err
	}
	return r.page("forwarding_form", "Forwarding of "+f.Number, "extensions", f)
}

func (f *forwardingForm) again(r *request, err error) error {
	names := []string{voice.OptionCallingProfile}
	for _, o := range f.Fields {
		names = append(names, o.Name)
	}
	problem, errs, ok := formProblem(err, names...)
	if !ok {
		return err
	}
	f.Problem, f.Errors = problem, errs
	r.c.Status(fiber.StatusUnprocessableEntity)
	return f.show(r)
}

func (s *Server) editForwarding(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	base := tenantPath(r.tenant, "extensions", res.Key)
	f := &forwardingForm{Number: res.Key, Action: base + "/forwarding", Back: base, Fields: forwardFields(), Version: res.Version, Profile: dn.Options[section][voice.OptionCallingProfile]}
	for i := range f.Fields {
		f.Fields[i].Value = dn.Options[section][f.Fields[i].Name]
	}
	return f.show(r)
}

func (s *Server) updateForwarding(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	base := tenantPath(r.tenant, "extensions", res.Key)
	f := &forwardingForm{Number: res.Key, Action: base + "/forwarding", Back: base, Fields: forwardFields(), Version: version, Profile: r.form(voice.OptionCallingProfile)}
	options := maps.Clone(dn.Options[section])
	if options == nil {
		options = map[string]string{}
	}
	set := func(name, value string) {
		if options[name] = value; value == "" {
			delete(options, name)
		}
	}
	for i := range f.Fields {
		f.Fields[i].Value = r.form(f.Fields[i].Name)
		set(f.Fields[i].Name, f.Fields[i].Value)
	}
	set(voice.OptionCallingProfile, f.Profile)
	if dn.Options == nil {
		dn.Options = map[string]map[string]string{}
	}
	dn.Options[section] = options
	if err := r.put(r.tenant, voice.KindDN, res.Key, version, dn); err != nil {
		return f.again(r, err)
	}
	return r.done(base, "saved")
}

// forwardFacts are the forwardings of an extension, for its page.
func forwardFacts(dn *voice.DN) []fact {
	var out []fact
	for _, o := range forwardFields() {
		if v := dn.Options[section][o.Name]; v != "" {
			out = append(out, fact{o.Label, v})
		}
	}
	if v := dn.Options[section][voice.OptionCallingProfile]; v != "" {
		out = append(out, fact{"Calling profile", v})
	}
	return out
}
