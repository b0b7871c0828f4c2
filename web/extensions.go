package web

import (
	"cmp"
	"errors"
	"maps"
	"net/url"
	"slices"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	pageSize      = 50 // rows of a list
	recentChanges = 5  // on the page of one extension
)

// pager is where the neighbouring pages of a list are; "" = there is none.
type pager struct{ First, Next string }

// newPager makes the links of a list that is read in order of key: after is where this page began, next where the
// next one begins.
func newPager(base string, filter url.Values, after, next string) pager {
	var p pager
	if after != "" {
		p.First = withQuery(base, filter)
	}
	if next != "" {
		q := maps.Clone(filter)
		q.Set("after", next)
		p.Next = withQuery(base, q)
	}
	return p
}

func withQuery(base string, q url.Values) string {
	if len(q) == 0 {
		return base
	}
	return base + "?" + q.Encode()
}

// extensionsView is the list of extensions.
type extensionsView struct {
	Query          string
	OnlyRegistered bool
	MayWrite       bool
	Rows           []extensionRow
	From, To       string // least and greatest number shown, for live updates
	Total          int
	Pager          pager
}

type extensionRow struct {
	Number, Name string
	State        stateView
	UpdatedAt    time.Time
}

func (s *Server) extensions(r *request) error {
	v := &extensionsView{Query: r.query("q"), OnlyRegistered: r.query("state") == "registered", MayWrite: r.who.MayWrite(r.tenant)}
	list := s.listExtensions
	if v.OnlyRegistered {
		list = s.listRegistered
	}
	next, err := list(r, v)
	if err != nil {
		return err
	}
	filter := url.Values{}
	if v.Query != "" {
		filter.Set("q", v.Query)
	}
	if v.OnlyRegistered {
		filter.Set("state", "registered")
	}
	v.Pager = newPager(tenantPath(r.tenant, "extensions"), filter, r.query("after"), next)
	if len(v.Rows) > 0 {
		byNumber := func(a, b extensionRow) int { return cmp.Compare(a.Number, b.Number) }
		v.From, v.To = slices.MinFunc(v.Rows, byNumber).Number, slices.MaxFunc(v.Rows, byNumber).Number
	}
	return r.page("extensions", "Extensions", "extensions", v)
}

// listExtensions reads a page of what is configured.
func (s *Server) listExtensions(r *request, v *extensionsView) (next string, err error) {
	list, err := fabric.Call(r.ctx, s.f, contract.ConfigList, contract.ConfigListRequest{
		Tenant: r.tenant, Kind: voice.KindDN, Type: string(voice.DNExtension), Match: v.Query, After: r.query("after"), Limit: pageSize,
	})
	if err != nil {
		return "", err
	}
	numbers := make([]string, len(list.Resources))
	for i, res := range list.Resources {
		numbers[i] = res.Key
	}
	states := s.statesOf(r.ctx, r.tenant, numbers)
	for i, res := range list.Resources {
		var dn voice.DN
		if err := decode(res, &dn); err != nil {
			return "", err
		}
		v.Rows = append(v.Rows, extensionRow{Number: res.Key, Name: dn.Name, UpdatedAt: res.UpdatedAt, State: states[i]})
	}
	v.Total = list.Total
	return list.Next, nil
}

// listRegistered reads a page of what is registered now; names come from the configuration.
func (s *Server) listRegistered(r *request, v *extensionsView) (next string, err error) {
	list, err := fabric.Call(r.ctx, s.f, contract.Registrations, contract.RegistrationsRequest{
		Tenant: r.tenant, Match: v.Query, After: r.query("after"), Limit: pageSize,
	})
	if err != nil {
		return "", err
	}
	for _, reg := range list.Registrations {
		row := extensionRow{Number: reg.DN, State: (&bindingsView{Bindings: reg.Bindings}).state()}
		var dn voice.DN
		res, err := r.read(r.tenant, voice.KindDN, reg.DN, &dn)
		if err != nil && !errors.Is(err, voice.ErrNotFound) {
			return "", err
		}
		row.Name, row.UpdatedAt = dn.Name, res.UpdatedAt
		v.Rows = append(v.Rows, row)
	}
	v.Total = list.Total
	return list.Next, nil
}

// extensionView is the page of one extension.
type extensionView struct {
	Number, Name, Base string
	MayWrite           bool
	HasPassword        bool
	State              stateView
	Bindings           *bindingsView
	Account            account
	Forwards           []fact
	Options            []fact
	Changes            []changeView
}

func (s *Server) extension(r *request) error {
	var dn voice.DN
	res, err := r.readExtension(&dn)
	if err != nil {
		return err
	}
	acc, err := s.accountOf(r, res.Key)
	if err != nil {
		return err
	}
	b := s.bindingsOf(r.ctx, r.tenant, res.Key)
	b.CSRF, b.MayWrite = r.csrf, r.who.MayWrite(r.tenant)
	v := &extensionView{
		Number: res.Key, Name: dn.Name, Base: tenantPath(r.tenant, "extensions", res.Key), MayWrite: b.MayWrite,
		State: b.state(), Bindings: b, Account: acc, Forwards: forwardFacts(&dn), Options: optionFacts(dn.Options),
	}
	if v.HasPassword, err = s.hasPassword(r, res.Key); err != nil {
		return err
	}
	hist, err := fabric.Call(r.ctx, s.f, contract.ConfigHistory, contract.ConfigHistoryRequest{
		Tenant: r.tenant, Kind: voice.KindDN, Key: res.Key, Limit: recentChanges,
	})
	if err != nil {
		return err
	}
	v.Changes = changesOf(hist.Changes)
	return r.page("extension", res.Key, "extensions", v)
}

// readExtension reads the extension of the path. A number of another type has no page here.
func (r *request) readExtension(dn *voice.DN) (voice.Resource, error) {
	res, err := r.read(r.tenant, voice.KindDN, r.param("key"), dn)
	if err != nil {
		return voice.Resource{}, err
	}
	if dn.Type != voice.DNExtension {
		return voice.Resource{}, voice.Errorf(voice.ErrNotFound, "%s is no extension", res.Key)
	}
	return res, nil
}

// hasPassword tells whether there is a digest to check phones with; the digest itself is dropped at once.
func (s *Server) hasPassword(r *request, number string) (bool, error) {
	res, err := fabric.Call(r.ctx, s.f, contract.ConfigGet, contract.ConfigKey{Tenant: r.tenant, Kind: voice.KindDN, Key: number, Secrets: true})
	if err != nil {
		return false, err
	}
	var dn voice.DN
	if err := decode(res, &dn); err != nil {
		return false, err
	}
	return dn.Auth != nil, nil
}

func (s *Server) removeBinding(r *request) error {
	contact := r.raw("contact")
	if contact == "" {
		return errForm // "" would mean all of them
	}
	number := r.param("key")
	_, err := fabric.Call(r.ctx, s.f, contract.RemoveBindings, contract.RemoveBindingsRequest{Tenant: r.tenant, DN: number, Contact: contact})
	if err != nil && !errors.Is(err, voice.ErrNotFound) {
		return err
	}
	return r.done(tenantPath(r.tenant, "extensions", number), "removed")
}
