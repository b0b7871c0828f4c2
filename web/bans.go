package web

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/ui"
)

// maxBansShown keeps the page of a platform under attack readable.
const maxBansShown = 200

// bansView is the bans in force and the form for another.
type bansView struct {
	Rows           []contract.Ban
	More           int // older bans not shown
	Unknown        bool
	MayWrite       bool
	Source, Reason string
	Durations      []banDuration
	Problem        *ui.Problem
	Errors         map[string]string
}

type banDuration struct {
	Value, Name string
	lasts       time.Duration
}

var banDurations = []banDuration{
	{"1h", "One hour", time.Hour},
	{"24h", "One day", 24 * time.Hour},
	{"168h", "One week", 7 * 24 * time.Hour},
	{"720h", "30 days", 30 * 24 * time.Hour},
}

func (s *Server) bans(r *request) error { return s.showBans(r, &bansView{}) }

func (s *Server) showBans(r *request, v *bansView) error {
	v.MayWrite, v.Durations = r.who.Has(voice.RoleSystem), banDurations
	all, err := fabric.Call(r.ctx, s.f, contract.Bans, struct{}{})
	v.Unknown = err != nil
	v.Rows = all.Bans[:min(len(all.Bans), maxBansShown)]
	v.More = len(all.Bans) - len(v.Rows)
	return r.page("bans", "Bans", "bans", v)
}

func (s *Server) addBan(r *request) error {
	v := &bansView{Source: r.form("source"), Reason: r.form("reason")}
	again := func(err error) error {
		var ok bool
		if v.Problem, v.Errors, ok = formProblem(err, "source", "reason"); !ok {
			return err
		}
		r.c.Status(fiber.StatusUnprocessableEntity)
		return s.showBans(r, v)
	}
	source, err := netip.ParseAddr(v.Source)
	if err != nil {
		return again(invalidField("source", "is not an IP address"))
	}
	if source.Unmap() == r.source() {
		return again(invalidField("source", "is your own address"))
	}
	if v.Reason == "" {
		return again(invalidField("reason", "is missing"))
	}
	i := slices.IndexFunc(banDurations, func(d banDuration) bool { return d.Value == r.form("for") })
	if i < 0 {
		return errForm
	}
	now := s.now()
	_, err = fabric.Call(r.ctx, s.f, contract.AddBan, contract.Ban{
		Source: source.Unmap(), Reason: v.Reason, By: r.who.User, Since: now, Until: now.Add(banDurations[i].lasts),
	})
	if err != nil {
		return again(err)
	}
	return r.done("/bans", "banned")
}

func (s *Server) liftBan(r *request) error {
	source, err := netip.ParseAddr(r.form("source"))
	if err != nil {
		return errForm
	}
	_, err = fabric.Call(r.ctx, s.f, contract.LiftBan, contract.LiftBanRequest{Source: source, User: r.who.User})
	if err != nil && voice.CodeOf(err) != "not_found" {
		return err
	}
	return r.done("/bans", "lifted")
}
