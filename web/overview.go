package web

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"parley/internal/obs"
	"parley/internal/voice"
)

// overviewView is the overview and each of its live parts.
type overviewView struct {
	System, MayBans                        bool
	Level                                  levelView
	LevelNote                              string
	Registered, Contacts, Extensions, Bans int
	Calls                                  int // in progress on all nodes; -1 = no node tells
	Nodes                                  []nodeView
	Chart                                  chartView
	Events                                 []eventView
}

type levelView struct{ Word, Class string }

type nodeView struct {
	ID, Version, Problem string
	Services             []serviceView
}

type serviceView struct {
	Name    string
	Level   levelView
	Reasons []obs.Check
	Address []string
}

type eventView struct {
	In               bool
	Tenant, DN, Text string
	Time             time.Time
}

// chartView is a line in a box of chartWidth by chartHeight, as SVG points.
type chartView struct {
	Line, Area, Label string
	Since             string // where the line begins, e.g. "15 min ago"
	Min, Max          int
}

const (
	chartWidth  = 600.0
	chartHeight = 150.0
)

// overview is the first page: for an agent, who has nothing to oversee, it is the own device.
func (s *Server) overview(r *request) error {
	if !readsAnything(r.who) {
		return r.c.Redirect("/me", fiber.StatusSeeOther)
	}
	return r.page("overview", "Overview", "overview", s.overviewOf(r.ctx, r.who))
}

// overviewScope is what somebody oversees: everything, or the own tenant.
func overviewScope(p voice.Principal) string {
	if p.Has(voice.RoleSystem) {
		return everywhere
	}
	return p.Tenant
}

func (s *Server) overviewOf(ctx context.Context, who voice.Principal) *overviewView {
	name := overviewScope(who)
	s.board.refresh(ctx, name)
	v := s.board.view(name)
	v.System, v.MayBans = who.Has(voice.RoleSystem), admin(who, "")
	if !v.System {
		for i := range v.Nodes { // where services listen is nobody's business but the platform's
			for k := range v.Nodes[i].Services {
				v.Nodes[i].Services[k].Address = nil
			}
		}
	}
	return v
}

// view puts what the board knows of a scope into words.
func (b *board) view(name string) *overviewView {
	ids := b.nodeIDs()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.scopeLocked(name)
	v := &overviewView{
		Registered: s.registered, Contacts: s.contacts, Extensions: max(s.extensions, 0), Bans: s.bans,
		Chart: chart(s.samples, b.now()), Level: levelOf(obs.LevelPass), LevelNote: "all services do their work",
	}
	v.Calls = -1
	worst, where := obs.LevelPass, []string{}
	for _, id := range ids {
		rep, known := b.reports[id]
		n := nodeView{ID: id, Version: rep.status.Version}
		if !known || rep.err != nil {
			n.Problem = "It is registered, but does not tell its state."
			worst, where = min(worst, obs.LevelDegraded), append(where, id)
		}
		if known && rep.err == nil && rep.status.Calls >= 0 {
			v.Calls = max(v.Calls, 0) + rep.status.Calls
		}
		for _, svc := range rep.status.Services {
			n.Services = append(n.Services, serviceOf(svc.Name, svc.Level, svc.Checks, svc.Address))
			if svc.Level != obs.LevelPass {
				worst, where = min(worst, svc.Level), append(where, svc.Name)
			}
		}
		v.Nodes = append(v.Nodes, n)
	}
	if worst != obs.LevelPass {
		v.Level = levelOf(worst)
		slices.Sort(where)
		v.LevelNote = "see " + strings.Join(slices.Compact(where), ", ")
	}
	for _, ev := range b.events[name] {
		v.Events = append(v.Events, eventOf(ev))
	}
	return v
}

func serviceOf(name string, level obs.Level, checks []obs.Check, address []string) serviceView {
	v := serviceView{Name: name, Level: levelOf(level), Address: address}
	for _, c := range checks {
		if c.Level != obs.LevelPass {
			v.Reasons = append(v.Reasons, obs.Check{Name: c.Name, Reason: cmp.Or(c.Reason, c.Level.String())})
		}
	}
	return v
}

func levelOf(l obs.Level) levelView {
	switch l {
	case obs.LevelPass:
		return levelView{"Healthy", "good"}
	case obs.LevelDegraded:
		return levelView{"Degraded", "warn"}
	case obs.LevelStarting:
		return levelView{"Starting", ""}
	default:
		return levelView{"Failing", "bad"}
	}
}

// reasons are the words for why a number came or went.
var reasons = map[string]string{
	"registered":      "registered",
	"unregistered":    "signed off",
	"expired":         "was not renewed in time",
	"connection-lost": "lost its connection",
	"removed":         "was removed by hand",
}

func eventOf(ev voice.DeviceEvent) eventView {
	text := cmp.Or(reasons[ev.Reason], ev.Reason)
	return eventView{In: ev.ID == voice.EventDNBackInService, Tenant: ev.Tenant, DN: ev.ThisDN, Text: text, Time: ev.Time}
}

// chart draws the samples over the time they cover. With less than two there is no line.
func chart(samples []sample, now time.Time) chartView {
	if len(samples) < 2 {
		return chartView{}
	}
	v := chartView{Min: samples[0].n, Max: samples[0].n}
	for _, s := range samples {
		v.Min, v.Max = min(v.Min, s.n), max(v.Max, s.n)
	}
	first, last := samples[0], samples[len(samples)-1]
	span := max(now.Sub(first.at), time.Minute)
	v.Since = fmt.Sprintf("%.0f min ago", span.Minutes())
	v.Label = fmt.Sprintf("Registered numbers since %s: now %d, lowest %d, highest %d", v.Since, last.n, v.Min, v.Max)
	room := max(1, (v.Max-v.Min)/8) // so that a flat line lies in the middle
	v.Min, v.Max = max(0, v.Min-room), v.Max+room
	var line strings.Builder
	x := func(at time.Time) float64 { return max(0, chartWidth*(1-now.Sub(at).Seconds()/span.Seconds())) }
	for i, s := range samples {
		if i > 0 {
			line.WriteByte(' ')
		}
		y := chartHeight * (1 - float64(s.n-v.Min)/float64(v.Max-v.Min))
		fmt.Fprintf(&line, "%.1f,%.1f", x(s.at), y)
	}
	v.Line = line.String()
	v.Area = fmt.Sprintf("%.1f,%.0f %s %.1f,%.0f", x(first.at), chartHeight, v.Line, x(last.at), chartHeight)
	return v
}
