package web

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"parley/internal/voice"
	"parley/web/ui"
)

// profileForm is the form of a calling profile.
type profileForm struct {
	New          bool
	Action, Back string
	Name         string
	Partitions   []string // in the order of their rank; "" = a choice not made
	Known        []string
	Internal     bool // default for extensions
	Inbound      bool // default for callers from outside
	Outside      string
	Ways         any
	Version      int64
	Problem      *ui.Problem
	Errors       map[string]string
}

var profileFields = []string{"name", "partitions", "default_for", "outside_calls"}

func (f *profileForm) again(r *request, err error) error {
	problem, errs, ok := formProblem(err, profileFields...)
	if !ok {
		return err
	}
	f.Problem, f.Errors = problem, errs
	r.c.Status(fiber.StatusUnprocessableEntity)
	return f.show(r)
}

func (f *profileForm) show(r *request) error {
	var err error
	if f.Known, err = r.namesOf(voice.KindPartition); err != nil {
		return err
	}
	f.Ways = outsideWays
	f.Partitions = append(f.Partitions, make([]string, spareRows)...)
	title := "New calling profile"
	if !f.New {
		title = "Edit " + f.Name
	}
	return r.page("profile_form", title, "dialplan", f)
}

// read takes the form as it was sent.
func (f *profileForm) read(r *request) *voice.CallingProfile {
	f.Outside, f.Internal, f.Inbound = r.form("outside_calls"), r.form("internal") == "yes", r.form("inbound") == "yes"
	f.Partitions = slices.DeleteFunc(r.formAll("partitions"), func(s string) bool { return s == "" })
	p := &voice.CallingProfile{Name: f.Name, Partitions: f.Partitions, OutsideCalls: voice.OutsideCalls(f.Outside)}
	if f.Internal {
		p.DefaultFor = append(p.DefaultFor, voice.ProfileInternal)
	}
	if f.Inbound {
		p.DefaultFor = append(p.DefaultFor, voice.ProfileInbound)
	}
	return p
}

func (s *Server) newProfile(r *request) error {
	f := &profileForm{New: true, Action: tenantPath(r.tenant, "dialplan", "profiles"), Back: tenantPath(r.tenant, "dialplan")}
	return f.show(r)
}

func (s *Server) createProfile(r *request) error {
	f := &profileForm{New: true, Action: tenantPath(r.tenant, "dialplan", "profiles"), Back: tenantPath(r.tenant, "dialplan"), Name: r.form("name")}
	p := f.read(r)
	if f.Name == "" {
		return f.again(r, invalidField("name", "is missing"))
	}
	if err := r.put(r.tenant, voice.KindCallingProfile, f.Name, 0, p); err != nil {
		return f.again(r, err)
	}
	return r.done(f.Back, "created")
}

func (s *Server) editProfile(r *request) error {
	var p voice.CallingProfile
	res, err := r.read(r.tenant, voice.KindCallingProfile, r.param("key"), &p)
	if err != nil {
		return err
	}
	f := &profileForm{
		Action: tenantPath(r.tenant, "dialplan", "profiles", res.Key), Back: tenantPath(r.tenant, "dialplan"), Name: p.Name, Version: res.Version,
		Partitions: p.Partitions, Outside: string(p.OutsideCalls),
		Internal: slices.Contains(p.DefaultFor, voice.ProfileInternal), Inbound: slices.Contains(p.DefaultFor, voice.ProfileInbound),
	}
	return f.show(r)
}

func (s *Server) updateProfile(r *request) error {
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	name := r.param("key")
	f := &profileForm{Action: tenantPath(r.tenant, "dialplan", "profiles", name), Back: tenantPath(r.tenant, "dialplan"), Name: name, Version: version}
	if err := r.put(r.tenant, voice.KindCallingProfile, name, version, f.read(r)); err != nil {
		return f.again(r, err)
	}
	return r.done(f.Back, "saved")
}

// planKinds are the parts of the dial plan by their name in addresses.
var planKinds = map[string]struct {
	kind voice.Kind
	word string
	text string
}{
	"partitions": {voice.KindPartition, "partition", "Its rules have no effect any more."},
	"profiles":   {voice.KindCallingProfile, "calling profile", "Numbers for which it was the default have none then."},
}

func (r *request) deletePlanQuestion(part, name string, version int64) *confirmView {
	k := planKinds[part]
	base := tenantPath(r.tenant, "dialplan", part, name)
	return &confirmView{
		Back: base, BackText: name, Crumb: "Delete", Heading: "Delete " + k.word + " " + name + "?", Action: base + "/delete", Danger: true, Version: version,
		Text: k.text + " This cannot be undone.", Button: "Delete " + k.word,
	}
}

func (s *Server) confirmDeletePlan(part string) func(r *request) error {
	return func(r *request) error {
		res, err := r.get(r.tenant, planKinds[part].kind, r.param("key"))
		if err != nil {
			return err
		}
		v := r.deletePlanQuestion(part, res.Key, res.Version)
		return r.page("confirm", v.Heading, "dialplan", v)
	}
}

func (s *Server) deletePlan(part string) func(r *request) error {
	return func(r *request) error {
		version, err := r.formVersion()
		if err != nil {
			return err
		}
		name := r.param("key")
		if err := r.remove(r.tenant, planKinds[part].kind, name, version); err != nil {
			return r.deletePlanQuestion(part, name, version).again(r, "dialplan", err)
		}
		return r.done(tenantPath(r.tenant, "dialplan"), "deleted")
	}
}
