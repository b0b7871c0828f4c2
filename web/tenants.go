package web

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/ui"
)

// tenantsView is the list of tenants, for the system role.
type tenantsView struct {
	Rows  []voice.Tenant
	Total int
	Pager pager
}

func (s *Server) tenants(r *request) error {
	after := r.query("after")
	list, err := fabric.Call(r.ctx, s.f, contract.ConfigList, contract.ConfigListRequest{
		Tenant: voice.SystemTenant, Kind: voice.KindTenant, After: after, Limit: pageSize,
	})
	if err != nil {
		return err
	}
	v := &tenantsView{Total: list.Total, Pager: newPager("/tenants", url.Values{}, after, list.Next)}
	for _, res := range list.Resources {
		var t voice.Tenant
		if err := decode(res, &t); err != nil {
			return err
		}
		v.Rows = append(v.Rows, t)
	}
	return r.page("tenants", "Tenants", "tenants", v)
}

// tenantForm is the form of a new or an existing tenant, as it was filled in.
type tenantForm struct {
	New                  bool
	Name, Domains, Realm string
	Default              bool
	Version              int64
	Problem              *ui.Problem
	Errors               map[string]string
}

func (f *tenantForm) show(r *request) error {
	title := "New tenant"
	if !f.New {
		title = "Edit tenant " + f.Name
	}
	return r.page("tenant_form", title, "tenants", f)
}

func (f *tenantForm) again(r *request, err error) error {
	problem, errs, ok := formProblem(err, "name", "domains", "realm", "default")
	if !ok {
		return err
	}
	f.Problem, f.Errors = problem, errs
	r.c.Status(fiber.StatusUnprocessableEntity)
	return f.show(r)
}

// fill writes the form over t.
func (f *tenantForm) fill(r *request, t *voice.Tenant) {
	f.Domains, f.Realm, f.Default = r.raw("domains"), r.form("realm"), r.form("default") == "yes"
	t.Domains, t.Realm, t.Default = strings.Fields(strings.ReplaceAll(f.Domains, ",", " ")), f.Realm, f.Default
}

func (s *Server) newTenant(r *request) error { return (&tenantForm{New: true}).show(r) }

func (s *Server) createTenant(r *request) error {
	f := &tenantForm{New: true, Name: r.form("name")}
	t := voice.Tenant{Name: f.Name}
	f.fill(r, &t)
	if f.Name == "" {
		return f.again(r, invalidField("name", "is missing"))
	}
	if err := r.put(voice.SystemTenant, voice.KindTenant, f.Name, 0, t); err != nil {
		return f.again(r, err)
	}
	return r.done("/tenants", "created")
}

func (s *Server) editTenant(r *request) error {
	var t voice.Tenant
	res, err := r.read(voice.SystemTenant, voice.KindTenant, r.param("key"), &t)
	if err != nil {
		return err
	}
	f := &tenantForm{Name: res.Key, Domains: strings.Join(t.Domains, "\n"), Realm: t.Realm, Default: t.Default, Version: res.Version}
	return f.show(r)
}

func (s *Server) updateTenant(r *request) error {
	var t voice.Tenant
	res, err := r.read(voice.SystemTenant, voice.KindTenant, r.param("key"), &t)
	if err != nil {
		return err
	}
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	f := &tenantForm{Name: res.Key, Version: version}
	f.fill(r, &t)
	if err := r.put(voice.SystemTenant, voice.KindTenant, res.Key, version, t); err != nil {
		return f.again(r, err)
	}
	return r.done("/tenants", "saved")
}

func tenantQuestion(name string, version int64) *confirmView {
	return &confirmView{
		Back: "/tenants", BackText: "Tenants", Crumb: "Delete", Heading: "Delete tenant " + name + "?", Danger: true, Version: version,
		Action: "/tenants/" + url.PathEscape(name) + "/delete", Button: "Delete tenant",
		Text: "A tenant can be deleted when nothing belongs to it any more. This cannot be undone.",
	}
}

func (s *Server) confirmDeleteTenant(r *request) error {
	res, err := r.get(voice.SystemTenant, voice.KindTenant, r.param("key"))
	if err != nil {
		return err
	}
	v := tenantQuestion(res.Key, res.Version)
	return r.page("confirm", v.Heading, "tenants", v)
}

func (s *Server) deleteTenant(r *request) error {
	name := r.param("key")
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	if err := r.remove(voice.SystemTenant, voice.KindTenant, name, version); err != nil {
		return tenantQuestion(name, version).again(r, "tenants", err)
	}
	return r.done("/tenants", "deleted")
}
