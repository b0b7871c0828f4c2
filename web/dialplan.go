package web

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// maxPlan is how many partitions and profiles of a tenant are shown.
const maxPlan = 500

// dialplanView is the page of the dial plan.
type dialplanView struct {
	Base       string
	MayWrite   bool
	Partitions []partitionRow
	Profiles   []profileRow
	Try        tryView
}

type partitionRow struct {
	Href, Name string
	Times      string
	Rules      []voice.DialRule // the first
	More       int              // rules that are not shown
	UsedBy     []string         // profiles
}

type profileRow struct {
	Href, Name string
	Partitions []string
	DefaultFor string
	Outside    string
}

// shownRules is how many rules of a partition the list shows.
const shownRules = 4

func (s *Server) dialplan(r *request) error {
	v := &dialplanView{Base: tenantPath(r.tenant, "dialplan"), MayWrite: r.who.MayWrite(r.tenant)}
	used := map[string][]string{}
	profiles, err := listOf[voice.CallingProfile](r, voice.KindCallingProfile)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		for _, name := range p.Partitions {
			used[name] = append(used[name], p.Name)
		}
		v.Profiles = append(v.Profiles, profileRow{
			Href: tenantPath(r.tenant, "dialplan", "profiles", p.Name), Name: p.Name, Partitions: p.Partitions,
			DefaultFor: usesInWords(p.DefaultFor), Outside: outsideInWords(p.OutsideCalls),
		})
	}
	partitions, err := listOf[voice.Partition](r, voice.KindPartition)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		n := min(len(p.Rules), shownRules)
		v.Partitions = append(v.Partitions, partitionRow{
			Href: tenantPath(r.tenant, "dialplan", "partitions", p.Name), Name: p.Name, Times: timesInWords(&p), Rules: p.Rules[:n], More: len(p.Rules) - n, UsedBy: used[p.Name],
		})
	}
	if v.Try, err = s.tryOf(r); err != nil {
		return err
	}
	return r.page("dialplan", "Dial plan", "dialplan", v)
}

// listOf reads the resources of a kind.
func listOf[T any](r *request, kind voice.Kind) ([]T, error) {
	list, err := fabric.Call(r.ctx, r.f, contract.ConfigList, contract.ConfigListRequest{Tenant: r.tenant, Kind: kind, Limit: maxPlan})
	if err != nil {
		return nil, err
	}
	out := make([]T, len(list.Resources))
	for i, res := range list.Resources {
		if err := decode(res, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func usesInWords(uses []voice.ProfileUse) string {
	var out []string
	for _, u := range uses {
		out = append(out, map[voice.ProfileUse]string{voice.ProfileInternal: "extensions", voice.ProfileInbound: "callers from outside"}[u])
	}
	return strings.Join(out, ", ")
}

// outsideWays are the values of OutsideCalls as the form offers them.
var outsideWays = []struct {
	Value voice.OutsideCalls
	Name  string
}{
	{"", "As usual: extensions may, callers from outside may not"},
	{voice.OutsideAllow, "All that no rule blocks"},
	{voice.OutsideRules, "Only what a rule allows"},
	{voice.OutsideBlock, "None"},
}

func outsideInWords(o voice.OutsideCalls) string {
	for _, w := range outsideWays {
		if w.Value == o {
			return w.Name
		}
	}
	return string(o)
}

// timesInWords says when the rules of a partition are in force.
func timesInWords(p *voice.Partition) string {
	if len(p.Times) == 0 {
		return "always"
	}
	var out []string
	for _, t := range p.Times {
		days := strings.Join(t.Days, ", ")
		hours := ""
		if t.From != "" || t.To != "" {
			hours = cmp.Or(t.From, "00:00") + "–" + cmp.Or(t.To, "24:00")
		}
		out = append(out, strings.TrimSpace(cmp.Or(days, "every day")+" "+hours))
	}
	return strings.Join(out, "; ") + " (" + cmp.Or(p.Timezone, "UTC") + ")"
}

// tryView is the box in which a number is tried, and what came of it.
type tryView struct {
	Action                     string
	Number, From, Trunk, At    string
	TZ                         string
	Trunks                     []string
	Tried                      bool
	Problem                    string
	Word, Class, Where, Detail string
	Steps                      []contract.ResolveStep
}

// tryNumber answers the result of a try by itself, for a page that asks while somebody types.
func (s *Server) tryNumber(r *request) error {
	v, err := s.tryOf(r)
	if err != nil {
		return err
	}
	body, err := s.ui.Part("try-result", v)
	if err != nil {
		return err
	}
	return s.html(r.c, body)
}

// tryOf resolves the number of the query, step by step. Nothing is dialled.
func (s *Server) tryOf(r *request) (v tryView, err error) {
	v = tryView{
		Action: tenantPath(r.tenant, "dialplan"), Number: r.query("number"), From: r.query("from"), Trunk: r.query("trunk"), At: r.query("at"), TZ: r.query("tz"),
	}
	if v.Trunks, err = r.trunkNames(v.Trunk); err != nil {
		return v, err
	}
	if v.Number == "" {
		return v, nil
	}
	v.Tried = true
	req := &contract.ResolveRequest{Tenant: r.tenant, From: v.From, Trunk: v.Trunk, Dialled: v.Number, Explain: true}
	if v.At != "" {
		at, err := time.Parse(clockLayout, v.At)
		if err != nil {
			v.Problem = "The time is not one."
			return v, nil
		}
		behind, err := strconv.Atoi(cmp.Or(v.TZ, "0"))
		if err != nil {
			behind = 0
		}
		req.At = at.Add(time.Duration(behind) * time.Minute)
	}
	ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
	defer cancel()
	plan, err := fabric.Call(ctx, s.f, contract.Resolve, req)
	switch voice.CodeOf(err) {
	case "":
		v.result(plan)
	case "unavailable", "timeout":
		v.Problem = "The dial plan service does not answer at the moment."
	case "invalid", "not_found":
		v.Problem = err.Error()
	default:
		return v, err
	}
	return v, nil
}

// result says where the call would go.
func (v *tryView) result(plan *contract.ResolveResponse) {
	v.Steps = plan.Steps
	v.Class = "good"
	switch plan.Kind {
	case contract.RouteDevice:
		v.Word, v.Where, v.Detail = "Rings", plan.Number, plan.Contact
		if plan.RingSeconds > 0 {
			v.Detail = strings.TrimSpace(v.Detail + fmt.Sprintf(" for %d s", plan.RingSeconds))
		}
	case contract.RoutePoint:
		v.Word, v.Where, v.Detail = "Route point", plan.Number, plan.Application
	case contract.RouteVoicemail:
		v.Word, v.Where = "Voicemail", cmp.Or(plan.Mailbox, plan.Number)
	case contract.RouteTrunk:
		v.Word = "Leaves by trunk"
		var ways []string
		for _, t := range plan.Trunks {
			if way := t.DN + " as " + t.Number; !slices.Contains(ways, way) {
				ways = append(ways, way)
			}
		}
		v.Where = strings.Join(ways, ", then ")
	case contract.RouteReject:
		v.Word, v.Class, v.Where, v.Detail = "Refused", "bad", strconv.Itoa(plan.Status), plan.Reason
	default:
		v.Word, v.Class, v.Where = string(plan.Kind), "", plan.Number
	}
	if len(plan.Diverted) > 0 {
		v.Detail = strings.TrimSpace(v.Detail + " forwarded from " + strings.Join(plan.Diverted, ", "))
	}
}
