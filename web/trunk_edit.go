package web

import (
	"maps"
	"slices"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/ui"
)

const section = "TServer" // of the options that the platform reads

// optionField is an option with a field of its own in a form.
type optionField struct {
	Name, Label, Hint string
	Kind              string // of the input: text, number or password
	Secret            bool   // never shown; empty keeps it
	Value             string
}

// optionGroup is fields that belong together.
type optionGroup struct {
	Title  string
	Fields []optionField
}

// trunkGroups are the options of a trunk that have fields; all others are in the text below them.
func trunkGroups() []optionGroup {
	return []optionGroup{
		{"Where it is", []optionField{
			{Name: voice.OptionContact, Label: "Contact", Hint: "SIP URI of the carrier, e.g. sip:sip.example.com or sip:192.0.2.9:5060;transport=tcp."},
			{Name: voice.OptionContactBackup, Label: "Backup contacts", Hint: "SIP URIs to try after it, with commas between."},
		}},
		{"Which calls go there", []optionField{
			{Name: voice.OptionPrefix, Label: "Prefix", Hint: "Leading digits of the numbers that go there. Without it only rules of the dial plan send calls there."},
			{Name: voice.OptionReplacePrefix, Label: "Sent in place of the prefix", Hint: "Digits; empty with the box below sends none."},
			{Name: voice.OptionPriority, Label: "Priority", Kind: "number", Hint: "Among trunks with the same prefix the lowest is tried first."},
			{Name: voice.OptionCapacity, Label: "Capacity", Kind: "number", Hint: "Calls at once on each node, both ways; empty or 0 is no limit."},
		}},
		{"How it is watched", []optionField{
			{Name: voice.OptionOOSCheck, Label: "Ask every (seconds)", Kind: "number", Hint: "With OPTIONS; empty or 0: nobody asks."},
			{Name: voice.OptionOOSForce, Label: "Out of service after (seconds)", Kind: "number", Hint: "Without an answer for so long it gets no calls; 5 when empty."},
			{Name: voice.OptionRecovery, Label: "Tried again after (seconds)", Kind: "number", Hint: "How often a target out of service is asked, or, if nobody asks, believed again."},
		}},
		{"Who we are there", []optionField{
			{Name: voice.OptionAuthUser, Label: "User", Hint: "When the carrier asks for credentials."},
			{Name: voice.OptionAuthPassword, Label: "Password", Kind: "password", Secret: true, Hint: "Kept sealed and not shown again. Empty keeps the present one."},
			{Name: voice.OptionRegister, Label: "Register at", Hint: "SIP URI of the provider’s registrar; empty: no registration."},
			{Name: voice.OptionRegisterUser, Label: "Registered user", Hint: "When it is not the user above."},
		}},
	}
}

// trunkForm is the form of a new or an existing trunk.
type trunkForm struct {
	New          bool
	Action, Back string
	Number, Name string
	Type         string
	Groups       []optionGroup
	StripPrefix  bool // replace-prefix is given, if only as nothing
	Profile      string
	Profiles     []string
	More         string // the other options, as text
	MoreOpen     bool
	Version      int64
	Problem      *ui.Problem
	Errors       map[string]string
}

// fields are the names that problems are told beside. The text of other options takes what is left of section TServer.
func (f *trunkForm) fields() []string {
	names := []string{"number", "name"}
	for _, g := range f.Groups {
		for _, o := range g.Fields {
			names = append(names, o.Name)
		}
	}
	return append(names, voice.OptionCallingProfile, "more")
}

func (f *trunkForm) again(r *request, err error) error {
	problem, errs, ok := formProblem(err, f.fields()...)
	if !ok {
		return err
	}
	f.Problem, f.Errors = problem, errs
	r.c.Status(fiber.StatusUnprocessableEntity)
	return f.show(r)
}

func (f *trunkForm) show(r *request) error {
	var err error
	if f.Profiles, err = r.namesOf(voice.KindCallingProfile); err != nil {
		return err
	}
	title := "New trunk"
	if !f.New {
		title = "Edit " + f.Number
	}
	return r.page("trunk_form", title, "trunks", f)
}

// namesOf lists the resources of a kind that a form offers.
func (r *request) namesOf(kind voice.Kind) ([]string, error) {
	list, err := fabric.Call(r.ctx, r.f, contract.ConfigList, contract.ConfigListRequest{Tenant: r.tenant, Kind: kind, Limit: maxSwitch})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, res := range list.Resources {
		names = append(names, res.Key)
	}
	return names, nil
}

// fill puts the options of dn into the form.
func (f *trunkForm) fill(dn *voice.DN) {
	rest := map[string]map[string]string{}
	for name, values := range dn.Options {
		rest[name] = maps.Clone(values)
	}
	options := rest[section]
	f.Groups = trunkGroups()
	for _, g := range f.Groups {
		for i := range g.Fields {
			if !g.Fields[i].Secret {
				g.Fields[i].Value = options[g.Fields[i].Name]
			}
		}
	}
	_, f.StripPrefix = options[voice.OptionReplacePrefix]
	f.Profile = options[voice.OptionCallingProfile]
	for _, name := range f.fields() {
		delete(options, name)
	}
	f.More = formatOptions(rest)
	f.MoreOpen = f.More != ""
}

// read takes the form as it was sent, and returns the options it means.
func (f *trunkForm) read(r *request) (map[string]map[string]string, error) {
	f.Name, f.Profile, f.More, f.StripPrefix = r.form("name"), r.form(voice.OptionCallingProfile), r.raw("more"), r.form("strip") == "yes"
	f.Groups, f.MoreOpen = trunkGroups(), f.More != ""
	options, err := parseOptions("more", f.More)
	if err != nil {
		return nil, err
	}
	if options == nil {
		options = map[string]map[string]string{}
	}
	own := map[string]string{}
	for _, g := range f.Groups {
		for i := range g.Fields {
			o := &g.Fields[i]
			if o.Secret {
				if v := r.raw(o.Name); v != "" {
					own[o.Name] = v
				}
				continue
			}
			if o.Value = r.form(o.Name); o.Value != "" {
				own[o.Name] = o.Value
			}
		}
	}
	if f.StripPrefix && own[voice.OptionReplacePrefix] == "" {
		own[voice.OptionReplacePrefix] = ""
	}
	if f.Profile != "" {
		own[voice.OptionCallingProfile] = f.Profile
	}
	if options[section] == nil {
		options[section] = map[string]string{}
	}
	for name, value := range own {
		if _, twice := options[section][name]; twice {
			return nil, invalidField(name, "stands in the text of other options, too")
		}
		options[section][name] = value
	}
	if len(options[section]) == 0 {
		delete(options, section)
	}
	return options, nil
}

func (s *Server) newTrunk(r *request) error {
	f := &trunkForm{New: true, Action: tenantPath(r.tenant, "trunks"), Back: tenantPath(r.tenant, "trunks"), Type: string(voice.DNTrunk)}
	f.fill(&voice.DN{Options: map[string]map[string]string{section: {voice.OptionOOSCheck: "30"}}})
	return f.show(r)
}

func (s *Server) createTrunk(r *request) error {
	f := &trunkForm{New: true, Action: tenantPath(r.tenant, "trunks"), Back: tenantPath(r.tenant, "trunks"), Number: r.form("number"), Type: r.form("type")}
	options, err := f.read(r)
	if err != nil {
		return f.again(r, err)
	}
	if !slices.Contains([]voice.DNType{voice.DNTrunk, voice.DNSoftswitch}, voice.DNType(f.Type)) {
		return errForm
	}
	if f.Number == "" {
		return f.again(r, invalidField("number", "is missing"))
	}
	dn := voice.DN{Number: f.Number, Type: voice.DNType(f.Type), Name: f.Name, Options: options}
	if err := r.put(r.tenant, voice.KindDN, f.Number, 0, dn); err != nil {
		return f.again(r, err)
	}
	return r.done(tenantPath(r.tenant, "trunks", f.Number), "created")
}

func (s *Server) editTrunk(r *request) error {
	var dn voice.DN
	res, err := r.readTrunk(&dn)
	if err != nil {
		return err
	}
	base := tenantPath(r.tenant, "trunks", res.Key)
	f := &trunkForm{Action: base + "/edit", Back: base, Number: res.Key, Name: dn.Name, Type: string(dn.Type), Version: res.Version}
	f.fill(&dn)
	return f.show(r)
}

func (s *Server) updateTrunk(r *request) error {
	var dn voice.DN
	res, err := r.readTrunk(&dn)
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	base := tenantPath(r.tenant, "trunks", res.Key)
	f := &trunkForm{Action: base + "/edit", Back: base, Number: res.Key, Type: string(dn.Type), Version: version}
	if dn.Options, err = f.read(r); err != nil {
		return f.again(r, err)
	}
	dn.Name = f.Name
	if err := r.put(r.tenant, voice.KindDN, res.Key, version, dn); err != nil {
		return f.again(r, err)
	}
	return r.done(base, "saved")
}

func (r *request) deleteTrunkQuestion(number string, version int64) *confirmView {
	base := tenantPath(r.tenant, "trunks", number)
	return &confirmView{
		Back: base, BackText: number, Crumb: "Delete", Heading: "Delete trunk " + number + "?", Action: base + "/delete", Danger: true, Version: version,
		Text: "No call leaves or comes by it any more. Calls in progress go on. This cannot be undone.", Button: "Delete trunk",
	}
}

func (s *Server) confirmDeleteTrunk(r *request) error {
	var dn voice.DN
	res, err := r.readTrunk(&dn)
	if err != nil {
		return err
	}
	v := r.deleteTrunkQuestion(res.Key, res.Version)
	return r.page("confirm", v.Heading, "trunks", v)
}

func (s *Server) deleteTrunk(r *request) error {
	var dn voice.DN
	res, err := r.readTrunk(&dn)
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	if err := r.remove(r.tenant, voice.KindDN, res.Key, version); err != nil {
		return r.deleteTrunkQuestion(res.Key, version).again(r, "trunks", err)
	}
	return r.done(tenantPath(r.tenant, "trunks"), "deleted")
}
