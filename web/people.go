package web

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/ui"
)

// roleTexts are the roles a person may hold, from least to most.
var roleTexts = []struct {
	role voice.Role
	text string
}{
	{voice.RoleAgent, "Sees the own profile and device."},
	{voice.RoleSupervisor, "Reads everything of the tenant."},
	{voice.RoleAdmin, "Changes everything of the tenant."},
	{voice.RoleSystem, "Changes every tenant, and the platform."},
}

// peopleView is the list of persons.
type peopleView struct {
	Query    string
	MayWrite bool
	Rows     []personRow
	Total    int
	Pager    pager
}

type personRow struct {
	voice.Person
	FullName string
	MayEdit  bool
}

func fullName(p voice.Person) string { return strings.TrimSpace(p.FirstName + " " + p.LastName) }

func (s *Server) people(r *request) error {
	v := &peopleView{Query: r.query("q"), MayWrite: r.who.MayWrite(r.tenant)}
	after := r.query("after")
	list, err := fabric.Call(r.ctx, s.f, contract.ConfigList, contract.ConfigListRequest{
		Tenant: r.tenant, Kind: voice.KindPerson, Match: v.Query, After: after, Limit: pageSize,
	})
	if err != nil {
		return err
	}
	for _, res := range list.Resources {
		row := personRow{}
		if err := decode(res, &row.Person); err != nil {
			return err
		}
		row.FullName, row.MayEdit = fullName(row.Person), v.MayWrite && mayEdit(r.who, row.Person)
		v.Rows = append(v.Rows, row)
	}
	filter := url.Values{}
	if v.Query != "" {
		filter.Set("q", v.Query)
	}
	v.Total, v.Pager = list.Total, newPager(tenantPath(r.tenant, "people"), filter, after, list.Next)
	return r.page("people", "People", "people", v)
}

// mayEdit keeps an administrator from taking over somebody with the system role, e.g. by a new password.
func mayEdit(who voice.Principal, target voice.Person) bool {
	return who.Has(voice.RoleSystem) || !slices.Contains(target.Roles, voice.RoleSystem)
}

// personForm is the form of a new or an existing person, as it was filled in. The password is never given back.
type personForm struct {
	New, Self                            bool
	Username, FirstName, LastName, Email string
	Place, AgentID                       string
	Disabled                             bool
	Roles                                []roleChoice
	Version                              int64
	Problem                              *ui.Problem
	Errors                               map[string]string
}

type roleChoice struct {
	Name, Text      string
	Checked, Locked bool
}

func (f *personForm) show(r *request) error {
	title := "New person"
	if !f.New {
		title = "Edit " + f.Username
	}
	return r.page("person_form", title, "people", f)
}

func (f *personForm) again(r *request, err error) error {
	problem, errs, ok := formProblem(err, "username", "email", "roles", "place", "agent_id", "password")
	if !ok {
		return err
	}
	f.Problem, f.Errors = problem, errs
	r.c.Status(fiber.StatusUnprocessableEntity)
	return f.show(r)
}

// personFormOf shows p as it is.
func personFormOf(r *request, p voice.Person, version int64) *personForm {
	f := &personForm{
		Username: p.Username, FirstName: p.FirstName, LastName: p.LastName, Email: p.Email, Place: p.Place, AgentID: p.AgentID,
		Disabled: p.Disabled, Version: version, Self: r.tenant == r.who.Tenant && p.Username == r.who.User,
	}
	for _, known := range roleTexts {
		f.Roles = append(f.Roles, roleChoice{
			Name: string(known.role), Text: known.text, Checked: slices.Contains(p.Roles, known.role),
			Locked: known.role == voice.RoleSystem && !r.who.Has(voice.RoleSystem),
		})
	}
	return f
}

// fillPerson writes the form over p. Nobody gives a role away that only the system role may give, and nobody shuts
// the own door.
func fillPerson(r *request, p *voice.Person) error {
	p.FirstName, p.LastName, p.Email = r.form("first_name"), r.form("last_name"), r.form("email")
	p.Place, p.AgentID, p.Password = r.form("place"), r.form("agent_id"), r.raw("password")
	self := r.tenant == r.who.Tenant && p.Username == r.who.User
	had := slices.Contains(p.Roles, voice.RoleSystem)
	p.Roles = nil
	for _, known := range roleTexts {
		if slices.Contains(r.formAll("roles"), string(known.role)) {
			p.Roles = append(p.Roles, known.role)
		}
	}
	if has := slices.Contains(p.Roles, voice.RoleSystem); has != had && !r.who.Has(voice.RoleSystem) {
		return voice.ErrForbidden
	}
	if !self {
		p.Disabled = r.form("disabled") == "yes"
		return nil
	}
	after := voice.Principal{Tenant: r.who.Tenant, User: r.who.User, Roles: p.Roles}
	if !after.MayWrite(r.tenant) || r.who.Has(voice.RoleSystem) && !after.Has(voice.RoleSystem) {
		return invalidField("roles", "you cannot take your own rights away; let somebody else do it")
	}
	return nil
}

func (s *Server) newPerson(r *request) error {
	f := personFormOf(r, voice.Person{Roles: []voice.Role{voice.RoleAgent}}, 0)
	f.New = true
	return f.show(r)
}

func (s *Server) createPerson(r *request) error {
	p := voice.Person{Username: r.form("username")}
	err := fillPerson(r, &p)
	f := personFormOf(r, p, 0)
	f.New, f.Self = true, false
	switch {
	case err != nil:
		return f.again(r, err)
	case p.Username == "":
		return f.again(r, invalidField("username", "is missing"))
	case p.Password == "":
		return f.again(r, invalidField("password", "is missing"))
	}
	if err := r.put(r.tenant, voice.KindPerson, p.Username, 0, p); err != nil {
		return f.again(r, err)
	}
	return r.done(tenantPath(r.tenant, "people"), "created")
}

// readPerson reads the person of the path, if r may change them.
func (r *request) readPerson() (voice.Person, int64, error) {
	var p voice.Person
	res, err := r.read(r.tenant, voice.KindPerson, r.param("key"), &p)
	if err != nil {
		return voice.Person{}, 0, err
	}
	if !mayEdit(r.who, p) {
		return voice.Person{}, 0, voice.ErrForbidden
	}
	p.Username = res.Key
	return p, res.Version, nil
}

func (s *Server) editPerson(r *request) error {
	p, version, err := r.readPerson()
	if err != nil {
		return err
	}
	return personFormOf(r, p, version).show(r)
}

func (s *Server) updatePerson(r *request) error {
	p, _, err := r.readPerson()
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	err = fillPerson(r, &p)
	f := personFormOf(r, p, version)
	if err == nil {
		err = r.put(r.tenant, voice.KindPerson, p.Username, version, p)
	}
	if err != nil {
		return f.again(r, err)
	}
	return r.done(tenantPath(r.tenant, "people"), "saved")
}

func (r *request) personQuestion(name string, version int64) *confirmView {
	base := tenantPath(r.tenant, "people")
	return &confirmView{
		Back: base, BackText: "People", Crumb: "Delete", Heading: "Delete " + name + "?", Danger: true, Version: version,
		Action: base + "/" + url.PathEscape(name) + "/delete", Button: "Delete person",
		Text: "They are signed out at once and cannot sign in any more. What they did stays in the change history.",
	}
}

func (s *Server) confirmDeletePerson(r *request) error {
	p, version, err := r.readPerson()
	if err != nil {
		return err
	}
	v := r.personQuestion(p.Username, version)
	return r.page("confirm", v.Heading, "people", v)
}

func (s *Server) deletePerson(r *request) error {
	p, _, err := r.readPerson()
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	if r.tenant == r.who.Tenant && p.Username == r.who.User {
		return r.personQuestion(p.Username, version).again(r, "people", voice.Errorf(voice.ErrInvalid, "you cannot delete yourself"))
	}
	if err := r.remove(r.tenant, voice.KindPerson, p.Username, version); err != nil {
		return r.personQuestion(p.Username, version).again(r, "people", err)
	}
	return r.done(tenantPath(r.tenant, "people"), "deleted")
}
