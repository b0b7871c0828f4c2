package web

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// kindNames are the kinds of a tenant's resources in words.
var kindNames = []struct {
	Value voice.Kind
	Name  string
}{
	{voice.KindDN, "Numbers"},
	{voice.KindPerson, "People"},
	{voice.KindPlace, "Places"},
	{voice.KindSkill, "Skills"},
	{voice.KindScript, "Scripts"},
	{voice.KindMailbox, "Mailboxes"},
	{voice.KindVoicemailProfile, "Voicemail profiles"},
}

// oneOf names one resource of a kind.
var oneOf = map[voice.Kind]string{
	voice.KindTenant: "tenant", voice.KindDN: "number", voice.KindPerson: "person", voice.KindPlace: "place", voice.KindSkill: "skill",
	voice.KindScript: "script", voice.KindMailbox: "mailbox", voice.KindVoicemailProfile: "voicemail profile",
}

// historyView is a page of the change history.
type historyView struct {
	Base, Kind, Key string
	Kinds           []struct{ Value, Name string }
	Filtered        bool
	Platform        bool
	Changes         []changeView
	Pager           pager
}

// changeView is one change in words.
type changeView struct {
	Time          time.Time
	User          string
	Verb, Class   string
	KindName, Key string
	Href          string // page of what was changed, if there is one
	Diff          []contract.FieldDiff
	Open          bool // the diff is short enough to be seen at once
}

func (s *Server) history(r *request) error {
	v := &historyView{Base: tenantPath(r.tenant, "history"), Kind: r.query("kind"), Key: r.query("key")}
	v.Platform = r.tenant == voice.SystemTenant
	for _, k := range kindNames {
		v.Kinds = append(v.Kinds, struct{ Value, Name string }{string(k.Value), k.Name})
	}
	v.Filtered = v.Kind != "" || v.Key != ""
	before, err := strconv.ParseInt(r.query("after"), 10, 64)
	if err != nil || before < 0 {
		before = 0
	}
	hist, err := fabric.Call(r.ctx, s.f, contract.ConfigHistory, contract.ConfigHistoryRequest{
		Tenant: r.tenant, Kind: voice.Kind(v.Kind), Key: v.Key, Before: before, Limit: pageSize,
	})
	if err != nil {
		return err
	}
	v.Changes = changesOf(hist.Changes)
	filter := url.Values{}
	if v.Kind != "" {
		filter.Set("kind", v.Kind)
	}
	if v.Key != "" {
		filter.Set("key", v.Key)
	}
	after, next := "", ""
	if before > 0 {
		after = strconv.FormatInt(before, 10)
	}
	if hist.Next > 0 {
		next = strconv.FormatInt(hist.Next, 10)
	}
	v.Pager = newPager(v.Base, filter, after, next)
	nav := "history"
	if v.Platform {
		nav = "tenants"
	}
	return r.page("history", "Change history", nav, v)
}

func changesOf(changes []contract.ConfigChange) []changeView {
	var out []changeView
	for _, c := range changes {
		v := changeView{Time: c.Time, User: c.User, KindName: oneOf[c.Kind], Key: c.Key, Diff: diffOf(c.Before, c.After)}
		switch c.Op {
		case voice.OpCreate:
			v.Verb, v.Class = "Created", "good"
		case voice.OpDelete:
			v.Verb, v.Class = "Deleted", "bad"
		default:
			v.Verb, v.Open = "Changed", len(v.Diff) <= 6
		}
		if c.Op != voice.OpDelete {
			switch c.Kind {
			case voice.KindTenant:
				v.Href = "/tenants/" + url.PathEscape(c.Key) + "/edit"
			case voice.KindDN:
				if isExtension(c.After) {
					v.Href = tenantPath(c.Tenant, "extensions", c.Key)
				}
			case voice.KindPerson:
				v.Href = tenantPath(c.Tenant, "people", c.Key, "edit")
			}
		}
		out = append(out, v)
	}
	return out
}

// isExtension tells whether a number's body is that of an extension, which has a page.
func isExtension(body json.RawMessage) bool {
	var dn struct{ Type voice.DNType }
	return json.Unmarshal(body, &dn) == nil && dn.Type == voice.DNExtension
}
